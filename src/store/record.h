/* record.h: how rows look inside an engine: partition prefix before the key, checksum after the
 * value.
 *
 *     raw key   kind + 1 (one byte), for PART_USER and PART_QUEUE the id (u64), then the key
 *     record    the value, then u32 CRC-32C over raw key and value
 *
 * The prefix keeps the order of keys within a partition, and no prefix begins another, so a
 * partition is one range of raw keys. The first byte 0 is the engine's own. Because the checksum
 * covers the raw key, a record that ended up under another key or in another partition is found out
 * as well as one with a flipped bit. Integers are big-endian. */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include "store/store.h"

#define RECORD_PART_MAX 9
#define RECORD_KEY_MAX  (RECORD_PART_MAX + STORE_KEY_MAX)
#define RECORD_SUM      4
#define RECORD_NAME_MAX 256 /* room for record_name; longer keys are cut */

_Static_assert(RECORD_KEY_MAX <= 511, "LMDB takes no longer keys");

bool record_part_valid(part_t part); /* a known kind, and id 0 where the kind has none */

/* Raw keys, written to `out`. record_end: where a range ends, for an empty `end` the end of the
 * partition. */
str_t record_key(part_t part, str_t key, char out[static RECORD_KEY_MAX]);
str_t record_end(part_t part, str_t end, char out[static RECORD_KEY_MAX]);
/* Takes a raw key apart; *key points into it. False: not a raw key of any partition. */
bool record_split(str_t raw, part_t *part, str_t *key);

uint32_t record_sum(str_t raw, str_t value);
void record_sum_write(uint32_t sum, char out[static RECORD_SUM]);
/* The value inside a record, if the checksum holds. */
bool record_open(str_t raw, str_t record, str_t *value);

/* For people: "user/17 u/\x00\x01", everything but printable ASCII escaped. Returns out. */
char *record_name(part_t part, str_t key, char out[static RECORD_NAME_MAX]);

/* Counters and lease epochs: u64, big-endian. */
static inline void record_u64_write(uint64_t v, char out[static 8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)(unsigned char)(v >> (56 - 8 * i));
}
bool record_u64_read(str_t value, uint64_t *out); /* false: not 8 bytes */

#endif
