/* outcome_tell.c: who is told what became of a message: the sender, of failure, delay and success,
 * as the sender asked for it. RFC 3461 4.1, 5.2; RFC 2852 4.1; RFC 3464 for the reports.
 *
 *     NOTIFY of the recipient      failure   delay             success
 *     not given                    yes       yes (*)           no (**)
 *     NEVER                        no        no                no
 *     a list                       if named  if named          if named
 *
 *     (*)  not about mail that no person sent (Auto-Submitted, RFC 3834): nobody waits for it
 *     (**) but that it was relayed, where DELIVERBY asks for a trace or was lost on the way
 *
 * Success is told by whoever is last to know: us, where it is in a mailbox here or went to a server
 * that reports nothing itself. An alias of one address is followed in silence, one of several is
 * told of as expanded (5.2.7.2, 5.2.7.3 c). */
#include "roles/delivery/outcome_tell.h"

enum {
    WHOLE_MAX = 256 << 10, /* of a message that goes back as a whole: more is its header */
    /* of what was said, where all of it is more than a batch takes; then nothing goes back either. A
     * hundred of them, with addresses of QUEUE_GROUP_BYTES together, are well under BOUNCE_MAX. */
    BRIEF_TEXT = 200,
};

struct list { /* recipients of one report */
    struct dsn_recipient *v;
    size_t n;
};

str_t outcome_said(struct job *j, const struct attempt_verdict *v)
{
    /* one of no subject is ours, where the peer gave none (RFC 3463 2) */
    bool status = v->status[0] != '\0' && strcmp(v->status + 1, ".0.0") != 0;
    if (v->code == 0)
        return v->text;
    return arena_fmt(&j->arena, "%d %s%s" STR_FMT, v->code, status ? v->status : "",
                     status ? " " : "", STR_ARG(v->text));
}

/* ---- who asked for what ---- */

static bool wants_failure(const struct queue_rcpt *r)
{
    return r->notify == 0 || (r->notify & QUEUE_NOTIFY_FAILURE) != 0;
}

static bool wants_delay(const struct job *j, const struct queue_rcpt *r, bool by)
{
    if (r->notify == 0)
        return by || !j->m.auto_submitted;
    return (r->notify & QUEUE_NOTIFY_DELAY) != 0;
}

/* That it went to a server which reports nothing, or not when it will be late. */
static bool wants_relayed(const struct job *j, const struct queue_rcpt *r,
                          const struct attempt_verdict *v)
{
    if ((r->notify & QUEUE_NOTIFY_NEVER) != 0)
        return false;
    if (!v->dsn && (r->notify & QUEUE_NOTIFY_SUCCESS) != 0)
        return true;
    if (j->m.by == QUEUE_BY_NONE)
        return false;
    return j->m.by_trace || /* RFC 2852 4.1.4 */
           (j->m.by == QUEUE_BY_NOTIFY && !v->by && j->time_ms < j->m.deliver_by_ms); /* 4.1.4.2 */
}

static bool success(const struct job *j, const struct split *s, size_t i, enum dsn_action *out)
{
    const struct queue_rcpt *r = &j->d.rcpt[i];
    const struct attempt_verdict *v = &j->verdicts[i];
    if (s->fate[i].outcome != QUEUE_DELIVERED)
        return false;
    *out = j->c->local || v->in_store ? DSN_DELIVERED : DSN_RELAYED;
    return *out == DSN_RELAYED ? wants_relayed(j, r, v) : (r->notify & QUEUE_NOTIFY_SUCCESS) != 0;
}

/* ---- lists ---- */

static struct dsn_recipient told(struct job *j, const struct queue_rcpt *r,
                                 const struct attempt_verdict *v, str_t status, str_t diagnostic)
{
    return (struct dsn_recipient){
        .final = r->address,
        .original = r->original,
        .orcpt = r->orcpt,
        .status = arena_dup(&j->arena, status),
        .diagnostic = j->brief ? str_first(diagnostic, BRIEF_TEXT) : diagnostic,
        .remote_mta = v != NULL && v->code != 0 ? j->host : STR_NONE,
        .last_attempt_ms = j->time_ms,
    };
}

static bool list_make(struct job *j, size_t most, struct list *l)
{
    *l = (struct list){.v = arena_array(&j->arena, most, sizeof *l->v)};
    return l->v != NULL;
}

static bool failures(struct job *j, const struct split *s, struct list *l)
{
    if (!list_make(j, j->d.nrcpt, l))
        return false;
    for (size_t i = 0; i < j->d.nrcpt; i++) {
        const struct fate *f = &s->fate[i];
        const struct queue_rcpt *r = &j->d.rcpt[i];
        if (f->outcome == QUEUE_FAILED && wants_failure(r))
            l->v[l->n++] = told(j, r, &j->verdicts[i], f->status, f->diagnostic);
    }
    if (l->n <= JOB_RESULTS_MAX)
        return true;
    struct dsn_recipient *last = &l->v[JOB_RESULTS_MAX - 1];
    last->diagnostic = arena_fmt(&j->arena, STR_FMT " (and %zu more addresses it stands for)",
                                 STR_ARG(last->diagnostic), l->n - JOB_RESULTS_MAX);
    l->n = JOB_RESULTS_MAX;
    return true;
}

