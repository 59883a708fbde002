/* rows.h: listing domains, accounts, aliases and lists, as text or JSON. */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "cli/cli.h"
#include "post/directory.h"

int cli_list_rows(struct cli *c, int what); /* DIRECTORY_ROW_… */

#endif
