/* cmd_account_access.c: `postrider account app-password` and `account certificate`: the other ways
 * into an account: passwords for single programs, and client certificates. */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"
#include "cli/account.h"
#include "store/remote.h"

/* Five groups of four characters of 5 bits each: 100 bits, which nobody guesses and a person can
 * copy by hand: no letter that looks like another or like a digit. */
enum { GROUPS = 5, GROUP = 4, PASSWORD_TEXT = GROUPS * (GROUP + 1) };

static void generate(struct cli *c, char out[static PASSWORD_TEXT])
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
    uint8_t bytes[GROUPS * GROUP];
    size_t at = 0;
    c->env.random(&c->env, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (i > 0 && i % GROUP == 0)
            out[at++] = '-';
        out[at++] = letters[bytes[i] % (sizeof letters - 1)];
    }
    out[at] = '\0';
    explicit_bzero(bytes, sizeof bytes);
}

/* ---- app-password ---- */

struct request {
    str_t address, name;
    unsigned uses;
};

static bool name_valid(str_t name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < ' ' || name.ptr[i] == 0x7f)
            return false;
    return name.len > 0 && name.len <= STORE_PASSWORD_NAME_MAX && utf8_valid(name);
}

static int app_add(struct cli *c, uint64_t id, const struct request *r)
{
    char password[PASSWORD_TEXT];
    struct err err = {0};
    if (str_eq(r->name, STORE_PASSWORD_MAIN))
        return cli_fail(c, CLI_FAILED, "\"main\" is the password that `account password` sets");
    if (!name_valid(r->name))
        return cli_fail(c, CLI_FAILED, "a name has 1 to %d bytes and no control characters",
                        STORE_PASSWORD_NAME_MAX);
    generate(c, password);
    unsigned uses = r->uses != 0 ? r->uses : STORE_USES_ALL;
    if (store_remote_add_password(c->store, id, r->name, uses, str_c(password), &err) != RC_OK)
        return cli_err(c, &err);
    if (c->json) {
        json_t *doc = json_object();
        json_object_set_new(doc, "address", cli_json_str(r->address));
        json_object_set_new(doc, "name", cli_json_str(r->name));
        json_object_set_new(doc, "password", json_string(password));
        cli_print_json(doc);
    } else {
        printf("%s\n", password);
        fprintf(stderr, "It is shown this once; as long as it is there it %s.\n",
                uses == STORE_USE_SEND   ? "sends mail"
                : uses == STORE_USE_READ ? "reads mail"
                                         : "reads and sends mail");
    }
    explicit_bzero(password, sizeof password);
    return CLI_OK;
}

static int app_remove(struct cli *c, uint64_t id, const struct request *r)
{
    struct err err = {0};
    if (str_eq(r->name, STORE_PASSWORD_MAIN))
        return cli_fail(c, CLI_FAILED,
                        "\"main\" is the account's own password: `account password` sets another, "
                        "`account lock` takes all away");
    enum rc rc = store_remote_remove_password(c->store, id, r->name, &err);
    if (rc == RC_PERM)
        return cli_fail(c, CLI_NOT_FOUND, "%s; `account app-password list` shows them", err.text);
    return rc == RC_OK ? CLI_OK : cli_err(c, &err);
}

/* "2026-11-21", or what stands for never. */
static const char *day_text(int64_t ms, const char *never, char out[static 16])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    if (ms == 0 || gmtime_r(&s, &tm) == NULL || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
        return never;
    return out;
}

static json_t *json_day(int64_t ms)
{
    char text[16];
    const char *day = day_text(ms, NULL, text);
    return day != NULL ? json_string(day) : json_null();
}

