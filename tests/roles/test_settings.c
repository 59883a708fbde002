/* test_settings.c: postrider.conf: what is understood, what is refused and in which words, what is
 * shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>

#include "roles/settings_table.h"

struct world {
    struct arena arena;
    struct err err;
    struct settings s;
    struct buf out;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    arena_init(&w->arena, 1 << 22);
    buf_init(&w->out, 1 << 20);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    arena_free(&w->arena);
    buf_free(&w->out);
    free(w);
    return 0;
}

static enum rc parse(struct world *w, const char *text)
{
    return settings_parse(str_c(text), "postrider.conf", &w->arena, &w->s, &w->err);
}

static void good(struct world *w, const char *text)
{
    if (parse(w, text) != RC_OK)
        fail_msg("%s", w->err.text);
}

static void wrong(struct world *w, const char *text, const char *want)
{
    assert_int_equal(parse(w, text), RC_PERM);
    assert_string_equal(w->err.text, want);
}

static bool is(str_t s, const char *want)
{
    return str_eq(s, str_c(want));
}

static void test_defaults(void **state)
{
    struct world *w = *state;
    static const char *const empty[] = {"", " \n", "# nothing\n", "/* */"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        good(w, empty[i]);
        assert_true(w->s.hostname.len > 0);
        assert_true(is(w->s.data_dir, "/var/lib/postrider"));
        assert_int_equal(w->s.n_listen_smtp, 2);
        assert_int_equal(w->s.listen_smtp[1].family, NETADDR_V6);
        assert_int_equal(w->s.listen_smtp[1].port, 25);
        assert_int_equal(w->s.n_listen_lmtp, 0);
        assert_int_equal(w->s.n_listen_pop3, 1);
        assert_true(netaddr_loopback(&w->s.listen_pop3[0]));
        assert_int_equal(w->s.n_relay_networks, 2);
        assert_int_equal(w->s.relay_networks[0].bits, 8);
        assert_int_equal(w->s.relay_networks[1].bits, 128);
        assert_int_equal(w->s.n_dns_servers, 0);
        assert_true(w->s.dnssec);
        assert_int_equal(w->s.smtp_client_port, 25);
        assert_int_equal(w->s.source_v4.family, NETADDR_NONE);
        assert_int_equal(w->s.message_size_max, 50 << 20);
        assert_int_equal(w->s.recipients_max, 1000);
        assert_int_equal(w->s.idle_s, 300);
        assert_int_equal(w->s.reserve_bytes, 256 << 20);
        assert_int_equal(w->s.retry_max_s, 14400);
        assert_int_equal(w->s.give_up_after_s, 432000);
        assert_int_equal(w->s.subaddress_separator, '+');
        assert_int_equal(w->s.n_routes, 0);
    }
}

static void test_values(void **state)
{
    struct world *w = *state;
    good(w, "hostname = mail.example.org # ours\n"
            "listen_smtp = {\"127.0.0.1:2525\"}\nlisten_pop3 = {}\nlisten_lmtp = \"[::1]:24\"\n"
            "relay_networks = {10.0.0.0/8, \"2001:db8::/32\"}\n"
            "dns_servers = {127.0.0.1, \"127.0.0.1:5353\", \"::1@54\"}\n"
            "dnssec = No\nsource_v4 = 192.0.2.1\nsource_v6 = \"2001:db8::1\"\nmessage_size_max = "
            "64k\nrecipients_max = 100\n"
            "idle = 90\nretry_first = 1m\ngive_up_after = 2D\nsubaddress_separator = "
            "\"-\"\ndata_floor = 0\n");
    assert_true(is(w->s.hostname, "mail.example.org"));
    assert_string_equal(w->err.text, "");
    assert_int_equal(w->s.n_listen_smtp, 1);
    assert_int_equal(w->s.listen_smtp[0].port, 2525);
    assert_int_equal(w->s.n_listen_pop3, 0);
    assert_int_equal(w->s.n_listen_lmtp, 1);
    assert_int_equal(w->s.n_relay_networks, 2);
    assert_int_equal(w->s.n_dns_servers, 3);
    assert_int_equal(w->s.dns_servers[0].port, 53);
    assert_int_equal(w->s.dns_servers[1].port, 5353);
    assert_int_equal(w->s.dns_servers[2].port, 54);
    assert_false(w->s.dnssec);
    assert_int_equal(w->s.source_v6.family, NETADDR_V6);
    assert_int_equal(w->s.message_size_max, 65536);
    assert_int_equal(w->s.idle_s, 90);
    assert_int_equal(w->s.retry_first_s, 60);
    assert_int_equal(w->s.give_up_after_s, 172800);
    assert_int_equal(w->s.subaddress_separator, '-');
    assert_int_equal(w->s.data_floor_bps, 0);
    good(w, "subaddress_separator = none\n");
    assert_int_equal(w->s.subaddress_separator, '\0');
    good(w, "idle = 20\nidle = 30s\n"); /* the last one holds */
    assert_int_equal(w->s.idle_s, 30);
}

