/* client_command.c: MAIL and RCPT as they go over the wire, with the parameters that the peer
 * offers and the message has. See client.h. What a peer must offer was checked by client_begin.c:
 * here what it does not offer is just not said. */
#include "base/utf8.h"
#include "proto/smtp/client_internal.h"
#include "proto/smtp/xtext.h"

/* RFC 6533 3: address type utf-8 has an encoding of its own, \x{HEX} for what xtext cannot say. A
 * backslash is taken for the beginning of one, as it came in. */
static bool utf8_text_add(struct buf *out, str_t s)
{
    bool ok = true;
    while (s.len > 0 && ok) {
        uint32_t cp;
        if (!utf8_next(&s, &cp))
            return false;
        bool itself = cp > 0x20 && cp < 0x7f && cp != '+' && cp != '=';
        ok = itself ? buf_addc(out, (char)cp) : buf_addf(out, "\\x{%X}", (unsigned)cp);
    }
    return ok;
}

static void put_envid(struct smtpc *c, str_t envid)
{
    struct buf text;
    buf_init(&text, SMTPC_ENVID_MAX);
    if (envid.len > 0 && xtext_encode(&text, envid)) {
        smtpc_put(c, STR(" ENVID="));
        smtpc_put(c, buf_str(&text));
    }
    buf_free(&text);
}

static void put_orcpt(struct smtpc *c, str_t orcpt)
{
    struct buf text;
    str_t address = orcpt, type;
    if (!str_cut(&address, ';', &type))
        return;
    buf_init(&text, SMTPC_ORCPT_MAX);
    if (xtext_encode(&text, type) && buf_addc(&text, ';') &&
        (str_ieq(type, STR("utf-8")) ? utf8_text_add(&text, address)
                                     : xtext_encode(&text, address))) {
        smtpc_put(c, STR(" ORCPT="));
        smtpc_put(c, buf_str(&text));
    }
    buf_free(&text);
}

/* RFC 2852 4.1.4: the time that is left now; beyond nine digits it is as good as none. */
static void put_by(struct smtpc *c, const struct smtpc_envelope *e)
{
    enum { BY_MAX = 999999999 };
    int64_t s = e->by_s > BY_MAX ? BY_MAX : e->by_s < -BY_MAX ? -BY_MAX : e->by_s;
    smtpc_putf(c, " BY=%lld;%c%s", (long long)s, e->by_mode, e->by_trace ? "T" : "");
}

void smtpc_put_mail(struct smtpc *c)
{
    const struct smtpc_envelope *e = &c->t.envelope;
    const struct smtpc_features *f = &c->features;
    smtpc_put(c, STR("MAIL FROM:<"));
    smtpc_put(c, e->reverse_path);
    smtpc_put(c, STR(">"));
    if (f->size)
        smtpc_putf(c, " SIZE=%llu", (unsigned long long)e->size);
    if (e->body_binary)
        smtpc_put(c, STR(" BODY=BINARYMIME"));
    else if (e->body_8bit)
        smtpc_put(c, STR(" BODY=8BITMIME"));
    if (c->t.smtputf8)
        smtpc_put(c, STR(" SMTPUTF8"));
    if (f->dsn && e->ret != SMTPC_RET_NONE)
        smtpc_put(c, e->ret == SMTPC_RET_FULL ? STR(" RET=FULL") : STR(" RET=HDRS"));
    if (f->dsn)
        put_envid(c, e->envid);
    if (f->deliverby && e->by_mode != 0)
        put_by(c, e);
    /* RFC 6710 4.2: to a peer that knows it, "MUST appear"; 0 too, which by 4.1 is the priority of who
     * asked for none */
    if (f->mt_priority)
        smtpc_putf(c, " MT-PRIORITY=%d", e->priority);
    if (f->requiretls && e->requiretls && c->tls == SMTPC_TLS_ON)
        smtpc_put(c, STR(" REQUIRETLS"));
    if (f->auth && e->auth_null)
        smtpc_put(c, STR(" AUTH=<>"));
    smtpc_put(c, STR("\r\n"));
}

static void put_notify(struct smtpc *c, unsigned notify)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {{SMTPC_NOTIFY_SUCCESS, "SUCCESS"},
                 {SMTPC_NOTIFY_FAILURE, "FAILURE"},
                 {SMTPC_NOTIFY_DELAY, "DELAY"}};
    const char *before = " NOTIFY=";
    if (notify & SMTPC_NOTIFY_NEVER) { /* RFC 3461 4.1: alone */
        smtpc_put(c, STR(" NOTIFY=NEVER"));
        return;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (notify & words[i].bit) {
            smtpc_putf(c, "%s%s", before, words[i].word);
            before = ",";
        }
}

void smtpc_put_rcpt(struct smtpc *c, size_t i)
{
    const struct smtpc_envelope *e = &c->t.envelope;
    smtpc_put(c, STR("RCPT TO:<"));
    smtpc_put(c, e->recipients[i]);
    smtpc_put(c, STR(">"));
    if (c->features.dsn && e->dsn != NULL) {
        put_notify(c, e->dsn[i].notify);
        put_orcpt(c, e->dsn[i].orcpt);
    }
    smtpc_put(c, STR("\r\n"));
}
