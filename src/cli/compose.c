/* compose.c: see compose.h. */
#include "cli/compose.h"

#include <errno.h>
#include <unistd.h>

#include "base/codec.h"
#include "base/utf8.h"
#include "cli/encoded.h"
#include "mail/date.h"
#include "mail/header.h"

enum {
    LINE_MAX = 998, /* RFC 5322 2.1.1 */
    FILLER = 76,    /* of a body that is made up: bytes of a line with its end */
};

bool compose_read(struct cli *c, int fd, const char *what, struct buf *out)
{
    for (;;) {
        char *to = buf_room(out, 65536);
        if (to == NULL) {
            cli_fail(c, CLI_FAILED, "%s is larger than 64 MiB", what);
            return false;
        }
        ssize_t n = read(fd, to, 65536);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            cli_fail(c, CLI_FAILED, "cannot read %s: %s", what, strerror(errno));
            return false;
        }
        if (n == 0)
            return true;
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

static void add_filler(struct buf *out, uint64_t size)
{
    while (size > 0 && !out->failed) {
        size_t n = size < FILLER ? (size_t)size : FILLER;
        for (size_t i = 0; i + 2 < n; i++)
            buf_addc(out, (char)('a' + i % 26));
        buf_add(out, STR("\r\n"));
        size -= n > 2 ? n : size;
    }
}

/* ---- the text ---- */

static bool long_line(str_t s)
{
    size_t at = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\n')
            at = i + 1;
        else if (i - at > LINE_MAX)
            return true;
    }
    return false;
}

/* Content-Type and -Transfer-Encoding, an empty line, the text as these say. */
static void compose_text(str_t text, struct buf *out)
{
    bool ascii = str_ascii(text), plain = ascii && !long_line(text);
    const char *charset = ascii ? "us-ascii" : utf8_valid(text) ? "utf-8" : "unknown-8bit";
    buf_addf(out,
             "Content-Type: text/plain; charset=%s\r\n"
             "Content-Transfer-Encoding: %s\r\n\r\n",
             charset, plain ? "7bit" : "quoted-printable");
    if (plain)
        buf_add(out, text);
    else
        qp_encode(out, text);
}

/* ---- the header ---- */

bool compose_header_ok(str_t line)
{
    struct header_field f;
    struct buf b;
    buf_init(&b, line.len + 3);
    buf_add(&b, line);
    buf_add(&b, STR("\r\n"));
    str_t rest = buf_str(&b);
    bool ok = !b.failed && header_next(&rest, &f) && rest.len == 0;
    buf_free(&b);
    return ok;
}

/* By the message's own header, or by --header. */
static bool has(const struct compose *m, str_t header, str_t name)
{
    if (header_count(header, name) > 0)
        return true;
    for (size_t i = 0; i < m->nheaders; i++) {
        str_t rest = m->headers[i], given;
        if (str_cut(&rest, ':', &given) && str_ieq(str_trim(given), name))
            return true;
    }
    return false;
}

static void add_addresses(struct buf *out, const char *name, const str_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i == 0)
            buf_addf(out, "%s:", name);
        buf_addf(out, " <" STR_FMT ">%s\r\n", STR_ARG(list[i]), i + 1 < n ? "," : "");
    }
}

/* "Name <address>" as it was given; a name that is not ASCII as encoded words. */
static void add_from(struct buf *out, const struct compose *m)
{
    size_t at;
    buf_add(out, STR("From: "));
    if (m->from_header.len > 0 && str_ascii(m->from_header)) {
        buf_add(out, m->from_header);
    } else {
        if (str_rfind(m->from_header, '<', &at)) {
            str_t name = str_trim(str_first(m->from_header, at));
            if (name.len >= 2 && name.ptr[0] == '"' && name.ptr[name.len - 1] == '"')
                name = str_of(name.ptr + 1, name.len - 2);
            encoded_words(out, name);
            buf_addc(out, ' ');
        }
        buf_addf(out, "<" STR_FMT ">", STR_ARG(m->from));
    }
    buf_add(out, STR("\r\n"));
}