static void test_limits(void **state)
{
    struct world *w = *state;
    good(w, "recipients_max = 100");
    wrong(w, "recipients_max = 99",
          "postrider.conf:1: recipients_max = \"99\": give a number from 100 to 10000");
    good(w, "recipients_max = 10000");
    wrong(w, "recipients_max = 10001",
          "postrider.conf:1: recipients_max = \"10001\": give a number from 100 to 10000");
    wrong(w, "idle = 5min",
          "postrider.conf:1: idle = \"5min\": give a duration (30s, 5m, 4h, 5d) from 10s to 1h");
    wrong(w, "idle = -5",
          "postrider.conf:1: idle = \"-5\": give a duration (30s, 5m, 4h, 5d) from 10s to 1h");
    wrong(w, "idle = s",
          "postrider.conf:1: idle = \"s\": give a duration (30s, 5m, 4h, 5d) from 10s to 1h");
    wrong(w, "reserve = 99999999999999999999G",
          "postrider.conf:1: reserve = \"99999999999999999999G\": give a size in bytes (64K, 50M, "
          "1G) from 16M to 1024G");
    wrong(w, "reserve = 18014398509514752K",
          "postrider.conf:1: reserve = \"18014398509514752K\": give a size in bytes (64K, 50M, "
          "1G) from 16M to 1024G");
    buf_clear(&w->out);
    buf_add(&w->out, STR("listen_smtp = {"));
    for (int i = 1; i <= SETTINGS_LIST_MAX; i++)
        buf_addf(&w->out, "%s\"127.0.0.1:%d\"", i > 1 ? ", " : "", i);
    size_t len = w->out.len;
    buf_add(&w->out, STR("}"));
    buf_addc(&w->out, '\0');
    good(w, w->out.ptr);
    w->out.len = len;
    buf_add(&w->out, STR(", \"127.0.0.1:99\"}"));
    buf_addc(&w->out, '\0');
    wrong(w, w->out.ptr,
          "postrider.conf:1: listen_smtp = \"127.0.0.1:99\": there are more than 64");
}

static void test_mistakes(void **state)
{
    struct world *w = *state;
    wrong(w, "\n\nlisten_stmp = {}\n",
          "postrider.conf:3: there is no setting \"listen_stmp\"; did you mean \"listen_smtp\"?");
    wrong(w, "host_name = x",
          "postrider.conf:1: there is no setting \"host_name\"; did you mean \"hostname\"?");
    wrong(w, "completely_else = x",
          "postrider.conf:1: there is no setting \"completely_else\"; postrider config show lists "
          "all");
    wrong(w, "hostname mail", "postrider.conf:1: missing equal sign after option 'hostname'");
    wrong(w, "hostname = {x}", "postrider.conf:1: unexpected token '{'");
    wrong(w, "hostname = \"a b\"",
          "postrider.conf:1: hostname = \"a b\": give a host name, as in \"mail.example.org\"");
    wrong(w, "listen_smtp = {\n\"0.0.0.0:25\",\n\"::1\"}",
          "postrider.conf:3: listen_smtp = \"::1\": give an address with port, as in "
          "\"192.0.2.1:25\" or \"[2001:db8::1]:25\"");
    wrong(w, "source_v4 = \"::1\"",
          "postrider.conf:1: source_v4 = \"::1\": give an IPv4 address, as in \"192.0.2.1\", or "
          "none");
    wrong(w, "dnssec = maybe", "postrider.conf:1: dnssec = \"maybe\": give yes or no");
    assert_int_equal(settings_parse(STR("idle = 1\0"
                                        "0"),
                                    "postrider.conf", &w->arena, &w->s, &w->err),
                     RC_PERM);
}

