/* queue.h: what the files of `postrider queue` share.
 *
 *     cmd_queue.c        the verbs, and the changes
 *     queue_words.c      which deliveries: WHAT and the filters
 *     queue_groups.c     the queue in sums
 *     queue_messages.c   one by one
 *     queue_rules.c      suspend, resume, limit, suppressed */
#ifndef CLI_QUEUE_H
#define CLI_QUEUE_H

#include "cli/cli.h"
#include "post/queue_group.h"

enum queue_verb {
    VERB_LIST,
    VERB_SHOW,
    VERB_RETRY,
    VERB_HOLD,
    VERB_RELEASE,
    VERB_REMOVE,
    VERB_BOUNCE,
    VERB_ROUTE,
    VERB_SUSPEND,
    VERB_RESUME,
    VERB_LIMIT,
    VERB_SUPPRESSED,
    VERBS
};

struct queue_words {
    struct queue_filter f;
    bool what;     /* something was named */
    bool messages; /* --messages, or a single ID */
    bool bounce;   /* --bounce */
    bool sums;     /* --by or --limit */
    enum queue_group_by by;
    uint64_t limit;   /* --limit: destinations or groups shown */
    str_t account;    /* --account, as given: found once there is a store */
    const char *rest; /* VERB_ROUTE: the word behind WHAT */
};
/* Reads argv from the third word on, as `verb` (VERB_LIST to VERB_ROUTE) takes it: with VERB_ROUTE
 * one more word may follow WHAT. CLI_OK, or it has said what is wrong. */
int queue_words_parse(struct cli *c, int argc, char **argv, enum queue_verb verb,
                      struct queue_words *out);
/* With the store at hand: the account. */
int queue_words_settle(struct cli *c, struct queue_words *w);

int queue_list_groups(struct cli *c, const struct queue_words *w);
int queue_list_messages(struct cli *c, const struct queue_words *w);
int queue_suspend(struct cli *c, int argc, char **argv);
int queue_resume(struct cli *c, int argc, char **argv);
int queue_limit(struct cli *c, int argc, char **argv);
int queue_suppressed(struct cli *c, int argc, char **argv);

/* An array that is printed item by item, whatever its length. */
struct json_stream {
    bool open;
};
void json_stream_add(struct json_stream *s, json_t *item);
int json_stream_end(struct json_stream *s);

#endif
