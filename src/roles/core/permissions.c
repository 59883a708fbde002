/* permissions.c: see permissions.h. First the table, then how it is asked. */
#include "roles/core/permissions.h"

#define READ   (RIGHT_GET | RIGHT_KEYS | RIGHT_SCAN)
#define CHANGE (RIGHT_CREATE | RIGHT_WRITE | RIGHT_DELETE)
#define ALL    (READ | CHANGE | RIGHT_COUNT | RIGHT_WATCH)

#define DIRECTORY(p, r)                                         \
    {                                                           \
        .kind = PART_DIRECTORY, .prefix = STR(p), .rights = (r) \
    }
#define QUEUE(p, r)                                         \
    {                                                       \
        .kind = PART_QUEUE, .prefix = STR(p), .rights = (r) \
    }
#define QUEUE_IF_NEW(p, r, a)                                                 \
    {                                                                         \
        .kind = PART_QUEUE, .prefix = STR(p), .rights = (r), .anchor = STR(a) \
    }
#define MAILBOX(p, r)                                                         \
    {                                                                         \
        .kind = PART_USER, .id = PART_ID_ANY, .prefix = STR(p), .rights = (r) \
    }
#define MAILBOX_IF_NEW(p, r, a)                                                                 \
    {                                                                                           \
        .kind = PART_USER, .id = PART_ID_ANY, .prefix = STR(p), .rights = (r), .anchor = STR(a) \
    }
#define MAILBOX_IF_GONE(p, r, a, e)                                                              \
    {                                                                                            \
        .kind = PART_USER, .id = PART_ID_ANY, .prefix = STR(p), .rights = (r), .anchor = STR(a), \
        .anchor_end = STR(e)                                                                     \
    }
#define RELAY_SECRET(r)                                             \
    {                                                               \
        .kind = PART_SECRET, .prefix = STR("relay/"), .rights = (r) \
    }
/* The key of return paths: post/return_path.h. Core makes it; nobody writes it. */
#define HMAC_KEY                                                            \
    {                                                                       \
        .kind = PART_SECRET, .prefix = STR("hmac/key"), .rights = RIGHT_GET \
    }
#define OWN(p, r)                                                             \
    {                                                                         \
        .kind = PART_USER, .id = PART_ID_OWN, .prefix = STR(p), .rights = (r) \
    }

/* Rows are described in post/queue.h, post/directory.h, post/mailbox.h. */

/* mx: looks recipients up, puts messages in, takes back what it has not finished, reads nothing. */
static const struct permission mx_rows[] = {
    DIRECTORY("tab/", READ), /* post/table.h */
    DIRECTORY("dom/", RIGHT_GET),
    DIRECTORY("addr/", RIGHT_GET),
    DIRECTORY("first/domain", RIGHT_GET), /* <postmaster> without a domain */
    DIRECTORY("acct/", RIGHT_KEYS),       /* the first account: postmaster's */
    QUEUE("m/", RIGHT_CREATE),
    QUEUE("c/", RIGHT_CREATE),
    QUEUE_IF_NEW("c/", RIGHT_DELETE, "m/"), /* content whose sender hung up */
    QUEUE_IF_NEW("dr/", RIGHT_CREATE, "m/"),
    QUEUE_IF_NEW("dl/", RIGHT_CREATE, "m/"),
    QUEUE("etrn/", RIGHT_WRITE), /* asks courier to try a domain now: post/queue.h */
    HMAC_KEY,
};

/* user: before anybody has logged in it can ask whether an address is one of ours, as mx can for
 * everybody; it can list none. */
static const struct permission user_rows[] = {
    DIRECTORY("dom/", RIGHT_GET),
    DIRECTORY("addr/", RIGHT_GET),
    DIRECTORY("first/domain", RIGHT_GET),
    DIRECTORY("acct/", RIGHT_KEYS),
    DIRECTORY("tab/", RIGHT_GET | RIGHT_KEYS),
};

