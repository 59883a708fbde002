/* fuzz_sendmail.c: what `sendmail` is given: lines cut anywhere, recipients of the header, the header
 * completed; and any bytes as a message that waits. What goes out has whole lines, and its header
 * holds the addresses that were found. */
#include "base/err.h"
#include "cli/sendmail_message.h"

static void check_lines(str_t s)
{
    for (size_t i = 0; i < s.len; i++) {
        must(s.ptr[i] != '\n' || (i > 0 && s.ptr[i - 1] == '\r'));
        must(s.ptr[i] != '\r' || (i + 1 < s.len && s.ptr[i + 1] == '\n'));
    }
    must(s.len == 0 || str_ends(s, STR("\r\n")));
}

static void message(str_t in, size_t cut, bool ignore_dots)
{
    struct sendmail_lines l = {.ignore_dots = ignore_dots};
    struct sendmail_message m = {.sender = STR("root")};
    struct buf content, header;
    struct arena a;
    struct err err = {0};
    str_t body;
    buf_init(&content, 1 << 20);
    buf_init(&header, 4 << 20);
    arena_init(&a, 8 << 20);
    sendmail_lines_add(&l, str_first(in, cut), &content);
    sendmail_lines_add(&l, str_from(in, cut), &content);
    sendmail_lines_end(&l, &content);
    check_lines(buf_str(&content));
    m.content = sendmail_skip_from_line(buf_str(&content));
    (void)sendmail_header_recipients(&m, 0, &a, &err);
    for (size_t i = 0; i < m.n; i++)
        must(sendmail_complete(m.rcpt[i].address, STR("h.test"), &a).len >= m.rcpt[i].address.len);
    if (sendmail_header(&m, STR("h.test"), &a, &header, &body)) {
        check_lines(buf_str(&header));
        must(str_ends(buf_str(&header), STR("\r\n\r\n")));
        must(m.content.len == 0 || body.ptr + body.len == m.content.ptr + m.content.len);
    }
    buf_free(&content);
    buf_free(&header);
    arena_free(&a);
}

static void record(str_t in)
{
    struct sendmail_message m;
    struct arena a;
    struct buf again;
    arena_init(&a, 8 << 20);
    buf_init(&again, 1 << 20);
    if (sendmail_record_decode(in, &a, &m)) {
        must(sendmail_record_head(&m, &again) && buf_add(&again, m.content));
        must(str_eq(buf_str(&again), in));
    }
    buf_free(&again);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str_t in = str_of(data, size);
    record(in);
    if (size < 2)
        return 0;
    message(str_from(in, 2), data[0], data[1] & 1);
    return 0;
}
