/* check_tls.c: the certificates, for `postrider check config`: whether each can be read and goes with its
 * key, and until when it is good. As the supervisor does it when it starts. */
#include <stdio.h>

#include "cli/cli.h"
#include "roles/tls_files.h"
#include "roles/tls_parcel.h"
#include "sys/clock.h"

struct looking {
    struct cli *c;
    json_t *found;
    size_t n, good, doubts; /* all; those that can be used; those that are to be looked after */
};

/* Blocks come before folders: a folder of a block's name is not used. */
static bool repeated(const struct looking *l, const char *name)
{
    const struct settings *s = &l->c->settings;
    bool block = l->n < s->n_certificates;
    for (size_t i = 0; !block && i < s->n_certificates; i++)
        if (str_eq(s->certificates[i].name, str_c(name)))
            return true;
    return false;
}

static void tell(struct looking *l, const struct tls_files *f, const char *until,
                 const char *problem)
{
    if (l->c->json) {
        json_array_append_new(
            l->found, json_pack("{s:o, s:o, s:s?, s:o}", "name", cli_json_str(str_c(f->name)),
                                "file", cli_json_str(str_c(f->chain)), "until", until, "problem",
                                problem != NULL ? cli_json_str(str_c(problem)) : json_null()));
        return;
    }
    printf("certificate " STR_FMT, STR_ARG(cli_safe(l->c, str_c(f->name))));
    if (until != NULL)
        printf(", good until %s", until);
    if (problem != NULL)
        printf(": " STR_FMT, STR_ARG(cli_safe(l->c, str_c(problem))));
    printf("\n");
}

static void look(void *user, const struct tls_files *f)
{
    static const char *const problems[] = {
        [TLS_FILES_ENDS_SOON] = "it ends soon: renew it",
        [TLS_FILES_EXPIRED] = "it has expired: renew it; other servers and programs refuse it",
        [TLS_FILES_NOT_YET] = "it is not good yet: is this machine's clock right?"};
    struct looking *l = user;
    struct buf chain, key;
    struct tls_dates dates;
    struct err err = {0};
    char until[TLS_FILES_DAY];
    bool again = repeated(l, f->name);
    l->n++;
    if (again)
        return;
    buf_init(&chain, TLS_CHAIN_MAX);
    buf_init(&key, TLS_KEY_MAX);
    enum rc rc = tls_files_pair(f, &chain, &key, &err);
    rc = rc == RC_OK ? tls_dates_read(buf_str(&chain), &dates, &err) : rc;
    tls_files_wipe(&chain);
    tls_files_wipe(&key);
    enum tls_files_state state = TLS_FILES_GOOD;
    if (rc == RC_OK)
        state = tls_files_state(&dates, sys_wall_ms());
    l->good += rc == RC_OK;
    l->doubts += rc != RC_OK || state != TLS_FILES_GOOD;
    tell(l, f, rc == RC_OK ? tls_files_day(dates.until_ms, until) : NULL,
         rc == RC_OK ? problems[state] : err.text);
}

bool cli_certificates_look(struct cli *c, json_t *found)
{
    struct looking l = {.c = c, .found = found};
    tls_files_each(&c->settings, look, &l);
    if (l.good > 0)
        return l.doubts > 0;
    if (!c->json)
        printf("there is no certificate that can be used: STARTTLS is not offered, and "
               "listen_submissions serves nobody. If the files are there, try as root\n");
    return true;
}
