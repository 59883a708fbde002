/* crc32c_table.h: tables of crc32c.c; private to it. */
#ifndef BASE_CRC32C_TABLE_H
#define BASE_CRC32C_TABLE_H

#include <stdint.h>

#define CRC32C_SKIP 1024 /* bytes */

extern const uint32_t crc32c_byte[8][256]; /* [k][b]: the CRC of byte b followed by k zero bytes */
extern const uint32_t crc32c_skip[4][256]; /* byte k of a CRC, moved past CRC32C_SKIP zero bytes */

#endif
