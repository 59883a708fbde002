/* core_fixture.h: a core over the memory engine, and ways to talk to it: as a store, or in raw
 * frames as a liar would. */
#ifndef TESTS_ROLES_CORE_FIXTURE_H
#define TESTS_ROLES_CORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
/* after the above */
#include <cmocka.h>

#include "roles/core/server.h"
#include "roles/log.h"
#include "store/engines.h"
#include "store/protocol.h"
#include "store/remote.h"
#include "sys/env.h"
#include "sys/frame.h"

struct core_fixture {
    struct env env;
    struct store *engine;
    struct core_server *cs;
};

static inline void core_up(struct core_fixture *f)
{
    struct err err = {0};
    log_quiet(true);
    sys_env_init(&f->env);
    f->engine = store_memory_new();
    f->cs = core_server_new(f->engine, &f->env, &err);
    assert_non_null(f->cs);
}

static inline void core_down(struct core_fixture *f)
{
    core_server_free(f->cs);
    store_close(f->engine);
}

static inline int core_socket(struct core_fixture *f, const struct permissions *table)
{
    int sv[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    assert_true(core_server_serve(f->cs, sv[1], table));
    return sv[0];
}

static inline struct store *core_store(struct core_fixture *f, const struct permissions *table)
{
    struct channel *ch;
    struct store *s = store_remote_new(&f->env, &ch);
    assert_non_null(s);
    channel_attach(ch, core_socket(f, table));
    return s;
}

/* Everything on all partitions: for what is about the protocol, not about who may what. */
static const struct permission core_any_rows[] = {
    {.kind = PART_NODE, .rights = ~0u},
    {.kind = PART_DIRECTORY, .rights = ~0u},
    {.kind = PART_SECRET, .rights = ~0u},
    {.kind = PART_USER, .id = PART_ID_ANY, .rights = ~0u},
    {.kind = PART_QUEUE, .id = PART_ID_ANY, .rights = ~0u},
};
static const struct permissions core_any = {.name = "any",
                                            .rows = core_any_rows,
                                            .n = 5,
                                            .login = true,
                                            .set_password = true,
                                            .clients_max = 100};

/* Straight into the engine, as if it had always been there. */
static inline void core_put(struct core_fixture *f, part_t part, str_t key, str_t value)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, 4096);
    store_batch_init(&b, part, &a);
    store_put(&b, key, value);
    assert_int_equal(store_commit(f->engine, &b), STORE_OK);
    arena_free(&a);
}

static inline void core_add_account(struct core_fixture *f, struct store *admin, const char *name,
                                    uint64_t id, const char *password)
{
    char key[64] = "login/", value[8];
    struct err err;
    strcat(key, name);
    for (int i = 0; i < 8; i++)
        value[i] = (char)(id >> (56 - 8 * i));
    core_put(f, (part_t){PART_DIRECTORY, 0}, str_c(key), str_of(value, 8));
    assert_int_equal(store_remote_set_password(admin, id, str_c(password), &err), RC_OK);
}

/* ---- raw frames ---- */

struct raw {
    int fd;
    struct frame_reader in;
};

static inline struct raw raw_open(struct core_fixture *f, const struct permissions *table)
{
    struct raw r = {.fd = core_socket(f, table)};
    assert_true(frame_reader_init(&r.in));
    return r;
}

static inline void raw_close(struct raw *r)
{
    close(r->fd);
    frame_reader_free(&r->in);
}

static inline void raw_send(struct raw *r, uint8_t type, uint64_t id, str_t payload)
{
    char header[FRAME_HEADER];
    frame_header(header, type, id, payload.len, false);
    /* the peer may have hung up: that is a result, not an error */
    if (send(r->fd, header, sizeof header, MSG_NOSIGNAL) == (ssize_t)sizeof header &&
        payload.len > 0)
        for (size_t at = 0; at < payload.len;) {
            ssize_t n = send(r->fd, payload.ptr + at, payload.len - at, MSG_NOSIGNAL);
            if (n <= 0)
                break;
            at += (size_t)n;
        }
}

/* The next frame; false: core has hung up. */
static inline bool raw_read(struct raw *r, struct frame *out)
{
    for (;;) {
        enum frame_rc rc = frame_next(&r->in, out);
        if (rc == FRAME_OK) {
            if (out->fd >= 0)
                close(out->fd);
            return true;
        }
        assert_int_not_equal(rc, FRAME_BAD);
        if (frame_fill(&r->in, r->fd) != FRAME_OK)
            return false;
    }
}

enum { RAW_HUNG_UP = 1000 };

/* Sends one request; its first byte of answer, or RAW_HUNG_UP. */
static inline int raw_ask(struct raw *r, uint8_t type, str_t payload)
{
    struct frame f;
    raw_send(r, type, 7, payload);
    if (!raw_read(r, &f))
        return RAW_HUNG_UP;
    assert_int_equal(f.type, type | STORE_MSG_REPLY);
    assert_int_equal(f.id, 7);
    assert_true(f.payload.len >= 1);
    return (uint8_t)f.payload.ptr[0];
}

#endif