static void test_routes(void **state)
{
    struct world *w = *state;
    good(w, "route \"Example.ORG\" { host = smart.example.net port = 2525 mx = yes }\n"
            "route \"*\" {\n host = \"192.0.2.7\"\n}\n");
    assert_int_equal(w->s.n_routes, 2);
    assert_true(is(w->s.routes[0].domain, "example.org"));
    assert_true(is(w->s.routes[0].host, "smart.example.net"));
    assert_int_equal(w->s.routes[0].port, 2525);
    assert_true(w->s.routes[0].use_mx);
    assert_true(is(w->s.routes[1].domain, "*"));
    assert_int_equal(w->s.routes[1].port, 25);
    assert_false(w->s.routes[1].use_mx);
    good(w, "route \"Bücher.example\" { host = \"smart.straße.example\" }\n");
    assert_true(is(w->s.routes[0].domain, "xn--bcher-kva.example"));
    assert_true(is(w->s.routes[0].host, "smart.xn--strae-oqa.example"));
    wrong(
        w, "route \"b\xc3.example\" { host = x }",
        "postrider.conf:1: route \"b\xc3.example\": give a domain, or * for all that have no route "
        "of their own");
    wrong(w, "route \"a.b\" { hosst = x }",
          "postrider.conf:1: there is no setting \"hosst\"; did you mean \"host\"?");
    wrong(w, "route \"a.b\" { }",
          "postrider.conf:1: route \"a.b\": host is missing or no host name or address");
    wrong(w, "route \"a.b\" { host = x port = 0 }",
          "postrider.conf:1: route \"a.b\": port is a number from 1 to 65535");
    wrong(w, "route \"a b\" { host = x }",
          "postrider.conf:1: route \"a b\": give a domain, or * for all that have no route of "
          "their own");
    assert_int_equal(parse(w, "route a.b { host = x }\nroute a.b { host = y }\n"), RC_PERM);
}

static void test_certificates(void **state)
{
    struct world *w = *state;
    good(w, "");
    assert_true(is(w->s.tls_dir, ""));
    assert_true(is(w->s.tls_ca_file, "/etc/ssl/certs/ca-certificates.crt"));
    assert_true(settings_tickets(&w->s, "smtp"));
    good(w, "tls_no_tickets = {submission, LMTP}\ntls_dir = /etc/letsencrypt/live\n"
            "certificate MX.example.org { chain = \"/a b\" key = /k }\n"
            "certificate \"m\xc3\xbcller.example\" {\n chain = /c\n key = /d\n}\n");
    assert_false(settings_tickets(&w->s, "submission"));
    assert_false(settings_tickets(&w->s, "lmtp"));
    assert_true(settings_tickets(&w->s, "submissions"));
    assert_int_equal(w->s.n_certificates, 2);
    assert_true(is(w->s.certificates[0].name, "mx.example.org"));
    assert_true(is(w->s.certificates[0].chain, "/a b"));
    assert_true(is(w->s.certificates[0].key, "/k"));
    assert_true(is(w->s.certificates[1].name, "xn--mller-kva.example"));
    /* what is shown is understood */
    assert_true(settings_show(&w->s, false, &w->out));
    char *text = strndup(w->out.ptr, w->out.len);
    good(w, text);
    assert_int_equal(w->s.n_certificates, 2);
    assert_int_equal(w->s.n_tls_no_tickets, 2);
    free(text);
    wrong(w, "tls_no_tickets = {imap}\n",
          "postrider.conf:1: tls_no_tickets = \"imap\": give one of smtp, lmtp, submission, "
          "submissions");
    wrong(w, "tls_no_tickets = {smtp, POP3}\n",
          "postrider.conf:1: tls_no_tickets = \"POP3\": POP3 is spoken without TLS: give some of "
          "smtp, lmtp, submission, submissions");
    wrong(w, "certificate a.example { chain = /c }\n",
          "postrider.conf:1: certificate \"a.example\": key is missing, the path of a file");
    wrong(w, "certificate a.example { certificate_file = /c }\n",
          "postrider.conf:1: there is no setting \"certificate_file\"; postrider config show lists "
          "all");
    wrong(w, "certificate a.example { chian = /c }\n",
          "postrider.conf:1: there is no setting \"chian\"; did you mean \"chain\"?");
    wrong(w, "certifcate a.example { chain = /c }\n",
          "postrider.conf:1: there is no setting \"certifcate\"; did you mean \"certificate\"?");
    wrong(w, "certificate \"a b\" { chain = /c key = /k }\n",
          "postrider.conf:1: certificate \"a b\": give a host name, as in \"mail.example.org\"");
}

