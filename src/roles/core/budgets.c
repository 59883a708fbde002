/* budgets.c: see budgets.h. A bucket is one time: when it will be empty again; each try moves it on
 * by what one try takes to leak out. */
#include "roles/core/budgets.h"

#include "base/map.h"

enum {
    WAYS = 4, /* slots a key may be in */
    V4_ADDRESS = 4,
    V6_ADDRESS = 8,
    V4_NETWORK = 3,
    V6_NETWORK = 7,
    WHO_MAX = 1 + 8 + V6_ADDRESS,
};
_Static_assert(1 + V6_NETWORK <= BUDGETS_NETWORK_MAX, "a network fits");
_Static_assert(V4_ADDRESS - V4_NETWORK == 1 && V6_ADDRESS - V6_NETWORK == 1,
               "an address of a network is one byte");

static const struct {
    const char *name;
    int64_t burst, every_ms;
} kinds[BUDGET_KINDS] = {
    [BUDGET_ADDRESS] = {"address", BUDGETS_ADDRESS_BURST, BUDGETS_ADDRESS_EVERY_MS},
    [BUDGET_NETWORK] = {"network", BUDGETS_NETWORK_BURST, BUDGETS_NETWORK_EVERY_MS},
    [BUDGET_NAME] = {"account", BUDGETS_NAME_BURST, BUDGETS_NAME_EVERY_MS},
    [BUDGET_KNOWN] = {"known", BUDGETS_KNOWN_BURST, BUDGETS_KNOWN_EVERY_MS},
};

const char *budget_name(enum budget which)
{
    return kinds[which].name;
}

/* A v4-mapped IPv6 address is the IPv4 address it stands for. */
static bool is_v4(const struct netaddr *a, const uint8_t **bytes)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    *bytes = a->bytes;
    if (a->family != NETADDR_V6)
        return true;
    if (memcmp(a->bytes, mapped, sizeof mapped) != 0)
        return false;
    *bytes = a->bytes + sizeof mapped;
    return true;
}

static str_t cut(const struct netaddr *a, size_t v4, size_t v6, char *out)
{
    const uint8_t *bytes;
    bool four = is_v4(a, &bytes);
    out[0] = four ? 4 : 6;
    memcpy(out + 1, bytes, four ? v4 : v6);
    return str_of(out, 1 + (four ? v4 : v6));
}

str_t budgets_network(const struct netaddr *a, char out[static BUDGETS_NETWORK_MAX])
{
    return cut(a, V4_NETWORK, V6_NETWORK, out);
}

uint8_t budgets_address(const struct netaddr *a)
{
    const uint8_t *bytes;
    bool four = is_v4(a, &bytes);
    return bytes[four ? V4_NETWORK : V6_NETWORK];
}

/* ---- who pays ---- */

static uint64_t who(const struct budgets *b, const struct budgets_try *t, enum budget kind)
{
    char bytes[WHO_MAX];
    str_t s = t->name;
    if (kind == BUDGET_ADDRESS)
        s = cut(&t->from, V4_ADDRESS, V6_ADDRESS, bytes);
    if (kind == BUDGET_NETWORK)
        s = cut(&t->from, V4_NETWORK, V6_NETWORK, bytes);
    if (kind == BUDGET_KNOWN) {
        size_t n = cut(&t->from, V4_ADDRESS, V6_ADDRESS, bytes).len;
        memcpy(bytes + n, &t->account, sizeof t->account);
        s = str_of(bytes, n + sizeof t->account);
    }
    uint64_t h = siphash24(b->key, s);
    return h != 0 ? h : 1;
}

static bool pays(const struct budgets_try *t, enum budget kind)
{
    switch (kind) {
    case BUDGET_ADDRESS: return t->place == BUDGETS_STRANGE;
    case BUDGET_NETWORK: return t->place != BUDGETS_ADDRESS_KNOWN;
    case BUDGET_NAME: return t->place == BUDGETS_STRANGE && t->name.len > 0;
    case BUDGET_KNOWN: return t->place != BUDGETS_STRANGE;
    case BUDGET_KINDS: break;
    }
    return false;
}

/* ---- buckets ---- */

static struct budgets_slot *find(struct budgets *b, enum budget kind, uint64_t h)
{
    struct budgets_slot *set = &b->slots[kind][h % (BUDGETS_SLOTS / WAYS) * WAYS];
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].who == h)
            return &set[i];
    return NULL;
}

static struct budgets_slot *make(struct budgets *b, enum budget kind, uint64_t h)
{
    struct budgets_slot *s = find(b, kind, h);
    if (s != NULL)
        return s;
    struct budgets_slot *set = &b->slots[kind][h % (BUDGETS_SLOTS / WAYS) * WAYS];
    s = set;
    for (size_t i = 1; i < WAYS; i++)
        if (set[i].full_ms < s->full_ms)
            s = &set[i];
    *s = (struct budgets_slot){.who = h};
    return s;
}

static bool has_one(struct budgets *b, const struct budgets_try *t, enum budget kind, int64_t now)
{
    const struct budgets_slot *s = find(b, kind, who(b, t, kind));
    int64_t full = s != NULL && s->full_ms > now ? s->full_ms : now;
    return full + kinds[kind].every_ms - now <= kinds[kind].burst * kinds[kind].every_ms;
}

bool budgets_take(struct budgets *b, const struct budgets_try *t, int64_t now_ms,
                  enum budget *which)
{
    for (int i = 0; i < BUDGET_KINDS; i++) {
        *which = (enum budget)i;
        if (pays(t, *which) && !has_one(b, t, *which, now_ms))
            return false;
    }
    for (int i = 0; i < BUDGET_KINDS; i++) {
        enum budget kind = (enum budget)i;
        if (!pays(t, kind))
            continue;
        struct budgets_slot *s = make(b, kind, who(b, t, kind));
        s->full_ms = (s->full_ms > now_ms ? s->full_ms : now_ms) + kinds[i].every_ms;
    }
    return true;
}

void budgets_give_back(struct budgets *b, const struct budgets_try *t, int64_t now_ms)
{
    for (int i = 0; i < BUDGET_KINDS; i++) {
        enum budget kind = (enum budget)i;
        struct budgets_slot *s = pays(t, kind) ? find(b, kind, who(b, t, kind)) : NULL;
        if (s != NULL && s->full_ms > now_ms)
            s->full_ms -= kinds[i].every_ms;
    }
}
