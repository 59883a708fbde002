/* known.c: see known.h. */
#include "roles/core/known.h"

#include "base/cursor.h"

struct seen {
    uint32_t day;
    size_t n;
    struct {
        uint8_t which;
        uint32_t day;
    } at[KNOWN_ADDRESSES];
};

static bool fresh(uint32_t day, uint32_t today)
{
    return today <= day || today - day <= KNOWN_DAYS;
}

static bool decode(str_t row, struct seen *out)
{
    struct cursor c = cursor_of(row);
    *out = (struct seen){.day = cursor_u32(&c)};
    while (!c.failed && c.rest.len > 0 && out->n < KNOWN_ADDRESSES) {
        out->at[out->n].which = cursor_u8(&c);
        out->at[out->n++].day = cursor_u32(&c);
    }
    return cursor_end(&c);
}

enum budgets_place known_place(str_t row, const struct netaddr *from, uint32_t today)
{
    struct seen s;
    uint8_t which = budgets_address(from);
    if (!decode(row, &s) || !fresh(s.day, today))
        return BUDGETS_STRANGE;
    for (size_t i = 0; i < s.n; i++)
        if (s.at[i].which == which && fresh(s.at[i].day, today))
            return BUDGETS_ADDRESS_KNOWN;
    return BUDGETS_NETWORK_KNOWN;
}

/* The place of this address: its own, a new one, or that of the one not seen for the longest. */
static size_t place(const struct seen *s, uint8_t which)
{
    size_t oldest = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->at[i].which == which)
            return i;
        if (s->at[i].day < s->at[oldest].day)
            oldest = i;
    }
    return s->n < KNOWN_ADDRESSES ? s->n : oldest;
}

bool known_note(str_t row, const struct netaddr *from, uint32_t today, struct buf *out)
{
    struct seen s;
    if (!decode(row, &s))
        s.n = 0;
    uint8_t which = budgets_address(from);
    size_t mine = place(&s, which);
    s.n = mine == s.n ? s.n + 1 : s.n;
    s.at[mine].which = which;
    s.at[mine].day = today;
    buf_u32(out, today);
    for (size_t i = 0; i < s.n; i++)
        if (fresh(s.at[i].day, today)) {
            buf_u8(out, s.at[i].which);
            buf_u32(out, s.at[i].day);
        }
    return !out->failed;
}

uint32_t known_last_day(str_t row)
{
    struct cursor c = cursor_of(row);
    return cursor_u32(&c);
}
