/* test_queue.c: The queue: records and the way in. */
#include "queue_fixture.h"

#include <stdlib.h>

#include "post/queue_bounce.h"
#include "post/queue_event.h"

static void id_text(void **state)
{
    (void)state;
    char text[QUEUE_ID_TEXT];
    queue_id_t id = queue_id_new(&fe.env), back;
    assert_int_equal(queue_id_ms(id), fe.wall);
    assert_int_equal(strlen(queue_id_text(id, text)), 16);
    assert_true(queue_id_parse(str_c(text), &back));
    assert_true(queue_id_eq(id, back));
    assert_false(queue_id_parse(STR("short"), &back));
    assert_false(queue_id_parse(STR("!!!!!!!!!!!!!!!!"), &back));
}

static struct queue_message some_message(queue_id_t id)
{
    return (struct queue_message){.id = id,
                                  .arrived_ms = 123456789,
                                  .size = 99,
                                  .chunks = 2,
                                  .body_8bit = true,
                                  .single = true,
                                  .last_resort = true,
                                  .next_n = 5,
                                  .reverse_path = STR("a@b.test"),
                                  .client = STR("192.0.2.1:4711"),
                                  .helo = STR("h"),
                                  .protocol = STR("ESMTP"),
                                  .envelope_id = STR("e"),
                                  .body_binary = true,
                                  .requiretls = true,
                                  .auto_submitted = true,
                                  .by_trace = true,
                                  .ret = QUEUE_RET_HDRS,
                                  .by = QUEUE_BY_RETURN,
                                  .priority = -9,
                                  .deliver_by_ms = 1000,
                                  .release_ms = 2000,
                                  .account = 77,
                                  .source = STR("a/77")};
}

static void message_record(void **state)
{
    (void)state;
    queue_id_t id = queue_id_new(&fe.env);
    struct queue_message m = some_message(id), n;
    struct buf b;
    buf_init(&b, 65536);
    assert_true(queue_message_encode(&m, &b));
    assert_true(queue_message_decode(buf_str(&b), id, &a, &n));
    assert_int_equal(n.arrived_ms, 123456789);
    assert_int_equal(n.chunks, 2);
    assert_true(n.body_8bit && n.single && n.last_resort && !n.smtputf8 && !n.bounce);
    assert_int_equal(n.next_n, 5);
    assert_true(str_eq(n.reverse_path, STR("a@b.test")) && str_eq(n.protocol, STR("ESMTP")));
    assert_true(n.body_binary && n.requiretls && n.auto_submitted && n.by_trace);
    assert_true(n.ret == QUEUE_RET_HDRS && n.by == QUEUE_BY_RETURN && n.priority == -9);
    assert_true(n.deliver_by_ms == 1000 && n.release_ms == 2000 && n.account == 77);
    assert_true(str_eq(n.source, STR("a/77")) && str_eq(n.envelope_id, STR("e")));
    for (size_t cut = 0; cut < b.len; cut++) /* every shorter one, and one longer, is refused */
        assert_false(queue_message_decode(str_first(buf_str(&b), cut), id, &a, &n));
    buf_addc(&b, 'x');
    assert_false(queue_message_decode(buf_str(&b), id, &a, &n));
    buf_free(&b);
}