static bool delays(struct job *j, const struct split *s, bool by, struct list *l)
{
    if (!list_make(j, s->nkeep, l))
        return false;
    for (size_t k = 0; k < s->nkeep; k++) {
        const struct attempt_verdict *v = &j->verdicts[s->kept[k]];
        const struct queue_rcpt *r = &s->keep[k];
        str_t status = by                    ? STR("4.4.7") /* RFC 2852 4.1.3 */
                       : v->status[0] == '4' ? str_c(v->status)
                                             : STR("4.0.0");
        if (wants_delay(j, r, by))
            l->v[l->n++] = told(j, r, v, status, outcome_said(j, v));
    }
    return true;
}

static bool successes(struct job *j, const struct split *s, struct list *l)
{
    enum dsn_action action;
    if (!list_make(j, j->d.nrcpt + j->nexpanded, l))
        return false;
    for (size_t i = 0; i < j->d.nrcpt && l->n < JOB_RESULTS_MAX; i++) {
        const struct attempt_verdict *v = &j->verdicts[i];
        if (!success(j, s, i, &action))
            continue;
        l->v[l->n] =
            told(j, &j->d.rcpt[i], v, v->status[0] == '2' ? str_c(v->status) : STR("2.0.0"),
                 v->code != 0 ? outcome_said(j, v) : STR_NONE);
        l->v[l->n++].action = action;
    }
    for (size_t i = 0; i < j->nexpanded && l->n < JOB_RESULTS_MAX; i++) {
        l->v[l->n] = told(j, &j->expanded[i], NULL, STR("2.0.0"), STR_NONE);
        l->v[l->n++].action = DSN_EXPANDED;
    }
    return true;
}

/* ---- reports ---- */

/* RFC 3461 4.3: with RET=FULL all of it goes back, if it is not too much and can be read. */
static void content_take(struct job *j, struct queue_bounce *q)
{
    struct buf all;
    /* RFC 8689 5: of mail that must not be seen on the way only the header goes back */
    if (j->m.ret != QUEUE_RET_FULL || j->m.requiretls || j->content_lost || j->brief ||
        j->m.size > WHOLE_MAX)
        return;
    q->whole = true;
    if (j->m.chunks <= 1)
        return;
    buf_init(&all, WHOLE_MAX);
    for (uint32_t k = 0; k < j->m.chunks && q->whole; k++) {
        str_t chunk;
        q->whole = job_chunk(j, k, &j->arena, &chunk) == RC_OK && buf_add(&all, chunk);
    }
    if (q->whole)
        q->header = arena_dup(&j->arena, buf_str(&all));
    buf_free(&all);
}

/* *made: it is in the batch, with that id. */
static enum queue_bounce_rc report(struct job *j, enum dsn_action action, const struct list *l,
                                   bool *made, queue_id_t *id)
{
    struct queue_message m = j->m;
    struct queue_bounce q = {.action = action,
                             .hostname = j->c->set->hostname,
                             .m = &m,
                             .recipients = l->v,
                             .n = l->n,
                             .header = j->brief ? STR_NONE : j->first};
    q.give_up_ms = job_born_ms(j) + (int64_t)j->c->set->give_up_after_s * 1000;
    if (j->d.has_sender) /* it went out under this name: who gave it wants to hear (SRS, VERP) */
        m.reverse_path = j->d.sender;
    if (j->d.list) { /* RFC 3461 5.2.7.1: a message of its own */
        m.envelope_id = STR_NONE;
        m.ret = QUEUE_RET_ANY;
    }
    if (action == DSN_FAILED)
        content_take(j, &q);
    enum queue_bounce_rc rc = queue_bounce_add(j->c->env, &q, &j->batch, &j->arena, id);
    *made = rc == QUEUE_BOUNCE_MADE;
    return rc;
}

static bool tell_failure(struct job *j, struct split *s, struct queue_event *e)
{
    struct list l;
    if (s->nfail == 0)
        return true;
    if (!failures(j, s, &l))
        return false;
    enum queue_bounce_rc rc =
        l.n > 0 ? report(j, DSN_FAILED, &l, &e->bounced, &e->bounce) : QUEUE_BOUNCE_NONE;
    j->dropped = rc == QUEUE_BOUNCE_DROPPED;
    for (size_t i = 0; j->dropped && i < j->d.nrcpt; i++)
        if (s->fate[i].outcome == QUEUE_FAILED)
            s->fate[i].outcome = QUEUE_DROPPED;
    return rc != QUEUE_BOUNCE_FAILED;
}

static bool tell_delay(struct job *j, const struct split *s, struct queue_delivery *d,
                       struct queue_event *e)
{
    struct list l;
    bool late = j->time_ms - job_born_ms(j) >= (int64_t)j->c->set->warn_after_s * 1000 &&
                !agenda_young(&j->c->agenda);
    bool by = j->m.by == QUEUE_BY_NOTIFY && !d->by_told && j->time_ms >= j->m.deliver_by_ms &&
              !agenda_grace(&j->c->agenda);
    if (s->nkeep == 0 || j->partial || !((late && !d->warned) || by))
        return true;
    d->warned = d->warned || late;
    d->by_told = d->by_told || by;
    if (!delays(j, s, by, &l))
        return false;
    return l.n == 0 || report(j, DSN_DELAYED, &l, &e->warned, &e->warning) != QUEUE_BOUNCE_FAILED;
}

static bool tell_success(struct job *j, const struct split *s)
{
    struct list l;
    j->told = false;
    if (!successes(j, s, &l))
        return false;
    return l.n == 0 || report(j, DSN_DELIVERED, &l, &j->told, &j->report) != QUEUE_BOUNCE_FAILED;
}

bool outcome_tell(struct job *j, struct split *s, struct queue_delivery *d, struct queue_event *e)
{
    return tell_failure(j, s, e) && tell_delay(j, s, d, e) && tell_success(j, s);
}
