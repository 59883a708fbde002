/* mailbox_in.c: delivery into a mailbox, exactly once. See mailbox.h.
 *
 * Every batch, also those written ahead, requires seen/ID to be absent. So a repeated delivery
 * changes nothing at all, not even when the message was read and removed in the meantime, and its
 * chunks cannot come back without a row that leads to them. Each requires the chunk before it too,
 * so that neither a lazy batch lost in a crash nor the sweeper can take a piece out of what is then
 * said to be delivered; and the folder, so that nothing gets into an account that was removed. */
#include <semaphore.h>
#include <stdlib.h>

#include "post/mailbox_row.h"

enum {
    COMMIT_TRIES = 4,        /* INBOX missing, then made by us or another: two are enough */
    BATCH_ARENA = 16 * 1024, /* keys, ops and small values; content is borrowed */
    MS_PER_S = 1000,
};

struct mailbox_in {
    struct env *env;
    uint64_t account;
    queue_id_t id;
    struct arena arena; /* of one batch */
    struct buf chunk;
    uint64_t size;
    uint32_t chunks; /* written ahead */
    bool again;      /* seen/ is there: nothing more to do */
    enum store_rc rc;
    bool under_way; /* mailbox_in_submit was called, and nobody waited yet */
    struct store_batch batch;
    struct store_commit commit;
    sem_t done;
};

struct mailbox_in *mailbox_in_begin(struct env *env, uint64_t account, queue_id_t id)
{
    struct mailbox_in *in = calloc(1, sizeof *in);
    if (in == NULL)
        return NULL;
    in->env = env;
    in->account = account;
    in->id = id;
    arena_init(&in->arena, BATCH_ARENA);
    buf_init(&in->chunk, STORE_CHUNK);
    return in;
}

static void free_in(struct mailbox_in *in)
{
    arena_free(&in->arena);
    buf_free(&in->chunk);
    free(in);
}

static void batch_begin(struct mailbox_in *in, struct store_batch *b)
{
    arena_reset(&in->arena);
    store_batch_init(b, MAILBOX_PART(in->account), &in->arena);
}

static enum store_rc batch_commit(struct mailbox_in *in, struct store_batch *b)
{
    return in->arena.failed ? STORE_LIMIT : store_commit(in->env->store, b);
}

static void put_chunk(struct mailbox_in *in, struct store_batch *b)
{
    store_put(b, mailbox_key_chunk(in->id.b, in->chunks, &in->arena), buf_str(&in->chunk));
}

/* What every batch hangs on, but for seen/. */
static void require_ground(struct mailbox_in *in, struct store_batch *b)
{
    store_require_present(b, mailbox_key_folder(MAILBOX_INBOX, &in->arena));
    if (in->chunks > 0)
        store_require_present(b, mailbox_key_chunk(in->id.b, in->chunks - 1, &in->arena));
}

static enum store_rc resolve_conflict(struct mailbox_in *in);

/* A full chunk goes ahead: durable no later than the batch that makes it reachable. */
static enum store_rc write_ahead(struct mailbox_in *in)
{
    enum store_rc rc = STORE_CONFLICT;
    for (int i = 0; rc == STORE_CONFLICT && !in->again && i < COMMIT_TRIES; i++) {
        struct store_batch b;
        batch_begin(in, &b);
        b.lazy = true;
        require_ground(in, &b);
        store_require_absent(&b, mailbox_key_seen(in->id, &in->arena));
        put_chunk(in, &b);
        rc = batch_commit(in, &b);
        enum store_rc why = rc == STORE_CONFLICT ? resolve_conflict(in) : STORE_OK;
        if (why != STORE_OK)
            return why;
    }
    if (in->again)
        rc = STORE_OK;
    in->chunks++;
    buf_clear(&in->chunk);
    return rc;
}

enum store_rc mailbox_in_write(struct mailbox_in *in, str_t bytes)
{
    while (in->rc == STORE_OK && !in->again && bytes.len > 0) {
        if (in->chunk.len == STORE_CHUNK) {
            in->rc = write_ahead(in);
            continue;
        }
        str_t part = str_first(bytes, STORE_CHUNK - in->chunk.len);
        if (!buf_add(&in->chunk, part))
            in->rc = STORE_LIMIT;
        in->size += part.len;
        bytes = str_from(bytes, part.len);
    }
    return in->rc;
}