/* courier: deliveries to other servers, bounces, the sweep of the queue. */
static const struct permission courier_rows[] = {
    DIRECTORY("tab/", READ | RIGHT_WATCH), /* post/table.h */
    QUEUE("m/", READ | CHANGE),
    QUEUE("c/", READ | CHANGE),
    QUEUE("dr/", READ | CHANGE | RIGHT_WATCH),
    QUEUE("dl/", READ | CHANGE),
    QUEUE("t/", READ | CHANGE),
    QUEUE("lease/courier", RIGHT_GET | RIGHT_COUNT),
    QUEUE("etrn/", RIGHT_GET | RIGHT_KEYS | RIGHT_DELETE | RIGHT_WATCH),
    QUEUE("b/", READ | CHANGE),               /* why destinations wait: post/queue_wait.h */
    QUEUE("s/", READ | CHANGE | RIGHT_WATCH), /* addresses that do not exist: queue_suppress.h */
    RELAY_SECRET(RIGHT_GET),                  /* what it says at AUTH to a smarthost */
};

/* local: expands addresses, puts mail into mailboxes, reads none there. It sweeps the marks of
 * deliveries, but only those whose content (its first chunk) the owner has removed: as long as a
 * mark stands, nothing it stands for can be changed. */
static const struct permission local_rows[] = {
    HMAC_KEY,
    DIRECTORY("list/", RIGHT_KEYS),
    DIRECTORY("tab/", READ), /* post/table.h */
    DIRECTORY("dom/", RIGHT_GET),
    DIRECTORY("addr/", RIGHT_GET),
    DIRECTORY("first/domain", RIGHT_GET),
    DIRECTORY("acct/", RIGHT_KEYS),
    QUEUE("m/", READ | CHANGE),
    QUEUE("c/", READ | CHANGE),
    QUEUE("dr/", READ | CHANGE),
    QUEUE("dl/", READ | CHANGE | RIGHT_WATCH),
    QUEUE("t/", READ | CHANGE),
    QUEUE("lease/local", RIGHT_GET | RIGHT_COUNT),
    MAILBOX("f/", RIGHT_GET | RIGHT_CREATE),
    MAILBOX("seen/", RIGHT_GET | RIGHT_KEYS | RIGHT_CREATE),
    MAILBOX_IF_GONE("seen/", RIGHT_DELETE, "b/", "/\0\0\0\0"),
    MAILBOX("uid/", RIGHT_COUNT),
    MAILBOX("modseq", RIGHT_COUNT),
    MAILBOX("u/", RIGHT_CREATE),
    MAILBOX_IF_NEW("b/", RIGHT_KEYS | RIGHT_CREATE | RIGHT_WRITE | RIGHT_DELETE, "seen/"),
};

/* A person who has logged in. Counters only grow: a UID is never given twice. */
static const struct permission session_rows[] = {
    OWN("f/", READ | CHANGE),        OWN("u/", READ | CHANGE),          OWN("b/", READ | CHANGE),
    OWN("uid/", READ | RIGHT_COUNT), OWN("modseq", READ | RIGHT_COUNT),
};

/* A person who has logged in to send mail: as mx, and counts what they send. Nothing can be read of
 * what is in the queue, and nothing of a mailbox. That the message says whose it is (its `account`) is
 * up to the role: core looks into no record. */
static const struct permission sender_rows[] = {
    DIRECTORY("dom/", RIGHT_GET),
    DIRECTORY("addr/", RIGHT_GET),
    DIRECTORY("first/domain", RIGHT_GET),
    DIRECTORY("acct/", RIGHT_KEYS),
    DIRECTORY("tab/", RIGHT_GET | RIGHT_KEYS),
    QUEUE("m/", RIGHT_CREATE),
    QUEUE("c/", RIGHT_CREATE),
    QUEUE_IF_NEW("c/", RIGHT_DELETE, "m/"),
    QUEUE_IF_NEW("dr/", RIGHT_CREATE, "m/"),
    QUEUE_IF_NEW("dl/", RIGHT_CREATE, "m/"),
    OWN("rate/", READ | RIGHT_COUNT | RIGHT_DELETE),
    HMAC_KEY,
};

/* The command line, for the owner of the data folder. Hashes and keys are not read by anybody;
 * passwords for smarthosts are written here, and read by courier alone. */
static const struct permission admin_rows[] = {
    {.kind = PART_NODE, .rights = READ},
    DIRECTORY("", ALL),
    RELAY_SECRET(CHANGE | RIGHT_KEYS),
    QUEUE("", ALL),
    {.kind = PART_USER, .id = PART_ID_ANY, .rights = ALL & ~(unsigned)RIGHT_WATCH},
};

