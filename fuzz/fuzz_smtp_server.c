/* fuzz_smtp_server.c: whole sessions with the SMTP server engine and a scripted handler
 * (tests/proto/smtp_harness.h), which checks the order of events, that each accepted MAIL sees
 * exactly one END or ABORT, and that complete content is clean lines.
 *
 * The first byte chooses: bit 0 LMTP, bit 1 small limits, bits 2-3 how the rest is fed: 0 whole, 1
 * in pieces of 7, 2 and 3 a line at a time. In the last case a second session gets the same byte by
 * byte and must say and store the same. Bit 4 every extension is offered, bit 5 AUTH is needed, bit
 * 6 and works under TLS only, bit 7 the handshake after STARTTLS never comes. */
#include <stdint.h>

#include "../tests/proto/smtp_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every output line is a reply: three digits, a blank or hyphen, printable, at most 512 octets with
 * CRLF. */
static void check_said(str_t said)
{
    str_t line;
    while (str_cut(&said, '\n', &line)) {
        must(line.len >= 4 && line.len <= 511 && line.ptr[line.len - 1] == '\r');
        must(line.ptr[0] >= '2' && line.ptr[0] <= '5' && ascii_digit(line.ptr[1]) &&
             ascii_digit(line.ptr[2]));
        must(line.ptr[3] == ' ' || line.ptr[3] == '-');
        for (size_t i = 0; i + 1 < line.len; i++)
            must(line.ptr[i] >= ' ' && line.ptr[i] <= '~');
    }
    must(said.len == 0);
}

enum { MECHS_UNDER_TLS = 64, NO_HANDSHAKE = 128 };

static size_t piece(str_t rest, unsigned how)
{
    size_t lf;
    if (how == 0)
        return rest.len;
    if (how == 1)
        return rest.len < 7 ? rest.len : 7;
    if (how == 4)
        return 1;
    return str_find(rest, '\n', &lf) ? lf + 1 : rest.len;
}

static void session(const struct smtps_config *c, str_t bytes, unsigned how, unsigned tls,
                    struct harness *h)
{
    harness_open(h, c);
    if (tls & MECHS_UNDER_TLS)
        smtps_set_mechs(h->s, STR(""));
    harness_flush(h);
    while (bytes.len > 0) {
        size_t n = piece(bytes, how);
        harness_feed(h, c, str_first(bytes, n));
        bytes = str_from(bytes, n);
        if (h->tls_wanted && !(tls & NO_HANDSHAKE)) {
            harness_tls(h);
            smtps_set_mechs(h->s, STR("ONE TWO BLANK"));
        }
    }
    smtps_eof(h->s);
    must(harness_pump(h, c->lmtp) != SMTPS_FLUSH);
    harness_flush(h);
    must(!h->open && smtps_closing(h->s));
    check_said(buf_str(&h->said));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bool small = data[0] & 2;
    struct smtps_config c = {
        .hostname = STR("mx.example.test"),
        .lmtp = data[0] & 1,
        .size_max = small ? 64 : 100000,
        .excess_max = small ? 32 : 0,
        .recipients_max = small ? 3 : 1000,
        .messages_max = small ? 2 : 1000,
        .errors_soft = small ? 2 : 1000,
        .errors_hard = small ? 5 : 1000,
        .junk_max = small ? 4 : 1000,
        .idle_s = 300,
        .data_floor_bps = 500,
        .offer = data[0] & 16 ? ~0u : 0,
        .auth_needed = data[0] & 32,
        .by_min_s = 10,
        .future_max_s = 3600,
    };
    unsigned tls = data[0] & (MECHS_UNDER_TLS | NO_HANDSHAKE);
    unsigned how = (data[0] >> 2) & 3;
    str_t bytes = str_of(data + 1, size - 1);
    struct harness h, again;
    session(&c, bytes, how, tls, &h);
    if (how == 3) {
        session(&c, bytes, 4, tls, &again);
        must(str_eq(buf_str(&h.said), buf_str(&again.said)));
        must(str_eq(buf_str(&h.stored), buf_str(&again.stored)) && h.aborts == again.aborts);
        must(h.auths == again.auths && h.cancels == again.cancels && h.xclients == again.xclients);
        harness_close(&again);
    }
    harness_close(&h);
    return 0;
}
