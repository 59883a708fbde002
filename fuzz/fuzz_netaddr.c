/* fuzz_netaddr.c: addresses, networks, and DNS record data: what is read can be written and read
 * again. */
#include "base/dns.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_addr(const struct netaddr *a)
{
    char text[NETADDR_TEXT];
    struct netaddr back;
    must(netaddr_parse(str_c(netaddr_text(a, text)), &back) && netaddr_eq(a, &back));
    must(netaddr_parse_port(str_c(netaddr_text_port(a, text)), &back));
    must(netaddr_eq(a, &back) && a->port == back.port);
    must(strlen(netaddr_literal(a, text)) > 2);
    (void)netaddr_loopback(a);
}

static void check_text(str_t in)
{
    struct netaddr a;
    struct netaddr_net net;
    if (netaddr_parse(in, &a))
        check_addr(&a);
    if (netaddr_parse_port(in, &a))
        check_addr(&a);
    if (netaddr_parse_net(in, &net) &&
        !netaddr_in(&net, &net.addr)) /* only a wide network around v4-mapped ones */
        must(net.addr.family == NETADDR_V6 && net.bits < 96 && net.addr.bytes[11] == 0xff);
}

static void check_wire(str_t in)
{
    char host[256];
    uint16_t preference;
    struct netaddr a;
    struct arena arena;
    str_t wire = in, text;
    if (dns_name(&wire, host)) {
        must(wire.len < in.len && strlen(host) <= 253);
        for (const char *p = host; *p != '\0'; p++)
            must(*p > ' ' && *p < 0x7f);
    }
    if (dns_mx(in, &preference, host))
        must(strlen(host) <= 253);
    if (dns_addr(DNS_A, in, &a) || dns_addr(DNS_AAAA, in, &a))
        check_addr(&a);
    arena_init(&arena, 1 << 16);
    if (dns_txt(in, &arena, &text))
        must(text.len < in.len);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_text(str_of(data, size));
    check_wire(str_of(data, size));
    return 0;
}