static void delivery_record(void **state)
{
    (void)state;
    struct queue_rcpt r[2] = {{.address = STR("x@y.test"),
                               .original = STR("alias@us.test"),
                               .orcpt = STR("rfc822;first@us.test"),
                               .notify = QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_DELAY},
                              {.address = STR("z@y.test"), .utf8 = true}};
    struct queue_delivery d = {.id = queue_id_new(&fe.env),
                               .n = 300,
                               .state = QUEUE_HELD,
                               .warned = true,
                               .asked = true,
                               .deliver_by_ms = 33,
                               .attempts = 4,
                               .arrived_ms = 11,
                               .next_ms = 22,
                               .domain = STR("y.test"),
                               .reason = STR("why"),
                               .via = STR("smtp relay.test"),
                               .sender = STR("srs0=x@us.test"),
                               .has_sender = true,
                               .priority = -3,
                               .source = STR("n/192.0.2.0/24"),
                               .nrcpt = 2,
                               .rcpt = r},
                          back;
    struct buf b;
    struct queue_due due;
    buf_init(&b, 65536);
    assert_true(queue_delivery_encode(&d, &b));
    str_t key = queue_key_delivery(d.id, d.n, false, &a);
    assert_true(queue_delivery_decode(key, buf_str(&b), &a, &back));
    assert_int_equal(back.n, 300);
    assert_true(back.state == QUEUE_HELD && back.warned && !back.local && back.attempts == 4 &&
                back.next_ms == 22);
    assert_int_equal(back.nrcpt, 2);
    assert_true(back.asked && back.deliver_by_ms == 33);
    assert_true(str_eq(back.rcpt[0].original, STR("alias@us.test")) && back.rcpt[1].utf8);
    assert_true(str_eq(back.via, STR("smtp relay.test")) && back.has_sender &&
                str_eq(back.sender, STR("srs0=x@us.test")) && back.priority == -3 &&
                str_eq(back.source, STR("n/192.0.2.0/24")));
    assert_true(str_eq(back.rcpt[0].orcpt, STR("rfc822;first@us.test")) &&
                back.rcpt[0].notify == (QUEUE_NOTIFY_SUCCESS | QUEUE_NOTIFY_DELAY) &&
                back.rcpt[1].notify == 0);
    assert_true(queue_due_decode(key, buf_str(&b), &due));
    assert_true(str_eq(due.via, STR("smtp relay.test")) && due.priority == -3 &&
                str_eq(due.source, STR("n/192.0.2.0/24")));
    assert_true(due.next_ms == 22 && str_eq(due.domain, STR("y.test")) && due.n == 300 &&
                due.state == QUEUE_HELD);
    for (size_t cut = 0; cut < b.len; cut++)
        assert_false(queue_delivery_decode(key, str_first(buf_str(&b), cut), &a, &back));
    assert_false(queue_delivery_decode(STR("m/0123456789"), buf_str(&b), &a, &back));
    buf_free(&b);
}

/* ---- rows of the first version, as they lie in stores of then ---- */

/* version, flags (8-bit, single), arrived, size, chunks, next_n, then five strings */
#define FIRST_MESSAGE                                                        \
    STR("\x01\x09\0\0\0\0\x07\x5b\xcd\x15\0\0\0\0\0\0\0\x63\0\0\0\x02\0\x05" \
        "\0\x08"                                                             \
        "a@b.test"                                                           \
        "\0\x05"                                                             \
        "local"                                                              \
        "\0\x01"                                                             \
        "h"                                                                  \
        "\0\x05"                                                             \
        "ESMTP"                                                              \
        "\0\0")

static void message_first_version(void **state)
{
    (void)state;
    queue_id_t id = queue_id_new(&fe.env);
    struct queue_message m;
    str_t row = FIRST_MESSAGE;
    assert_true(queue_message_decode(row, id, &a, &m));
    assert_true(m.arrived_ms == 123456789 && m.size == 99 && m.chunks == 2 && m.next_n == 5);
    assert_true(m.body_8bit && m.single && !m.smtputf8 && !m.bounce && !m.last_resort);
    assert_true(str_eq(m.reverse_path, STR("a@b.test")) && str_eq(m.client, STR("local")) &&
                str_eq(m.helo, STR("h")) && str_eq(m.protocol, STR("ESMTP")));
    assert_true(m.source.len == 0 && m.by == QUEUE_BY_NONE && m.release_ms == 0 && m.account == 0 &&
                m.priority == 0 && m.ret == QUEUE_RET_ANY);
    for (size_t cut = 0; cut < row.len; cut++)
        assert_false(queue_message_decode(str_first(row, cut), id, &a, &m));
}

