/* settle.c: making an outcome durable, whatever it takes.
 *
 *     STORE_OK                  done
 *     STORE_UNKNOWN, _DOWN      the same batch again when core is back: if it had happened, the row
 *                               it requires has changed, and its event is there to prove it was us
 *     STORE_CONFLICT, op 0      another courier has the lease: this one ends
 *     STORE_CONFLICT, else      the operator changed the row meanwhile. What was delivered is
 *                               delivered: the outcome is made anew from the row as it is now
 *                               (local simply begins again)
 *     STORE_FULL                if all was delivered, the deletes alone; else wait: nothing more is
 *                               sent on this connection
 *     STORE_STOPPED             wait: core will be restarted
 *     more than a batch takes   the outcome is made anew, its reports in few words
 *
 * What is logged of it is what was recorded, and after that; what could not be recorded is logged as
 * that. */
#include "roles/delivery/job.h"

#include "roles/log.h"

enum {
    PAUSE_DOWN_MS = 200,
    PAUSE_FULL_MS = 5000,
    LATER_REDO_MS = 20,
    LATER_UNSURE_MS = 60000,
    LATER_REFUSED_MS = 900000,
};

static void commit_done(struct store_commit *c)
{
    struct job *j = c->user;
    pthread_mutex_lock(&j->lock);
    j->done = true;
    pthread_cond_signal(&j->cond);
    pthread_mutex_unlock(&j->lock);
}

static void send(struct job *j)
{
    j->submitted = true;
    j->done = false;
    j->commit = (struct store_commit){.batch = &j->batch, .done = commit_done, .user = j};
    store_submit(j->c->env->store, &j->commit);
}

static enum store_rc wait(struct job *j)
{
    pthread_mutex_lock(&j->lock);
    while (!j->done)
        pthread_cond_wait(&j->cond, &j->lock);
    pthread_mutex_unlock(&j->lock);
    j->submitted = false;
    return j->commit.rc;
}

static void log_unrecorded(const struct job *j, const char *event, enum store_rc rc,
                           const char *advice)
{
    char id[QUEUE_ID_TEXT];
    size_t ok = 0;
    for (size_t i = 0; i < j->d.nrcpt; i++)
        ok += j->verdicts[i].rc == RC_OK;
    log_event(j->c->role, str_c(queue_id_text(j->entry.id, id)), event,
              log_u64("recipients", j->d.nrcpt), log_u64("ok", ok), log_str("host", j->host),
              log_cstr("store", store_rc_name(rc)), log_cstr("advice", advice), log_end);
}

static void refused(struct job *j, enum store_rc rc)
{
    log_unrecorded(j, "outcome-refused", rc,
                   "what became of this attempt could not be recorded; it will be repeated");
    agenda_later(&j->c->agenda, j->entry, LATER_REFUSED_MS);
}

/* The role ends first. */
static void unsure(struct job *j, enum store_rc rc)
{
    log_unrecorded(j, "outcome-unsure", rc,
                   "it is not known whether what became of this attempt was recorded; unless it "
                   "was, it will be repeated");
    agenda_later(&j->c->agenda, j->entry, LATER_UNSURE_MS);
}

/* With all that is to be told; or, where no batch takes that, in few words: what was sent must be
 * marked as sent, or it is sent again. */
static bool build(struct job *j)
{
    while (!outcome_build(j) || !store_batch_valid(&j->batch)) {
        if (j->brief)
            return false;
        j->brief = true;
    }
    return true;
}

void job_submit(struct job *j)
{
    if (build(j)) {
        send(j);
        return;
    }
    refused(j, STORE_LIMIT);
}

/* ---- afterwards ---- */

static void settled(struct job *j)
{
    outcome_log(j);
    if (j->dropped) {
        char id[QUEUE_ID_TEXT];
        log_event(
            j->c->role, str_c(queue_id_text(j->m.id, id)), "bounce-dropped",
            log_str("to", j->d.rcpt[0].address),
            log_cstr("advice", "a notice to the postmaster could not be delivered: is there one?"),
            log_end);
    }
    j->entry.late = false; /* that is settled too */
    if (!j->ends && j->next_ms == INT64_MAX)
        job_held(j);
    else
        agenda_done(&j->c->agenda, j->entry, j->ends ? INT64_MAX : j->next_ms);
    if (j->ends && !j->m.single)
        carrier_release(j->c, j->m.id);
}