static void test_oauth(void **state)
{
    struct world *w = *state;
    good(w, "");
    assert_true(is(settings_oauth_url(&w->s), ""));
    assert_int_equal(w->s.n_oauth_algorithms, 4);
    good(w, "oauth_introspection_url = \"https://id.example.org/i\"\noauth_client_id = me\n"
            "oauth_client_secret_file = /s\noauth_scope = \"mail.send x\"\n");
    assert_true(is(settings_oauth_url(&w->s), "https://id.example.org/i"));
    good(w, "oauth_jwks_url = \"http://[::1]:8080/keys\"\noauth_issuer = \"https://id\"\n"
            "oauth_audience = mail\noauth_algorithms = {eddsa}\n");
    assert_true(is(settings_oauth_url(&w->s), "http://[::1]:8080/keys"));
    assert_true(is(w->s.oauth_algorithms[0], "EdDSA"));
    assert_true(settings_show(&w->s, false, &w->out));
    good(w, arena_cstr(&w->arena, buf_str(&w->out)));
    assert_int_equal(w->s.n_oauth_algorithms, 1);
    wrong(w, "oauth_introspection_url = \"http://id.example.org/i\"",
          "postrider.conf:1: oauth_introspection_url = \"http://id.example.org/i\": give a URL, as "
          "in "
          "\"https://id.example.org/keys\"; http is for this machine alone");
    wrong(w, "oauth_algorithms = {HS256}",
          "postrider.conf:1: oauth_algorithms = \"HS256\": give one of RS256, PS256, ES256, EdDSA");
    wrong(w, "oauth_claim = \"e mail\"",
          "postrider.conf:1: oauth_claim = \"e mail\": give visible ASCII without blanks");
    wrong(w, "oauth_jwks_url = \"https://id.example.org/keys\"",
          "postrider.conf: oauth_jwks_url needs oauth_issuer and oauth_audience");
    wrong(w, "oauth_jwks_url = \"https://id.example.org/keys\"\noauth_issuer = i",
          "postrider.conf: oauth_jwks_url needs oauth_issuer and oauth_audience");
    wrong(
        w,
        "oauth_jwks_url = \"https://id.example.org/keys\"\noauth_issuer = i\n"
        "oauth_audience = a\noauth_introspection_url = \"https://id.example.org/i\"",
        "postrider.conf: oauth_jwks_url and oauth_introspection_url: only one of them may be set");
    wrong(w, "oauth_client_id = me",
          "postrider.conf: oauth_client_id and oauth_client_secret_file need each other");
}

