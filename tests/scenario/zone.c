/* zone.c: the made-up DNS. See world.h. */
#include "world.h"

enum { CHAIN_MAX = 8 }; /* of CNAMEs */

static const struct {
    str_t name;
    enum dns_type type;
} types[] = {
    {STR("MX"), DNS_MX}, {STR("A"), DNS_A}, {STR("AAAA"), DNS_AAAA}, {STR("CNAME"), DNS_CNAME}};

static bool status_named(str_t name, enum dns_status *out)
{
    for (int s = DNS_NODATA; s <= DNS_BOGUS; s++) {
        *out = (enum dns_status)s;
        if (str_eq(name, str_c(dns_status_name(*out))))
            return true;
    }
    return false;
}

/* Domain names as in messages, uncompressed. */
static void add_name(struct buf *b, str_t name)
{
    str_t label;
    while (str_cut(&name, '.', &label)) {
        buf_u8(b, (uint8_t)label.len);
        buf_add(b, label);
    }
    buf_u8(b, (uint8_t)name.len);
    buf_add(b, name);
    if (name.len > 0)
        buf_u8(b, 0);
}

static bool rdata_of(struct world *w, enum dns_type type, str_t data, str_t *out)
{
    struct netaddr addr;
    str_t number;
    uint64_t preference;
    struct buf b;
    if (type == DNS_A || type == DNS_AAAA) {
        bool ok = netaddr_parse(data, &addr) && (addr.family == NETADDR_V4) == (type == DNS_A);
        *out = arena_dup(&w->arena, str_of(addr.bytes, type == DNS_A ? 4 : 16));
        return ok;
    }
    buf_init(&b, 1024);
    bool ok = true;
    if (type == DNS_MX) {
        ok = str_cut(&data, ' ', &number) && str_u64(number, UINT16_MAX, &preference);
        buf_u16(&b, ok ? (uint16_t)preference : 0);
        add_name(&b, str_eq(data, STR(".")) ? STR("") : data);
        *out = arena_dup(&w->arena, buf_str(&b));
    } else {
        *out = arena_dup(&w->arena, data);
    }
    ok = ok && data.len > 0 && !b.failed;
    buf_free(&b);
    return ok;
}

static void forget(struct world *w, str_t name, enum dns_type type, bool all)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->nrecords; i++) {
        const struct record *r = &w->record[i];
        if (!str_ieq(r->name, name) || r->type != type || !(all || r->absent))
            w->record[kept++] = *r;
    }
    w->nrecords = kept;
}

bool zone_set(struct world *w, str_t name, str_t type, str_t data)
{
    struct record r = {.name = arena_dup(&w->arena, name)};
    bool known = false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (str_eq(type, types[i].name)) {
            known = true;
            r.type = types[i].type;
        }
    }
    r.absent = status_named(data, &r.status);
    if (!known || w->nrecords == RECORDS_MAX || (!r.absent && !rdata_of(w, r.type, data, &r.data)))
        return false;
    forget(w, name, r.type, r.absent);
    w->record[w->nrecords++] = r;
    return true;
}

static bool alias_of(const struct world *w, str_t *name)
{
    for (size_t i = 0; i < w->nrecords; i++) {
        const struct record *r = &w->record[i];
        if (r->type == DNS_CNAME && !r->absent && str_ieq(r->name, *name)) {
            *name = r->data;
            return true;
        }
    }
    return false;
}

void zone_answer(struct world *w, str_t name, enum dns_type type, struct arena *a,
                 struct dns_answer *out)
{
    bool exists = false;
    *out = (struct dns_answer){.rdata = arena_array(a, RECORDS_MAX, sizeof(str_t))};
    must(out->rdata != NULL);
    for (int i = 0; i < CHAIN_MAX && alias_of(w, &name); i++)
        out->canonical = name;
    for (size_t i = 0; i < w->nrecords; i++) {
        const struct record *r = &w->record[i];
        if (!str_ieq(r->name, name))
            continue;
        exists = true;
        if (r->type == type && r->absent) {
            out->status = r->status;
            return;
        }
        if (r->type == type)
            out->rdata[out->n++] = arena_dup(a, r->data);
    }
    out->status = out->n > 0 ? DNS_OK : exists ? DNS_NODATA : DNS_NXDOMAIN;
}
