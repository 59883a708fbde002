/* known.h: where an account has logged in from: the value of a row known/ID/NET (login_impl.h), one for
 * each network.
 *
 *     u32 day last seen there, then for each address in it: u8 which (budgets_address), u32 day
 *
 * Days are since 1970. Rows of earlier servers end after the first day: of them no address is known.
 * Pure. */
#ifndef ROLES_CORE_KNOWN_H
#define ROLES_CORE_KNOWN_H

#include "base/buf.h"
#include "roles/core/budgets.h"

/* A login counts for so long: a year's holidays are not in it, a quarter's travels are. */
#define KNOWN_DAYS 90
/* Of each network; the one not seen for the longest goes. A home whose address changes every night
 * fills it in a month. */
#define KNOWN_ADDRESSES 32
#define KNOWN_ROW_MAX   (4 + 5 * KNOWN_ADDRESSES)

/* What this row (empty: there is none) says of the address, which is in the row's network. A row that
 * cannot be read knows nobody. */
enum budgets_place known_place(str_t row, const struct netaddr *from, uint32_t today);

/* The row with a login of today from there added; *out takes KNOWN_ROW_MAX bytes. False: memory. */
bool known_note(str_t row, const struct netaddr *from, uint32_t today, struct buf *out);

/* The day in front; 0: it cannot be read. */
uint32_t known_last_day(str_t row);

#endif
