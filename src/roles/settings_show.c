/* settings_show.c: all settings for people, for programs, and as a manual page. See settings.h. */
#include "roles/settings_table.h"

static bool quoted_kind(enum settings_kind kind)
{
    return kind != SETTINGS_BOOL && kind != SETTINGS_PORT && kind != SETTINGS_PORTS &&
           kind != SETTINGS_NUMBER && kind != SETTINGS_DURATION && kind != SETTINGS_SIZE;
}

/* ---- the file's own syntax ---- */

/* A string in double quotes as libconfuse reads it: \ before what would end it; "$" would start a
 * variable. */
static void add_quoted(struct buf *out, str_t s)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\\' || s.ptr[i] == '$')
            buf_addc(out, '\\');
        buf_addc(out, s.ptr[i]);
    }
    buf_addc(out, '"');
}

static void add_element(const struct settings_row *row, const struct settings *s, size_t i,
                        struct buf *out)
{
    struct buf text;
    buf_init(&text, 4096);
    settings_value_text(row, s, i, &text);
    if (quoted_kind(row->kind))
        add_quoted(out, buf_str(&text));
    else
        buf_add(out, buf_str(&text));
    buf_free(&text);
}

static void add_value(const struct settings_row *row, const struct settings *s, struct buf *out)
{
    if (row->list_max == 0) {
        add_element(row, s, 0, out);
        return;
    }
    buf_addc(out, '{');
    for (size_t i = 0; i < settings_value_count(row, s); i++) {
        if (i > 0)
            buf_add(out, STR(", "));
        add_element(row, s, i, out);
    }
    buf_addc(out, '}');
}

/* The defaults, to compare with. */
static bool presets(struct arena *a, struct settings *out)
{
    *out = (struct settings){0};
    for (size_t i = 0; i < settings_n_rows; i++)
        if (!settings_value_preset(&settings_rows[i], a, out))
            return false;
    return true;
}

static void show_row(const struct settings_row *row, const struct settings *s,
                     const struct settings *preset, struct buf *out)
{
    struct buf now, was;
    buf_init(&now, 64 * 1024);
    buf_init(&was, 64 * 1024);
    add_value(row, s, &now);
    add_value(row, preset, &was);
    buf_addf(out, "%s = ", row->name);
    buf_add(out, buf_str(&now));
    if (row->kind != SETTINGS_HOST && !str_eq(buf_str(&now), buf_str(&was))) {
        buf_add(out, STR("   # default: "));
        buf_add(out, buf_str(&was));
    }
    buf_addc(out, '\n');
    buf_free(&now);
    buf_free(&was);
}

static void show_text(const struct settings *s, const struct settings *preset, struct buf *out)
{
    for (size_t i = 0; i < settings_n_rows; i++)
        show_row(&settings_rows[i], s, preset, out);
    for (size_t i = 0; i < s->n_routes; i++) {
        const struct settings_route *r = &s->routes[i];
        buf_add(out, STR("route "));
        add_quoted(out, r->domain);
        buf_add(out, STR(" { host = "));
        add_quoted(out, r->host);
        buf_addf(out, " port = %u mx = %s }\n", r->port, r->use_mx ? "yes" : "no");
    }
    for (size_t i = 0; i < s->n_certificates; i++) {
        const struct settings_certificate *c = &s->certificates[i];
        buf_add(out, STR("certificate "));
        add_quoted(out, c->name);
        buf_add(out, STR(" { chain = "));
        add_quoted(out, c->chain);
        buf_add(out, STR(" key = "));
        add_quoted(out, c->key);
        buf_add(out, STR(" }\n"));
    }
}

/* ---- JSON (RFC 8259) ---- */

static void add_json(struct buf *out, str_t s)
{
    buf_addc(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", c);
        /* a path may hold any byte: shown as if Latin-1 */
        else if (c < ' ' || c >= 0x7f)
            buf_addf(out, "\\u%04x", c);
        else
            buf_addc(out, (char)c);
    }
    buf_addc(out, '"');
}

static void json_element(const struct settings_row *row, const struct settings *s, size_t i,
                         struct buf *out)
{
    struct buf text;
    buf_init(&text, 4096);
    settings_value_text(row, s, i, &text);
    if (row->kind == SETTINGS_BOOL)
        buf_add(out, str_eq(buf_str(&text), STR("yes")) ? STR("true") : STR("false"));
    else if (row->kind == SETTINGS_NUMBER || row->kind == SETTINGS_PORT ||
             row->kind == SETTINGS_PORTS)
        buf_add(out, buf_str(&text));
    else
        add_json(out, buf_str(&text));
    buf_free(&text);
}

static void json_value(const struct settings_row *row, const struct settings *s, struct buf *out)
{
    if (row->list_max == 0) {
        json_element(row, s, 0, out);
        return;
    }
    buf_addc(out, '[');
    for (size_t i = 0; i < settings_value_count(row, s); i++) {
        if (i > 0)
            buf_addc(out, ',');
        json_element(row, s, i, out);
    }
    buf_addc(out, ']');
}

