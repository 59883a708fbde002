/* job.c: taking a delivery in hand. The row decides, not the schedule: it may have been held,
 * removed or moved since. See job.h. */
#include "roles/delivery/job.h"

#include "roles/log.h"

enum {
    /* rows, a chunk, a bounce, each at most a few times over when reconciled */
    JOB_ARENA_MAX = 16 << 20,
    LATER_DOWN_MS = 5000,    /* core is not there: look again */
    LATER_ORPHAN_MS = 10000, /* its message is not there yet: the batch with it is on its way … */
    ORPHAN_YOUNG_MS = 300000, /* … or, after so long, most likely never comes */
    LATER_ORPHAN_OLD_MS = 600000,
    LATER_HELD_MS = 6 * 3600000, /* should the hint have been lost */
};
#define CONTENT_LOST "the content of this message is damaged on our disk"

void job_init(struct job *j, struct carrier *c)
{
    *j = (struct job){.c = c};
    arena_init(&j->arena, JOB_ARENA_MAX);
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->cond, NULL);
}

void job_free(struct job *j)
{
    must(!j->submitted); /* the store still has the batch */
    arena_free(&j->arena);
    pthread_mutex_destroy(&j->lock);
    pthread_cond_destroy(&j->cond);
}

static void job_reset(struct job *j, struct schedule_entry e)
{
    must(!j->submitted);
    arena_reset(&j->arena);
    j->entry = e;
    j->partial = j->late = j->again = false;
    j->expanded = NULL;
    j->nexpanded = 0;
    j->content_lost = j->abandoned = j->removed = j->minimal = j->ends = j->dropped = false;
    j->plain = j->brief = j->told = false;
    j->key = j->value = j->m_value = j->first = j->host = j->addr = j->tls = STR_NONE;
    j->verdicts = NULL;
    j->became = NULL;
    j->more = NULL;
    j->nmore = 0;
}

void job_held(struct job *j)
{
    agenda_later(&j->c->agenda, j->entry, LATER_HELD_MS);
}

static void log_damaged(const struct job *j, const char *what, const char *advice)
{
    char id[QUEUE_ID_TEXT];
    log_event(j->c->role, str_c(queue_id_text(j->entry.id, id)), what,
              log_u64("delivery", j->entry.n), log_cstr("advice", advice), log_end);
}

/* The message row is lost: nobody knows the sender any more. Held, with the reason, so that the
 * operator sees it. */
static void hold_damaged(struct job *j)
{
    log_damaged(j, "message-damaged",
                "its envelope cannot be read; the delivery is held: see queue show");
    struct queue_delivery d = j->d;
    d.state = QUEUE_HELD;
    d.reason = STR("the record of this message is damaged on our disk");
    struct queue_event e = {.id = d.id,
                            .n = d.n,
                            .kind = QUEUE_EVENT_HELD,
                            .serial = d.attempts,
                            .time_ms = j->c->env->wall_ms(j->c->env),
                            .text = d.reason};
    struct store_batch b;
    struct buf value;
    buf_init(&value, STORE_VALUE_MAX);
    store_batch_init(&b, QUEUE_PART, &j->arena);
    store_require_lease(&b, &j->c->lease);
    store_require_equal(&b, j->key, j->value);
    bool ok = queue_delivery_encode(&d, &value) && queue_event_add(&e, &b, &j->arena);
    store_put(&b, j->key, buf_str(&value));
    if (ok && store_commit(j->c->env->store, &b) == STORE_OK)
        job_held(j);
    else
        agenda_later(&j->c->agenda, j->entry, LATER_ORPHAN_OLD_MS);
    buf_free(&value);
}

static bool orphan(struct job *j)
{
    int64_t age = j->c->env->wall_ms(j->c->env) - queue_id_ms(j->entry.id);
    agenda_later(&j->c->agenda, j->entry,
                 age < ORPHAN_YOUNG_MS ? LATER_ORPHAN_MS : LATER_ORPHAN_OLD_MS);
    return false;
}

/* Is the row one to act on now? */
static bool row_due(struct job *j)
{
    struct agenda *g = &j->c->agenda;
    if (j->d.state == QUEUE_HELD) {
        job_held(j);
        return false;
    }
    if (!j->entry.asked && !j->entry.late &&
        schedule_delay_ms(&g->policy, j->d.next_ms, j->c->env->wall_ms(j->c->env)) > 0) {
        agenda_done(g, j->entry, j->d.next_ms);
        return false;
    }
    return true;
}

enum { M, D, C, KEYS }; /* what is read of a delivery: the message, its row, the first chunk */

static void keys_of(struct job *j, struct schedule_entry e, str_t keys[static KEYS])
{
    job_reset(j, e);
    j->key = queue_key_delivery(e.id, e.n, j->c->local, &j->arena);
    keys[M] = queue_key_message(e.id, &j->arena);
    keys[D] = j->key;
    keys[C] = queue_key_chunk(e.id, 0, &j->arena);
}

