/* fuzz_store_record.c: raw keys and records as a damaged disk may give them (store/record.h).
 *
 * Input: u16 length of the raw key, the raw key, the record. What decodes must encode to the same
 * bytes; a record made by us must open, and no longer after any one bit of it or of its key was
 * changed. */
#include <stdlib.h>

#include "base/cursor.h"
#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key(str_t raw)
{
    part_t part;
    str_t key;
    char again[RECORD_KEY_MAX], name[RECORD_NAME_MAX];
    if (!record_split(raw, &part, &key))
        return;
    must(record_part_valid(part));
    must(key.len >= 1 && key.len <= STORE_KEY_MAX);
    must(str_eq(record_key(part, key, again), raw));
    must(strlen(record_name(part, key, name)) < RECORD_NAME_MAX);
    str_t end = record_end(part, STR_NONE, again);
    must(str_cmp(raw, end) < 0);
}

static void check_own_record(str_t raw, str_t value, size_t flip)
{
    char *record = malloc(value.len + RECORD_SUM);
    must(record != NULL);
    if (value.len)
        memcpy(record, value.ptr, value.len);
    record_sum_write(record_sum(raw, value), record + value.len);
    str_t whole = str_of(record, value.len + RECORD_SUM), out = STR_NONE;
    must(record_open(raw, whole, &out) == (value.len <= STORE_VALUE_MAX));
    if (value.len <= STORE_VALUE_MAX)
        must(str_eq(out, value));
    record[flip / 8 % whole.len] = (char)(record[flip / 8 % whole.len] ^ (1 << flip % 8));
    must(!record_open(raw, whole, &out));
    free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_of(str_of(data, size));
    uint16_t n = cursor_u16(&c);
    str_t raw = cursor_bytes(&c, n % 520), record = c.rest, value;
    if (c.failed)
        return 0;
    check_key(raw);
    if (record_open(raw, record, &value))
        must(value.len + RECORD_SUM == record.len);
    check_own_record(raw, record, n);
    uint64_t number;
    if (record_u64_read(record, &number)) {
        char again[8];
        record_u64_write(number, again);
        must(str_eq(str_of(again, 8), record));
    }
    return 0;
}
