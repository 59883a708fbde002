/* fuzz_smtp_client.c: The SMTP client engine against a hostile server.
 *
 * The first bytes choose the mode (LMTP, STARTTLS, AUTH, BDAT, all parameters), recipients and
 * content; the rest is what the server says, given line by line (and, in a second run, byte by byte:
 * the outcome must be the same). TLS is only said to be there. Whatever comes: every recipient gets
 * a verdict, RC_OK only after the whole message went out, all output is lines that end in CRLF with
 * the commands of SMTP and nothing else, no password goes out before TLS or to a peer that did not
 * ask, REQUIRETLS is said under TLS alone, and memory is bounded. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "proto/sasl/client.h"
#include "proto/smtp/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 2, RECIPIENTS = 8 };

struct run {
    struct smtpc *c;
    str_t server; /* what it has yet to say */
    bool bytewise;
    struct buf sent;     /* everything, in order */
    size_t content_from; /* where in it the content of the current message begins; SIZE_MAX: none */
    bool lmtp, logging_in, in_chunks;
};

enum mode {
    MODE_LMTP = 1,
    MODE_8BIT = 2,
    MODE_UTF8 = 4,
    MODE_TLS = 8,
    MODE_AUTH = 16,
    MODE_BINARY = 32,
    MODE_ALL = 64, /* every parameter */
    MODE_REQUIRETLS = 128,
};

static const struct smtpc_dsn dsn[RECIPIENTS] = {{SMTPC_NOTIFY_SUCCESS, {"rfc822;A+ b@x.test", 18}},
                                                 {SMTPC_NOTIFY_NEVER, {"utf-8;\xc3\xbc=@x", 11}},
                                                 {15, {"no type", 7}},
                                                 {0, {"utf-8;\xff", 7}}};

static const str_t addresses[RECIPIENTS] = {
    {"a@x.test", 8},          {"\"b c\"@x.test", 12}, {"\xc3\xbc@x.test", 9}, {"", 0},
    {"d\r\nQUIT@x.test", 14}, {"e@x.test", 8},        {"f@x.test", 8},        {"g@x.test", 8}};

static const str_t contents[] = {{"S: x\r\n\r\n.\r\n..\r\nend", 19},
                                 {"", 0},
                                 {".\r\n", 3},
                                 {"a\r", 2},
                                 {"a\nb", 3},
                                 {"a\0b\r\n", 5},
                                 {"\r\n.", 3},
                                 {"x\r\n", 3}};

/* One line of output outside the content. */
static void check_command(const struct run *r, str_t line)
{
    static const char *const known[] = {"EHLO me.test", "LHLO me.test", "HELO me.test",
                                        "MAIL FROM:<",  "RCPT TO:<",    "DATA",
                                        "RSET",         "QUIT",         ".",
                                        "STARTTLS",     "AUTH "};
    enum { LINE_MAX_WITH_PARAMETERS = 1000 };
    bool ok = r->logging_in; /* a response is any base64, or "*" */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        ok |= str_starts(line, str_c(known[i]));
    must(ok && line.len <= (r->logging_in ? SMTPC_AUTH_LINE : LINE_MAX_WITH_PARAMETERS));
    must(!str_starts(line, STR("AUTH ")) || r->logging_in);
    must(!str_contains(line, STR(" REQUIRETLS")) || smtpc_tls(r->c) == SMTPC_TLS_ON);
    must(!str_starts(line, STR("EHLO")) || !r->lmtp);
}

static void check_lines(const struct run *r, str_t out)
{
    str_t line;
    while (str_cut(&out, '\n', &line)) {
        must(line.len > 0 && line.ptr[line.len - 1] == '\r');
        line.len--;
        for (size_t i = 0; i < line.len; i++)
            must(line.ptr[i] != '\r' && line.ptr[i] != '\0');
        if (r->content_from == SIZE_MAX)
            check_command(r, line);
    }
    must(out.len == 0);
}

static void write_output(struct run *r)
{
    str_t out = smtpc_output(r->c);
    must(out.len > 0 && out.len <= SMTPC_OUTPUT_MAX);
    if (!r->in_chunks)
        check_lines(r, out);
    must(buf_add(&r->sent, out));
    smtpc_sent(r->c, out.len);
}