/* version, state (held), flags (warned), next, domain, attempts, arrived, reason, two recipients */
#define FIRST_DELIVERY                         \
    STR("\x01\x01\x01\0\0\0\0\0\0\0\x16\0\x06" \
        "y.test"                               \
        "\0\0\0\x04\0\0\0\0\0\0\0\x0b\0\x03"   \
        "why"                                  \
        "\0\x02"                               \
        "\0\0\x08"                             \
        "x@y.test"                             \
        "\0\x0d"                               \
        "alias@us.test"                        \
        "\x01\0\x08"                           \
        "z@y.test"                             \
        "\0\0")

static void delivery_first_version(void **state)
{
    (void)state;
    struct queue_delivery d;
    struct queue_due due;
    str_t row = FIRST_DELIVERY, key = queue_key_delivery(queue_id_new(&fe.env), 3, false, &a);
    assert_true(queue_delivery_decode(key, row, &a, &d));
    assert_true(d.state == QUEUE_HELD && d.warned && d.next_ms == 22 && d.attempts == 4 &&
                d.arrived_ms == 11 && d.nrcpt == 2 && d.n == 3);
    assert_true(str_eq(d.domain, STR("y.test")) && str_eq(d.reason, STR("why")));
    assert_true(str_eq(d.rcpt[0].original, STR("alias@us.test")) && d.rcpt[1].utf8);
    assert_true(d.via.len == 0 && d.source.len == 0 && !d.has_sender && d.priority == 0 &&
                d.rcpt[0].notify == 0 && d.rcpt[0].orcpt.len == 0);
    assert_true(queue_due_decode(key, row, &due));
    assert_true(due.next_ms == 22 && str_eq(due.domain, STR("y.test")) && due.priority == 0);
    for (size_t cut = 0; cut < row.len; cut++)
        assert_false(queue_delivery_decode(key, str_first(row, cut), &a, &d));
}

/* ---- rows of the second version; whatever is written today, they stay readable ---- */

/* as above; then flags (by_trace), ret, by, priority, two times, account, source */
#define SECOND_MESSAGE                                                       \
    STR("\x02\x09\0\0\0\0\x07\x5b\xcd\x15\0\0\0\0\0\0\0\x63\0\0\0\x02\0\x05" \
        "\0\x08"                                                             \
        "a@b.test"                                                           \
        "\0\x05"                                                             \
        "local"                                                              \
        "\0\x01"                                                             \
        "h"                                                                  \
        "\0\x05"                                                             \
        "ESMTP"                                                              \
        "\0\0"                                                               \
        "\x01\x02\x01\xfd\0\0\0\0\0\0\0\x21\0\0\0\0\0\0\0\x0c"               \
        "\0\0\0\0\0\0\0\x07\0\x03"                                           \
        "a/7")

static void message_second_version(void **state)
{
    (void)state;
    queue_id_t id = queue_id_new(&fe.env);
    struct queue_message m;
    str_t row = SECOND_MESSAGE;
    assert_true(queue_message_decode(row, id, &a, &m));
    assert_true(m.arrived_ms == 123456789 && m.size == 99 && m.chunks == 2 && m.next_n == 5);
    assert_true(str_eq(m.reverse_path, STR("a@b.test")) && str_eq(m.source, STR("a/7")));
    assert_true(m.by_trace && m.ret == QUEUE_RET_HDRS && m.by == QUEUE_BY_NOTIFY &&
                m.priority == -3 && m.deliver_by_ms == 33 && m.release_ms == 12 && m.account == 7);
    for (size_t cut = 0; cut < row.len; cut++)
        assert_false(queue_message_decode(str_first(row, cut), id, &a, &m));
}

/* version, state, flags (has_sender, time to deliver by), next, domain, priority, via, source, that
 * time, attempts, arrived, reason, sender, one recipient */
