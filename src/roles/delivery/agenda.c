/* agenda.c: the schedule behind its lock: hints in, entries out. The threads are in agenda_run.c.
 * See agenda.h. */
#include "roles/delivery/agenda.h"

#include <stdlib.h>

#include "roles/delivery/agenda_impl.h"
#include "roles/log.h"

enum {
    /* what the clock may drift between two looks without being called a jump */
    CLOCK_JUMP_MS = 3600000,
    SITE_TEXT = 320 /* a host name and a port */
};

/* ---- hints ---- */

static void put_due(struct agenda *g, const struct queue_due *due)
{
    if (due->state == QUEUE_HELD) {
        schedule_remove(g->schedule, due->id, due->n);
        return;
    }
    struct schedule_item x = {.id = due->id,
                              .n = due->n,
                              .domain = due->domain,
                              .via = due->via,
                              .source = due->source,
                              .priority = due->priority,
                              .asked = due->asked,
                              .by = due->deliver_by_ms != 0};
    int64_t mono = g->env->mono_ms(g->env), wall = g->env->wall_ms(g->env);
    x.due_ms = mono + schedule_delay_ms(&g->policy, due->next_ms, wall);
    x.by_ms = mono + schedule_until_ms(due->deliver_by_ms, wall);
    if (!schedule_put(g->schedule, &x))
        g->rescan = true;
}

/* Gives a new entry to a worker that has a connection there and waits for one. */
static void feed_lingering(struct agenda *g, const struct queue_due *due)
{
    const struct schedule_dest *d =
        g->lingering != NULL ? schedule_dest_of(g->schedule, due->id, due->n) : NULL;
    for (struct agenda_linger **l = &g->lingering; *l != NULL; l = &(*l)->next) {
        struct agenda_linger *w = *l;
        if (w->dest != d)
            continue;
        if (schedule_take_more(g->schedule, w->dest, g->env->mono_ms(g->env), &w->entry)) {
            w->given = true;
            *l = w->next;
            pthread_cond_signal(&w->cond);
        }
        return;
    }
}

static void hint_unread(struct agenda *g, queue_id_t id, uint16_t n)
{
    if (g->n_unread == AGENDA_UNREAD_MAX)
        g->rescan = true;
    else
        g->unread[g->n_unread++] = (struct schedule_entry){.id = id, .n = n};
    pthread_cond_signal(&g->main_cond);
}

static void hint(void *user, part_t part, str_t key, str_t value, bool deleted)
{
    struct agenda *g = user;
    queue_id_t id;
    uint16_t n;
    bool local;
    struct queue_due due;
    pthread_mutex_lock(&g->lock);
    if (key.len == 0) {
        g->rescan = true;
        agenda_asked_hint(g, part, key, deleted);
        pthread_cond_signal(&g->main_cond);
    } else if (part.kind != PART_QUEUE || !queue_key_delivery_parse(key, &id, &n, &local)) {
        agenda_asked_hint(g, part, key, deleted);
    } else if (deleted) {
        schedule_remove(g->schedule, id, n);
    } else if (!queue_due_decode(key, value, &due)) {
        hint_unread(g, id, n); /* too long for a hint */
    } else {
        put_due(g, &due);
        feed_lingering(g, &due);
        agenda_wake(g);
    }
    pthread_mutex_unlock(&g->lock);
}

/* ---- reading rows ---- */

/* What a read says may be older than what a hint has said since. So nothing is taken out for it: that
 * a row is held sees whoever takes it in hand. */
static void put_read(struct agenda *g, const struct queue_due *due)
{
    if (due->state == QUEUE_READY)
        put_due(g, due);
}

static void page_put(struct agenda *g, const struct store_page *p)
{
    for (size_t i = 0; i < p->n; i++) {
        struct queue_due due;
        if (p->rows[i].damaged || !queue_due_decode(p->rows[i].key, p->rows[i].value, &due)) {
            queue_id_t id;
            char text[QUEUE_ID_TEXT] = "?";
            if (queue_key_id(p->rows[i].key, &id))
                queue_id_text(id, text);
            log_event(g->role, str_c(text), "delivery-damaged",
                      log_cstr("advice",
                               "its recipients cannot be read: see postrider check store, "
                               "and tell them"),
                      log_end);
            continue;
        }
        put_read(g, &due);
    }
}

static enum store_rc scan_all(struct agenda *g)
{
    enum { SCAN_ARENA_MAX = 4 << 20 }; /* a page of 1 MiB and its row array */
    struct arena a;
    arena_init(&a, SCAN_ARENA_MAX);
    char last[STORE_KEY_MAX + 1];
    struct store_scan q = {.part = QUEUE_PART,
                           .from = g->local ? STR("dl/") : STR("dr/"),
                           .end = g->local ? STR("dl0") : STR("dr0")};
    struct store_page page;
    enum store_rc rc;
    while ((rc = store_scan(g->env->store, &q, &a, &page)) == STORE_OK && page.n > 0) {
        pthread_mutex_lock(&g->lock);
        page_put(g, &page);
        pthread_mutex_unlock(&g->lock);
        if (!page.more)
            break;
        str_t k = page.rows[page.n - 1].key; /* go on just after it */
        memcpy(last, k.ptr, k.len);
        last[k.len] = 0;
        q.from = str_of(last, k.len + 1);
        arena_reset(&a);
    }
    arena_free(&a);
    return rc;
}