static void show_json(const struct settings *s, const struct settings *preset, struct buf *out)
{
    buf_addc(out, '{');
    for (size_t i = 0; i < settings_n_rows; i++) {
        const struct settings_row *row = &settings_rows[i];
        buf_addf(out, "\"%s\":{\"value\":", row->name);
        json_value(row, s, out);
        buf_add(out, STR(",\"default\":"));
        json_value(row, preset, out);
        buf_add(out, STR(",\"help\":"));
        add_json(out, str_c(row->help));
        buf_add(out, STR("},\n"));
    }
    buf_add(out, STR("\"route\":{\"value\":["));
    for (size_t i = 0; i < s->n_routes; i++) {
        const struct settings_route *r = &s->routes[i];
        buf_add(out, i > 0 ? STR(",{\"domain\":") : STR("{\"domain\":"));
        add_json(out, r->domain);
        buf_add(out, STR(",\"host\":"));
        add_json(out, r->host);
        buf_addf(out, ",\"port\":%u,\"mx\":%s}", r->port, r->use_mx ? "true" : "false");
    }
    buf_add(out, STR("],\"default\":[]},\n\"certificate\":{\"value\":["));
    for (size_t i = 0; i < s->n_certificates; i++) {
        const struct settings_certificate *c = &s->certificates[i];
        buf_add(out, i > 0 ? STR(",{\"name\":") : STR("{\"name\":"));
        add_json(out, c->name);
        buf_add(out, STR(",\"chain\":"));
        add_json(out, c->chain);
        buf_add(out, STR(",\"key\":"));
        add_json(out, c->key);
        buf_addc(out, '}');
    }
    buf_add(out, STR("],\"default\":[]}}\n"));
}

bool settings_show(const struct settings *s, bool json, struct buf *out)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct settings *preset = arena_alloc(&a, sizeof *preset);
    bool good = preset != NULL && presets(&a, preset);
    if (good && json)
        show_json(s, preset, out);
    else if (good)
        show_text(s, preset, out);
    arena_free(&a);
    return good && !out->failed;
}

/* ---- the manual page ---- */

/* roff: a hyphen is a minus sign unless it is of a word; a dot or quote at a line's start is a
 * request. */
static void add_roff(struct buf *out, str_t s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '\\')
            buf_add(out, STR("\\e"));
        else if (c == '-')
            buf_add(out, STR("\\-"));
        else if ((c == '.' || c == '\'') && (i == 0 || s.ptr[i - 1] == '\n'))
            buf_addf(out, "\\&%c", c);
        else
            buf_addc(out, c);
    }
}

static void manual_row(const struct settings_row *row, const struct settings *preset,
                       struct buf *out)
{
    struct buf text;
    buf_init(&text, 4096);
    buf_addf(out, ".TP\n.B %s\n", row->name);
    add_roff(out, str_c(row->help));
    buf_add(out, STR("\nIt is "));
    settings_value_allowed(row, &text);
    add_roff(out, buf_str(&text));
    buf_clear(&text);
    if (row->kind != SETTINGS_HOST) {
        buf_add(out, STR("; default "));
        add_value(row, preset, &text);
        buf_add(out, STR("\\fB"));
        add_roff(out, buf_str(&text));
        buf_add(out, STR("\\fR"));
    }
    buf_add(out, STR(".\n"));
    buf_free(&text);
}

bool settings_manual(struct buf *out)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct settings *preset = arena_alloc(&a, sizeof *preset);
    bool good = preset != NULL && presets(&a, preset);
    buf_add(out, STR(".TH POSTRIDER.CONF 5 \"\" \"postrider " POSTRIDER_VERSION "\"\n"
                     ".SH NAME\npostrider.conf \\- settings of the postrider mail system\n"
                     ".SH DESCRIPTION\nThe file is optional: every setting has a default. Each "
                     "line is\n.PP\n"
                     ".RS\n.nf\nname = value\nname = {\"value\", \"value\"}   # a list; {} is an "
                     "empty one\n.fi\n.RE\n.PP\n"
                     "What follows a # is a comment. Values with other characters than letters, "
                     "digits, dots, hyphens and slashes "
                     "are put in quotes. Durations are seconds, or numbers with s, m, h or d; "
                     "sizes are bytes, or numbers with "
                     "K, M or G (of 1024). A change takes effect when the server is started again. "
                     "Domains, accounts and aliases "
                     "are not set here but with\n.BR postrider (1),\nwhile the server runs.\n.SH "
                     "SETTINGS\n"));
    for (size_t i = 0; good && i < settings_n_rows; i++)
        manual_row(&settings_rows[i], preset, out);
    buf_add(out,
            STR(".TP\n.B route \\(dqDOMAIN\\(dq { host = \\(dqNAME\\(dq port = 25 mx = no }\n"
                "Mail for the domain goes to that host instead of where the DNS says; with mx "
                "= yes to the mail servers "
                "(MX) of that name. A route for \"*\" takes all domains that have none of "
                "their own: a smarthost. "
                "There may be many.\n"
                ".TP\n.B certificate \\(dqNAME\\(dq { chain = \\(dqFILE\\(dq key = "
                "\\(dqFILE\\(dq }\n"
                "A certificate that lies elsewhere than in tls_dir, as certbot's: chain is its "
                "fullchain.pem, key its privkey.pem. It is given to clients that ask for NAME "
                "or a name in it. The one for hostname is also for clients that ask for no "
                "name. There may be many.\n"
                ".SH EXAMPLE\n.nf\nhostname = \"mail.example.org\"\nlisten_smtp = "
                "{\"0.0.0.0:25\", \"[::]:25\"}\n"
                "message_size_max = 100M\nroute \"example.net\" { host = "
                "\"smart.example.net\" port = 2525 }\n.fi\n"
                ".SH SEE ALSO\n.BR postrider (1)\n"));
    arena_free(&a);
    return good && !out->failed;
}
