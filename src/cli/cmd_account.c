/* cmd_account.c: `postrider account`: people with a mailbox. Core hashes passwords; they pass through here only. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/rows.h"
#include "store/remote.h"

enum verb { LIST, ADD, REMOVE, PASSWORD, LOCK };

struct find {
    str_t name;
    uint64_t id;
    bool found;
};

static bool is_it(void *user, const struct directory_row *row)
{
    struct find *f = user;
    f->found = str_ieq(row->name, f->name);
    f->id = row->account;
    return !f->found;
}

static int find_account(struct cli *c, str_t address, uint64_t *id)
{
    struct find f = {.name = address};
    enum store_rc rc = directory_list(c->store, DIRECTORY_ROW_ACCOUNT, is_it, &f);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (!f.found)
        return cli_fail(c, CLI_NOT_FOUND, "there is no account " STR_FMT "; `postrider account list` shows them",
                        STR_ARG(cli_safe(c, address)));
    *id = f.id;
    return CLI_OK;
}

static int set_password(struct cli *c, uint64_t id, str_t password)
{
    struct err err = {0};
    return store_remote_set_password(c->store, id, password, &err) == RC_OK ? CLI_OK : cli_err(c, &err);
}

/* The password first: an account without one would be left behind when it is mistyped. */
static int add(struct cli *c, str_t address, bool from_stdin)
{
    str_t password;
    struct err err = {0};
    uint64_t id;
    if (!cli_password(c, from_stdin, &password))
        return CLI_FAILED;
    if (directory_account_add(c->store, address, &id, &err) != RC_OK)
        return cli_err(c, &err);
    return set_password(c, id, password);
}

static int change(struct cli *c, enum verb verb, str_t address, bool from_stdin)
{
    uint64_t id;
    str_t password = STR_NONE; /* none locks the account */
    int code = find_account(c, address, &id);
    if (code != CLI_OK)
        return code;
    if (verb == PASSWORD && !cli_password(c, from_stdin, &password))
        return CLI_FAILED;
    return set_password(c, id, password);
}

int cmd_account(struct cli *c, int argc, char **argv)
{
    static const char *const verbs[] = {"list", "add", "remove", "password", "lock"};
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, 5);
    if (verb < 0)
        return CLI_USAGE;
    bool from_stdin = false;
    const char *address = NULL;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--password-stdin") == 0)
            from_stdin = true;
        else if (argv[i][0] != '-' && address == NULL)
            address = argv[i];
        else
            return cli_usage(c);
    }
    if ((verb == LIST) != (address == NULL))
        return cli_usage(c);
    if (cli_store(c, true) == NULL)
        return cli_no_store(c);
    if (verb == LIST)
        return cli_list_rows(c, DIRECTORY_ROW_ACCOUNT);
    if (verb == ADD)
        return add(c, str_c(address), from_stdin);
    if (verb != REMOVE)
        return change(c, (enum verb)verb, str_c(address), from_stdin);
    struct err err = {0};
    return directory_account_remove(c->store, str_c(address), &err) == RC_OK ? CLI_OK : cli_err(c, &err);
}
