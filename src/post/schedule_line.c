/* schedule_line.c: destinations and sites in the order of their turns. See schedule_impl.h.
 *
 * `wait` is looked at by time; whoever's time has come is given a number and goes to `ready`. It
 * keeps the number until it is served or nothing of it is due any more. */
#include <stdlib.h>

#include "post/schedule_impl.h"

static bool heap_reserve(struct heap *h, size_t n)
{
    size_t cap = h->cap == 0 ? 1 : h->cap;
    if (n <= h->cap)
        return true;
    while (cap < n)
        cap *= 2;
    struct heap_entry **v = reallocarray(h->v, cap, sizeof(struct heap_entry *));
    if (v == NULL)
        return false;
    h->v = v;
    h->cap = cap;
    return true;
}

bool schedule_line_reserve(struct line *l, size_t members)
{
    return heap_reserve(&l->wait, members) && heap_reserve(&l->ready, members);
}

static void place(struct line *l, struct node *n, bool ready, int64_t key)
{
    if (n->ready != ready)
        schedule_line_drop(l, n);
    n->ready = ready;
    must(heap_set(ready ? &l->ready : &l->wait, &n->at, key)); /* there is room for all */
}

void schedule_line_drop(struct line *l, struct node *n)
{
    heap_remove(n->ready ? &l->ready : &l->wait, &n->at);
    n->ready = false;
}

static struct node *node_of(struct heap_entry *h)
{
    return list_entry(h, struct node, at);
}

static struct schedule_dest *dest_of(struct node *n)
{
    return list_entry(n, struct schedule_dest, node);
}

/* ---- settling ---- */

/* When it may next have something to do. */
static int64_t dest_time(const struct schedule *s, const struct schedule_dest *d)
{
    if (!schedule_gate_open(s, &d->gate, d->site == NULL))
        return SCHEDULE_NEVER;
    int64_t due = schedule_has_lanes(d) ? INT64_MIN : SCHEDULE_NEVER;
    if (d->root != 0 && schedule_at(s, d->root)->due_ms < due)
        due = schedule_at(s, d->root)->due_ms;
    int64_t from = schedule_gate_from(&d->gate, s->now_ms);
    return due > from ? due : from;
}

void schedule_settle(struct schedule *s, struct schedule_dest *d)
{
    struct line *l = schedule_line_of(s, d);
    struct site *t = d->site;
    if (d->entries == 0 && d->gate.running == 0) {
        schedule_line_drop(l, &d->node);
        schedule_dest_free(s, d); /* leaves its site, which settles */
        return;
    }
    int64_t time = dest_time(s, d);
    if (!d->node.ready || time > s->now_ms)
        place(l, &d->node, false, time);
    if (t != NULL)
        schedule_settle_site(s, t);
}

void schedule_settle_site(struct schedule *s, struct site *t)
{
    struct heap_entry *ready = heap_first(&t->line.ready), *wait = heap_first(&t->line.wait);
    int64_t from = schedule_gate_from(&t->gate, s->now_ms), clock = SCHEDULE_NEVER;
    bool open = schedule_gate_open(s, &t->gate, true);
    if (open && wait != NULL)
        clock = wait->due_ms > from ? wait->due_ms : from;
    if (open && ready != NULL && from <= s->now_ms) {
        t->node.class = node_of(ready)->class;
        t->node.source = node_of(ready)->source;
        place(&s->line, &t->node, true, ready->due_ms);
    } else {
        if (open && ready != NULL && from < clock)
            clock = from;
        schedule_line_drop(&s->line, &t->node);
    }
    place(&s->line, &t->clock, false, clock);
}

void schedule_line_add(struct schedule *s, struct schedule_dest *d)
{
    d->node.ready = false;
    place(schedule_line_of(s, d), &d->node, false, SCHEDULE_NEVER);
}

/* ---- turns ---- */

static void dest_ready(struct schedule *s, struct schedule_dest *d, unsigned source, unsigned class,
                       int64_t key)
{
    d->node.source = (uint16_t)source;
    d->node.class = (uint8_t) class;
    place(schedule_line_of(s, d), &d->node, true, key);
}

void schedule_overtake(struct schedule *s, struct schedule_dest *d, unsigned source, unsigned class)
{
    if (!d->node.ready || (d->node.source == source && d->node.class == class))
        return;
    if (schedule_key(schedule_number(s, source, class), class) >= d->node.at.due_ms)
        return;
    dest_ready(s, d, source, class, schedule_key(schedule_number_give(s, source, class), class));
    if (d->site != NULL)
        schedule_settle_site(s, d->site);
}

/* All that is due there is of sources that have their share: by the first that there is. */
static struct pick pick_held(const struct schedule *s, const struct schedule_dest *d)
{
    struct pick p = {.entry = d->root};
    for (unsigned class = 0; class < CLASSES; class ++) {
        uint32_t l = d->lanes[class];
        if (l == 0)
            continue;
        p = (struct pick){.entry = s->lanes[l].root,
                          .key = schedule_key(s->lanes[l].number, class),
                          .numbered = true};
        break;
    }
    return p;
}

/* Its time has come. */
static void dest_promote(struct schedule *s, struct schedule_dest *d)
{
    struct pick p = schedule_pick(s, d);
    if (p.entry == 0 && p.held)
        p = pick_held(s, d);
    if (p.entry == 0) { /* nothing due after all */
        schedule_settle(s, d);
        return;
    }
    const struct entry *e = schedule_at(s, p.entry);
    if (!p.numbered)
        p.key = schedule_key(schedule_number_give(s, e->source, e->class), e->class);
    dest_ready(s, d, e->source, e->class, p.key);
}

/* All whose time has come are numbered. */
static void site_promote(struct schedule *s, struct site *t)
{
    struct heap_entry *h;
    while ((h = heap_first(&t->line.wait)) != NULL && h->due_ms <= s->now_ms)
        dest_promote(s, dest_of(node_of(h)));
    schedule_settle_site(s, t);
}

static void promote(struct schedule *s)
{
    struct heap_entry *h;
    while ((h = heap_first(&s->line.wait)) != NULL && h->due_ms <= s->now_ms) {
        struct node *n = node_of(h);
        if (n->site)
            site_promote(s, list_entry(n, struct site, clock));
        else
            dest_promote(s, dest_of(n));
    }
}

struct schedule_dest *schedule_first(struct schedule *s)
{
    promote(s);
    struct heap_entry *h = heap_first(&s->line.ready);
    if (h == NULL)
        return NULL;
    struct node *n = node_of(h);
    if (n->site)
        n = node_of(heap_first(&list_entry(n, struct site, node)->line.ready));
    return dest_of(n);
}
