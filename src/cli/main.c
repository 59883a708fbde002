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
     "list | add ADDRESS | remove ADDRESS | password ADDRESS | lock ADDRESS",
     "people with a mailbox (passwords: asked for, or --password-stdin)", false, false},
    {"alias", cmd_alias, "list | set ADDRESS TARGET... | remove ADDRESS",
     "addresses that stand for others, here or elsewhere", false, false},
    {"queue", cmd_queue,
     "list [WHAT] | show ID | retry WHAT | hold WHAT | release WHAT | remove WHAT [--bounce]",
     "mail on its way; WHAT is an ID, a domain, --held or --all", false, false},
    {"trace", cmd_trace, "ID | ADDRESS", "the whole story of a message", false, false},
    {"send", cmd_send,
     "--to ADDRESS... [--from ADDRESS] [--subject TEXT] [--body TEXT] [--server HOST:PORT] [-v]",
     "send a message from standard input or options, by SMTP", false, false},
    {"status", cmd_status, "", "is it running, and how is it", false, false},
    {"check", cmd_check, "config | store",
     "look for mistakes in the configuration, damage in the store", false, false},
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

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "role") == 0) /* started by the supervisor */
        return role_main(argv[2]);
    struct cli c = {0};
    arena_init(&c.arena, (size_t)256 << 20);
    arena_init(&c.scratch, (size_t)16 << 20);
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
