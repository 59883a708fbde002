/* settings.c: reads postrider.conf. See settings.h.
 *
 * libconfuse knows the syntax; to it each of our settings is a string or a list of strings, whose
 * meaning is our table's (settings_table.c). It calls us back after each value, while it still
 * knows the line. Its callbacks have no argument of ours, hence the one pointer below, set for the
 * time of one settings_parse in its thread. */
#include "roles/settings.h"

#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mail/domain.h"
#include "roles/settings_table.h"

enum {
    NAME_MAX_LEN = 40, /* of a setting: longer ones are not compared */
    NEAR_MOST = 3,     /* edits between a mistyped name and the one that was meant */
    ROUTE_PORT = 25,
};

struct parse {
    const char *file;
    struct arena *arena;
    struct settings *out;
    struct err *err;
    bool failed; /* *err has the first thing that is wrong */
};
static _Thread_local struct parse *parsing;

/* What a block has inside. */
static const char *const route_names[] = {"host", "port", "mx", NULL};
static const char *const certificate_names[] = {"chain", "key", NULL};
static const struct {
    const char *name;
    const char *const *names;
} blocks[] = {{"route", route_names}, {"certificate", certificate_names}};
enum { BLOCKS = sizeof blocks / sizeof *blocks };

static void fail(int line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(int line, const char *fmt, ...)
{
    char text[sizeof parsing->err->text];
    va_list ap;
    if (parsing->failed)
        return;
    parsing->failed = true;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (line > 0)
        (void)err_set(parsing->err, RC_PERM, "", "%s:%d: %s", parsing->file, line, text);
    else
        (void)err_set(parsing->err, RC_PERM, "", "%s: %s", parsing->file, text);
}

/* ---- the nearest right word ---- */

/* Levenshtein's distance, with one row of the table at a time. */
static size_t edit_distance(str_t a, str_t b)
{
    size_t row[NAME_MAX_LEN + 1];
    if (a.len > NAME_MAX_LEN || b.len > NAME_MAX_LEN)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 0; i < a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < b.len; j++) {
            size_t change = diagonal + (ascii_lower(a.ptr[i]) != b.ptr[j]);
            diagonal = row[j + 1];
            size_t insert = row[j] + 1, drop = row[j + 1] + 1;
            row[j + 1] = insert < drop ? insert : drop;
            if (change < row[j + 1])
                row[j + 1] = change;
        }
    }
    return row[b.len];
}

static void nearer(str_t word, const char *name, size_t *least, const char **best)
{
    size_t d = edit_distance(word, str_c(name));
    if (d < *least) {
        *least = d;
        *best = name;
    }
}

/* `inside`: the names of the block it is in, or NULL. */
static const char *nearest(str_t word, const char *const *inside)
{
    const char *best = NULL;
    size_t least = NEAR_MOST + 1;
    for (size_t i = 0; inside != NULL && inside[i] != NULL; i++)
        nearer(word, inside[i], &least, &best);
    for (size_t i = 0; inside == NULL && i < settings_n_rows; i++)
        nearer(word, settings_rows[i].name, &least, &best);
    for (size_t i = 0; inside == NULL && i < BLOCKS; i++)
        nearer(word, blocks[i].name, &least, &best);
    return best;
}

/* ---- libconfuse's callbacks ---- */

static void on_unknown(cfg_t *cfg, str_t name)
{
    const char *const *inside = NULL;
    for (size_t i = 0; i < BLOCKS; i++)
        if (strcmp(cfg_name(cfg), blocks[i].name) == 0)
            inside = blocks[i].names;
    const char *best = nearest(name, inside);
    if (best != NULL)
        fail(cfg->line, "there is no setting \"" STR_FMT "\"; did you mean \"%s\"?",
             STR_ARG(str_first(name, NAME_MAX_LEN)), best);
    else
        fail(cfg->line, "there is no setting \"" STR_FMT "\"; postrider config show lists all",
             STR_ARG(str_first(name, NAME_MAX_LEN)));
}

