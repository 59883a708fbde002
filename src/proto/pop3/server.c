/* server.c: the session: lines in, events out, deadlines. See server.h. The verbs are in command.c,
 * messages in content.c. */
#include "proto/pop3/server.h"

#include <stdlib.h>

#include "base/err.h"
#include "proto/pop3/session.h"

enum {
    DISCARD_MAX = 64 * 1024, /* of one line that is too long; then the client is no POP3 client */
    MS = 1000,
};

struct pop3s *pop3s_new(const struct pop3s_config *c, int64_t now_ms)
{
    struct pop3s *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->config = c;
    s->state = POP3S_ST_START;
    s->now_ms = now_ms;
    s->deadline_ms = now_ms + POP3S_LOGIN_S * MS; /* for the whole login, not for each command */
    buf_init(&s->out, POP3S_OUT_MAX);
    /* RFC 1939 4; no <timestamp>, as there is no APOP */
    buf_add(&s->out, STR("+OK POP3 ready\r\n"));
    return s;
}

void pop3s_free(struct pop3s *s)
{
    if (s == NULL)
        return;
    buf_free(&s->out);
    explicit_bzero(s->line, sizeof s->line);
    free(s);
}

void pop3s_feed(struct pop3s *s, str_t bytes, int64_t now_ms)
{
    s->in = bytes;
    s->now_ms = now_ms;
    if (s->state == POP3S_ST_TRANSACTION && bytes.len > 0)
        s->deadline_ms = now_ms + POP3S_IDLE_S * MS;
}

str_t pop3s_rest(const struct pop3s *s)
{
    return s->in;
}
bool pop3s_closing(const struct pop3s *s)
{
    return s->closing;
}
int64_t pop3s_deadline_ms(const struct pop3s *s)
{
    return s->deadline_ms;
}
str_t pop3s_output(const struct pop3s *s)
{
    return buf_str(&s->out);
}

void pop3s_sent(struct pop3s *s, size_t n)
{
    buf_consume(&s->out, n);
    /* an idle session has no buffer */
    if (s->out.len == 0 && s->producing == POP3S_NOTHING)
        buf_free(&s->out);
}

void pop3s_expire(struct pop3s *s, int64_t now_ms)
{
    bool answering = s->out.len > 0 || s->producing != POP3S_NOTHING;
    s->now_ms = now_ms;
    if (s->state == POP3S_ST_TRANSACTION && answering) {
        /* slow, not idle; who takes nothing at all is cut off by the server */
        s->deadline_ms = now_ms + POP3S_IDLE_S * MS;
        return;
    }
    s->closing = true;
    s->producing = POP3S_NOTHING;
    buf_clear(&s->out);
}

/* Adds to the line begun; too much of it is dropped and remembered. */
static void line_add(struct pop3s *s, str_t part)
{
    if (s->discarding || part.len > sizeof s->line - s->line_len) {
        s->discarding = true;
        s->discarded += part.len;
        if (s->discarded > DISCARD_MAX)
            s->closing = true;
        return;
    }
    memcpy(s->line + s->line_len, part.ptr, part.len);
    s->line_len += part.len;
}

enum line_result { LINE_NONE, LINE_OK, LINE_LONG };

/* Takes a line from the input; *line is without its end. CRLF ends it, and LF alone, for people
 * with a terminal. */
static enum line_result take_line(struct pop3s *s, str_t *line)
{
    size_t at;
    if (!str_find(s->in, '\n', &at)) {
        line_add(s, s->in);
        s->in = STR_NONE;
        return LINE_NONE;
    }
    str_t part = str_first(s->in, at + 1);
    s->in = str_from(s->in, at + 1);
    if (s->line_len == 0 && !s->discarding && part.len <= POP3S_LINE_MAX) {
        *line = part;
    } else {
        line_add(s, part);
        *line = str_of(s->line, s->line_len);
    }
    bool too_long = s->discarding;
    s->line_len = s->discarded = 0;
    s->discarding = false;
    if (too_long)
        return LINE_LONG;
    line->len--;
    if (str_ends(*line, STR("\r")))
        line->len--;
    return LINE_OK;
}

/* The hello of TLS: no line may ever end it. */
static bool tls_hello(const struct pop3s *s)
{
    return s->state != POP3S_ST_TRANSACTION && s->line_len == 0 && !s->discarding &&
           s->in.len > 0 && s->in.ptr[0] == 22;
}

static enum pop3s_event next_command(struct pop3s *s)
{
    str_t line;
    if (tls_hello(s)) {
        pop3s_bad(s, "this is a POP3 server, and here it speaks no TLS");
        s->closing = true;
        return POP3S_IDLE;
    }
    enum line_result r = take_line(s, &line);
    if (s->closing || r == LINE_NONE)
        return POP3S_IDLE;
    if (r == LINE_OK)
        return pop3s_run(s, line);
    pop3s_bad(s, "line too long");
    return POP3S_IDLE;
}

static enum pop3s_event produce(struct pop3s *s)
{
    if (s->producing == POP3S_MESSAGE)
        return POP3S_CONTENT;
    pop3s_list_some(s);
    return POP3S_IDLE;
}

enum pop3s_event pop3s_next(struct pop3s *s)
{
    must(s->waiting == POP3S_IDLE);
    for (;;) {
        if (s->out.failed)
            s->closing = true; /* no memory: an answer cut off is no answer */
        if (s->closing)
            return POP3S_CLOSE;
        if (s->out.len >= POP3S_WATERMARK)
            return POP3S_FLUSH;
        if (s->producing == POP3S_NOTHING && s->in.len == 0)
            return POP3S_IDLE;
        enum pop3s_event ev = s->producing != POP3S_NOTHING ? produce(s) : next_command(s);
        s->waiting = ev;
        if (ev != POP3S_IDLE)
            return ev;
    }
}
