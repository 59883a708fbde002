/* attributes.c: see attributes.h. */
#include "proto/sasl/attributes.h"

#include "base/utf8.h"

/* RFC 5802 7: cb-name = 1*(ALPHA / DIGIT / "." / "-") */
static bool is_cb_name(str_t s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!ascii_alpha(c) && !ascii_digit(c) && c != '.' && c != '-')
            return false;
    }
    return s.len > 0;
}

static bool cbind_flag(str_t flag, struct gs2 *out)
{
    if (str_eq(flag, STR("n")) || str_eq(flag, STR("y"))) {
        out->flag = flag.ptr[0];
        return true;
    }
    out->flag = 'p';
    out->cb_name = str_from(flag, 2);
    return str_starts(flag, STR("p=")) && is_cb_name(out->cb_name);
}

/* gs2-header = gs2-cbind-flag "," [ authzid ] "," */
bool gs2_parse(str_t *rest, struct gs2 *out)
{
    str_t all = *rest, flag, authzid;
    *out = (struct gs2){.authzid = STR("")};
    if (!str_cut(rest, ',', &flag) || !str_cut(rest, ',', &authzid) || !cbind_flag(flag, out))
        return false;
    out->header = str_first(all, all.len - rest->len);
    if (authzid.len == 0)
        return true;
    out->authzid = str_from(authzid, 2);
    return str_starts(authzid, STR("a=")) && out->authzid.len > 0;
}

bool saslname_decode(struct sasl_vault *v, str_t raw, str_t *out)
{
    char *p = vault_alloc(v, raw.len);
    size_t n = 0;
    if (p == NULL)
        return false;
    for (size_t i = 0; i < raw.len; i++) {
        str_t at = str_from(raw, i);
        bool comma = str_starts(at, STR("=2C")), equals = str_starts(at, STR("=3D"));
        if (raw.ptr[i] == '=' && !comma && !equals)
            return false; /* RFC 5802 5.1: MUST fail the authentication */
        p[n++] = comma ? ',' : raw.ptr[i];
        i += comma || equals ? 2 : 0;
    }
    *out = str_of(p, n);
    return true;
}

str_t saslname_encode(struct sasl_vault *v, str_t name)
{
    char *p = vault_alloc(v, name.len * 3);
    size_t n = 0;
    if (p == NULL)
        return STR_NONE;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (c == ',' || c == '=') {
            memcpy(p + n, c == ',' ? "=2C" : "=3D", 3);
            n += 3;
        } else {
            p[n++] = c;
        }
    }
    return str_of(p, n);
}

bool scram_text(str_t message)
{
    return message.len <= SCRAM_MESSAGE_MAX &&
           memchr(message.len > 0 ? message.ptr : "", '\0', message.len) == NULL &&
           utf8_valid(message);
}

/* The attribute at the front, whatever it is. */
static str_t next_attr(str_t *rest)
{
    str_t attr;
    if (!str_cut(rest, ',', &attr)) {
        attr = *rest;
        *rest = STR_NONE;
    }
    return attr;
}

bool scram_attr(str_t *rest, char letter, str_t *value)
{
    str_t attr = next_attr(rest);
    *value = str_from(attr, 2);
    return attr.len > 2 && attr.ptr[0] == letter && attr.ptr[1] == '=';
}

bool scram_extensions(str_t rest)
{
    while (rest.ptr != NULL) {
        str_t attr = next_attr(&rest);
        if (attr.len < 3 || attr.ptr[1] != '=' || !ascii_alpha(attr.ptr[0]) ||
            memchr("anmrcsipve", attr.ptr[0], 10) != NULL)
            return false;
    }
    return true;
}

bool scram_printable(str_t nonce)
{
    for (size_t i = 0; i < nonce.len; i++) {
        if (nonce.ptr[i] < 0x21 || nonce.ptr[i] > 0x7e || nonce.ptr[i] == ',')
            return false;
    }
    return nonce.len > 0;
}