__attribute__((format(printf, 2, 0))) static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    char text[128];
    vsnprintf(text, sizeof text, fmt, ap);
    str_t said = str_c(text), unknown = STR("no such option '");
    if (!str_starts(said, unknown)) {
        fail(cfg->line, "%s", text);
        return;
    }
    said = str_from(said, unknown.len);
    on_unknown(cfg, str_first(said, said.len - str_ends(said, STR("'"))));
}

static const struct settings_row *row_of(const char *name)
{
    for (size_t i = 0; i < settings_n_rows; i++)
        if (strcmp(settings_rows[i].name, name) == 0)
            return &settings_rows[i];
    return NULL;
}

/* A value was read; of a list, one more of it, and we take the whole list again. */
static int on_value(cfg_t *cfg, cfg_opt_t *opt)
{
    char why[SETTINGS_WHY];
    const struct settings_row *row = row_of(cfg_opt_name(opt));
    must(row != NULL);
    settings_value_clear(row, parsing->out);
    for (unsigned i = 0; i < cfg_opt_size(opt); i++) {
        str_t text = str_c(cfg_opt_getnstr(opt, i));
        if (settings_value_parse(row, text, parsing->arena, parsing->out, why))
            continue;
        fail(cfg->line, "%s = \"" STR_FMT "\": %s", row->name, STR_ARG(str_first(text, 64)), why);
        return -1;
    }
    return 0;
}

static bool route_number(cfg_t *cfg, cfg_t *route, struct settings_route *r)
{
    const char *port = cfg_getstr(route, "port"), *mx = cfg_getstr(route, "mx");
    uint64_t n = ROUTE_PORT;
    if (port != NULL && (!str_u64(str_c(port), 65535, &n) || n == 0)) {
        fail(cfg->line, "route \"" STR_FMT "\": port is a number from 1 to 65535",
             STR_ARG(r->domain));
        return false;
    }
    r->port = (uint16_t)n;
    r->use_mx = false;
    if (mx != NULL && !settings_bool_parse(str_c(mx), &r->use_mx)) {
        fail(cfg->line, "route \"" STR_FMT "\": mx is yes or no", STR_ARG(r->domain));
        return false;
    }
    return true;
}

static bool route_add(cfg_t *cfg, cfg_t *route)
{
    struct settings *s = parsing->out;
    str_t domain = str_first(str_c(cfg_title(route)), 255), host = str_c(cfg_getstr(route, "host"));
    if (s->n_routes == SETTINGS_LIST_MAX) {
        fail(cfg->line, "there are more than %d routes", SETTINGS_LIST_MAX);
        return false;
    }
    struct settings_route *r = &s->routes[s->n_routes];
    struct arena *a = parsing->arena;
    /* in U-labels or A-labels; what cannot be either is no valid host below */
    r->domain = domain_to_ascii(domain, a, &domain) ? arena_dup(a, domain) : STR_NONE;
    r->host = domain_to_ascii(host, a, &host) ? arena_dup(a, host) : STR_NONE;
    if (!str_eq(domain, STR("*")) && !settings_host_valid(domain)) {
        fail(cfg->line,
             "route \"" STR_FMT "\": give a domain, or * for all that have no route of their own",
             STR_ARG(str_first(domain, 64)));
        return false;
    }
    if (!settings_host_valid(host)) {
        fail(cfg->line, "route \"" STR_FMT "\": host is missing or no host name or address",
             STR_ARG(domain));
        return false;
    }
    s->n_routes++;
    return route_number(cfg, route, r);
}

/* A route's closing brace: all of them again, see on_value. */
static int on_route(cfg_t *cfg, cfg_opt_t *opt)
{
    parsing->out->n_routes = 0;
    for (unsigned i = 0; i < cfg_opt_size(opt); i++)
        if (!route_add(cfg, cfg_opt_getnsec(opt, i)))
            return -1;
    return 0;
}

