/* token_introspect.c: the issuer is asked about a token (RFC 7662). See token_check.h. */
#include "base/digest.h"
#include "proto/oauth/introspection.h"
#include "roles/courier/token_impl.h"
#include "roles/token_protocol.h"

enum { FORM_MAX = 3 * STORE_BEARER_MAX + 64, AUTHORIZATION_MAX = 8192 };

/* RFC 6749 2.3.1. An id without its secret would only be refused. */
static enum rc authorization(const struct settings *set, struct buf *out, struct err *err)
{
    char secret[TOKEN_SECRET_MAX + 1];
    if (set->oauth_client_id.len == 0)
        return RC_OK;
    size_t n = token_secret(secret);
    bool good = n > 0 && introspection_basic(set->oauth_client_id, str_of(secret, n), out);
    digest_wipe(secret, sizeof secret);
    return good ? RC_OK
                : err_set(err, RC_TEMP, "", "there is no secret in oauth_client_secret_file");
}

enum rc token_by_introspection(struct token_endpoint *e, struct token_http *h, str_t token,
                               int64_t deadline_ms, struct oauth_identity *who, struct err *err)
{
    struct buf form, basic;
    str_t body;
    buf_init(&form, FORM_MAX);
    buf_init(&basic, AUTHORIZATION_MAX);
    /* from the start: growing would leave copies behind */
    bool room = buf_room(&form, FORM_MAX) != NULL && buf_room(&basic, AUTHORIZATION_MAX) != NULL &&
                introspection_request(token, &form);
    enum rc rc =
        room ? authorization(e->set, &basic, err) : err_set(err, RC_TEMP, "", "out of memory");
    if (rc == RC_OK)
        rc = token_endpoint_ask(e, h, buf_str(&form), buf_str(&basic), deadline_ms, &body, err);
    if (rc == RC_OK)
        rc = introspection_read(body, &e->rules, e->env->wall_ms(e->env) / 1000, who, err);
    digest_wipe(form.ptr, form.cap);
    digest_wipe(basic.ptr, basic.cap);
    buf_free(&form);
    buf_free(&basic);
    return rc;
}
