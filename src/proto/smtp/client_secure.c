/* client_secure.c: STARTTLS and AUTH of the client engine. See client.h.
 *
 * Between the 220 to STARTTLS and smtpc_tls_started nothing may come: a byte behind the 220 was put
 * there by somebody in between, to be taken for the server's words under TLS (RFC 3207 6, and the
 * command injection of 2011 seen from the other side). smtpc_feed looks after that. */
#include "proto/smtp/client_internal.h"

#include "base/codec.h"
#include "proto/sasl/client.h"

/* The peer said no; what it said is kept. */
static void refused(struct smtpc *c, const char *command)
{
    const struct smtpc_reader *r = &c->reader;
    (void)err_set(&c->refusal, r->code / 100 == 5 ? RC_PERM : RC_TEMP, r->status,
                  "%s: %d %s%s" STR_FMT, command, r->code, r->status,
                  r->status[0] != '\0' ? " " : "", STR_ARG(smtpc_reader_text(r)));
}

const struct err *smtpc_refusal(const struct smtpc *c)
{
    return &c->refusal;
}

/* ---- STARTTLS ---- */

void smtpc_starttls(struct smtpc *c)
{
    if (c->dead)
        return;
    must(smtpc_want(c) == SMTPC_READY && !c->t.content && c->tls < SMTPC_TLS_GRANTED);
    smtpc_put(c, STR("STARTTLS\r\n"));
    c->await = AWAIT_STARTTLS;
}

enum smtpc_tls smtpc_tls(const struct smtpc *c)
{
    return c->tls;
}

void smtpc_starttls_reply(struct smtpc *c, int code)
{
    c->await = AWAIT_NONE;
    if (code == 220) {
        c->tls = SMTPC_TLS_GRANTED;
        c->features = (struct smtpc_features){0};
    } else if (code / 100 == 2 || code / 100 == 3) {
        smtpc_fail(c, RC_TEMP, "4.5.0", "unexpected reply %d to STARTTLS", code);
    } else {
        c->tls = SMTPC_TLS_REFUSED;
        refused(c, "STARTTLS");
    }
}

void smtpc_tls_started(struct smtpc *c)
{
    if (c->dead)
        return;
    must(c->tls == SMTPC_TLS_GRANTED || c->await == AWAIT_GREETING);
    /* RFC 3207 4.2: nothing said before counts */
    c->tls = SMTPC_TLS_ON;
    c->features = (struct smtpc_features){0};
    c->peer_name[0] = '\0';
    smtpc_reader_init(&c->reader);
}

/* ---- AUTH ---- */

/* A response in base64. False: too long; nothing was put. */
static bool put_response(struct smtpc *c, str_t response)
{
    struct buf line;
    buf_init(&line, SMTPC_AUTH_LINE - 2);
    bool ok = base64_encode(&line, response);
    if (ok)
        smtpc_put(c, buf_str(&line));
    if (line.ptr != NULL)
        explicit_bzero(line.ptr, line.cap);
    buf_free(&line);
    return ok;
}

/* RFC 4954 4: an empty one is "="; one that would make the line too long is asked for by an empty
 * challenge. */
static void put_initial(struct smtpc *c, const char *mech, str_t response)
{
    enum { COMMAND_MAX = 512 - 2, WORDS = 6 /* "AUTH" and two blanks */ };
    if (WORDS + strlen(mech) + (response.len + 2) / 3 * 4 > COMMAND_MAX)
        return;
    smtpc_put(c, STR(" "));
    if (response.len == 0)
        smtpc_put(c, STR("="));
    else if (!put_response(c, response))
        smtpc_fail(c, RC_TEMP, "4.3.0", "out of memory for output");
}

void smtpc_auth(struct smtpc *c, struct saslc *s)
{
    str_t response;
    if (c->dead)
        return;
    must(smtpc_want(c) == SMTPC_READY && !c->t.content && c->tls != SMTPC_TLS_GRANTED);
    memset(&c->auth, 0, sizeof c->auth);
    c->auth.sasl = s;
    smtpc_putf(c, "AUTH %s", saslc_mech(s));
    if (saslc_initial(s, &response))
        put_initial(c, saslc_mech(s), response);
    smtpc_put(c, STR("\r\n"));
    c->await = AWAIT_AUTH;
}

bool smtpc_authenticated(const struct smtpc *c)
{
    return c->auth.done;
}

/* The answer to a challenge. False: there is none, cancel. */
static bool answer(struct smtpc *c)
{
    struct buf challenge;
    str_t response;
    bool ok;
    if (++c->auth.steps > SMTPC_AUTH_STEPS)
        return false;
    buf_init(&challenge, SMTPC_CHALLENGE_LINE);
    /* a line that was cut, or that is not base64, does not decode */
    ok = base64_decode(&challenge, smtpc_reader_text(&c->reader)) &&
         saslc_step(c->auth.sasl, buf_str(&challenge), &response) && put_response(c, response);
    buf_free(&challenge);
    return ok;
}

void smtpc_auth_reply(struct smtpc *c, int code)
{
    if (code == 334 && !c->auth.cancelled) {
        if (!answer(c)) {
            c->auth.cancelled = true;
            smtpc_put(c, STR("*"));
        }
        smtpc_put(c, STR("\r\n"));
        return;
    }
    struct saslc *s = c->auth.sasl;
    c->auth.sasl = NULL;
    c->await = AWAIT_NONE;
    if (code / 100 == 3) {
        smtpc_fail(c, RC_TEMP, "4.5.0", "unexpected reply %d to AUTH", code);
    } else if (code / 100 != 2) {
        refused(c, "AUTH");
        if (c->auth.cancelled)
            (void)err_set(&c->refusal, RC_TEMP, "4.7.8",
                          "AUTH %s: the server's challenge was not right, or not its own",
                          saslc_mech(s));
    } else if (c->auth.cancelled || !saslc_succeeded(s)) {
        smtpc_fail(c, RC_TEMP, "4.7.8",
                   "AUTH %s: the server said yes without proving that it knows the password",
                   saslc_mech(s));
    } else {
        c->auth.done = true;
    }
}
