/* fuzz_known.c: a row of where an account has logged in from, of any bytes, after the address: it says
 * something of every address, and what a login makes of it knows that address and fits in a row. */
#include "base/err.h"
#include "roles/core/known.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEAD = 1 + 16 };
    struct buf b, again;
    if (size < HEAD)
        return 0;
    struct netaddr from = {.family = data[0] % 2 != 0 ? NETADDR_V6 : NETADDR_V4};
    memcpy(from.bytes, data + 1, sizeof from.bytes);
    str_t row = str_of(data + HEAD, size - HEAD);
    uint32_t today = known_last_day(row) + data[0] / 2;
    enum budgets_place place = known_place(row, &from, today);
    must(place <= BUDGETS_ADDRESS_KNOWN);
    buf_init(&b, KNOWN_ROW_MAX);
    buf_init(&again, KNOWN_ROW_MAX);
    must(known_note(row, &from, today, &b));
    must(known_place(buf_str(&b), &from, today) == BUDGETS_ADDRESS_KNOWN);
    must(known_last_day(buf_str(&b)) == today);
    must(known_note(buf_str(&b), &from, today, &again));
    must(str_eq(buf_str(&b), buf_str(&again)));
    buf_free(&b);
    buf_free(&again);
    return 0;
}
