/* test_scenarios.c: plays every file of tests/scenarios/mail: the whole mail path in one thread,
 * with fake DNS, clock and peers. What a scenario may say is in scenario/story.h. Names given as
 * arguments: only those; with SCENARIO_LOG in the environment the servers log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "roles/log.h"
#include "roles/mail_scenarios.h"
#include "scenario/story.h"
#include "scenario/world.h"

enum { FILES_MAX = 100, FILE_MAX = 1 << 16, WRONG_MAX = 9000 };

static void play_text(void **state, const char *name, str_t text)
{
    char wrong[WRONG_MAX];
    (void)state;
    if (!story_play(name, text, wrong, sizeof wrong))
        fail_msg("%s", wrong);
}

static void play_file(void **state)
{
    const char *name = *state;
    char path[500];
    static char text[FILE_MAX];
    snprintf(path, sizeof path, "%s/%s", MAIL_SCENARIOS, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    assert_in_range(n, 1, sizeof text - 1);
    play_text(state, name, str_of(text, n));
}

/* A language in which nothing can fail would prove nothing: each of these is wrong, and it is said
 * where. */
#define WORLD                                                                             \
    "server mx.us.test 192.0.2.10\ndomain us.test\naccount anna@us.test\ndns far.test A " \
    "198.51.100.1\n"                                                                      \
    "host 198.51.100.1 accepts\n"
#define SENT WORLD "mail from <anna@us.test> to <bob@far.test>\n"
#define HOME WORLD "mail from <bob@far.test> to <anna@us.test>\n"

static const struct {
    const char *text, *wrong;
} wrongs[] = {
    {"sevrer mx.us.test 192.0.2.10\n", "story:1: unknown word: sevrer (seed 1)"},
    {"domain us.test\n", "story:1: first there must be a server (seed 1)"},
    {"  | text\n", "story:1: this belongs to no step (seed 1)"},
    {WORLD "pass 4h\n  | text\n", "story:7: this belongs to no step (seed 1)"},
    {WORLD "pass 4 hours\n", "story:6: it is written: pass TIME (seed 1)"},
    {WORLD "pass 4x\n", "story:6: a time is written as 90s, 5m, 4h or 5d (seed 1)"},
    {WORLD "dns far.test TXT x\n",
     "story:6: it is written: dns NAME MX|A|AAAA|CNAME DATA (seed 1)"},
    {"server mx.us.test 192.0.2.10\nset retry_frist = 5m\nmail from <> to <a@us.test>\n",
     "story:3: *retry_first* (seed 1)"},
    {SENT, "story:6: nobody told of a message taken from <anna@us.test> to <bob@far.test>*"},
    {HOME, "story:6: nobody told of a message for anna@us.test*"},
    {SENT "sources 192.0.2.10\n", "story:7: connection 1 was made from any (seed 1)"},
    {SENT "sources any any\n", "story:7: there were 1 connections (seed 1)"},
    {HOME "operator unsuppress bob@far.test\n", "story:7: it is not suppressed (seed 1)"},
    {WORLD "mail from <anna@us.test> to <bob@far.test> as eve@us.test\n",
     "story:6: the mail was answered 535 * (seed 1)"},
    {SENT "taken 198.51.100.1 from <anna@us.test> to <eve@far.test>\n",
     "story:7: what it took is from <anna@us.test> to <bob@far.test> (seed 1)"},
    {SENT "tried 198.51.100.2\n", "story:7: what was tried: 198.51.100.1 (seed 1)"},
    {SENT "taken 198.51.100.1 from <anna@us.test> to <bob@far.test>\n  | Hello?\n",
     "story:8: not so: Hello?*"},
    {SENT "taken 198.51.100.1 from <anna@us.test> to <bob@far.test>\n  ! Hello.\n",
     "story:8: not so: ! Hello.*"},
    {SENT "taken 198.51.100.1 from <anna@us.test> to <bob@far.test>\n  | Hello.\n  | Subject: *\n",
     "story:9: not so: Subject: **"},
    {HOME "inbox anna@us.test\ninbox anna@us.test\n",
     "story:8: there is no further message (seed 1)"},
    {HOME "inbox anna@us.test empty\n", "story:7: there is a message:*"},
    {WORLD "mail from <> to <eve@us.test>\n",
     "story:6: the mail was answered 550 5.1.1 * (seed 1)"},
    {WORLD "host 198.51.100.1 refuses\nmail from <> to <bob@far.test>\n",
     "story:7: in the queue there is still mail for <bob@far.test> (seed 1)"},
    {WORLD "host 198.51.100.1 refuses\nmail from <> to <bob@far.test>\nretry after 8m\n",
     "story:8: the next thing is due after * s (seed 1)"},
    {WORLD "dns far.test A 198.51.100.7\ndns far.test A NODATA\ndns far.test AAAA "
           "2001:db8::1\nmail from <> to <bob@far.test>\n",
     "story:9: nobody was to be tried at 2001:db8::1 (seed 1)"},
    {SENT "taken 198.51.100.1 from <anna@us.test> to <bob@far.test>\ntried 198.51.100.1 or "
          "198.51.100.2\n",
     "story:8: one of these was never tried so, with 4 seeds (seed 4)"},
};

static void wrong_stories(void **state)
{
    char wrong[WRONG_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        bool ok = story_play("story", str_c(wrongs[i].text), wrong, sizeof wrong);
        if (ok || !wild(str_c(wrongs[i].wrong), str_c(wrong)))
            fail_msg("story %zu: %.500s; expected: %s", i, ok ? "nothing wrong" : wrong,
                     wrongs[i].wrong);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct CMUnitTest *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static bool asked_for(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[FILES_MAX];
    size_t n = 0;
    struct dirent *e;
    log_quiet(getenv("SCENARIO_LOG") == NULL);
    DIR *dir = opendir(MAIL_SCENARIOS);
    if (dir == NULL)
        return EXIT_FAILURE;
    while (n < FILES_MAX - 1 && (e = readdir(dir)) != NULL) {
        if (!str_ends(str_c(e->d_name), STR(".scenario")) || !asked_for(e->d_name, argc, argv))
            continue;
        char *name = strdup(e->d_name);
        tests[n++] =
            (struct CMUnitTest){.name = name, .test_func = play_file, .initial_state = name};
    }
    closedir(dir);
    if (n == 0)
        return EXIT_FAILURE;
    qsort(tests, n, sizeof *tests, by_name);
    size_t files = n;
    tests[n++] =
        (struct CMUnitTest){.name = "wrong stories are found out", .test_func = wrong_stories};
    int status = _cmocka_run_group_tests("scenarios", tests, n, NULL, NULL);
    for (size_t i = 0; i < files; i++)
        free(tests[i].initial_state);
    return status;
}
