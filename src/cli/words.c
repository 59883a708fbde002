/* words.c: mistyped words, passwords at the terminal. See cli.h. */
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cli.h"

enum { WORD_MAX = 32, PASSWORD_MAX = 1024 };

/* Edit distance with neighbouring letters swapped counting one; words longer than WORD_MAX are far
 * from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    size_t d[WORD_MAX + 1][WORD_MAX + 1];
    if (n > WORD_MAX || m > WORD_MAX)
        return WORD_MAX;
    for (size_t i = 0; i <= n; i++)
        d[i][0] = i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

const char *cli_nearest(const char *word, const char *const *words, size_t n)
{
    const char *near = NULL;
    size_t best = strlen(word) <= 3 ? 2 : 3; /* that many changes make another word of it */
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(word, words[i]);
        if (d < best) {
            best = d;
            near = words[i];
        }
    }
    return near;
}

int cli_verb(struct cli *c, const char *word, const char *const *verbs, size_t n)
{
    if (word == NULL) {
        cli_usage(c);
        return -1;
    }
    for (size_t i = 0; i < n; i++)
        if (strcmp(word, verbs[i]) == 0)
            return (int)i;
    const char *near = cli_nearest(word, verbs, n);
    cli_fail(c, CLI_USAGE, "`%s` has no \"%s\"%s%s%s", c->command->name, word,
             near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    cli_usage(c);
    return -1;
}

static bool read_line(char *to, size_t cap)
{
    if (fgets(to, (int)cap, stdin) == NULL)
        return false;
    size_t n = strcspn(to, "\r\n");
    if (to[n] == '\0' && n == cap - 1)
        return false; /* longer than a password may be */
    to[n] = '\0';
    return true;
}

static bool ask(const char *prompt, char *to, size_t cap)
{
    struct termios was, quiet;
    if (tcgetattr(STDIN_FILENO, &was) != 0)
        return false;
    quiet = was;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    fputs(prompt, stderr);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    bool ok = read_line(to, cap);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
    fputc('\n', stderr);
    return ok;
}

bool cli_password(struct cli *c, bool from_stdin, str_t *out)
{
    char first[PASSWORD_MAX] = "", second[PASSWORD_MAX] = "";
    bool ok = false;
    if (from_stdin)
        ok = read_line(first, sizeof first);
    else if (!isatty(STDIN_FILENO))
        cli_fail(c, CLI_USAGE, "there is no terminal to ask for a password; use --password-stdin");
    else if (ask("Password: ", first, sizeof first) && ask("Again: ", second, sizeof second)) {
        ok = strcmp(first, second) == 0;
        if (!ok)
            cli_fail(c, CLI_FAILED, "the two passwords differ; nothing was changed");
    }
    if (ok && first[0] == '\0') {
        cli_fail(c, CLI_FAILED, "an empty password is not allowed");
        ok = false;
    } else if (!ok && from_stdin) {
        cli_fail(c, CLI_FAILED, "no password of up to %d bytes on standard input",
                 PASSWORD_MAX - 2);
    }
    *out = ok ? arena_dup(&c->arena, str_c(first)) : STR_NONE;
    explicit_bzero(first, sizeof first);
    explicit_bzero(second, sizeof second);
    return ok;
}
