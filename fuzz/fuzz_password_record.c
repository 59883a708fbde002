/* fuzz_password_record.c: a password row of any bytes: what decodes keeps to the limits (so that no
 * row makes core hash for an hour) and is encoded to what decodes to the same. */
#include "base/err.h"
#include "roles/core/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct password_record r, again;
    struct buf b;
    bool there = password_decode(str_of(data, size), &r);
    must(r.memory_kib <= 256 * 1024 && r.passes <= 16 && r.lanes <= 4 && r.iterations > 0);
    must(r.n <= STORE_PASSWORDS_MAX && (there || r.n == 0));
    for (size_t i = 0; i < r.n; i++)
        must(strlen(r.entries[i].name) <= STORE_PASSWORD_NAME_MAX &&
             password_find(&r, str_c(r.entries[i].name)) <= (int)i);
    must((r.generation != 0) == there);
    if (!there) /* nothing is written without one: it would be given one */
        r.generation = 1;
    buf_init(&b, PASSWORD_RECORD_MAX);
    must(password_encode(&r, &b));
    must(password_decode(buf_str(&b), &again) && memcmp(&r, &again, sizeof r) == 0);
    buf_free(&b);
    return 0;
}
