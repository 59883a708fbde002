/* hand.c: one local delivery: recipients to leaves, leaves to mailboxes, and all of it to one outcome (roles/courier/job.h).
 *
 * If the directory cannot be read, nothing is recorded: the delivery is looked at again soon. A mailbox that takes nothing now keeps its
 * recipient waiting, as an address of its own. With more leaves than a row can hold, everybody waits: what was delivered is seen. */
#include <stdlib.h>

#include "mail/header.h"
#include "mail/trace.h"
#include "post/mailbox.h"
#include "roles/local/expand.h"
#include "roles/local/local.h"

enum { LATER_DOWN_MS = 2000, LATER_BUSY_MS = 20, LATER_STOPPED_MS = 60000, LATER_ODD_MS = 300000 };

/* ---- verdicts ---- */

static void verdict(struct job *j, size_t i, enum rc rc, const char *status, const char *text)
{
    j->verdicts[i] = (struct attempt_verdict){.rc = rc, .text = str_c(text)};
    str_toc(str_c(status), j->verdicts[i].status, sizeof j->verdicts[i].status);
}

static void verdict_store(struct job *j, size_t i, enum store_rc rc)
{
    if (rc == STORE_FULL)
        verdict(j, i, RC_TEMP, "4.3.1", "the disk is full");
    else if (rc == STORE_STOPPED)
        verdict(j, i, RC_TEMP, "4.3.0", "the mail store takes no writes now");
    else
        verdict(j, i, RC_TEMP, "4.2.0", "the mailbox cannot be written now");
}

/* ---- a mailbox ---- */

/* RFC 9228 and RFC 5321 6.3: it has been here. Only this header's own field of the same address says so. */
static bool been_here(str_t first, str_t address)
{
    struct header_field f;
    while (header_next(&first, &f))
        if (str_ieq(f.name, STR("Delivered-To")) && str_ieq(str_trim(f.value), address))
            return true;
    return false;
}

static enum store_rc content_copy(struct job *j, struct mailbox_in *in)
{
    enum store_rc rc = mailbox_in_write(in, j->first);
    struct arena a;
    arena_init(&a, STORE_VALUE_MAX * 2);
    for (uint32_t k = 1; k < j->m.chunks && rc == STORE_OK; k++) {
        str_t bytes;
        arena_reset(&a);
        enum rc got = job_chunk(j, k, &a, &bytes);
        rc = got == RC_OK ? mailbox_in_write(in, bytes) : j->content_lost ? STORE_DAMAGED : STORE_DOWN;
    }
    arena_free(&a);
    return rc;
}

static enum store_rc mailbox_put(struct job *j, const struct leaf *l, bool *again)
{
    enum { TRACE_MAX = 4096 };
    struct mailbox_in *in = mailbox_in_begin(j->c->env, l->account, j->m.id);
    if (in == NULL)
        return STORE_DOWN;
    struct buf trace;
    buf_init(&trace, TRACE_MAX);
    trace_return_path_write(j->m.reverse_path, &trace); /* RFC 5321 4.4: the delivery system's, on top */
    trace_delivered_to_write(l->address, &trace);
    enum store_rc rc = trace.failed ? STORE_LIMIT : mailbox_in_write(in, buf_str(&trace));
    if (rc == STORE_OK)
        rc = content_copy(j, in);
    buf_free(&trace);
    if (rc == STORE_OK)
        return mailbox_in_commit(in, again);
    mailbox_in_abort(in);
    return rc;
}

/* False: core is not there; nothing is to be recorded. */
static bool leaf_deliver(struct job *j, size_t i, const struct leaf *l)
{
    bool again = false;
    if (been_here(j->first, l->address)) {
        verdict(j, i, RC_PERM, "5.4.6", "mail loop: this message was delivered to this address before");
        return true;
    }
    enum store_rc rc = mailbox_put(j, l, &again);
    if (rc == STORE_OK)
        verdict(j, i, RC_OK, "2.0.0", again ? "in the mailbox (it was there already)" : "in the mailbox");
    else if (rc == STORE_DOWN || rc == STORE_UNKNOWN || rc == STORE_EXPIRED)
        return false;
    else
        verdict_store(j, i, rc);
    return true;
}

/* ---- one delivery ---- */

static bool leaves_settle(struct job *j, const struct expansion *x)
{
    for (size_t i = 0; i < x->n; i++) {
        const struct leaf *l = &x->v[i];
        switch (l->kind) {
        case LEAF_ACCOUNT:
            if (!leaf_deliver(j, i, l))
                return false;
            break;
        case LEAF_REMOTE:
            verdict(j, i, RC_OK, "2.0.0", "sent on to another server");
            j->became[i] = QUEUE_FORWARDED;
            break;
        case LEAF_UNKNOWN: verdict(j, i, RC_PERM, "5.1.1", "there is no such address here"); break;
        case LEAF_LOOP: verdict(j, i, RC_PERM, "5.4.6", "this alias leads only to itself"); break;
        case LEAF_TOO_MANY: verdict(j, i, RC_PERM, "5.4.6", "this alias stands for too many addresses, or too deep"); break;
        }
    }
    return true;
}

