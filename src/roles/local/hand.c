/* hand.c: local deliveries in rounds: up to JOB_TOGETHER of them at once, so that one question to
 * the store reads them all and their mailbox batches share a sync. For each: recipients to leaves,
 * leaves to mailboxes, and all of it to one outcome (roles/delivery/job.h).
 *
 * If the directory cannot be read, nothing is recorded: the delivery is looked at again soon. Where
 * the row of one address is damaged, that recipient waits, and is given up like others. A
 * mailbox that takes nothing now keeps its recipient waiting, as an address of its own, which forwards
 * nothing any more (queue_rcpt.box). With more
 * leaves than a row can hold, everybody waits: what was delivered is seen. */
#include <stdlib.h>

#include "mail/header.h"
#include "mail/trace.h"
#include "post/mailbox.h"
#include "roles/local/expand.h"
#include "roles/local/list_turn.h"
#include "roles/local/local.h"

enum { LATER_DOWN_MS = 2000, LATER_BUSY_MS = 20, LATER_STOPPED_MS = 60000, LATER_ODD_MS = 300000 };

/* ---- verdicts ---- */

#define DAMAGED "the record of this address is damaged on our disk: see postrider check store"

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

static str_t sender_of(const struct job *j)
{
    return j->d.has_sender ? j->d.sender : j->m.reverse_path;
}

/* RFC 9228 and RFC 5321 6.3: it has been here. Only this header's own field of the same address
 * says so. */
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
        rc = got == RC_OK      ? mailbox_in_write(in, bytes)
             : j->content_lost ? STORE_DAMAGED
                               : STORE_DOWN;
    }
    arena_free(&a);
    return rc;
}

/* Begins it: what fits one chunk is on its way to the disk when this returns. NULL: *rc says why
 * not. */
static struct mailbox_in *mailbox_begin(struct job *j, const struct leaf *l, enum store_rc *rc)
{
    enum { TRACE_MAX = 4096 };
    struct mailbox_in *in = mailbox_in_begin(j->c->env, l->account, j->m.id);
    *rc = STORE_DOWN;
    if (in == NULL)
        return NULL;
    struct buf trace;
    buf_init(&trace, TRACE_MAX);
    /* RFC 5321 4.4: the delivery system's, on top */
    trace_return_path_write(sender_of(j), &trace);
    trace_delivered_to_write(l->address, &trace);
    *rc = trace.failed ? STORE_LIMIT : mailbox_in_write(in, buf_str(&trace));
    if (*rc == STORE_OK)
        *rc = content_copy(j, in);
    buf_free(&trace);
    if (*rc == STORE_OK) {
        mailbox_in_submit(in);
        return in;
    }
    mailbox_in_abort(in);
    return NULL;
}

/* ---- one delivery in hand ---- */

struct hand {
    struct job job;
    bool begun;    /* job is initialized */
    bool ready;    /* it was read, and is to be handed out */
    bool down;     /* core or the directory is not there: nothing is recorded */
    unsigned slot; /* in local.active */
    struct queue_delivery as_read;
    struct expansion x;
    size_t taken;           /* recipients expanded */
    struct mailbox_in **in; /* for each leaf, while its batch is under way */
    size_t at;              /* the first leaf that may still have one */
};

struct round {
    struct local *local;
    struct arena values; /* what was read for all of them */
    size_t n, flying;
    struct hand hand[JOB_TOGETHER];
};

static void leaf_verdict(struct hand *h, size_t i, enum store_rc rc, bool again)
{
    if (rc == STORE_OK)
        verdict(&h->job, i, RC_OK, "2.0.0",
                again ? "in the mailbox (it was there already)" : "in the mailbox");
    else if (rc == STORE_DOWN || rc == STORE_UNKNOWN || rc == STORE_EXPIRED || rc == STORE_CONFLICT)
        h->down = true; /* STORE_CONFLICT: core lost a piece written ahead */
    else
        verdict_store(&h->job, i, rc);
}

/* Waits for the oldest leaf under way. False: there is none. */
static bool leaf_finish(struct round *r, struct hand *h)
{
    while (h->at < h->x.n && h->in[h->at] == NULL)
        h->at++;
    if (h->at == h->x.n)
        return false;
    bool again = false;
    enum store_rc rc = mailbox_in_commit(h->in[h->at], &again);
    h->in[h->at] = NULL;
    r->flying--;
    leaf_verdict(h, h->at, rc, again);
    return true;
}

static void leaf_begin(struct round *r, struct hand *h, size_t i)
{
    struct job *j = &h->job;
    const struct leaf *l = &h->x.v[i];
    enum store_rc rc;
    if (been_here(j->first, l->address)) {
        verdict(j, i, RC_PERM, "5.4.6",
                "mail loop: this message was delivered to this address before");
        return;
    }
    while (r->flying >= LOCAL_FLYING && leaf_finish(r, h))
        ;
    h->in[i] = mailbox_begin(j, l, &rc);
    if (h->in[i] == NULL)
        leaf_verdict(h, i, rc, false);
    else
        r->flying++;
}

