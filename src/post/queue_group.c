/* queue_group.c: see queue_group.h. */
#include "post/queue_group.h"

#include <stdlib.h>

#include "base/map.h"
#include "post/queue_list.h"
#include "post/queue_walk.h"

enum {
    BUCKETS = 32768,      /* a power of two above QUEUE_GROUPS */
    TEXT_KEPT = 160,      /* of a name or a reason */
    TEXTS_MAX = 64 << 20, /* of all of them: what the arena may become */
    MESSAGES = 200,       /* rows whose messages are read together */
};
_Static_assert(BUCKETS > QUEUE_GROUPS, "there is always an empty bucket");

struct group {
    struct queue_group g; /* first */
    uint64_t hash;
    struct group *next; /* in its bucket */
};

struct summing {
    struct store *store;
    const struct queue_filter *f;
    enum queue_group_by by;
    struct arena texts;
    struct group *v;
    size_t n;
    struct group **buckets;
    struct group others;
    uint8_t key[16];
};

/* ---- reasons ---- */

/* Where what differs from host to host ends: after "HOST: ", if a code or words follow. */
static str_t without_host(str_t reason)
{
    size_t at;
    if (!str_find(reason, ' ', &at) || at < 2 || reason.ptr[at - 1] != ':')
        return reason;
    return str_from(reason, at + 1);
}

static bool is_code(str_t word)
{
    bool dots = false;
    for (size_t i = 0; i < word.len; i++) {
        dots = dots || word.ptr[i] == '.';
        if (!ascii_digit(word.ptr[i]) && word.ptr[i] != '.')
            return false;
    }
    return word.len == 3 || (dots && word.len >= 5 && word.len <= 8);
}

str_t queue_reason_common(str_t reason, struct arena *a)
{
    str_t rest = str_first(without_host(reason), TEXT_KEPT), word;
    char *to = arena_alloc(a, rest.len + 1);
    size_t n = 0, at;
    if (to == NULL)
        return STR_NONE;
    for (int i = 0; i < 2 && str_find(rest, ' ', &at); i++) { /* 450 4.2.0 */
        word = str_first(rest, at);
        if (!is_code(word))
            break;
        memcpy(to + n, word.ptr, word.len);
        n += word.len;
        to[n++] = ' ';
        rest = str_from(rest, at + 1);
    }
    for (size_t i = 0; i < rest.len; i++) {
        bool digit = ascii_digit(rest.ptr[i]);
        if (!digit)
            to[n++] = rest.ptr[i];
        else if (n == 0 || to[n - 1] != '#')
            to[n++] = '#';
    }
    return str_of(to, n);
}

/* ---- the table ---- */

static struct group *group_of(struct summing *s, str_t name, str_t reason)
{
    uint64_t h = siphash24(s->key, name) ^ siphash24(s->key, reason) * 0x9e3779b97f4a7c15u;
    struct group **link = &s->buckets[h & (BUCKETS - 1)];
    for (; *link != NULL; link = &(*link)->next)
        if ((*link)->hash == h && str_eq((*link)->g.name, name) &&
            str_eq((*link)->g.reason, reason))
            return *link;
    if (s->n == QUEUE_GROUPS || s->texts.failed)
        return &s->others;
    struct group *g = &s->v[s->n];
    *g = (struct group){.hash = h};
    g->g.name = arena_dup(&s->texts, name);
    g->g.reason = arena_dup(&s->texts, reason);
    g->g.next_ms = g->g.oldest_ms = INT64_MAX;
    if (s->texts.failed)
        return &s->others;
    s->n++;
    *link = g;
    return g;
}

static void count(struct summing *s, struct group *g, const struct queue_delivery *d)
{
    struct queue_group *q = &g->g;
    q->deliveries++;
    q->recipients += d->nrcpt;
    q->tried += d->attempts > 0;
    if (d->state == QUEUE_HELD)
        q->held++;
    else if (d->next_ms < q->next_ms)
        q->next_ms = d->next_ms;
    if (d->arrived_ms >= q->oldest_ms)
        return;
    q->oldest_ms = d->arrived_ms;
    if (!q->others && q->example.len == 0 && d->reason.len > 0)
        q->example = arena_dup(&s->texts, str_first(d->reason, 2 * TEXT_KEPT));
}

