/* server_xclient.c: XCLIENT, by which a trusted proxy or test tells who its client is. As Postfix
 * documents it: attributes NAME=VALUE, values in xtext, [UNAVAILABLE] and [TEMPUNAVAIL] for what
 * the proxy does not know. Names, addresses and ports are checked here, so that the owner can take
 * them as they are. */
#include "proto/smtp/server_internal.h"
#include "proto/smtp/xtext.h"

static bool is_word(str_t s, size_t max)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return s.len <= max;
}

/* What a resolver may have said: as a domain, with underscores too. */
static bool is_host(str_t s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '-' && c != '_' && c != '.')
            return false;
    }
    return s.len <= SMTP_DOMAIN_MAX;
}

/* "192.0.2.1" or "IPV6:2001:db8::1"; the prefix is cut off. */
static bool is_address(str_t *s)
{
    struct netaddr a;
    bool v6 = str_istarts(*s, STR("IPV6:"));
    if (v6)
        *s = str_from(*s, 5);
    return netaddr_parse(*s, &a) && a.family == (v6 ? NETADDR_V6 : NETADDR_V4);
}

static bool is_port(str_t s)
{
    uint64_t port;
    return str_u64(s, 65535, &port);
}

enum kind { KIND_WORD, KIND_NAME, KIND_ADDRESS, KIND_PORT };
static const struct attribute {
    str_t name;
    size_t at; /* in struct smtps_xclient */
    enum kind kind;
} attributes[] = {
    {STR("NAME"), offsetof(struct smtps_xclient, name), KIND_NAME},
    {STR("ADDR"), offsetof(struct smtps_xclient, addr), KIND_ADDRESS},
    {STR("PORT"), offsetof(struct smtps_xclient, port), KIND_PORT},
    {STR("HELO"), offsetof(struct smtps_xclient, helo), KIND_WORD},
    {STR("DESTADDR"), offsetof(struct smtps_xclient, destaddr), KIND_ADDRESS},
    {STR("DESTPORT"), offsetof(struct smtps_xclient, destport), KIND_PORT},
};

static bool value_ok(enum kind kind, str_t *value)
{
    switch (kind) {
    case KIND_WORD: return is_word(*value, SMTP_DOMAIN_MAX);
    case KIND_NAME: return is_host(*value);
    case KIND_ADDRESS: return is_address(value);
    case KIND_PORT: return is_port(*value);
    }
    return false;
}

static bool take_attribute(struct smtps *s, str_t word)
{
    str_t value = word, name, decoded;
    if (!str_cut(&value, '=', &name) || !xtext_decode(value, &s->t.arena, &decoded))
        return false;
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++) {
        const struct attribute *a = &attributes[i];
        if (!str_ieq(a->name, name))
            continue;
        str_t *to = (str_t *)(void *)((char *)s->t.xclient + a->at);
        bool unknown =
            str_ieq(decoded, STR("[UNAVAILABLE]")) || str_ieq(decoded, STR("[TEMPUNAVAIL]"));
        if (to->ptr != NULL || (!unknown && (decoded.len == 0 || !value_ok(a->kind, &decoded))))
            return false;
        *to = unknown ? STR("") : decoded;
        return true;
    }
    return false;
}

enum smtps_event smtps_cmd_xclient(struct smtps *s, str_t arg)
{
    if (!s->xclient_allowed) {
        smtps_fault(s, 550, "5.7.0", "not for you");
        return SMTPS_IDLE;
    }
    s->t.xclient = arena_alloc(&s->t.arena, sizeof *s->t.xclient);
    bool ok = s->t.xclient != NULL && arg.len > 0;
    while (ok && arg.len > 0) {
        str_t word = arg;
        if (!str_cut(&arg, ' ', &word))
            arg = STR("");
        arg = str_trim(arg);
        ok = take_attribute(s, word);
    }
    if (!ok) {
        s->reset_due = true;
        if (s->t.arena.failed)
            smtps_say(s, 451, "4.3.0", "out of memory");
        else
            smtps_fault(s, 501, "5.5.4", "an attribute that is not offered, or a bad value");
        return SMTPS_IDLE;
    }
    s->await = AWAIT_XCLIENT;
    return SMTPS_XCLIENT;
}

void smtps_xclient_accepted(struct smtps *s)
{
    smtps_forget_hello(s);
    smtps_greeting(s);
}
