/* tls_peer.h: scripted SMTP servers with real TLS, in the client's own thread: what the client
 * writes is answered at once, through OpenSSL over memory. What they heard in plaintext and what
 * under TLS is kept apart. */
#ifndef TESTS_ROLES_TLS_PEER_H
#define TESTS_ROLES_TLS_PEER_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/env.h"
#include "tls_pki.h"

enum peer_break {
    BREAK_NOTHING,
    BREAK_DOWN,     /* refuses connections */
    BREAK_GARBAGE,  /* answers the ClientHello with text */
    BREAK_CUT,      /* closes in the middle of its first flight */
    BREAK_STALL,    /* says nothing to the ClientHello */
    BREAK_MUTE_TLS, /* shakes hands, and closes at the EHLO after */
    BREAK_421_TLS,  /* shakes hands, and says 421 to the EHLO after */
    BREAK_OLD,      /* TLS 1.0 and 1.1 alone */
    BREAK_CLOSE,    /* closes at STARTTLS */
    BREAK_REPLIES,  /* 10,000 replies to STARTTLS */
    BREAK_LINES,    /* a reply of 10,000 lines to the EHLO under TLS */
    BREAK_DRIP,     /* the reply to STARTTLS never ends: a byte at a time */
};

struct tls_server {
    const char *address;
    const struct pki *cert;
    const char *ehlo, *ehlo_tls; /* replies, or NULL: the usual ones */
    const char *starttls;        /* reply; NULL: "220 go"; TLS begins where it starts with 220 */
    const char *auth_reply;      /* to AUTH's last line; NULL: 235 */
    enum peer_break breaks;
    const char *mail; /* reply to MAIL, or NULL: 250 */
    bool implicit, lmtp;
};

static struct tls_peers {
    const struct tls_server *servers;
    size_t n;
    const char *dns; /* "name A address" or "name MX pref host" a line; secure if dns_secure */
    bool dns_secure;
    int64_t now_ms;
    int live, handshakes, resumed;
    uint16_t port;            /* last connected to */
    struct buf connects;      /* addresses, each with a blank; "to<from" where a source was given */
    struct buf plain, secret; /* heard, all connections */
    SSL_CTX *ctx[8];
    const struct pki *ctx_cert[8];
} tp;

struct tls_peer {
    struct conn base;
    const struct tls_server *how;
    SSL *ssl;
    bool tls, data, closed, stalled;
    int auth; /* lines of AUTH still to come */
    int rcpts;
    uint64_t chunk;     /* bytes of a BDAT still to come */
    struct buf in, out; /* text to be read as lines; bytes for the client */
    struct buf said;    /* text to be encrypted */
};

static inline struct tls_peer *tls_peer_of(struct conn *c)
{
    return (struct tls_peer *)(void *)c;
}

/* One for each certificate, so that sessions can be resumed over connections. */
static inline SSL_CTX *tls_peer_ctx(const struct tls_server *s)
{
    size_t i = 0;
    while (i < 8 && tp.ctx[i] != NULL && tp.ctx_cert[i] != s->cert)
        i++;
    assert_in_range(i, 0, 7);
    if (tp.ctx[i] != NULL)
        return tp.ctx[i];
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(ctx, s->cert->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, s->cert->key), 1);
    if (s->breaks == BREAK_OLD) {
        SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
        SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    }
    tp.ctx[i] = ctx;
    tp.ctx_cert[i] = s->cert;
    return ctx;
}