static enum store_rc read_one(struct agenda *g, struct schedule_entry e)
{
    struct arena a;
    arena_init(&a, STORE_VALUE_MAX * 2);
    str_t key = queue_key_delivery(e.id, e.n, g->local, &a), value;
    bool present;
    enum store_rc rc = store_get1(g->env->store, QUEUE_PART, key, &a, &present, &value);
    struct queue_due due;
    if (rc == STORE_OK && present && queue_due_decode(key, value, &due)) {
        pthread_mutex_lock(&g->lock);
        put_read(g, &due);
        feed_lingering(g, &due);
        pthread_mutex_unlock(&g->lock);
    }
    arena_free(&a);
    return rc == STORE_DAMAGED ? STORE_OK : rc; /* the next full scan names it */
}

enum store_rc agenda_fill(struct agenda *g)
{
    enum store_rc rc = agenda_asked_fill(g); /* first: nothing goes where it must not */
    if (rc != STORE_OK)
        return rc;
    pthread_mutex_lock(&g->lock);
    bool all = g->rescan;
    if (all) {
        g->rescan = false;
        g->n_unread = 0;
    }
    while (!all && rc == STORE_OK && g->n_unread > 0) {
        struct schedule_entry e = g->unread[--g->n_unread];
        pthread_mutex_unlock(&g->lock);
        rc = read_one(g, e);
        pthread_mutex_lock(&g->lock);
        if (rc != STORE_OK)
            g->rescan = true;
    }
    pthread_mutex_unlock(&g->lock);
    if (all)
        rc = scan_all(g);
    if (rc == STORE_OK)
        return agenda_asked_late(g, all);
    pthread_mutex_lock(&g->lock);
    g->rescan = g->rescan || all;
    pthread_mutex_unlock(&g->lock);
    return rc;
}

/* ---- for workers ---- */

bool agenda_more(struct agenda *g, struct schedule_dest *d, int64_t linger_ms,
                 struct schedule_entry *e)
{
    pthread_mutex_lock(&g->lock);
    bool got = !g->stopping && schedule_take_more(g->schedule, d, g->env->mono_ms(g->env), e);
    if (!got && linger_ms > 0 && g->threaded && !g->stopping)
        got = agenda_linger(g, d, linger_ms, e);
    pthread_mutex_unlock(&g->lock);
    return got;
}

void agenda_done(struct agenda *g, struct schedule_entry e, int64_t wall_next_ms)
{
    int64_t due = SCHEDULE_GONE;
    if (wall_next_ms != INT64_MAX)
        due = g->env->mono_ms(g->env) +
              schedule_delay_ms(&g->policy, wall_next_ms, g->env->wall_ms(g->env));
    pthread_mutex_lock(&g->lock);
    schedule_done(g->schedule, e, due);
    pthread_mutex_unlock(&g->lock);
}

void agenda_later(struct agenda *g, struct schedule_entry e, int64_t ms)
{
    int64_t due = g->env->mono_ms(g->env) + ms;
    pthread_mutex_lock(&g->lock);
    schedule_done(g->schedule, e, due);
    pthread_mutex_unlock(&g->lock);
}

/* d is in the caller's hands, and keeps its name; its site may be another by now. */
static void site_copy(const struct schedule_dest *d, char *out, size_t cap)
{
    str_toc(schedule_site_name(d), out, cap);
}

void agenda_good(struct agenda *g, struct schedule_dest *d)
{
    char site[SITE_TEXT];
    pthread_mutex_lock(&g->lock);
    bool waited = schedule_good(g->schedule, d);
    site_copy(d, site, sizeof site);
    agenda_wake(g); /* one more connection may be allowed now */
    pthread_mutex_unlock(&g->lock);
    if (waited)
        log_event(g->role, STR_NONE, "reached", log_str("domain", schedule_dest_domain(d)),
                  log_cstr("site", site), log_end);
    if (waited && !g->local)
        agenda_wait_forget(g, d);
}

void agenda_back_off(struct agenda *g, struct schedule_dest *d, str_t reason)
{
    char site[SITE_TEXT];
    str_t former;
    pthread_mutex_lock(&g->lock);
    int64_t now = g->env->mono_ms(g->env);
    bool anew = schedule_waits_ms(d, now, &former) == 0; /* else another connection has said so */
    int64_t until = schedule_bad(g->schedule, d, now);
    schedule_reason(d, reason);
    site_copy(d, site, sizeof site);
    pthread_mutex_unlock(&g->lock);
    if (anew)
        log_event(g->role, STR_NONE, "back-off", log_str("domain", schedule_dest_domain(d)),
                  log_cstr("site", site), log_i64("until_s", (until - now) / 1000),
                  log_str("reason", reason), log_end);
    if (!g->local)
        agenda_wait_keep(g, d, until - now, reason);
}

