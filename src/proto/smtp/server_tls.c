/* server_tls.c: STARTTLS (RFC 3207). The command table has seen to it that nothing came behind the
 * command; what comes before smtps_tls_started is no TLS and ends the session (smtps_feed). */
#include "proto/smtp/server_internal.h"

enum smtps_event smtps_cmd_starttls(struct smtps *s, str_t arg)
{
    (void)arg;
    if (s->tls) { /* 4.2: a client MUST NOT; the reply is ours to choose */
        smtps_fault(s, 503, "5.5.1", "TLS is active");
        return SMTPS_IDLE;
    }
    if (!s->esmtp) { /* an extension that was not offered to HELO */
        smtps_fault(s, 503, "5.5.1", "say EHLO first");
        return SMTPS_IDLE;
    }
    smtps_say(s, 220, "2.0.0", "go ahead");
    s->shaking_hands = true;
    return SMTPS_STARTTLS;
}

void smtps_tls_started(struct smtps *s, int64_t now_ms)
{
    must(s->await == AWAIT_NOTHING && !s->t.open && !s->tls);
    s->now_ms = now_ms;
    s->shaking_hands = false;
    s->tls = true;
    smtps_forget_hello(s);
    smtps_restart_deadline(s);
}
