/* channel_calls.c: see channel_internal.h. */
#include <stdlib.h>

#include "sys/channel_internal.h"

/* in flight on one channel: far above the threads and commits of any role */
#define CALLS_MAX 65536

void call_complete(struct channel_call *c, enum rc rc)
{
    free(place(c)->frame);
    c->rc = rc;
    if (rc != RC_OK) {
        c->reply = STR_NONE;
        c->reply_fd = -1;
    }
    c->done(c);
}

void call_complete_all(struct list *calls, enum rc rc)
{
    for (struct list *l; (l = list_pop(calls)) != NULL;)
        call_complete(place_call(l), rc);
}

/* ---- the table of calls in flight; under lock ---- */

static bool grow_slots(struct channel *ch)
{
    uint32_t n = ch->n_slots ? ch->n_slots * 2 : 64;
    if (n > CALLS_MAX)
        return false;
    struct slot *v = realloc(ch->slots, n * sizeof *v);
    if (v == NULL)
        return false;
    for (uint32_t i = ch->n_slots; i < n; i++)
        v[i] = (struct slot){.turn = 1, .next_free = i + 1 < n ? i + 1 : CHANNEL_NO_SLOT};
    ch->first_free = ch->n_slots;
    ch->slots = v;
    ch->n_slots = n;
    return true;
}

bool slot_put(struct channel *ch, struct channel_call *c)
{
    if (ch->first_free == CHANNEL_NO_SLOT && !grow_slots(ch))
        return false;
    uint32_t i = ch->first_free;
    struct slot *s = &ch->slots[i];
    ch->first_free = s->next_free;
    s->call = c;
    ch->used++;
    place(c)->id = (uint64_t)s->turn << 32 | i;
    return true;
}

/* The call with this id, out of the table; NULL if it was given up. */
struct channel_call *slot_take(struct channel *ch, uint64_t id)
{
    uint32_t i = (uint32_t)id;
    if (i >= ch->n_slots || ch->slots[i].call == NULL || ch->slots[i].turn != id >> 32)
        return NULL;
    struct slot *s = &ch->slots[i];
    struct channel_call *c = s->call;
    s->call = NULL;
    s->turn = s->turn == UINT32_MAX ? 1 : s->turn + 1;
    s->next_free = ch->first_free;
    ch->first_free = i;
    ch->used--;
    place(c)->id = 0;
    return c;
}

/* Moves calls in flight to `out`: all, or those whose deadline has passed. */
void slots_take(struct channel *ch, int64_t due_ms, struct list *out)
{
    for (uint32_t i = 0; i < ch->n_slots && ch->used > 0; i++) {
        struct channel_call *c = ch->slots[i].call;
        if (c != NULL && c->deadline_ms <= due_ms) {
            slot_take(ch, place(c)->id);
            list_push(out, &place(c)->link);
        }
    }
}
