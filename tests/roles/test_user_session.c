/* test_user_session.c: POP3 sessions over a mailbox in the memory engine, driven as sys/server.h
 * drives them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "post/mailbox_row.h"
#include "roles/log.h"
#include "roles/user/session.h"
#include "store/engines.h"

enum { ANNA = 3, NOW = 1000 };

struct world {
    str_t name; /* who may log in; empty: anna */
    struct env env;
    struct settings settings;
    struct user user;
    struct arena arena;
    int logins, logouts;
    struct store *lost; /* in the place of a session's store */
    enum rc login_rc;
    uint32_t hold_ms;
};

static int64_t wall_ms(struct env *e)
{
    (void)e;
    return 1700000000000;
}

static void random_fixed(struct env *e, void *to, size_t n)
{
    (void)e;
    memset(to, 1, n);
}

static enum rc login(struct user *u, str_t name, str_t password, const struct netaddr *from,
                     uint64_t *account, struct store **session, uint32_t *hold_ms, struct err *err)
{
    struct world *w = u->env->ctx;
    (void)from;
    *hold_ms = w->hold_ms;
    if (w->login_rc != RC_OK)
        return err_set(err, w->login_rc, "", "not today");
    if (!str_eq(name, w->name.len > 0 ? w->name : STR("anna")) || !str_eq(password, STR("secret")))
        return err_set(err, RC_PERM, "", "no");
    *account = ANNA;
    *session = u->env->store;
    w->logins++;
    return RC_OK;
}

static void logout(struct user *u, struct store *session)
{
    struct world *w = u->env->ctx;
    assert_true(session == u->env->store || session == w->lost);
    w->logouts++;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    w->env = (struct env){
        .wall_ms = wall_ms, .random = random_fixed, .store = store_memory_new(), .ctx = w};
    w->settings.connections_max = 10;
    arena_init(&w->arena, 64 << 20);
    assert_true(user_init(&w->user, &w->env, &w->settings));
    w->user.login = login;
    w->user.logout = logout;
    log_quiet(true);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    assert_int_equal(w->logins, w->logouts); /* every mailbox was given back */
    user_free(&w->user);
    store_close(w->env.store);
    arena_free(&w->arena);
    free(w);
    return 0;
}

static const struct server_session_ops *const ops = &user_session_ops;

static void *connect_from(struct world *w, const char *address)
{
    struct netaddr peer, local = {0};
    assert_true(netaddr_parse(str_c(address), &peer));
    void *s = ops->open(&w->user, &peer, &local, NOW);
    assert_non_null(s);
    return s;
}

static void take_output(void *s, struct buf *out, size_t *largest)
{
    do {
        str_t o = ops->output(s);
        if (o.len > *largest)
            *largest = o.len;
        buf_add(out, o);
        ops->sent(s, o.len);
    } while (ops->more(s, NOW) && ops->output(s).len > 0);
}

/* As the server does: output first, then input, the rest again. Returns all that was answered, as a
 * C string. */
static char *say(struct world *w, void *s, const char *text, size_t *largest)
{
    struct buf out;
    size_t most = 0;
    buf_init(&out, 64 << 20);
    str_t rest = str_c(text);
    take_output(s, &out, &most);
    while (rest.len > 0 && !ops->finished(s)) {
        size_t used = ops->input(s, rest, NOW);
        assert_true(used <= rest.len && (used > 0 || ops->output(s).len > 0));
        rest = str_from(rest, used);
        take_output(s, &out, &most);
    }
    assert_false(out.failed);
    char *z = arena_cstr(&w->arena, buf_str(&out));
    buf_free(&out);
    if (largest != NULL)
        *largest = most;
    return z;
}

static void deliver(struct world *w, uint8_t n, str_t content)
{
    bool again;
    struct mailbox_in *in = mailbox_in_begin(&w->env, ANNA, (queue_id_t){{n}});
    assert_int_equal(mailbox_in_write(in, content), STORE_OK);
    assert_int_equal(mailbox_in_commit(in, &again), STORE_OK);
}