static bool certificate_add(cfg_t *cfg, cfg_t *block)
{
    struct settings *s = parsing->out;
    struct arena *a = parsing->arena;
    str_t name = str_first(str_c(cfg_title(block)), 255), chain = str_c(cfg_getstr(block, "chain")),
          key = str_c(cfg_getstr(block, "key"));
    if (s->n_certificates == SETTINGS_LIST_MAX) {
        fail(cfg->line, "there are more than %d certificates; put them into the folder tls_dir",
             SETTINGS_LIST_MAX);
        return false;
    }
    struct settings_certificate *c = &s->certificates[s->n_certificates];
    if (!domain_to_ascii(name, a, &name) || !settings_host_valid(name)) {
        fail(cfg->line, "certificate \"" STR_FMT "\": give a host name, as in \"mail.example.org\"",
             STR_ARG(str_first(name, 64)));
        return false;
    }
    c->name = arena_dup(a, name);
    if (chain.len == 0 || key.len == 0) {
        fail(cfg->line, "certificate \"" STR_FMT "\": %s is missing, the path of a file",
             STR_ARG(name), chain.len == 0 ? "chain" : "key");
        return false;
    }
    c->chain = arena_dup(a, chain);
    c->key = arena_dup(a, key);
    s->n_certificates++;
    return true;
}

static int on_certificate(cfg_t *cfg, cfg_opt_t *opt)
{
    parsing->out->n_certificates = 0;
    for (unsigned i = 0; i < cfg_opt_size(opt); i++)
        if (!certificate_add(cfg, cfg_opt_getnsec(opt, i)))
            return -1;
    return 0;
}

/* ---- the whole ---- */

