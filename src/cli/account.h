/* account.h: what the files of `postrider account` share. */
#ifndef CLI_ACCOUNT_H
#define CLI_ACCOUNT_H

#include "cli/cli.h"

/* CLI_OK, or a message and the exit code. */
int account_find(struct cli *c, str_t address, uint64_t *id);
/* `account app-password …` and `account certificate …`: argv[0] is that word. */
cli_run account_app_password, account_certificate;

#endif