#define ROWS(v) .rows = (v), .n = sizeof(v) / sizeof *(v)

enum { ROLE_CLIENTS = 4, ADMIN_CLIENTS = 32 };

static const struct permissions mx = {.name = "mx", ROWS(mx_rows), .clients_max = ROLE_CLIENTS};
static const struct permissions user = {
    .name = "user", ROWS(user_rows), .login = true, .clients_max = ROLE_CLIENTS};
static const struct permissions courier = {
    .name = "courier", ROWS(courier_rows), .clients_max = ROLE_CLIENTS};
static const struct permissions local = {
    .name = "local", ROWS(local_rows), .clients_max = ROLE_CLIENTS};
static const struct permissions admin = {
    .name = "admin", ROWS(admin_rows), .set_password = true, .clients_max = ADMIN_CLIENTS};
const struct permissions permissions_session = {.name = "session", ROWS(session_rows)};
const struct permissions permissions_sender = {.name = "sender", ROWS(sender_rows)};

const struct permissions *permissions_of(enum role_id peer)
{
    switch (peer) {
    case ROLE_MX: return &mx;
    case ROLE_USER: return &user;
    case ROLE_COURIER: return &courier;
    case ROLE_LOCAL: return &local;
    case ROLE_COUNT: return &admin;
    case ROLE_SUPERVISOR:
    case ROLE_CORE:
    case ROLE_RESOLVER: return NULL;
    }
    return NULL;
}

/* ---- asking ---- */

static bool part_granted(const struct grant *g, const struct permission *p, part_t part)
{
    if (p->kind != part.kind)
        return false;
    switch (p->id) {
    case PART_ID_ZERO: return part.id == 0;
    case PART_ID_ANY: return true;
    case PART_ID_OWN: return part.id == g->account;
    }
    return false;
}

const struct permission *permissions_prefix(const struct grant *g, part_t part, str_t prefix,
                                            unsigned rights)
{
    for (size_t i = 0; i < g->table->n; i++) {
        const struct permission *p = &g->table->rows[i];
        if ((p->rights & rights) == rights && part_granted(g, p, part) &&
            str_starts(prefix, p->prefix))
            return p;
    }
    return NULL;
}

const struct permission *permissions_key(const struct grant *g, part_t part, str_t key,
                                         unsigned rights)
{
    return permissions_prefix(g, part, key, rights);
}

/* Every key below `end` and not below something that starts with the prefix starts with it too, or
 * is below all that does not: so `end` must start with the prefix, or be the first key after it. */
static bool end_within(str_t end, str_t prefix)
{
    if (prefix.len == 0)
        return true;
    if (end.len == 0)
        return false;
    if (str_starts(end, prefix))
        return true;
    /* the prefix with its last byte one higher (no prefix of the table ends in 0xff; ids may) */
    while (prefix.len > 0 && (unsigned char)prefix.ptr[prefix.len - 1] == 0xff)
        prefix.len--;
    if (prefix.len == 0 || end.len != prefix.len)
        return false;
    return memcmp(end.ptr, prefix.ptr, prefix.len - 1) == 0 &&
           (unsigned char)end.ptr[prefix.len - 1] == (unsigned char)prefix.ptr[prefix.len - 1] + 1;
}

const struct permission *permissions_range(const struct grant *g, part_t part, str_t from,
                                           str_t end, unsigned rights)
{
    for (size_t i = 0; i < g->table->n; i++) {
        const struct permission *p = &g->table->rows[i];
        if ((p->rights & rights) == rights && part_granted(g, p, part) &&
            str_starts(from, p->prefix) && end_within(end, p->prefix))
            return p;
    }
    return NULL;
}

/* ---- batches ---- */

static const struct permission *either(const struct grant *g, part_t part, str_t key, unsigned a,
                                       unsigned b)
{
    const struct permission *p = permissions_key(g, part, key, a);
    return p != NULL ? p : permissions_key(g, part, key, b);
}

static const struct permission *add_granted(const struct grant *g, part_t part,
                                            const struct store_op *op)
{
    bool step = op->delta >= 1 && op->delta <= PERMISSIONS_STEP_MAX;
    const struct permission *p = step ? permissions_key(g, part, op->key, RIGHT_COUNT) : NULL;
    return p != NULL ? p : permissions_key(g, part, op->key, RIGHT_WRITE);
}

