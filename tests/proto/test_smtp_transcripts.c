/* test_smtp_transcripts.c: plays every file of tests/scenarios/smtp against the SMTP server engine:
 * whole, cut in two at every byte position, and byte by byte; the answers and what is stored must
 * be the same each time.
 *
 * A scenario reads like a transcript:
 *     # a comment
 *     @ NAME [VALUE]   lmtp, size_max N, excess_max N, recipients_max N, messages_max N, errors_soft N,
 *                      errors_hard N, junk_max N; aborts N: so many transactions are given up;
 *                      unsplit: what the client does depends on how it is cut;
 *                      auth_needed, by_min N, future_max N; offer NAME …: extensions (offers);
 *                      mechs_under_tls: AUTH is offered only there; tls: encrypted from the start
 *     C: a line        the client sends it, with CRLF. Lines without an S: between them are one
 *                      group, sent at once
 *     S: a line        the server says it; a final * stands for anything
 *     S: [close]       it closes
 *     T:               here the handshake that STARTTLS asked for takes place
 *     M: <from> <to> … a message that was taken, in order, with what its parameters asked for
 *                      (harness_note_mail, harness_note_rcpt), and then
 *     B: a line        its content, with CRLF
 * In C and B: \r \n \0 \t \\ \xHH, \(N:text) is text N times, \c at the end leaves the CRLF
 * away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>

#include "proto/smtp_harness.h"
#include "proto/smtp_scenarios.h"

enum { GROUPS_MAX = 200, SPLITS_MAX = 6000 };

struct scenario {
    struct smtps_config config;
    struct buf client, server, stored;
    size_t end[GROUPS_MAX];         /* of each group in client */
    size_t server_from[GROUPS_MAX]; /* where its replies begin in server */
    bool tls_before[GROUPS_MAX];    /* T: was between it and the group before */
    size_t n;
    bool unsplit, close, tls, mechs_under_tls, tls_next;
    int aborts;
};

static size_t hex(char c)
{
    return ascii_digit(c) ? (size_t)(c - '0') : (size_t)(ascii_lower(c) - 'a' + 10);
}

/* Adds `text` with its escapes undone; true: no CRLF is to follow. */
static bool unescape(str_t text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c != '\\') {
            buf_addc(out, c);
            continue;
        }
        must(++i < text.len);
        switch (text.ptr[i]) {
        case 'r': buf_addc(out, '\r'); break;
        case 'n': buf_addc(out, '\n'); break;
        case 't': buf_addc(out, '\t'); break;
        case '0': buf_addc(out, '\0'); break;
        case '\\': buf_addc(out, '\\'); break;
        case 'c': return true;
        case 'x':
            must(i + 2 < text.len);
            buf_addc(out, (char)(16 * hex(text.ptr[i + 1]) + hex(text.ptr[i + 2])));
            i += 2;
            break;
        case '(': {
            str_t rest = str_from(text, i + 1), number, what;
            uint64_t n;
            must(str_cut(&rest, ':', &number) && str_cut(&rest, ')', &what) &&
                 str_u64(number, 2000000, &n));
            while (n-- > 0)
                buf_add(out, what);
            i = (size_t)(rest.ptr - text.ptr) - 1;
            break;
        }
        default: fail_msg("unknown escape \\%c", text.ptr[i]);
        }
    }
    return false;
}

static const struct {
    str_t name;
    unsigned bit;
} offers[] = {
    {STR("starttls"), SMTPS_OFFER_STARTTLS},
    {STR("auth"), SMTPS_OFFER_AUTH},
    {STR("dsn"), SMTPS_OFFER_DSN},
    {STR("binarymime"), SMTPS_OFFER_BINARYMIME},
    {STR("requiretls"), SMTPS_OFFER_REQUIRETLS},
    {STR("deliverby"), SMTPS_OFFER_DELIVERBY},
    {STR("future"), SMTPS_OFFER_FUTURERELEASE},
    {STR("priority"), SMTPS_OFFER_MT_PRIORITY},
    {STR("limits"), SMTPS_OFFER_LIMITS},
    {STR("etrn"), SMTPS_OFFER_ETRN},
    {STR("xclient"), SMTPS_OFFER_XCLIENT},
    {STR("vrfy"), SMTPS_OFFER_VRFY},
};

static void offer(struct scenario *sc, str_t words)
{
    while (words.len > 0) {
        str_t word = words;
        size_t i = 0;
        if (!str_cut(&words, ' ', &word))
            words = STR("");
        while (i < sizeof offers / sizeof *offers && !str_eq(offers[i].name, word))
            i++;
        must(i < sizeof offers / sizeof *offers);
        sc->config.offer |= offers[i].bit;
    }
}