static void leaves_begin(struct round *r, struct hand *h)
{
    struct job *j = &h->job;
    for (size_t i = 0; i < h->x.n && !h->down && !j->content_lost; i++) {
        switch (h->x.v[i].kind) {
        case LEAF_ACCOUNT: leaf_begin(r, h, i); break;
        case LEAF_REMOTE:
            verdict(j, i, RC_OK, "2.0.0", "sent on to another server");
            j->became[i] = QUEUE_FORWARDED;
            break;
        case LEAF_LIST: verdict(j, i, RC_OK, "2.0.0", "given to the list"); break;
        case LEAF_HAD_IT:
            verdict(j, i, RC_OK, "2.0.0", "it came from this list");
            j->became[i] = QUEUE_FORWARDED;
            break;
        case LEAF_UNKNOWN: verdict(j, i, RC_PERM, "5.1.1", "there is no such address here"); break;
        case LEAF_LOOP: verdict(j, i, RC_PERM, "5.4.6", "this alias leads only to itself"); break;
        case LEAF_TOO_MANY:
            verdict(j, i, RC_PERM, "5.4.6",
                    "this alias stands for too many addresses, or too deep");
            break;
        case LEAF_DAMAGED: verdict(j, i, RC_TEMP, "4.3.0", DAMAGED); break;
        }
    }
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
        j->d.rcpt[i] = leaf_rcpt(&x->v[i]);
    j->expanded = x->expanded;
    j->nexpanded = x->nexpanded;
    return true;
}

static bool row_takes_waiting(const struct job *j)
{
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < j->d.nrcpt; i++) {
        if (j->verdicts[i].rc != RC_TEMP)
            continue;
        n++;
        bytes += queue_rcpt_bytes(&j->d.rcpt[i]);
    }
    return n <= QUEUE_GROUP && (n <= 1 || bytes <= QUEUE_GROUP_BYTES);
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
    j->nexpanded = 0;
    for (size_t i = 0; i < j->d.nrcpt; i++)
        j->verdicts[i] = why;
}

/* Under which sender each leaf leaves. What has one of its own already (from a list) keeps it. */
static enum store_rc leaf_senders(struct local *l, const struct queue_message *m,
                                  const struct queue_delivery *d, struct arena *a,
                                  struct expansion *x)
{
    enum store_rc rc = STORE_OK;
    str_t local, forwarder;
    for (size_t i = 0; i < x->n && rc == STORE_OK; i++) {
        struct leaf *f = &x->v[i];
        expand_split(f->original, &local, &forwarder);
        if (f->kind == LEAF_LIST) {
            rc = return_path_leaving(&l->paths, l->carrier.env, f->rules.owner, STR_NONE, a,
                                     &f->sender, &f->has_sender);
            f->has_sender = true;
        } else if (f->kind == LEAF_REMOTE && d->has_sender) {
            f->sender = d->sender;
            f->has_sender = true;
        } else if (f->kind == LEAF_REMOTE) {
            rc = return_path_leaving(&l->paths, l->carrier.env, m->reverse_path, forwarder, a,
                                     &f->sender, &f->has_sender);
            if (!f->has_sender)
                f->sender = STR_NONE;
        }
    }
    return rc;
}

static enum store_rc leaves_find(struct round *r, struct hand *h)
{
    struct job *j = &h->job;
    const struct expander x = {.env = j->c->env,
                               .directory = r->local->directory,
                               .tables = r->local->tables,
                               .paths = &r->local->paths,
                               .sender = sender_of(j),
                               .lists = list_turn_through(&j->d)};
    enum store_rc rc = STORE_OK;
    while (h->taken < h->as_read.nrcpt && h->x.n < LOCAL_LEAVES_TURN && rc == STORE_OK)
        rc = expand(&x, &h->as_read.rcpt[h->taken++], &j->arena, &h->x);
    return rc == STORE_OK ? leaf_senders(r->local, &j->m, &j->d, &j->arena, &h->x) : rc;
}

/* The first half: recipients to leaves, and their mailbox batches on the way. */
static void hand_begin(struct round *r, struct hand *h)
{
    struct job *j = &h->job;
    h->as_read = j->d;
    h->x = (struct expansion){0};
    h->taken = h->at = 0;
    h->down = false;
    if (j->content_lost)
        return;
    if (list_turn_is(&j->d)) {
        enum store_rc rc = list_turn(r->local, j);
        h->down = rc != STORE_OK && rc != STORE_DAMAGED;
        if (rc == STORE_DAMAGED)
            list_turn_waits(j, DAMAGED);
        return;
    }
    h->down = leaves_find(r, h) != STORE_OK;
    h->in = arena_array(&j->arena, h->x.n, sizeof(struct mailbox_in *));
    if (h->down || h->in == NULL || !leaves_adopt(j, &h->x)) {
        h->x.n = 0; /* none was begun */
        h->down = true;
        return;
    }
    leaves_begin(r, h);
}