static const struct permission *op_granted(const struct grant *g, part_t part,
                                           const struct store_op *op)
{
    switch (op->kind) {
    case STORE_ABSENT:
    case STORE_PRESENT: return either(g, part, op->key, RIGHT_GET, RIGHT_CREATE);
    case STORE_EQUAL: return permissions_key(g, part, op->key, RIGHT_GET);
    case STORE_PUT: return permissions_key(g, part, op->key, RIGHT_WRITE);
    case STORE_PUT_NEW: return permissions_key(g, part, op->key, RIGHT_CREATE);
    case STORE_DELETE: return permissions_key(g, part, op->key, RIGHT_DELETE);
    case STORE_DELETE_RANGE: return permissions_range(g, part, op->key, op->value, RIGHT_DELETE);
    case STORE_ADD: return add_granted(g, part, op);
    case STORE_PUT_NEXT:
        if (permissions_key(g, part, op->key, RIGHT_COUNT) == NULL)
            return NULL;
        return permissions_prefix(g, part, op->prefix, RIGHT_CREATE);
    }
    return NULL;
}

static bool op_changes(enum store_op_kind kind)
{
    return kind != STORE_ABSENT && kind != STORE_PRESENT && kind != STORE_EQUAL;
}

static bool creates(const struct store_batch *b, str_t key)
{
    for (size_t i = 0; i < b->n; i++)
        if ((b->ops[i].kind == STORE_PUT_NEW || b->ops[i].kind == STORE_ABSENT) &&
            str_eq(b->ops[i].key, key))
            return true;
    return false;
}

static bool anchor_known(const struct anchors *a, str_t key)
{
    for (size_t i = 0; i < a->n; i++)
        if (str_eq(str_of(a->key[i], a->len[i]), key))
            return true;
    return false;
}

/* Ties an op to its anchor. False: it cannot be. */
static bool anchor_op(const struct permission *p, const struct store_op *op, struct anchors *a)
{
    str_t key = op->kind == STORE_PUT_NEXT ? op->prefix : op->key;
    if (key.len < p->prefix.len + PERMISSIONS_ID)
        return false;
    str_t one = str_first(key, p->prefix.len + PERMISSIONS_ID); /* all that belongs to this id */
    if (op->kind == STORE_DELETE_RANGE && !end_within(op->value, one))
        return false;
    char anchor[STORE_KEY_MAX];
    memcpy(anchor, p->anchor.ptr, p->anchor.len);
    memcpy(anchor + p->anchor.len, key.ptr + p->prefix.len, PERMISSIONS_ID);
    str_t full = str_of(anchor, p->anchor.len + PERMISSIONS_ID + p->anchor_end.len);
    if (p->anchor_end.len > 0)
        memcpy(anchor + p->anchor.len + PERMISSIONS_ID, p->anchor_end.ptr, p->anchor_end.len);
    if (anchor_known(a, full))
        return true;
    if (a->n == PERMISSIONS_ANCHORS)
        return false;
    memcpy(a->key[a->n], full.ptr, full.len);
    a->len[a->n++] = full.len;
    return true;
}

/* Those the batch creates itself, or requires absent already, need no precondition of ours. */
static void drop_created(const struct store_batch *b, struct anchors *a)
{
    size_t kept = 0;
    for (size_t i = 0; i < a->n; i++) {
        if (creates(b, str_of(a->key[i], a->len[i])))
            continue;
        if (kept != i) {
            memcpy(a->key[kept], a->key[i], a->len[i]);
            a->len[kept] = a->len[i];
        }
        kept++;
    }
    a->n = kept;
}

bool permissions_batch(const struct grant *g, const struct store_batch *b, struct anchors *anchors,
                       size_t *failed)
{
    anchors->n = 0;
    for (size_t i = 0; i < b->n; i++) {
        const struct store_op *op = &b->ops[i];
        const struct permission *p = op_granted(g, b->part, op);
        if (p == NULL ||
            (p->anchor.len > 0 && op_changes(op->kind) && !anchor_op(p, op, anchors))) {
            *failed = i;
            return false;
        }
    }
    drop_created(b, anchors);
    return true;
}
