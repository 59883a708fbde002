/* sendmail_flush.c: sends messages, those of now and those that wait. See sendmail.h. */
#include <stdio.h>
#include <sysexits.h>

#include "cli/sendmail.h"

enum {
    /* transactions for the recipients of one message: a server takes 100 at least of each */
    ROUNDS_MAX = SENDMAIL_RECIPIENTS_MAX / 100 + 1,
    MESSAGE_ARENA = 64 << 20, /* 10,000 recipients: addresses completed, replies */
};

/* ---- one message ---- */

static bool part_new(const struct sendmail_message *m, struct arena *a,
                     struct sendmail_message *out)
{
    *out = *m;
    out->rcpt = arena_array(a, m->n > 0 ? m->n : 1, sizeof *out->rcpt);
    out->cap = m->n;
    out->n = 0;
    return out->rcpt != NULL;
}

static void say_refused(struct cli *c, const char *about, str_t address,
                        const struct submit_outcome *o)
{
    char code[24] = "";
    if (o->code != 0)
        snprintf(code, sizeof code, "%d %s%s", o->code, o->status, o->status[0] != '\0' ? " " : "");
    sendmail_say("%s" STR_FMT ": refused: %s" STR_FMT, about, STR_ARG(cli_safe(c, address)), code,
                 STR_ARG(cli_safe(c, o->text)));
    arena_reset(&c->scratch);
}

/* One transaction. *more: the server had enough recipients, and may take the rest in another. */
static void round_of(struct submit *s, const struct sendmail_message *m,
                     struct submit_outcome *outcomes, struct arena *a, const char *about,
                     struct sendmail_result *r, bool *more)
{
    size_t taken = 0;
    *more = false;
    submit_message(s, m, a, outcomes);
    for (size_t i = 0; i < m->n; i++) {
        const struct submit_outcome *o = &outcomes[i];
        if (o->rc == RC_OK) {
            taken++;
        } else if (o->rc == RC_PERM) {
            if (r->refused.n == 0)
                r->why_refused = *o;
            r->refused.rcpt[r->refused.n++] = m->rcpt[i];
            say_refused(s->c, about, m->rcpt[i].address, o);
        } else {
            if (r->later.n == 0)
                r->why_later = *o;
            r->later.rcpt[r->later.n++] = m->rcpt[i];
            *more = *more || o->code == 452; /* RFC 5321 4.5.3.1.10 */
        }
    }
    r->taken += taken;
    *more = *more && taken > 0 && smtpc_want(s->smtp) == SMTPC_READY;
}

bool sendmail_send(struct submit *s, const struct sendmail_message *m, struct arena *a,
                   const char *about, struct sendmail_result *out)
{
    struct sendmail_message now = *m;
    struct submit_outcome *outcomes = arena_array(a, m->n, sizeof *outcomes);
    bool more = true;
    *out = (struct sendmail_result){0};
    if (outcomes == NULL || !part_new(m, a, &out->refused) || !part_new(m, a, &out->later))
        return false;
    for (int i = 0; more && i < ROUNDS_MAX; i++) {
        struct sendmail_message rest;
        out->later.n = 0;
        if (!part_new(&now, a, &rest))
            return false;
        round_of(s, &now, outcomes, a, about, out, &more);
        if (more) {
            memcpy(rest.rcpt, out->later.rcpt, out->later.n * sizeof *rest.rcpt);
            rest.n = out->later.n;
            now = rest;
        }
    }
    return true;
}

/* ---- what waits ---- */

/* The outcome as it is on the disk: refused recipients first, for what is still to be sent stands
 * under its old name until then. False: it could not be written; the message is as it was, and some
 * may get it twice. */
static bool write_down(struct unsent *u, struct env *env, const char *name,
                       const struct sendmail_result *r)
{
    char as[UNSENT_NAME];
    struct err err = {0};
    if (r->taken == 0 && r->refused.n == 0)
        return true;
    if (r->taken == 0 && r->later.n == 0)
        return unsent_refused(u, name);
    if (r->refused.n > 0) {
        snprintf(as, sizeof as, "%s.refused", name);
        if (unsent_keep(u, env, &r->refused, as, &err) != UNSENT_KEPT)
            return false;
    }
    if (r->later.n == 0)
        return unsent_remove(u, name);
    snprintf(as, sizeof as, "%s", name);
    return unsent_keep(u, env, &r->later, as, &err) == UNSENT_KEPT;
}

enum kept_is { KEPT_SENT, KEPT_ASIDE, KEPT_LATER, KEPT_BROKEN /* the disk */ };

static enum kept_is send_message(struct submit *s, struct unsent *u, const char *name,
                                 const struct sendmail_message *m, struct arena *a)
{
    struct sendmail_result r;
    if (!sendmail_send(s, m, a, "a message kept earlier, to ", &r))
        return KEPT_LATER;
    if (!write_down(u, &s->c->env, name, &r)) {
        sendmail_say("%s/%s was sent, but cannot be removed: it may be sent again", u->path, name);
        return KEPT_BROKEN;
    }
    if (r.refused.n > 0)
        sendmail_say("it is kept as %s/%s.refused", u->path, name);
    return r.later.n > 0 ? KEPT_LATER : r.taken > 0 ? KEPT_SENT : KEPT_ASIDE;
}

static enum kept_is send_kept(struct submit *s, struct unsent *u, const char *name)
{
    struct arena a;
    struct buf text;
    struct sendmail_message m;
    enum kept_is is = KEPT_LATER;
    arena_init(&a, MESSAGE_ARENA);
    buf_init(&text, 2 * SENDMAIL_INPUT_MAX);
    switch (unsent_read(u, name, &a, &text, &m)) {
    case UNSENT_GOT: is = send_message(s, u, name, &m, &a); break;
    case UNSENT_GONE: is = KEPT_ASIDE; break;
    case UNSENT_DAMAGED:
        sendmail_say("%s/%s is damaged and cannot be sent; it is called %s.damaged now", u->path,
                     name, name);
        is = KEPT_ASIDE;
        break;
    case UNSENT_CANNOT_READ: break;
    }
    buf_free(&text);
    arena_free(&a);
    return is;
}

int sendmail_flush(struct submit *s, struct unsent *u, size_t max, size_t *sent, size_t *left)
{
    struct arena a;
    char **names;
    size_t aside;
    *sent = 0;
    *left = 0;
    if (!unsent_lock(u))
        return EX_OK; /* somebody is at it */
    arena_init(&a, MESSAGE_ARENA);
    size_t n = unsent_list(u, &a, max + 1, &names, &aside), i = 0;
    for (; i < n && i < max && smtpc_want(s->smtp) == SMTPC_READY; i++) {
        enum kept_is is = send_kept(s, u, names[i]);
        *sent += is == KEPT_SENT;
        *left += is == KEPT_LATER;
        if (is == KEPT_BROKEN) { /* the next would go the same way */
            arena_free(&a);
            return EX_IOERR;
        }
    }
    *left += n - i;
    arena_free(&a);
    return *left > 0 ? EX_TEMPFAIL : EX_OK;
}
