/* fuzz_resolver.c: Queries and answers between the resolver and those who ask it: any bytes; what
 * is understood says the same when written again. */
#include <stdint.h>

#include "base/err.h"
#include "roles/resolver/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_query(str_t in)
{
    struct resolver_query q;
    struct buf out;
    if (!resolver_query_decode(in, &q))
        return;
    buf_init(&out, 4096);
    must(resolver_query_encode(&q, &out) && str_eq(buf_str(&out), in));
    buf_free(&out);
}

static void check_answer(str_t in)
{
    struct dns_answer a;
    struct arena arena;
    struct buf out;
    arena_init(&arena, 1 << 20);
    buf_init(&out, 1 << 20);
    if (resolver_answer_decode(in, &arena, &a)) {
        must(a.n <= DNS_ANSWER_RECORDS_MAX && (a.n > 0) == (a.status == DNS_OK));
        must(resolver_answer_encode(&a, &out) &&
             (str_eq(buf_str(&out), in) || in.len > RESOLVER_ANSWER_MAX));
    }
    buf_free(&out);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_query(str_of(data, size));
    check_answer(str_of(data, size));
    return 0;
}
