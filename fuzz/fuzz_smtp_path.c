/* fuzz_smtp_path.c: the path parser. Whatever it accepts can be written and read again with the
 * same meaning, and holds nothing that could leave a command line. */
#include <stdint.h>

#include "base/err.h"
#include "proto/smtp/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct smtp_path *p, struct arena *a)
{
    if (p->null)
        return;
    must(p->local.len <= SMTP_LOCAL_MAX && p->domain.len <= SMTP_DOMAIN_MAX);
    str_t text = smtp_path_text(p, a);
    for (size_t i = 0; i < text.len; i++)
        must((unsigned char)text.ptr[i] >= ' ' && text.ptr[i] != 0x7f);
    struct smtp_path again;
    enum smtp_path_result r = smtp_address_parse(text, a, &again);
    must(r == SMTP_PATH_OK || r == SMTP_PATH_LONG); /* quoting may make it longer */
    if (r == SMTP_PATH_OK)
        must(str_eq(again.local, p->local) && str_eq(again.domain, p->domain) &&
             again.kind == p->kind && again.utf8 == p->utf8);
    must(p->kind != SMTP_DOMAIN_NAME || smtp_domain_valid(p->domain));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct smtp_path p;
    str_t in = str_of(data, size), rest = in;
    arena_init(&a, 1 << 20);
    if (smtp_path_parse(&rest, &a, &p) == SMTP_PATH_OK) {
        must(rest.len < in.len && rest.ptr + rest.len == in.ptr + in.len && rest.ptr[-1] == '>');
        check(&p, &a);
    } else {
        must(rest.len == in.len);
    }
    if (smtp_address_parse(in, &a, &p) == SMTP_PATH_OK)
        check(&p, &a);
    (void)smtp_domain_valid(in);
    arena_free(&a);
    return 0;
}