static void add_given(struct buf *out, str_t line)
{
    str_t rest = line, name;
    if (!str_cut(&rest, ':', &name))
        return;
    buf_add(out, str_trim(name));
    buf_addc(out, ':');
    encoded_field(out, str_trim(rest));
}

static void add_missing(struct cli *c, const struct compose *m, str_t header, struct buf *out)
{
    char date[MAIL_DATE_MAX];
    unsigned char id[12];
    if (!has(m, header, STR("From")))
        add_from(out, m);
    if (!has(m, header, STR("To")))
        add_addresses(out, "To", m->to, m->nto);
    add_addresses(out, "Cc", m->cc, m->ncc);
    if (m->has_subject) {
        buf_add(out, STR("Subject:"));
        encoded_field(out, m->subject);
    }
    if (!has(m, header, STR("Date")))
        buf_addf(out, "Date: %s\r\n", mail_date(c->env.wall_ms(&c->env), date));
    if (!has(m, header, STR("Message-ID"))) {
        c->env.random(&c->env, id, sizeof id);
        buf_add(out, STR("Message-ID: <"));
        hex_encode(out, str_of(id, sizeof id));
        buf_addf(out, "@" STR_FMT ">\r\n", STR_ARG(c->settings.hostname));
    }
    for (size_t i = 0; i < m->nheaders; i++)
        add_given(out, m->headers[i]);
}

/* ---- all of it ---- */

static bool add_parts(struct cli *c, const struct compose *m, str_t text, struct buf *out)
{
    unsigned char random[18];
    struct buf boundary;
    bool ok = true;
    buf_init(&boundary, 64);
    c->env.random(&c->env, random, sizeof random);
    hex_encode(&boundary, str_of(random, sizeof random)); /* is in no text by chance */
    buf_addf(out,
             "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"=_" STR_FMT
             "\"\r\n\r\n--=_" STR_FMT "\r\n",
             STR_ARG(buf_str(&boundary)), STR_ARG(buf_str(&boundary)));
    compose_text(text, out);
    for (size_t i = 0; ok && i < m->nfiles; i++) {
        buf_addf(out, "\r\n--=_" STR_FMT "\r\n", STR_ARG(buf_str(&boundary)));
        ok = compose_file(c, m->files[i], out);
    }
    buf_addf(out, "\r\n--=_" STR_FMT "--\r\n", STR_ARG(buf_str(&boundary)));
    buf_free(&boundary);
    return ok;
}

static bool add_all(struct cli *c, const struct compose *m, str_t text, struct buf *out)
{
    struct header_field field;
    str_t rest = text;
    bool own = !m->has_body && m->size == 0 && m->nfiles == 0 && header_next(&rest, &field);
    str_t header = own ? str_first(text, header_length(text)) : STR_NONE;
    add_missing(c, m, header, out);
    if (m->nfiles > 0)
        return add_parts(c, m, text, out);
    if (own) {
        buf_add(out, text);
        return true;
    }
    if (!str_ascii(text) || long_line(text)) {
        buf_add(out, STR("MIME-Version: 1.0\r\n"));
        compose_text(text, out);
    } else {
        buf_add(out, STR("\r\n"));
        buf_add(out, text);
    }
    return true;
}

int compose_message(struct cli *c, const struct compose *m, int fd, struct buf *out)
{
    struct buf raw, text;
    buf_init(&raw, COMPOSE_INPUT_MAX);
    buf_init(&text, 2 * COMPOSE_INPUT_MAX + 2);
    bool ok = true;
    if (m->size > 0)
        add_filler(&text, m->size);
    else if (m->has_body)
        add_crlf(&text, m->body);
    else if ((ok = compose_read(c, fd, "the message", &raw)))
        add_crlf(&text, buf_str(&raw));
    ok = ok && add_all(c, m, buf_str(&text), out);
    int code = ok ? CLI_OK : CLI_FAILED;
    if (ok && (text.failed || out->failed))
        code = cli_fail(c, CLI_FAILED, "the message is larger than 64 MiB");
    buf_free(&raw);
    buf_free(&text);
    return code;
}
