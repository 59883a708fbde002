/* cmd_account.c: `postrider account`: people with a mailbox. Core hashes passwords; they pass
 * through here only. Other ways into an account: cmd_account_access.c. */
#include <stdio.h>
#include <string.h>

#include "cli/account.h"
#include "cli/rows.h"
#include "post/mailbox.h"
#include "store/remote.h"

enum verb { LIST, ADD, REMOVE, PASSWORD, LOCK, APP_PASSWORD, CERTIFICATE };

int account_find(struct cli *c, str_t address, uint64_t *id)
{
    enum store_rc rc = directory_account_find(c->store, address, id);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (*id == 0)
        return cli_fail(c, CLI_NOT_FOUND,
                        "there is no account " STR_FMT "; `postrider account list` shows them",
                        STR_ARG(cli_safe(c, address)));
    return CLI_OK;
}

static int set_password(struct cli *c, uint64_t id, str_t password)
{
    struct err err = {0};
    return store_remote_set_password(c->store, id, password, &err) == RC_OK ? CLI_OK
                                                                            : cli_err(c, &err);
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
    int code = account_find(c, address, &id);
    if (code != CLI_OK)
        return code;
    if (verb == PASSWORD && !cli_password(c, from_stdin, &password))
        return CLI_FAILED;
    return set_password(c, id, password);
}

/* Mail and password of removed accounts: of this one, and of any whose removal was interrupted. */
static int finish_removals(struct cli *c)
{
    for (;;) {
        uint64_t id;
        enum store_rc rc = directory_gone_next(c->store, &id);
        if (rc == STORE_OK && id == 0)
            return CLI_OK;
        /* none: its record goes */
        int code = rc == STORE_OK ? set_password(c, id, STR_NONE) : CLI_OK;
        if (code != CLI_OK)
            return code;
        if (rc == STORE_OK)
            rc = mailbox_purge(c->store, id);
        if (rc == STORE_OK)
            rc = directory_gone_forget(c->store, id);
        if (rc != STORE_OK)
            return cli_store_error(c, rc);
    }
}

/* Gone from the directory first, so that no mail is taken any more and nobody logs in. */
static int remove_account(struct cli *c, str_t address)
{
    struct err err = {0};
    if (directory_account_remove(c->store, address, &err) != RC_OK)
        return cli_err(c, &err);
    int code = finish_removals(c);
    if (code != CLI_OK)
        cli_fail(c, code,
                 "the account is removed, its mail not yet; the next `postrider account` goes on");
    return code;
}

int cmd_account(struct cli *c, int argc, char **argv)
{
    static const char *const verbs[] = {"list", "add",          "remove",     "password",
                                        "lock", "app-password", "certificate"};
    int verb = cli_verb(c, argc > 1 ? argv[1] : NULL, verbs, 7);
    if (verb < 0)
        return CLI_USAGE;
    if (verb == APP_PASSWORD)
        return account_app_password(c, argc - 1, argv + 1);
    if (verb == CERTIFICATE)
        return account_certificate(c, argc - 1, argv + 1);
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
    if (verb == REMOVE)
        return remove_account(c, str_c(address));
    (void)finish_removals(c); /* if not now, then next time; it has said why */
    if (verb == LIST)
        return cli_list_rows(c, DIRECTORY_ROW_ACCOUNT);
    if (verb == ADD)
        return add(c, str_c(address), from_stdin);
    return change(c, (enum verb)verb, str_c(address), from_stdin);
}
