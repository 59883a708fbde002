/* external.c: EXTERNAL (RFC 4422 A): the client's certificate has said who it is, or several it may
 * be. The one message names which, or is empty. The caller has the certificate. */
#include "proto/sasl/sasl_internal.h"

static enum sasl_event external_first(struct sasl *s, str_t response)
{
    s->question.authcid = s->question.authzid = STR("");
    if (response.len > 0 && !sasl_names(s, STR(""), vault_dup(&s->vault, response)))
        return SASL_MALFORMED;
    return sasl_ask(s, SASL_PROOF_CERTIFICATE);
}

const struct sasl_family sasl_external = {.prompt = {"", 0}, .first = external_first};