void agenda_site(struct agenda *g, struct schedule_dest *d, str_t site)
{
    pthread_mutex_lock(&g->lock);
    schedule_site(g->schedule, d, site, g->env->mono_ms(g->env));
    pthread_mutex_unlock(&g->lock);
}

bool agenda_suspended(struct agenda *g, struct schedule_dest *d)
{
    pthread_mutex_lock(&g->lock);
    bool suspended = schedule_suspended(d);
    pthread_mutex_unlock(&g->lock);
    return suspended;
}

bool agenda_waits(struct agenda *g, struct schedule_dest *d)
{
    char reason[SCHEDULE_REASON_MAX + 1];
    str_t kept;
    pthread_mutex_lock(&g->lock);
    int64_t ms = schedule_waits_ms(d, g->env->mono_ms(g->env), &kept);
    str_toc(kept, reason, sizeof reason);
    pthread_mutex_unlock(&g->lock);
    if (ms > 0 && !g->local)
        agenda_wait_keep(g, d, ms, str_c(reason));
    return ms > 0;
}

void agenda_leave(struct agenda *g, struct schedule_dest *d)
{
    pthread_mutex_lock(&g->lock);
    schedule_leave(g->schedule, d, g->env->mono_ms(g->env));
    agenda_wake(g);
    pthread_mutex_unlock(&g->lock);
}

/* Looks at both clocks; called often. */
void agenda_clock(struct agenda *g)
{
    int64_t mono = g->env->mono_ms(g->env), skew = g->env->wall_ms(g->env) - mono;
    int64_t moved = skew - g->clock_skew_ms;
    if (moved > CLOCK_JUMP_MS || moved < -CLOCK_JUMP_MS) {
        g->grace_until_ms = mono + AGENDA_GRACE_MS;
        g->jumped_ms += moved;
        g->jumped_from_ms = mono + g->clock_skew_ms;
    }
    g->clock_skew_ms = skew;
}

bool agenda_grace(struct agenda *g)
{
    pthread_mutex_lock(&g->lock);
    agenda_clock(g);
    bool grace = g->env->mono_ms(g->env) < g->grace_until_ms;
    pthread_mutex_unlock(&g->lock);
    return grace;
}

int64_t agenda_since(struct agenda *g, int64_t wall_ms)
{
    pthread_mutex_lock(&g->lock);
    agenda_clock(g);
    if (wall_ms <= g->jumped_from_ms)
        wall_ms += g->jumped_ms;
    pthread_mutex_unlock(&g->lock);
    return wall_ms;
}

bool agenda_young(struct agenda *g)
{
    return agenda_grace(g) || g->env->mono_ms(g->env) < g->young_until_ms;
}

/* ---- its life ---- */

bool agenda_init(struct agenda *g, struct env *env, const struct settings *set, bool local,
                 agenda_work_fn *work, agenda_tick_fn *tick, void *user)
{
    enum {
        LOCAL_CONCURRENCY = 64, /* all local mail is one destination, and cannot be down */
        YOUNG_PART = 24,        /* whoever wants to be told at once is told soon after a start too */
    };
    *g = (struct agenda){.env = env,
                         .role = local ? "local" : "courier",
                         .local = local,
                         .work = work,
                         .tick = tick,
                         .user = user};
    uint32_t most = local ? LOCAL_CONCURRENCY : set->destination_concurrency;
    uint32_t start = local ? most : most < 5 ? most : 5;
    g->policy = (struct schedule_policy){.retry_first_s = set->retry_first_s,
                                         .retry_max_s = set->retry_max_s,
                                         .concurrency_start = start,
                                         .concurrency_max = most};
    g->rescan = true;
    g->rules_stale = g->asked_stale = g->waits_stale = !local;
    g->clock_skew_ms = env->wall_ms(env) - env->mono_ms(env);
    g->grace_until_ms = g->jumped_from_ms = INT64_MIN;
    int64_t young = (int64_t)set->warn_after_s * 1000 / YOUNG_PART;
    g->young_until_ms = env->mono_ms(env) + (young < AGENDA_GRACE_MS ? young : AGENDA_GRACE_MS);
    pthread_mutex_init(&g->lock, NULL);
    agenda_conds_init(g);
    g->schedule = schedule_new(env, &g->policy);
    if (g->schedule != NULL)
        return true;
    agenda_free(g);
    return false;
}

enum store_rc agenda_watch(struct agenda *g)
{
    if (g->watching)
        return STORE_OK;
    enum store_rc rc =
        store_watch(g->env->store, QUEUE_PART, g->local ? STR("dl/") : STR("dr/"), hint, g);
    if (rc == STORE_OK && !g->local)
        rc = agenda_asked_watch(g, hint);
    g->watching = rc == STORE_OK;
    return rc;
}

void agenda_free(struct agenda *g)
{
    schedule_free(g->schedule);
    g->schedule = NULL;
    pthread_cond_destroy(&g->idle_cond);
    pthread_cond_destroy(&g->main_cond);
    pthread_cond_destroy(&g->stop_cond);
    pthread_mutex_destroy(&g->lock);
}
