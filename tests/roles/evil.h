/* evil.h: what the tests of a taken-over role share: a core with things worth stealing in it, and
 * ways to see that it kept them. */
#ifndef TESTS_ROLES_EVIL_H
#define TESTS_ROLES_EVIL_H

#include <stdio.h>

#include "base/buf.h"
#include "roles/core_fixture.h"

#define SECRET_WORD "TOPSECRET"
#define QUEUE_P     ((part_t){PART_QUEUE, 0})
#define DIRECTORY_P ((part_t){PART_DIRECTORY, 0})
#define USER_P(n)   ((part_t){PART_USER, (n)})
#define OWN_ID      17u
#define VICTIM      18u

static struct core_fixture core;
static const struct store_head plain;

/* Things worth stealing, in every partition. */
static inline int setup(void **state)
{
    (void)state;
    core_up(&core);
    struct store *admin = core_store(&core, permissions_of(ROLE_COUNT));
    core_add_account(&core, admin, "me", OWN_ID, "mine");
    core_add_account(&core, admin, "victim", VICTIM, "theirs");
    store_close(admin);
    core_put(&core, (part_t){PART_NODE, 0}, STR("key"), STR(SECRET_WORD));
    core_put(&core, (part_t){PART_SECRET, 0}, STR("dkim/example.org"), STR(SECRET_WORD));
    /* which core would make itself the first time it is needed */
    core_put(&core, (part_t){PART_SECRET, 0}, STR("fake-salt"),
             STR(SECRET_WORD "-23-bytes-of-salt-here!"));
    core_put(&core, USER_P(VICTIM), STR("b/0123456789/0000"), STR(SECRET_WORD));
    /* a chunk's key as it is */
    core_put(&core, USER_P(VICTIM), STR("b/0123456789/\0\0\0\0"), STR(SECRET_WORD));
    core_put(&core, USER_P(VICTIM), STR("u/0001/00000001"), STR(SECRET_WORD));
    core_put(&core, USER_P(VICTIM), STR("seen/0123456789"), STR("1"));
    core_put(&core, QUEUE_P, STR("m/0123456789"), STR(SECRET_WORD));
    core_put(&core, QUEUE_P, STR("c/0123456789/0000"), STR(SECRET_WORD));
    core_put(&core, QUEUE_P, STR("dl/0123456789/00"), STR(SECRET_WORD));
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    core_down(&core);
    return 0;
}

/* Tables as they are, but with room for many connections of one test. */
static inline struct permissions evil(enum role_id role)
{
    struct permissions p = *permissions_of(role);
    p.clients_max = 100000;
    return p;
}

/* Everything the engine holds, as one string of bytes. */
static inline void dump(struct buf *out)
{
    buf_init(out, 64 << 20);
    for (int kind = 0; kind < PART_KINDS; kind++)
        for (uint64_t id = 0; id < 32; id++) {
            if (id > 0 && kind != PART_USER && kind != PART_QUEUE)
                break;
            struct arena a;
            struct store_page page;
            arena_init(&a, 32 << 20);
            struct store_scan q = {.part = {(enum part_kind)kind, id}};
            assert_int_equal(store_scan(core.engine, &q, &a, &page), STORE_OK);
            assert_false(page.more);
            for (size_t i = 0; i < page.n; i++) {
                buf_u8(out, (uint8_t)kind);
                buf_u64(out, id);
                buf_str16(out, page.rows[i].key);
                buf_str32(out, page.rows[i].value);
            }
            arena_free(&a);
        }
    assert_false(out->failed);
}

static inline void assert_unchanged(struct buf *before)
{
    struct buf after;
    dump(&after);
    assert_true(str_eq(buf_str(before), buf_str(&after)));
    buf_free(&after);
    buf_free(before);
}

/* ---- requests to tell lies with ---- */

static inline void commit_into(struct buf *out, const struct store_head *h, part_t part,
                               const struct store_op *ops, size_t n)
{
    struct store_batch b = {.part = part, .n = n, .ops = (struct store_op *)(uintptr_t)ops};
    struct iovec iov[STORE_COMMIT_IOV];
    size_t size = store_commit_size(&b);
    char *fields = malloc(size);
    int niov = store_commit_encode(&b, h, fields, size, iov);
    buf_clear(out);
    for (int i = 0; i < niov; i++)
        buf_add(out, str_of(iov[i].iov_base, iov[i].iov_len));
    free(fields);
}

#endif
