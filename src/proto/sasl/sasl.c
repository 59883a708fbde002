/* sasl.c: names of mechanisms, and the frame every exchange runs in. What a mechanism says is in
 * its family's file: plain.c, scram.c, oauth.c, external.c. The frame checks sizes and order, so
 * that a family sees its messages one after the other and can keep to the grammar. */
#include "proto/sasl/sasl_internal.h"

#include "base/codec.h"
#include "base/err.h"
#include "base/utf8.h"

static const struct {
    str_t name;
    const struct sasl_family *family;
} mechs[] = {
    [SASL_PLAIN] = {{"PLAIN", 5}, &sasl_plain},
    [SASL_LOGIN] = {{"LOGIN", 5}, &sasl_login},
    [SASL_SCRAM_SHA_1] = {{"SCRAM-SHA-1", 11}, &sasl_scram},
    [SASL_SCRAM_SHA_1_PLUS] = {{"SCRAM-SHA-1-PLUS", 16}, &sasl_scram},
    [SASL_SCRAM_SHA_256] = {{"SCRAM-SHA-256", 13}, &sasl_scram},
    [SASL_SCRAM_SHA_256_PLUS] = {{"SCRAM-SHA-256-PLUS", 18}, &sasl_scram},
    [SASL_OAUTHBEARER] = {{"OAUTHBEARER", 11}, &sasl_oauthbearer},
    [SASL_XOAUTH2] = {{"XOAUTH2", 7}, &sasl_xoauth2},
    [SASL_EXTERNAL] = {{"EXTERNAL", 8}, &sasl_external},
};

/* Bound to the channel, then those that show no secret, then tokens, then passwords. Each mechanism
 * is here once. */
static const enum sasl_mech strongest[] = {
    SASL_SCRAM_SHA_256_PLUS,
    SASL_SCRAM_SHA_1_PLUS,
    SASL_SCRAM_SHA_256,
    SASL_SCRAM_SHA_1,
    SASL_EXTERNAL,
    SASL_OAUTHBEARER,
    SASL_XOAUTH2,
    SASL_PLAIN,
    SASL_LOGIN,
};
_Static_assert(sizeof strongest / sizeof *strongest == SASL_MECHS, "a place for each");
_Static_assert(sizeof mechs / sizeof *mechs == SASL_MECHS, "a family for each");

const char *sasl_mech_name(enum sasl_mech m)
{
    must(m < SASL_MECHS);
    return mechs[m].name.ptr;
}

bool sasl_mech_find(str_t name, enum sasl_mech *out)
{
    for (unsigned m = 0; m < SASL_MECHS; m++) {
        if (str_ieq(name, mechs[m].name)) {
            *out = (enum sasl_mech)m;
            return true;
        }
    }
    return false;
}

str_t sasl_mech_list(unsigned set, struct arena *a)
{
    char list[160]; /* all of them take 112 */
    size_t len = 0;
    for (size_t i = 0; i < SASL_MECHS; i++) {
        str_t name = mechs[strongest[i]].name;
        if ((set & 1U << strongest[i]) == 0)
            continue;
        must(len + 1 + name.len <= sizeof list);
        if (len > 0)
            list[len++] = ' ';
        memcpy(list + len, name.ptr, name.len);
        len += name.len;
    }
    return arena_dup(a, str_of(list, len));
}

/* RFC 4013 2.3: no control characters. Of ASCII that is all that SASLprep does. */
static bool prepared(str_t s, size_t max)
{
    if (s.len == 0 || s.len > max)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if ((uint8_t)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    }
    return utf8_valid(s);
}

bool sasl_name_ok(str_t name)
{
    return prepared(name, SASL_NAME_MAX);
}

bool sasl_password_ok(str_t password)
{
    return prepared(password, SASL_PASSWORD_MAX);
}

void sasl_printable_nonce(const uint8_t nonce[static SASL_NONCE_BYTES],
                          char out[static SASL_NONCE_CHARS + 1])
{
    struct buf b = {.ptr = out, .cap = SASL_NONCE_CHARS, .max = SASL_NONCE_CHARS};
    must(base64_encode(&b, str_of(nonce, SASL_NONCE_BYTES)));
    out[SASL_NONCE_CHARS] = '\0';
}

