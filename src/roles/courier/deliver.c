/* deliver.c: one destination, one connection, message after message. See courier.h.
 *
 * Two jobs take turns: the outcome of one is on its way to the disk while the other is sent, up to
 * its final dot. */
#include "roles/courier/attempt.h"
#include "roles/courier/courier.h"
#include "roles/delivery/job.h"

enum { LATER_STOPPED_MS = 60000, LATER_ABANDONED_MS = 1000 };

struct run {
    struct carrier *c;
    struct schedule_dest *dest;
    struct attempt *attempt; /* the open connection, or NULL */
    unsigned on_connection;  /* messages sent over it */
    bool unreachable;        /* it could not be opened: `err` is for all that is due there */
    struct err err;
    bool over; /* no further message */
    struct job job[2];
    unsigned turn;
    struct arena arena; /* the attempt's: as long as the connection */
};

static void hang_up(struct run *r)
{
    if (r->attempt != NULL)
        attempt_close(r->attempt);
    r->attempt = NULL;
    r->on_connection = 0;
    arena_reset(&r->arena);
}

static struct job *previous(struct run *r)
{
    return &r->job[1 - r->turn];
}

static bool dial(struct run *r)
{
    if (r->attempt != NULL)
        return true;
    if (!r->unreachable) {
        enum rc rc = attempt_open(r->c->env, r->c->set, schedule_dest_domain(r->dest), &r->arena,
                                  &r->attempt, &r->err);
        if (rc == RC_OK)
            return true;
        r->attempt = NULL;
        r->unreachable = true;
        r->err.rc = rc;
        if (rc != RC_PERM)
            agenda_bad(&r->c->agenda, r->dest);
    }
    return false;
}

/* ---- what attempt_send asks back ---- */

struct hook {
    struct run *r;
    struct job *j;
};

static enum rc hook_chunk(void *user, uint32_t k, struct arena *a, str_t *out)
{
    struct hook *h = user;
    return job_chunk(h->j, k, a, out);
}

/* Not before the message sent before this one is marked as sent: so no crash repeats more than
 * one. */
static enum rc hook_before_dot(void *user)
{
    struct hook *h = user;
    if (job_finish(previous(h->r)))
        return RC_OK;
    h->j->abandoned = true;
    return RC_TEMP;
}

/* ---- one message ---- */

static bool all_closed(const struct job *j)
{
    for (size_t i = 0; i < j->d.nrcpt; i++)
        if (j->verdicts[i].rc != RC_CLOSED)
            return false;
    return true;
}

static bool any_ok(const struct job *j)
{
    for (size_t i = 0; i < j->d.nrcpt; i++)
        if (j->verdicts[i].rc == RC_OK)
            return true;
    return false;
}

static void send_once(struct run *r, struct job *j)
{
    struct hook h = {r, j};
    char addr[NETADDR_TEXT];
    attempt_send(r->attempt, &j->m, &j->d, hook_chunk, hook_before_dot, &h, &j->arena, j->verdicts);
    r->on_connection++;
    j->host = arena_dup(&j->arena, attempt_host(r->attempt));
    j->addr = arena_dup(&j->arena, str_c(netaddr_text_port(attempt_addr(r->attempt), addr)));
    if (!attempt_usable(r->attempt))
        hang_up(r);
}

/* Sends it, and feeds back what that says of the destination. */
static void send_message(struct run *r, struct job *j)
{
    /* dials again by itself if an idle connection turns out to be closed */
    if (dial(r))
        send_once(r, j);
    if (r->unreachable) {
        job_verdict_all(j, r->err.rc == RC_PERM ? RC_PERM : RC_TEMP, r->err.status,
                        str_c(r->err.text));
        return;
    }
    if (j->content_lost)
        job_verdict_lost(j);
    if (any_ok(j)) {
        agenda_good(&r->c->agenda, r->dest);
    } else if (all_closed(j)) {
        agenda_bad(&r->c->agenda, r->dest);
        r->over = true;
    }
}

static bool writes_stopped(const struct carrier *c)
{
    const struct store_board *b = store_board(c->env->store);
    return b != NULL && atomic_load(&b->writes_stopped) != 0;
}

static void one(struct run *r, struct job *j)
{
    struct agenda *g = &r->c->agenda;
    if (writes_stopped(r->c)) { /* what is sent could not be marked as sent */
        agenda_later(g, j->entry, LATER_STOPPED_MS);
        r->over = true;
        return;
    }
    if (!j->content_lost)
        send_message(r, j);
    if (j->abandoned || (agenda_stopping(g) && !any_ok(j))) {
        agenda_later(g, j->entry, LATER_ABANDONED_MS);
        r->over = true;
        return;
    }
    if (!job_finish(previous(r)))
        r->over = true;
    job_submit(j);
    r->turn = 1 - r->turn;
    r->over = r->over || r->on_connection >= COURIER_PER_CONNECTION;
}

/* Nothing due: while waiting for more with the line open, the last outcome settles. */
static bool next_entry(struct run *r, struct schedule_entry *e)
{
    if (agenda_more(&r->c->agenda, r->dest, 0, e))
        return true;
    return r->attempt != NULL && job_finish(previous(r)) &&
           agenda_more(&r->c->agenda, r->dest, COURIER_LINGER_MS, e);
}

void courier_deliver(void *user, struct schedule_dest *d, struct schedule_entry first)
{
    enum { ATTEMPT_ARENA_MAX = 1 << 20 }; /* routes, hosts, addresses, a session's buffers */
    struct carrier *c = user;
    struct run r = {.c = c, .dest = d};
    arena_init(&r.arena, ATTEMPT_ARENA_MAX);
    job_init(&r.job[0], c);
    job_init(&r.job[1], c);
    struct schedule_entry e = first;
    do {
        if (job_read(&r.job[r.turn], e))
            one(&r, &r.job[r.turn]);
    } while (!r.over && next_entry(&r, &e));
    bool done = job_finish(previous(&r));
    (void)done; /* it said what it had to */
    hang_up(&r);
    agenda_leave(&c->agenda, d);
    job_free(&r.job[0]);
    job_free(&r.job[1]);
    arena_free(&r.arena);
}