/* The rows are there. True: it is to be tried now. */
static bool take(struct job *j, const struct store_value v[static KEYS])
{
    struct carrier *c = j->c;
    struct schedule_entry e = j->entry;
    if (v[D].rc == STORE_OK && !v[D].present) {
        agenda_done(&c->agenda, e, INT64_MAX);
        return false;
    }
    j->value = v[D].value;
    if (v[D].rc != STORE_OK || !queue_delivery_decode(j->key, j->value, &j->arena, &j->d)) {
        log_damaged(j, "delivery-damaged",
                    "its recipients cannot be read: see postrider check store, and tell them");
        agenda_done(&c->agenda, e, INT64_MAX);
        return false;
    }
    if (v[M].rc == STORE_OK && !v[M].present)
        return orphan(j);
    if (!row_due(j))
        return false;
    if (v[M].rc != STORE_OK || !queue_message_decode(v[M].value, e.id, &j->arena, &j->m)) {
        hold_damaged(j);
        return false;
    }
    j->m_value = v[M].value;
    j->first = v[C].value;
    j->content_lost = v[C].rc != STORE_OK || !v[C].present;
    j->time_ms = c->env->wall_ms(c->env);
    j->serial = j->d.attempts;
    j->verdicts = arena_array(&j->arena, j->d.nrcpt, sizeof *j->verdicts);
    if (j->verdicts == NULL) {
        agenda_later(&c->agenda, e, LATER_DOWN_MS);
        return false;
    }
    if (!job_early(j))
        return false;
    if (j->content_lost)
        job_verdict_lost(j);
    return true;
}

bool job_read(struct job *j, struct schedule_entry e)
{
    str_t keys[KEYS];
    struct store_value v[KEYS] = {0};
    keys_of(j, e, keys);
    if (store_get(j->c->env->store, QUEUE_PART, keys, KEYS, &j->arena, v) == STORE_OK)
        return take(j, v);
    agenda_later(&j->c->agenda, e, LATER_DOWN_MS);
    return false;
}

void job_read_all(struct job *const *j, const struct schedule_entry *e, size_t n, struct arena *a,
                  bool *ready)
{
    str_t keys[JOB_TOGETHER * KEYS];
    struct store_value v[JOB_TOGETHER * KEYS] = {0};
    must(n <= JOB_TOGETHER);
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        keys_of(j[i], e[i], keys + i * KEYS);
    enum store_rc rc = store_get(j[0]->c->env->store, QUEUE_PART, keys, n * KEYS, a, v);
    for (size_t i = 0; i < n; i++) {
        if (rc == STORE_LIMIT) { /* too large together */
            ready[i] = job_read(j[i], e[i]);
            continue;
        }
        ready[i] = rc == STORE_OK && take(j[i], v + i * KEYS);
        if (rc != STORE_OK)
            agenda_later(&j[i]->c->agenda, e[i], LATER_DOWN_MS);
    }
}

void job_verdict_all(struct job *j, enum rc rc, const char *status, str_t text)
{
    text = arena_dup(&j->arena, text);
    for (size_t i = 0; i < j->d.nrcpt; i++) {
        j->verdicts[i] = (struct attempt_verdict){.rc = rc, .text = text};
        str_toc(str_c(status), j->verdicts[i].status, sizeof j->verdicts[i].status);
    }
}

/* Content is damaged: loudly, and first deferred, so that whoever reads the log may still bring it
 * back; then the sender is told. */
void job_verdict_lost(struct job *j)
{
    log_damaged(j, "content-damaged",
                "the sender will be told with the next attempt unless it is restored");
    bool before = str_contains(j->d.reason, STR(CONTENT_LOST)); /* a host may stand before it */
    for (size_t i = 0; i < j->d.nrcpt; i++)
        if (j->verdicts[i].rc != RC_OK || j->host.len == 0)
            j->verdicts[i] = (struct attempt_verdict){
                .rc = before ? RC_PERM : RC_TEMP, .status = "5.3.0", .text = STR(CONTENT_LOST)};
    for (size_t i = 0; !before && i < j->d.nrcpt; i++)
        if (j->verdicts[i].rc != RC_OK)
            memcpy(j->verdicts[i].status, "4.3.0", sizeof "4.3.0");
}

enum rc job_chunk(struct job *j, uint32_t k, struct arena *a, str_t *out)
{
    *out = j->first;
    if (k == 0)
        return RC_OK;
    bool present;
    enum store_rc rc =
        store_get1(j->c->env->store, QUEUE_PART, queue_key_chunk(j->m.id, k, a), a, &present, out);
    if (rc == STORE_OK && present)
        return RC_OK;
    if (rc == STORE_OK || rc == STORE_DAMAGED)
        j->content_lost = true;
    return j->content_lost ? RC_PERM : RC_TEMP;
}
