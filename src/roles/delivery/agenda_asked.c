/* agenda_asked.c: what courier's agenda is asked by others, and what it tells them: the operator's
 * suspensions and limits (post/table.h), requests for a domain's mail (etrn/), and why destinations
 * wait (post/queue_wait.h). See agenda.h.
 *
 * All of it is read on the main thread, after a hint; what the workers then ask is in the
 * schedule's memory. */
#include "post/table.h"
#include "roles/delivery/agenda_impl.h"
#include "roles/log.h"

enum {
    RULES_ARENA_MAX = 16 << 20, /* SCHEDULE_RULES_MAX rows with their keys */
    PAGE_ARENA_MAX = 4 << 20,
    PAGE_ROWS = 200,
    WAIT_ARENA_MAX = 8192,
    WAITS_SWEEP_MS = 3600000,
};

/* ---- hints ---- */

/* RFC 1985: "start processing the queue for the domain". What waits for its time is due now, and the
 * host is asked again whatever it said before. */
static void asked_for(struct agenda *g, str_t key)
{
    if (schedule_now(g->schedule, str_from(key, strlen("etrn/")), g->env->mono_ms(g->env)))
        agenda_wake(g);
}

/* A request is acted on here: its row is put lazily, and may not be there to be read yet. */
void agenda_asked_hint(struct agenda *g, part_t part, str_t key, bool deleted)
{
    if (g->local)
        return;
    bool lost = key.len == 0, asked = str_starts(key, STR("etrn/")) && !deleted;
    if (asked)
        asked_for(g, key);
    g->rules_stale = g->rules_stale || lost || part.kind == PART_DIRECTORY;
    g->asked_stale = g->asked_stale || lost || asked;
    pthread_cond_signal(&g->main_cond);
}

bool agenda_asked_pending(const struct agenda *g)
{
    return g->rules_stale || g->asked_stale || g->waits_stale;
}

enum store_rc agenda_asked_watch(struct agenda *g, store_hint_fn *hint)
{
    struct store *s = g->env->store;
    enum store_rc rc = store_watch(s, QUEUE_PART, STR("etrn/"), hint, g);
    if (rc == STORE_OK)
        rc = store_watch(s, (part_t){PART_DIRECTORY, 0}, STR("tab/"), hint, g);
    return rc;
}

/* ---- the operator's rules ---- */

struct reading {
    struct arena arena;
    struct schedule_rule *v;
    size_t n;
    bool suspend;
};

static bool rule_row(void *user, str_t key, str_t value)
{
    struct reading *r = user;
    struct schedule_rule rule = {.suspend = r->suspend};
    struct table_limit limit = {0};
    struct err err;
    if (!r->suspend && !table_limit_parse(value, &limit, &err))
        return true;
    rule.per_minute = limit.per_minute;
    rule.connections = /* as they are counted */
        limit.connections < UINT16_MAX ? limit.connections : UINT16_MAX;
    rule.key = arena_dup(&r->arena, key);
    if (r->n == SCHEDULE_RULES_MAX || r->arena.failed)
        return false;
    r->v[r->n++] = rule;
    return true;
}

static enum store_rc rules_read(struct agenda *g)
{
    struct reading r = {.suspend = true};
    arena_init(&r.arena, RULES_ARENA_MAX);
    r.v = arena_array(&r.arena, SCHEDULE_RULES_MAX, sizeof *r.v);
    enum store_rc rc = r.v == NULL ? STORE_LIMIT : STORE_OK;
    if (rc == STORE_OK)
        rc = table_list(g->env->store, TABLE_SUSPEND, rule_row, &r);
    r.suspend = false;
    if (rc == STORE_OK)
        rc = table_list(g->env->store, TABLE_LIMIT, rule_row, &r);
    if (r.n == SCHEDULE_RULES_MAX)
        log_event(g->role, STR("-"), "too-many-rules", log_u64("most", SCHEDULE_RULES_MAX),
                  log_cstr("advice", "further suspensions and limits are not kept"), log_end);
    if (rc == STORE_OK) {
        pthread_mutex_lock(&g->lock);
        if (!schedule_rules(g->schedule, r.v, r.n, g->env->mono_ms(g->env)))
            rc = STORE_LIMIT;
        agenda_wake(g);
        pthread_mutex_unlock(&g->lock);
    }
    arena_free(&r.arena);
    return rc;
}

/* ---- ETRN ---- */

static enum store_rc rows_delete(struct agenda *g, const struct store_page *p, struct arena *a)
{
    struct store_batch b;
    store_batch_init(&b, QUEUE_PART, a);
    b.lazy = true; /* at start there may be as many as destinations, and mail waits for this */
    for (size_t i = 0; i < p->n; i++)
        store_delete(&b, p->rows[i].key);
    return store_commit(g->env->store, &b);
}

/* Requests that came while nobody listened, and then all rows go: those that are not to be seen yet
 * too. A page is enough: whoever asks again is heard. */
