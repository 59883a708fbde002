/* fuzz_proxy.c: the PROXY header: a part of a header is no other header, and what follows it does
 * not matter. */
#include "base/err.h"
#include "base/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct proxy_header *a, const struct proxy_header *b)
{
    return a->size == b->size && a->local == b->local && netaddr_eq(&a->from, &b->from) &&
           netaddr_eq(&a->to, &b->to) && a->from.port == b->from.port && a->to.port == b->to.port;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header whole, part;
    enum proxy_rc rc = proxy_parse(str_of(data, size), &whole);
    must(rc != PROXY_MORE || size < PROXY_HEADER_MAX);
    if (rc == PROXY_OK) {
        must(whole.size <= size && whole.size <= PROXY_HEADER_MAX);
        must(whole.local || (whole.from.family != NETADDR_NONE && whole.to.family != NETADDR_NONE));
    }
    for (size_t n = 0; n < size && n <= PROXY_HEADER_MAX; n++) {
        enum proxy_rc early = proxy_parse(str_of(data, n), &part);
        if (rc == PROXY_OK && n >= whole.size)
            must(early == PROXY_OK && same(&part, &whole));
        else
            must(rc == PROXY_BAD ? early != PROXY_OK : early == PROXY_MORE);
    }
    return 0;
}