static str_t destination(const struct queue_delivery *d, struct arena *a)
{
    if (d->via.len == 0 || d->local)
        return d->domain;
    return arena_fmt(a, STR_FMT " via " STR_FMT, STR_ARG(d->domain), STR_ARG(d->via));
}

static void add(struct summing *s, const struct queue_delivery *d, const struct queue_message *m,
                struct arena *a)
{
    str_t name = STR_NONE, reason = STR_NONE;
    switch (s->by) {
    case QUEUE_BY_DESTINATION:
        name = destination(d, a);
        reason = queue_reason_common(d->reason, a);
        break;
    case QUEUE_BY_REASON: name = queue_reason_common(d->reason, a); break;
    case QUEUE_BY_CLASS:
        if (d->reason.len > 0)
            name = str_c(bounce_class_name(bounce_class_reason(d->reason)));
        break;
    case QUEUE_BY_SOURCE: name = d->source; break;
    case QUEUE_BY_SENDER: name = m != NULL ? m->reverse_path : STR("?"); break;
    }
    struct group *g = group_of(s, str_first(name, 2 * TEXT_KEPT), reason);
    if (s->by == QUEUE_BY_DESTINATION && g->g.domain.len == 0 && !g->g.others)
        g->g.domain = arena_dup(&s->texts, d->domain);
    count(s, g, d);
}

/* ---- the walk ---- */

/* Message rows of rows [from, from + n) of the page; deliveries of one message stand together. */
static enum store_rc messages(struct summing *s, const struct store_page *p, size_t from, size_t n,
                              struct arena *a, struct store_value *out)
{
    str_t keys[MESSAGES];
    size_t place[MESSAGES], nkeys = 0;
    queue_id_t last = {0};
    for (size_t i = 0; i < n; i++) {
        queue_id_t id = {0};
        bool known = queue_key_id(p->rows[from + i].key, &id);
        (void)known; /* else there is no such row */
        if (nkeys == 0 || !queue_id_eq(id, last))
            keys[nkeys++] = queue_key_message(id, a);
        place[i] = nkeys - 1;
        last = id;
    }
    memset(out, 0, n * sizeof *out);
    enum store_rc rc = store_get(s->store, QUEUE_PART, keys, nkeys, a, out);
    for (size_t i = n; i > 0; i--) /* place[i] <= i: none is overwritten before it is copied */
        out[i - 1] = out[place[i - 1]];
    return rc;
}

static void row_add(struct summing *s, const struct store_row *row, const struct store_value *mv,
                    struct arena *a)
{
    struct queue_delivery d;
    struct queue_message m;
    bool has_m = false;
    if (row->damaged || !queue_delivery_decode(row->key, row->value, a, &d)) {
        s->others.g.damaged++;
        return;
    }
    if (mv != NULL)
        has_m = mv->rc == STORE_OK && mv->present && queue_message_decode(mv->value, d.id, a, &m);
    if (queue_filter_delivery(s->f, &d, a) && queue_filter_message(s->f, has_m ? &m : NULL))
        add(s, &d, has_m ? &m : NULL, a);
}

/* In small pieces, each with an arena of its own: a page decoded whole would be many times its
 * size. */
static enum store_rc page_add(struct summing *s, const struct store_page *p)
{
    bool need = s->by == QUEUE_BY_SENDER || queue_filter_needs_message(s->f);
    struct store_value *v = need ? calloc(MESSAGES, sizeof *v) : NULL;
    struct arena a;
    enum store_rc rc = need && v == NULL ? STORE_LIMIT : STORE_OK;
    arena_init(&a, QUEUE_WALK_ARENA);
    for (size_t i = 0; i < p->n && rc == STORE_OK; i += MESSAGES) {
        size_t n = p->n - i < MESSAGES ? p->n - i : MESSAGES;
        if (need)
            rc = messages(s, p, i, n, &a, v);
        for (size_t k = 0; k < n && rc == STORE_OK; k++)
            row_add(s, &p->rows[i + k], need ? &v[k] : NULL, &a);
        arena_reset(&a);
    }
    arena_free(&a);
    free(v);
    return rc;
}

