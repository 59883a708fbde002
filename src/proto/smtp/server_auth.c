/* server_auth.c: AUTH (RFC 4954): the exchange of base64 lines. What is in them is the owner's
 * (proto/sasl).
 *
 *     AUTH mech [response] ──▶ SMTPS_AUTH ──challenge──▶ ST_AUTH ──line──▶ SMTPS_AUTH_RESPONSE ─┐
 *                                  │                       ▲  └─ "*", bad line ▶ SMTPS_AUTH_CANCEL
 *                                  └──── 235 or failure    └────────── challenge ───────────────┘
 *
 * Nothing may be pipelined behind AUTH or a response: RFC 4954 4 would allow it behind an initial
 * response, but no client does it, and what was guessed before the answer is not to be run as
 * whoever was then authenticated.
 *
 * Memory for the exchange is taken when it begins and is wiped and freed when it ends. */
#include "proto/smtp/server_internal.h"

#include <stdlib.h>

#include "base/codec.h"

struct auth {
    str_t mech;          /* in s->mechs */
    struct buf response; /* decoded */
    bool has_response;
};

static void wipe(struct buf *b)
{
    if (b->len > 0)
        explicit_bzero(b->ptr, b->len);
    buf_clear(b);
}

void smtps_auth_free(struct smtps *s)
{
    if (s->auth == NULL)
        return;
    wipe(&s->auth->response);
    buf_free(&s->auth->response);
    free(s->auth);
    s->auth = NULL;
}

/* Lines of the exchange may be long, and so may the command with its initial response; all others
 * keep to SMTPS_COMMAND_MAX. The line so far is s->line and then `more`. */
size_t smtps_auth_line_max(const struct smtps *s, str_t more)
{
    static const char verb[] = "AUTH ";
    if (s->state == ST_AUTH)
        return SMTPS_AUTH_LINE_MAX;
    for (size_t i = 0; i < sizeof verb - 1; i++) {
        size_t at = i - s->line.len;
        if (i >= s->line.len && at >= more.len)
            return SMTPS_COMMAND_MAX;
        char c = i < s->line.len ? s->line.ptr[i] : more.ptr[at];
        if (c != verb[i] && c != ascii_lower(verb[i]))
            return SMTPS_COMMAND_MAX;
    }
    return SMTPS_AUTH_LINE_MAX;
}

/* An exchange that gave no login, whoever ended it. */
static void count_failure(struct smtps *s)
{
    if (++s->auth_failures >= SMTPS_AUTH_FAILURES_MAX && !s->closing)
        smtps_close_with(s, 421, "4.7.0", "too many failed logins", "failed logins");
}

static bool decode(struct smtps *s, str_t line)
{
    wipe(&s->auth->response);
    s->auth->has_response = true;
    return base64_decode(&s->auth->response, line);
}

static enum smtps_event ask_owner(struct smtps *s, enum smtps_event ev)
{
    s->state = ST_READY;
    s->await = AWAIT_AUTH;
    return ev;
}

/* The name as the owner wrote it, or no pointer. */
static str_t mech_find(const struct smtps *s, str_t name)
{
    str_t rest = s->mechs, word;
    while (rest.len > 0) {
        word = rest;
        if (!str_cut(&rest, ' ', &word))
            rest = STR("");
        if (word.len > 0 && str_ieq(word, name))
            return word;
    }
    return STR_NONE;
}

/* True: it may begin. Otherwise it has answered. */
static bool auth_allowed(struct smtps *s)
{
    if (s->authenticated) {
        smtps_fault(s, 503, "5.5.1", "authenticated already"); /* 4 */
    } else if (!s->esmtp) {
        smtps_fault(s, 503, "5.5.1", "say EHLO first");
    } else if (s->mechs.len == 0 && !s->tls && (s->config->offer & SMTPS_OFFER_STARTTLS)) {
        smtps_fault(s, 538, "5.7.11", "encryption is needed: say STARTTLS first"); /* 6 */
    } else if (s->mechs.len == 0) {
        (void)smtps_cmd_absent(s, STR(""));
    } else {
        return true;
    }
    return false;
}

static bool auth_begin(struct smtps *s, str_t mech)
{
    s->auth = calloc(1, sizeof *s->auth);
    if (s->auth == NULL) {
        smtps_say(s, 454, "4.3.0", "out of memory");
        return false;
    }
    s->auth->mech = mech;
    buf_init(&s->auth->response, SMTPS_AUTH_LINE_MAX);
    return true;
}

enum smtps_event smtps_cmd_auth(struct smtps *s, str_t arg)
{
    if (!auth_allowed(s))
        return SMTPS_IDLE;
    str_t rest = arg, name = arg;
    bool initial = str_cut(&rest, ' ', &name);
    if (name.len == 0) {
        smtps_fault(s, 501, "5.5.4", "AUTH needs a mechanism");
        return SMTPS_IDLE;
    }
    str_t mech = mech_find(s, name);
    if (mech.ptr == NULL) {
        smtps_fault(s, 504, "5.5.4", "mechanism not offered");
        return SMTPS_IDLE;
    }
    if (!auth_begin(s, mech))
        return SMTPS_IDLE;
    /* "=" is an empty response; none is something else (RFC 4954 4) */
    if (initial && !decode(s, str_eq(rest, STR("=")) ? STR("") : rest)) {
        smtps_auth_free(s);
        smtps_fault(s, 501, "5.5.2", "bad base64");
        count_failure(s);
        return SMTPS_IDLE;
    }
    return ask_owner(s, SMTPS_AUTH);
}

/* Over without a result. */
static enum smtps_event cancel(struct smtps *s, int code, const char *status, const char *text)
{
    s->state = ST_READY;
    smtps_fault(s, code, status, text);
    count_failure(s);
    return SMTPS_AUTH_CANCEL;
}

enum smtps_event smtps_auth_line(struct smtps *s, enum line kind, str_t line)
{
    s->flush = true;
    if (s->in.len > 0) {
        smtps_out_of_sync(s);
        return SMTPS_IDLE;
    }
    if (kind == LINE_LONG)
        return cancel(s, 500, "5.5.6", "line too long");
    if (kind == LINE_NO_CR)
        return cancel(s, 500, "5.5.2", "lines end with CR LF, not with LF alone");
    if (str_eq(line, STR("*")))
        return cancel(s, 501, "5.7.0", "cancelled");
    if (!decode(s, line))
        return cancel(s, 501, "5.5.2", "bad base64");
    return ask_owner(s, SMTPS_AUTH_RESPONSE);
}

void smtps_auth_challenge(struct smtps *s, str_t challenge)
{
    must(s->await == AWAIT_AUTH);
    s->await = AWAIT_NOTHING;
    s->state = ST_AUTH;
    s->flush = true;
    buf_add(&s->out, STR("334 ")); /* the blank stays where nothing follows: RFC 4954 4 */
    base64_encode(&s->out, challenge);
    buf_add(&s->out, STR("\r\n"));
}

void smtps_auth_answered(struct smtps *s, int code)
{
    s->authenticated |= code == 235;
    if (code >= 500)
        count_failure(s);
    else if (code >= 300 && code != 421)
        smtps_junk(s); /* a failure of ours: no guess, but not to be asked for ever */
}

str_t smtps_auth_mech(const struct smtps *s)
{
    return s->auth != NULL ? s->auth->mech : STR("");
}

str_t smtps_auth_response(const struct smtps *s)
{
    if (s->auth == NULL || !s->auth->has_response)
        return STR_NONE;
    return s->auth->response.len > 0 ? buf_str(&s->auth->response) : STR("");
}
