/* send_options.c: see send_options.h. One row an option. */
#include "cli/send_options.h"

#include "cli/sendmail_message.h"

enum { SIZE_MAX_MADE = 64 << 20 }; /* of a body that is made up: what may be read, too */

typedef bool option_set(struct send_options *o, struct arena *a, const char *value);

static bool add(str_t *list, size_t *n, str_t value)
{
    if (*n == SEND_LIST_MAX)
        return false;
    list[(*n)++] = value;
    return true;
}

static bool add_address(str_t *list, size_t *n, struct arena *a, const char *value)
{
    str_t address;
    return sendmail_one_address(str_c(value), a, &address) && add(list, n, address);
}

static bool set_to(struct send_options *o, struct arena *a, const char *value)
{
    return add_address(o->to, &o->message.nto, a, value);
}

static bool set_cc(struct send_options *o, struct arena *a, const char *value)
{
    return add_address(o->cc, &o->message.ncc, a, value);
}

static bool set_bcc(struct send_options *o, struct arena *a, const char *value)
{
    return add_address(o->bcc, &o->nbcc, a, value);
}

static bool set_from(struct send_options *o, struct arena *a, const char *value)
{
    struct compose *m = &o->message;
    m->from_header = STR_NONE;
    if (str_eq(str_trim(str_c(value)), STR("<>"))) {
        m->from = str_of("", 0);
        return true;
    }
    if (!sendmail_one_address(str_c(value), a, &m->from))
        return false;
    if (strpbrk(value, "\r\n") == NULL && strchr(value, '<') != NULL)
        m->from_header = str_c(value);
    return true;
}

static bool set_subject(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    o->message.subject = str_c(value);
    o->message.has_subject = true;
    return true;
}

static bool set_body(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    o->message.body = str_c(value);
    o->message.has_body = true;
    return true;
}

static bool set_size(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    return str_u64(str_c(value), SIZE_MAX_MADE, &o->message.size) && o->message.size > 0;
}

static bool set_header(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    return compose_header_ok(str_c(value)) && add(o->headers, &o->message.nheaders, str_c(value));
}

static bool set_attach(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    if (o->message.nfiles == SEND_LIST_MAX)
        return false;
    o->files[o->message.nfiles++] = value;
    return true;
}

static bool set_server(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    o->server = value;
    return *value != '\0';
}

static bool set_tls(struct send_options *o, struct arena *a, const char *value)
{
    static const char *const known[] = {"try", "none", "starttls", "implicit", "verify"};
    (void)a;
    o->tls = value;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(value, known[i]) == 0)
            return true;
    return false;
}

static bool set_ca_file(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    o->ca_file = value;
    o->verify = true;
    return true;
}

static bool set_tls_name(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    o->tls_name = value;
    return true;
}

static bool set_cert(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    o->cert = value;
    return true;
}

static bool set_key(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    o->key = value;
    return true;
}

static bool set_auth(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    o->user = value;
    return *value != '\0';
}