static void setting(struct scenario *sc, str_t line)
{
    str_t name = line;
    uint64_t v = 0;
    if (str_starts(line, STR("offer "))) {
        offer(sc, str_from(line, 6));
        return;
    }
    if (str_cut(&line, ' ', &name))
        must(str_u64(line, UINT32_MAX, &v));
    if (str_eq(name, STR("lmtp")))
        sc->config.lmtp = true;
    else if (str_eq(name, STR("unsplit")))
        sc->unsplit = true;
    else if (str_eq(name, STR("tls")))
        sc->tls = true;
    else if (str_eq(name, STR("mechs_under_tls")))
        sc->mechs_under_tls = true;
    else if (str_eq(name, STR("auth_needed")))
        sc->config.auth_needed = true;
    else if (str_eq(name, STR("by_min")))
        sc->config.by_min_s = (uint32_t)v;
    else if (str_eq(name, STR("future_max")))
        sc->config.future_max_s = (uint32_t)v;
    else if (str_eq(name, STR("aborts")))
        sc->aborts = (int)v;
    else if (str_eq(name, STR("size_max")))
        sc->config.size_max = v;
    else if (str_eq(name, STR("excess_max")))
        sc->config.excess_max = v;
    else if (str_eq(name, STR("recipients_max")))
        sc->config.recipients_max = (uint32_t)v;
    else if (str_eq(name, STR("messages_max")))
        sc->config.messages_max = (uint32_t)v;
    else if (str_eq(name, STR("errors_soft")))
        sc->config.errors_soft = (uint32_t)v;
    else if (str_eq(name, STR("errors_hard")))
        sc->config.errors_hard = (uint32_t)v;
    else if (str_eq(name, STR("junk_max")))
        sc->config.junk_max = (uint32_t)v;
    else
        fail_msg("unknown setting " STR_FMT, STR_ARG(name));
}

static void scenario_line(struct scenario *sc, str_t line, char *before)
{
    if (line.len == 0 || line.ptr[0] == '#')
        return;
    must(line.len >= 2);
    str_t text = line.len > 2 && line.ptr[2] == ' ' ? str_from(line, 3) : str_from(line, 2);
    char kind = line.ptr[0];
    must(kind == '@' || line.ptr[1] == ':');
    if (kind == '@') {
        setting(sc, str_from(line, 2));
    } else if (kind == 'C') {
        if (*before != 'C') {
            must(sc->n + 1 < GROUPS_MAX);
            sc->n++;
            sc->server_from[sc->n] = sc->server.len;
            sc->tls_before[sc->n] = sc->tls_next;
            sc->tls_next = false;
        }
        if (!unescape(text, &sc->client))
            buf_add(&sc->client, STR("\r\n"));
        sc->end[sc->n] = sc->client.len;
    } else if (kind == 'S' && str_eq(text, STR("[close]"))) {
        sc->close = true;
    } else if (kind == 'S') {
        buf_add(&sc->server, text);
        buf_add(&sc->server, STR("\r\n"));
    } else if (kind == 'T') {
        sc->tls_next = true;
    } else if (kind == 'M') {
        buf_add(&sc->stored, line);
        buf_add(&sc->stored, STR("\n"));
    } else if (kind == 'B') {
        if (!unescape(text, &sc->stored))
            buf_add(&sc->stored, STR("\r\n"));
    } else {
        fail_msg("unknown line " STR_FMT, STR_ARG(line));
    }
    *before = kind;
}

static void scenario_load(const char *path, struct scenario *sc)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char line[8192], before = 'S';
    *sc = (struct scenario){.config = {.hostname = STR("mx.example.test"),
                                       .size_max = 100000,
                                       .recipients_max = 100,
                                       .messages_max = 1000,
                                       .errors_soft = 5,
                                       .errors_hard = 15,
                                       .junk_max = 50,
                                       .idle_s = 300,
                                       .data_floor_bps = 500}};
    buf_init(&sc->client, 1 << 24);
    buf_init(&sc->server, 1 << 20);
    buf_init(&sc->stored, 1 << 24);
    while (fgets(line, sizeof line, f) != NULL) {
        str_t s = str_c(line);
        if (str_ends(s, STR("\n")))
            s.len--;
        scenario_line(sc, s, &before);
    }
    fclose(f);
    assert_false(sc->client.failed || sc->server.failed || sc->stored.failed);
}