/* The leaves take the place of the recipients. */
static bool leaves_adopt(struct job *j, const struct expansion *x)
{
    size_t room = x->n > j->d.nrcpt ? x->n : j->d.nrcpt; /* it may be taken back: everybody_waits */
    j->d.nrcpt = x->n;
    j->d.rcpt = arena_array(&j->arena, x->n, sizeof *j->d.rcpt);
    j->verdicts = arena_array(&j->arena, room, sizeof *j->verdicts);
    j->became = arena_array(&j->arena, x->n, sizeof *j->became);
    if (j->arena.failed)
        return false;
    for (size_t i = 0; i < x->n; i++)
        j->d.rcpt[i] = (struct queue_rcpt){x->v[i].address, x->v[i].original, x->v[i].utf8};
    return true;
}

static size_t waiting(const struct job *j)
{
    size_t n = 0;
    for (size_t i = 0; i < j->d.nrcpt; i++)
        n += j->verdicts[i].rc == RC_TEMP;
    return n;
}

/* Too many wait for one row: all do, as the addresses they came from. */
static void everybody_waits(struct job *j, struct queue_delivery as_read)
{
    struct attempt_verdict why = {.rc = RC_TEMP};
    for (size_t i = 0; i < j->d.nrcpt; i++)
        if (j->verdicts[i].rc == RC_TEMP)
            why = j->verdicts[i];
    j->d = as_read;
    j->became = NULL;
    for (size_t i = 0; i < j->d.nrcpt; i++)
        j->verdicts[i] = why;
}

/* Where it ends for everybody. False: it was put back. */
static bool hand_out(struct job *j)
{
    struct carrier *c = j->c;
    struct queue_delivery as_read = j->d;
    struct expansion x = {0};
    size_t taken = 0;
    while (taken < as_read.nrcpt && x.n < LOCAL_LEAVES_TURN) {
        if (expand(c->env->store, c->set->subaddress_separator, &as_read.rcpt[taken], &j->arena, &x) != STORE_OK) {
            agenda_later(&c->agenda, j->entry, LATER_DOWN_MS);
            return false;
        }
        taken++;
    }
    if (!leaves_adopt(j, &x) || !leaves_settle(j, &x)) {
        agenda_later(&c->agenda, j->entry, LATER_DOWN_MS);
        return false;
    }
    if (j->content_lost) {
        j->d = as_read;
        j->became = NULL;
        job_verdict_lost(j);
    } else if (waiting(j) > QUEUE_GROUP) {
        everybody_waits(j, as_read);
    } else if (!forward_rows(j, &x, as_read.rcpt + taken, as_read.nrcpt - taken)) {
        agenda_later(&c->agenda, j->entry, LATER_ODD_MS);
        return false;
    }
    return true;
}

/* ---- messages in hand ---- */

static bool claim(struct local *l, queue_id_t id, unsigned *slot)
{
    bool ok = true;
    unsigned free_slot = LOCAL_THREADS;
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < LOCAL_THREADS; i++) {
        if (!l->used[i])
            free_slot = i;
        else if (queue_id_eq(l->active[i], id))
            ok = false;
    }
    ok = ok && free_slot < LOCAL_THREADS;
    if (ok) {
        l->used[free_slot] = true;
        l->active[free_slot] = id;
        *slot = free_slot;
    }
    pthread_mutex_unlock(&l->lock);
    return ok;
}

static void release(struct local *l, unsigned slot)
{
    pthread_mutex_lock(&l->lock);
    l->used[slot] = false;
    pthread_mutex_unlock(&l->lock);
}

static bool one(struct local *l, struct job *j, struct schedule_entry e)
{
    unsigned slot;
    if (!claim(l, e.id, &slot)) {
        agenda_later(&j->c->agenda, e, LATER_BUSY_MS);
        return false;
    }
    bool ready = job_read(j, e);
    ready = ready && (j->content_lost || hand_out(j));
    release(l, slot);
    return ready;
}

void local_deliver(void *user, struct schedule_dest *d, struct schedule_entry first)
{
    struct local *l = user;
    struct carrier *c = &l->carrier;
    struct job job[2]; /* one's outcome is on its way to the disk while the other is handed out */
    unsigned turn = 0;
    struct schedule_entry e = first;
    job_init(&job[0], c);
    job_init(&job[1], c);
    bool go = true;
    do {
        const struct store_board *board = store_board(c->env->store);
        if (board != NULL && atomic_load(&board->writes_stopped) != 0) {
            agenda_later(&c->agenda, e, LATER_STOPPED_MS);
            break;
        }
        if (!one(l, &job[turn], e))
            continue;
        go = job_finish(&job[1 - turn]);
        job_submit(&job[turn]);
        turn = 1 - turn;
    } while (go && agenda_more(&c->agenda, d, 0, &e));
    go = job_finish(&job[1 - turn]) && go;
    agenda_leave(&c->agenda, d);
    job_free(&job[0]);
    job_free(&job[1]);
}
