/* date.c: see date.h. The calendar is counted from 1 March 0000, so that the leap day is a year's
 * last day; a cycle of 400 years has 146,097 days. No C library time functions: they follow the
 * locale and the time zone of the process. */
#include "mail/date.h"

static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
/* from 1970-01-01 */
static const char weekdays[7][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};

enum { CYCLE_YEARS = 400, CYCLE_DAYS = 146097, DAYS_TO_1970 = 719468, DAY_S = 86400 };

/* The years a four-digit year can say (RFC 5322 3.3: at least 1900); anything else is a broken
 * clock. */
#define WALL_MIN_MS (-2208988800000)  /* 1900-01-01 */
#define WALL_MAX_MS (253402300799999) /* 9999-12-31 */

static int64_t days_from(int64_t year, int64_t month, int64_t day)
{
    if (month <= 2)
        year--;
    int64_t cycle = year / CYCLE_YEARS, y = year % CYCLE_YEARS;
    int64_t yday = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return cycle * CYCLE_DAYS + y * 365 + y / 4 - y / 100 + yday - DAYS_TO_1970;
}

static void days_to(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += DAYS_TO_1970;
    int64_t cycle = days / CYCLE_DAYS, d = days % CYCLE_DAYS;
    int64_t y = (d - d / 1460 + d / 36524 - d / 146096) / 365;
    int64_t yday = d - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * yday + 2) / 153;
    *day = yday - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = cycle * CYCLE_YEARS + y + (*month <= 2);
}

/* ---- writing: RFC 5322 3.3 ---- */

static char *put_text(char *p, const char *text)
{
    size_t n = strlen(text);
    memcpy(p, text, n);
    return p + n;
}

static char *put_digits(char *p, int64_t v, int width)
{
    for (int i = width - 1; i >= 0; i--, v /= 10)
        p[i] = (char)('0' + v % 10);
    return p + width;
}

char *mail_date(int64_t wall_ms, char out[static MAIL_DATE_MAX])
{
    if (wall_ms < WALL_MIN_MS)
        wall_ms = WALL_MIN_MS;
    if (wall_ms > WALL_MAX_MS)
        wall_ms = WALL_MAX_MS;
    /* rounded down, also before 1970 */
    int64_t s = (wall_ms - WALL_MIN_MS) / 1000 + WALL_MIN_MS / 1000;
    int64_t of_day = (s - WALL_MIN_MS / 1000) % DAY_S, days = (s - of_day) / DAY_S;
    int64_t year, month, day;
    days_to(days, &year, &month, &day);
    char *p = put_text(out, weekdays[(days % 7 + 7) % 7]);
    p = put_text(p, ", ");
    p = put_digits(p, day, day > 9 ? 2 : 1);
    *p++ = ' ';
    p = put_text(p, months[month - 1]);
    *p++ = ' ';
    p = put_digits(p, year, 4);
    *p++ = ' ';
    p = put_digits(p, of_day / 3600, 2);
    *p++ = ':';
    p = put_digits(p, of_day / 60 % 60, 2);
    *p++ = ':';
    p = put_digits(p, of_day % 60, 2);
    p = put_text(p, " +0000");
    *p = '\0';
    return out;
}

/* ---- reading: RFC 5322 3.3 and 4.3 ---- */

/* Skips white space and comments, nested or not, also one that never ends (RFC 5322 3.2.2). */
static void skip_cfws(str_t *s)
{
    size_t i = 0, depth = 0;
    for (; i < s->len; i++) {
        char c = s->ptr[i];
        if (c == '(')
            depth++;
        else if (depth > 0 && c == ')')
            depth--;
        else if (depth > 0 && c == '\\')
            i++;
        else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' && c != '\n')
            break;
    }
    *s = str_from(*s, i);
}

static str_t take_while(str_t *s, bool (*is)(char))
{
    skip_cfws(s);
    size_t n = 0;
    while (n < s->len && is(s->ptr[n]))
        n++;
    str_t word = str_first(*s, n);
    *s = str_from(*s, n);
    return word;
}

