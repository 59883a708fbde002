/* date.h: dates as RFC 5322 3.3 writes them. UTC only when writing: "Sat, 21 Nov 2026 23:20:01
 * +0000". */
#ifndef MAIL_DATE_H
#define MAIL_DATE_H

#include "base/str.h"

#define MAIL_DATE_MAX 40
char *mail_date(int64_t wall_ms, char out[static MAIL_DATE_MAX]);
bool mail_date_parse(str_t s, int64_t *wall_ms); /* with the obsolete forms of RFC 5322 4.3 */

#endif
