/* fuzz_convert.c: conversion to 7 and 8 bit: any bytes in any cuts give the same; what comes out
 * holds nothing that does not fit, and needs nothing more. The first byte says how it is cut and to
 * what. */
#include <stdlib.h>

#include "mail/convert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void second_pass(struct mail_convert *c, str_t in, size_t step, struct buf *out)
{
    for (str_t rest = in; rest.len > 0; rest = str_from(rest, step))
        if (!mail_convert_feed(c, str_first(rest, step), out))
            abort();
    if (!mail_convert_end(c, out))
        abort();
}

/* Twice the same, also behind a pass that was given up in its middle. */
static void written_again(struct mail_convert *c, str_t in, size_t step, str_t before)
{
    struct buf out;
    buf_init(&out, 1 << 26);
    mail_convert_again(c);
    if (!mail_convert_feed(c, str_first(in, in.len / 2), &out))
        abort();
    buf_clear(&out);
    mail_convert_again(c);
    second_pass(c, in, step, &out);
    if (!str_eq(buf_str(&out), before))
        abort();
    buf_free(&out);
}

static bool convert(enum mail_convert_to to, str_t in, size_t step, bool *needed, struct buf *out)
{
    struct mail_convert *c = mail_convert_new(to);
    if (c == NULL)
        abort();
    for (str_t rest = in; rest.len > 0; rest = str_from(rest, step))
        mail_convert_look(c, str_first(rest, step));
    bool good = mail_convert_looked(c, needed) == MAIL_CONVERT_OK;
    if (good) {
        second_pass(c, in, step, out);
        written_again(c, in, step, buf_str(out));
    }
    mail_convert_free(c);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, cut, again;
    bool needed, needed_cut;
    if (size == 0)
        return 0;
    enum mail_convert_to to = data[0] & 1 ? MAIL_CONVERT_8BIT : MAIL_CONVERT_7BIT;
    str_t in = str_of(data + 1, size - 1);
    buf_init(&whole, 1 << 26);
    buf_init(&cut, 1 << 26);
    buf_init(&again, 1 << 26);
    bool good = convert(to, in, in.len + 1, &needed, &whole);
    if (convert(to, in, 1 + data[0] / 2, &needed_cut, &cut) != good || needed != needed_cut ||
        !str_eq(buf_str(&whole), buf_str(&cut)))
        abort();
    if (good && !needed && !str_eq(buf_str(&whole), in))
        abort();
    for (size_t i = 0; good && to == MAIL_CONVERT_7BIT && i < whole.len; i++)
        if ((unsigned char)whole.ptr[i] >= 0x80)
            abort();
    if (good && (!convert(to, buf_str(&whole), 4096, &needed, &again) || needed))
        abort();
    buf_free(&whole);
    buf_free(&cut);
    buf_free(&again);
    return 0;
}
