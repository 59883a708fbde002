/* test_certificates.c: Certificates from their files to the roles that serve TLS: what is found, what
 * is passed and to whom, what a change does, and that the TLS library needs nothing that a role's
 * sandbox denies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "roles/control.h"
#include "roles/log.h"
#include "roles/sealed.h"
#include "roles/supervisor/supervisor_internal.h"
#include "roles/tls_parcel.h"
#include "sys/clock.h"
#include "sys/env.h"
#include "sys/net.h"
#include "tls_pki.h"

#define LONG_MS 20000

/* ---- a supervisor with a folder, and the ends that roles would have ---- */

struct world {
    char root[64];
    struct settings set;
    struct supervisor s;
    int ends[ROLE_COUNT];
    struct pki *ca, *a, *b;
    struct buf got[ROLE_COUNT]; /* what a role was given last */
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    snprintf(w->root, sizeof w->root, "/tmp/test_certificates.XXXXXX");
    assert_non_null(mkdtemp(w->root));
    w->ca = pki_make(NULL, &(struct pki_want){0});
    w->a = pki_make(w->ca, &(struct pki_want){.names = "DNS:mx.a.example"});
    w->b = pki_make(w->ca, &(struct pki_want){.names = "DNS:mx.b.example"});
    w->set.data_dir = str_c(w->root);
    w->set.hostname = STR("mx.a.example");
    w->set.tls_ca_file = STR("/nonexistent/ca");
    w->s.set = &w->set;
    w->s.stage = -1;
    for (int i = 0; i < ROLE_COUNT; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
                         0);
        w->s.children[i] =
            (struct child){.id = (enum role_id)i, .row = &role_table[i], .control = fds[0]};
        w->ends[i] = fds[1];
        buf_init(&w->got[i], TLS_PARCEL_MAX);
    }
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    char command[128];
    certificates_close(&w->s);
    for (int i = 0; i < ROLE_COUNT; i++) {
        close(w->s.children[i].control);
        close(w->ends[i]);
        buf_free(&w->got[i]);
    }
    pki_free(w->ca);
    pki_free(w->a);
    pki_free(w->b);
    snprintf(command, sizeof command, "rm -rf %s", w->root);
    assert_int_equal(system(command), 0);
    free(w);
    return 0;
}

static char *at(const struct world *w, const char *path)
{
    static char out[2][256];
    static int turn;
    turn = !turn;
    snprintf(out[turn], sizeof out[turn], "%s/%s", w->root, path);
    return out[turn];
}

