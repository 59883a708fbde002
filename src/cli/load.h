/* load.h: finding and reading the configuration file. Used by main.c and by init, which makes
 * it. */
#ifndef CLI_LOAD_H
#define CLI_LOAD_H

#include "cli/cli.h"

#define CLI_CONFIG_DEFAULT "/etc/postrider/postrider.conf"
#define CLI_CONFIG_MAX     ((size_t)1 << 20) /* bytes: a larger file is a mistake */

/* Sets config_file: --config, else $POSTRIDER_CONFIG, else CLI_CONFIG_DEFAULT. */
void cli_find_config(struct cli *c);
/* Reads it; a file that was not named may be missing. CLI_OK or a message. */
int cli_load_settings(struct cli *c);

#endif
