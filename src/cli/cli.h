/* cli.h: what the subcommands of `postrider` share.
 *
 * Each subcommand is one file, cmd_NAME.c, with one function of type cli_run and one row in the
 * table of main.c. A subcommand that needs the store asks cli_store(): that is a client of the
 * running server over DATA/control.sock or, when no server runs, of a core made in this very
 * process for the time of the command.
 *
 * Exit codes: 0 done, 1 refused or failed (a sentence on stderr says why), 2 wrong usage, 3 not
 * found, 75 try later (EX_TEMPFAIL). */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"
#include "roles/settings.h"
#include "store/store.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_NOT_FOUND = 3, CLI_LATER = 75 };

struct cli {
    const struct cli_command *command;
    const char *config_file; /* as given or found; may not exist */
    bool config_given;
    const char *data_given; /* --data */
    bool json;
    struct arena arena; /* for the whole command */
    /* for what is being printed: cli_safe; reset after each row of a long listing */
    struct arena scratch;
    struct settings settings;
    str_t settings_text;
    struct env env;
    struct store *store; /* after cli_store */
    bool later;          /* why cli_store gave NULL: try again later */
    void *embedded;      /* a core of our own, when no server runs */
};

typedef int cli_run(struct cli *c, int argc, char **argv); /* argv[0] is the subcommand */

struct cli_command {
    const char *name;
    cli_run *run;
    const char *args;    /* "add ADDRESS | remove ADDRESS | list" */
    const char *summary; /* one line */
    bool no_settings;    /* does not read the configuration */
    bool hidden;
};

/* The store, or a message on stderr and NULL (then return cli_no_store). `offline_ok`: make do
 * without a running server. */
struct store *cli_store(struct cli *c, bool offline_ok);
int cli_no_store(const struct cli *c); /* the exit code */
void cli_close(struct cli *c);
/* Whether the server may connect as a route (post/route.h) says: CLI_OK, or it has said which setting
 * is missing. What is no route is another's matter: CLI_OK. */
int cli_route_check(struct cli *c, str_t words);
/* Rows of tables that name such ports, printed or put into the array `found`; how many. 0 too where
 * there is no store to be looked at. */
size_t cli_routes_look(struct cli *c, json_t *found);
/* The certificates, printed or put into the array `found`. True: there is something to be done. */
bool cli_certificates_look(struct cli *c, json_t *found);

/* Messages. All return the exit code given, so that `return cli_fail(…)` reads well. */
int cli_fail(struct cli *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int cli_usage(struct cli *c);
/* RC_TEMP gives CLI_LATER, what is not there (post/missing.h) CLI_NOT_FOUND, else CLI_FAILED */
int cli_err(struct cli *c, const struct err *e);
int cli_store_error(struct cli *c, enum store_rc rc);
/* Prints the JSON document and frees it. */
int cli_print_json(json_t *doc);
json_t *cli_json_str(str_t s); /* invalid UTF-8 becomes U+FFFD */
/* The bytes with control characters as \xNN, for a terminal. In c->scratch. */
str_t cli_safe(struct cli *c, str_t s);
char *cli_time(int64_t wall_ms, char out[static 32]); /* "2026-11-21 23:05:11" local time */
char *cli_span(int64_t ms, char out[static 16]);      /* "3m", "2h05m", "4d" */

/* Says "did you mean …" for a mistyped word; NULL when nothing is near. */
const char *cli_nearest(const char *word, const char *const *words, size_t n);
/* Picks a subcommand's own verb; prints the usage with the nearest right word when it is none. -1:
 * none. */
int cli_verb(struct cli *c, const char *word, const char *const *verbs, size_t n);
/* A password: from standard input's first line with `from_stdin`, else asked twice at the terminal
 * without echo. */
bool cli_password(struct cli *c, bool from_stdin, str_t *out);

cli_run cmd_account, cmd_alias, cmd_check, cmd_config, cmd_domain, cmd_init, cmd_list, cmd_mask,
    cmd_queue, cmd_relay, cmd_send, cmd_serve, cmd_status, cmd_table, cmd_trace;
/* Called by a link of their name too; see sendmail.h. */
cli_run cmd_mailq, cmd_newaliases, cmd_sendmail;

/* All subcommands: main.c finds them here, the help prints them. postrider(1) is written by hand. */
extern const struct cli_command cli_commands[];
extern const size_t cli_ncommands;

#endif
