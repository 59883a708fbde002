/* story.c: reads a story and walks through its steps. See story.h. */
#include "story.h"

#include <stdio.h>
#include <stdlib.h>

#include "story_steps.h"

enum { SEEDS_DEFAULT = 4, SPREAD = 5 /* 1/5: ±20 % */ };

/* ---- reading ---- */

static bool part_of_block(str_t line)
{
    return line.len > 0 && line.ptr[0] == ' ';
}

static bool says_nothing(str_t line)
{
    return str_trim(line).len == 0 || line.ptr[0] == '#';
}

static void words(struct story *s, str_t line)
{
    str_t word;
    s->nwords = 0;
    s->rest = STR_NONE;
    line = str_trim(line);
    while (line.len > 0 && s->nwords < WORDS_MAX) {
        if (!str_cut(&line, ' ', &word)) {
            word = line;
            line = STR_NONE;
        }
        s->word[s->nwords++] = word;
        line = str_trim(line);
        if (s->nwords == 1)
            s->rest = line;
    }
}

/* The next line of this step's block, without the blanks before it. */
bool block_line(struct story *s, str_t *line)
{
    if (s->at == s->n || !part_of_block(s->line[s->at]))
        return false;
    *line = s->line[s->at++];
    while (line->len > 0 && line->ptr[0] == ' ')
        *line = str_from(*line, 1);
    s->w->line = (unsigned)s->at;
    return true;
}

/* "| text" gives text. */
str_t after_mark(str_t line)
{
    return str_from(line, line.len > 1 && line.ptr[1] == ' ' ? 2 : 1);
}

/* The block as lines that look_lines takes. */
bool block_wanted(struct story *s, str_t *out)
{
    struct buf b;
    str_t line;
    bool ok = true;
    buf_init(&b, 1 << 16);
    while (ok && block_line(s, &line)) {
        if (str_starts(line, STR("! ")))
            buf_add(&b, line);
        else if (str_starts(line, STR("|")))
            buf_add(&b, after_mark(line));
        else
            ok = wrong(s->w, "a line that is expected begins with | or !");
        buf_addc(&b, '\n');
    }
    *out = arena_dup(&s->w->arena, buf_str(&b));
    buf_free(&b);
    return ok;
}

bool time_ms(struct story *s, str_t word, int64_t *out)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    uint64_t n;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (word.len > 1 && word.ptr[word.len - 1] == units[i].unit &&
            str_u64(str_first(word, word.len - 1), 100000, &n)) {
            *out = (int64_t)n * units[i].ms;
            return true;
        }
    }
    return wrong(s->w, "a time is written as 90s, 5m, 4h or 5d");
}

bool bracketed(struct story *s, str_t word, str_t *out)
{
    *out = word.len >= 2 ? str_of(word.ptr + 1, word.len - 2) : STR_NONE;
    if (!str_starts(word, STR("<")) || !str_ends(word, STR(">")))
        return wrong(s->w, "an address of mail is written in <>");
    return true;
}

bool address(struct story *s, str_t word, struct netaddr *out)
{
    return netaddr_parse(word, out) || wrong(s->w, STR_FMT " is no IP address", STR_ARG(word));
}

bool is(const struct story *s, size_t i, const char *word)
{
    return i < s->nwords && str_eq(s->word[i], str_c(word));
}

bool grammar(struct story *s, const char *how)
{
    return wrong(s->w, "it is written: %s", how);
}

/* The step after this one, if it is that. */
bool next_is(struct story *s, const char *word)
{
    while (s->at < s->n && says_nothing(s->line[s->at]))
        s->at++;
    if (s->at == s->n || !str_starts(s->line[s->at], str_c(word)))
        return false;
    words(s, s->line[s->at++]);
    s->w->line = (unsigned)s->at;
    return true;
}

bool about(int64_t ms, int64_t want)
{
    return ms >= want - want / SPREAD && ms <= want + want / SPREAD;
}

