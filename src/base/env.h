/* env.h: the outside world as the layers above base see it: clock, randomness, DNS, network, store.
 *
 * A test fills it with a virtual clock, scripted DNS and scripted peers, and can stop a whole
 * server at any step. Calls may wait, never past the deadline given; all times are milliseconds.
 * Every function may be called from any thread unless the implementation says otherwise. */
#ifndef BASE_ENV_H
#define BASE_ENV_H

#include "base/dns.h"
#include "base/err.h"

struct env;
struct store;   /* store/store.h */
struct channel; /* sys/channel.h */

/* One byte stream to a peer. Owned by one thread at a time. */
struct conn {
    const struct conn_ops *ops;
    struct netaddr peer, local;
};
struct conn_ops {
    /* Waits for at least one byte; *got = 0 with RC_OK is end of stream. RC_TEMP: deadline passed.
     * RC_CLOSED: broken. */
    enum rc (*read)(struct conn *c, void *to, size_t cap, size_t *got, int64_t deadline_ms);
    /* All of it, or RC_TEMP at the deadline, or RC_CLOSED. */
    enum rc (*write)(struct conn *c, str_t bytes, int64_t deadline_ms);
    void (*close)(struct conn *c); /* frees c */
};

struct env {
    int64_t (*mono_ms)(struct env *e); /* for deadlines and timeouts; never jumps */
    int64_t (*wall_ms)(struct env *e); /* since 1970 UTC; for dates and retry times */
    void (*random)(struct env *e, void *to, size_t n); /* cryptographic quality outside tests */
    /* RC_TEMP/RC_PERM with a reason, or *out to be closed by the caller. `from` may be NULL or port
     * 0. */
    enum rc (*connect)(struct env *e, const struct netaddr *to, const struct netaddr *from,
                       int64_t deadline_ms, struct conn **out, struct err *err);
    /* Always fills *out (status tells); records live in the arena. `name` without final dot. */
    void (*dns)(struct env *e, str_t name, enum dns_type type, int64_t deadline_ms, struct arena *a,
                struct dns_answer *out);
    struct channel *resolver; /* what dns asks, set by resolver_client_install; else NULL */
    struct store *store;      /* NULL where the role has none */
    void *ctx;                /* the implementation's own */
};

#endif
