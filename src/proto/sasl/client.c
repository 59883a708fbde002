/* client.c: see client.h. Choice of a mechanism, and the mechanisms that are one message or two;
 * SCRAM's exchange is in client_scram.c. */
#include "proto/sasl/client.h"

#include "base/codec.h"
#include "base/err.h"
#include "proto/sasl/attributes.h"
#include "proto/sasl/client_internal.h"

/* a bearer token, so that the message with it fits */
#define TOKEN_MAX (SASL_MESSAGE_MAX - 3 * SASL_NAME_MAX - 64)

enum need {
    NEEDS_BINDING = 1 << 0,
    NEEDS_PASSWORD = 1 << 1,
    NEEDS_TOKEN = 1 << 2,
    NEEDS_ENCRYPTED = 1 << 3,
    NEEDS_NAME = 1 << 4,
    NEEDS_ASKING = 1 << 5, /* nothing in the credentials tells that it would work */
};

/* The best first. A SCRAM-SHA-1 that is bound to the channel comes before a SCRAM-SHA-256 that is
 * not: who offers -PLUS must be answered with a binding (RFC 5802 6), and it is the channel that is
 * attacked, not the hash. */
static const struct choice {
    enum sasl_mech mech;
    unsigned needs;
} choices[] = {
    {SASL_SCRAM_SHA_256_PLUS, NEEDS_PASSWORD | NEEDS_BINDING},
    {SASL_SCRAM_SHA_1_PLUS, NEEDS_PASSWORD | NEEDS_BINDING},
    {SASL_SCRAM_SHA_256, NEEDS_PASSWORD},
    {SASL_SCRAM_SHA_1, NEEDS_PASSWORD},
    {SASL_PLAIN, NEEDS_PASSWORD | NEEDS_ENCRYPTED},
    {SASL_LOGIN, NEEDS_PASSWORD | NEEDS_ENCRYPTED},
    {SASL_OAUTHBEARER, NEEDS_TOKEN | NEEDS_ENCRYPTED},
    {SASL_XOAUTH2, NEEDS_TOKEN | NEEDS_ENCRYPTED | NEEDS_NAME},
    {SASL_EXTERNAL, NEEDS_ASKING},
};
enum { ANY_PLUS = 1 << SASL_SCRAM_SHA_256_PLUS | 1 << SASL_SCRAM_SHA_1_PLUS };

static unsigned offered_set(str_t offered)
{
    unsigned set = 0;
    enum sasl_mech m;
    str_t word;
    while (offered.len > 0) {
        if (!str_cut(&offered, ' ', &word)) {
            word = offered;
            offered = STR_NONE;
        }
        if (sasl_mech_find(word, &m))
            set |= 1U << m;
    }
    return set;
}

static unsigned at_hand(const struct sasl_credentials *c)
{
    return (c->binding.exporter.len > 0 || c->binding.end_point.len > 0 ? NEEDS_BINDING : 0U) |
           (c->password.len > 0 ? NEEDS_PASSWORD : 0U) | (c->token.len > 0 ? NEEDS_TOKEN : 0U) |
           (c->name.len > 0 ? NEEDS_NAME : 0U) | (c->allow_plain ? NEEDS_ENCRYPTED : 0U) |
           (c->only != NULL ? NEEDS_ASKING : 0U);
}

static bool choose(unsigned offered, const struct sasl_credentials *c, enum sasl_mech *out)
{
    unsigned have = at_hand(c);
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        *out = choices[i].mech;
        if ((offered & 1U << *out) != 0 && (choices[i].needs & ~have) == 0 &&
            (c->only == NULL || str_ieq(str_c(c->only), str_c(sasl_mech_name(*out)))))
            return true;
    }
    return false;
}

/* The error shows what the server said, which may be anything. */
static void none_fits(str_t offered, const struct sasl_credentials *c, struct err *err)
{
    char list[128];
    str_toc(offered, list, sizeof list);
    for (char *p = list; *p != '\0'; p++)
        *p = *p < ' ' || *p > '~' ? '?' : *p;
    (void)err_set(err, RC_PERM, "5.7.4", "no way to log in: the server offers \"%s\"%s%.32s%s%s",
                  list, c->only != NULL ? ", we insist on " : "", c->only != NULL ? c->only : "",
                  c->allow_plain ? "" : ", and the line is not encrypted",
                  c->password.len + c->token.len == 0 ? ", and there is no password" : "");
}

/* A name may be missing where a token or a certificate says who we are. */
static bool usable(const struct sasl_credentials *c, struct err *err)
{
    bool nameless = c->name.len == 0 && c->password.len == 0;
    if (!nameless && !sasl_name_ok(c->name))
        (void)err_set(err, RC_PERM, "5.7.8", "the login name is empty, too long or not text");
    else if (c->password.len > 0 && !sasl_password_ok(c->password))
        (void)err_set(err, RC_PERM, "5.7.8", "the password is too long or not text");
    else if (c->token.len > TOKEN_MAX || (c->token.len > 0 && !sasl_token_ok(c->token)))
        (void)err_set(err, RC_PERM, "5.7.8", "the token is too long or not a bearer token");
    else
        return true;
    return false;
}

