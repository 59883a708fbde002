/* mailing_list.h: lists of any number of members, in the directory.
 *
 *     addr/DOMAIN/LOCAL      kind list, with the list's id
 *     list/ID/DOMAIN/LOCAL   a member, by its domain; no value
 *     tab/lists/ADDRESS      how mail to it is sent: "owner=ADDRESS verp" (table.h)
 *
 * An id is never used again, so what is on its way to a list that was deleted finds nobody. Members
 * come and go by batches of their own: only to make and to delete a list touches its domain.
 *
 * A list changes the reverse-path (RFC 5321 3.9.2): what cannot be delivered is told to its owner,
 * by default the postmaster of its domain. With verp each member has a reverse-path of its own,
 * owner+member=their.domain@list.domain, so that a bounce tells by itself whose address is bad. TABLE_LISTS
 * makes such a list of an alias as well. */
#ifndef POST_MAILING_LIST_H
#define POST_MAILING_LIST_H

#include "post/directory.h"
#include "post/table.h"

/* `owner` may be empty. With `verp` or an owner it writes its row of TABLE_LISTS. */
enum rc mailing_list_create(struct store *s, str_t address, str_t owner, bool verp,
                            struct err *err);
/* With all its members; and its row of TABLE_LISTS. */
enum rc mailing_list_delete(struct store *s, str_t address, struct err *err);
/* Any number; those that are there (or not) already do no harm. Batches: if it fails halfway, *err
 * says so, and to repeat it does no harm either. *changed: how many were new (or gone). */
enum rc mailing_list_add(struct store *s, str_t address, const str_t *members, size_t n,
                         size_t *changed, struct err *err);
enum rc mailing_list_drop(struct store *s, str_t address, const str_t *members, size_t n,
                          size_t *changed, struct err *err);
/* Its id; 0: there is no such list. */
enum store_rc mailing_list_find(struct store *s, str_t address, uint64_t *id);

struct mailing_list_member {
    str_t address, domain;
    str_t at; /* where it stands: `after` of the next page */
};
#define MAILING_LIST_AFTER_MAX STORE_KEY_MAX
/* At most `max` members after that one (empty: from the start), in the arena. */
enum store_rc mailing_list_page(struct store *s, uint64_t id, str_t after, uint32_t max,
                                struct arena *a, struct mailing_list_member **out, size_t *n,
                                bool *more);

/* How mail to an address is sent to those behind it. `list`: it is a list by kind; else only a row
 * of exactly its address makes it one (`is`). */
struct mailing_list_rules {
    bool is, verp;
    str_t owner; /* local@domain */
};
enum store_rc mailing_list_rules(struct tables *t, str_t local, str_t domain, bool list,
                                 struct arena *a, struct mailing_list_rules *out);
/* The reverse-path with which a member gets it; the owner itself where that would be too long. */
str_t mailing_list_sender(const struct mailing_list_rules *r, str_t member, char separator,
                          struct arena *a);

#endif
