/* smtp_harness.h: drives the SMTP server engine as a role does, with a scripted handler, and checks
 * on the way what must hold for any input: events in their order, exactly one END or ABORT for each
 * accepted MAIL, content that is whole clean lines.
 *
 * The handler goes by local parts:
 *     sender     refused 550, later 451, nodata (DATA 451), full (END 452); else 250
 *     recipient  unknown 550, later 451, bye 421; overquota (LMTP END 452); else 250
 * AUTH by mechanism and decoded responses:
 *     ONE    one response, asked for if it was not given: "ok" 235, "later" 454, else 535
 *     TWO    first "user", then the challenge "more", then as ONE
 *     BLANK  an empty challenge after any response, then as ONE
 * ETRN: "refused" 459, else 250. VRFY and EXPN: "unknown" 550, else 250.
 * XCLIENT: NAME=refused 550, else 220. */
#ifndef TESTS_PROTO_SMTP_HARNESS_H
#define TESTS_PROTO_SMTP_HARNESS_H

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "proto/smtp/server.h"

#define HARNESS_WALL_MS INT64_C(1767225600000)

struct harness {
    struct smtps *s;
    int64_t now_ms;
    struct buf said;   /* all output */
    struct buf stored; /* "M: <from> <to> …\n" and the content, for each message taken */
    struct buf content;
    bool open; /* MAIL accepted, no END or ABORT yet */
    bool in_data;
    bool need_auth;  /* as in the config: no MAIL before */
    bool auth;       /* an exchange is under way */
    bool tls_wanted; /* STARTTLS was said: harness_tls, or nothing more works */
    int auth_step;
    int aborts, hellos, ends, mails, auths, cancels, xclients;
    char sender[600], rcpts[8192], rcpt_local[1000];
    size_t nrcpt;
};

static inline void harness_open(struct harness *h, const struct smtps_config *c)
{
    memset(h, 0, sizeof *h);
    h->now_ms = 1000;
    buf_init(&h->said, 1 << 24);
    buf_init(&h->stored, 1 << 24);
    buf_init(&h->content, 1 << 24);
    h->s = smtps_new(c, h->now_ms);
    must(h->s != NULL);
    h->need_auth = c->auth_needed;
    smtps_set_mechs(h->s, STR("ONE TWO BLANK"));
    smtps_allow_xclient(h->s);
    smtps_set_wall_clock(h->s, HARNESS_WALL_MS - h->now_ms); /* 2026-01-01T00:00:00Z */
}

static inline void harness_close(struct harness *h)
{
    smtps_free(h->s);
    buf_free(&h->said);
    buf_free(&h->stored);
    buf_free(&h->content);
}

static inline bool local_is(const struct smtp_path *p, const char *name)
{
    return str_eq(p->local, str_c(name));
}

/* What was asked for, so that transcripts can say that it was understood: " RET=HDRS ENVID=…". */
static inline void harness_note_mail(struct harness *h)
{
    const struct smtps_mail_params *p = smtps_mail_params(h->s);
    struct buf b;
    buf_init(&b, sizeof h->sender - 1);
    buf_add(&b, str_c(h->sender));
    buf_add(&b, STR(">"));
    if (p->body_binary)
        buf_add(&b, STR(" binary"));
    if (p->requiretls)
        buf_add(&b, STR(" requiretls"));
    if (p->ret != SMTPS_RET_ANY)
        buf_addf(&b, " ret=%s", p->ret == SMTPS_RET_FULL ? "full" : "hdrs");
    if (p->envid.len > 0)
        buf_addf(&b, " envid=" STR_FMT, STR_ARG(p->envid));
    if (p->by_mode != 0)
        buf_addf(&b, " by=%lld%c%s", (long long)p->by_s, p->by_mode, p->by_trace ? "T" : "");
    if (p->hold_for_s != 0)
        buf_addf(&b, " holdfor=%lld", (long long)p->hold_for_s);
    if (p->hold_until_ms != 0)
        buf_addf(&b, " holduntil=%lld", (long long)p->hold_until_ms);
    if (p->has_priority)
        buf_addf(&b, " priority=%d", p->priority);
    if (p->auth.ptr != NULL)
        buf_addf(&b, " auth=" STR_FMT, STR_ARG(p->auth));
    str_toc(buf_str(&b), h->sender, sizeof h->sender);
    buf_free(&b);
}

static inline void harness_note_rcpt(struct harness *h)
{
    const struct smtps_rcpt_params *p = smtps_rcpt_params(h->s);
    size_t len = strlen(h->rcpts);
    snprintf(h->rcpts + len, sizeof h->rcpts - len, "%s%s%s%s%s" STR_FMT, p->never ? " never" : "",
             p->success ? " success" : "", p->failure ? " failure" : "", p->delay ? " delay" : "",
             p->orcpt.len > 0 ? " orcpt=" : "", STR_ARG(p->orcpt));
}

