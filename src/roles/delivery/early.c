/* early.c: what is decided of a delivery before anybody tries it: it is not to go yet, it is too
 * late, or some of its recipients do not exist. See job.h.
 *
 * Whatever ends here ends in a batch like that of an attempt; the delivery is then looked at anew. */
#include "roles/delivery/job.h"

#include <time.h>

/* In the number of the event, which names it: the attempt that follows has the same one, and may be
 * of the same millisecond. */
#define PARTIAL_SERIAL 0x80000000u
#define LATE_SERIAL    0x40000000u

enum { LATE_LOOK_MS = 60000 };

/* Held for release (RFC 4865): not before its time, whoever asks. Its row's time is further away than
 * the schedule keeps: it is looked at again now and then. */
static bool not_yet(struct job *j)
{
    int64_t wait = j->m.release_ms - j->time_ms;
    int64_t most = schedule_delay_max_ms(&j->c->agenda.policy);
    if (wait <= 0)
        return false;
    agenda_later(&j->c->agenda, j->entry, wait < most ? wait : most);
    return true;
}

/* The time of DELIVERBY. After a jump of the clock it is not believed at once. */
static bool by_passed(struct job *j)
{
    return j->time_ms >= j->m.deliver_by_ms && !agenda_grace(&j->c->agenda);
}

/* RFC 2852 4.1.3: "no further delivery attempts may be made". */
bool job_too_late(struct job *j)
{
    return j->m.by == QUEUE_BY_RETURN && by_passed(j);
}

/* It came up because its time has passed, perhaps while its destination waits. With mode N that is
 * only told (4.1.3); it goes on when its turn comes. False: there is nothing to be told (yet). */
static bool late(struct job *j)
{
    struct agenda *g = &j->c->agenda;
    bool told = j->m.by == QUEUE_BY_NONE || (j->m.by == QUEUE_BY_NOTIFY && j->d.by_told);
    if (told) { /* the row has changed since */
        j->entry.late = false;
        agenda_done(g, j->entry, j->d.next_ms);
        return false;
    }
    if (!by_passed(j)) { /* the clock was set */
        int64_t left = j->m.deliver_by_ms - j->time_ms;
        agenda_later(g, j->entry, left > 0 && left < LATE_LOOK_MS ? left : LATE_LOOK_MS);
        return false;
    }
    j->late = true;
    j->serial |= LATE_SERIAL;
    job_verdict_all(j, RC_TEMP, "4.4.7",
                    j->d.reason.len == 0 ? STR("not delivered yet")
                                         : arena_fmt(&j->arena, "not delivered yet; last: " STR_FMT,
                                                     STR_ARG(j->d.reason)));
    return true;
}

/* Who is suppressed comes back at once where somebody of ours is told: whoever handed the mail in
 * here, who can correct the address or ask the operator. What an alias sends on is tried all the
 * same: its sender, elsewhere, knows nothing of that address, and would only get a report about
 * it; and so are our own reports, which nobody is told about. Only the first attempt asks: a delivery
 * that the operator wants to be tried is tried. */
static bool may_be_suppressed(const struct job *j)
{
    return j->c->suppress != NULL && j->d.attempts == 0 && !j->d.asked && !j->m.bounce &&
           j->m.reverse_path.len > 0;
}

static bool suppressed(struct job *j, size_t i)
{
    struct queue_suppressed row;
    struct tm when;
    char date[16];
    if (j->d.rcpt[i].original.len > 0 ||
        !suppress_find(j->c->suppress, j->d.rcpt[i].address, &j->arena, &row))
        return false;
    time_t since = (time_t)(row.since_ms / 1000);
    gmtime_r(&since, &when);
    strftime(date, sizeof date, "%Y-%m-%d", &when);
    struct attempt_verdict *v = &j->verdicts[i];
    *v = (struct attempt_verdict){.rc = RC_PERM, .status = "5.1.1"};
    v->text = arena_fmt(&j->arena, "suppressed since %s, not tried again: " STR_FMT, date,
                        STR_ARG(row.reason));
    return true;
}

/* Those who are suppressed get their verdict; the others are left as they are. */
static bool any_suppressed(struct job *j)
{
    bool any = false;
    if (!may_be_suppressed(j))
        return false;
    for (size_t i = 0; i < j->d.nrcpt; i++) {
        j->verdicts[i] = (struct attempt_verdict){.rc = RC_TEMP, .status = "4.0.0"};
        any = suppressed(j, i) || any;
    }
    if (!any)
        memset(j->verdicts, 0, j->d.nrcpt * sizeof *j->verdicts);
    return any;
}

bool job_early(struct job *j)
{
    if (not_yet(j))
        return false;
    if (job_too_late(j)) {
        job_verdict_all(j, RC_PERM, "5.4.7",
                        STR("it could not be delivered by the time that its sender had set"));
    } else if (j->entry.late) {
        if (!late(j))
            return false;
    } else if (any_suppressed(j)) {
        j->partial = true;
        j->serial |= PARTIAL_SERIAL;
    } else {
        return true;
    }
    job_submit(j);
    bool done = job_finish(j);
    (void)done; /* it said what it had to */
    return false;
}