static int app_list(struct cli *c, uint64_t id)
{
    struct store_password_info list[STORE_PASSWORDS_MAX];
    size_t n;
    struct err err = {0};
    if (store_remote_list_passwords(c->store, id, list, &n, &err) != RC_OK)
        return cli_err(c, &err);
    json_t *doc = json_array();
    for (size_t i = 0; i < n; i++) {
        char made[16], used[16];
        bool reads = (list[i].uses & STORE_USE_READ) != 0;
        bool sends = (list[i].uses & STORE_USE_SEND) != 0;
        json_t *row = json_object();
        json_object_set_new(row, "name", cli_json_str(str_c(list[i].name)));
        json_object_set_new(row, "read", json_boolean(reads));
        json_object_set_new(row, "send", json_boolean(sends));
        json_object_set_new(row, "made", json_day(list[i].made_ms));
        json_object_set_new(row, "used", json_day(list[i].used_ms));
        json_array_append_new(doc, row);
        if (!c->json)
            printf("%-9s  made %-10s  used %-10s  " STR_FMT "\n",
                   reads && sends ? "read,send"
                   : reads        ? "read"
                                  : "send",
                   day_text(list[i].made_ms, "-", made), day_text(list[i].used_ms, "never", used),
                   STR_ARG(cli_safe(c, str_c(list[i].name))));
    }
    if (c->json)
        return cli_print_json(doc);
    json_decref(doc);
    return CLI_OK;
}

int account_app_password(struct cli *c, int argc, char **argv)
{
    static const char *const verbs[] = {"list", "add", "remove"};
    enum { LIST, ADD, REMOVE };
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, 3);
    struct request r = {0};
    if (verb < 0)
        return CLI_USAGE;
    for (int i = 2; i < argc; i++) {
        if (verb == ADD && strcmp(argv[i], "--send") == 0)
            r.uses |= STORE_USE_SEND;
        else if (verb == ADD && strcmp(argv[i], "--read") == 0)
            r.uses |= STORE_USE_READ;
        else if (argv[i][0] == '-')
            return cli_usage(c);
        else if (r.address.len == 0)
            r.address = str_c(argv[i]);
        else if (verb != LIST && r.name.len == 0)
            r.name = str_c(argv[i]);
        else
            return cli_usage(c);
    }
    if (r.address.len == 0 || (verb == LIST) != (r.name.len == 0))
        return cli_usage(c);
    if (cli_store(c, true) == NULL)
        return cli_no_store(c);
    uint64_t id;
    int code = account_find(c, r.address, &id);
    if (code != CLI_OK)
        return code;
    return verb == LIST  ? app_list(c, id)
           : verb == ADD ? app_add(c, id, &r)
                         : app_remove(c, id, &r);
}

/* ---- certificate ---- */

/* SHA-256 of the file's first certificate, as a TLS peer shows it. */
static int fingerprint(struct cli *c, const char *file, uint8_t out[static 32])
{
    FILE *f = fopen(file, "re");
    if (f == NULL)
        return cli_fail(c, CLI_FAILED, "cannot read %s: %s", file, strerror(errno));
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    unsigned len = 0;
    uint8_t digest[EVP_MAX_MD_SIZE];
    bool ok = cert != NULL && X509_digest(cert, EVP_sha256(), digest, &len) == 1 && len == 32;
    X509_free(cert);
    if (!ok)
        return cli_fail(c, CLI_FAILED, "%s holds no certificate (PEM: -----BEGIN CERTIFICATE-----)",
                        file);
    memcpy(out, digest, 32);
    return CLI_OK;
}

static int show_fingerprint(struct cli *c, const uint8_t sha256[static 32])
{
    char hex[65];
    for (size_t i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", sha256[i]);
    if (!c->json) {
        printf("%s\n", hex);
        return CLI_OK;
    }
    json_t *doc = json_object();
    json_object_set_new(doc, "sha256", json_string(hex));
    return cli_print_json(doc);
}

int account_certificate(struct cli *c, int argc, char **argv)
{
    static const char *const verbs[] = {"add", "remove"};
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, 2);
    uint8_t sha256[32];
    uint64_t id;
    struct err err = {0};
    if (verb < 0)
        return CLI_USAGE;
    if (argc != 4 || argv[2][0] == '-' || argv[3][0] == '-')
        return cli_usage(c);
    int code = fingerprint(c, argv[3], sha256);
    if (code != CLI_OK)
        return code;
    if (cli_store(c, true) == NULL)
        return cli_no_store(c);
    code = account_find(c, str_c(argv[2]), &id);
    if (code != CLI_OK)
        return code;
    enum rc rc = store_remote_certificate(c->store, id, sha256, verb == 1, &err);
    if (rc == RC_PERM)
        return cli_fail(c, verb == 1 ? CLI_NOT_FOUND : CLI_FAILED, "%s", err.text);
    return rc == RC_OK ? show_fingerprint(c, sha256) : cli_err(c, &err);
}