static bool take_char(str_t *s, char c)
{
    skip_cfws(s);
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = str_from(*s, 1);
    return true;
}

static bool take_number(str_t *s, size_t digits_min, size_t digits_max, int64_t max, int64_t *out)
{
    str_t digits = take_while(s, ascii_digit);
    uint64_t v;
    if (digits.len < digits_min || digits.len > digits_max || !str_u64(digits, (uint64_t)max, &v))
        return false;
    *out = (int64_t)v;
    return true;
}

static bool take_day_name(str_t *s)
{
    str_t word = take_while(s, ascii_alpha);
    if (word.len == 0)
        return true; /* optional; whether it is the right day is not asked */
    for (size_t i = 0; i < 7; i++)
        if (str_ieq(word, str_of(weekdays[i], 3)))
            return take_char(s, ',');
    return false;
}

static bool take_month(str_t *s, int64_t *month)
{
    str_t word = take_while(s, ascii_alpha);
    for (*month = 1; *month <= 12; ++*month)
        if (str_ieq(word, str_of(months[*month - 1], 3)))
            return true;
    return false;
}

static bool take_year(str_t *s, int64_t *year)
{
    str_t at = *s;
    skip_cfws(&at);
    if (!take_number(s, 2, 4, 9999, year))
        return false;
    size_t digits = (size_t)(s->ptr - at.ptr);
    if (digits == 2 && *year < 50) /* RFC 5322 4.3 */
        *year += 2000;
    else if (digits < 4)
        *year += 1900;
    return *year >= 1900;
}

static bool take_time(str_t *s, int64_t *seconds)
{
    int64_t h, m, sec = 0;
    if (!take_number(s, 2, 2, 23, &h) || !take_char(s, ':') || !take_number(s, 2, 2, 59, &m))
        return false;
    if (take_char(s, ':') && !take_number(s, 2, 2, 60, &sec)) /* 60: a leap second */
        return false;
    *seconds = h * 3600 + m * 60 + sec;
    return true;
}

/* Names other than these, the military ones too, mean nothing certain: -0000 (RFC 5322 4.3). */
static int64_t zone_named(str_t word)
{
    static const struct {
        char name[4];
        int hours;
    } zones[] = {{"EDT", -4}, {"EST", -5}, {"CDT", -5}, {"CST", -6},
                 {"MDT", -6}, {"MST", -7}, {"PDT", -7}, {"PST", -8}};
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++)
        if (str_ieq(word, str_of(zones[i].name, 3)))
            return zones[i].hours * 3600;
    return 0;
}

static bool take_zone(str_t *s, int64_t *offset)
{
    skip_cfws(s);
    bool west = str_starts(*s, STR("-"));
    if (!west && !str_starts(*s, STR("+"))) {
        str_t word = take_while(s, ascii_alpha);
        *offset = zone_named(word);
        return word.len > 0;
    }
    *s = str_from(*s, 1);
    int64_t v;
    if (s->len == 0 || !ascii_digit(s->ptr[0]) || !take_number(s, 4, 4, 9959, &v) || v % 100 > 59)
        return false;
    *offset = (v / 100 * 60 + v % 100) * 60 * (west ? -1 : 1);
    return true;
}

static int64_t month_days(int64_t year, int64_t month)
{
    return month == 12 ? 31 : days_from(year, month + 1, 1) - days_from(year, month, 1);
}

bool mail_date_parse(str_t s, int64_t *wall_ms)
{
    int64_t day, month, year, time, offset;
    if (!take_day_name(&s) || !take_number(&s, 1, 2, 31, &day) || !take_month(&s, &month) ||
        !take_year(&s, &year) || !take_time(&s, &time) || !take_zone(&s, &offset))
        return false;
    skip_cfws(&s);
    if (s.len > 0 || day < 1 || day > month_days(year, month))
        return false;
    *wall_ms = (days_from(year, month, day) * DAY_S + time - offset) * 1000;
    return true;
}
