/* cmd_init.c: `postrider init`: from nothing to a server that can be started. Leaves alone what is
 * there already. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/load.h"
#include "post/directory_row.h"
#include "roles/tls_files.h"
#include "store/remote.h"

struct wanted {
    const char *domain, *account, *hostname;
    bool password_stdin;
};

static bool parse(struct wanted *w, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char **to = strcmp(argv[i], "--domain") == 0     ? &w->domain
                          : strcmp(argv[i], "--account") == 0  ? &w->account
                          : strcmp(argv[i], "--hostname") == 0 ? &w->hostname
                                                               : NULL;
        if (strcmp(argv[i], "--password-stdin") == 0)
            w->password_stdin = true;
        else if (to == NULL || i + 1 >= argc)
            return false;
        else
            *to = argv[++i];
    }
    return true;
}

/* mkdir -p for one path; the last folder gets `mode`. */
static bool make_folders(char *path, mode_t mode)
{
    for (char *p = path + 1; *p != '\0'; p++)
        if (*p == '/') {
            *p = '\0';
            int r = mkdir(path, 0755);
            *p = '/';
            if (r != 0 && errno != EEXIST)
                return false;
        }
    return mkdir(path, mode) == 0 || errno == EEXIST;
}

static bool name_ok(const char *s) /* it goes between quotes in the file */
{
    return s[0] != '\0' && s[strcspn(s, "\"\\\n\r ")] == '\0';
}

static int write_config(struct cli *c, const struct wanted *w)
{
    const char *path = c->config_file;
    if (w->hostname != NULL && !name_ok(w->hostname))
        return cli_fail(c, CLI_USAGE, "\"%s\" is not a host name", w->hostname);
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash != NULL && slash != folder) {
        *slash = '\0';
        if (!make_folders(folder, 0755))
            return cli_fail(c, CLI_FAILED, "cannot make the folder %s: %s", folder,
                            strerror(errno));
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST)
        return CLI_OK;
    if (fd < 0)
        return cli_fail(c, CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
    dprintf(fd, "# postrider.conf(5) describes every setting; `postrider config show` prints what "
                "is in force.\n");
    if (w->hostname != NULL)
        dprintf(fd, "hostname = \"%s\"\n", w->hostname);
    else
        dprintf(fd, "#hostname = \"mail.example.org\"\n");
    if (c->data_given != NULL)
        dprintf(fd, "data_dir = \"%s\"\n", c->data_given);
    bool ok = fsync(fd) == 0;
    close(fd);
    if (!ok)
        return cli_fail(c, CLI_FAILED, "cannot store %s: %s", path, strerror(errno));
    if (!c->json)
        printf("made %s\n", path);
    return CLI_OK;
}

static int first_domain(struct cli *c, const char *domain)
{
    struct err err = {0};
    bool there = false;
    enum store_rc rc = directory_domain_exists(c->store, str_c(domain), &c->arena, &there);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (!there && directory_domain_add(c->store, str_c(domain), &err) != RC_OK)
        return cli_err(c, &err);
    if (!there && !c->json)
        printf("made the domain %s\n", domain);
    return CLI_OK;
}

static int first_account(struct cli *c, const struct wanted *w)
{
    struct err err = {0};
    uint64_t id;
    str_t password;
    enum store_rc there = directory_account_find(c->store, str_c(w->account), &id);
    if (there != STORE_OK)
        return cli_store_error(c, there);
    if (id != 0) {
        if (!c->json)
            printf("the account %s is there already and stays as it is\n", w->account);
        return CLI_OK;
    }
    if (!cli_password(c, w->password_stdin, &password))
        return CLI_FAILED;
    if (directory_account_add(c->store, str_c(w->account), &id, &err) != RC_OK ||
        store_remote_set_password(c->store, id, password, &err) != RC_OK)
        return cli_err(c, &err);
    if (!c->json)
        printf("made the account %s\n", w->account);
    return CLI_OK;
}

/* postmaster (RFC 5321 4.5.1), and root, to whom cron and others on this machine write; where the
 * account's domain has no such address yet. */
static int first_alias(struct cli *c, const char *name, str_t account)
{
    struct err err = {0};
    struct directory_address own;
    bool there = false;
    str_t row;
    if (!directory_address_parse(account, &c->arena, &own))
        return CLI_OK; /* it was taken as an account, so it is one */
    enum store_rc rc = store_get1(c->store, DIRECTORY_PART,
                                  directory_key_address(own.domain, str_c(name), &c->arena),
                                  &c->arena, &there, &row);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    str_t alias = arena_fmt(&c->arena, "%s@" STR_FMT, name, STR_ARG(own.domain));
    if (there)
        return CLI_OK;
    if (directory_alias_set(c->store, alias, &account, 1, &err) != RC_OK)
        return cli_err(c, &err);
    if (!c->json)
        printf("made the alias " STR_FMT ", which leads to " STR_FMT "\n", STR_ARG(alias),
               STR_ARG(account));
    return CLI_OK;
}

static int first_aliases(struct cli *c, str_t account)
{
    int code = first_alias(c, "postmaster", account);
    return code == CLI_OK ? first_alias(c, "root", account) : code;
}

/* TLS works from the first minute; a certificate that others trust is for later. */
static int first_certificate(struct cli *c)
{
    struct err err = {0};
    bool made = false;
    char folder[TLS_FILES_PATH];
    if (tls_files_make(&c->settings, &made, &err) != RC_OK)
        return cli_err(c, &err);
    tls_files_folder(&c->settings, folder);
    if (made && !c->json)
        printf("made a certificate for " STR_FMT ", signed by itself, in %s/" STR_FMT "\n"
               "  to replace it by one that others trust: put its chain into cert.pem and its key "
               "into key.pem there,\n"
               "  or name the files in %s: certificate \"" STR_FMT "\" { chain = … key = … }; "
               "no restart is needed for new files\n",
               STR_ARG(c->settings.hostname), folder, STR_ARG(c->settings.hostname), c->config_file,
               STR_ARG(c->settings.hostname));
    return CLI_OK;
}

int cmd_init(struct cli *c, int argc, char **argv)
{
    struct wanted w = {0};
    if (!parse(&w, argc, argv))
        return cli_usage(c);
    cli_find_config(c);
    int code = write_config(c, &w);
    c->config_given = true;
    if (code == CLI_OK)
        code = cli_load_settings(c);
    if (code != CLI_OK)
        return code;
    char *data = arena_cstr(&c->arena, c->settings.data_dir);
    if (data == NULL || !make_folders(data, 0700))
        return cli_fail(c, CLI_FAILED, "cannot make the data folder " STR_FMT ": %s",
                        STR_ARG(c->settings.data_dir), strerror(errno));
    code = first_certificate(c);
    if (code != CLI_OK)
        return code;
    if (cli_store(c, true) == NULL)
        return cli_no_store(c);
    if (w.domain == NULL && w.account != NULL && strrchr(w.account, '@') != NULL)
        w.domain = strrchr(w.account, '@') + 1;
    if (w.domain != NULL)
        code = first_domain(c, w.domain);
    if (code == CLI_OK && w.account != NULL)
        code = first_account(c, &w);
    if (code == CLI_OK && w.account != NULL)
        code = first_aliases(c, str_c(w.account));
    if (code == CLI_OK && !c->json)
        printf("the store is in " STR_FMT "; `postrider serve` starts the server\n",
               STR_ARG(c->settings.data_dir));
    return code;
}
