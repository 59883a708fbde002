/* fuzz_smtp_reply.c: Replies of a hostile server: whole and byte by byte give the same; what is
 * kept is bounded and printable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"
#include "proto/smtp/client_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reply(const struct smtpc_reader *r)
{
    str_t text = smtpc_reader_text(r);
    must(r->code >= 200 && r->code <= 599);
    must(r->lines >= 1 && r->lines <= SMTPC_REPLY_LINES);
    must(text.len <= SMTPC_REPLY_TEXT && utf8_valid(text));
    for (size_t i = 0; i < text.len; i++)
        must((unsigned char)text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f);
    must(strnlen(r->status, sizeof r->status) < sizeof r->status);
    must(r->status[0] == '\0' || r->status[0] == (char)('0' + r->code / 100));
}

static void same(const struct smtpc_reader *a, const struct smtpc_reader *b)
{
    must(a->code == b->code && a->lines == b->lines && strcmp(a->status, b->status) == 0);
    must(str_eq(smtpc_reader_text(a), smtpc_reader_text(b)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct smtpc_reader whole, bytes;
    str_t rest = str_of(data, size), line;
    smtpc_reader_init(&whole);
    smtpc_reader_init(&bytes);
    while (rest.len > 0) {
        str_t before = rest;
        enum smtpc_read got = smtpc_reader_next(&whole, &rest, &line), step = SMTPC_READ_MORE;
        size_t used = before.len - rest.len;
        must(used > 0);
        for (size_t i = 0; i < used && step == SMTPC_READ_MORE; i++) {
            str_t one = str_of(before.ptr + i, 1);
            step = smtpc_reader_next(&bytes, &one, &line);
        }
        must(step == got);
        if (got == SMTPC_READ_REPLY) {
            check_reply(&whole);
            same(&whole, &bytes);
        }
        if (got == SMTPC_READ_BAD)
            break;
    }
    return 0;
}
