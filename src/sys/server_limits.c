/* server_limits.c: whom a limit refuses: see server.h and server_internal.h.
 *
 * One map counts connections by address and by network; the keys differ in their first byte. It is
 * as large as connections are many, so nobody can make it grow. */
#include "sys/clock.h"
#include "sys/server_internal.h"

/* The last twentieth of all connections is kept for exempt peers, the twentieth before it for them
 * and for networks with no other connection: a flood from some hundred networks locks neither our
 * own users out nor strangers who come alone. Smaller than the fifth between stress and full, so
 * that stress begins, and ends the idle ones, before anybody is refused. */
#define KEPT_EXEMPT(max) ((max) / 20)
#define KEPT_ALONE(max)  ((max) / 10)

/* An IPv6 /64 counts as one address, as it is one customer. */
static void address_key(struct served *c, const struct netaddr *peer)
{
    static const uint8_t len[] = {
        [NETADDR_NONE] = 0, [NETADDR_V4] = 4, [NETADDR_V6] = 8, [NETADDR_UNIX] = 4};
    uint8_t n = len[peer->family];
    c->address[0] = (char)peer->family;
    memcpy(c->address + 1, peer->bytes, n);
    c->address_len = n > 0 ? n + 1u : 0;
}

/* IPv4 /24, IPv6 /56: the address without its last byte. A user of this machine is in none. */
static str_t network_key(const struct served *c, char key[static sizeof c->address])
{
    if (c->address_len == 0 || c->address[0] == (char)NETADDR_UNIX)
        return STR_NONE;
    memcpy(key, c->address, c->address_len);
    key[0] = (char)(c->address[0] | 0x40);
    return str_of(key, c->address_len - 1u);
}

static uintptr_t counted(const struct server *s, str_t key)
{
    return key.len > 0 ? (uintptr_t)map_get(s->counts, key) : 0;
}

static bool count(struct server *s, str_t key, uintptr_t n)
{
    if (key.len == 0)
        return true;
    if (n > 0)
        return map_put(s->counts, key, (void *)n);
    map_del(s->counts, key);
    return true;
}

/* Under table_lock, as what follows. The connection itself is among `connections` already. */
static bool room_for(const struct server *s, uintptr_t neighbours)
{
    size_t max = (size_t)s->limits.connections_max;
    size_t kept = neighbours > 0 ? KEPT_ALONE(max) : KEPT_EXEMPT(max);
    return atomic_load(&s->connections) <= max - kept;
}

static bool below(uintptr_t n, int max)
{
    return max <= 0 || n < (uintptr_t)max;
}

static bool admit(struct server *s, struct served *c, int64_t now_ms)
{
    char network_bytes[sizeof c->address];
    str_t address = str_of(c->address, c->address_len), network = network_key(c, network_bytes);
    uintptr_t here = counted(s, address), near = counted(s, network);
    if (!room_for(s, network.len > 0 ? near : here) || !below(here, s->limits.per_address_max) ||
        !below(near, s->limits.per_network_max))
        return false;
    if (s->rate != NULL && !rate_pass(s->rate, address, (unsigned)s->limits.per_minute_max, now_ms))
        return false;
    if (!count(s, address, here + 1))
        return false;
    c->counted = count(s, network, near + 1);
    if (!c->counted)
        (void)count(s, address, here);
    return c->counted;
}

bool limits_admit(struct server *s, struct served *c, const struct netaddr *peer, bool exempt)
{
    struct netaddr plain = netaddr_plain(peer);
    address_key(c, &plain);
    if (exempt || c->address_len == 0)
        return true;
    pthread_mutex_lock(&s->table_lock);
    bool admitted = admit(s, c, sys_mono_ms());
    pthread_mutex_unlock(&s->table_lock);
    return admitted;
}

void limits_leave(struct server *s, struct served *c)
{
    char bytes[sizeof c->address];
    str_t address = str_of(c->address, c->address_len), network = network_key(c, bytes);
    if (!c->counted)
        return;
    c->counted = false;
    (void)count(s, address, counted(s, address) - 1);
    (void)count(s, network, counted(s, network) - 1);
}
