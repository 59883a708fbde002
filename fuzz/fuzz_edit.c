/* fuzz_edit.c: the header editor: any bytes in any cuts give the same, the body stays as it is, no
 * Bcc is left. The first byte says how it is cut. */
#include <stdlib.h>

#include "mail/edit.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static str_t other(void *user, enum mail_edit_side side, str_t address, struct arena *a)
{
    (void)user;
    return side == MAIL_EDIT_SENDER && address.len % 2 ? arena_fmt(a, "x" STR_FMT, STR_ARG(address))
                                                       : STR_NONE;
}

static void edit(str_t in, size_t step, struct buf *out)
{
    const struct mail_edit_rules rules = {.remove_bcc = true,
                                          .add_missing = true,
                                          .hostname = STR("mail.example.org"),
                                          .address = other};
    struct mail_edit *e = mail_edit_new(&rules);
    if (e == NULL)
        abort();
    while (in.len > 0) {
        bool ok;
        str_t rest = mail_edit_feed(e, str_first(in, step), out, &ok);
        if (!ok || !buf_add(out, rest))
            abort();
        in = str_from(in, step);
    }
    if (!mail_edit_end(e, out) || !mail_edit_done(e))
        abort();
    mail_edit_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, cut;
    if (size == 0)
        return 0;
    str_t in = str_of(data + 1, size - 1);
    buf_init(&whole, 1 << 24);
    buf_init(&cut, 1 << 24);
    edit(in, in.len + 1, &whole);
    edit(in, 1 + data[0] % 64, &cut);
    if (whole.len != cut.len || (whole.len > 0 && memcmp(whole.ptr, cut.ptr, cut.len) != 0))
        abort();
    if (header_count(buf_str(&whole), STR("Bcc")) > 0)
        abort();
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