/* The second: where it ends for everybody. False: it was put back. */
static bool hand_finish(struct round *r, struct hand *h)
{
    struct job *j = &h->job;
    struct agenda *g = &j->c->agenda;
    while (leaf_finish(r, h))
        ;
    if (h->down) {
        agenda_later(g, j->entry, LATER_DOWN_MS);
        return false;
    }
    if (j->content_lost) {
        j->d = h->as_read;
        j->became = NULL;
        j->nexpanded = 0;
        if (h->x.n > 0) /* found only now; else job_read has said so */
            job_verdict_lost(j);
    } else if (list_turn_is(&h->as_read)) {
        return true; /* it has made its rows */
    } else if (!row_takes_waiting(j)) {
        everybody_waits(j, h->as_read);
    } else if (!forward_rows(j, &h->x, h->as_read.rcpt + h->taken, h->as_read.nrcpt - h->taken)) {
        agenda_later(g, j->entry, LATER_ODD_MS);
        return false;
    }
    return true;
}

/* ---- messages in hand ---- */

static bool claim(struct local *l, queue_id_t id, unsigned *slot)
{
    bool ok = true;
    unsigned free_slot = LOCAL_IN_HAND;
    pthread_mutex_lock(&l->lock);
    for (unsigned i = 0; i < LOCAL_IN_HAND && ok; i++) {
        if (!l->used[i])
            free_slot = i;
        else if (queue_id_eq(l->active[i], id))
            ok = false;
    }
    ok = ok && free_slot < LOCAL_IN_HAND;
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

/* ---- a round ---- */

/* Takes what is due and not in another hand, and reads it. */
static void round_read(struct round *r, const struct schedule_entry *e, size_t n)
{
    struct job *jobs[JOB_TOGETHER];
    struct schedule_entry mine[JOB_TOGETHER];
    bool ready[JOB_TOGETHER];
    arena_reset(&r->values);
    r->n = 0;
    for (size_t i = 0; i < n; i++) {
        struct hand *h = &r->hand[r->n];
        if (!claim(r->local, e[i].id, &h->slot)) {
            agenda_later(&r->local->carrier.agenda, e[i], LATER_BUSY_MS);
            continue;
        }
        if (!h->begun)
            job_init(&h->job, &r->local->carrier);
        h->begun = true;
        jobs[r->n] = &h->job;
        mine[r->n++] = e[i];
    }
    job_read_all(jobs, mine, r->n, &r->values, ready);
    for (size_t i = 0; i < r->n; i++)
        r->hand[i].ready = ready[i];
}

/* False: the role stops, or has lost its lease. */
static bool round_run(struct round *r, const struct schedule_entry *e, size_t n)
{
    bool go = true;
    round_read(r, e, n);
    for (size_t i = 0; i < r->n; i++)
        if (r->hand[i].ready)
            hand_begin(r, &r->hand[i]);
    for (size_t i = 0; i < r->n; i++) {
        struct hand *h = &r->hand[i];
        h->ready = h->ready && hand_finish(r, h);
        release(r->local, h->slot);
        if (h->ready)
            job_submit(&h->job);
    }
    for (size_t i = 0; i < r->n; i++)
        go = job_finish(&r->hand[i].job) && go;
    return go;
}

static struct round *round_new(struct local *l)
{
    struct round *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->local = l;
    arena_init(&r->values, 2 * STORE_PAGE_MAX + JOB_TOGETHER * 1024);
    return r;
}

static void round_free(struct round *r)
{
    for (size_t i = 0; i < JOB_TOGETHER && r->hand[i].begun; i++)
        job_free(&r->hand[i].job);
    arena_free(&r->values);
    free(r);
}

static bool writes_stopped(struct carrier *c)
{
    const struct store_board *board = store_board(c->env->store);
    return board != NULL && atomic_load(&board->writes_stopped) != 0;
}

void local_deliver(void *user, struct schedule_dest *d, struct schedule_entry first)
{
    struct local *l = user;
    struct agenda *g = &l->carrier.agenda;
    struct schedule_entry e[JOB_TOGETHER] = {first};
    size_t n = 1;
    struct round *r = round_new(l);
    bool go = r != NULL && !writes_stopped(&l->carrier);
    while (go && n > 0) {
        while (n < JOB_TOGETHER && agenda_more(g, d, 0, &e[n]))
            n++;
        go = round_run(r, e, n);
        n = go && !writes_stopped(&l->carrier) && agenda_more(g, d, 0, &e[0]) ? 1 : 0;
    }
    if (r == NULL || n > 0) /* nothing was begun */
        agenda_later(g, first, r == NULL ? LATER_DOWN_MS : LATER_STOPPED_MS);
    agenda_leave(g, d);
    if (r != NULL)
        round_free(r);
}
