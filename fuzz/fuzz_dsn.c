/* fuzz_dsn.c: reports and trace fields from hostile strings. The input is a byte of flags, then
 * strings, each with a u16 length; what is left is the original's header. Whatever they hold: lines
 * are clean, fields and parts as many as meant. */
#include "../tests/mail/lines.h"
#include "base/cursor.h"
#include "base/err.h"
#include "mail/dsn.h"
#include "mail/header.h"
#include "mail/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 1 << 20 };

static size_t fields_of(str_t text)
{
    struct header_field f;
    size_t n = 0;
    while (header_next(&text, &f))
        n++;
    return n;
}

static size_t delimiters(str_t text)
{
    size_t n = str_starts(text, STR("--=_"));
    for (size_t at; str_find(text, '\n', &at); text = str_from(text, at + 1))
        n += str_starts(str_from(text, at + 1), STR("--=_"));
    return n;
}

/* One whole field of that name and nothing else. */
static void check_field(struct buf *out, bool written, str_t name)
{
    str_t text = buf_str(out);
    must(written && lines_clean(text, true));
    must(fields_of(text) == 1 && header_count(text, name) == 1 && header_length(text) == text.len);
    buf_clear(out);
}

static void check_trace(str_t a, str_t b, str_t c, struct buf *out)
{
    struct trace_received t = {
        .helo = a, .by = b, .protocol = c, .id = c, .recipient = b, .wall_ms = (int64_t)a.len};
    check_field(out, trace_received_write(&t, out), STR("Received"));
    t.client.family = NETADDR_V6;
    t.client_name = b;
    check_field(out, trace_received_write(&t, out), STR("Received"));
    check_field(out, trace_return_path_write(a, out), STR("Return-Path"));
    check_field(out, trace_delivered_to_write(b, out), STR("Delivered-To"));
}

static void check_dsn(const struct dsn *d, struct buf *out)
{
    must(dsn_write(d, out) == (d->to.len > 0));
    str_t text = buf_str(out), line;
    if (d->to.len == 0)
        return;
    size_t references = header_count(text, STR("References"));
    must(references <= 1 && header_count(text, STR("To")) == 1);
    must(fields_of(text) == 8 + 2 * references + d->utf8);
    must(delimiters(text) == 4);
    /* the returned header may hold other control bytes */
    for (size_t i = 0; i < text.len; i++)
        must(text.ptr[i] != '\0' && (text.ptr[i] == '\n') == (i > 0 && text.ptr[i - 1] == '\r'));
    while (str_cut(&text, '\n', &line))
        must(line.len <= 999);
    must(text.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_of(str_of(data, size));
    uint8_t flags = cursor_u8(&c);
    str_t s[6];
    for (size_t i = 0; i < 6; i++)
        s[i] = cursor_str16(&c);
    struct dsn_recipient r[2] = {{.final = s[0],
                                  .original = s[1],
                                  .status = s[2],
                                  .diagnostic = s[3],
                                  .remote_mta = s[4],
                                  .last_attempt_ms = flags & 4 ? 1000 : 0,
                                  .action = flags & 64 ? DSN_EXPANDED : DSN_DELIVERED},
                                 {.final = s[1],
                                  .original = s[0],
                                  .status = s[3],
                                  .diagnostic = s[2],
                                  .orcpt = flags & 32 ? s[5] : STR_NONE}};
    struct dsn d = {.action = flags & 16  ? DSN_RELAYED
                              : flags & 1 ? DSN_DELAYED
                                          : DSN_FAILED,
                    .hostname = s[4],
                    .to = s[5],
                    .queue_id = s[1],
                    .message_id_unique = s[4],
                    .arrived_ms = flags,
                    .give_up_ms = flags * INT64_C(100000000000),
                    .recipients = r,
                    .n = flags & 8 ? 2 : 1,
                    .original_header = c.rest,
                    .envelope_id = flags & 32 ? s[0] : STR_NONE,
                    .received_from = flags & 32 ? s[2] : STR_NONE,
                    .utf8 = flags & 2};
    struct buf out;
    buf_init(&out, OUT_MAX);
    check_trace(s[0], s[1], s[4], &out);
    check_dsn(&d, &out);
    buf_free(&out);
    return 0;
}
