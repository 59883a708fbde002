/* sendmail_message.c: see sendmail_message.h: line ends, recipients. */
#include "cli/sendmail_message.h"

#include "base/utf8.h"
#include "cli/encoded.h"
#include "mail/address.h"
#include "mail/header.h"

/* ---- lines ---- */

static void line_ended(struct sendmail_lines *l, struct buf *out)
{
    if (!l->ignore_dots && out->len - l->line_at == 1 && out->ptr[l->line_at] == '.') {
        out->len = l->line_at;
        l->ended = true;
        return;
    }
    buf_add(out, STR("\r\n"));
    l->line_at = out->len;
}

void sendmail_lines_add(struct sendmail_lines *l, str_t bytes, struct buf *out)
{
    size_t start = 0;
    for (size_t i = 0; i < bytes.len && !l->ended; i++) {
        char c = bytes.ptr[i];
        if (c != '\n' && c != '\r') {
            l->after_cr = false;
            continue;
        }
        if (c == '\n' && l->after_cr) { /* its line has ended */
            l->after_cr = false;
            start = i + 1;
            continue;
        }
        l->after_cr = c == '\r';
        buf_add(out, str_of(bytes.ptr + start, i - start));
        line_ended(l, out);
        start = i + 1;
    }
    if (!l->ended)
        buf_add(out, str_from(bytes, start));
}

void sendmail_lines_end(struct sendmail_lines *l, struct buf *out)
{
    if (!l->ended && out->len > l->line_at)
        line_ended(l, out);
    l->ended = true;
}

str_t sendmail_skip_from_line(str_t content)
{
    size_t at;
    if ((str_starts(content, STR("From ")) || str_starts(content, STR(">From "))) &&
        str_find(content, '\n', &at))
        return str_from(content, at + 1);
    return content;
}

/* ---- addresses ---- */

/* RFC 5322 3.2.3, and UTF-8; dots between. */
static bool is_bare_name(str_t s)
{
    if (s.len == 0 || s.ptr[0] == '.' || s.ptr[s.len - 1] == '.')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool known = c >= 0x80 || ascii_alpha((char)c) || ascii_digit((char)c) ||
                     memchr("!#$%&'*+-/=?^_`{|}~.", c, 20) != NULL;
        if (!known || (c == '.' && s.ptr[i - 1] == '.'))
            return false;
    }
    return true;
}

/* "root": no domain, and nothing between its characters. */
static bool is_bare(const struct mail_address *m)
{
    return !m->sound && m->raw.len == m->text.len && is_bare_name(m->text);
}

static bool has_recipient(const struct sendmail_message *m, str_t address)
{
    for (size_t i = 0; i < m->n; i++)
        if (str_eq(m->rcpt[i].address, address))
            return true;
    return false;
}

static bool add_recipient(struct sendmail_message *m, str_t address, unsigned notify,
                          struct arena *a, struct err *err)
{
    if (has_recipient(m, address))
        return true;
    if (m->n == SENDMAIL_RECIPIENTS_MAX) {
        (void)err_set(err, RC_PERM, "5.5.3", "more than %d recipients", SENDMAIL_RECIPIENTS_MAX);
        return false;
    }
    if (m->n == m->cap) {
        size_t cap = m->cap > 0 ? 2 * m->cap : 8;
        struct sendmail_rcpt *bigger = arena_array(a, cap, sizeof *bigger);
        if (bigger == NULL) {
            (void)err_set(err, RC_TEMP, "4.3.0", "out of memory");
            return false;
        }
        if (m->n > 0)
            memcpy(bigger, m->rcpt, m->n * sizeof *bigger);
        m->rcpt = bigger;
        m->cap = cap;
    }
    m->rcpt[m->n++] = (struct sendmail_rcpt){.address = address, .notify = (uint8_t)notify};
    return true;
}

bool sendmail_add_recipients(struct sendmail_message *m, str_t list, unsigned notify,
                             struct arena *a, struct err *err)
{
    struct mail_addresses walk = {.rest = list};
    struct mail_address found;
    while (mail_address_next(&walk, a, &found)) {
        if (!found.sound && !is_bare(&found)) {
            (void)err_set(err, RC_PERM, "5.1.3", "\"%.100s\" is no address",
                          arena_cstr(a, found.raw.len > 0 ? found.raw : str_trim(list)));
            return false;
        }
        if (!add_recipient(m, found.text, notify, a, err))
            return false;
    }
    if (a->failed || str_trim(walk.rest).len > 0) {
        (void)err_set(err, RC_TEMP, "4.3.0", "out of memory, or too many addresses");
        return false;
    }
    return true;
}