static void test_cross_checks(void **state)
{
    struct world *w = *state;
    wrong(w, "retry_first = 5h", "postrider.conf: retry_first is longer than retry_max");
    wrong(w, "warn_after = 5d",
          "postrider.conf: warn_after is not shorter than give_up_after: nobody would ever be "
          "warned");
    wrong(w, "errors_soft = 16", "postrider.conf: errors_soft is more than errors_hard");
    wrong(w, "message_size_max = 257M",
          "postrider.conf: reserve is less than message_size_max: one message could fill the disk");
    wrong(w, "listen_smtp = {} listen_pop3 = {} listen_submission = {} listen_submissions = {}",
          "postrider.conf: listen_smtp and all other listen_… are empty: there would be nothing to "
          "do");
    good(w, "listen_smtp = {} listen_pop3 = {} listen_submission = {}");
    wrong(w, "relay_ports = {2525, 0}",
          "postrider.conf:1: relay_ports = \"0\": give ports, numbers from 1 to 65535");
    wrong(w, "relay_ports = {smtp}",
          "postrider.conf:1: relay_ports = \"smtp\": give ports, numbers from 1 to 65535");
    good(w, "hostname = box");
    assert_non_null(strstr(w->err.text, "has no domain")); /* a warning */
}

/* What is shown is itself a configuration file, and means the same. */
static void test_show(void **state)
{
    struct world *w = *state;
    good(w, "relay_ports = {2525, 65535} hostname = mail.example.org data_dir = \"/a b\\\"c\\\\d\\${HOME}#x\" listen_smtp = {} "
            "idle = 61 message_size_max = 1M\n"
            "route x.test { host = \"y.test\" mx = on }\nsource_v6 = \"::1\" subaddress_separator "
            "= none\n");
    assert_true(is(w->s.data_dir, "/a b\"c\\d${HOME}#x"));
    assert_true(settings_show(&w->s, false, &w->out));
    char *first = arena_cstr(&w->arena, buf_str(&w->out));
    assert_non_null(strstr(first, "\nidle = 61s   # default: 5m\n"));
    assert_non_null(strstr(first, "\nrelay_ports = {2525, 65535}   # default: {}\n"));
    good(w, first);
    buf_clear(&w->out);
    assert_true(settings_show(&w->s, false, &w->out));
    assert_string_equal(arena_cstr(&w->arena, buf_str(&w->out)), first);
}

static void test_show_json(void **state)
{
    struct world *w = *state;
    good(w, "data_dir = \"/a\\\\\\\"\xc3\xa4\" listen_smtp = {\"1.2.3.4:5\"} dnssec = no\nroute "
            "x.test { host = \"y.test\" }\n");
    assert_true(settings_show(&w->s, true, &w->out));
    json_error_t e;
    json_t *j = json_loadb(w->out.ptr, w->out.len, JSON_REJECT_DUPLICATES, &e);
    assert_non_null(j);
    for (size_t i = 0; i < settings_n_rows; i++) {
        json_t *row = json_object_get(j, settings_rows[i].name);
        assert_non_null(json_object_get(row, "value"));
        assert_non_null(json_object_get(row, "default"));
        assert_true(json_string_length(json_object_get(row, "help")) > 10);
    }
    json_t *list = json_object_get(json_object_get(j, "listen_smtp"), "value");
    assert_string_equal(json_string_value(json_array_get(list, 0)), "1.2.3.4:5");
    assert_true(json_is_false(json_object_get(json_object_get(j, "dnssec"), "value")));
    json_t *route = json_array_get(json_object_get(json_object_get(j, "route"), "value"), 0);
    assert_int_equal(json_integer_value(json_object_get(route, "port")), 25);
    json_decref(j);
}

static void test_manual(void **state)
{
    struct world *w = *state;
    assert_true(settings_manual(&w->out));
    for (size_t i = 0; i < settings_n_rows; i++) {
        str_t head = arena_fmt(&w->arena, ".TP\n.B %s\n", settings_rows[i].name);
        assert_true(str_contains(buf_str(&w->out), head));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mistakes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_routes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_certificates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_oauth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cross_checks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_show, setup, teardown),
        cmocka_unit_test_setup_teardown(test_show_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_manual, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
