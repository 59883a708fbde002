/* fuzz_date.c: what is read can be written and read again as the same time; any time can be
 * written. */
#include "base/err.h"
#include "mail/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(int64_t ms)
{
    char text[MAIL_DATE_MAX], again[MAIL_DATE_MAX];
    int64_t back;
    must(strlen(mail_date(ms, text)) < sizeof text);
    must(mail_date_parse(str_c(text), &back));
    must(strcmp(mail_date(back, again), text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t ms;
    if (mail_date_parse(str_of(data, size), &ms))
        round_trip(ms);
    if (size == sizeof ms) {
        memcpy(&ms, data, sizeof ms);
        round_trip(ms);
    }
    return 0;
}