static bool set_mech(struct send_options *o, struct arena *a, const char *value)
{
    char *upper = arena_cstr(a, str_c(value));
    for (char *c = upper; c != NULL && *c != '\0'; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    o->mech = upper;
    return upper != NULL && *value != '\0';
}

static bool set_helo(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    o->helo = value;
    return *value != '\0' && strpbrk(value, " \t\r\n") == NULL;
}

static bool set_dsn(struct send_options *o, struct arena *a, const char *value)
{
    str_t rest = str_c(value), word;
    (void)a;
    o->notify = 0;
    for (bool more = true; more;) {
        more = str_cut(&rest, ',', &word);
        if (!more)
            word = rest;
        unsigned bit = str_ieq(word, STR("never"))     ? SMTPC_NOTIFY_NEVER
                       : str_ieq(word, STR("success")) ? SMTPC_NOTIFY_SUCCESS
                       : str_ieq(word, STR("failure")) ? SMTPC_NOTIFY_FAILURE
                       : str_ieq(word, STR("delay"))   ? SMTPC_NOTIFY_DELAY
                                                       : 0u;
        if (bit == 0)
            return false;
        o->notify = (uint8_t)(o->notify | bit);
    }
    return (o->notify & SMTPC_NOTIFY_NEVER) == 0 || o->notify == SMTPC_NOTIFY_NEVER;
}

static bool set_ret(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    o->ret = strcmp(value, "full") == 0   ? SMTPC_RET_FULL
             : strcmp(value, "hdrs") == 0 ? SMTPC_RET_HDRS
                                          : SMTPC_RET_NONE;
    return o->ret != SMTPC_RET_NONE;
}

static bool set_envid(struct send_options *o, struct arena *a, const char *value)
{
    (void)a;
    o->envid = str_c(value);
    for (size_t i = 0; i < o->envid.len; i++)
        if (value[i] <= ' ' || value[i] >= 0x7f)
            return false;
    return o->envid.len > 0 && o->envid.len <= SMTPC_ENVID_MAX;
}

static const struct {
    const char *name;
    option_set *set;
    const char *wants;
} rows[] = {
    {"--to", set_to, "an address, at most 1000 times"},
    {"--cc", set_cc, "an address"},
    {"--bcc", set_bcc, "an address"},
    {"--from", set_from, "an address, with a name if you like: 'Anna <anna@example.org>'; or <>"},
    {"--subject", set_subject, ""},
    {"--body", set_body, ""},
    {"--size", set_size, "a number of bytes, at most 67108864"},
    {"--header", set_header, "'Name: value'"},
    {"--attach", set_attach, "a file"},
    {"--server", set_server, "HOST, HOST:PORT, or the path of a socket"},
    {"--tls", set_tls, "try, none, starttls, implicit or verify"},
    {"--ca-file", set_ca_file, "a file of trusted certificates (PEM)"},
    {"--tls-name", set_tls_name, "the name that the certificate must have"},
    {"--cert", set_cert, "a client certificate (PEM)"},
    {"--key", set_key, "its key (PEM)"},
    {"--auth", set_auth, "the name to log in with"},
    {"--auth-mech", set_mech, "a mechanism, such as PLAIN or SCRAM-SHA-256"},
    {"--helo", set_helo, "a name"},
    {"--dsn", set_dsn, "never, or of success,failure,delay those you want"},
    {"--dsn-return", set_ret, "full or hdrs"},
    {"--envid", set_envid, "an envelope id: 1 to 100 printable characters"},
};

static bool take_flag(struct send_options *o, const char *word)
{
    if (strcmp(word, "-v") == 0 || strcmp(word, "--verbose") == 0)
        o->verbose = true;
    else if (strcmp(word, "--lmtp") == 0)
        o->lmtp = true;
    else if (strcmp(word, "--verify") == 0)
        o->verify = true;
    else if (strcmp(word, "--no-verify") == 0)
        o->no_verify = true;
    else if (strcmp(word, "--password-stdin") == 0)
        o->password_stdin = true;
    else
        return false;
    return true;
}

static bool unknown(struct cli *c, const char *word)
{
    const char *names[sizeof rows / sizeof rows[0]];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        names[i] = rows[i].name;
    const char *near = cli_nearest(word, names, sizeof rows / sizeof rows[0]);
    cli_fail(c, CLI_USAGE, "`send` has no \"%s\"%s%s%s", word,
             near != NULL ? "; did you mean " : "", near != NULL ? near : "",
             near != NULL ? "?" : "");
    return false;
}

/* "--name VALUE" or "--name=VALUE". */
static bool take(struct cli *c, struct send_options *o, int argc, char **argv, int *i)
{
    const char *word = argv[*i];
    size_t n = strcspn(word, "=");
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        if (strlen(rows[r].name) != n || strncmp(word, rows[r].name, n) != 0)
            continue;
        const char *value = word[n] == '=' ? word + n + 1 : *i + 1 < argc ? argv[++*i] : NULL;
        if (value != NULL && rows[r].set(o, &c->arena, value))
            return true;
        cli_fail(c, CLI_USAGE, "%s wants %s", rows[r].name,
                 rows[r].wants[0] != '\0' ? rows[r].wants : "a value");
        return false;
    }
    return unknown(c, word);
}

static bool fits_together(struct cli *c, const struct send_options *o)
{
    const char *wrong =
        o->message.nto + o->message.ncc + o->nbcc == 0 ? "nobody to send to; --to names them"
        : o->mech != NULL && o->user == NULL           ? "--auth-mech needs --auth USER"
        : o->password_stdin && o->user == NULL         ? "--password-stdin needs --auth USER"
        : (o->cert == NULL) != (o->key == NULL)        ? "--cert and --key go together"
        : o->verify && o->no_verify                    ? "--verify or --no-verify, not both"
                                                       : NULL;
    if (wrong != NULL)
        cli_fail(c, CLI_USAGE, "%s", wrong);
    return wrong == NULL;
}

bool send_options_parse(struct cli *c, int argc, char **argv, struct send_options *o)
{
    *o = (struct send_options){0};
    o->message.from.ptr = NULL; /* not given; <> has a pointer */
    o->to = arena_array(&c->arena, SEND_LIST_MAX, sizeof *o->to);
    o->cc = arena_array(&c->arena, SEND_LIST_MAX, sizeof *o->cc);
    o->bcc = arena_array(&c->arena, SEND_LIST_MAX, sizeof *o->bcc);
    o->headers = arena_array(&c->arena, SEND_LIST_MAX, sizeof *o->headers);
    o->files = arena_array(&c->arena, SEND_LIST_MAX, sizeof *o->files);
    if (c->arena.failed) {
        cli_fail(c, CLI_LATER, "out of memory");
        return false;
    }
    for (int i = 1; i < argc; i++)
        if (!take_flag(o, argv[i]) && !take(c, o, argc, argv, &i))
            return false;
    o->message.to = o->to;
    o->message.cc = o->cc;
    o->message.headers = o->headers;
    o->message.files = o->files;
    return fits_together(c, o);
}
