/* directory_edit.h: how a change of the directory is made; for the files of post/ that change it.
 *
 * Each change is written as a function that reads what it needs and fills a batch whose
 * preconditions are what it read. edit_run() commits the batch; if somebody else was faster
 * (STORE_CONFLICT) it all begins again from a new read. */
#ifndef POST_DIRECTORY_EDIT_H
#define POST_DIRECTORY_EDIT_H

#include "post/directory_row.h"

struct edit {
    struct store *s;
    struct err *err;
    struct arena arena;
    struct store_batch batch;
    struct buf value; /* of the row being written */
    /* What was asked for. */
    const char *what; /* `name` is to be such a thing: "alias", "list" …; NULL: it is being made */
    str_t name, target;
    const str_t *targets;
    size_t ntargets;
    void *more;  /* what a change needs besides */
    uint64_t id; /* out: of a new account */
    /* What was read. */
    struct directory_address address;
    str_t domain_name, domain_key, domain_value;
    struct directory_domain domain;
};

typedef enum rc edit_fn(struct edit *e);

enum rc edit_run(struct edit *e, edit_fn *build);
/* What the store said, in words; RC_OK for STORE_OK. */
enum rc edit_failed(struct edit *e, enum store_rc rc);
/* The value under construction as a slice of its own, so that the next row can be built. */
str_t edit_value(struct edit *e);
str_t edit_u64(struct edit *e, uint64_t n); /* the same for a row that is a number */
/* There is no such thing as `what` and `name` say (missing.h). */
enum rc edit_missing(struct edit *e);
enum rc edit_read(struct edit *e, str_t key, bool *present, str_t *value);
enum rc edit_scan_keys(struct edit *e, str_t prefix, uint32_t rows_max, struct store_page *page);
/* Requires a row as it was read (`value`), or absent. */
void edit_require(struct edit *e, str_t key, bool present, str_t value);

/* ---- domains ---- */
enum rc edit_domain_need(struct edit *e); /* domain_name is ours; into domain */
/* The row again, one edit on: see directory_row.h. */
void edit_domain_touch(struct edit *e);

/* ---- addresses ---- */
enum rc edit_address_syntax(struct edit *e, str_t text, struct directory_address *out);
/* Address `name`, its domain (which must be ours), and its row: out->kind NONE if there is none. */
enum rc edit_address_read(struct edit *e, struct directory_entry *out, str_t *key, str_t *value);
/* "is an account already" */
enum rc edit_taken(struct edit *e, const struct directory_entry *there);
/* Nobody may take away what the domain's catch-all leads to. */
enum rc edit_not_catchall(struct edit *e);
/* The row beside the alias `name` if it should be a masked address (mask.h); else empty. */
enum rc edit_mask_row(struct edit *e, const struct directory_entry *alias, str_t *key);

#endif