#define SECOND_DELIVERY                      \
    STR("\x02\0\x22\0\0\0\0\0\0\0\x16\0\x06" \
        "y.test"                             \
        "\x04\0\x06"                         \
        "smtp h"                             \
        "\0\x03"                             \
        "u/0"                                \
        "\0\0\0\0\0\0\0\x2c"                 \
        "\0\0\0\x04\0\0\0\0\0\0\0\x0b\0\x03" \
        "why"                                \
        "\0\x08"                             \
        "o@l.test"                           \
        "\0\x01"                             \
        "\x02\0\x08"                         \
        "x@y.test"                           \
        "\0\0\0\x04"                         \
        "o@rc"                               \
        "\x01")

static void delivery_second_version(void **state)
{
    (void)state;
    struct queue_delivery d;
    struct queue_due due;
    str_t row = SECOND_DELIVERY, key = queue_key_delivery(queue_id_new(&fe.env), 3, false, &a);
    assert_true(queue_delivery_decode(key, row, &a, &d));
    assert_true(d.state == QUEUE_READY && d.has_sender && !d.warned && d.next_ms == 22 &&
                d.attempts == 4 && d.arrived_ms == 11 && d.deliver_by_ms == 44 && d.priority == 4);
    assert_true(str_eq(d.domain, STR("y.test")) && str_eq(d.via, STR("smtp h")) &&
                str_eq(d.source, STR("u/0")) && str_eq(d.reason, STR("why")) &&
                str_eq(d.sender, STR("o@l.test")));
    assert_true(d.nrcpt == 1 && d.rcpt[0].box && !d.rcpt[0].utf8 && d.rcpt[0].notify == 1 &&
                str_eq(d.rcpt[0].orcpt, STR("o@rc")));
    assert_true(queue_due_decode(key, row, &due));
    assert_true(due.next_ms == 22 && due.deliver_by_ms == 44 && due.priority == 4);
    for (size_t cut = 0; cut < row.len; cut++)
        assert_false(queue_delivery_decode(key, str_first(row, cut), &a, &d));
}

/* Version 0 never was; after the newest comes what a later server wrote. */
static void versions_unknown(void **state)
{
    static const char unknown[] = {0, 3, 127};
    (void)state;
    queue_id_t id = queue_id_new(&fe.env);
    struct queue_message m;
    struct queue_delivery d;
    str_t row[] = {arena_dup(&a, SECOND_MESSAGE), arena_dup(&a, SECOND_DELIVERY)};
    for (size_t i = 0; i < sizeof unknown; i++) {
        for (size_t k = 0; k < 2; k++)
            *(char *)(uintptr_t)row[k].ptr = unknown[i];
        assert_false(queue_message_decode(row[0], id, &a, &m));
        assert_false(queue_delivery_decode(queue_key_delivery(id, 3, false, &a), row[1], &a, &d));
    }
}

static void event_record(void **state)
{
    (void)state;
    struct queue_result r[3] = {{STR("a@x"), QUEUE_DELIVERED, 250, STR("2.0.0"), STR("ok")},
                                {STR("b@x"), QUEUE_DELIVERED, 250, STR("2.0.0"), STR("ok")},
                                {STR("c@x"), QUEUE_FAILED, 550, STR("5.1.1"), STR("no")}};
    struct queue_event e = {.id = queue_id_new(&fe.env),
                            .time_ms = 77,
                            .n = 3,
                            .kind = QUEUE_EVENT_ATTEMPT,
                            .serial = 9,
                            .host = STR("mx"),
                            .addr = STR("192.0.2.1:25"),
                            .next_ms = 88,
                            .bounced = true,
                            .bounce = queue_id_new(&fe.env),
                            .nresults = 3,
                            .results = r},
                       back;
    struct buf b;
    buf_init(&b, 65536);
    assert_true(queue_event_encode(&e, &b));
    str_t key = queue_event_key(&e, &a);
    assert_true(queue_event_decode(key, buf_str(&b), &a, &back));
    assert_true(back.time_ms == 77 && back.n == 3 && back.serial == 9 && back.bounced &&
                !back.warned && back.nresults == 3);
    assert_true(queue_id_eq(back.bounce, e.bounce));
    assert_true(str_eq(back.results[1].text, STR("ok")) &&
                str_eq(back.results[1].address, STR("b@x")) && back.results[1].code == 250);
    assert_int_equal(back.results[2].outcome, QUEUE_FAILED);
    for (size_t cut = 0; cut < b.len; cut++)
        assert_false(queue_event_decode(key, str_first(buf_str(&b), cut), &a, &back));
    buf_free(&b);
}

