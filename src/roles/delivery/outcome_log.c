/* outcome_log.c: the lines in the log that say what became of a delivery: one for each kind of
 * outcome among its recipients, with the first of that kind and how many there are. From the fates
 * that were recorded, not from what was said: whoever is given up failed, and is not deferred.
 *
 *     sent, delivered   a server has it; it is in a mailbox here    report=ID, if one was asked for
 *     forwarded         an alias or a list: other deliveries go on
 *     deferred          tried again in next_s, or held=yes          warning=ID, if the sender is told
 *     late              untried: the time of DELIVERBY has passed   warning=ID
 *     failed            for good                                    bounce=ID, if the sender is told
 *     removed           by the operator, while it was tried and would have been deferred */
#include "post/bounce_class.h"
#include "roles/delivery/outcome_tell.h"

#include "roles/log.h"

enum { FIELDS_MAX = 16 };

struct line {
    struct log_field f[FIELDS_MAX + 1]; /* the last one ends it */
    size_t n;
    char told[QUEUE_ID_TEXT];
};

static void add(struct line *l, struct log_field f)
{
    must(l->n < FIELDS_MAX);
    l->f[l->n++] = f;
}

static const char *event_of(const struct job *j, enum queue_outcome o)
{
    switch (o) {
    case QUEUE_DELIVERED: return j->c->local ? "delivered" : "sent";
    case QUEUE_FORWARDED: return "forwarded";
    case QUEUE_DEFERRED: return j->removed ? "removed" : j->late ? "late" : "deferred";
    case QUEUE_FAILED:
    case QUEUE_DROPPED:
    case QUEUE_OUTCOMES: break;
    }
    return "failed";
}

static void add_told(struct line *l, const char *name, bool made, queue_id_t id)
{
    if (made)
        add(l, log_cstr(name, queue_id_text(id, l->told)));
}

/* What follows from it: who is told, when again. */
static void add_next(struct line *l, const struct job *j, enum queue_outcome o)
{
    int64_t wait_ms = j->next_ms - j->c->env->wall_ms(j->c->env);
    if (j->removed)
        return;
    if (o == QUEUE_FAILED)
        add_told(l, "bounce", j->bounced, j->bounce);
    if (o == QUEUE_DELIVERED || o == QUEUE_FORWARDED)
        add_told(l, "report", j->told, j->report);
    if (o != QUEUE_DEFERRED)
        return;
    if (j->next_ms == INT64_MAX)
        add(l, log_cstr("held", "yes"));
    else
        add(l, log_i64("next_s", wait_ms > 0 ? wait_ms / 1000 : 0));
    add_told(l, "warning", j->warned, j->warning);
}

static void add_peer(struct line *l, const struct job *j)
{
    if (j->host.len == 0)
        return;
    add(l, log_str("host", j->host));
    add(l, log_str("addr", j->addr));
    add(l, log_str("tls", j->tls));
}

/* `first` is the first of the n recipients of this kind. */
static void log_kind(const struct job *j, enum queue_outcome o, size_t first, size_t n)
{
    char id[QUEUE_ID_TEXT];
    struct line l = {.n = 0};
    const struct attempt_verdict *v = &j->verdicts[first];
    const struct fate *f = &j->fate[first];
    add(&l, log_str("to", j->d.rcpt[first].address));
    add(&l, log_u64("recipients", n));
    add_peer(&l, j);
    add(&l, log_u64("code", v->code));
    add(&l, log_str("status", f->status.len > 0 ? f->status : str_c(v->status)));
    if (v->rc != RC_OK)
        add(&l,
            log_cstr("class", bounce_class_name(bounce_class(v->code, str_c(v->status), v->text))));
    add(&l, log_str("text", f->given_up ? f->diagnostic : v->text));
    add_next(&l, j, o);
    l.f[l.n] = log_end;
    log_event_v(j->c->role, str_c(queue_id_text(j->m.id, id)), event_of(j, o), l.f);
}

void outcome_log(const struct job *j)
{
    for (enum queue_outcome o = QUEUE_DELIVERED; o < QUEUE_OUTCOMES; o++) {
        size_t n = 0, first = 0;
        for (size_t i = j->d.nrcpt; i-- > 0;)
            if (j->fate[i].outcome == o) {
                first = i;
                n++;
            }
        if (n > 0 && !(j->partial && o == QUEUE_DEFERRED)) /* those were left as they are */
            log_kind(j, o, first, n);
    }
}