static void put(const struct world *w, const char *path, const char *text)
{
    char folder[256];
    snprintf(folder, sizeof folder, "%s", at(w, path));
    for (char *p = folder + strlen(w->root) + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
        *p = '\0';
        (void)mkdir(folder, 0700);
    }
    int fd = open(at(w, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void put_pair(const struct world *w, const char *name, const struct pki *p)
{
    char path[128];
    snprintf(path, sizeof path, "tls/%s/cert.pem", name);
    put(w, path, p->cert_pem);
    snprintf(path, sizeof path, "tls/%s/key.pem", name);
    put(w, path, p->key_pem);
}

static void look(struct world *w)
{
    w->s.certificates_due_ms = 0;
    certificates_look(&w->s);
}

/* How many messages the role got; of the last its kind and bytes. */
static int receive(struct world *w, enum role_id id, enum control_kind *kind)
{
    struct control_message m;
    int n = 0;
    str_t bytes;
    while (control_receive(w->ends[id], &m) == 1) {
        n++;
        *kind = m.kind;
        assert_true(m.fd >= 0);
        assert_int_equal(write(m.fd, "x", 1), -1); /* sealed */
        assert_true(sealed_map(m.fd, TLS_PARCEL_MAX, &bytes));
        buf_clear(&w->got[id]);
        assert_true(buf_add(&w->got[id], bytes));
        sealed_unmap(bytes);
        close(m.fd);
    }
    return n;
}

/* Names in the order they are handed out, with what follows '=': whose certificate. */
static void expect_pairs(struct world *w, enum role_id id, const char *want)
{
    enum control_kind kind = CONTROL_KINDS;
    struct tls_pair *pairs;
    size_t n;
    char text[256] = "";
    assert_int_equal(receive(w, id, &kind), 1);
    assert_int_equal(kind, CONTROL_TLS_PAIRS);
    assert_true(tls_parcel_read(buf_str(&w->got[id]), &pairs, &n));
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(text);
        const char *whose = str_eq(pairs[i].chain_pem, str_c(w->a->cert_pem))   ? "a"
                            : str_eq(pairs[i].chain_pem, str_c(w->b->cert_pem)) ? "b"
                                                                                : "?";
        snprintf(text + len, sizeof text - len, STR_FMT "=%s ", STR_ARG(pairs[i].name), whose);
        assert_true(pairs[i].key_pem.len > 0);
    }
    free(pairs);
    assert_string_equal(text, want);
}

static void expect_nothing(struct world *w)
{
    enum control_kind kind;
    for (int i = ROLE_SUPERVISOR + 1; i < ROLE_COUNT; i++)
        assert_int_equal(receive(w, (enum role_id)i, &kind), 0);
}

static void begin(struct world *w)
{
    struct err err = {0};
    assert_int_equal(certificates_open(&w->s, &err), RC_OK);
    for (int i = ROLE_SUPERVISOR + 1; i < ROLE_COUNT; i++)
        assert_true(certificates_give(&w->s, &w->s.children[i]));
}

/* ---- tests ---- */

static void test_keys_go_to_who_serves_tls(void **state)
{
    struct world *w = *state;
    enum control_kind kind = CONTROL_KINDS;
    put(w, "ca.pem", w->ca->cert_pem);
    char *ca_file = strdup(at(w, "ca.pem"));
    w->set.tls_ca_file = str_c(ca_file);
    put_pair(w, "mx.b.example", w->b);
    put_pair(w, "mx.a.example", w->a);
    put_pair(w, ".mx.c.example.new", w->a);
    begin(w);
    /* our own name first */
    expect_pairs(w, ROLE_MX, "mx.a.example=a mx.b.example=b ");
    expect_pairs(w, ROLE_USER, "mx.a.example=a mx.b.example=b ");
    assert_int_equal(receive(w, ROLE_COURIER, &kind), 1);
    assert_int_equal(kind, CONTROL_TLS_AUTHORITIES);
    assert_true(str_eq(buf_str(&w->got[ROLE_COURIER]), str_c(w->ca->cert_pem)));
    expect_nothing(w); /* the others: nothing at all */
    free(ca_file);
}

static void test_one_is_made(void **state)
{
    struct world *w = *state;
    struct stat st;
    begin(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=? ");
    assert_int_equal(stat(at(w, "tls/mx.a.example/key.pem"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_blocks(void **state)
{
    struct world *w = *state;
    put_pair(w, "mx.a.example", w->a);
    put(w, "live/fullchain.pem", w->b->cert_pem);
    put(w, "live/privkey.pem", w->b->key_pem);
    char *chain = strdup(at(w, "live/fullchain.pem")), *key = strdup(at(w, "live/privkey.pem"));
    w->set.certificates[0] =
        (struct settings_certificate){STR("mx.a.example"), str_c(chain), str_c(key)};
    w->set.certificates[1] =
        (struct settings_certificate){STR("gone.example"), STR("/nonexistent"), str_c(key)};
    w->set.n_certificates = 2;
    begin(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=b "); /* the block goes before the folder */
    free(chain);
    free(key);
}

static void test_certbot_folder(void **state)
{
    struct world *w = *state;
    put(w, "tls/mx.a.example/fullchain.pem", w->a->cert_pem);
    put(w, "tls/mx.a.example/privkey.pem", w->a->key_pem);
    put(w, "tls/mx.a.example/cert.pem", w->a->cert_pem);
    put(w, "tls/README", "This directory contains your keys and certificates.");
    begin(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=a ");
}

static void test_changes(void **state)
{
    struct world *w = *state;
    enum control_kind kind;
    put_pair(w, "mx.a.example", w->a);
    begin(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=a ");
    expect_pairs(w, ROLE_USER, "mx.a.example=a ");
    look(w);
    look(w);
    expect_nothing(w);
    /* half of a new pair, seen by one look: the next sees both */
    put(w, "tls/mx.a.example/cert.pem", w->b->cert_pem);
    look(w);
    expect_nothing(w);
    put(w, "tls/mx.a.example/key.pem", w->b->key_pem);
    look(w);
    expect_nothing(w);
    look(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=b ");
    expect_pairs(w, ROLE_USER, "mx.a.example=b ");
    expect_nothing(w);
    /* broken: the old one stays, for those that are started again too */
    put(w, "tls/mx.a.example/key.pem", w->a->key_pem);
    look(w);
    look(w);
    look(w);
    expect_nothing(w);
    assert_true(certificates_give(&w->s, &w->s.children[ROLE_MX]));
    expect_pairs(w, ROLE_MX, "mx.a.example=b ");
    /* repaired */
    put(w, "tls/mx.a.example/cert.pem", w->a->cert_pem);
    look(w);
    look(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=a ");
    /* another one comes, while a third is broken from the start */
    put_pair(w, "mx.b.example", w->b);
    put(w, "tls/mx.c.example/cert.pem", w->b->cert_pem);
    look(w);
    look(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=a mx.b.example=b ");
    /* and goes */
    assert_int_equal(rename(at(w, "tls/mx.b.example"), at(w, "away")), 0);
    look(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=a ");
    (void)receive(w, ROLE_USER, &kind);
    expect_nothing(w);
}

/* As certbot does: files are links into an archive, and the links are exchanged. */
static void test_links(void **state)
{
    struct world *w = *state;
    put(w, "archive/cert1.pem", w->a->cert_pem);
    put(w, "archive/key1.pem", w->a->key_pem);
    put(w, "archive/cert2.pem", w->b->cert_pem);
    put(w, "archive/key2.pem", w->b->key_pem);
    put(w, "tls/mx.a.example/x", "");
    assert_int_equal(symlink("../../archive/cert1.pem", at(w, "tls/mx.a.example/cert.pem")), 0);
    assert_int_equal(symlink("../../archive/key1.pem", at(w, "tls/mx.a.example/key.pem")), 0);
    begin(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=a ");
    assert_int_equal(symlink("../../archive/cert2.pem", at(w, "tls/mx.a.example/new")), 0);
    assert_int_equal(rename(at(w, "tls/mx.a.example/new"), at(w, "tls/mx.a.example/cert.pem")), 0);
    assert_int_equal(symlink("../../archive/key2.pem", at(w, "tls/mx.a.example/new")), 0);
    assert_int_equal(rename(at(w, "tls/mx.a.example/new"), at(w, "tls/mx.a.example/key.pem")), 0);
    look(w);
    look(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=b ");
    /* and what a link leads to changes in its place */
    put(w, "archive/cert2.pem", w->a->cert_pem);
    put(w, "archive/key2.pem", w->a->key_pem);
    look(w);
    look(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=a ");
}

static void test_odd_files(void **state)
{
    struct world *w = *state;
    put_pair(w, "mx.b.example", w->b);
    put(w, "tls/mx.a.example/key.pem", w->a->key_pem);
    assert_int_equal(mkfifo(at(w, "tls/mx.a.example/cert.pem"), 0600), 0); /* it must not wait */
    put(w, "tls/mx.c.example/key.pem", w->a->key_pem);
    assert_int_equal(mkdir(at(w, "tls/mx.c.example/cert.pem"), 0700), 0);
    put_pair(w, "mx.d.example", w->a);
    assert_int_equal(truncate(at(w, "tls/mx.d.example/cert.pem"), TLS_CHAIN_MAX + 1), 0);
    begin(w);
    expect_pairs(w, ROLE_MX, "mx.b.example=b ");
}

static void test_authorities(void **state)
{
    struct world *w = *state;
    enum control_kind kind = CONTROL_KINDS;
    char *ca_file = strdup(at(w, "ca.pem"));
    w->set.tls_ca_file = str_c(ca_file);
    put_pair(w, "mx.a.example", w->a);
    begin(w);
    assert_int_equal(receive(w, ROLE_COURIER, &kind), 0); /* no file: nobody is trusted */
    put(w, "ca.pem", w->ca->cert_pem);
    look(w);
    look(w);
    assert_int_equal(receive(w, ROLE_COURIER, &kind), 1);
    put(w, "ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    look(w);
    look(w);
    unlink(at(w, "ca.pem"));
    look(w);
    look(w);
    assert_int_equal(receive(w, ROLE_COURIER, &kind), 0); /* those before stay */
    free(ca_file);
}

/* ---- dates ---- */

#define DAY_MS INT64_C(86400000)

/* What is logged while `act` runs. */
static char *logged(struct world *w, void (*act)(struct world *w))
{
    static char out[8192];
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    log_to(fds[1]);
    act(w);
    log_to(2);
    close(fds[1]);
    size_t len = 0;
    for (ssize_t n;
         len < sizeof out - 1 && (n = read(fds[0], out + len, sizeof out - 1 - len)) > 0;)
        len += (size_t)n;
    out[len] = '\0';
    close(fds[0]);
    return out;
}

static int count(const char *text, const char *what)
{
    int n = 0;
    while ((text = strstr(text, what)) != NULL) {
        n++;
        text += strlen(what);
    }
    return n;
}

static void warn_now(struct world *w)
{
    certificates_warn(&w->s, sys_wall_ms());
}

static void warn_in_twenty_days(struct world *w)
{
    certificates_warn(&w->s, sys_wall_ms() + 20 * DAY_MS);
}

/* Of 90 days the last 14, of 8 days the last two, of one that is over or has not begun: all. */
static void test_dates(void **state)
{
    struct world *w = *state;
    const struct {
        const char *name;
        int from, until;
    } made[] = {{"good.example", -60, 30}, {"soon.example", -80, 10}, {"short.example", -5, 3},
                {"end.example", -7, 1},    {"over.example", -90, -1}, {"later.example", 2, 40}};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        struct pki *p = pki_make(w->ca, &(struct pki_want){.names = "DNS:x.example",
                                                           .from_days = made[i].from,
                                                           .days = made[i].until});
        put_pair(w, made[i].name, p);
        pki_free(p);
    }
    char *text = logged(w, begin);
    assert_int_equal(count(text, "\n"), 6 + 4 + 1); /* the file of the authorities is not there */
    assert_int_equal(count(text, " certificate name="), 6);
    assert_int_equal(count(text, " until=20"), 6 + 4);
    assert_non_null(strstr(text, " certificate-ends-soon name=soon.example file="));
    assert_non_null(strstr(text, " certificate-ends-soon name=end.example "));
    assert_non_null(strstr(text, " certificate-expired name=over.example "));
    assert_non_null(strstr(text, " certificate-not-yet-valid name=later.example "));
    assert_non_null(strstr(text, "renew it"));
    /* not with each look, but each day */
    assert_string_equal(logged(w, look), "");
    text = logged(w, warn_now);
    assert_int_equal(count(text, "\n"), 4);
    text = logged(w, warn_in_twenty_days);
    assert_int_equal(count(text, " certificate-expired "), 4);
    assert_non_null(strstr(text, " certificate-ends-soon name=good.example "));
    assert_int_equal(count(text, "\n"), 5);
}

/* What there is none of at the start comes later, and is then handed out as any. */
static void test_the_first_comes_late(void **state)
{
    struct world *w = *state;
    enum control_kind kind;
    char *chain = strdup(at(w, "live/fullchain.pem")), *key = strdup(at(w, "live/privkey.pem"));
    w->set.certificates[0] =
        (struct settings_certificate){STR("mx.a.example"), str_c(chain), str_c(key)};
    w->set.n_certificates = 1;
    begin(w);
    expect_pairs(w, ROLE_MX, "");
    expect_pairs(w, ROLE_USER, "");
    look(w);
    (void)receive(w, ROLE_COURIER, &kind);
    expect_nothing(w);
    put(w, "live/fullchain.pem", w->a->cert_pem);
    put(w, "live/privkey.pem", w->a->key_pem);
    look(w);
    look(w);
    expect_pairs(w, ROLE_MX, "mx.a.example=a ");
    expect_pairs(w, ROLE_USER, "mx.a.example=a ");
    free(chain);
    free(key);
}

/* ---- the parcel ---- */

static void test_parcel(void **state)
{
    struct world *w = *state;
    struct buf b;
    struct tls_pair *pairs, p = pki_pair("mx.a.example", w->a);
    size_t n;
    buf_init(&b, 1 << 20);
    tls_parcel_begin(&b);
    assert_true(tls_parcel_read(buf_str(&b), &pairs, &n));
    assert_int_equal(n, 0);
    assert_true(tls_parcel_add(&b, &p));
    assert_true(tls_parcel_add(&b, &p));
    for (size_t len = 0; len <= b.len; len++) { /* cut anywhere but between two: refused */
        bool whole = len == 1 || len == 1 + (b.len - 1) / 2 || len == b.len;
        assert_int_equal(tls_parcel_read(str_first(buf_str(&b), len), &pairs, &n), whole);
        if (whole) {
            assert_int_equal(n, len == 1 ? 0 : len == b.len ? 2 : 1);
            free(pairs);
        }
    }
    b.ptr[0] = 9;
    assert_false(tls_parcel_read(buf_str(&b), &pairs, &n));
    buf_clear(&b);
    p = (struct tls_pair){0};
    tls_parcel_begin(&b);
    for (size_t i = 0; i < TLS_PARCEL_PAIRS_MAX; i++)
        assert_true(tls_parcel_add(&b, &p));
    assert_true(tls_parcel_read(buf_str(&b), &pairs, &n));
    assert_int_equal(n, TLS_PARCEL_PAIRS_MAX);
    free(pairs);
    assert_true(tls_parcel_add(&b, &p));
    assert_false(tls_parcel_read(buf_str(&b), &pairs, &n));
    buf_free(&b);
}

/* ---- in a role's sandbox ---- */

struct peer {
    struct tls_service *service;
    int fd;
    bool good;
};

static void *serve_one(void *arg)
{
    struct peer *p = arg;
    struct tls *t = tls_accept(p->service, p->fd);
    char byte;
    size_t n;
    enum tls_io io = t != NULL ? tls_handshake(t) : TLS_IO_FAILED;
    struct pollfd wait = {.fd = p->fd, .events = POLLIN};
    for (; t != NULL && io == TLS_IO_WANT_READ; io = tls_handshake(t))
        (void)poll(&wait, 1, LONG_MS);
    p->good = io == TLS_IO_OK;
    while (p->good && (io = tls_read(t, &byte, 1, &n)) != TLS_IO_CLOSED) {
        if (io == TLS_IO_WANT_READ)
            (void)poll(&wait, 1, LONG_MS);
        else if (io != TLS_IO_OK || tls_write(t, str_of(&byte, 1), &n) != TLS_IO_OK)
            p->good = false;
    }
    tls_close(t);
    close(p->fd);
    return NULL;
}

/* Both sides in this process, whatever it may. 0: good. */
static int handshake(struct tls_service *s, struct tls_client *c)
{
    int fds[2];
    struct env env;
    struct netaddr none = {0};
    struct err err = {0};
    struct tls_info info;
    pthread_t thread;
    size_t got = 0;
    char byte = 'x';
    const struct tls_client_config config = {.name = STR("mx.a.example"),
                                             .verify = TLS_VERIFY_NAME};
    sys_env_init(&env);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return 10;
    struct peer p = {.service = s, .fd = fds[0]};
    if (pthread_create(&thread, NULL, serve_one, &p) != 0)
        return 11;
    struct conn *conn = net_conn_new(fds[1], &none, &none);
    if (tls_client_start(c, &env, &conn, &config, sys_mono_ms() + LONG_MS, &info, &err) != RC_OK)
        return 12;
    bool good = conn->ops->write(conn, str_of(&byte, 1), sys_mono_ms() + LONG_MS) == RC_OK &&
                conn->ops->read(conn, &byte, 1, &got, sys_mono_ms() + LONG_MS) == RC_OK && got == 1;
    conn->ops->close(conn);
    pthread_join(thread, NULL);
    return good && p.good ? 0 : 13;
}

/* As a role lives: the vault before the sandbox, all else in it. */
static int live(enum role_id id, int parcel, int authorities)
{
    struct settings set = {0};
    struct err err = {0};
    struct tls_vault *v = tls_vault_new();
    struct sandbox box = role_sandbox(id, &set, -1);
    if (sandbox_enter(&box, &err) != RC_OK)
        return 1;
    if (tls_parcel_take_pairs(v, parcel, &err) != RC_OK ||
        tls_parcel_take_authorities(v, authorities, &err) != RC_OK)
        return 2;
    const struct tls_service_config config = {.name = "smtp", .tickets = true};
    struct tls_service *s = tls_service_new(v, &config);
    struct tls_client *c = tls_client_new(v);
    for (int i = 0; i < 3; i++) { /* the second is resumed, the third is after a reload */
        int status = handshake(s, c);
        if (status != 0)
            return status;
        if (i == 1 && tls_parcel_take_pairs(v, parcel, &err) != RC_OK)
            return 3;
    }
    const struct tls_pair bad = {STR("x"), STR("x"), STR("x")};
    if (tls_vault_set_pairs(v, &bad, 1, &err) == RC_OK) /* its error text needs no file either */
        return 4;
    tls_client_free(c);
    tls_service_free(s);
    tls_vault_free(v);
    return 0;
}

static void test_in_the_sandbox(void **state)
{
    struct world *w = *state;
    const enum role_id roles[] = {ROLE_MX, ROLE_USER, ROLE_COURIER};
    struct buf b;
    buf_init(&b, 1 << 20);
    struct tls_pair p = pki_pair("mx.a.example", w->a);
    tls_parcel_begin(&b);
    assert_true(tls_parcel_add(&b, &p));
    int parcel = sealed_new("p", buf_str(&b)), ca = sealed_new("c", str_c(w->ca->cert_pem));
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0)
            _exit(live(roles[i], parcel, ca));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_false(WIFSIGNALED(status)); /* a system call that it may not make */
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    close(parcel);
    close(ca);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys_go_to_who_serves_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_is_made, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_certbot_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_authorities, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_first_comes_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parcel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_the_sandbox, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