static void read_line(struct run *r)
{
    size_t lf, n = r->server.len;
    if (n == 0) {
        if (smtpc_replies(r->c) % 2 == 0)
            smtpc_eof(r->c);
        else
            smtpc_expire(r->c);
        return;
    }
    if (str_find(r->server, '\n', &lf))
        n = lf + 1;
    for (size_t i = 0; i < (r->bytewise ? n : 1); i++)
        smtpc_feed(r->c, r->bytewise ? str_of(r->server.ptr + i, 1) : str_first(r->server, n));
    r->server = str_from(r->server, n);
}

static void pump(struct run *r)
{
    for (;;) {
        must(smtpc_timeout_ms(r->c) > 0);
        switch (smtpc_want(r->c)) {
        case SMTPC_READY:
        case SMTPC_DEAD: return;
        case SMTPC_OUTPUT: write_output(r); break;
        case SMTPC_INPUT: read_line(r); break;
        }
    }
}

static void check_verdict(struct run *r, size_t i, bool completed, struct buf *outcome)
{
    struct smtpc_reply reply;
    enum rc rc = smtpc_verdict(r->c, i, &reply);
    must(rc != RC_OK || completed);
    must(reply.code == 0 || (reply.code >= 200 && reply.code <= 599));
    must(rc != RC_OK || reply.code / 100 == 2);
    must(rc != RC_PERM || reply.code == 0 || reply.code / 100 == 5);
    must(reply.text.len <= SMTPC_REPLY_TEXT && utf8_valid(reply.text));
    for (size_t k = 0; k < reply.text.len; k++)
        must((unsigned char)reply.text.ptr[k] >= 0x20 && reply.text.ptr[k] != 0x7f);
    buf_addf(outcome, "%s %d %s ", rc_name(rc), reply.code, reply.status);
    must(buf_add(outcome, reply.text));
}

/* Chunks are as long as they say, and nothing is between them. */
static void check_chunks(str_t out, str_t content)
{
    size_t seen = 0;
    while (out.len > 0) {
        str_t line;
        uint64_t n;
        must(str_starts(out, STR("BDAT ")) && str_cut(&out, '\n', &line));
        line = str_trim(str_from(line, 5));
        bool last = str_ends(line, STR(" LAST"));
        must(str_u64(last ? str_first(line, line.len - 5) : line, out.len, &n));
        must(str_eq(str_first(out, (size_t)n), str_first(str_from(content, seen), (size_t)n)));
        seen += (size_t)n;
        out = str_from(out, (size_t)n);
        must(!last || (out.len == 0 && seen == content.len));
    }
}

/* True if all chunks went out, and were not refused before the last. */
static bool send_chunks(struct run *r, str_t content, size_t cut)
{
    size_t before = r->sent.len;
    cut = cut < content.len ? cut : content.len;
    r->in_chunks = true;
    smtpc_content(r->c, str_first(content, cut));
    pump(r);
    if (smtpc_accepting(r->c))
        smtpc_content(r->c, str_from(content, cut));
    pump(r);
    if (smtpc_accepting(r->c))
        smtpc_end(r->c);
    pump(r);
    r->in_chunks = false;
    str_t out = str_from(buf_str(&r->sent), before);
    check_chunks(out, content);
    return str_ends(out, STR("BDAT 0 LAST\r\n"));
}

/* True if the content and its final dot went out. */
static bool send_content(struct run *r, str_t content, size_t cut)
{
    size_t before = r->sent.len;
    cut = cut < content.len ? cut : content.len;
    r->content_from = before;
    smtpc_content(r->c, str_first(content, cut));
    smtpc_content(r->c, str_from(content, cut));
    smtpc_end(r->c);
    if (smtpc_want(r->c) == SMTPC_OUTPUT)
        write_output(r);
    r->content_from = SIZE_MAX;
    str_t out = str_from(buf_str(&r->sent), before), inner;
    if (out.len == 0)
        return false;
    must(str_eq(out, STR(".\r\n")) || str_ends(out, STR("\r\n.\r\n")));
    inner = str_first(out, out.len - 3);
    /* it ends once */
    must(!str_starts(inner, STR(".\r\n")) && !str_contains(inner, STR("\r\n.\r\n")));
    return true;
}

static void starttls(struct run *r)
{
    if (smtpc_want(r->c) != SMTPC_READY)
        return;
    smtpc_starttls(r->c);
    pump(r);
    if (smtpc_want(r->c) != SMTPC_READY || smtpc_tls(r->c) != SMTPC_TLS_GRANTED)
        return;
    smtpc_tls_started(r->c);
    smtpc_hello(r->c);
    pump(r);
}

