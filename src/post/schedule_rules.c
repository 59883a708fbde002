/* schedule_rules.c: how much at once, and when again: the operator's rules, back-off, retry
 * times. */
#include <stdlib.h>

#include "post/schedule_impl.h"

enum { MINUTE_MS = 60000 };

/* ---- retry times ---- */

static int64_t spread(struct env *env, int64_t wait_ms)
{
    uint32_t r;
    env->random(env, &r, sizeof r);
    int64_t part = wait_ms / 5; /* ±20 %: what failed together does not come back together */
    return wait_ms - part + (int64_t)((uint64_t)r * (uint64_t)(2 * part + 1) >> 32);
}

int64_t schedule_retry_ms(const struct schedule_policy *p, struct env *env, uint32_t attempts)
{
    static const uint32_t factor[] = {1, 3, 6, 12, 24, 48}; /* 5, 15, 30 min, 1, 2, 4 h */
    enum { STEPS = sizeof factor / sizeof *factor };
    int64_t wait = p->retry_max_s;
    if (attempts <= STEPS)
        wait = (int64_t)p->retry_first_s * factor[attempts > 0 ? attempts - 1 : 0];
    if (wait > p->retry_max_s)
        wait = p->retry_max_s;
    return spread(env, wait * 1000);
}

int64_t schedule_delay_max_ms(const struct schedule_policy *p)
{
    return (int64_t)p->retry_max_s * 1200 + 1000;
}

int64_t schedule_until_ms(int64_t wall_ms, int64_t wall_now_ms)
{
    /* 68 years: keeps order, and sums far from overflow */
    const int64_t most = (int64_t)INT32_MAX * 1000;
    int64_t delay;
    if (__builtin_sub_overflow(wall_ms, wall_now_ms, &delay))
        return wall_ms > wall_now_ms ? most : -most;
    return delay > most ? most : delay < -most ? -most : delay;
}

int64_t schedule_delay_ms(const struct schedule_policy *p, int64_t next_ms, int64_t wall_now_ms)
{
    int64_t delay = schedule_until_ms(next_ms, wall_now_ms);
    return delay > schedule_delay_max_ms(p) ? 0 : delay;
}

/* ---- what a destination bears ---- */

static unsigned gate_max(const struct schedule *s, const struct gate *g)
{
    unsigned max = s->policy.concurrency_max;
    return g->rule != NULL && g->rule->connections != 0 ? g->rule->connections : max;
}

unsigned schedule_gate_limit(const struct schedule *s, const struct gate *g)
{
    unsigned max = gate_max(s, g);
    return g->limit < max ? g->limit : max;
}

bool schedule_gate_open(const struct schedule *s, const struct gate *g, bool adaptive)
{
    if (g->rule != NULL && g->rule->suspended)
        return false;
    if (adaptive)
        return g->running < schedule_gate_limit(s, g);
    return g->rule == NULL || g->rule->connections == 0 || g->running < g->rule->connections;
}

int64_t schedule_rule_from(const struct gate *g, int64_t now_ms)
{
    const struct rule *r = g->rule;
    if (r == NULL || r->per_minute == 0 || r->in_minute < r->per_minute)
        return INT64_MIN;
    return r->minute_ms + MINUTE_MS > now_ms ? r->minute_ms + MINUTE_MS : INT64_MIN;
}

int64_t schedule_gate_from(const struct gate *g, int64_t now_ms)
{
    int64_t from = schedule_rule_from(g, now_ms);
    return from > g->not_before_ms ? from : g->not_before_ms;
}

void schedule_gate_count(struct gate *g, int64_t now_ms)
{
    struct rule *r = g->rule;
    if (r == NULL || r->per_minute == 0)
        return;
    if (r->in_minute == 0 || now_ms - r->minute_ms >= MINUTE_MS) {
        r->minute_ms = now_ms;
        r->in_minute = 0;
    }
    r->in_minute++;
}

bool schedule_good(struct schedule *s, struct schedule_dest *d)
{
    struct gate *g = schedule_gate(d);
    /* its own: from before its site was known, where others went already */
    bool waited = g->failures > 0 || d->gate.failures > 0, more = false;
    if (waited)
        schedule_reason(d, STR_NONE);
    g->failures = d->gate.failures = 0;
    g->not_before_ms = INT64_MIN;
    if (g->limit < gate_max(s, g) && ++g->good >= g->limit) {
        g->limit++;
        g->good = 0;
        more = true;
    }
    if (waited || more)
        schedule_settle(s, d);
    return waited;
}

int64_t schedule_bad(struct schedule *s, struct schedule_dest *d, int64_t now_ms)
{
    enum { DOUBLINGS_MAX = 16 }; /* from a second on the cap is reached by then */
    struct gate *g = schedule_gate(d);
    unsigned limit = schedule_gate_limit(s, g);
    g->good = 0;
    g->limit = (uint16_t)(limit / 2 > 1 ? limit / 2 : 1);
    /* another connection of the same moment already said so */
    if (g->not_before_ms > now_ms)
        return g->not_before_ms;
    if (g->failures < DOUBLINGS_MAX)
        g->failures++;
    /* A message keeps its own times, up to four hours; but a new one finds out within half an hour
     * that the host is back. */
    int64_t wait = (int64_t)s->policy.retry_first_s << (g->failures - 1);
    int64_t most =
        SCHEDULE_BAD_MAX_S < s->policy.retry_max_s ? SCHEDULE_BAD_MAX_S : s->policy.retry_max_s;
    g->not_before_ms = now_ms + spread(s->env, (wait < most ? wait : most) * 1000);
    schedule_settle(s, d);
    return g->not_before_ms;
}