/* The one durable batch. */
static void message_batch(struct mailbox_in *in, struct store_batch *b)
{
    struct buf row;
    batch_begin(in, b);
    struct mailbox_message m = {.size = in->size,
                                .chunks = in->chunks + (in->chunk.len > 0),
                                .date_ms = in->env->wall_ms(in->env)};
    memcpy(m.content, in->id.b, sizeof m.content);
    buf_init(&row, STORE_VALUE_MAX);
    mailbox_message_encode(&m, &row);
    str_t value = row.failed ? STR_NONE : arena_dup(&in->arena, buf_str(&row));
    if (value.len == 0)
        in->arena.failed = true;
    buf_free(&row);

    require_ground(in, b);
    store_put_new(b, mailbox_key_seen(in->id, &in->arena), STR("1"));
    if (in->chunk.len > 0)
        put_chunk(in, b);
    store_put_next(b, mailbox_key_uids(MAILBOX_INBOX, &in->arena),
                   mailbox_prefix_messages(MAILBOX_INBOX, &in->arena), value);
}

static enum store_rc put_message(struct mailbox_in *in)
{
    message_batch(in, &in->batch);
    return batch_commit(in, &in->batch);
}

static void commit_done(struct store_commit *c)
{
    struct mailbox_in *in = c->user;
    sem_post(&in->done);
}

void mailbox_in_submit(struct mailbox_in *in)
{
    must(!in->under_way);
    if (in->rc != STORE_OK || in->again)
        return;
    message_batch(in, &in->batch);
    if (in->arena.failed)
        return; /* mailbox_in_commit finds the same */
    must(sem_init(&in->done, 0, 0) == 0);
    in->under_way = true;
    in->commit = (struct store_commit){.batch = &in->batch, .done = commit_done, .user = in};
    store_submit(in->env->store, &in->commit);
}

/* The result of what was submitted. */
static enum store_rc await(struct mailbox_in *in)
{
    while (sem_wait(&in->done) != 0) /* EINTR */
        ;
    in->under_way = false;
    sem_destroy(&in->done);
    return in->commit.rc;
}

/* The folder, with its uidvalidity. A conflict is fine: another delivery made it, or the account is
 * closed and the next try meets the same end. */
static enum store_rc make_inbox(struct mailbox_in *in)
{
    struct store_batch b;
    struct buf row;
    batch_begin(in, &b);
    int64_t now_s = in->env->wall_ms(in->env) / MS_PER_S;
    struct mailbox_folder f = {.uidvalidity = now_s < 1 ? 1 : (uint32_t)now_s,
                               .name = STR("INBOX")};
    buf_init(&row, STORE_VALUE_MAX);
    mailbox_folder_encode(&f, &row);
    store_require_absent(&b, MAILBOX_KEY_CLOSED);
    store_put_new(&b, mailbox_key_folder(MAILBOX_INBOX, &in->arena), buf_str(&row));
    enum store_rc rc = row.failed ? STORE_LIMIT : batch_commit(in, &b);
    buf_free(&row);
    return rc == STORE_CONFLICT ? STORE_OK : rc;
}

/* After a conflict: it is there already, or there is no INBOX yet, or (then trying again is no
 * help) a chunk was lost or the account is closed. */
static enum store_rc resolve_conflict(struct mailbox_in *in)
{
    str_t value;
    arena_reset(&in->arena);
    enum store_rc rc =
        store_get1(in->env->store, MAILBOX_PART(in->account), mailbox_key_seen(in->id, &in->arena),
                   &in->arena, &in->again, &value);
    if (rc == STORE_DAMAGED)
        in->again = true; /* the key is what counts */
    else if (rc != STORE_OK)
        return rc;
    return in->again ? STORE_OK : make_inbox(in);
}

enum store_rc mailbox_in_commit(struct mailbox_in *in, bool *again)
{
    enum store_rc rc = in->rc;
    for (int i = 0; rc == STORE_OK && !in->again; i++) {
        rc = in->under_way ? await(in) : put_message(in);
        if (rc != STORE_CONFLICT || i == COMMIT_TRIES)
            break;
        rc = resolve_conflict(in);
    }
    *again = in->again;
    free_in(in);
    return rc;
}

void mailbox_in_abort(struct mailbox_in *in)
{
    if (in == NULL)
        return;
    if (in->under_way)
        (void)await(in);
    if (in->chunks > 0 && !in->again) {
        /* What was written ahead leads nowhere. If this fails as well, it stays until it is
         * delivered or swept. */
        struct store_batch b;
        batch_begin(in, &b);
        b.lazy = true;
        str_t prefix = mailbox_prefix_content(in->id.b, &in->arena);
        store_require_absent(&b, mailbox_key_seen(in->id, &in->arena));
        store_delete_range(&b, prefix, store_prefix_end(&in->arena, prefix));
        (void)batch_commit(in, &b);
    }
    free_in(in);
}
