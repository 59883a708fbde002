/* crc32c.c: see crc32c.h. On x86-64 the crc32 instruction (SSE 4.2), which can start every cycle
 * but takes three: long input is cut in three streams that run side by side and are joined by a
 * table. Elsewhere eight bytes a step by table ("slicing by 8"). */
#include "base/crc32c.h"

#include "base/crc32c_table.h"

static uint64_t load_le(const char *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof v);
    return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(v) : v;
}

static uint32_t by_table(uint32_t crc, str_t in)
{
    size_t i = 0;
    for (; in.len - i >= 8; i += 8) {
        uint64_t v = load_le(in.ptr + i) ^ crc;
        crc = 0;
#pragma GCC unroll 8
        for (unsigned k = 0; k < 8; k++)
            crc ^= crc32c_byte[7 - k][v >> (8 * k) & 0xff];
    }
    for (; i < in.len; i++)
        crc = crc32c_byte[0][(crc ^ (uint8_t)in.ptr[i]) & 0xff] ^ crc >> 8;
    return crc;
}

uint32_t crc32c_portable(uint32_t crc, str_t in)
{
    return ~by_table(~crc, in);
}

#ifdef __x86_64__
static uint32_t skip(uint32_t crc)
{
    return crc32c_skip[0][crc & 0xff] ^ crc32c_skip[1][crc >> 8 & 0xff] ^
           crc32c_skip[2][crc >> 16 & 0xff] ^ crc32c_skip[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, str_t in)
{
    const char *p = in.ptr;
    size_t left = in.len;
    uint64_t a = crc;
    for (; left >= (size_t)3 * CRC32C_SKIP;
         left -= (size_t)3 * CRC32C_SKIP, p += (size_t)3 * CRC32C_SKIP) {
        uint64_t b = 0, c = 0;
        for (size_t i = 0; i < CRC32C_SKIP; i += 8) {
            a = __builtin_ia32_crc32di(a, load_le(p + i));
            b = __builtin_ia32_crc32di(b, load_le(p + CRC32C_SKIP + i));
            c = __builtin_ia32_crc32di(c, load_le(p + 2 * CRC32C_SKIP + i));
        }
        a = skip(skip((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
    }
    for (; left >= 8; left -= 8, p += 8)
        a = __builtin_ia32_crc32di(a, load_le(p));
    for (; left > 0; left--, p++)
        a = __builtin_ia32_crc32qi((uint32_t)a, (uint8_t)*p);
    return (uint32_t)a;
}

uint32_t crc32c(uint32_t crc, str_t in)
{
    return ~(__builtin_cpu_supports("sse4.2") ? by_instruction(~crc, in) : by_table(~crc, in));
}
#else
uint32_t crc32c(uint32_t crc, str_t in)
{
    return crc32c_portable(crc, in);
}
#endif
