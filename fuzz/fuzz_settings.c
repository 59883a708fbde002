/* fuzz_settings.c: any text as postrider.conf. What is accepted is shown, and what is shown is
 * accepted and shown the same. */
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "roles/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool run(str_t text, struct arena *a, struct buf *shown)
{
    struct settings *s = malloc(sizeof *s);
    struct err err;
    must(s != NULL);
    bool ok = settings_parse(text, "fuzz", a, s, &err) == RC_OK;
    must(ok || (err.rc == RC_PERM && err.text[0] != '\0'));
    if (ok)
        must(settings_show(s, false, shown));
    free(s);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct buf first, second;
    arena_init(&a, 8 << 20);
    buf_init(&first, 8 << 20);
    buf_init(&second, 8 << 20);
    if (run(str_of(data, size), &a, &first)) {
        must(run(buf_str(&first), &a, &second));
        must(str_eq(buf_str(&first), buf_str(&second)));
    }
    buf_free(&first);
    buf_free(&second);
    arena_free(&a);
    return 0;
}
