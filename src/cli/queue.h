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

struct queue_words {
    struct queue_filter f;
    bool what;     /* something was named */
    bool messages; /* --messages, or a single ID */
    bool bounce;   /* --bounce */
    enum queue_group_by by;
    uint64_t limit;   /* --limit: destinations or groups shown */
    str_t account;    /* --account, as given: found once there is a store */
    const char *rest; /* the last plain word, where one more is allowed */
};
/* Reads argv from `from` on. `words`: plain words that may follow WHAT (0 or 1). CLI_OK, or it has
 * said what is wrong. */
int queue_words_parse(struct cli *c, int argc, char **argv, int from, int words,
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
