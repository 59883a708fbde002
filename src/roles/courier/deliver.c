/* deliver.c: one destination, one connection, message after message. See courier.h.
 *
 * Two jobs take turns: the outcome of one is on its way to the disk while the other is sent, up to
 * its final dot. */
#include "proto/smtp/client.h"
#include "roles/courier/courier.h"
#include "roles/delivery/job.h"

enum { LATER_STOPPED_MS = 60000, LATER_ABANDONED_MS = 1000 };

struct run {
    struct carrier *c;
    const struct attempt_setup *setup;
    struct schedule_dest *dest;
    struct attempt *attempt; /* the open connection, or NULL */
    unsigned on_connection;  /* messages sent over it */
    /* It could not be opened: `err` is for all that is due there under the same conditions. */
    bool unreachable;
    struct attempt_target failed; /* in failed_words */
    struct arena failed_words;
    struct err err;
    bool asked;     /* the message in hand was asked for by hand */
    bool suspended; /* nothing is to be sent there */
    bool waits;     /* … now, as others have found out */
    bool over;      /* no further message */
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

static void keep_failure(struct run *r, const struct attempt_target *to)
{
    arena_reset(&r->failed_words);
    r->failed = *to;
    r->failed.domain = arena_dup(&r->failed_words, to->domain);
    r->failed.via = arena_dup(&r->failed_words, to->via);
    r->unreachable = !r->failed_words.failed;
}

/* Which host it is becomes known here: it may be one to be left alone, by the operator's word or
 * because it was not reached for another domain a moment ago. */
static bool hook_site(void *user, str_t host)
{
    struct run *r = user;
    agenda_site(&r->c->agenda, r->dest, host);
    r->suspended = agenda_suspended(&r->c->agenda, r->dest);
    r->waits = !r->suspended && !r->asked && agenda_waits(&r->c->agenda, r->dest);
    return !r->suspended && !r->waits;
}

/* RC_OK: r->attempt is open for it. */
static enum rc dial(struct run *r, const struct attempt_target *to)
{
    if (r->attempt != NULL && attempt_fits(r->attempt, to))
        return RC_OK;
    if (r->unreachable && attempt_target_same(&r->failed, to))
        return r->err.rc;
    hang_up(r);
    enum rc rc = attempt_open(r->setup, to, hook_site, r, &r->arena, &r->attempt, &r->err);
    if (rc == RC_OK || r->suspended || r->waits)
        return rc;
    r->attempt = NULL;
    r->err.rc = rc == RC_PERM ? RC_PERM : RC_TEMP;
    keep_failure(r, to);
    if (rc != RC_PERM && !to->requiretls) /* what one message demands is nobody else's matter */
        agenda_back_off(&r->c->agenda, r->dest, str_c(r->err.text));
    return r->err.rc;
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

/* 421, or 4xx before any recipient was named: it is the whole destination that waits. */
static void put_off(struct run *r, struct job *j)
{
    str_t text = arena_fmt(&j->arena, STR_FMT ": " STR_FMT, STR_ARG(attempt_host(r->attempt)),
                           STR_ARG(outcome_said(j, &j->verdicts[0])));
    agenda_back_off(&r->c->agenda, r->dest, text);
    r->over = true;
}

static void send_once(struct run *r, struct job *j)
{
    struct hook h = {r, j};
    char addr[NETADDR_TEXT];
    attempt_send(r->attempt, &j->m, &j->d, hook_chunk, hook_before_dot, &h, &j->arena, j->verdicts);
    r->on_connection++;
    j->host = arena_dup(&j->arena, attempt_host(r->attempt));
    j->addr = arena_dup(&j->arena, str_c(netaddr_text_port(attempt_addr(r->attempt), addr)));
    j->tls = arena_dup(&j->arena, attempt_tls(r->attempt));
    if (attempt_put_off(r->attempt) && !any_ok(j))
        put_off(r, j);
    if (!attempt_usable(r->attempt))
        hang_up(r);
}

/* Sends it, and feeds back what that says of the destination. */
static void send_message(struct run *r, struct job *j)
{
    struct attempt_target to;
    struct err err;
    enum rc rc = attempt_target_of(r->setup, &j->m, &j->d, &j->arena, &to, &err);
    if (rc != RC_OK) { /* a table of ours, nothing of theirs */
        job_verdict_all(j, rc, err.status, arena_dup(&j->arena, str_c(err.text)));
        return;
    }
    r->asked = j->entry.asked || j->d.asked;
    rc = dial(r, &to);
    if (rc != RC_OK) {
        job_verdict_all(j, rc, r->err.status, str_c(r->err.text));
        return;
    }
    /* dials again by itself if an idle connection turns out to be closed */
    send_once(r, j);
    if (j->content_lost)
        job_verdict_lost(j);
    if (any_ok(j)) {
        agenda_good(&r->c->agenda, r->dest);
    } else if (all_closed(j)) {
        agenda_back_off(&r->c->agenda, r->dest, j->verdicts[0].text);
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
    if (r->suspended) {
        agenda_later(g, j->entry, AGENDA_SUSPENDED_MS);
        r->over = true;
        return;
    }
    if (r->waits) { /* untried: its time is as it was, its site's counts */
        agenda_done(g, j->entry, j->d.next_ms);
        r->over = true;
        return;
    }
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
    enum {
        ATTEMPT_ARENA_MAX = 1 << 20,  /* routes, hosts, addresses, a session's buffers */
        FAILED_WORDS_MAX = 16 * 1024, /* a domain and a route */
    };
    struct carrier *c = user;
    const struct courier *courier = user; /* the carrier is its first member */
    struct run r = {.c = c, .setup = &courier->setup, .dest = d};
    arena_init(&r.arena, ATTEMPT_ARENA_MAX);
    arena_init(&r.failed_words, FAILED_WORDS_MAX);
    job_init(&r.job[0], c);
    job_init(&r.job[1], c);
    struct schedule_entry e = first;
    do {
        if (job_read(&r.job[r.turn], e))
            one(&r, &r.job[r.turn]);
    } while (!r.over && !first.late && next_entry(&r, &e)); /* late: nobody is connected to */
    bool done = job_finish(previous(&r));
    (void)done; /* it said what it had to */
    hang_up(&r);
    agenda_leave(&c->agenda, d);
    job_free(&r.job[0]);
    job_free(&r.job[1]);
    arena_free(&r.arena);
    arena_free(&r.failed_words);
}