bool sendmail_header_recipients(struct sendmail_message *m, unsigned notify, struct arena *a,
                                struct err *err)
{
    static const str_t plain[] = {STR("To"), STR("Cc"), STR("Bcc")};
    static const str_t resent[] = {STR("Resent-To"), STR("Resent-Cc"), STR("Resent-Bcc")};
    str_t rest = m->content;
    struct header_field f;
    const str_t *names = plain;
    while (header_next(&rest, &f))
        for (size_t i = 0; i < 3; i++)
            if (str_ieq(f.name, resent[i]))
                names = resent;
    rest = m->content;
    while (header_next(&rest, &f))
        for (size_t i = 0; i < 3; i++)
            if (str_ieq(f.name, names[i]) && !sendmail_add_recipients(m, f.value, notify, a, err))
                return false;
    return true;
}

bool sendmail_one_address(str_t text, struct arena *a, str_t *out)
{
    struct mail_addresses walk = {.rest = text};
    struct mail_address first, second;
    if (!mail_address_next(&walk, a, &first) || mail_address_next(&walk, a, &second))
        return false;
    *out = first.text;
    return first.sound || is_bare(&first);
}

str_t sendmail_complete(str_t address, str_t host, struct arena *a)
{
    size_t at;
    if (address.len == 0 || str_rfind(address, '@', &at))
        return address;
    return arena_fmt(a, STR_FMT "@" STR_FMT, STR_ARG(address), STR_ARG(host));
}

/* ---- the header on its way out ---- */

/* The field with "@host" behind every bare name. */
static void add_completed(const struct header_field *f, str_t host, struct arena *a,
                          struct buf *out)
{
    struct mail_addresses walk = {.rest = f->value};
    struct mail_address found;
    const char *done = f->raw.ptr;
    while (mail_address_next(&walk, a, &found)) {
        if (!is_bare(&found))
            continue;
        const char *behind = found.raw.ptr + found.raw.len;
        buf_add(out, str_of(done, (size_t)(behind - done)));
        buf_addc(out, '@');
        buf_add(out, host);
        done = behind;
    }
    buf_add(out, str_of(done, (size_t)(f->raw.ptr + f->raw.len - done)));
}

static bool holds_addresses(str_t name)
{
    static const str_t names[] = {STR("From"), STR("Sender"), STR("Reply-To"),
                                  STR("To"),   STR("Cc"),     STR("Bcc")};
    if (str_istarts(name, STR("Resent-")))
        name = str_from(name, 7);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_ieq(name, names[i]))
            return true;
    return false;
}

/* RFC 5322 3.2.4: a quoted string holds any text but its own two specials; what is not ASCII is an
 * encoded word instead. */
static void add_phrase(struct buf *out, str_t s)
{
    if (!str_ascii(s)) {
        encoded_words(out, s);
        return;
    }
    buf_addc(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '"' || c == '\\')
            buf_addc(out, '\\');
        buf_addc(out, (unsigned char)c < ' ' || c == 0x7f ? ' ' : c);
    }
    buf_addc(out, '"');
}

static void add_from(const struct sendmail_message *m, str_t host, struct arena *a, struct buf *out)
{
    str_t sender = m->sender.len > 0 ? m->sender : STR("MAILER-DAEMON");
    buf_add(out, STR("From: "));
    if (m->full_name.len > 0) {
        add_phrase(out, m->full_name);
        buf_addc(out, ' ');
    }
    buf_addc(out, '<');
    buf_add(out, sendmail_complete(sender, host, a));
    buf_add(out, STR(">\r\n"));
}

bool sendmail_header(const struct sendmail_message *m, str_t host, struct arena *a, struct buf *out,
                     str_t *body)
{
    str_t rest = m->content;
    struct header_field f;
    bool from = false;
    while (header_next(&rest, &f)) {
        from = from || str_ieq(f.name, STR("From")) || str_ieq(f.name, STR("Resent-From"));
        if (holds_addresses(f.name))
            add_completed(&f, host, a, out);
        else
            buf_add(out, f.raw);
    }
    if (!from)
        add_from(m, host, a, out);
    buf_add(out, STR("\r\n"));
    *body = rest;
    return !out->failed && !a->failed;
}