static void log_in(struct run *r, struct buf *outcome)
{
    static const uint8_t nonce[24];
    bool tls = smtpc_tls(r->c) == SMTPC_TLS_ON;
    const struct sasl_credentials who = {
        .name = {"me", 2}, .password = {"secret", 6}, .allow_plain = tls};
    struct arena a;
    struct err err;
    if (smtpc_want(r->c) != SMTPC_READY)
        return;
    arena_init(&a, 1 << 20);
    struct saslc *s = saslc_begin(&a, str_c(smtpc_features(r->c)->mechanisms), &who, nonce, &err);
    if (s != NULL) {
        r->logging_in = true;
        smtpc_auth(r->c, s);
        pump(r);
        r->logging_in = false;
        must(tls || !str_contains(buf_str(&r->sent), STR("c2VjcmV0")));
        buf_addf(outcome, "auth %d %s ", smtpc_authenticated(r->c), smtpc_refusal(r->c)->text);
        must(!smtpc_authenticated(r->c) || saslc_succeeded(s));
    }
    saslc_end(s);
    arena_free(&a);
}

static struct smtpc_envelope envelope(const uint8_t *data)
{
    struct smtpc_envelope e = {.reverse_path = addresses[data[1] >> 5],
                               .recipients = addresses,
                               .n = 1 + (data[1] & 7),
                               .size = data[2],
                               .body_8bit = data[0] & MODE_8BIT,
                               .smtputf8 = data[0] & MODE_UTF8,
                               .body_binary = data[0] & MODE_BINARY,
                               .requiretls = data[0] & MODE_REQUIRETLS};
    if (data[0] & MODE_ALL) {
        e.dsn = dsn;
        e.envid = contents[data[3] & 7];
        e.ret = SMTPC_RET_HDRS;
        e.by_mode = data[2] & 1 ? 'R' : 'N';
        e.by_trace = data[2] & 2;
        e.by_s = (int8_t)data[2];
        e.priority = (int8_t)(data[2] % 19 - 9);
        e.auth_null = true;
    }
    return e;
}

static void run(const uint8_t *data, size_t size, bool bytewise, struct buf *outcome)
{
    struct smtpc_config config = {.hostname = STR("me.test"), .lmtp = data[0] & MODE_LMTP};
    struct run r = {.c = smtpc_new(&config),
                    .server = str_of(data + 4, size - 4),
                    .bytewise = bytewise,
                    .lmtp = config.lmtp,
                    .content_from = SIZE_MAX};
    must(r.c != NULL);
    buf_init(&r.sent, 1 << 20);
    pump(&r);
    if (smtpc_want(r.c) == SMTPC_READY)
        smtpc_hello(r.c);
    pump(&r);
    if (data[0] & MODE_TLS)
        starttls(&r);
    if (data[0] & MODE_AUTH)
        log_in(&r, outcome);
    for (int m = 0; m < MESSAGES; m++) {
        struct smtpc_envelope e = envelope(data);
        smtpc_begin(r.c, &e);
        pump(&r);
        bool completed = false;
        if (smtpc_accepting(r.c) && e.body_binary)
            completed = send_chunks(&r, contents[data[3] & 7], data[3] >> 3);
        else if (smtpc_accepting(r.c))
            completed = send_content(&r, contents[data[3] & 7], data[3] >> 3);
        pump(&r);
        for (size_t i = 0; i < e.n; i++)
            check_verdict(&r, i, completed, outcome);
        must(smtpc_want(r.c) == SMTPC_READY || smtpc_want(r.c) == SMTPC_DEAD);
    }
    if (smtpc_want(r.c) == SMTPC_READY)
        smtpc_quit(r.c);
    pump(&r);
    buf_addf(outcome, "%s %s", smtpc_error(r.c)->status, smtpc_error(r.c)->text);
    must(buf_add(outcome, buf_str(&r.sent)));
    buf_free(&r.sent);
    smtpc_free(r.c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf by_line, by_byte;
    if (size < 4)
        return 0;
    buf_init(&by_line, 8 << 20);
    buf_init(&by_byte, 8 << 20);
    run(data, size, false, &by_line);
    run(data, size, true, &by_byte);
    must(str_eq(buf_str(&by_line), buf_str(&by_byte)));
    buf_free(&by_line);
    buf_free(&by_byte);
    return 0;
}
