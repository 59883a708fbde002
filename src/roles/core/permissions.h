/* permissions.h: what each channel may touch: ONE table, asked for every key of every operation.
 *
 * A row says: in partitions of this kind, keys that begin with this prefix, these rights. What no
 * row grants is denied. A range (of a scan, a delete, a watch) must lie within one row's prefix
 * whole. A batch is granted or denied as a whole.
 *
 * Reading by testing counts as reading: STORE_EQUAL needs RIGHT_GET. Whether a key exists can be
 * learned by creating it, so RIGHT_CREATE includes STORE_ABSENT and STORE_PRESENT, and keys that
 * others may create are named by ids of 80 bits nobody guesses.
 *
 * `anchor`: a row may tie its changes to something that does not exist: a change of PREFIX + ID (10
 * bytes) + … is granted only while ANCHOR + ID + ANCHOR_END is absent. Core adds that precondition
 * to the batch itself unless the batch creates the anchor. So mx can add deliveries to a message it
 * is putting in, but never to one that is there (it would be sent to an address of its choice), and
 * local can write and take back the content of a mail it is delivering, but never touch one that
 * was delivered: nor can it take away the mark that says so, before the owner has removed the
 * mail. */
#ifndef ROLES_CORE_PERMISSIONS_H
#define ROLES_CORE_PERMISSIONS_H

#include "roles/role.h"
#include "store/store.h"

enum right {
    RIGHT_GET = 1 << 0,
    RIGHT_KEYS = 1 << 1, /* scans of keys without values */
    RIGHT_SCAN = 1 << 2,
    RIGHT_CREATE = 1 << 3, /* STORE_PUT_NEW, STORE_PUT_NEXT's row */
    RIGHT_WRITE = 1 << 4,  /* STORE_PUT; any STORE_ADD */
    RIGHT_DELETE = 1 << 5,
    /* STORE_PUT_NEXT's counter; STORE_ADD of 1 to PERMISSIONS_STEP_MAX: counters only grow */
    RIGHT_COUNT = 1 << 6,
    RIGHT_WATCH = 1 << 7,
};
#define PERMISSIONS_STEP_MAX 65536 /* a u64 counter cannot be worn out in steps of this */
#define PERMISSIONS_ID       10    /* bytes of a queue id or content id in keys */
/* different ids in one batch of an anchored role: a message at a time, with room to spare */
#define PERMISSIONS_ANCHORS 4

enum part_rule { PART_ID_ZERO, PART_ID_ANY, PART_ID_OWN /* the account that logged in */ };

struct permission {
    enum part_kind kind;
    enum part_rule id;
    str_t prefix;
    unsigned rights;
    str_t anchor, anchor_end; /* or empty */
};

struct permissions {
    const char *name; /* in the log */
    const struct permission *rows;
    size_t n;
    bool login, set_password;
    int clients_max; /* channels at once; a role's former one may still be closing */
};

/* What one request may do: the table of its channel or, with a session's token, of a session and
 * its account. */
struct grant {
    const struct permissions *table;
    uint64_t account;
};

/* `peer` as in core_serve: ROLE_COUNT is the command line. NULL: this role has no business with
 * core. */
const struct permissions *permissions_of(enum role_id peer);
/* A person who has logged in to read their mail, and one who has to send some. */
extern const struct permissions permissions_session, permissions_sender;

/* The row that grants all of `rights` on the key; NULL: none. */
const struct permission *permissions_key(const struct grant *g, part_t part, str_t key,
                                         unsigned rights);
/* The same for all keys from <= k < end (empty end: to the partition's end). */
const struct permission *permissions_range(const struct grant *g, part_t part, str_t from,
                                           str_t end, unsigned rights);
/* Every key under the prefix. */
const struct permission *permissions_prefix(const struct grant *g, part_t part, str_t prefix,
                                            unsigned rights);

/* Anchors a batch needs: keys that core must require to be absent. */
struct anchors {
    size_t n;
    char key[PERMISSIONS_ANCHORS][STORE_KEY_MAX];
    size_t len[PERMISSIONS_ANCHORS];
};
/* The whole batch. *failed is the op that is not granted. */
bool permissions_batch(const struct grant *g, const struct store_batch *b, struct anchors *anchors,
                       size_t *failed);

#endif
