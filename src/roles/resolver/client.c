/* client.c: see client.h. */
#include "roles/resolver/client.h"

#include "roles/resolver/protocol.h"

enum { ASK_TIMES = 3 }; /* a resolver that dies of a query must not be fed it for ever */
/* The resolver gives up that much earlier, so that its answer still arrives. */
enum { ANSWER_MARGIN_MS = 250 };

static enum rc ask(struct env *env, str_t name, enum dns_type type, int64_t deadline_ms,
                   struct arena *a, str_t *reply)
{
    int64_t left = deadline_ms - env->mono_ms(env);
    if (left <= 0)
        return RC_TEMP;
    left = left > 2 * ANSWER_MARGIN_MS ? left - ANSWER_MARGIN_MS : left;
    struct resolver_query q = {
        type, (uint32_t)(left < RESOLVER_WAIT_MAX ? left : RESOLVER_WAIT_MAX), name};
    struct buf payload;
    buf_init(&payload, RESOLVER_NAME_MAX + 64);
    enum rc rc = RC_TEMP;
    if (resolver_query_encode(&q, &payload)) {
        struct iovec iov = {payload.ptr, payload.len};
        uint8_t reply_type = 0;
        int fd = -1;
        rc = channel_call(env->resolver, RESOLVER_QUERY, &iov, 1, deadline_ms, a, &reply_type,
                          reply, &fd);
        if (rc == RC_OK && reply_type != RESOLVER_ANSWER)
            rc = RC_PERM;
    }
    buf_free(&payload);
    return rc;
}

static void client_dns(struct env *env, str_t name, enum dns_type type, int64_t deadline_ms,
                       struct arena *a, struct dns_answer *out)
{
    *out = (struct dns_answer){.status = DNS_SERVFAIL};
    if (!resolver_name_ok(name)) { /* no such name can be in the DNS */
        out->status = DNS_NXDOMAIN;
        return;
    }
    enum rc rc = RC_CLOSED;
    for (int i = 0; i < ASK_TIMES && rc == RC_CLOSED && env->mono_ms(env) < deadline_ms; i++) {
        str_t reply = STR_NONE;
        rc = ask(env, name, type, deadline_ms, a, &reply);
        if (rc == RC_OK && resolver_answer_decode(reply, a, out))
            return;
    }
    *out = (struct dns_answer){.status =
                                   env->mono_ms(env) >= deadline_ms ? DNS_TIMEOUT : DNS_SERVFAIL};
}

void resolver_client_install(struct env *env, struct channel *ch)
{
    env->resolver = ch;
    env->dns = client_dns;
}
