/* main.c: the postrider command: global options, the table of subcommands, help. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/load.h"
#include "roles/role.h"

const struct cli_command cli_commands[] = {
    {"init", cmd_init, "[--domain DOMAIN] [--account ADDRESS [--password-stdin]] [--hostname NAME]",
     "make the configuration file, the store, and a first domain and account", true, false},
    {"serve", cmd_serve, "[--single]", "run the server in the foreground", false, false},
    {"domain", cmd_domain, "list | add DOMAIN | remove DOMAIN | catchall DOMAIN [ADDRESS]",
     "the domains whose mail is delivered here", false, false},
    {"account", cmd_account,
     "list | add ADDRESS | remove ADDRESS | password ADDRESS | lock ADDRESS |\n"
     "       app-password list ADDRESS | app-password add ADDRESS NAME [--send] [--read] |\n"
     "       app-password remove ADDRESS NAME | certificate add|remove ADDRESS FILE.pem",
     "people with a mailbox (passwords: asked for, or --password-stdin)", false, false},
    {"alias", cmd_alias, "list | set ADDRESS TARGET... | remove ADDRESS",
     "addresses that stand for others, here or elsewhere; of an account: where its mail goes on "
     "to\n"
     "           (itself among the targets: and stays)",
     false, false},
    {"list", cmd_list,
     "list | create ADDRESS [--owner ADDRESS] [--verp] | delete ADDRESS |\n"
     "       add ADDRESS MEMBER... | remove ADDRESS MEMBER... | members ADDRESS |\n"
     "       import ADDRESS < FILE",
     "mailing lists of any size: what cannot be delivered is told to their owner", false, false},
    {"mask", cmd_mask, "list [ACCOUNT] | add ACCOUNT [NOTE...] | remove ADDRESS",
     "masked addresses: made and dropped by one command, they lead to one account", false, false},
    {"queue", cmd_queue,
     "list [WHAT] [--by destination|reason|class|source|sender] [--limit N] | "
     "list [WHAT] --messages |\n"
     "       show ID | retry WHAT | hold WHAT | release WHAT | remove WHAT | bounce WHAT |\n"
     "       route WHAT \"ROUTE\"|none | suspend [DOMAIN|HOST [REASON...]] | resume DOMAIN|HOST |\n"
     "       limit [DOMAIN|HOST connections=N per_minute=N|none] |\n"
     "       suppressed [list | remove ADDRESS | clear]",
     "mail on its way; WHAT: an ID, a domain, --all, --held, or --id, --domain, --sender,\n"
     "           --recipient, --account, --source, --reason, --state, --older with a value",
     false, false},
    {"table", cmd_table, "list [TABLE] | set TABLE KEY VALUE... | remove TABLE KEY",
     "routes, policies, limits, holds, other addresses: the tables of postrider(1)", false, false},
    {"relay", cmd_relay, "set NAME USER [--password-stdin] | remove NAME",
     "names and passwords for smarthosts: routes refer to them by auth=NAME", false, false},
    {"trace", cmd_trace, "ID | ADDRESS", "the whole story of a message", false, false},
    {"send", cmd_send,
     "--to ADDRESS... [--cc ADDRESS] [--bcc ADDRESS] [--from ADDRESS] [--subject TEXT]\n"
     "       [--header 'NAME: VALUE'] [--body TEXT | --size BYTES] [--attach FILE]...\n"
     "       [--server HOST[:PORT]] [--tls try|none|starttls|implicit|verify] [--verify]\n"
     "       [--no-verify] [--ca-file FILE] [--tls-name NAME] [--cert FILE --key FILE]\n"
     "       [--auth USER [--password-stdin] [--auth-mech MECHANISM]] [--helo NAME] [--lmtp]\n"
     "       [--dsn never|success,failure,delay] [--dsn-return full|hdrs] [--envid ID] [-v]",
     "send a message from standard input or options, by SMTP to any server", false, false},
    {"status", cmd_status, "", "is it running, and how is it", false, false},
    {"check", cmd_check, "config | store",
     "look for mistakes in the configuration, damage in the store", false, false},
    {"sendmail", cmd_sendmail, "", "as programs call it: sendmail(1)", true, true},
    {"mailq", cmd_mailq, "", "as sendmail -bp", true, true},
    {"newaliases", cmd_newaliases, "", "as sendmail -bi", true, true},
    {"config", cmd_config, "show | manual", "every setting, its value and its default", false,
     false},
};
const size_t cli_ncommands = sizeof cli_commands / sizeof cli_commands[0];

static void help(FILE *to)
{
    fputs("usage: postrider [--config FILE] [--data FOLDER] [--json] COMMAND ...\n\n", to);
    for (size_t i = 0; i < cli_ncommands; i++)
        if (!cli_commands[i].hidden)
            fprintf(to, "  %-8s %s\n", cli_commands[i].name, cli_commands[i].summary);
    fputs("\n`postrider COMMAND --help` shows a command's forms; postrider(1) is the manual.\n",
          to);
}

static const struct cli_command *find_command(const char *name)
{
    const char *names[sizeof cli_commands / sizeof cli_commands[0]];
    for (size_t i = 0; i < cli_ncommands; i++) {
        names[i] = cli_commands[i].name;
        if (strcmp(name, names[i]) == 0)
            return &cli_commands[i];
    }
    const char *near = cli_nearest(name, names, cli_ncommands);
    fprintf(stderr, "postrider: there is no command \"%s\"", name);
    if (near != NULL)
        fprintf(stderr, "; did you mean \"%s\"?", near);
    fputs("\n`postrider --help` lists the commands.\n", stderr);
    return NULL;
}

/* Takes an option with a value from argv[*i]: "--name VALUE" or "--name=VALUE". */
static bool option_value(int argc, char **argv, int *i, const char *name, const char **value)
{
    size_t n = strlen(name);
    if (strncmp(argv[*i], name, n) != 0)
        return false;
    if (argv[*i][n] == '=') {
        *value = argv[*i] + n + 1;
        return true;
    }
    if (argv[*i][n] != '\0')
        return false;
    if (*i + 1 >= argc) {
        fprintf(stderr, "postrider: %s needs a value\n", name);
        exit(CLI_USAGE);
    }
    *value = argv[++*i];
    return true;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* --json and --config may also stand behind the command. */
static int take_globals(struct cli *c, int argc, char **argv)
{
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        if (strcmp(argv[i], "--") == 0) {
            while (i < argc)
                argv[kept++] = argv[i++];
            break;
        }
        if (strcmp(argv[i], "--json") == 0) {
            c->json = true;
        } else if (option_value(argc, argv, &i, "--config", &value)) {
            c->config_file = value;
            c->config_given = true;
        } else if (option_value(argc, argv, &i, "--data", &value)) {
            c->data_given = value;
        } else {
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    return kept;
}

/* The commands of other mail systems take their arguments as they are: by a link of their name, or
 * as a subcommand. */
static const struct cli_command *classic(int argc, char **argv, int *skip)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *names[] = {slash != NULL ? slash + 1
                           : argc > 0    ? argv[0]
                                         : "",
                           argc > 1 ? argv[1] : ""};
    for (*skip = 0; *skip < 2; ++*skip)
        for (size_t i = 0; i < cli_ncommands; i++)
            if (cli_commands[i].hidden && strcmp(names[*skip], cli_commands[i].name) == 0)
                return &cli_commands[i];
    return NULL;
}

static int run_classic(struct cli *c, int argc, char **argv, int skip)
{
    int code = c->command->run(c, argc - skip, argv + skip);
    cli_close(c);
    arena_free(&c->scratch);
    arena_free(&c->arena);
    return fflush(stdout) == 0 ? code : CLI_LATER;
}

int main(int argc, char **argv)
{
    int skip;
    if (argc >= 3 && strcmp(argv[1], "role") == 0) /* started by the supervisor */
        return role_main(argv[2]);
    struct cli c = {0};
    arena_init(&c.arena, (size_t)256 << 20);
    arena_init(&c.scratch, (size_t)16 << 20);
    c.command = classic(argc, argv, &skip);
    if (c.command != NULL)
        return run_classic(&c, argc, argv, skip);
    argc = take_globals(&c, argc, argv);
    if (argc < 2) {
        help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help(stdout);
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("postrider " POSTRIDER_VERSION);
        return CLI_OK;
    }
    c.command = find_command(argv[1]);
    if (c.command == NULL)
        return CLI_USAGE;
    if (wants_help(argc - 1, argv + 1)) {
        printf("usage: postrider %s %s\n\n%s\n", c.command->name, c.command->args,
               c.command->summary);
        return CLI_OK;
    }
    int code = c.command->no_settings ? CLI_OK : cli_load_settings(&c);
    if (code == CLI_OK)
        code = c.command->run(&c, argc - 1, argv + 1);
    cli_close(&c);
    arena_free(&c.scratch);
    arena_free(&c.arena);
    if (fflush(stdout) != 0)
        code = CLI_FAILED;
    return code;
}
