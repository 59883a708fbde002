/* fuzz_header.c: fields cover the header without a gap, and length and count agree with them. */
#include "base/err.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_field(const struct header_field *f)
{
    must(f->name.len > 0 && f->raw.len > f->name.len);
    must(f->name.ptr == f->raw.ptr && !str_contains(f->name, STR(":")));
    must(f->value.ptr > f->name.ptr && f->value.ptr + f->value.len <= f->raw.ptr + f->raw.len);
    for (size_t i = 0; i + 1 < f->value.len; i++) /* a line end inside is followed by a blank */
        must(f->value.ptr[i] != '\n' || f->value.ptr[i + 1] == ' ' || f->value.ptr[i + 1] == '\t');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t message = str_of(data, size), rest = message;
    struct header_field f;
    size_t len = 0, same = 0;
    str_t first = STR_NONE;
    while (header_next(&rest, &f)) {
        must(f.raw.ptr == message.ptr + len);
        check_field(&f);
        if (len == 0)
            first = f.name;
        same += str_ieq(f.name, first);
        len += f.raw.len;
    }
    must(header_length(message) == len);
    must(rest.len <= size - len && rest.len + 2 >= size - len); /* at most the empty line between */
    must(len == 0 || header_count(message, first) == same);
    return 0;
}