/* 100 recipients with the longest addresses, each with an answer of its own, still fit a value. */
static void event_largest(void **state)
{
    (void)state;
    static char address[256], text[100][QUEUE_REPLY_MAX];
    struct queue_result r[100];
    memset(address, 'a', sizeof address);
    for (int i = 0; i < 100; i++) {
        memset(text[i], 'a' + i % 26, sizeof text[i]);
        r[i] = (struct queue_result){str_of(address, sizeof address), QUEUE_DEFERRED, 451,
                                     STR("4.7.100"), str_of(text[i], sizeof text[i])};
    }
    struct queue_event e = {
        .kind = QUEUE_EVENT_ATTEMPT, .host = str_of(address, 255), .nresults = 100, .results = r};
    struct buf b;
    buf_init(&b, STORE_VALUE_MAX);
    assert_true(queue_event_encode(&e, &b));
    buf_free(&b);
}

/* ---- the way in ---- */

static size_t count(const char *prefix)
{
    struct store_page p;
    struct store_scan q = {.part = QUEUE_PART,
                           .from = str_c(prefix),
                           .end = store_prefix_end(&a, str_c(prefix)),
                           .keys_only = true};
    assert_int_equal(store_scan(fe.env.store, &q, &a, &p), STORE_OK);
    assert_false(p.more);
    return p.n;
}

static enum store_rc put_in(size_t size, const struct queue_in_rcpt *r, size_t n,
                            struct queue_message *m)
{
    struct queue_in *in = queue_in_begin(&fe.env);
    char piece[1000];
    for (size_t done = 0; done < size;) {
        size_t k = size - done < sizeof piece ? size - done : sizeof piece;
        for (size_t i = 0; i < k; i++)
            piece[i] = (char)('a' + (done + i) % 23);
        enum store_rc rc = queue_in_write(in, str_of(piece, k));
        if (rc != STORE_OK) {
            queue_in_abort(in);
            return rc;
        }
        done += k;
    }
    *m = (struct queue_message){.reverse_path = STR("s@x.test")};
    return queue_in_commit(in, m, r, n);
}

/* Whoever begins a large message and hangs up leaves nothing behind, however often. */
static void aborted(void **state)
{
    (void)state;
    struct queue_in_rcpt r = {.address = STR("u@d.test"), .domain = STR("d.test")};
    struct queue_message m;
    size_t before = count("c/");
    static char piece[5 * STORE_CHUNK + 1];
    struct queue_in *in = queue_in_begin(&fe.env);
    assert_int_equal(queue_in_write(in, str_of(piece, sizeof piece)), STORE_OK);
    queue_in_abort(in);
    assert_int_equal(put_in(1, &r, 1, &m), STORE_OK); /* durable, and so is what came before */
    assert_int_equal(count("c/"), before + 1);
}

static void content_is(const struct queue_message *m, size_t size)
{
    size_t at = 0;
    for (uint32_t k = 0; k < m->chunks; k++) {
        bool present;
        str_t v;
        assert_int_equal(
            store_get1(fe.env.store, QUEUE_PART, queue_key_chunk(m->id, k, &a), &a, &present, &v),
            STORE_OK);
        assert_true(present);
        for (size_t i = 0; i < v.len; i++, at++)
            assert_int_equal(v.ptr[i], 'a' + at % 23);
    }
    assert_int_equal(at, size);
}