static size_t count(struct world *w)
{
    struct mailbox_message *m;
    size_t n;
    assert_int_equal(mailbox_list(w->env.store, ANNA, MAILBOX_INBOX, &w->arena, &m, &n), STORE_OK);
    return n;
}

#define LOGIN "USER anna\r\nPASS secret\r\n"

static void test_session(void **state)
{
    struct world *w = *state;
    deliver(w, 1, STR("A: 1\r\n\r\n.x\r\n"));
    deliver(w, 2, STR("B: 2\r\n\r\n"));
    void *s = connect_from(w, "127.0.0.1");
    assert_string_equal(say(w, s, LOGIN "UIDL\r\nRETR 1\r\nDELE 1\r\n", NULL),
                        "+OK POP3 ready\r\n+OK\r\n+OK 2 messages (20 octets)\r\n"
                        "+OK 2 messages (20 octets)\r\n1 1700000000.1\r\n2 1700000000.2\r\n.\r\n"
                        "+OK 12 octets\r\nA: 1\r\n\r\n..x\r\n.\r\n+OK message 1 deleted\r\n");
    assert_int_equal(count(w), 2);      /* not before QUIT */
    deliver(w, 3, STR("C: 3\r\n\r\n")); /* came after the login: not seen */
    assert_string_equal(say(w, s, "STAT\r\nQUIT\r\n", NULL), "+OK 1 8\r\n+OK bye\r\n");
    assert_true(ops->finished(s));
    ops->close(s);
    assert_int_equal(count(w), 2);
    s = connect_from(w, "::1");
    assert_string_equal(say(w, s, LOGIN "UIDL\r\nDELE 1\r\n", NULL),
                        "+OK POP3 ready\r\n+OK\r\n+OK 2 messages (16 octets)\r\n"
                        "+OK 2 messages (16 octets)\r\n1 1700000000.2\r\n2 "
                        "1700000000.3\r\n.\r\n+OK message 1 deleted\r\n");
    ops->eof(s, NOW);
    ops->close(s); /* the connection was lost */
    assert_int_equal(count(w), 2);
}

static void test_login_refused(void **state)
{
    struct world *w = *state;
    void *s = connect_from(w, "127.0.0.1");
    const char *wrong_password = say(w, s, "USER anna\r\nPASS x\r\n", NULL);
    const char *wrong_name = say(w, s, "USER nobody\r\nPASS secret\r\n", NULL);
    assert_string_equal(strstr(wrong_password, "-ERR"),
                        "-ERR [AUTH] name or password is wrong\r\n");
    /* the same words */
    assert_string_equal(strstr(wrong_name, "-ERR"), strstr(wrong_password, "-ERR"));
    w->login_rc = RC_TEMP;
    assert_non_null(strstr(say(w, s, LOGIN, NULL), "-ERR [SYS/TEMP] logins cannot be checked now"));
    assert_true(ops->finished(s)); /* three times is enough */
    ops->close(s);
    w->login_rc = RC_OK;
    s = connect_from(w, "192.0.2.1");
    assert_non_null(
        strstr(say(w, s, "USER anna\r\n", NULL),
               "-ERR [AUTH] passwords are taken only over connections from this machine"));
    ops->close(s);
    assert_int_equal(w->logins, 0);
}

/* The answer to a wrong password waits without a thread; with many that wait for core, others are
 * told to come again. */
