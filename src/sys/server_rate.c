/* server_rate.c: how many connections came from an address in the last minute: see
 * server_internal.h.
 *
 * A sliding minute of two counts: those of this minute of the clock, and those of the one before as
 * far as it reaches into the last 60 s, taken as spread evenly. The table has a fixed size: whoever
 * comes from more addresses than it holds throws out those that came least, never those that come
 * too often. An address is known by a keyed hash of 64 bits: nobody can choose a pair that
 * collides. */
#include <stdlib.h>

#include "sys/clock.h"
#include "sys/server_internal.h"

#define MINUTE_MS 60000
#define WAYS      8    /* places an address may have */
#define SETS      2048 /* 16,384 addresses in 384 KiB, more than may be connected at once */

struct rate_entry {
    uint64_t address; /* its hash */
    uint32_t minute, before, now;
};

struct rate {
    uint8_t key[16];
    struct rate_entry entry[SETS][WAYS];
};

struct rate *rate_new(void)
{
    struct rate *r = calloc(1, sizeof *r);
    if (r != NULL)
        sys_random(r->key, sizeof r->key);
    return r;
}

void rate_free(struct rate *r)
{
    free(r);
}

/* What the entry says of the minute before now_ms, rounded up. */
static uint64_t estimate(const struct rate_entry *e, int64_t now_ms)
{
    uint32_t minute = (uint32_t)(now_ms / MINUTE_MS);
    uint64_t left = (uint64_t)(MINUTE_MS - now_ms % MINUTE_MS), now = e->now, before = e->before;
    if (e->minute + 1 == minute) {
        before = now;
        now = 0;
    } else if (e->minute != minute) {
        return 0;
    }
    return now + (before * left + MINUTE_MS - 1) / MINUTE_MS;
}

static void count(struct rate_entry *e, int64_t now_ms)
{
    uint32_t minute = (uint32_t)(now_ms / MINUTE_MS);
    if (e->minute != minute) {
        e->before = e->minute + 1 == minute ? e->now : 0;
        e->now = 0;
        e->minute = minute;
    }
    e->now++;
}

/* The address's entry, or the one that came least. */
static struct rate_entry *find(struct rate *r, uint64_t address, int64_t now_ms)
{
    struct rate_entry *set = r->entry[address % SETS], *least = set;
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].address == address)
            return &set[i];
        if (estimate(&set[i], now_ms) < estimate(least, now_ms))
            least = &set[i];
    }
    return least;
}

bool rate_pass(struct rate *r, str_t key, unsigned max, int64_t now_ms)
{
    uint64_t address = siphash24(r->key, key);
    struct rate_entry *e = find(r, address, now_ms);
    if (e->address != address)
        *e = (struct rate_entry){.address = address};
    else if (estimate(e, now_ms) >= max)
        return false; /* not counted: who goes on trying gets in at this rate, not never */
    count(e, now_ms);
    return true;
}
