/* client_io.c: see client_io.h. */
#include "roles/courier/client_io.h"

enum { READ_SIZE = 4096 }; /* replies are short; a long EHLO has some 500 bytes */

static int64_t deadline(struct smtpc *c, struct env *env, int64_t limit_ms)
{
    int64_t due = env->mono_ms(env) + smtpc_timeout_ms(c);
    return due < limit_ms ? due : limit_ms;
}

/* The peer takes no more. What it said before it left ("421 too busy") is better than
 * "connection lost". */
static void last_words(struct smtpc *c, struct conn *conn, struct env *env)
{
    char bytes[READ_SIZE];
    size_t got = 0;
    if (smtpc_replies(c) > 0 &&
        conn->ops->read(conn, bytes, sizeof bytes, &got, env->mono_ms(env)) == RC_OK && got > 0)
        smtpc_feed(c, str_of(bytes, got));
    smtpc_eof(c);
}

static void write_output(struct smtpc *c, struct conn *conn, struct env *env, int64_t limit_ms)
{
    str_t out = smtpc_output(c);
    switch (conn->ops->write(conn, out, deadline(c, env, limit_ms))) {
    case RC_OK: smtpc_sent(c, out.len); break;
    case RC_TEMP: smtpc_expire(c); break;
    case RC_PERM:
    case RC_CLOSED: last_words(c, conn, env); break;
    }
}

/* Until the next reply is complete: drops of it do not buy more time. */
static void read_reply(struct smtpc *c, struct conn *conn, struct env *env, int64_t limit_ms)
{
    char bytes[READ_SIZE];
    uint64_t before = smtpc_replies(c);
    int64_t until = deadline(c, env, limit_ms);
    while (smtpc_want(c) == SMTPC_INPUT && smtpc_replies(c) == before) {
        size_t got = 0;
        switch (conn->ops->read(conn, bytes, sizeof bytes, &got, until)) {
        case RC_OK:
            if (got > 0)
                smtpc_feed(c, str_of(bytes, got));
            else
                smtpc_eof(c);
            break;
        case RC_TEMP: smtpc_expire(c); break;
        case RC_PERM:
        case RC_CLOSED: smtpc_eof(c); break;
        }
    }
}

enum smtpc_want smtpc_pump(struct smtpc *c, struct conn *conn, struct env *env, int64_t limit_ms)
{
    for (;;) {
        enum smtpc_want want = smtpc_want(c);
        switch (want) {
        case SMTPC_READY:
        case SMTPC_DEAD: return want;
        case SMTPC_OUTPUT: write_output(c, conn, env, limit_ms); break;
        case SMTPC_INPUT: read_reply(c, conn, env, limit_ms); break;
        }
    }
}
