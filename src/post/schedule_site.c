/* schedule_site.c: sites, and which domain is at which: so that a host that serves thousands of
 * domains is one destination.
 *
 * A site lives while a destination is at it or a domain is remembered as being there. What is
 * remembered is a table of fixed size, by a hash of the domain: a new one takes the place of an
 * older. */
#include <stdlib.h>

#include "base/map.h"
#include "post/schedule_impl.h"

static struct site **site_link(const struct schedule *s, str_t name)
{
    uint64_t h = siphash24(s->hash_key, name);
    struct site **link = &s->site_buckets[(size_t)h & (s->nsite_buckets - 1)];
    while (*link != NULL && !str_eq(str_of((*link)->name, (*link)->name_len), name))
        link = &(*link)->chain;
    return link;
}

static bool buckets_grow(struct schedule *s)
{
    size_t former = s->nsite_buckets, n = former == 0 ? SCHEDULE_BUCKETS : former * 2;
    struct site **old = s->site_buckets;
    struct site **v = calloc(n, sizeof(struct site *));
    if (v == NULL)
        return false;
    s->site_buckets = v;
    s->nsite_buckets = n;
    for (size_t b = 0; b < former; b++) {
        for (struct site *t = old[b], *next; t != NULL; t = next) {
            next = t->chain;
            t->chain = NULL;
            *site_link(s, str_of(t->name, t->name_len)) = t;
        }
    }
    free(old);
    return true;
}

static struct site *site_new(struct schedule *s, str_t name)
{
    /* a destination each, and two places for each site: schedule_dest_get asks for the same */
    size_t members = s->ndest + 2 * (s->nsites + 1);
    if (name.len > UINT16_MAX || (s->nsites >= s->nsite_buckets && !buckets_grow(s)) ||
        !schedule_line_reserve(&s->line, members))
        return NULL;
    struct site *t = calloc(1, sizeof *t + name.len);
    if (t == NULL)
        return NULL;
    t->node.site = t->clock.site = true;
    t->gate.not_before_ms = INT64_MIN;
    t->gate.limit = (uint16_t)s->policy.concurrency_start;
    t->name_len = (uint16_t)name.len;
    memcpy(t->name, name.ptr, name.len);
    if (!schedule_rule_apply(s, &t->gate, name)) {
        free(t);
        return NULL;
    }
    *site_link(s, name) = t;
    s->nsites++;
    s->dest_bytes += sizeof *t + name.len;
    return t;
}

static void site_destroy(struct site *t)
{
    heap_free(&t->line.wait);
    heap_free(&t->line.ready);
    free(t->gate.rule);
    free(t->reason);
    free(t);
}

static void site_unref(struct schedule *s, struct site *t)
{
    if (--t->refs > 0)
        return;
    *site_link(s, str_of(t->name, t->name_len)) = t->chain;
    schedule_line_drop(&s->line, &t->node);
    schedule_line_drop(&s->line, &t->clock);
    s->nsites--;
    s->dest_bytes -= sizeof *t + t->name_len;
    site_destroy(t);
}

void schedule_sites_free(struct schedule *s)
{
    for (size_t b = 0; b < s->nsite_buckets; b++) {
        while (s->site_buckets[b] != NULL) {
            struct site *t = s->site_buckets[b];
            s->site_buckets[b] = t->chain;
            site_destroy(t);
        }
    }
    free(s->site_buckets);
    free(s->known);
}

/* ---- who is where ---- */

/* d, which is in no line, goes to the site; without memory it stands in the schedule's. */
static void join(struct schedule *s, struct schedule_dest *d, struct site *t)
{
    if (schedule_line_reserve(&t->line, t->line.members + 1)) {
        d->site = t;
        t->refs++;
        t->line.members++;
        t->gate.running = (uint16_t)(t->gate.running + d->gate.running);
    }
    schedule_line_add(s, d);
}

static void part(struct schedule *s, struct schedule_dest *d)
{
    struct site *t = d->site;
    schedule_line_drop(schedule_line_of(s, d), &d->node);
    d->site = NULL;
    if (t == NULL)
        return;
    t->gate.running = (uint16_t)(t->gate.running - d->gate.running);
    t->line.members--;
    schedule_settle_site(s, t);
    site_unref(s, t);
}

static uint64_t tag_of(const struct schedule *s, const struct schedule_dest *d)
{
    return siphash24(s->hash_key, str_of(d->name, d->name_len));
}

static void known_set(struct schedule *s, struct known *k, uint64_t tag, struct site *t)
{
    if (t != NULL)
        t->refs++;
    if (k->site != NULL)
        site_unref(s, k->site);
    *k = (struct known){tag, t, s->now_ms};
}

static void remember(struct schedule *s, struct schedule_dest *d)
{
    if (s->known == NULL)
        s->known = calloc(SCHEDULE_KNOWN, sizeof *s->known);
    if (s->known == NULL)
        return;
    uint64_t tag = tag_of(s, d);
    known_set(s, &s->known[tag & (SCHEDULE_KNOWN - 1)], tag, d->site);
}

void schedule_site_remembered(struct schedule *s, struct schedule_dest *d)
{
    uint64_t tag = s->known != NULL ? tag_of(s, d) : 0;
    struct known *k = s->known != NULL ? &s->known[tag & (SCHEDULE_KNOWN - 1)] : NULL;
    struct site *t = NULL;
    if (k != NULL && k->site != NULL && s->now_ms - k->at_ms >= SCHEDULE_KNOWN_MS)
        known_set(s, k, 0, NULL);
    else if (k != NULL && k->tag == tag)
        t = k->site;
    if (t != NULL)
        join(s, d, t);
    else
        schedule_line_add(s, d);
}

void schedule_site_leave(struct schedule *s, struct schedule_dest *d)
{
    part(s, d);
}

/* The first to come there brings what is known of it. */
static void inherit(struct site *t, struct schedule_dest *d)
{
    t->gate.not_before_ms = d->gate.not_before_ms;
    t->gate.limit = d->gate.limit;
    t->gate.good = d->gate.good;
    t->gate.failures = d->gate.failures;
    d->gate.failures = 0;
}

void schedule_site(struct schedule *s, struct schedule_dest *d, str_t name, int64_t now_ms)
{
    if (name.len == 0)
        return;
    s->now_ms = now_ms > s->now_ms ? now_ms : s->now_ms;
    if (d->site == NULL || !str_eq(schedule_site_name(d), name)) {
        struct site *t = s->nsite_buckets > 0 ? *site_link(s, name) : NULL;
        bool first = t == NULL;
        if (first)
            t = site_new(s, name);
        if (t == NULL)
            return;
        if (first && d->site == NULL)
            inherit(t, d);
        t->refs++; /* while it is between the two */
        part(s, d);
        join(s, d, t);
        d->gate.not_before_ms = INT64_MIN; /* its site's counts now */
        schedule_settle(s, d);
        site_unref(s, t);
    }
    if (d->site != NULL)
        remember(s, d);
}

str_t schedule_site_name(const struct schedule_dest *d)
{
    return d->site == NULL ? STR_NONE : str_of(d->site->name, d->site->name_len);
}