/* Our table in libconfuse's form; the options' names are not freed with them. */
static cfg_t *confuse_new(struct arena *a)
{
    cfg_opt_t route[] = {CFG_STR("host", NULL, CFGF_NODEFAULT),
                         CFG_STR("port", NULL, CFGF_NODEFAULT), CFG_STR("mx", NULL, CFGF_NODEFAULT),
                         CFG_END()};
    cfg_opt_t certificate[] = {CFG_STR("chain", NULL, CFGF_NODEFAULT),
                               CFG_STR("key", NULL, CFGF_NODEFAULT), CFG_END()};
    cfg_opt_t *opts = arena_array(a, settings_n_rows + BLOCKS + 1, sizeof *opts);
    if (opts == NULL)
        return NULL;
    for (size_t i = 0; i < settings_n_rows; i++) {
        cfg_opt_t one = CFG_STR(settings_rows[i].name, NULL, CFGF_NODEFAULT);
        cfg_opt_t list = CFG_STR_LIST(settings_rows[i].name, NULL, CFGF_NODEFAULT);
        opts[i] = settings_rows[i].list_max > 0 ? list : one;
    }
    opts[settings_n_rows] =
        (cfg_opt_t)CFG_SEC("route", route, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    opts[settings_n_rows + 1] = (cfg_opt_t)CFG_SEC("certificate", certificate,
                                                   CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
    opts[settings_n_rows + BLOCKS] = (cfg_opt_t)CFG_END();
    cfg_t *cfg = cfg_init(opts, 0); /* copies them */
    if (cfg == NULL)
        return NULL;
    cfg_set_error_function(cfg, on_error);
    for (size_t i = 0; i < settings_n_rows; i++)
        cfg_set_validate_func(cfg, settings_rows[i].name, on_value);
    cfg_set_validate_func(cfg, "route", on_route);
    cfg_set_validate_func(cfg, "certificate", on_certificate);
    return cfg;
}

/* Lists that were set to {}: there was no value to call us back for. */
static void empty_lists(cfg_t *cfg)
{
    for (size_t i = 0; i < settings_n_rows; i++) {
        const cfg_opt_t *opt = cfg_getopt(cfg, settings_rows[i].name);
        if (settings_rows[i].list_max > 0 && (opt->flags & CFGF_MODIFIED) != 0 && opt->nvalues == 0)
            settings_value_clear(&settings_rows[i], parsing->out);
    }
}

static void run_confuse(str_t text)
{
    char *z = memchr(text.ptr, '\0', text.len) == NULL && text.len <= SETTINGS_TEXT_MAX
                  ? malloc(text.len + 1)
                  : NULL;
    cfg_t *cfg = z == NULL ? NULL : confuse_new(parsing->arena);
    if (cfg == NULL) {
        fail(0, "not a text file of at most %d bytes", SETTINGS_TEXT_MAX);
        free(z);
        return;
    }
    str_toc(text, z, text.len + 1);
    if (cfg_parse_buf(cfg, z) != CFG_SUCCESS)
        fail(cfg->line, "this is not understood");
    empty_lists(cfg);
    cfg_free(cfg);
    free(z);
}

str_t settings_oauth_url(const struct settings *s)
{
    return s->oauth_jwks_url.len > 0 ? s->oauth_jwks_url : s->oauth_introspection_url;
}

/* A signed token of an issuer is good wherever it is not asked for whom it was made. */
static void cross_check_oauth(const struct settings *s)
{
    if (s->oauth_jwks_url.len > 0 && s->oauth_introspection_url.len > 0)
        fail(0, "oauth_jwks_url and oauth_introspection_url: only one of them may be set");
    if (s->oauth_jwks_url.len > 0 && (s->oauth_issuer.len == 0 || s->oauth_audience.len == 0))
        fail(0, "oauth_jwks_url needs oauth_issuer and oauth_audience");
    if (s->oauth_jwks_url.len > 0 && s->n_oauth_algorithms == 0)
        fail(0, "oauth_jwks_url needs oauth_algorithms");
    if ((s->oauth_client_id.len > 0) != (s->oauth_client_secret_file.len > 0))
        fail(0, "oauth_client_id and oauth_client_secret_file need each other");
}

/* Values against each other. */
static void cross_check(const struct settings *s)
{
    cross_check_oauth(s);
    if (s->retry_first_s > s->retry_max_s)
        fail(0, "retry_first is longer than retry_max");
    if (s->warn_after_s >= s->give_up_after_s)
        fail(0, "warn_after is not shorter than give_up_after: nobody would ever be warned");
    if (s->retry_max_s >= s->give_up_after_s)
        fail(0, "retry_max is not shorter than give_up_after: there would be no second attempt");
    if (s->errors_soft > s->errors_hard)
        fail(0, "errors_soft is more than errors_hard");
    if (s->connections_per_address > s->connections_max)
        fail(0, "connections_per_address is more than connections_max");
    if (s->reserve_bytes < s->message_size_max)
        fail(0, "reserve is less than message_size_max: one message could fill the disk");
    if (s->n_listen_smtp + s->n_listen_lmtp + s->n_listen_submission + s->n_listen_submissions +
            s->n_listen_pop3 ==
        0)
        fail(0, "listen_smtp and all other listen_… are empty: there would be nothing to do");
}

static void default_hostname(struct settings *s, struct arena *a, struct err *err)
{
    char name[256] = "";
    if (s->hostname.len == 0) {
        if (gethostname(name, sizeof name - 1) != 0 || !settings_host_valid(str_c(name)))
            str_toc(STR("localhost"), name, sizeof name);
        s->hostname = arena_dup(a, str_c(name));
    }
    size_t at;
    if (!str_find(s->hostname, '.', &at))
        (void)err_set(err, RC_OK, "",
                      "hostname is \"" STR_FMT "\", which has no domain; other servers may refuse "
                      "it: set hostname = \"mail.example.org\"",
                      STR_ARG(s->hostname));
}

enum rc settings_parse(str_t text, const char *file_name, struct arena *a, struct settings *out,
                       struct err *err)
{
    struct parse p = {.file = file_name, .arena = a, .out = out, .err = err};
    struct parse *outer = parsing;
    bool memory = true;
    *out = (struct settings){0};
    (void)err_set(err, RC_OK, "", "%s", "");
    parsing = &p;
    for (size_t i = 0; i < settings_n_rows; i++)
        memory = settings_value_preset(&settings_rows[i], a, out) && memory;
    if (str_trim(text).len > 0)
        run_confuse(text);
    cross_check(out);
    if (!memory || a->failed)
        fail(0, "out of memory");
    parsing = outer;
    if (p.failed)
        return RC_PERM;
    default_hostname(out, a, err);
    return a->failed ? err_set(err, RC_PERM, "", "%s: out of memory", file_name) : RC_OK;
}