/* ---- conflicts ---- */

enum again { AGAIN_SEND, AGAIN_DONE, AGAIN_WAIT, AGAIN_REDO, AGAIN_REFUSED };

/* The verdicts in the order of another version of the row. Only we take recipients out, so all of
 * its are known. */
static bool verdicts_for(struct job *j, const struct queue_delivery *d)
{
    struct attempt_verdict *v = arena_array(&j->arena, d->nrcpt, sizeof *v);
    if (v == NULL)
        return false;
    for (size_t i = 0; i < d->nrcpt; i++) {
        v[i] = (struct attempt_verdict){
            .rc = RC_TEMP, .status = "4.0.0", .text = STR("not tried yet")};
        for (size_t k = 0; k < j->d.nrcpt; k++)
            if (str_eq(d->rcpt[i].address, j->d.rcpt[k].address))
                v[i] = j->verdicts[k];
    }
    j->verdicts = v;
    j->d = *d;
    return true;
}

static enum again reconcile(struct job *j)
{
    str_t keys[2] = {outcome_event_key(j), j->key};
    struct store_value v[2] = {0};
    if (store_get(j->c->env->store, QUEUE_PART, keys, 2, &j->arena, v) != STORE_OK)
        return AGAIN_WAIT;
    if (v[0].present)
        return AGAIN_DONE; /* it was our own batch, whose answer got lost */
    if (v[1].rc != STORE_OK)
        return AGAIN_REFUSED;
    if (j->c->local)
        return AGAIN_REDO; /* whatever is in mailboxes says so itself */
    if (!v[1].present) {
        if (j->minimal || j->removed)
            return AGAIN_DONE;
        j->removed = true;
        return build(j) ? AGAIN_SEND : AGAIN_REFUSED;
    }
    struct queue_delivery d;
    j->value = v[1].value;
    if (!queue_delivery_decode(j->key, j->value, &j->arena, &d))
        return AGAIN_REFUSED;
    j->again = j->again || (d.asked && !j->d.asked);
    if (!verdicts_for(j, &d) || !build(j))
        return AGAIN_REFUSED;
    return AGAIN_SEND;
}

static enum again conflict(struct job *j)
{
    if (j->commit.failed_op > 0)
        return reconcile(j);
    if (!atomic_exchange(&j->c->lost, true))
        log_event(j->c->role, STR("-"), "lease-lost",
                  log_cstr("advice", "another one works on this queue; this one ends"), log_end);
    agenda_stop(&j->c->agenda);
    return AGAIN_WAIT;
}

static enum again full(struct job *j)
{
    if (j->minimal || !j->plain)
        return AGAIN_WAIT;
    j->minimal = true;
    return build(j) ? AGAIN_SEND : AGAIN_REFUSED;
}

static enum again next_step(struct job *j, enum store_rc rc)
{
    switch (rc) {
    case STORE_OK: return AGAIN_DONE;
    case STORE_CONFLICT: return conflict(j);
    case STORE_FULL: return full(j);
    case STORE_STOPPED:
    case STORE_DOWN:
    case STORE_UNKNOWN: return AGAIN_WAIT;
    case STORE_DENIED:
    case STORE_LIMIT:
    case STORE_DAMAGED:
    case STORE_EXPIRED: break;
    }
    return AGAIN_REFUSED;
}

bool job_finish(struct job *j)
{
    while (j->submitted) {
        enum store_rc rc = wait(j);
        enum again again = next_step(j, rc);
        bool quick = rc == STORE_DOWN || rc == STORE_UNKNOWN || rc == STORE_CONFLICT;
        if (again == AGAIN_WAIT &&
            !agenda_pause(&j->c->agenda, quick ? PAUSE_DOWN_MS : PAUSE_FULL_MS)) {
            unsure(j, rc);
            return false;
        }
        if (again == AGAIN_DONE)
            settled(j);
        else if (again == AGAIN_REDO)
            agenda_later(&j->c->agenda, j->entry, LATER_REDO_MS);
        else if (again == AGAIN_REFUSED)
            refused(j, rc);
        else
            send(j);
    }
    return true;
}
