/* story_steps.h: between the files of a story: where it stands, and what its steps share.
 *
 * A step finds its words in the story and takes its block line by line; it returns false after
 * saying what is wrong (world.h). What each step is for: story.h. */
#ifndef TESTS_SCENARIO_STORY_STEPS_H
#define TESTS_SCENARIO_STORY_STEPS_H

#include "world.h"

enum { LINES_MAX = 400, WORDS_MAX = 40 };

struct story {
    struct world *w;
    str_t line[LINES_MAX]; /* as in the file */
    size_t n, at;
    unsigned seen[LINES_MAX], all[LINES_MAX]; /* alternatives of `tried`, over all seeds */
    uint64_t seeds;
    struct mta *mta; /* what is spoken about */
    bool restarted;
    str_t word[WORDS_MAX]; /* of this step */
    size_t nwords;
    str_t rest;   /* of its line, after the first word */
    str_t sender; /* of what was taken last, without <> */
    str_t mask;   /* the masked address made last */
};

/* ---- reading: story.c ---- */
bool is(const struct story *s, size_t i, const char *word); /* word i of this step is that */
bool grammar(struct story *s, const char *how); /* says how the step is written; false */
bool time_ms(struct story *s, str_t word, int64_t *out);
bool bracketed(struct story *s, str_t word, str_t *out);
bool address(struct story *s, str_t word, struct netaddr *out);
/* the next line of this step's block, without the blanks before it */
bool block_line(struct story *s, str_t *line);
str_t after_mark(str_t line);                   /* "| text" gives text */
bool block_wanted(struct story *s, str_t *out); /* the whole block, as look_lines takes it */
/* goes on to the step after this one, if it is that */
bool next_is(struct story *s, const char *word);
bool about(int64_t ms, int64_t want); /* ± 20 % */
bool start_all(struct story *s);      /* the servers that do not run yet */

/* ---- steps ---- */
bool step_seeds(struct story *s);
bool step_server(struct story *s);
bool step_set(struct story *s);
bool step_domain(struct story *s);
bool step_account(struct story *s);
bool step_alias(struct story *s);
bool step_no(struct story *s);
bool step_list(struct story *s);
bool step_table(struct story *s);
bool step_mask(struct story *s);
bool step_dns(struct story *s);
bool step_host(struct story *s);
bool step_mail(struct story *s);
bool step_retry(struct story *s);
bool step_pass(struct story *s);
bool step_restart(struct story *s);
bool step_operator(struct story *s);
bool step_etrn(struct story *s);
bool step_tried(struct story *s);
bool step_sources(struct story *s);
bool step_taken(struct story *s);
bool step_inbox(struct story *s);
bool step_queue(struct story *s);
void story_ending(struct story *s); /* what must be so when a story is over */

void sweep(struct world *w);
bool queue_is_empty(struct story *s);

#endif