static enum store_rc kind_add(struct summing *s, str_t prefix, uint64_t moment)
{
    struct queue_walk w;
    enum store_rc rc;
    queue_walk_begin(&w, s->store, prefix, 0);
    w.moment = moment;
    while (queue_walk_next(&w, &rc)) {
        rc = page_add(s, &w.page);
        if (rc != STORE_OK)
            break;
    }
    queue_walk_end(&w);
    return rc;
}

/* Deliveries pass from one kind to the other: dl to dr by an alias, dr to dl by a report about them.
 * So both are read at one moment; else the last of them could pass behind us, and the queue would
 * seem empty. What is too much for that is read dl first: what an alias sends on is in dr then. */
static enum store_rc both_kinds_add(struct summing *s)
{
    uint64_t moment = queue_moment_open(s->store);
    enum store_rc rc = kind_add(s, STR("dl/"), moment);
    if (rc == STORE_OK)
        rc = kind_add(s, STR("dr/"), moment);
    queue_moment_close(s->store, moment);
    return rc;
}

/* ---- the order ---- */

static int by_destination(const void *x, const void *y)
{
    const struct group *a = x, *b = y;
    if (a->g.dest_oldest_ms != b->g.dest_oldest_ms)
        return a->g.dest_oldest_ms < b->g.dest_oldest_ms ? -1 : 1;
    int name = str_cmp(a->g.name, b->g.name);
    if (name != 0)
        return name;
    return a->g.oldest_ms < b->g.oldest_ms ? -1 : a->g.oldest_ms > b->g.oldest_ms;
}

static int by_name(const void *x, const void *y)
{
    const struct group *a = x, *b = y;
    return str_cmp(a->g.name, b->g.name);
}

static int by_number(const void *x, const void *y)
{
    const struct group *a = x, *b = y;
    return a->g.deliveries > b->g.deliveries ? -1 : a->g.deliveries < b->g.deliveries;
}

/* What the groups of each destination have in common; they stand together. */
static void destinations_sum(struct summing *s)
{
    for (size_t i = 0, end; i < s->n; i = end) {
        int64_t oldest = INT64_MAX;
        uint64_t deliveries = 0;
        for (end = i; end < s->n && str_eq(s->v[end].g.name, s->v[i].g.name); end++) {
            oldest = s->v[end].g.oldest_ms < oldest ? s->v[end].g.oldest_ms : oldest;
            deliveries += s->v[end].g.deliveries;
        }
        for (size_t k = i; k < end; k++) {
            s->v[k].g.dest_oldest_ms = oldest;
            s->v[k].g.dest_deliveries = deliveries;
        }
    }
}

static void order(struct summing *s)
{
    if (s->n == 0)
        return;
    if (s->by != QUEUE_BY_DESTINATION) {
        qsort(s->v, s->n, sizeof *s->v, by_number);
        return;
    }
    qsort(s->v, s->n, sizeof *s->v, by_name);
    destinations_sum(s);
    qsort(s->v, s->n, sizeof *s->v, by_destination);
    for (size_t i = 0; i < s->n; i++)
        s->v[i].g.first = i == 0 || !str_eq(s->v[i].g.name, s->v[i - 1].g.name);
}

enum store_rc queue_groups(struct store *s, const struct queue_filter *f, enum queue_group_by by,
                           queue_group_fn *fn, void *user)
{
    struct summing x = {.store = s, .f = f, .by = by};
    x.others.g = (struct queue_group){.others = true, .oldest_ms = INT64_MAX, .next_ms = INT64_MAX};
    arena_init(&x.texts, TEXTS_MAX);
    x.v = calloc(QUEUE_GROUPS, sizeof *x.v);
    x.buckets = calloc(BUCKETS, sizeof(struct group *));
    enum store_rc rc = x.v == NULL || x.buckets == NULL ? STORE_LIMIT : STORE_OK;
    if (rc == STORE_OK)
        rc = both_kinds_add(&x);
    if (rc == STORE_OK) {
        bool go = true;
        order(&x);
        for (size_t i = 0; i < x.n && go; i++)
            go = fn(user, &x.v[i].g);
        if (go && x.others.g.deliveries + x.others.g.damaged > 0)
            go = fn(user, &x.others.g);
    }
    arena_free(&x.texts);
    free(x.v);
    free(x.buckets);
    return rc;
}
