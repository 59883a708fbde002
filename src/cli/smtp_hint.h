/* smtp_hint.h: what can be done about a refusal, in words: what people look up in a search engine.
 * Pure. */
#ifndef CLI_SMTP_HINT_H
#define CLI_SMTP_HINT_H

#include "cli/smtp_call.h"

struct smtp_refusal {
    enum call_step step; /* CALL_OPEN: of the message or a recipient */
    int code;            /* 0: it was not the server who refused */
    str_t status, text;
    bool encrypted, logged_in, lmtp;
    bool starttls_offered, auth_offered;
    bool verified; /* the certificate was to be */
};

/* What the refusal means, as a sentence; empty if the words of the server say it all. */
str_t smtp_hint_meaning(const struct smtp_refusal *r);
/* What to do about it, with the options of `postrider send`; NULL: nothing is known. */
const char *smtp_hint(const struct smtp_refusal *r);

#endif