static inline void tls_peer_start(struct tls_peer *p)
{
    p->ssl = SSL_new(tls_peer_ctx(p->how));
    SSL_set_bio(p->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(p->ssl);
    p->tls = true;
}

static inline void tls_peer_reply(struct tls_peer *p, const char *text)
{
    buf_add(p->tls ? &p->said : &p->out, str_c(text));
}

static inline void tls_peer_starttls(struct tls_peer *p)
{
    const char *reply = p->how->starttls != NULL ? p->how->starttls : "220 2.0.0 go\r\n";
    if (p->how->breaks == BREAK_CLOSE) {
        p->closed = true;
        return;
    }
    if (p->how->breaks == BREAK_DRIP) {
        p->stalled = true;
        tls_peer_reply(p, "220-");
        return;
    }
    for (int i = 0; p->how->breaks == BREAK_REPLIES && i < 10000; i++)
        tls_peer_reply(p, "220 go\r\n");
    tls_peer_reply(p, reply);
    if (str_starts(str_c(reply), STR("220")))
        tls_peer_start(p);
}

static inline void tls_peer_ehlo(struct tls_peer *p)
{
    const char *ehlo = p->how->ehlo != NULL ? p->how->ehlo : "250-x\r\n250 STARTTLS\r\n";
    const char *under = p->how->ehlo_tls != NULL ? p->how->ehlo_tls : "250 x\r\n";
    if (p->tls && p->how->breaks == BREAK_MUTE_TLS) {
        p->closed = true;
    } else if (p->tls && p->how->breaks == BREAK_421_TLS) {
        tls_peer_reply(p, "421 4.3.2 not today\r\n");
        p->closed = true;
    } else if (p->tls && p->how->breaks == BREAK_LINES) {
        for (int i = 0; i < 10000; i++)
            tls_peer_reply(p, "250-x\r\n");
    } else {
        tls_peer_reply(p, p->tls ? under : ehlo);
    }
}

static inline void tls_peer_auth(struct tls_peer *p, str_t line)
{
    if (str_istarts(line, STR("AUTH LOGIN"))) {
        p->auth = 2;
        tls_peer_reply(p, "334 VXNlcm5hbWU6\r\n");
    } else if (p->auth > 1) {
        p->auth--;
        tls_peer_reply(p, "334 UGFzc3dvcmQ6\r\n");
    } else {
        p->auth = 0;
        tls_peer_reply(p, p->how->auth_reply != NULL ? p->how->auth_reply : "235 2.7.0 ok\r\n");
    }
}

static inline void tls_peer_line(struct tls_peer *p, str_t line)
{
    if (p->data) {
        if (str_eq(line, STR("."))) {
            p->data = false;
            for (int i = 0; i < (p->how->lmtp ? p->rcpts : 1); i++)
                tls_peer_reply(p, "250 2.0.0 queued\r\n");
            p->rcpts = 0;
        }
    } else if (p->auth > 0 || str_istarts(line, STR("AUTH "))) {
        tls_peer_auth(p, line);
    } else if (str_istarts(line, p->how->lmtp ? STR("LHLO") : STR("EHLO"))) {
        tls_peer_ehlo(p);
    } else if (str_eq(line, STR("STARTTLS"))) {
        tls_peer_starttls(p);
    } else if (str_istarts(line, STR("MAIL")) && p->how->mail != NULL) {
        tls_peer_reply(p, p->how->mail);
    } else if (str_istarts(line, STR("BDAT "))) {
        str_t size = str_from(line, 5), number = size;
        (void)str_cut(&size, ' ', &number);
        assert_true(str_u64(number, 65536, &p->chunk));
        tls_peer_reply(p, "250 2.0.0 chunk\r\n");
    } else if (str_eq(line, STR("DATA"))) {
        p->data = true;
        tls_peer_reply(p, "354 go\r\n");
    } else {
        p->rcpts += str_istarts(line, STR("RCPT"));
        tls_peer_reply(p, "250 2.0.0 ok\r\n");
    }
}

static inline void tls_peer_lines(struct tls_peer *p)
{
    str_t rest = buf_str(&p->in), line;
    while (!p->closed) {
        size_t skip = p->chunk < rest.len ? (size_t)p->chunk : rest.len;
        rest = str_from(rest, skip);
        p->chunk -= skip;
        if (p->chunk > 0 || !str_cut(&rest, '\n', &line))
            break;
        line.len -= line.len > 0;
        bool before = p->tls;
        tls_peer_line(p, line);
        if (p->tls != before)
            break;
    }
    buf_consume(&p->in, p->in.len - rest.len);
}

/* What OpenSSL has to say goes out; of a flight that is to be cut, the first half. */
static inline void tls_peer_drain(struct tls_peer *p)
{
    char bytes[4096];
    int n;
    while ((n = BIO_read(SSL_get_wbio(p->ssl), bytes, sizeof bytes)) > 0) {
        if (p->how->breaks == BREAK_CUT) {
            buf_add(&p->out, str_of(bytes, (size_t)n / 2));
            p->closed = true;
            return;
        }
        buf_add(&p->out, str_of(bytes, (size_t)n));
    }
}

static inline void tls_peer_turn(struct tls_peer *p)
{
    char bytes[4096];
    size_t n;
    if (p->how->breaks == BREAK_STALL) {
        p->stalled = true;
        return;
    }
    if (p->how->breaks == BREAK_GARBAGE) {
        buf_add(&p->out, STR("250 2.0.0 what is this\r\n"));
        p->closed = true;
        return;
    }
    if (!SSL_is_init_finished(p->ssl) && SSL_do_handshake(p->ssl) == 1) {
        tp.handshakes++;
        tp.resumed += SSL_session_reused(p->ssl);
        if (p->how->implicit)
            tls_peer_reply(p, "220 x\r\n");
    }
    while (SSL_is_init_finished(p->ssl) && SSL_read_ex(p->ssl, bytes, sizeof bytes, &n) == 1) {
        buf_add(&tp.secret, str_of(bytes, n));
        buf_add(&p->in, str_of(bytes, n));
        tls_peer_lines(p);
    }
    if (p->said.len > 0 && SSL_is_init_finished(p->ssl)) {
        assert_int_equal(SSL_write_ex(p->ssl, p->said.ptr, p->said.len, &n), 1);
        buf_clear(&p->said);
    }
    tls_peer_drain(p);
}

static inline enum rc tls_peer_write(struct conn *c, str_t bytes, int64_t deadline_ms)
{
    struct tls_peer *p = tls_peer_of(c);
    (void)deadline_ms;
    if (p->closed)
        return RC_CLOSED;
    if (p->tls) {
        BIO_write(SSL_get_rbio(p->ssl), bytes.ptr, (int)bytes.len);
        tls_peer_turn(p);
        return RC_OK;
    }
    buf_add(&tp.plain, bytes);
    buf_add(&p->in, bytes);
    tls_peer_lines(p);
    return RC_OK;
}

static inline enum rc tls_peer_read(struct conn *c, void *to, size_t cap, size_t *got,
                                    int64_t deadline_ms)
{
    struct tls_peer *p = tls_peer_of(c);
    if (p->stalled && p->how->breaks == BREAK_DRIP && tp.now_ms + 30000 < deadline_ms) {
        tp.now_ms += 30000;
        buf_addc(&p->out, 'x');
    }
    *got = p->out.len < cap ? p->out.len : cap;
    if (*got == 0 && !p->closed) {
        tp.now_ms = deadline_ms;
        return RC_TEMP;
    }
    memcpy(to, *got ? p->out.ptr : "", *got);
    buf_consume(&p->out, *got);
    return RC_OK;
}

static inline void tls_peer_close(struct conn *c)
{
    struct tls_peer *p = tls_peer_of(c);
    SSL_free(p->ssl);
    buf_free(&p->in);
    buf_free(&p->out);
    buf_free(&p->said);
    free(p);
    tp.live--;
}

static inline enum rc tls_peer_connect(struct env *e, const struct netaddr *to,
                                       const struct netaddr *from, int64_t deadline_ms,
                                       struct conn **out, struct err *err)
{
    static const struct conn_ops ops = {tls_peer_read, tls_peer_write, tls_peer_close};
    char addr[NETADDR_TEXT];
    char source[NETADDR_TEXT] = "";
    (void)e, (void)deadline_ms;
    netaddr_text(to, addr);
    tp.port = to->port;
    if (from != NULL)
        netaddr_text(from, source);
    buf_addf(&tp.connects, "%s%s%s ", addr, from != NULL ? "<" : "", source);
    for (size_t i = 0; i < tp.n; i++) {
        const struct tls_server *s = &tp.servers[i];
        if (strcmp(s->address, addr) != 0 || s->breaks == BREAK_DOWN)
            continue;
        struct tls_peer *p = calloc(1, sizeof *p);
        p->base = (struct conn){.ops = &ops, .peer = *to};
        p->how = s;
        buf_init(&p->in, 1 << 20);
        buf_init(&p->out, 1 << 20);
        buf_init(&p->said, 1 << 20);
        if (s->implicit)
            tls_peer_start(p);
        else
            tls_peer_reply(p, "220 x\r\n");
        tp.live++;
        *out = &p->base;
        return RC_OK;
    }
    return err_set(err, RC_TEMP, "4.4.1", "refused");
}

static inline void tls_peer_dns(struct env *e, str_t name, enum dns_type type, int64_t deadline_ms,
                                struct arena *a, struct dns_answer *out)
{
    str_t rest = str_c(tp.dns), line, owner, kind;
    (void)e, (void)deadline_ms;
    *out = (struct dns_answer){
        .status = DNS_NODATA, .secure = tp.dns_secure, .rdata = arena_array(a, 16, sizeof(str_t))};
    while (str_cut(&rest, '\n', &line)) {
        assert_true(str_cut(&line, ' ', &owner) && str_cut(&line, ' ', &kind));
        if (!str_ieq(owner, name) || !str_eq(kind, type == DNS_MX ? STR("MX") : STR("A")) ||
            type == DNS_AAAA)
            continue;
        struct buf b;
        buf_init(&b, 600);
        struct netaddr addr;
        if (type == DNS_MX) { /* data: the host; preference by order */
            buf_u16(&b, (uint16_t)(10 + out->n));
            str_t label;
            while (str_cut(&line, '.', &label)) {
                buf_u8(&b, (uint8_t)label.len);
                buf_add(&b, label);
            }
            buf_u8(&b, (uint8_t)line.len);
            buf_add(&b, line);
            buf_u8(&b, 0);
        } else {
            assert_true(netaddr_parse(line, &addr));
            buf_add(&b, str_of(addr.bytes, 4));
        }
        out->status = DNS_OK;
        out->rdata[out->n++] = arena_dup(a, buf_str(&b));
        buf_free(&b);
    }
}

static inline int64_t tls_peer_now(struct env *e)
{
    (void)e;
    return tp.now_ms;
}

static inline void tls_peer_random(struct env *e, void *to, size_t n)
{
    static uint8_t next;
    (void)e;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)to)[i] = next++;
}

static inline void tls_peers_begin(const struct tls_server *servers, size_t n, const char *dns)
{
    tp = (struct tls_peers){.servers = servers, .n = n, .dns = dns, .now_ms = 1000};
    buf_init(&tp.connects, 1 << 16);
    buf_init(&tp.plain, 1 << 20);
    buf_init(&tp.secret, 1 << 20);
}

static inline void tls_peers_end(void)
{
    assert_int_equal(tp.live, 0); /* no connection is left open */
    buf_free(&tp.connects);
    buf_free(&tp.plain);
    buf_free(&tp.secret);
    for (size_t i = 0; i < 8; i++)
        SSL_CTX_free(tp.ctx[i]);
}

#endif
