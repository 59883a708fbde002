/* commits.c: a batch's way from a channel to the engine and its answer back. The hot path of
 * accepting mail.
 *
 * The payload lies in the channel's read buffer during the request only. It is copied once, into
 * one block that also holds the commit, the batch and its ops, which point into the copy; the block
 * is freed when the answer is given. A channel that sends faster than the engine commits is not
 * read for a while: so a flood costs its sender alone. */
#include <stdlib.h>

#include "roles/core/client.h"

struct pending {
    struct store_commit commit;
    struct store_batch batch;
    struct core_client *client;
    struct channel_peer *peer;
    uint64_t id;
    size_t size;    /* of this block */
    uint16_t asked; /* ops of the peer; ours follow */
    struct anchors anchors;
    /* struct store_op ops[]; char payload[] */
};
_Static_assert(sizeof(struct pending) % _Alignof(struct store_op) == 0, "ops follow it");

static void pending_begin(struct core_client *c, struct pending *p)
{
    client_hold(c);
    channel_peer_hold(p->peer);
    pthread_mutex_lock(&c->lock);
    while (c->commits >= CORE_PENDING_COMMITS ||
           (c->commits > 0 && c->commit_bytes + p->size > CORE_PENDING_BYTES))
        pthread_cond_wait(&c->room, &c->lock);
    c->commits++;
    c->commit_bytes += p->size;
    pthread_mutex_unlock(&c->lock);
}

static void pending_end(struct pending *p)
{
    struct core_client *c = p->client;
    pthread_mutex_lock(&c->lock);
    c->commits--;
    c->commit_bytes -= p->size;
    pthread_cond_signal(&c->room);
    pthread_mutex_unlock(&c->lock);
    channel_peer_release(p->peer);
    free(p);
    client_release(c);
}

/* From the engine: any thread, possibly inside burst_submit. */
static void commit_done(struct store_commit *commit)
{
    struct pending *p = commit->user;
    char bytes[STORE_COMMIT_REPLY_MAX];
    struct buf reply = {.ptr = bytes, .cap = sizeof bytes, .max = sizeof bytes};
    if (commit->rc !=
        STORE_CONFLICT) /* a new generation, or that writes stopped, or that the disk is full */
        core_board_publish(p->client->server->board);
    p->batch.n = p->asked;
    if (commit->failed_op >=
        p->asked) /* one of ours: it guards an op of the peer's, which is as much as it need know */
        commit->failed_op = p->asked > 0 ? p->asked - 1u : 0;
    store_commit_reply_encode(&reply, commit);
    burst_touch(p->client);
    struct iovec iov = {.iov_base = reply.ptr, .iov_len = reply.len};
    channel_reply(p->peer, p->id, STORE_MSG_COMMIT | STORE_MSG_REPLY, &iov, 1, -1);
    pending_end(p);
}

/* The block for this request, decoded. NULL: malformed, or out of memory (*rc tells). */
static struct pending *pending_new(str_t payload, struct store_head *head, bool *malformed)
{
    struct cursor in = cursor_of(payload);
    struct store_commit_head h;
    *malformed = !store_commit_decode_head(&in, &h);
    if (*malformed)
        return NULL;
    size_t n_ops = (size_t)h.n + PERMISSIONS_ANCHORS;
    size_t size = sizeof(struct pending) + n_ops * sizeof(struct store_op) + in.rest.len;
    struct pending *p = malloc(size);
    if (p == NULL)
        return NULL;
    struct store_op *ops = (struct store_op *)(void *)(p + 1);
    char *copy = (char *)(ops + n_ops);
    if (in.rest.len > 0)
        memcpy(copy, in.rest.ptr, in.rest.len);
    in = cursor_of(str_of(copy, in.rest.len));
    p->commit = (struct store_commit){.batch = &p->batch, .done = commit_done, .user = p};
    p->batch =
        (struct store_batch){.part = h.part, .lazy = h.lazy, .n = h.n, .cap = n_ops, .ops = ops};
    p->size = size;
    p->asked = h.n;
    *head = h.head;
    *malformed = !store_commit_decode_ops(&in, ops, h.n, &p->batch.bytes);
    if (*malformed) {
        free(p);
        return NULL;
    }
    return p;
}

static enum store_rc granted(struct core_client *c, const struct store_head *head,
                             struct pending *p)
{
    struct grant grant;
    size_t failed = 0;
    if (!client_grant(c, head, &grant))
        return client_denied(c, "unknown session", p->batch.part, STR_NONE);
    /* An empty batch changes nothing, but costs a sync. */
    if (p->batch.n == 0 && grant.table->n == 0)
        return client_denied(c, "commit", p->batch.part, STR_NONE);
    if (!permissions_batch(&grant, &p->batch, &p->anchors, &failed))
        return client_denied(c, "commit", p->batch.part, p->batch.ops[failed].key);
    if (p->batch.n + p->anchors.n > STORE_BATCH_OPS)
        return STORE_LIMIT;
    for (size_t i = 0; i < p->anchors.n; i++) {
        str_t key = str_of(p->anchors.key[i], p->anchors.len[i]);
        p->batch.ops[p->batch.n++] = (struct store_op){.kind = STORE_ABSENT, .key = key};
        p->batch.bytes += key.len;
    }
    return STORE_OK;
}

bool core_commit(struct core_client *c, struct channel_peer *peer, uint64_t id, str_t payload)
{
    struct store_head head;
    bool malformed;
    struct pending *p = pending_new(payload, &head, &malformed);
    if (malformed)
        return false;
    enum store_rc rc = p == NULL ? STORE_LIMIT : granted(c, &head, p);
    if (rc != STORE_OK) {
        free(p);
        client_reply_rc(peer, id, STORE_MSG_COMMIT, (uint8_t)rc);
        return true;
    }
    p->client = c;
    p->peer = peer;
    p->id = id;
    if (head.timeout_ms > 0)
        p->commit.deadline_ms = c->server->env->mono_ms(c->server->env) + head.timeout_ms;
    pending_begin(c, p);
    burst_submit(c->server->engine, &p->commit);
    return true;
}