static inline void harness_mail(struct harness *h)
{
    const struct smtp_path *p = smtps_sender(h->s);
    str_t text = smtp_path_text(p, smtps_transaction_arena(h->s));
    must(!h->open && !h->auth);
    must(!h->need_auth || smtps_authenticated(h->s));
    h->mails++;
    str_toc(text, h->sender, sizeof h->sender);
    harness_note_mail(h);
    h->rcpts[0] = h->rcpt_local[0] = '\0';
    h->nrcpt = 0;
    buf_clear(&h->content);
    if (local_is(p, "refused")) {
        smtps_reply(h->s, 550, "5.7.1", "sender refused");
    } else if (local_is(p, "later")) {
        smtps_reply(h->s, 451, "4.7.1", "sender later");
    } else {
        h->open = true;
        smtps_reply(h->s, 250, "2.1.0", "sender ok");
    }
}

static inline void harness_rcpt(struct harness *h)
{
    const struct smtp_path *p = smtps_recipient(h->s);
    must(h->open && !h->in_data);
    if (local_is(p, "unknown")) {
        smtps_reply(h->s, 550, "5.1.1", "no such user");
    } else if (local_is(p, "later")) {
        smtps_reply(h->s, 451, "4.2.1", "recipient later");
    } else if (local_is(p, "bye")) {
        smtps_reply(h->s, 421, "4.3.0", "going away");
    } else {
        char text[400];
        str_toc(smtp_path_text(p, smtps_transaction_arena(h->s)), text, sizeof text);
        size_t len = strlen(h->rcpts);
        snprintf(h->rcpts + len, sizeof h->rcpts - len, " <%.300s>", text);
        if (h->nrcpt < sizeof h->rcpt_local)
            h->rcpt_local[h->nrcpt] = local_is(p, "overquota") ? 'q' : '.';
        harness_note_rcpt(h);
        h->nrcpt++;
        smtps_reply(h->s, 250, "2.1.5", "recipient ok");
        must(smtps_recipients(h->s) == h->nrcpt);
    }
}

static inline void harness_store(struct harness *h)
{
    buf_addf(&h->stored, "M: <%s%s\n", h->sender, h->rcpts); /* the note closed the sender */
    buf_add(&h->stored, buf_str(&h->content));
}

/* What every complete content must be: whole lines that end with CRLF, no other CR or LF, no
 * NUL. */
static inline void harness_check_content(str_t c)
{
    must(c.len == 0 || memchr(c.ptr, '\0', c.len) == NULL);
    must(c.len == 0 || str_ends(c, STR("\r\n")));
    for (size_t i = 0; i < c.len; i++) {
        if (c.ptr[i] == '\r')
            must(i + 1 < c.len && c.ptr[i + 1] == '\n');
        if (c.ptr[i] == '\n')
            must(i > 0 && c.ptr[i - 1] == '\r');
    }
}

static inline void harness_end(struct harness *h, bool lmtp)
{
    must(h->open && h->in_data && h->nrcpt > 0 && smtps_recipients(h->s) == h->nrcpt);
    h->open = h->in_data = false;
    h->ends++;
    if (!smtps_mail_params(h->s)->body_binary)
        harness_check_content(buf_str(&h->content));
    if (strncmp(h->sender, "full@", 5) == 0) {
        for (size_t n = lmtp ? h->nrcpt : 1; n > 0; n--)
            smtps_reply(h->s, 452, "4.3.1", "no space");
        return;
    }
    harness_store(h);
    for (size_t i = 0; i < (lmtp ? h->nrcpt : 1); i++) {
        if (lmtp && i < sizeof h->rcpt_local && h->rcpt_local[i] == 'q')
            smtps_reply(h->s, 452, "4.2.2", "mailbox full");
        else
            smtps_reply(h->s, 250, "2.0.0", "queued");
    }
}

static inline void harness_auth_result(struct harness *h, str_t response)
{
    h->auth = false;
    if (str_eq(response, STR("ok")))
        smtps_reply(h->s, 235, "2.7.0", "welcome");
    else if (str_eq(response, STR("later")))
        smtps_reply(h->s, 454, "4.7.0", "login later");
    else
        smtps_reply(h->s, 535, "5.7.8", "login refused");
}