bool sasl_is_plus(enum sasl_mech m)
{
    switch (m) {
    case SASL_SCRAM_SHA_1_PLUS:
    case SASL_SCRAM_SHA_256_PLUS: return true;
    case SASL_PLAIN:
    case SASL_LOGIN:
    case SASL_SCRAM_SHA_1:
    case SASL_SCRAM_SHA_256:
    case SASL_OAUTHBEARER:
    case SASL_XOAUTH2:
    case SASL_EXTERNAL:
    case SASL_MECHS: break;
    }
    return false;
}

bool sasl_is_scram(enum sasl_mech m)
{
    return mechs[m].family == &sasl_scram;
}

enum digest sasl_digest(enum sasl_mech m)
{
    switch (m) {
    case SASL_SCRAM_SHA_1:
    case SASL_SCRAM_SHA_1_PLUS: return DIGEST_SHA1;
    case SASL_SCRAM_SHA_256:
    case SASL_SCRAM_SHA_256_PLUS: return DIGEST_SHA256;
    case SASL_PLAIN:
    case SASL_LOGIN:
    case SASL_OAUTHBEARER:
    case SASL_XOAUTH2:
    case SASL_EXTERNAL:
    case SASL_MECHS: break;
    }
    must_failed("a mechanism with a digest", __FILE__, __LINE__);
}

struct sasl *sasl_begin(struct arena *a, enum sasl_mech mech, const struct sasl_binding *binding,
                        const uint8_t nonce[static 24], bool plus_offered)
{
    must(mech < SASL_MECHS);
    struct sasl *s = arena_alloc(a, sizeof *s);
    if (s == NULL)
        return NULL;
    *s = (struct sasl){.vault = {.arena = a}, .mech = mech, .plus_offered = plus_offered};
    if (binding != NULL)
        s->binding = *binding;
    sasl_printable_nonce(nonce, s->nonce);
    s->challenge = STR("");
    return s;
}

static enum sasl_event over(struct sasl *s, enum sasl_event ev)
{
    if (ev == SASL_DONE || ev == SASL_FAILED || ev == SASL_MALFORMED)
        s->state = SASL_ST_END;
    return ev;
}

static enum sasl_event prompt(struct sasl *s)
{
    s->asked = true;
    return sasl_say(s, mechs[s->mech].family->prompt, SASL_ST_START);
}

enum sasl_event sasl_step(struct sasl *s, str_t response)
{
    const struct sasl_family *f = mechs[s->mech].family;
    if (response.len > SASL_MESSAGE_MAX)
        return over(s, SASL_MALFORMED);
    switch (s->state) {
    case SASL_ST_START:
        if (response.ptr == NULL && !s->asked)
            return prompt(s);
        return over(s, f->first(s, response));
    case SASL_ST_SECOND: return over(s, f->second(s, response));
    case SASL_ST_LAST: return over(s, f->last(s, response));
    case SASL_ST_SALT:
    case SASL_ST_CHECK: must_failed("the question is answered first", __FILE__, __LINE__);
    case SASL_ST_END: break;
    }
    return SASL_MALFORMED;
}

enum sasl_event sasl_checked(struct sasl *s, bool ok, str_t signature)
{
    must(s->state == SASL_ST_CHECK);
    const struct sasl_family *f = mechs[s->mech].family;
    if (f->checked != NULL)
        return over(s, f->checked(s, ok, signature));
    return over(s, ok ? SASL_DONE : SASL_FAILED);
}

str_t sasl_challenge(const struct sasl *s)
{
    return s->challenge;
}

const struct sasl_question *sasl_question(const struct sasl *s)
{
    return &s->question;
}

void sasl_end(struct sasl *s)
{
    if (s == NULL)
        return;
    vault_wipe(&s->vault);
    digest_wipe(s, sizeof *s);
}

bool sasl_names(struct sasl *s, str_t authzid, str_t authcid)
{
    if (!sasl_name_ok(authcid) || (authzid.len > 0 && !sasl_name_ok(authzid)))
        return false;
    s->question.authcid = authcid;
    s->question.authzid = str_eq(authzid, authcid) ? STR("") : authzid;
    return true;
}

enum sasl_event sasl_ask(struct sasl *s, enum sasl_proof proof)
{
    s->question.proof = proof;
    s->state = SASL_ST_CHECK;
    return SASL_CHECK;
}

enum sasl_event sasl_say(struct sasl *s, str_t challenge, enum sasl_state next)
{
    s->challenge = challenge;
    s->state = next;
    return challenge.ptr != NULL ? SASL_CHALLENGE : SASL_MALFORMED; /* NULL: the arena is full */
}
