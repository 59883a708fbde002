/* fuzz_tls_parcel.c: certificates as the supervisor hands them out: what is taken apart lies within
 * the input, and put together again is the same. */
#include <stdlib.h>

#include "base/err.h"
#include "roles/tls_parcel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tls_pair *pairs;
    size_t n;
    struct buf again;
    if (!tls_parcel_read(str_of(data, size), &pairs, &n)) {
        must(pairs == NULL || n <= TLS_PARCEL_PAIRS_MAX);
        return 0;
    }
    buf_init(&again, size + 1);
    tls_parcel_begin(&again);
    for (size_t i = 0; i < n; i++)
        must(tls_parcel_add(&again, &pairs[i]));
    must(str_eq(buf_str(&again), str_of(data, size)));
    buf_free(&again);
    free(pairs);
    return 0;
}
