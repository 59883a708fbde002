/* smtp_hint.c: see smtp_hint.h. Servers say the same in many words, so code and status count first;
 * words only where servers have nothing better. */
#include "cli/smtp_hint.h"

#include "mail/dsn.h"

static bool says(const struct smtp_refusal *r, const char *what)
{
    str_t word = str_c(what);
    for (size_t i = 0; i + word.len <= r->text.len; i++)
        if (str_ieq(str_of(r->text.ptr + i, word.len), word))
            return true;
    return false;
}

static bool is(const struct smtp_refusal *r, const char *status)
{
    return str_eq(r->status, str_c(status));
}

str_t smtp_hint_meaning(const struct smtp_refusal *r)
{
    if (r->code == 0 || r->step != CALL_OPEN || r->status.len == 0 ||
        str_ends(r->status, STR(".0.0")))
        return STR_NONE;
    return dsn_explain(r->status);
}

/* ---- before there is a session ---- */

static const char *connecting(const struct smtp_refusal *r)
{
    if (says(r, "refused"))
        return "nothing listens there: is it the right port? 25 between servers, 587 and 465 "
               "(--tls implicit) for people's programs";
    if (says(r, "timed out"))
        return "no answer at all: a firewall in between, or a provider that blocks port 25; try "
               "587 or 465";
    return NULL;
}

static const char *greeting(const struct smtp_refusal *r)
{
    if (r->code == 421)
        return "the server is busy or has too many connections from here; try again later";
    if (r->code / 100 == 5)
        return "the server talks to nobody from this address: a block list, or a missing reverse "
               "DNS name of it";
    return "if the port speaks TLS from the first byte (465), --tls implicit is needed";
}

static const char *tls(const struct smtp_refusal *r)
{
    if (!r->encrypted && !r->starttls_offered && is(r, "5.7.10"))
        return "without encryption: --tls none; TLS from the first byte, as on port 465: --tls "
               "implicit";
    if (is(r, "4.7.5") && says(r, "certificate"))
        return "who answers cannot be told apart from an impostor; --ca-file FILE trusts another "
               "authority, --tls-name NAME expects another name, --no-verify takes any";
    if (says(r, "not TLS"))
        return "the port does not speak TLS from the first byte; try --tls starttls";
    return r->verified ? NULL : "--tls none sends without encryption";
}

static const char *login(const struct smtp_refusal *r)
{
    if (r->code == 535)
        return "the name (often the whole address) or the password is wrong, or the account "
               "wants an app password";
    if (r->code == 454 || r->code == 421)
        return "the server cannot check passwords now, or has seen too many wrong ones; wait";
    if (!r->auth_offered && !r->encrypted)
        return "the server offers no login before TLS: --tls starttls, or --tls implicit on port "
               "465";
    if (!r->auth_offered)
        return "the server offers no login on this port; people's mail goes to 587 or 465";
    if (!r->encrypted)
        return "passwords do not go over an open line: use --tls starttls or --tls implicit";
    return NULL;
}

/* ---- the message ---- */

static const char *wants_login(const struct smtp_refusal *r)
{
    if (r->logged_in)
        return NULL;
    if (says(r, "TLS") && !r->encrypted)
        return "the server wants encryption first: --tls starttls";
    return "log in with --auth USER (mail from people's programs goes to port 587 or 465)";
}

static const char *relay(const struct smtp_refusal *r)
{
    if (r->logged_in)
        return "the account may not send there, or not from this address";
    return "the server carries mail for others only for those it knows: log in with --auth USER, "
           "or (postrider) add your address to relay_networks";
}

static const char *permanent(const struct smtp_refusal *r)
{
    if (r->code == 530)
        return wants_login(r);
    if (is(r, "5.7.1") && (says(r, "relay") || says(r, "not permitted to send")))
        return relay(r);
    if (r->status.len == 0 && says(r, "relay"))
        return relay(r);
    if (r->code == 553 && is(r, "5.7.1"))
        return "--from must be an address of who is logged in";
    if (is(r, "5.7.25") || says(r, "reverse DNS") || says(r, "PTR"))
        return "the address you send from needs a name in reverse DNS that leads back to it";
    if (is(r, "5.7.23") || is(r, "5.7.26") || is(r, "5.7.27") || says(r, "SPF") || says(r, "DMARC"))
        return "the domain of --from does not let this machine send for it (SPF, DKIM, DMARC): "
               "send by that domain's own server";
    if (says(r, "blocked") || says(r, "blacklist") || says(r, "blocklist") || says(r, "spamhaus"))
        return "the address you send from is on a block list; the server's words name it";
    if (is(r, "5.3.4") || is(r, "5.2.3") || r->code == 552)
        return "the message is too large for it; `-v` shows the limit behind SIZE";
    if (is(r, "5.1.8"))
        return "the domain of --from must exist in DNS";
    if (r->code == 503 || r->code == 500 || r->code == 502)
        return "the server did not follow; `-v` shows the dialogue (is it LMTP? then --lmtp)";
    return NULL;
}

static const char *temporary(const struct smtp_refusal *r)
{
    if (r->code == 450 || says(r, "greylist") || says(r, "graylist"))
        return "many servers put strangers off once (greylisting): the same again in a few "
               "minutes goes through";
    if (r->code == 452 && is(r, "4.5.3"))
        return "fewer recipients at once";
    if (r->code == 452)
        return "the server is out of room";
    if (r->code == 421)
        return "the server wants to be left alone for a while";
    return NULL;
}

const char *smtp_hint(const struct smtp_refusal *r)
{
    switch (r->step) {
    case CALL_CONNECT: return connecting(r);
    case CALL_GREETING: return greeting(r);
    case CALL_TLS: return tls(r);
    case CALL_AUTH: return login(r);
    case CALL_OPEN: break;
    }
    if (r->code == 0)
        return NULL;
    return r->code / 100 == 5 ? permanent(r) : temporary(r);
}
