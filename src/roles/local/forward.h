/* forward.h: further deliveries of a message, made in the batch that ends this one; between forward.c
 * and list_turn.c. */
#ifndef ROLES_LOCAL_FORWARD_H
#define ROLES_LOCAL_FORWARD_H

#include "roles/local/expand.h"
#include "roles/local/local.h"

struct rows {
    struct job *j;
    int64_t now_ms;
    bool ok;
};
/* Into j->more, room for `most` of them. False: no memory. */
bool rows_begin(struct rows *r, struct job *j, size_t most);
/* Numbered, and with what it has of the message; `what` is the rest. */
void rows_add(struct rows *r, const struct queue_delivery *what);
/* The message's row, if any was added; leaves j->m as it will be. */
bool rows_end(struct rows *r);

/* list_turn.c: the first row of a list (LEAF_LIST). */
void list_row(struct rows *r, const struct leaf *l);

#endif