static void sizes(void **state)
{
    (void)state;
    static const size_t size[] = {0,
                                  1,
                                  STORE_CHUNK - 1,
                                  STORE_CHUNK,
                                  STORE_CHUNK + 1,
                                  3 * STORE_CHUNK,
                                  3 * STORE_CHUNK + 7,
                                  2 << 20};
    struct queue_in_rcpt r = {.address = STR("u@d.test"), .domain = STR("d.test")};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        struct queue_message m;
        uint64_t before = store_memory_batches(fe.env.store);
        assert_int_equal(put_in(size[i], &r, 1, &m), STORE_OK);
        uint64_t batches = store_memory_batches(fe.env.store) - before;
        assert_int_equal(batches, size[i] == 0 ? 1 : (size[i] + STORE_CHUNK - 1) / STORE_CHUNK);
        assert_int_equal(m.size, size[i]);
        assert_true(m.single && m.next_n == 1);
        content_is(&m, size[i]);
    }
}

static void groups(void **state)
{
    (void)state;
    struct queue_in_rcpt r[250];
    for (size_t i = 0; i < 250; i++) {
        static const char *const domain[] = {"b.test", "A.test", "a.TEST", "us.test", "us.test"};
        const char *d = domain[i % 5];
        r[i] = (struct queue_in_rcpt){
            .address = arena_fmt(&a, "u%zu@%s", i, d), .domain = str_c(d), .local = i % 5 >= 3};
    }
    r[249] = r[248]; /* twice the same */
    struct queue_message m;
    assert_int_equal(put_in(10, r, 250, &m), STORE_OK);
    assert_false(m.single);
    assert_int_equal(count("dl/"), 1); /* 99 */
    assert_int_equal(count("dr/"), 2); /* a.test 100, b.test 50 */
    assert_int_equal(m.next_n, 3);
    assert_int_equal(put_in(10, r, 0, &m), STORE_LIMIT);
}

/* 1,000 recipients of 1,000 domains, with the longest names, are more than a batch takes. */
static void many(void **state)
{
    (void)state;
    static char local[100];
    memset(local, 'l', sizeof local);
    struct queue_in_rcpt *r = arena_array(&a, 1000, sizeof *r);
    for (size_t i = 0; i < 1000; i++) {
        str_t d = arena_fmt(&a, "d%zu." STR_FMT, i, STR_ARG(str_of(local, sizeof local)));
        r[i] = (struct queue_in_rcpt){
            .address = arena_fmt(&a, STR_FMT "@" STR_FMT, STR_ARG(str_of(local, 60)), STR_ARG(d)),
            .domain = d};
    }
    struct queue_message m;
    assert_int_equal(put_in(100, r, 1000, &m), STORE_OK);
    assert_int_equal(count("dr/"), 1000);
    assert_int_equal(count("m/"), 1);
    content_is(&m, 100);
}

/* A piece written ahead is gone when the last batch comes: no promise is given. */
static void chain(void **state)
{
    (void)state;
    struct queue_in *in = queue_in_begin(&fe.env);
    static char piece[STORE_CHUNK];
    for (int i = 0; i < 4; i++)
        assert_int_equal(queue_in_write(in, str_of(piece, sizeof piece)), STORE_OK);
    struct store_batch b;
    store_batch_init(&b, QUEUE_PART, &a);
    str_t all = queue_key_prefix("c", queue_in_id(in), &a);
    store_delete_range(&b, all, store_prefix_end(&a, all));
    assert_int_equal(store_commit(fe.env.store, &b), STORE_OK);
    struct queue_in_rcpt r = {.address = STR("u@d.test"), .domain = STR("d.test")};
    struct queue_message m = {0};
    assert_int_equal(queue_in_commit(in, &m, &r, 1), STORE_CONFLICT);
    assert_int_equal(count("m/"), 0);
    assert_int_equal(count("dr/"), 0);
}

static void failure_sticks(void **state)
{
    (void)state;
    struct queue_in *in = queue_in_begin(&fe.env);
    static char piece[STORE_CHUNK];
    store_memory_fail(fe.env.store, STORE_FULL);
    enum store_rc rc = STORE_OK;
    for (int i = 0; i < 4; i++)
        rc = queue_in_write(in, str_of(piece, sizeof piece));
    assert_int_equal(rc, STORE_FULL);
    store_memory_fail(fe.env.store, STORE_OK);
    struct queue_in_rcpt r = {.address = STR("u@d.test"), .domain = STR("d.test")};
    struct queue_message m = {0};
    assert_int_equal(queue_in_commit(in, &m, &r, 1), STORE_FULL);
    assert_int_equal(count("m/"), 0);
}

