/* siphash.c: SipHash-2-4 (Aumasson, Bernstein 2012): two rounds a word, four at the end. Declared
 * in map.h. */
#include "base/map.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static uint64_t load_le(const void *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof v);
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(v) : v;
}

static inline void rounds(struct state *s, int n)
{
    for (int i = 0; i < n; i++) {
        s->v0 += s->v1;
        s->v1 = rotl(s->v1, 13) ^ s->v0;
        s->v0 = rotl(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotl(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotl(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotl(s->v1, 17) ^ s->v2;
        s->v2 = rotl(s->v2, 32);
    }
}

static inline void absorb(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

uint64_t siphash24(const uint8_t key[static 16], str_t in)
{
    uint64_t k0 = load_le(key), k1 = load_le(key + 8);
    struct state s = {0x736f6d6570736575U ^ k0, 0x646f72616e646f6dU ^ k1, 0x6c7967656e657261U ^ k0,
                      0x7465646279746573U ^ k1};
    size_t at = 0;
    for (; in.len - at >= 8; at += 8)
        absorb(&s, load_le(in.ptr + at));
    uint8_t tail[8] = {0};
    if (in.len > at)
        memcpy(tail, in.ptr + at, in.len - at);
    tail[7] = (uint8_t)in.len; /* the length modulo 256 */
    absorb(&s, load_le(tail));
    s.v2 ^= 0xff;
    rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