static void test_logins_cost_others_nothing(void **state)
{
    struct world *w = *state;
    void *s = connect_from(w, "127.0.0.1");
    w->hold_ms = 2000;
    (void)say(w, s, "USER anna\r\nPASS x\r\n", NULL);
    assert_int_equal(ops->hold_until_ms(s), NOW + 2000);
    w->hold_ms = 0;
    atomic_store(&w->user.logins_waiting, USER_LOGINS_MAX);
    assert_non_null(strstr(say(w, s, LOGIN, NULL), "-ERR [SYS/TEMP]"));
    assert_int_equal(ops->hold_until_ms(s), NOW + USER_BUSY_HOLD_MS);
    atomic_store(&w->user.logins_waiting, USER_LOGINS_MAX - 1);
    assert_non_null(strstr(say(w, s, LOGIN, NULL), "+OK 0 messages"));
    assert_int_equal(ops->hold_until_ms(s), 0);
    assert_int_equal(atomic_load(&w->user.logins_waiting), USER_LOGINS_MAX - 1);
    ops->close(s);
}

/* A person types the domain as it is written; the account's name has it in A-labels. */
static void test_international_name(void **state)
{
    struct world *w = *state;
    static const char *const typed[] = {"jörg@BÜCHER.example", "jörg@xn--BCHER-kva.example",
                                        "jörg@xn--bcher-kva.example"};
    w->name = STR("jörg@xn--bcher-kva.example");
    for (size_t i = 0; i < 3; i++) {
        char lines[100];
        void *s = connect_from(w, "127.0.0.1");
        snprintf(lines, sizeof lines, "USER %s\r\nPASS secret\r\nQUIT\r\n", typed[i]);
        assert_null(strstr(say(w, s, lines, NULL), "-ERR"));
        ops->close(s);
    }
    assert_int_equal(w->logins, 3);
    void *s = connect_from(w, "127.0.0.1");
    assert_non_null(
        strstr(say(w, s, "USER jörg@b\xc3.example\r\nPASS secret\r\n", NULL), "[AUTH]"));
    ops->close(s);
}

static void test_one_session_a_mailbox(void **state)
{
    struct world *w = *state;
    void *a = connect_from(w, "127.0.0.1"), *b = connect_from(w, "127.0.0.1");
    say(w, a, LOGIN, NULL);
    assert_non_null(strstr(say(w, b, LOGIN, NULL), "-ERR [IN-USE] "));
    ops->close(a);
    assert_non_null(strstr(say(w, b, LOGIN, NULL), "+OK 0 messages"));
    say(w, b, "QUIT\r\n", NULL); /* who has read "bye" may log in again at once */
    a = connect_from(w, "127.0.0.1");
    assert_non_null(strstr(say(w, a, LOGIN, NULL), "+OK 0 messages"));
    ops->close(b);
    ops->close(a);
}

static void test_unreadable(void **state)
{
    struct world *w = *state;
    deliver(w, 1, STR("A: 1\r\n\r\n"));
    deliver(w, 2, STR("B: 2\r\n\r\n"));
    store_memory_damage(w->env.store, MAILBOX_PART(ANNA),
                        mailbox_key_chunk((uint8_t[10]){1}, 0, &w->arena));
    void *s = connect_from(w, "127.0.0.1");
    say(w, s, LOGIN, NULL);
    assert_string_equal(
        say(w, s, "RETR 1\r\nRETR 2\r\n", NULL),
        "-ERR [SYS/PERM] this message is damaged and cannot be read; tell your postmaster\r\n"
        "+OK 8 octets\r\nB: 2\r\n\r\n.\r\n");
    store_memory_fail(w->env.store, STORE_FULL);
    assert_string_equal(
        say(w, s, "DELE 1\r\nQUIT\r\n", NULL),
        "+OK message 1 deleted\r\n-ERR [SYS/TEMP] some deleted messages not removed\r\n");
    store_memory_fail(w->env.store, STORE_OK);
    ops->close(s);
    store_memory_damage(w->env.store, MAILBOX_PART(ANNA),
                        mailbox_key_folder(MAILBOX_INBOX, &w->arena));
    s = connect_from(w, "127.0.0.1");
    assert_non_null(strstr(say(w, s, LOGIN, NULL), "-ERR [SYS/PERM] the mailbox cannot be read"));
    ops->close(s);
    assert_int_equal(w->logins, w->logouts);
}

