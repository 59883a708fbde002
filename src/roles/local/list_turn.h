/* list_turn.h: a list's members, page by page: see list_turn.c. */
#ifndef ROLES_LOCAL_LIST_TURN_H
#define ROLES_LOCAL_LIST_TURN_H

#include "roles/local/local.h"

/* members of one turn: each may be a row, and a batch holds STORE_BATCH_OPS */
#define LOCAL_LIST_PAGE 400

/* Whether it is a list's own delivery, not one to addresses. */
bool list_turn_is(const struct queue_delivery *d);
/* The ids of the lists it came through (struct expander); or empty. */
str_t list_turn_through(const struct queue_delivery *d);
/* Makes j's outcome: verdict and further rows. Not STORE_OK: the directory cannot be read now. */
enum store_rc list_turn(struct local *l, struct job *j);
/* Instead: it stays where it stands, and is tried again. */
void list_turn_waits(struct job *j, const char *why);

#endif
