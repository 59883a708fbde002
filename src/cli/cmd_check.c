/* cmd_check.c: `postrider check config|store`. Both only look. The store may be in use
 * meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "store/check.h"

enum { NAMES_MAX = 10000 }; /* damaged rows named one by one; the rest is counted */

struct findings {
    struct cli *c;
    json_t *damaged; /* with --json */
    uint64_t rows, bytes, bad;
    uint64_t kinds[PART_KINDS]; /* rows by kind */
};

static void on_part(void *user, const struct store_check_part *p)
{
    struct findings *f = user;
    f->rows += p->rows;
    f->bytes += p->bytes;
    if (p->part.kind < PART_KINDS)
        f->kinds[p->part.kind] += p->rows;
}

static void on_damage(void *user, part_t part, str_t key, const char *name)
{
    struct findings *f = user;
    (void)part;
    (void)key;
    if (f->bad++ >= NAMES_MAX)
        return;
    if (f->c->json)
        json_array_append_new(f->damaged, cli_json_str(str_c(name)));
    else
        printf("damaged: %s\n", name);
}

static const char *const kind_names[PART_KINDS] = {[PART_NODE] = "node",
                                                   [PART_DIRECTORY] = "directory",
                                                   [PART_SECRET] = "secret",
                                                   [PART_USER] = "mailboxes",
                                                   [PART_QUEUE] = "queue"};

static void summary(struct findings *f)
{
    if (f->c->json) {
        json_t *rows = json_object();
        for (size_t i = 0; i < PART_KINDS; i++)
            json_object_set_new(rows, kind_names[i], json_integer((json_int_t)f->kinds[i]));
        cli_print_json(json_pack("{s:I, s:I, s:I, s:o, s:O}", "rows", (json_int_t)f->rows, "bytes",
                                 (json_int_t)f->bytes, "damaged", (json_int_t)f->bad,
                                 "rows_by_kind", rows, "names", f->damaged));
        return;
    }
    for (size_t i = 0; i < PART_KINDS; i++)
        printf("%-10s %12llu rows\n", kind_names[i], (unsigned long long)f->kinds[i]);
    printf("%llu rows, %llu bytes read, %llu damaged\n", (unsigned long long)f->rows,
           (unsigned long long)f->bytes, (unsigned long long)f->bad);
    if (f->bad > 0)
        printf("Each damaged row is lost, the others are good. c/ are pieces of queued mail, b/ "
               "pieces of mail in mailboxes, dr/ and dl/ "
               "deliveries.\nCheck the disk; what is named here has to come from a backup or the "
               "sender.\n");
}

static int check_store(struct cli *c)
{
    const char *path = arena_cstr(&c->arena, c->settings.data_dir);
    int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return cli_fail(c, CLI_FAILED, "cannot open the data folder %s: %s", path, strerror(errno));
    struct findings f = {.c = c, .damaged = json_array()};
    struct store_check check = {.part = on_part, .damage = on_damage, .user = &f};
    struct err err = {0};
    enum store_check_rc rc = store_check(dir_fd, &check, &err);
    close(dir_fd);
    if (rc != STORE_CHECK_FAILED)
        summary(&f);
    json_decref(f.damaged);
    if (rc == STORE_CHECK_FAILED)
        return cli_fail(c, CLI_FAILED, "%s", err.text);
    return rc == STORE_CHECK_OK ? CLI_OK : CLI_FAILED;
}

/* That it could be read at all is most of the check: cli_load_settings has refused anything else.
 * What is left are doubts. */
static int check_config(struct cli *c)
{
    size_t at;
    bool doubt = false;
    if (!str_find(c->settings.hostname, '.', &at)) {
        doubt = true;
        if (!c->json)
            printf("hostname \"" STR_FMT
                   "\" has no dot: other servers want a full name such as mail.example.org\n",
                   STR_ARG(c->settings.hostname));
    }
    if (c->settings.n_listen_smtp == 0 && !c->json)
        printf("listen_smtp is empty: no mail comes in by SMTP\n");
    json_t *routes = c->json ? json_array() : NULL;
    doubt = cli_routes_look(c, routes) > 0 || doubt;
    json_t *certificates = c->json ? json_array() : NULL;
    doubt = cli_certificates_look(c, certificates) || doubt;
    if (c->json)
        return cli_print_json(
            json_pack("{s:b, s:b, s:o, s:o}", "ok", 1, "doubts", doubt, "closed_ports", routes,
                      "certificates", certificates));
    printf("%s is good\n", c->config_file);
    return CLI_OK;
}

int cmd_check(struct cli *c, int argc, char **argv)
{
    static const char *const verbs[] = {"config", "store"};
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, 2);
    if (verb < 0 || argc > 2)
        return verb < 0 ? CLI_USAGE : cli_usage(c);
    return verb == 0 ? check_config(c) : check_store(c);
}