/* A large message goes out whole, and never more of it is in memory than a chunk, stuffed. */
static void test_large_message(void **state)
{
    struct world *w = *state;
    enum { LINES = 200000 };
    struct buf b;
    size_t largest;
    buf_init(&b, 64 << 20);
    buf_add(&b, STR("A: 1\r\n\r\n"));
    for (int i = 0; i < LINES; i++)
        buf_add(&b, i % 3 ? STR(".line of text here\r\n") : STR(".\r\n"));
    deliver(w, 1, buf_str(&b));
    void *s = connect_from(w, "127.0.0.1");
    say(w, s, LOGIN, NULL);
    const char *got = say(w, s, "RETR 1\r\nNOOP\r\n", &largest);
    assert_true(largest < 160 * 1024);
    const char *p = strchr(got, '\n') + 1;
    size_t n = 0, dots = 0; /* unstuff and compare */
    for (bool start = true; !(start && strncmp(p, ".\r\n", 3) == 0); p++) {
        if (start && *p == '.') {
            p++;
            dots++;
        }
        start = *p == '\n';
        assert_true(n < b.len && b.ptr[n++] == *p);
    }
    assert_int_equal(n, b.len);
    assert_int_equal(dots, LINES);
    assert_string_equal(p, ".\r\n+OK\r\n");
    ops->close(s);
    buf_free(&b);
}

/* A session that core knows no more. */
static enum store_rc lost_get(struct store *s, part_t part, const str_t *keys, size_t n,
                              struct arena *a, struct store_value *out)
{
    (void)s, (void)part, (void)keys, (void)n, (void)a, (void)out;
    return STORE_DENIED;
}

static enum store_rc lost_scan(struct store *s, const struct store_scan *q, struct arena *a,
                               struct store_page *out)
{
    (void)s, (void)q, (void)a, (void)out;
    return STORE_DENIED;
}

static void lost_submit(struct store *s, struct store_commit *c)
{
    (void)s;
    c->rc = STORE_DENIED;
    c->done(c);
}

static const struct store_ops lost_ops = {
    .get = lost_get, .scan = lost_scan, .submit = lost_submit};
static struct store lost = {&lost_ops};

/* Core takes the session away while it is open: what was read at login is told, nothing more is read,
 * nothing is deleted, and the connection closes. */
static void lose_session(struct world *w, const char *before, const char *text, const char *want)
{
    struct user_session *s = connect_from(w, "127.0.0.1");
    say(w, s, LOGIN, NULL);
    say(w, s, before, NULL);
    s->store = w->lost = &lost;
    assert_string_equal(say(w, s, text, NULL), want);
    assert_true(ops->finished(s));
    ops->close(s);
}

static void test_login_over(void **state)
{
    struct world *w = *state;
    deliver(w, 1, STR("A: 1\r\n\r\n"));
#define OVER "-ERR [AUTH] the password was changed or taken away, log in again\r\n"
    lose_session(w, "", "STAT\r\nRETR 1\r\nSTAT\r\n", "+OK 1 8\r\n" OVER);
    lose_session(w, "", "TOP 1 0\r\n", OVER);
    lose_session(w, "DELE 1\r\n", "QUIT\r\n", OVER);
    void *s = connect_from(w, "127.0.0.1");
    say(w, s, LOGIN, NULL);
    assert_string_equal(say(w, s, "STAT\r\n", NULL), "+OK 1 8\r\n");
    ops->close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_session, setup, teardown),
        cmocka_unit_test_setup_teardown(test_login_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_logins_cost_others_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_session_a_mailbox, setup, teardown),
        cmocka_unit_test_setup_teardown(test_international_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_message, setup, teardown),
        cmocka_unit_test_setup_teardown(test_login_over, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
