/* directory_row.c: see directory_row.h. */
#include "post/directory_row.h"

#include "base/cursor.h"
#include "mail/domain.h"

enum {
    ROW_VERSION = 1,
    LABEL_MAX = 63, /* RFC 1035 2.3.4 */
    ACCOUNT_ACTIVE = 0,
    /* on disk: an account whose mail goes on elsewhere (in memory an alias that has an account) */
    KIND_FORWARD = 5,
};

/* RFC 5322 3.2.3 atext, and any non-ASCII byte (RFC 6532 3.2). */
static bool is_atext(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || (unsigned char)c >= 0x80 ||
           (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_dot_atom(str_t s)
{
    bool atom = false; /* the last character was one of an atom */
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '.' ? !atom : !is_atext(s.ptr[i]))
            return false;
        atom = s.ptr[i] != '.';
    }
    return atom;
}

/* RFC 5321 4.1.2 Quoted-string: "\" takes the next character as it is. */
static bool unquote(str_t s, struct buf *out)
{
    if (s.len < 2 || s.ptr[0] != '"' || s.ptr[s.len - 1] != '"')
        return false;
    for (size_t i = 1; i + 1 < s.len; i++) {
        char c = s.ptr[i];
        if (c == '"')
            return false;
        if (c == '\\') {
            if (i + 2 >= s.len)
                return false;
            c = s.ptr[++i];
        }
        if ((unsigned char)c < ' ' || c == 0x7f)
            return false;
        buf_addc(out, c);
    }
    return !out->failed;
}

bool directory_domain_parse(str_t text, struct arena *a, str_t *out)
{
    if (str_ends(text, STR(".")))
        text.len--;
    if (text.len == 0 || text.len > DIRECTORY_DOMAIN_MAX || !domain_to_ascii(text, a, &text))
        return false;
    size_t label = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool last = i + 1 == text.len || text.ptr[i + 1] == '.';
        if (c == '.' && label > 0) {
            label = 0;
            continue;
        }
        if (!ascii_alpha(c) && !ascii_digit(c) && !(c == '-' && label > 0 && !last))
            return false;
        if (++label > LABEL_MAX)
            return false;
    }
    *out = arena_dup(a, text);
    return label > 0 && out->ptr != NULL;
}

bool directory_address_parse(str_t text, struct arena *a, struct directory_address *out)
{
    size_t at;
    if (!str_rfind(text, '@', &at) || text.len > DIRECTORY_ADDRESS_MAX)
        return false;
    str_t local = str_first(text, at);
    struct buf b;
    buf_init(&b, DIRECTORY_LOCAL_MAX);
    bool ok = is_dot_atom(local) ? buf_add(&b, local) : unquote(local, &b) && b.len > 0;
    if (ok) {
        str_lower(b.ptr, b.len);
        out->local = arena_dup(a, buf_str(&b));
    }
    buf_free(&b);
    if (!ok || out->local.ptr == NULL ||
        !directory_domain_parse(str_from(text, at + 1), a, &out->domain))
        return false;
    out->text = directory_address_text(out->local, out->domain, a);
    return out->text.len > 0;
}

str_t directory_address_text(str_t local, str_t domain, struct arena *a)
{
    if (is_dot_atom(local))
        return arena_fmt(a, STR_FMT "@" STR_FMT, STR_ARG(local), STR_ARG(domain));
    struct buf b;
    buf_init(&b, DIRECTORY_TEXT_MAX);
    buf_addc(&b, '"');
    for (size_t i = 0; i < local.len; i++) {
        if (local.ptr[i] == '"' || local.ptr[i] == '\\')
            buf_addc(&b, '\\');
        buf_addc(&b, local.ptr[i]);
    }
    buf_addf(&b, "\"@" STR_FMT, STR_ARG(domain));
    str_t text = b.failed ? STR_NONE : arena_dup(a, buf_str(&b));
    buf_free(&b);
    return text;
}

str_t directory_unquoted(str_t local, struct arena *a)
{
    if (local.len < 2 || !str_starts(local, STR("\"")) || !str_ends(local, STR("\"")))
        return local;
    local = str_of(local.ptr + 1, local.len - 2);
    char *to = arena_alloc(a, local.len + 1);
    size_t n = 0;
    for (size_t i = 0; to != NULL && i < local.len; i++) {
        if (local.ptr[i] == '\\' && i + 1 < local.len)
            i++;
        to[n++] = local.ptr[i];
    }
    return str_of(to, n);
}

/* ---- keys ---- */

static str_t key_join(str_t prefix, str_t first, char sep, str_t second, struct arena *a)
{
    size_t len = prefix.len + first.len + (sep != '\0') + second.len;
    char *p = arena_alloc(a, len);
    if (p == NULL)
        return STR_NONE;
    memcpy(p, prefix.ptr, prefix.len);
    char *q = p + prefix.len;
    if (first.len > 0)
        memcpy(q, first.ptr, first.len);
    q += first.len;
    if (sep != '\0')
        *q++ = sep;
    if (second.len > 0)
        memcpy(q, second.ptr, second.len);
    return str_of(p, len);
}

