/* crc32c.h: CRC-32C (Castagnoli, RFC 3720 B.4), with the processor's instruction where there is
 * one. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/str.h"

uint32_t crc32c(uint32_t crc, str_t in); /* start with 0; chain by passing the last result */
uint32_t crc32c_portable(uint32_t crc, str_t in); /* the same by tables alone, for comparison */

#endif