/* ---- bounces ---- */

static void bounce_kinds(void **state)
{
    (void)state;
    struct queue_message m = {.reverse_path = STR("s@x.test")};
    assert_int_equal(queue_bounce_kind(&m, DSN_FAILED), QUEUE_BOUNCE_MADE);
    assert_int_equal(queue_bounce_kind(&m, DSN_DELAYED), QUEUE_BOUNCE_MADE);
    m.reverse_path = STR_NONE;
    assert_int_equal(queue_bounce_kind(&m, DSN_FAILED), QUEUE_BOUNCE_MADE);
    assert_int_equal(queue_bounce_kind(&m, DSN_DELAYED), QUEUE_BOUNCE_NONE);
    m.last_resort = true;
    assert_int_equal(queue_bounce_kind(&m, DSN_FAILED), QUEUE_BOUNCE_DROPPED);
}

static void bounce_rows(void **state)
{
    (void)state;
    static char header[STORE_CHUNK];
    for (size_t i = 0; i + 6 < sizeof header; i += 6)
        memcpy(header + i, "X: y\r\n", 6);
    struct queue_message m = {.id = queue_id_new(&fe.env), .arrived_ms = fe.wall}, n;
    struct dsn_recipient r[100];
    static char long_text[4096];
    memset(long_text, 'w', sizeof long_text);
    for (int i = 0; i < 100; i++)
        r[i] = (struct dsn_recipient){.final = STR("u@d.test"),
                                      .status = STR("5.1.1"),
                                      .diagnostic = str_of(long_text, sizeof long_text)};
    struct queue_bounce q = {.action = DSN_FAILED,
                             .hostname = STR("us.test"),
                             .m = &m,
                             .recipients = r,
                             .n = 100,
                             .header = str_of(header, sizeof header)};
    struct store_batch b;
    queue_id_t id;
    store_batch_init(&b, QUEUE_PART, &a);
    assert_int_equal(queue_bounce_add(&fe.env, &q, &b, &a, &id), QUEUE_BOUNCE_MADE);
    assert_int_equal(store_commit(fe.env.store, &b), STORE_OK); /* the largest one fits a batch */
    bool present;
    str_t v;
    assert_int_equal(
        store_get1(fe.env.store, QUEUE_PART, queue_key_message(id, &a), &a, &present, &v),
        STORE_OK);
    assert_true(present && queue_message_decode(v, id, &a, &n));
    /* it had no sender: for the postmaster */
    assert_true(n.bounce && n.last_resort && n.single && n.reverse_path.len == 0);
    assert_int_equal(count("dl/"), 1);
    assert_int_equal(count("c/"), n.chunks);
    assert_true(n.chunks > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(id_text, setup, teardown),
        cmocka_unit_test_setup_teardown(message_record, setup, teardown),
        cmocka_unit_test_setup_teardown(delivery_record, setup, teardown),
        cmocka_unit_test_setup_teardown(message_first_version, setup, teardown),
        cmocka_unit_test_setup_teardown(delivery_first_version, setup, teardown),
        cmocka_unit_test_setup_teardown(message_second_version, setup, teardown),
        cmocka_unit_test_setup_teardown(delivery_second_version, setup, teardown),
        cmocka_unit_test_setup_teardown(versions_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(event_record, setup, teardown),
        cmocka_unit_test_setup_teardown(event_largest, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(aborted, setup, teardown),
        cmocka_unit_test_setup_teardown(groups, setup, teardown),
        cmocka_unit_test_setup_teardown(many, setup, teardown),
        cmocka_unit_test_setup_teardown(chain, setup, teardown),
        cmocka_unit_test_setup_teardown(failure_sticks, setup, teardown),
        cmocka_unit_test_setup_teardown(bounce_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(bounce_rows, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