static bool make_initial(struct saslc *c)
{
    str_t name = c->name;
    switch (c->mech) {
    case SASL_PLAIN: /* RFC 4616 2: the authzid is empty: ourselves */
        c->initial = VAULT_JOIN(&c->vault, STR("\0"), name, STR("\0"), c->password);
        break;
    case SASL_LOGIN: c->initial = STR(""); break;
    case SASL_OAUTHBEARER: /* RFC 7628 3.1 */
        name = saslname_encode(&c->vault, name);
        c->initial = VAULT_JOIN(&c->vault, STR("n,"), name.len > 0 ? STR("a=") : STR(""), name,
                                STR(",\x01"
                                    "auth=Bearer "),
                                c->token, STR("\x01\x01"));
        break;
    case SASL_XOAUTH2:
        c->initial = VAULT_JOIN(&c->vault, STR("user="), name,
                                STR("\x01"
                                    "auth=Bearer "),
                                c->token, STR("\x01\x01"));
        break;
    case SASL_EXTERNAL: c->initial = c->name; break; /* RFC 4422 A.1 */
    case SASL_SCRAM_SHA_1:
    case SASL_SCRAM_SHA_1_PLUS:
    case SASL_SCRAM_SHA_256:
    case SASL_SCRAM_SHA_256_PLUS: return saslc_scram_initial(c);
    case SASL_MECHS: return false;
    }
    return c->initial.ptr != NULL;
}

static bool fill(struct saslc *c, const struct sasl_credentials *from, bool plus_offered)
{
    c->name = vault_dup(&c->vault, from->name);
    c->password = vault_dup(&c->vault, from->password);
    c->token = vault_dup(&c->vault, from->token);
    if (c->name.ptr == NULL || c->password.ptr == NULL || c->token.ptr == NULL)
        return false;
    if (sasl_is_scram(c->mech))
        saslc_scram_bind(c, &from->binding, plus_offered);
    return make_initial(c);
}

struct saslc *saslc_begin(struct arena *a, str_t offered, const struct sasl_credentials *from,
                          const uint8_t nonce[static 24], struct err *err)
{
    unsigned set = offered_set(offered);
    enum sasl_mech mech;
    if (!usable(from, err))
        return NULL;
    if (!choose(set, from, &mech)) {
        none_fits(offered, from, err);
        return NULL;
    }
    struct saslc *c = arena_alloc(a, sizeof *c);
    if (c != NULL) {
        *c = (struct saslc){.vault = {.arena = a}, .mech = mech};
        sasl_printable_nonce(nonce, c->nonce);
        if (fill(c, from, (set & ANY_PLUS) != 0))
            return c;
        saslc_end(c);
    }
    (void)err_set(err, RC_TEMP, "4.3.0", "no memory to log in");
    return NULL;
}

const char *saslc_mech(const struct saslc *c)
{
    return sasl_mech_name(c->mech);
}

bool saslc_initial(struct saslc *c, str_t *response)
{
    *response = c->initial;
    return c->mech != SASL_LOGIN; /* not every server takes the name with the command */
}

/* The prompts' words differ from server to server; their order does not. */
static bool login_step(struct saslc *c, str_t *response)
{
    *response = c->steps == 1 ? c->name : c->password;
    return c->steps <= 2;
}

/* The error of a token refused: answered, so that the server can say no (RFC 7628 3.2.3; Google's
 * wants an empty line). */
static bool token_step(struct saslc *c, str_t *response)
{
    *response = c->mech == SASL_OAUTHBEARER ? STR("\x01") : STR("");
    return c->steps == 1;
}

static bool step(struct saslc *c, str_t challenge, str_t *response)
{
    if (challenge.len > SASL_MESSAGE_MAX)
        return false;
    if (c->steps == 0 && challenge.len == 0 && c->mech != SASL_LOGIN && !c->prompted) {
        c->prompted = true;
        *response = c->initial;
        return true;
    }
    c->steps++;
    switch (c->mech) {
    case SASL_LOGIN: return login_step(c, response);
    case SASL_OAUTHBEARER:
    case SASL_XOAUTH2: return token_step(c, response);
    case SASL_SCRAM_SHA_1:
    case SASL_SCRAM_SHA_1_PLUS:
    case SASL_SCRAM_SHA_256:
    case SASL_SCRAM_SHA_256_PLUS: return saslc_scram_step(c, challenge, response);
    case SASL_PLAIN:
    case SASL_EXTERNAL: /* everything was said */
    case SASL_MECHS: break;
    }
    return false;
}

bool saslc_step(struct saslc *c, str_t challenge, str_t *response)
{
    *response = STR("");
    bool ok = step(c, challenge, response);
    if (!ok)
        *response = STR(""); /* nobody sends by mistake what is not wanted */
    return ok;
}

bool saslc_succeeded(const struct saslc *c)
{
    return !sasl_is_scram(c->mech) || c->scram.verified;
}

void saslc_end(struct saslc *c)
{
    if (c == NULL)
        return;
    vault_wipe(&c->vault);
    digest_wipe(c, sizeof *c);
}
