/* smtp_harness.h: drives the SMTP server engine as a role does, with a scripted handler, and checks
 * on the way what must hold for any input: events in their order, exactly one END or ABORT for each
 * accepted MAIL, content that is whole clean lines.
 *
 * The handler goes by local parts:
 *     sender     refused 550, later 451, nodata (DATA 451), full (END 452); else 250
 *     recipient  unknown 550, later 451, bye 421; overquota (LMTP END 452); else 250 */
#ifndef TESTS_PROTO_SMTP_HARNESS_H
#define TESTS_PROTO_SMTP_HARNESS_H

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "proto/smtp/server.h"

struct harness {
    struct smtps *s;
    int64_t now_ms;
    struct buf said;   /* all output */
    struct buf stored; /* "M: <from> <to> …\n" and the content, for each message taken */
    struct buf content;
    bool open; /* MAIL accepted, no END or ABORT yet */
    bool in_data;
    int aborts, hellos, ends, mails;
    char sender[400], rcpts[4096], rcpt_local[1000];
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

static inline void harness_mail(struct harness *h)
{
    const struct smtp_path *p = smtps_sender(h->s);
    str_t text = smtp_path_text(p, smtps_transaction_arena(h->s));
    must(!h->open);
    h->mails++;
    str_toc(text, h->sender, sizeof h->sender);
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
        h->nrcpt++;
        smtps_reply(h->s, 250, "2.1.5", "recipient ok");
        must(smtps_recipients(h->s) == h->nrcpt);
    }
}

static inline void harness_store(struct harness *h)
{
    buf_addf(&h->stored, "M: <%s>%s\n", h->sender, h->rcpts);
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