static void scenario_free(struct scenario *sc)
{
    buf_free(&sc->client);
    buf_free(&sc->server);
    buf_free(&sc->stored);
}

static bool line_matches(str_t want, str_t got)
{
    if (str_ends(want, STR("*")))
        return str_starts(got, str_first(want, want.len - 1));
    return str_eq(want, got);
}

static bool said_as_expected(str_t want, str_t got)
{
    str_t a, b;
    while (want.len > 0 && got.len > 0) {
        if (!str_cut(&want, '\n', &a) || !str_cut(&got, '\n', &b))
            return false;
        must(a.len > 0 && a.ptr[a.len - 1] == '\r');
        if (b.len == 0 || b.ptr[b.len - 1] != '\r' ||
            !line_matches(str_first(a, a.len - 1), str_first(b, b.len - 1)))
            return false;
    }
    return want.len == 0 && got.len == 0;
}

static void say_difference(const char *path, size_t cut, size_t group, str_t want, str_t got)
{
    print_error("%s, cut at %zu, group %zu\nexpected:\n" STR_FMT "\nsaid:\n" STR_FMT "\n", path,
                cut, group, STR_ARG(want), STR_ARG(got));
}

/* cut: 0 whole, SIZE_MAX byte by byte, else the position in the client's bytes where a piece
 * ends. */
static bool play(const char *path, const struct scenario *sc, size_t cut)
{
    struct harness h;
    bool ok = true;
    harness_open(&h, &sc->config);
    if (sc->mechs_under_tls && !sc->tls)
        smtps_set_mechs(h.s, STR(""));
    if (sc->tls)
        smtps_tls_started(h.s, h.now_ms);
    harness_flush(&h);
    size_t at = 0, said = 0;
    for (size_t g = 0; ok && g <= sc->n; g++) {
        size_t end = g == 0 ? 0 : sc->end[g];
        if (sc->tls_before[g]) {
            assert_true(h.tls_wanted);
            harness_tls(&h);
            smtps_set_mechs(h.s, STR("ONE TWO BLANK"));
        }
        while (at < end) {
            size_t to = cut == SIZE_MAX ? at + 1 : cut > at && cut < end ? cut : end;
            harness_feed(&h, &sc->config, str_of(sc->client.ptr + at, to - at));
            at = to;
        }
        str_t got = str_from(buf_str(&h.said), said);
        size_t want_end = g == sc->n ? sc->server.len : sc->server_from[g + 1];
        str_t want = str_of(sc->server.ptr + sc->server_from[g], want_end - sc->server_from[g]);
        if (ok && !said_as_expected(want, got)) {
            say_difference(path, cut, g, want, got);
            ok = false;
        }
        said = h.said.len;
    }
    if (ok && smtps_closing(h.s) != sc->close) {
        print_error("%s, cut at %zu: %s\n", path, cut, sc->close ? "not closed" : "closed");
        ok = false;
    }
    smtps_eof(h.s);
    (void)harness_pump(&h, sc->config.lmtp);
    if (ok && (h.open || h.aborts != sc->aborts)) {
        print_error("%s, cut at %zu: %d transactions given up\n", path, cut, h.aborts);
        ok = false;
    }
    if (ok && !str_eq(buf_str(&h.stored), buf_str(&sc->stored))) {
        say_difference(path, cut, 0, buf_str(&sc->stored), buf_str(&h.stored));
        ok = false;
    }
    harness_close(&h);
    return ok;
}

static bool play_all(const char *path)
{
    struct scenario sc;
    scenario_load(path, &sc);
    bool ok = play(path, &sc, 0);
    if (!sc.unsplit) {
        /* Every position, unless the scenario is about bulk: then a few thousand of them. */
        size_t step = sc.client.len / SPLITS_MAX + 1;
        for (size_t cut = 1; ok && cut < sc.client.len; cut += step)
            ok = play(path, &sc, cut);
        if (ok)
            ok = play(path, &sc, SIZE_MAX);
    }
    scenario_free(&sc);
    return ok;
}

static void test_scenarios(void **state)
{
    (void)state;
    struct dirent **names;
    int n = scandir(SMTP_SCENARIOS, &names, NULL, alphasort), played = 0, failed = 0;
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        char path[1024];
        if (str_ends(str_c(names[i]->d_name), STR(".smtp"))) {
            snprintf(path, sizeof path, "%s/%s", SMTP_SCENARIOS, names[i]->d_name);
            played++;
            failed += !play_all(path);
        }
        free(names[i]);
    }
    free(names);
    print_message("%d scenarios\n", played);
    assert_true(played > 10);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scenarios)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