bool start_all(struct story *s)
{
    for (size_t i = 0; i < s->w->nmtas; i++)
        if (!mta_start(s->w->mta[i]))
            return false;
    return true;
}

/* ---- the whole ---- */

static const struct step {
    const char *word;
    bool (*run)(struct story *s);
    enum { ANYWHERE, WITH_SERVER, RUNNING } when;
} steps[] = {
    {"seeds", step_seeds, ANYWHERE},
    {"server", step_server, ANYWHERE},
    {"dns", step_dns, ANYWHERE},
    {"host", step_host, ANYWHERE},
    {"set", step_set, WITH_SERVER},
    {"domain", step_domain, WITH_SERVER},
    {"account", step_account, WITH_SERVER},
    {"alias", step_alias, WITH_SERVER},
    {"no", step_no, WITH_SERVER},
    {"list", step_list, WITH_SERVER},
    {"table", step_table, WITH_SERVER},
    {"mask", step_mask, WITH_SERVER},
    {"mail", step_mail, RUNNING},
    {"retry", step_retry, RUNNING},
    {"pass", step_pass, RUNNING},
    {"operator", step_operator, RUNNING},
    {"etrn", step_etrn, RUNNING},
    {"restart", step_restart, RUNNING},
    {"tried", step_tried, RUNNING},
    {"sources", step_sources, RUNNING},
    {"taken", step_taken, RUNNING},
    {"inbox", step_inbox, RUNNING},
    {"queue", step_queue, RUNNING},
};

static bool one_step(struct story *s)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (!is(s, 0, steps[i].word))
            continue;
        if (steps[i].when != ANYWHERE && s->mta == NULL)
            return wrong(s->w, "first there must be a server");
        if (steps[i].when == RUNNING && !start_all(s))
            return false;
        return steps[i].run(s);
    }
    return wrong(s->w, "unknown word: " STR_FMT, STR_ARG(s->word[0]));
}

static void play_once(struct story *s)
{
    struct world *w = s->w;
    str_t left;
    s->at = 0;
    s->mta = NULL;
    s->restarted = false;
    s->sender = s->mask = STR_NONE;
    while (s->at < s->n && w->wrong[0] == '\0') {
        str_t line = s->line[s->at++];
        w->line = (unsigned)s->at;
        if (says_nothing(line))
            continue;
        words(s, line);
        if (part_of_block(line) || !one_step(s) || block_line(s, &left))
            (void)wrong(w, "this belongs to no step");
        else if (s->mta != NULL && s->mta->started)
            world_settle(w);
    }
    if (w->wrong[0] == '\0' && s->mta != NULL && start_all(s))
        story_ending(s);
}

/* What `tried … or …` promised must all have happened, with one seed or another. */
static void all_seen(struct story *s)
{
    for (size_t i = 0; i < s->n && s->w->wrong[0] == '\0'; i++) {
        s->w->line = (unsigned)i + 1;
        if (s->seen[i] != s->all[i])
            (void)wrong(s->w, "one of these was never tried so, with %lu seeds",
                        (unsigned long)s->seeds);
    }
}

bool story_play(const char *name, str_t text, char *what, size_t cap)
{
    struct story *s = calloc(1, sizeof *s);
    must(s != NULL);
    s->seeds = SEEDS_DEFAULT;
    what[0] = '\0';
    while (s->n < LINES_MAX && str_cut(&text, '\n', &s->line[s->n]))
        s->n++;
    for (uint64_t seed = 1; seed <= s->seeds && what[0] == '\0'; seed++) {
        s->w = world_new(name, seed);
        if (text.len > 0)
            (void)wrong(s->w, "more than %d lines, or no end of line", LINES_MAX);
        play_once(s);
        if (seed >= s->seeds)
            all_seen(s);
        if (s->w->wrong[0] != '\0')
            snprintf(what, cap, "%s (seed %lu)", s->w->wrong, (unsigned long)seed);
        world_free(s->w);
    }
    free(s);
    return what[0] == '\0';
}
