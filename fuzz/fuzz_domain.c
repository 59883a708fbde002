/* fuzz_domain.c: whatever comes out is a name that DNS can be asked for, and says the same when it
 * goes in again. */
#include "base/err.h"
#include "base/utf8.h"
#include "mail/domain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(str_t name)
{
    must(name.len > 0 && name.len <= DOMAIN_MAX);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        must((c >= 'a' && c <= 'z') || ascii_digit(c) || c == '-' || c == '.');
        must(c != '.' || (i > 0 && i + 1 < name.len && name.ptr[i - 1] != '.'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t name = str_of(data, size), ascii, again, unicode, back;
    struct arena a;
    arena_init(&a, 1 << 16);
    if (domain_to_ascii(name, &a, &ascii)) {
        must(str_ascii(ascii));
        if (!str_ascii(name))
            check_name(ascii);
        must(domain_to_ascii(ascii, &a, &again) && str_eq(ascii, again));
        if (domain_to_unicode(ascii, &a, &unicode)) {
            must(utf8_valid(unicode));
            must(domain_to_ascii(unicode, &a, &back) && str_eq(ascii, back));
        }
    }
    arena_free(&a);
    return 0;
}
