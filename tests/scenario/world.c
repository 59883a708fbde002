/* world.c: see world.h. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARENA_MAX = 64 << 20, ROUNDS_MAX = 1000 };

struct world *world_new(const char *file, uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    must(w != NULL);
    arena_init(&w->arena, ARENA_MAX);
    w->file = file;
    w->seed = seed;
    return w;
}

void world_free(struct world *w)
{
    for (size_t i = 0; i < w->nmtas; i++)
        mta_free(w->mta[i]);
    arena_free(&w->arena);
    free(w);
}

bool wrong(struct world *w, const char *fmt, ...)
{
    if (w->wrong[0] != '\0')
        return false;
    int n = snprintf(w->wrong, sizeof w->wrong, "%s:%u: ", w->file, w->line);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(w->wrong + n, sizeof w->wrong - (size_t)n, fmt, ap);
    va_end(ap);
    return false;
}

/* ---- the clock ---- */

int64_t world_now(const struct world *w)
{
    return w->mta[0]->fe.mono;
}

void world_pass(struct world *w, int64_t until_ms)
{
    int64_t ms = until_ms - world_now(w);
    for (size_t i = 0; i < w->nmtas && ms > 0; i++)
        fake_env_pass(&w->mta[i]->fe, ms);
}

int64_t world_next(const struct world *w)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < w->nmtas; i++) {
        int64_t c = agenda_next_ms(&w->mta[i]->courier->carrier.agenda);
        int64_t l = agenda_next_ms(&w->mta[i]->local->carrier.agenda);
        next = c < next ? c : next;
        next = l < next ? l : next;
    }
    return next;
}

void world_settle(struct world *w)
{
    size_t n = 1, rounds = 0;
    while (n > 0 && !w->dark) {
        n = 0;
        for (size_t i = 0; i < w->nmtas; i++)
            n += carrier_step(&w->mta[i]->courier->carrier) +
                 carrier_step(&w->mta[i]->local->carrier);
        if (++rounds > ROUNDS_MAX) {
            wrong(w, "there is no end of what is due");
            return;
        }
    }
}

void world_dark(struct world *w)
{
    w->dark = true;
    for (size_t i = 0; i < w->nmtas; i++)
        store_memory_fail(w->mta[i]->fe.env.store, STORE_UNKNOWN);
}

/* ---- the network ---- */

enum rc world_connect(struct env *e, const struct netaddr *to, const struct netaddr *from,
                      int64_t deadline_ms, struct conn **out, struct err *err)
{
    struct mta *us = (struct mta *)(void *)e;
    struct world *w = us->world;
    char text[NETADDR_TEXT];
    if (w->dark)
        return err_set(err, RC_TEMP, "4.4.1", "the power has failed");
    if (w->ntried == TRIED_MAX) {
        wrong(w, "more than %d connections", TRIED_MAX);
        return err_set(err, RC_TEMP, "4.4.1", "too many connections for this story");
    }
    w->tried[w->ntried++] = *to;
    if (w->nsources < TRIED_MAX)
        w->source[w->nsources++] = from != NULL ? *from : (struct netaddr){0};
    for (size_t i = 0; i < w->nmtas; i++) {
        if (!netaddr_eq(&w->mta[i]->addr, to))
            continue;
        *out = mta_connect(w->mta[i], &us->addr);
        return RC_OK;
    }
    for (size_t i = 0; i < w->nhosts; i++) {
        if (!netaddr_eq(&w->host[i].addr, to))
            continue;
        switch (w->host[i].kind) {
        case HOST_ACCEPTS: *out = host_connect(w, &w->host[i]); return RC_OK;
        case HOST_REFUSES: return err_set(err, RC_TEMP, "4.4.1", "connection refused");
        case HOST_UNREACHABLE: return err_set(err, RC_TEMP, "4.4.4", "network is unreachable");
        case HOST_SILENT: break;
        }
        world_pass(w, deadline_ms);
        return err_set(err, RC_TEMP, "4.4.1", "connection timed out");
    }
    wrong(w, "nobody was to be tried at %s", netaddr_text(to, text));
    return err_set(err, RC_TEMP, "4.4.1", "there is no such host in this story");
}
