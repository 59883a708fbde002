/* fuzz_pop3.c: a whole POP3 session. Input: a byte that says how the client's bytes are split and
 * the content cut, then what the client sends. The maildrop is made of the same bytes. Checked:
 * memory bounds, whole lines only, an end for every answer. */
#include <stdlib.h>

#include "base/err.h"
#include "proto/pop3/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 5, NOW = 1 };

static const struct pop3s_config config = {.implementation = {"fuzz", 4}, .plaintext = true};

static void answer_login(struct pop3s *s, struct pop3s_message *m)
{
    str_t name = pop3s_name(s), password = pop3s_password(s);
    must(name.len > 0 && password.len > 0 && name.len + password.len < (size_t)2 * POP3S_LINE_MAX);
    if (str_starts(password, STR("n")))
        pop3s_refuse(s, (enum pop3s_refusal)(password.len % 4), "no\r\nline");
    else
        pop3s_login(s, m, MESSAGES, 7);
}

static void answer_content(struct pop3s *s, str_t all, size_t piece)
{
    must(pop3s_index(s) < MESSAGES);
    str_t rest = str_from(all, pop3s_index(s) + pop3s_piece(s) * piece);
    if (pop3s_index(s) == 4 && pop3s_piece(s) == 1)
        pop3s_content_failed(s, POP3S_PERM, "gone");
    else if (pop3s_index(s) == 3 && pop3s_piece(s) < 2 && piece == 49)
        pop3s_login_over(s, "no\r\nmore");
    else
        pop3s_content(s, str_first(rest, piece), rest.len <= piece);
}

/* Only CRLF ends lines, and the output is bounded. */
static void take_output(struct pop3s *s, char *last)
{
    str_t out = pop3s_output(s);
    must(out.len <= 16384 + 2 * POP3S_PIECE_MAX + 2048);
    for (size_t i = 0; i < out.len; i++) {
        must((*last == '\r') == (out.ptr[i] == '\n'));
        *last = out.ptr[i];
    }
    pop3s_sent(s, out.len);
}

static enum pop3s_event drive(struct pop3s *s, str_t bytes, str_t all, size_t piece,
                              struct pop3s_message *m, char *last)
{
    pop3s_feed(s, bytes, NOW);
    for (;;) {
        enum pop3s_event ev = pop3s_next(s);
        switch (ev) {
        case POP3S_LOGIN: answer_login(s, m); break;
        case POP3S_CONTENT: answer_content(s, all, piece); break;
        case POP3S_UPDATE:
            if (m[3].deleted)
                pop3s_login_over(s, "no more");
            else
                pop3s_updated(s, true);
            break;
        case POP3S_FLUSH: take_output(s, last); break;
        case POP3S_IDLE:
        case POP3S_CLOSE: take_output(s, last); return ev;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t step = data[0] % 16u + 1, piece = data[0] / 16u * 16u + 1;
    str_t all = str_of(data + 1, size - 1), rest = all;
    struct pop3s_message m[MESSAGES];
    for (size_t i = 0; i < MESSAGES; i++)
        m[i] = (struct pop3s_message){.size = all.len, .uid = i + 1};
    struct pop3s *s = pop3s_new(&config, NOW);
    if (s == NULL)
        return 0;
    char last = '\0';
    enum pop3s_event ev = POP3S_IDLE;
    while (rest.len > 0 && ev != POP3S_CLOSE) {
        size_t n = step < rest.len ? step : rest.len;
        char *exact = malloc(n);
        memcpy(exact, rest.ptr, n);
        ev = drive(s, str_of(exact, n), all, piece, m, &last);
        free(exact);
        rest = str_from(rest, n);
    }
    must(last == '\n' || ev == POP3S_CLOSE); /* an answer ends, unless the connection does */
    pop3s_free(s);
    return 0;
}
