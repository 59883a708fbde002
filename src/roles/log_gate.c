/* log_gate.c: see log_gate.h. A bucket of tokens is kept as one time: when it was or will be full
 * again. Each line moves it on by what a line costs; a line passes while that is not further ahead
 * than the bucket is large. */
#include "roles/log_gate.h"

#include "base/map.h"

enum {
    AHEAD_MS = LOG_GATE_BURST * LOG_GATE_EVERY_MS,
    EVERY_ALL_MS = 1000 / LOG_GATE_PER_S_ALL,
    AHEAD_ALL_MS = LOG_GATE_BURST_ALL * EVERY_ALL_MS,
    V4_BYTES = 4,
    V6_BYTES = 8,
};

void log_gate_init(struct log_gate *g, const uint8_t key[static 16])
{
    memset(g, 0, sizeof *g);
    memcpy(g->key, key, sizeof g->key);
    pthread_mutex_init(&g->lock, NULL);
}

void log_gate_free(struct log_gate *g)
{
    pthread_mutex_destroy(&g->lock);
}

static uint64_t who(const struct log_gate *g, const struct netaddr *from)
{
    uint64_t h =
        siphash24(g->key, str_of(from->bytes, from->family == NETADDR_V4 ? V4_BYTES : V6_BYTES));
    return h != 0 ? h : 1;
}

static bool pass(int64_t *full_ms, int64_t now_ms, int64_t every_ms, int64_t ahead_ms)
{
    int64_t from = *full_ms > now_ms ? *full_ms : now_ms;
    if (from + every_ms > now_ms + ahead_ms)
        return false;
    *full_ms = from + every_ms;
    return true;
}

bool log_gate_pass(struct log_gate *g, const struct netaddr *from, int64_t now_ms,
                   uint64_t *left_out)
{
    uint64_t h = who(g, from);
    pthread_mutex_lock(&g->lock);
    struct log_gate_slot *s = &g->slots[h % LOG_GATE_SLOTS];
    if (s->who != h)
        *s = (struct log_gate_slot){.who = h}; /* who comes later takes it over */
    bool yes = pass(&s->ms, now_ms, LOG_GATE_EVERY_MS, AHEAD_MS) &&
               pass(&g->all_ms, now_ms, EVERY_ALL_MS, AHEAD_ALL_MS);
    *left_out = s->left_out;
    s->left_out = yes ? 0 : s->left_out + 1;
    pthread_mutex_unlock(&g->lock);
    return yes;
}
