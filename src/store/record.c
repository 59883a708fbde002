/* record.c: see record.h. */
#include "store/record.h"

#include <stdio.h>

#include "base/crc32c.h"
#include "base/cursor.h"

static bool has_id(enum part_kind kind)
{
    return kind == PART_USER || kind == PART_QUEUE;
}

bool record_part_valid(part_t part)
{
    return (unsigned)part.kind < PART_KINDS && (has_id(part.kind) || part.id == 0);
}

static size_t part_write(part_t part, char *out)
{
    out[0] = (char)(part.kind + 1);
    if (!has_id(part.kind))
        return 1;
    record_u64_write(part.id, out + 1);
    return RECORD_PART_MAX;
}

str_t record_key(part_t part, str_t key, char out[static RECORD_KEY_MAX])
{
    must(key.len <= STORE_KEY_MAX);
    size_t n = part_write(part, out);
    if (key.len)
        memcpy(out + n, key.ptr, key.len);
    return str_of(out, n + key.len);
}

str_t record_end(part_t part, str_t end, char out[static RECORD_KEY_MAX])
{
    if (end.len)
        return record_key(part, end, out);
    size_t n = part_write(part, out);
    while ((unsigned char)out[n - 1] == 0xff) /* ends at the kind byte, which is small */
        n--;
    out[n - 1] = (char)((unsigned char)out[n - 1] + 1);
    return str_of(out, n);
}

bool record_split(str_t raw, part_t *part, str_t *key)
{
    struct cursor c = cursor_of(raw);
    uint8_t first = cursor_u8(&c);
    if (c.failed || first < 1 || first > PART_KINDS)
        return false;
    enum part_kind kind = (enum part_kind)(first - 1);
    uint64_t id = has_id(kind) ? cursor_u64(&c) : 0;
    if (c.failed || c.rest.len == 0 || c.rest.len > STORE_KEY_MAX)
        return false;
    *part = (part_t){kind, id};
    *key = c.rest;
    return true;
}

uint32_t record_sum(str_t raw, str_t value)
{
    return crc32c(crc32c(0, raw), value);
}

void record_sum_write(uint32_t sum, char out[static RECORD_SUM])
{
    for (int i = 0; i < RECORD_SUM; i++)
        out[i] = (char)(unsigned char)(sum >> (24 - 8 * i));
}

bool record_open(str_t raw, str_t record, str_t *value)
{
    if (record.len < RECORD_SUM || record.len > STORE_VALUE_MAX + RECORD_SUM)
        return false;
    str_t v = str_first(record, record.len - RECORD_SUM);
    struct cursor c = cursor_of(str_from(record, v.len));
    if (cursor_u32(&c) != record_sum(raw, v))
        return false;
    *value = v;
    return true;
}

bool record_u64_read(str_t value, uint64_t *out)
{
    struct cursor c = cursor_of(value);
    *out = cursor_u64(&c);
    return cursor_end(&c);
}

char *record_name(part_t part, str_t key, char out[static RECORD_NAME_MAX])
{
    static const char *const names[PART_KINDS] = {"node", "directory", "secret", "user", "queue"};
    int n = has_id(part.kind) ? snprintf(out, RECORD_NAME_MAX, "%s/%llu ", names[part.kind],
                                         (unsigned long long)part.id)
                              : snprintf(out, RECORD_NAME_MAX, "%s ", names[part.kind]);
    char *p = out + n;
    for (size_t i = 0; i < key.len && p + 5 <= out + RECORD_NAME_MAX; i++) {
        unsigned char c = (unsigned char)key.ptr[i];
        if (c > 0x20 && c < 0x7f && c != '\\' && c != '"')
            *p++ = (char)c;
        else
            p += snprintf(p, 5, "\\x%02x", c);
    }
    *p = 0;
    return out;
}