static enum store_rc asked_read(struct agenda *g, bool act)
{
    struct arena a;
    struct store_page p = {0};
    struct store_batch b;
    struct store_scan q = {.part = QUEUE_PART,
                           .keys_only = true,
                           .rows_max = PAGE_ROWS,
                           .from = STR("etrn/"),
                           .end = STR("etrn0")};
    arena_init(&a, PAGE_ARENA_MAX);
    enum store_rc rc = act ? store_scan(g->env->store, &q, &a, &p) : STORE_OK;
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < p.n; i++)
        asked_for(g, p.rows[i].key);
    pthread_mutex_unlock(&g->lock);
    if (rc == STORE_OK) {
        store_batch_init(&b, QUEUE_PART, &a);
        b.lazy = true;
        store_delete_range(&b, q.from, q.end);
        /* a full disk must not keep mail from leaving: they are heard once more then, no harm */
        enum store_rc deleted = store_commit(g->env->store, &b);
        (void)deleted;
    }
    arena_free(&a);
    return rc;
}

/* ---- why destinations wait ---- */

void agenda_wait_keep(struct agenda *g, struct schedule_dest *d, int64_t ms, str_t reason)
{
    struct arena a;
    struct buf value;
    struct store_batch b;
    arena_init(&a, WAIT_ARENA_MAX);
    buf_init(&value, STORE_VALUE_MAX);
    pthread_mutex_lock(&g->lock);
    struct queue_wait w = {.domain = arena_dup(&a, schedule_dest_domain(d)),
                           .until_ms = g->env->wall_ms(g->env) + ms,
                           .site = arena_dup(&a, schedule_site_name(d)),
                           .reason = reason};
    pthread_mutex_unlock(&g->lock);
    store_batch_init(&b, QUEUE_PART, &a);
    b.lazy = true; /* it informs; the outcome that follows is durable, and this then too */
    bool ok = w.domain.len > 0 && queue_wait_encode(&w, &value);
    store_put(&b, queue_key_wait(w.domain, &a), buf_str(&value));
    if (ok && !a.failed && store_commit(g->env->store, &b) != STORE_OK)
        ok = false; /* nobody is told why: no reason to stop */
    buf_free(&value);
    arena_free(&a);
}

void agenda_wait_forget(struct agenda *g, const struct schedule_dest *d)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, WAIT_ARENA_MAX);
    store_batch_init(&b, QUEUE_PART, &a);
    b.lazy = true;
    store_delete(&b, queue_key_wait(schedule_dest_domain(d), &a));
    enum store_rc rc = a.failed ? STORE_LIMIT : store_commit(g->env->store, &b);
    (void)rc; /* it says itself when it is over */
    arena_free(&a);
}

/* Those that are over go. At start all do: what they told of was in the memory of a former
 * process. */
static enum store_rc waits_sweep(struct agenda *g, bool all)
{
    struct arena a;
    struct store_page p = {.more = true};
    struct store_scan q = {
        .part = QUEUE_PART, .rows_max = PAGE_ROWS, .from = STR("b/"), .end = STR("b0")};
    enum store_rc rc = STORE_OK;
    char last[STORE_KEY_MAX + 1];
    arena_init(&a, PAGE_ARENA_MAX);
    while (rc == STORE_OK && p.more) {
        arena_reset(&a);
        rc = store_scan(g->env->store, &q, &a, &p);
        if (rc != STORE_OK || p.n == 0)
            break;
        str_t k = p.rows[p.n - 1].key;
        memcpy(last, k.ptr, k.len);
        last[k.len] = 0;
        q.from = str_of(last, k.len + 1);
        size_t kept = 0;
        for (size_t i = 0; i < p.n; i++) {
            struct queue_wait w;
            if (!all && queue_wait_decode(p.rows[i].key, p.rows[i].value, &w) &&
                w.until_ms > g->env->wall_ms(g->env))
                continue;
            p.rows[kept++] = p.rows[i];
        }
        p.n = kept;
        /* they only inform: what a full disk does not let go is said once more, and mail leaves */
        enum store_rc deleted = kept > 0 ? rows_delete(g, &p, &a) : STORE_OK;
        (void)deleted;
    }
    arena_free(&a);
    return rc;
}

/* ---- all of it ---- */

static bool flag_take(struct agenda *g, bool *flag)
{
    pthread_mutex_lock(&g->lock);
    bool was = *flag;
    *flag = false;
    pthread_mutex_unlock(&g->lock);
    return was;
}

/* Denied: another kind of store client runs this agenda (a test's); it has no rules. */
static enum store_rc done(struct agenda *g, bool *flag, enum store_rc rc)
{
    if (rc == STORE_OK || rc == STORE_DENIED || rc == STORE_DAMAGED)
        return STORE_OK;
    pthread_mutex_lock(&g->lock);
    *flag = true;
    pthread_mutex_unlock(&g->lock);
    return rc;
}

enum store_rc agenda_asked_fill(struct agenda *g)
{
    enum store_rc rc = STORE_OK;
    int64_t now = g->env->mono_ms(g->env);
    if (g->local)
        return rc;
    if (flag_take(g, &g->rules_stale))
        rc = done(g, &g->rules_stale, rules_read(g));
    if (rc == STORE_OK && flag_take(g, &g->waits_stale)) {
        rc = done(g, &g->waits_stale, waits_sweep(g, true));
        g->waits_swept_ms = now;
    } else if (rc == STORE_OK && now - g->waits_swept_ms >= WAITS_SWEEP_MS) {
        g->waits_swept_ms = now;
        rc = done(g, &g->waits_stale, waits_sweep(g, false));
        g->waits_stale = false; /* if it failed: the next hour will do */
    }
    return rc;
}

enum store_rc agenda_asked_late(struct agenda *g, bool all)
{
    if (g->local || !flag_take(g, &g->asked_stale))
        return STORE_OK;
    return done(g, &g->asked_stale, asked_read(g, all));
}