str_t directory_key_domain(str_t domain, struct arena *a)
{
    return key_join(DIRECTORY_PREFIX_DOM, domain, '\0', STR_NONE, a);
}

str_t directory_key_address(str_t domain, str_t local, struct arena *a)
{
    return key_join(DIRECTORY_PREFIX_ADDR, domain, '/', local, a);
}

str_t directory_key_login(str_t address, struct arena *a)
{
    return key_join(STR("login/"), address, '\0', STR_NONE, a);
}

static str_t key_id(str_t prefix, uint64_t id, struct arena *a)
{
    char be[8];
    for (size_t i = 0; i < sizeof be; i++)
        be[i] = (char)(id >> (56 - 8 * i));
    return key_join(prefix, str_of(be, sizeof be), '\0', STR_NONE, a);
}

str_t directory_key_mask(uint64_t account, str_t address, struct arena *a)
{
    return key_join(key_id(DIRECTORY_PREFIX_MASK, account, a), address, '\0', STR_NONE, a);
}

str_t directory_key_member(uint64_t list, str_t domain, str_t local, struct arena *a)
{
    str_t prefix = key_id(DIRECTORY_PREFIX_LIST, list, a);
    return domain.len > 0 ? key_join(prefix, domain, '/', local, a) : prefix;
}

str_t directory_key_account(uint64_t id, struct arena *a)
{
    return key_id(DIRECTORY_PREFIX_ACCT, id, a);
}

str_t directory_key_gone(uint64_t id, struct arena *a)
{
    return key_id(DIRECTORY_PREFIX_GONE, id, a);
}

bool directory_account_id(str_t key, uint64_t *id)
{
    return str_starts(key, DIRECTORY_PREFIX_ACCT) &&
           directory_u64_decode(str_from(key, DIRECTORY_PREFIX_ACCT.len), id);
}

bool directory_u64_decode(str_t value, uint64_t *out)
{
    struct cursor c = cursor_of(value);
    *out = cursor_u64(&c);
    return cursor_end(&c);
}

/* ---- values ---- */

bool directory_domain_encode(const struct directory_domain *d, struct buf *out)
{
    buf_u8(out, ROW_VERSION);
    buf_u64(out, d->edits);
    return buf_str16(out, d->catchall);
}

bool directory_domain_decode(str_t value, struct directory_domain *out)
{
    struct cursor c = cursor_of(value);
    uint8_t version = cursor_u8(&c);
    out->edits = cursor_u64(&c);
    out->catchall = cursor_str16(&c);
    return version == ROW_VERSION && cursor_end(&c);
}

bool directory_entry_encode(const struct directory_entry *e, struct buf *out)
{
    bool forward = e->kind == DIRECTORY_ALIAS && e->account != 0;
    buf_u8(out, ROW_VERSION);
    buf_u8(out, forward ? KIND_FORWARD : (uint8_t)e->kind);
    if (e->kind == DIRECTORY_ACCOUNT || e->kind == DIRECTORY_LIST)
        return buf_u64(out, e->account);
    if (forward) {
        buf_u64(out, e->account);
        buf_u8(out, e->keep);
    }
    buf_u16(out, (uint16_t)e->ntargets);
    for (size_t i = 0; i < e->ntargets; i++)
        buf_str16(out, e->targets[i]);
    return !out->failed;
}

bool directory_entry_decode(str_t value, struct arena *a, struct directory_entry *out)
{
    struct cursor c = cursor_of(value);
    *out = (struct directory_entry){.kind = DIRECTORY_NONE};
    if (cursor_u8(&c) != ROW_VERSION)
        return false;
    uint8_t kind = cursor_u8(&c);
    if (kind == DIRECTORY_ACCOUNT || kind == DIRECTORY_LIST) {
        out->account = cursor_u64(&c);
    } else if (kind == DIRECTORY_ALIAS || kind == KIND_FORWARD) {
        if (kind == KIND_FORWARD) {
            out->account = cursor_u64(&c);
            uint8_t keep = cursor_u8(&c);
            out->keep = keep == 1;
            if (keep > 1 || out->account == 0)
                return false;
            kind = DIRECTORY_ALIAS;
        }
        out->ntargets = cursor_u16(&c);
        if (out->ntargets == 0 || out->ntargets > DIRECTORY_TARGETS_MAX)
            return false;
        out->targets = arena_array(a, out->ntargets, sizeof *out->targets);
        for (size_t i = 0; out->targets != NULL && i < out->ntargets; i++)
            out->targets[i] = cursor_str16(&c);
        if (out->targets == NULL)
            return false;
    } else {
        return false;
    }
    out->kind = (enum directory_kind)kind;
    return cursor_end(&c);
}

bool directory_account_encode(str_t name, struct buf *out)
{
    buf_u8(out, ROW_VERSION);
    buf_u8(out, ACCOUNT_ACTIVE);
    return buf_str16(out, name);
}

bool directory_account_decode(str_t value, str_t *name)
{
    struct cursor c = cursor_of(value);
    uint8_t version = cursor_u8(&c);
    uint8_t state = cursor_u8(&c);
    *name = cursor_str16(&c);
    return version == ROW_VERSION && state == ACCOUNT_ACTIVE && cursor_end(&c);
}