void schedule_reason(struct schedule_dest *d, str_t reason)
{
    struct site *t = d->site;
    if (t == NULL)
        return;
    free(t->reason);
    t->reason = NULL;
    reason = str_first(reason, SCHEDULE_REASON_MAX);
    if (reason.len > 0 && (t->reason = malloc(reason.len + 1)) != NULL)
        str_toc(reason, t->reason, reason.len + 1);
}

int64_t schedule_waits_ms(const struct schedule_dest *d, int64_t now_ms, str_t *reason)
{
    int64_t until = d->site != NULL ? d->site->gate.not_before_ms : d->gate.not_before_ms;
    *reason = d->site != NULL && d->site->reason != NULL ? str_c(d->site->reason) : STR_NONE;
    return until > now_ms ? until - now_ms : 0;
}

/* ---- the operator's rules ---- */

static int by_key(const void *x, const void *y)
{
    const struct schedule_rule *a = x, *b = y;
    return str_cmp(a->key, b->key);
}

/* A copy of those that suspend, or of those that limit. */
static bool rules_copy(struct rules *out, const struct schedule_rule *v, size_t n, bool suspend)
{
    size_t bytes = 0;
    *out = (struct rules){0};
    for (size_t i = 0; i < n; i++)
        bytes += v[i].suspend == suspend ? sizeof *v + v[i].key.len : 0;
    if (bytes == 0)
        return true;
    out->v = malloc(bytes);
    if (out->v == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        if (v[i].suspend == suspend)
            out->v[out->n++] = v[i];
    char *at = (char *)(out->v + out->n);
    for (size_t i = 0; i < out->n; i++) {
        memcpy(at, out->v[i].key.ptr, out->v[i].key.len);
        out->v[i].key.ptr = at;
        at += out->v[i].key.len;
    }
    qsort(out->v, out->n, sizeof *out->v, by_key);
    return true;
}

static const struct schedule_rule *rule_at(const struct rules *r, str_t key)
{
    struct schedule_rule want = {.key = key};
    return r->n == 0 ? NULL : bsearch(&want, r->v, r->n, sizeof want, by_key);
}

/* NAME, then .NAME and each .PARENT, then *. */
static const struct schedule_rule *rule_find(const struct rules *r, str_t name)
{
    char dotted[256];
    const struct schedule_rule *found = rule_at(r, name);
    if (found != NULL || r->n == 0)
        return found;
    if (name.len < sizeof dotted) {
        dotted[0] = '.';
        if (name.len > 0)
            memcpy(dotted + 1, name.ptr, name.len);
        str_t rest = str_of(dotted, name.len + 1);
        size_t dot;
        while (found == NULL && rest.len > 1) {
            found = rule_at(r, rest);
            if (!str_find(str_from(rest, 1), '.', &dot))
                break;
            rest = str_from(rest, dot + 1);
        }
    }
    return found != NULL ? found : rule_at(r, STR("*"));
}

/* Of a site at a port of its own the host is meant; an IPv6 address has more than one colon. */
static str_t without_port(str_t name)
{
    size_t first, last;
    return str_find(name, ':', &first) && str_rfind(name, ':', &last) && first == last
               ? str_first(name, first)
               : name;
}

bool schedule_rule_apply(struct schedule *s, struct gate *g, str_t name)
{
    name = without_port(name);
    const struct schedule_rule *suspend = rule_find(&s->suspends, name),
                               *limit = rule_find(&s->limits, name);
    if (suspend == NULL && limit == NULL) {
        free(g->rule);
        g->rule = NULL;
        return true;
    }
    if (g->rule == NULL && (g->rule = calloc(1, sizeof *g->rule)) == NULL)
        return false;
    g->rule->suspended = suspend != NULL;
    g->rule->connections = limit != NULL ? limit->connections : 0;
    g->rule->per_minute = limit != NULL ? limit->per_minute : 0;
    return true;
}

static bool apply_all(struct schedule *s)
{
    bool ok = true;
    for (size_t b = 0; b < s->nsite_buckets; b++)
        for (struct site *t = s->site_buckets[b]; t != NULL; t = t->chain) {
            ok = schedule_rule_apply(s, &t->gate, str_of(t->name, t->name_len)) && ok;
            schedule_settle_site(s, t);
        }
    for (size_t b = 0; b < s->ndest_buckets; b++)
        for (struct schedule_dest *d = s->dest_buckets[b], *next; d != NULL; d = next) {
            next = d->chain;
            ok = schedule_rule_apply(s, &d->gate, schedule_dest_domain(d)) && ok;
            schedule_settle(s, d);
        }
    return ok;
}

bool schedule_rules(struct schedule *s, const struct schedule_rule *v, size_t n, int64_t now_ms)
{
    struct rules suspends, limits;
    n = n < SCHEDULE_RULES_MAX ? n : SCHEDULE_RULES_MAX;
    if (n == 0 && s->suspends.n + s->limits.n == 0)
        return true;
    if (!rules_copy(&suspends, v, n, true))
        return false;
    if (!rules_copy(&limits, v, n, false)) {
        free(suspends.v);
        return false;
    }
    free(s->suspends.v);
    free(s->limits.v);
    s->suspends = suspends;
    s->limits = limits;
    s->now_ms = now_ms > s->now_ms ? now_ms : s->now_ms;
    return apply_all(s);
}

bool schedule_suspended(const struct schedule_dest *d)
{
    return (d->gate.rule != NULL && d->gate.rule->suspended) ||
           (d->site != NULL && d->site->gate.rule != NULL && d->site->gate.rule->suspended);
}
