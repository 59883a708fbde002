/* fuzz_codec.c: decoding undoes encoding; where a value has one text only, encoding undoes
 * decoding. */
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef bool codec(struct buf *out, str_t in);

static void round_trip(str_t in, codec *encode, codec *decode)
{
    struct buf text, back;
    buf_init(&text, in.len * 4 + 16);
    buf_init(&back, in.len);
    must(encode(&text, in) && decode(&back, buf_str(&text)) && str_eq(buf_str(&back), in));
    buf_free(&text);
    buf_free(&back);
}

static void unique_text(str_t in, codec *encode, codec *decode)
{
    struct buf bytes, again;
    buf_init(&bytes, in.len);
    buf_init(&again, in.len);
    if (decode(&bytes, in))
        must(encode(&again, buf_str(&bytes)) && str_ieq(buf_str(&again), in));
    buf_free(&bytes);
    buf_free(&again);
}

static void check_id32(str_t in)
{
    struct buf text, back;
    buf_init(&text, in.len * 2 + 1);
    buf_init(&back, in.len);
    must(id32_encode(&text, in) && id32_decode(&back, buf_str(&text), in.len) &&
         str_eq(buf_str(&back), in));
    buf_clear(&back);
    buf_clear(&text);
    if (id32_decode(&back, in, in.len * 5 / 8))
        must(id32_encode(&text, buf_str(&back)) && str_ieq(buf_str(&text), in));
    buf_free(&text);
    buf_free(&back);
}

static void check_qp(str_t in)
{
    struct buf text, again;
    str_t rest, line;
    buf_init(&text, in.len * 4 + 16);
    must(qp_encode(&text, in) && str_ascii(buf_str(&text)));
    must(!str_contains(buf_str(&text), STR("=_"))); /* a report's boundary relies on it */
    for (rest = buf_str(&text); str_cut(&rest, '\n', &line);)
        must(str_ends(line, STR("\r")) && line.len <= 77);
    must(rest.len <= 76);
    buf_init(&again, in.len);
    must(qp_decode(&again, buf_str(&text)) && str_eq(buf_str(&again), in));
    buf_clear(&again);
    (void)qp_decode(&again, in);
    buf_free(&text);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t in = str_of(data, size);
    round_trip(in, base64_encode, base64_decode);
    round_trip(in, hex_encode, hex_decode);
    unique_text(in, base64_encode, base64_decode);
    unique_text(in, hex_encode, hex_decode);
    check_id32(in);
    check_qp(in);
    must(crc32c(0, in) == crc32c_portable(0, in));
    uint32_t codepoint;
    str_t rest = in;
    while (utf8_next(&rest, &codepoint))
        must(codepoint <= 0x10ffff);
    must(utf8_valid(in) == (rest.len == 0) && (!str_ascii(in) || utf8_valid(in)));
    return 0;
}
