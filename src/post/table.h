/* table.h: the operator's small tables: which route, which policy, which other address. In
 * PART_DIRECTORY, `tab/NAME/KEY`; changes are seen at once.
 *
 * A key is an address, a domain, or "*"; lower case, domains in A-labels. table_find asks for the
 * most particular one first:
 *
 *     local@domain, domain, .domain and each .parent of it (subdomains), *
 *
 * A value is words as the command line wrote them (at most TABLE_VALUE_MAX bytes); each table's
 * meaning is where it is used. */
#ifndef POST_TABLE_H
#define POST_TABLE_H

#include "base/env.h"
#include "store/store.h"

enum table {
    TABLE_TRANSPORT, /* recipient address or domain -> a route (post/route.h) */
    TABLE_RELAY,     /* sender address or domain -> a route, for mail that leaves */
    TABLE_TLS,       /* destination domain -> none, may, encrypt, verify */
    TABLE_HOLD_SENDER,
    TABLE_HOLD_RECIPIENT,
    TABLE_HOLD_ACCOUNT, /* -> why */
    TABLE_SUSPEND,      /* destination domain, or MX host -> why: nothing is sent there */
    TABLE_LIMIT,        /* destination domain, or MX host -> "connections=N per_minute=N" */
    TABLE_SOURCE,       /* sender address or domain -> addresses to send from, by blanks */
    TABLE_CANONICAL_SENDER,
    TABLE_CANONICAL_RECIPIENT, /* address or domain -> address or @domain */
    TABLE_MASQUERADE,          /* domain (.domain for what is below) -> domain in its place */
    TABLE_GRANT,  /* address or domain -> accounts' addresses that may send as it, by blanks */
    TABLE_BACKUP, /* domain -> we take its mail and pass it to its better MX */
    TABLE_LISTS,  /* list address -> "verp" …: how mail to an alias of many is sent */
    TABLES
};
const char *table_name(enum table t); /* "transport", "hold-sender" … */
bool table_by_name(str_t name, enum table *out);

#define TABLE_KEY_MAX   420
#define TABLE_VALUE_MAX 4096
#define TABLE_PARENTS   8 /* labels looked at from the right; more are skipped from the left */

/* A view of all tables; knows which of them are empty, as most are, while the board's generation of
 * the directory stays the same: asking an empty one costs nothing. Thread-safe. */
struct tables;
struct tables *tables_new(struct env *env); /* NULL: no memory */
void tables_free(struct tables *t);

/* `what`: local@domain or a domain, any case, U-labels or A-labels. *found false: none fits; *value
 * in the arena. *key (may be NULL): the key that fitted. */
enum store_rc table_find(struct tables *t, enum table which, str_t what, struct arena *a,
                         bool *found, str_t *value, str_t *key);

/* A value of TABLE_LIMIT: "connections=N", "per_minute=N" or both, each once; N is 1 to
 * TABLE_LIMIT_MAX. */
struct table_limit {
    uint32_t connections, per_minute; /* 0: not said */
};
#define TABLE_LIMIT_MAX 1000000
bool table_limit_parse(str_t value, struct table_limit *out, struct err *err);
/* Whether a value has the form its table asks for; *err says what is wrong. */
bool table_check(enum table which, str_t value, struct err *err);
/* For the command line. *err says what is wrong with key or value and what to do; values are
 * checked by table_check. */
enum rc table_set(struct store *s, enum table which, str_t key, str_t value, struct err *err);
enum rc table_remove(struct store *s, enum table which, str_t key, struct err *err);
typedef bool table_row_fn(void *user, str_t key, str_t value); /* false: stop */
enum store_rc table_list(struct store *s, enum table which, table_row_fn *fn, void *user);

#endif