static inline void harness_auth(struct harness *h, bool first)
{
    str_t mech = smtps_auth_mech(h->s), response = smtps_auth_response(h->s);
    must(h->auth != first && !h->open && !smtps_authenticated(h->s));
    if (first) {
        h->auth = true;
        h->auth_step = 0;
        h->auths++;
    }
    must(first || response.ptr != NULL);
    if (response.ptr == NULL) { /* no initial response: an empty challenge asks for it */
        smtps_auth_challenge(h->s, STR(""));
        return;
    }
    int step = h->auth_step++;
    if (step == 0 && str_eq(mech, STR("TWO")) && str_eq(response, STR("user")))
        smtps_auth_challenge(h->s, STR("more"));
    else if (step == 0 && str_eq(mech, STR("BLANK")))
        smtps_auth_challenge(h->s, STR(""));
    else
        harness_auth_result(h, response);
}

static inline void harness_xclient(struct harness *h)
{
    const struct smtps_xclient *x = smtps_xclient(h->s);
    must(!h->open && !h->auth);
    h->xclients++;
    if (str_eq(x->name, STR("refused"))) {
        smtps_reply(h->s, 550, "5.7.1", "refused");
        return;
    }
    smtps_reply(h->s, 220, "2.0.0", "go on");
    must(!smtps_authenticated(h->s) && smtps_helo_name(h->s).len == 0);
}

static inline void harness_vrfy(struct harness *h)
{
    must(smtps_argument(h->s).len > 0);
    if (str_eq(smtps_argument(h->s), STR("unknown")))
        smtps_reply(h->s, 550, "5.1.1", "no such user");
    else
        smtps_reply(h->s, 250, "2.1.5", "%s " STR_FMT, smtps_is_expn(h->s) ? "list" : "user",
                    STR_ARG(smtps_argument(h->s)));
}

/* The handshake that follows STARTTLS. */
static inline void harness_tls(struct harness *h)
{
    must(h->tls_wanted && smtps_output(h->s).len == 0);
    h->tls_wanted = false;
    smtps_tls_started(h->s, h->now_ms);
    must(smtps_tls(h->s) && !smtps_authenticated(h->s) && smtps_helo_name(h->s).len == 0);
}

/* One run of the engine until it wants input or output. */
static inline enum smtps_event harness_pump(struct harness *h, bool lmtp)
{
    for (;;) {
        enum smtps_event ev = smtps_next(h->s);
        switch (ev) {
        case SMTPS_IDLE:
        case SMTPS_FLUSH:
        case SMTPS_CLOSE: return ev;
        case SMTPS_HELO:
            must(smtps_helo_name(h->s).len > 0);
            h->hellos++;
            break;
        case SMTPS_MAIL: harness_mail(h); break;
        case SMTPS_RCPT: harness_rcpt(h); break;
        case SMTPS_DATA:
            must(h->open && h->nrcpt > 0 && !h->in_data);
            h->in_data = true;
            if (strncmp(h->sender, "nodata@", 7) == 0)
                smtps_reply(h->s, 451, "4.3.0", "no data now");
            else
                smtps_reply(h->s, 354, "", "go on");
            break;
        case SMTPS_CONTENT:
            must(h->open && h->in_data && smtps_content(h->s).len > 0);
            buf_add(&h->content, smtps_content(h->s));
            break;
        case SMTPS_END: harness_end(h, lmtp); break;
        case SMTPS_ABORT:
            must(h->open && smtps_why(h->s) != NULL);
            h->open = h->in_data = false;
            h->aborts++;
            break;
        case SMTPS_STARTTLS:
            must(!h->open && !smtps_tls(h->s) && smtps_rest(h->s).len == 0);
            h->tls_wanted = true;
            return ev;
        case SMTPS_AUTH: harness_auth(h, true); break;
        case SMTPS_AUTH_RESPONSE: harness_auth(h, false); break;
        case SMTPS_AUTH_CANCEL:
            must(h->auth);
            h->auth = false;
            h->cancels++;
            break;
        case SMTPS_ETRN:
            must(!h->open && smtps_argument(h->s).len > 0);
            if (str_eq(smtps_argument(h->s), STR("refused")))
                smtps_reply(h->s, 459, "4.7.1", "not for you");
            else
                smtps_reply(h->s, 250, "2.0.0", "queue started");
            break;
        case SMTPS_XCLIENT: harness_xclient(h); break;
        case SMTPS_VRFY: harness_vrfy(h); break;
        }
    }
}

static inline void harness_flush(struct harness *h)
{
    str_t out = smtps_output(h->s);
    buf_add(&h->said, out);
    smtps_sent(h->s, out.len);
}

static inline void harness_feed(struct harness *h, const struct smtps_config *c, str_t bytes)
{
    harness_flush(h);
    do {
        smtps_feed(h->s, bytes, h->now_ms);
        enum smtps_event ev = harness_pump(h, c->lmtp);
        bytes = smtps_rest(h->s);
        must(ev == SMTPS_FLUSH ? smtps_output(h->s).len > 0 : bytes.len == 0);
        harness_flush(h);
    } while (bytes.len > 0);
}

#endif
