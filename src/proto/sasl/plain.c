/* plain.c: PLAIN (RFC 4616) and LOGIN, which no RFC defines: two prompts that everybody words the
 * same, the name and the password as answers; a name may come as initial response. */
#include "proto/sasl/sasl_internal.h"

static enum sasl_event plain_first(struct sasl *s, str_t response);
static enum sasl_event login_first(struct sasl *s, str_t response);
static enum sasl_event login_second(struct sasl *s, str_t response);

const struct sasl_family sasl_plain = {.prompt = {"", 0}, .first = plain_first};
const struct sasl_family sasl_login = {
    .prompt = {"Username:", 9}, .first = login_first, .second = login_second};

static enum sasl_event ask_password(struct sasl *s, str_t password)
{
    if (!sasl_password_ok(password)) /* RFC 4616 2: verification shall fail */
        return SASL_MALFORMED;
    s->question.password = password;
    return sasl_ask(s, SASL_PROOF_PASSWORD);
}

/* RFC 4616 2: message = [authzid] UTF8NUL authcid UTF8NUL passwd. A third NUL is in the password,
 * where it may not be. */
static enum sasl_event plain_first(struct sasl *s, str_t response)
{
    str_t rest = vault_dup(&s->vault, response), authzid, authcid;
    if (!str_cut(&rest, '\0', &authzid) || !str_cut(&rest, '\0', &authcid) ||
        !sasl_names(s, authzid, authcid))
        return SASL_MALFORMED;
    return ask_password(s, rest);
}

static enum sasl_event login_first(struct sasl *s, str_t response)
{
    if (!sasl_names(s, STR(""), vault_dup(&s->vault, response)))
        return SASL_MALFORMED;
    return sasl_say(s, STR("Password:"), SASL_ST_SECOND);
}

static enum sasl_event login_second(struct sasl *s, str_t response)
{
    return ask_password(s, vault_dup(&s->vault, response));
}
