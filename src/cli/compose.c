/* compose.c: see compose.h. */
#include "cli/compose.h"

#include <errno.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/utf8.h"
#include "mail/date.h"
#include "mail/header.h"

static int read_all(struct cli *c, int fd, struct buf *out)
{
    for (;;) {
        char *to = buf_room(out, 65536);
        if (to == NULL)
            return cli_fail(c, CLI_FAILED, "the message is larger than 64 MiB");
        ssize_t n = read(fd, to, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cli_fail(c, CLI_FAILED, "cannot read the message: %s", strerror(errno));
        if (n == 0)
            return CLI_OK;
        out->len += (size_t)n;
    }
}

/* Every LF, CR and CRLF becomes CRLF (RFC 5321 2.3.8); the text ends with one. */
static void add_crlf(struct buf *out, str_t s)
{
    size_t start = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '\n' && s.ptr[i] != '\r')
            continue;
        buf_add(out, str_of(s.ptr + start, i - start));
        buf_add(out, STR("\r\n"));
        if (s.ptr[i] == '\r' && i + 1 < s.len && s.ptr[i + 1] == '\n')
            i++;
        start = i + 1;
    }
    if (start < s.len) {
        buf_add(out, str_from(s, start));
        buf_add(out, STR("\r\n"));
    }
}

/* Subject text as an encoded word where it is not plain ASCII (RFC 2047), else as it is without
 * line ends. */
static void add_subject(struct buf *out, str_t s)
{
    buf_add(out, STR("Subject:"));
    if (str_ascii(s)) {
        buf_addc(out, ' ');
        for (size_t i = 0; i < s.len; i++)
            buf_addc(out, s.ptr[i] == '\r' || s.ptr[i] == '\n' ? ' ' : s.ptr[i]);
        buf_add(out, STR("\r\n"));
        return;
    }
    /* 45 bytes make 60 characters of base64: an encoded word is at most 75 (2047 2); never inside a
     * character */
    while (s.len > 0) {
        size_t n = s.len < 45 ? s.len : 45;
        while (n > 1 && n < s.len && ((unsigned char)s.ptr[n] & 0xc0) == 0x80)
            n--;
        buf_add(out, STR(" =?utf-8?B?"));
        base64_encode(out, str_first(s, n));
        buf_add(out, STR("?=\r\n"));
        s = str_from(s, n);
    }
}

static void add_missing(struct cli *c, const struct compose *m, str_t header, struct buf *out)
{
    char date[MAIL_DATE_MAX];
    unsigned char id[12];
    if (header_count(header, STR("From")) == 0)
        buf_addf(out, "From: <" STR_FMT ">\r\n", STR_ARG(m->from));
    for (size_t i = 0; i < m->nto && header_count(header, STR("To")) == 0; i++)
        buf_addf(out, "%s <" STR_FMT ">%s\r\n", i == 0 ? "To:" : "", STR_ARG(m->to[i]),
                 i + 1 < m->nto ? "," : "");
    if (m->has_subject)
        add_subject(out, m->subject);
    if (header_count(header, STR("Date")) == 0)
        buf_addf(out, "Date: %s\r\n", mail_date(c->env.wall_ms(&c->env), date));
    if (header_count(header, STR("Message-ID")) == 0) {
        c->env.random(&c->env, id, sizeof id);
        buf_add(out, STR("Message-ID: <"));
        hex_encode(out, str_of(id, sizeof id));
        buf_addf(out, "@" STR_FMT ">\r\n", STR_ARG(c->settings.hostname));
    }
}

int compose_message(struct cli *c, const struct compose *m, int fd, struct buf *out)
{
    struct buf raw, text;
    buf_init(&raw, COMPOSE_INPUT_MAX);
    buf_init(&text, 2 * COMPOSE_INPUT_MAX + 2);
    int code = CLI_OK;
    if (m->has_body)
        buf_add(&raw, m->body);
    else
        code = read_all(c, fd, &raw);
    add_crlf(&text, buf_str(&raw));
    str_t all = buf_str(&text);
    struct header_field field;
    str_t rest = all;
    bool has_header = !m->has_body && header_next(&rest, &field);
    str_t header = has_header ? str_first(all, header_length(all)) : STR_NONE;
    add_missing(c, m, header, out);
    if (!has_header) {
        if (!str_ascii(all))
            buf_add(out, STR("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                             "Content-Transfer-Encoding: 8bit\r\n"));
        buf_add(out, STR("\r\n"));
    }
    buf_add(out, all);
    if (code == CLI_OK && (raw.failed || text.failed || out->failed))
        code = cli_fail(c, CLI_FAILED, "the message is larger than 64 MiB");
    buf_free(&raw);
    buf_free(&text);
    return code;
}
