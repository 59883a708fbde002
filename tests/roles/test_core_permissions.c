/* test_core_permissions.c: Who may what: the whole matrix of role x partition x prefix x operation,
 * asked of the table, and of a live core. */
#include "roles/core_fixture.h"

enum { MX, USER, COURIER, LOCAL, SESSION, SENDER, ADMIN, COLUMNS };
#define ACCOUNT 17u /* the session's */

/* What is expected. g get, k scan of keys, s scan, c create, w write, d delete, n count, h hints
 * (watch). */
static const struct row {
    part_t part;
    const char *key;
    const char *may
        [COLUMNS]; /* mx, user without a session, courier, local, session that reads, that sends, admin */
} matrix[] = {
    {{PART_DIRECTORY, 0}, "dom/example.org", {"g", "g", "", "g", "", "g", "gkscwdnh"}},
    {{PART_DIRECTORY, 0}, "addr/example.org/me", {"g", "g", "", "g", "", "g", "gkscwdnh"}},
    {{PART_DIRECTORY, 0}, "first/domain", {"g", "g", "", "g", "", "g", "gkscwdnh"}},
    {{PART_DIRECTORY, 0}, "acct/12345678", {"k", "k", "", "k", "", "k", "gkscwdnh"}},
    {{PART_DIRECTORY, 0}, "login/me@example.org", {"", "", "", "", "", "", "gkscwdnh"}},
    {{PART_DIRECTORY, 0}, "next/account", {"", "", "", "", "", "", "gkscwdnh"}},
    {{PART_DIRECTORY, 0}, "dom", {"", "", "", "", "", "", "gkscwdnh"}},
    {{PART_DIRECTORY, 1}, "dom/example.org", {"", "", "", "", "", "", ""}},
    {{PART_SECRET, 0}, "pw/12345678", {"", "", "", "", "", "", ""}},
    {{PART_SECRET, 0}, "relay/example.org", {"", "", "g", "", "", "", "kcwd"}},
    {{PART_SECRET, 0}, "hmac/key", {"g", "", "", "g", "", "g", ""}},
    {{PART_SECRET, ACCOUNT}, "pw/12345678", {"", "", "", "", "", "", ""}},
    {{PART_SECRET, 0}, "relay/hub", {"", "", "g", "", "", "", "kcwd"}},
    {{PART_NODE, 0}, "anything", {"", "", "", "", "", "", "gks"}},
    {{PART_QUEUE, 0}, "m/0123456789", {"c", "", "gkscwd", "gkscwd", "", "c", "gkscwdnh"}},
    {{PART_QUEUE, 0}, "c/0123456789/0000", {"cd", "", "gkscwd", "gkscwd", "", "cd", "gkscwdnh"}},
    {{PART_QUEUE, 0}, "dr/0123456789/00", {"c", "", "gkscwdh", "gkscwd", "", "c", "gkscwdnh"}},
    {{PART_QUEUE, 0}, "dl/0123456789/00", {"c", "", "gkscwd", "gkscwdh", "", "c", "gkscwdnh"}},
    {{PART_QUEUE, 0}, "t/0123456789/0000", {"", "", "gkscwd", "gkscwd", "", "", "gkscwdnh"}},
    {{PART_QUEUE, 0}, "lease/courier", {"", "", "gn", "", "", "", "gkscwdnh"}},
    {{PART_QUEUE, 0}, "lease/local", {"", "", "", "gn", "", "", "gkscwdnh"}},
    {{PART_QUEUE, 0}, "other", {"", "", "", "", "", "", "gkscwdnh"}},
    {{PART_QUEUE, 1}, "m/0123456789", {"", "", "", "", "", "", ""}},
    {{PART_USER, ACCOUNT}, "f/0001", {"", "", "", "gc", "gkscwd", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT}, "u/0001/00000001", {"", "", "", "c", "gkscwd", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT}, "b/0123456789/0000", {"", "", "", "kcwd", "gkscwd", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT}, "uid/0001", {"", "", "", "n", "gksn", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT}, "modseq", {"", "", "", "n", "gksn", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT}, "seen/0123456789", {"", "", "", "gkcd", "", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT}, "other", {"", "", "", "", "", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT}, "rate/h/12345678", {"", "", "", "", "", "gksdn", "gkscwdn"}},
    {{PART_USER, ACCOUNT + 1}, "rate/h/12345678", {"", "", "", "", "", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT + 1}, "f/0001", {"", "", "", "gc", "", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT + 1}, "u/0001/00000001", {"", "", "", "c", "", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT + 1}, "b/0123456789/0000", {"", "", "", "kcwd", "", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT + 1}, "uid/0001", {"", "", "", "n", "", "", "gkscwdn"}},
    {{PART_USER, ACCOUNT + 1}, "seen/0123456789", {"", "", "", "gkcd", "", "", "gkscwdn"}},
    /* last: a client has STORE_WATCHES watches, and may have used them up by now */
    {{PART_DIRECTORY, 0},
     "tab/transport/example.org",
     {"gks", "gk", "gksh", "gks", "", "gk", "gkscwdnh"}},
    {{PART_DIRECTORY, 0}, "list/12345678/b.example/a", {"", "", "", "k", "", "", "gkscwdnh"}},
    {{PART_DIRECTORY, 0}, "mask/12345678/a@b.example", {"", "", "", "", "", "", "gkscwdnh"}},
    {{PART_QUEUE, 0}, "etrn/example.org", {"w", "", "gkdh", "", "", "", "gkscwdnh"}},
    {{PART_QUEUE, 0}, "b/example.org", {"", "", "gkscwd", "", "", "", "gkscwdnh"}},
    {{PART_QUEUE, 0}, "s/a@example.org", {"", "", "gkscwdh", "", "", "", "gkscwdnh"}},
};
enum { ROWS = sizeof matrix / sizeof *matrix };

static struct grant grant_of(int column)
{
    const enum role_id roles[] = {ROLE_MX, ROLE_USER, ROLE_COURIER, ROLE_LOCAL,
                                  ROLE_MX, ROLE_MX,   ROLE_COUNT};
    if (column == SESSION)
        return (struct grant){.table = &permissions_session, .account = ACCOUNT};
    if (column == SENDER)
        return (struct grant){.table = &permissions_sender, .account = ACCOUNT};
    return (struct grant){.table = permissions_of(roles[column])};
}

static void the_table_is_the_matrix(void **state)
{
    (void)state;
    const struct {
        char letter;
        unsigned right;
    } rights[] = {{'g', RIGHT_GET},   {'k', RIGHT_KEYS},   {'s', RIGHT_SCAN},  {'c', RIGHT_CREATE},
                  {'w', RIGHT_WRITE}, {'d', RIGHT_DELETE}, {'n', RIGHT_COUNT}, {'h', RIGHT_WATCH}};
    for (size_t i = 0; i < ROWS; i++)
        for (int col = 0; col < COLUMNS; col++)
            for (size_t k = 0; k < sizeof rights / sizeof *rights; k++) {
                struct grant g = grant_of(col);
                bool may = permissions_key(&g, matrix[i].part, str_c(matrix[i].key),
                                           rights[k].right) != NULL;
                bool should = strchr(matrix[i].may[col], rights[k].letter) != NULL;
                if (may != should)
                    fail_msg("%s, column %d, right %c: %s", matrix[i].key, col, rights[k].letter,
                             may ? "granted" : "denied");
            }
}

static void roles_without_business_have_none(void **state)
{
    (void)state;
    assert_null(permissions_of(ROLE_RESOLVER));
    assert_null(permissions_of(ROLE_SUPERVISOR));
    assert_null(permissions_of(ROLE_CORE));
}

/* ---- the same from outside ---- */

static enum store_rc commit_one(struct store *s, part_t part, struct store_op op)
{
    struct arena a;
    struct store_batch b;
    arena_init(&a, 4096);
    store_batch_init(&b, part, &a);
    b.ops = &op;
    b.n = b.cap = 1;
    b.bytes = op.key.len + op.value.len + op.prefix.len;
    enum store_rc rc = store_commit(s, &b);
    arena_free(&a);
    return rc;
}

static void no_hint(void *user, part_t part, str_t key, str_t value, bool deleted)
{
    (void)user, (void)part, (void)key, (void)value, (void)deleted;
}

struct live {
    struct store *s;
    const struct row *row;
    const char *may;
};

/* Denied exactly if the matrix has none of `letters`. */
static void expect(const struct live *l, const char *op, enum store_rc rc, const char *letters)
{
    bool should = strpbrk(l->may, letters) != NULL;
    if (should == (rc == STORE_DENIED))
        fail_msg("%s of %s: %s, should be %s", op, l->row->key, store_rc_name(rc),
                 should ? "granted" : "denied");
}

static enum store_rc scan_one(struct store *s, part_t part, str_t key, bool keys_only,
                              struct arena *a)
{
    char end[64];
    struct store_page page;
    memcpy(end, key.ptr, key.len);
    end[key.len] = 0x7f;
    struct store_scan q = {.part = part,
                           .from = key,
                           .end = str_of(end, key.len + 1),
                           .keys_only = keys_only,
                           .rows_max = 10};
    return store_scan(s, &q, a, &page);
}

static void try_reads(const struct live *l)
{
    struct arena a;
    bool present;
    str_t value, key = str_c(l->row->key);
    part_t part = l->row->part;
    arena_init(&a, 1 << 20);
    expect(l, "get", store_get1(l->s, part, key, &a, &present, &value), "g");
    expect(l, "scan", scan_one(l->s, part, key, false, &a), "s");
    expect(l, "scan of keys", scan_one(l->s, part, key, true, &a), "ks");
    expect(l, "watch", store_watch(l->s, part, key, no_hint, NULL), "h");
    arena_free(&a);
}

static void try_writes(const struct live *l)
{
    part_t part = l->row->part;
    str_t key = str_c(l->row->key), x = STR("x");
    const struct {
        const char *name;
        struct store_op op;
        const char *letters;
    } tries[] = {
        {"equal", {.kind = STORE_EQUAL, .key = key, .value = x}, "g"},
        {"absent", {.kind = STORE_ABSENT, .key = key}, "gc"},
        {"present", {.kind = STORE_PRESENT, .key = key}, "gc"},
        {"put new", {.kind = STORE_PUT_NEW, .key = key, .value = x}, "c"},
        {"put", {.kind = STORE_PUT, .key = key, .value = x}, "w"},
        {"delete", {.kind = STORE_DELETE, .key = key}, "d"},
        {"add 1", {.kind = STORE_ADD, .key = key, .delta = 1}, "nw"},
        {"add -1", {.kind = STORE_ADD, .key = key, .delta = -1}, "w"},
        {"add 0", {.kind = STORE_ADD, .key = key, .delta = 0}, "w"},
        {"add 65537", {.kind = STORE_ADD, .key = key, .delta = 65537}, "w"},
        {"delete range", {.kind = STORE_DELETE_RANGE, .key = key, .value = STR_NONE}, ""},
    };
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        if (tries[i].letters[0] == '\0') { /* to the end of the partition: only who has all of it */
            enum store_rc rc = commit_one(l->s, part, tries[i].op);
            assert_true(rc == STORE_DENIED || strchr(l->may, 'n') != NULL);
            continue;
        }
        expect(l, tries[i].name, commit_one(l->s, part, tries[i].op), tries[i].letters);
    }
}

/* A store for a column: the session logs in. */
static struct store *column_store(struct core_fixture *f, int column, struct store **base)
{
    struct err err;
    struct store_login_answer answer;
    struct store_login login = {.use = column == SENDER ? STORE_USE_SEND : STORE_USE_READ,
                                .name = STR("Me@Example.ORG"),
                                .password = STR("right")};
    if (column != SESSION && column != SENDER)
        return *base = core_store(f, grant_of(column).table);
    struct store *admin = core_store(f, permissions_of(ROLE_COUNT));
    core_add_account(f, admin, "me@example.org", ACCOUNT, "right");
    store_close(admin);
    *base = core_store(f, permissions_of(ROLE_USER));
    assert_int_equal(store_remote_login(*base, &login, &answer, &err), RC_OK);
    assert_int_equal(answer.account, ACCOUNT);
    assert_string_equal(answer.address, "me@example.org");
    assert_string_equal(answer.password_name, "main");
    return answer.session;
}

static void a_live_core_is_the_matrix(void **state)
{
    (void)state;
    struct core_fixture f;
    for (int col = 0; col < COLUMNS; col++) {
        struct store *base;
        core_up(&f);
        struct live l = {.s = column_store(&f, col, &base)};
        for (size_t i = 0; i < ROWS; i++) {
            part_t part = matrix[i].part;
            /* there are no such partitions: a client finds out by itself */
            if (part.id != 0 && part.kind != PART_USER && part.kind != PART_QUEUE)
                continue;
            l.row = &matrix[i];
            l.may = matrix[i].may[col];
            try_reads(&l);
            try_writes(&l);
        }
        if (l.s != base)
            store_close(l.s);
        store_close(base);
        core_down(&f);
    }
}

/* ---- ranges ---- */

static void ranges_stay_within_a_prefix(void **state)
{
    (void)state;
    struct grant g = grant_of(COURIER);
    part_t q = {PART_QUEUE, 0};
    const struct {
        str_t from, end;
        bool may;
    } ranges[] = {
        {STR("dr/"), STR("dr0"), true},
        {STR("dr/a"), STR("dr/b"), true},
        {STR("dr/a"), STR("dr/"), true}, /* empty */
        {STR("dr/"), STR("dr/\xff\xff"), true},
        {STR("dr/"), STR("dr0a"), false},
        {STR("dr/"), STR("dr1"), false},
        {STR("dr/"), STR("ds"), false},
        {STR("dr/"), STR_NONE, false},
        {STR("dr"), STR("dr0"), false},
        {STR_NONE, STR("dr0"), false},
        {STR("d"), STR("e"), false},
        {STR("dl/"), STR("dr/x"), false}, /* two prefixes of its own are not one */
        {STR("lease/courier"), STR("lease/courier"), false},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if ((permissions_range(&g, q, ranges[i].from, ranges[i].end, RIGHT_SCAN) != NULL) !=
            ranges[i].may)
            fail_msg("range %zu", i);
    g = grant_of(ADMIN);
    assert_non_null(permissions_range(&g, q, STR_NONE, STR_NONE, RIGHT_SCAN));
}

/* ---- anchors ---- */

static void add_op(struct store_batch *b, enum store_op_kind kind, const char *key, str_t value)
{
    b->ops[b->n++] = (struct store_op){.kind = kind, .key = str_c(key), .value = value};
}

static bool batch_granted(int column, struct store_batch *b, struct anchors *anchors)
{
    struct grant g = grant_of(column);
    size_t failed;
    return permissions_batch(&g, b, anchors, &failed);
}

static void deliveries_come_with_a_new_message(void **state)
{
    (void)state;
    struct store_op ops[16];
    struct anchors an;
    struct store_batch b = {.part = {PART_QUEUE, 0}, .ops = ops, .cap = 16};
    add_op(&b, STORE_PUT_NEW, "dl/0123456789/00", STR("x"));
    add_op(&b, STORE_PUT_NEW, "dr/0123456789/01", STR("x"));
    assert_true(batch_granted(MX, &b, &an));
    assert_int_equal(an.n, 1);
    assert_true(str_eq(str_of(an.key[0], an.len[0]), STR("m/0123456789")));
    add_op(&b, STORE_PUT_NEW, "m/0123456789", STR("x"));
    assert_true(batch_granted(MX, &b, &an));
    assert_int_equal(an.n, 0);
    for (int i = 0; i < PERMISSIONS_ANCHORS; i++) {
        const char *keys[] = {"dl/1123456789/00", "dl/2123456789/00", "dl/3123456789/00",
                              "dl/4123456789/00"};
        assert_int_equal(batch_granted(MX, &b, &an), true);
        add_op(&b, STORE_PUT_NEW, keys[i], STR("x"));
    }
    assert_false(batch_granted(MX, &b, &an)); /* too many messages for one batch */
    b.n = 0;
    add_op(&b, STORE_PUT_NEW, "dl/012345678", STR("x"));
    assert_false(batch_granted(MX, &b, &an)); /* shorter than an id */
}

static void mx_takes_back_only_what_is_unfinished(void **state)
{
    (void)state;
    struct store_op ops[16];
    struct anchors an;
    struct store_batch b = {.part = {PART_QUEUE, 0}, .ops = ops, .cap = 16};
    add_op(&b, STORE_DELETE_RANGE, "c/0123456789/", STR("c/01234567890"));
    assert_true(batch_granted(MX, &b, &an));
    assert_int_equal(an.n, 1); /* only while there is no such message */
    assert_true(str_eq(str_of(an.key[0], an.len[0]), STR("m/0123456789")));
    b.n = 0;
    add_op(&b, STORE_DELETE_RANGE, "c/0123456789/", STR("c/1123456789"));
    assert_false(batch_granted(MX, &b, &an)); /* over other ids */
    b.n = 0;
    add_op(&b, STORE_DELETE_RANGE, "c/", STR("c0"));
    assert_false(batch_granted(MX, &b, &an));
}

static void local_touches_only_what_it_delivers(void **state)
{
    (void)state;
    struct store_op ops[16];
    struct anchors an;
    struct store_batch b = {.part = {PART_USER, 3}, .ops = ops, .cap = 16};
    add_op(&b, STORE_PUT, "b/0123456789/0000", STR("x"));
    assert_true(batch_granted(LOCAL, &b, &an));
    assert_int_equal(an.n, 1);
    assert_true(str_eq(str_of(an.key[0], an.len[0]), STR("seen/0123456789")));
    b.n = 0;
    add_op(&b, STORE_DELETE_RANGE, "b/0123456789/", STR("b/01234567890"));
    assert_true(batch_granted(LOCAL, &b, &an));
    assert_int_equal(an.n, 1);
    b.n = 0;
    add_op(&b, STORE_DELETE_RANGE, "b/0123456789/", STR("b/1123456789"));
    assert_false(batch_granted(LOCAL, &b, &an)); /* over other ids */
    b.n = 0;
    add_op(&b, STORE_DELETE_RANGE, "b/", STR("b0"));
    assert_false(batch_granted(LOCAL, &b, &an));
}

static void local_sweeps_marks_of_removed_mail(void **state)
{
    (void)state;
    struct store_op ops[16];
    struct anchors an;
    struct store_batch b = {.part = {PART_USER, 3}, .ops = ops, .cap = 16};
    str_t chunk = STR("b/0123456789/\0\0\0\0");
    add_op(&b, STORE_DELETE, "seen/0123456789", STR_NONE);
    assert_true(batch_granted(LOCAL, &b, &an));
    assert_int_equal(an.n, 1);
    assert_true(str_eq(str_of(an.key[0], an.len[0]), chunk)); /* its first chunk must be gone */
    /* both halves at once: the mark still holds the content, the content the mark */
    add_op(&b, STORE_DELETE_RANGE, "b/0123456789/", STR("b/01234567890"));
    assert_true(batch_granted(LOCAL, &b, &an));
    assert_int_equal(an.n, 2);
    b.n = 0;
    add_op(&b, STORE_DELETE_RANGE, "seen/", STR("seen0"));
    assert_false(batch_granted(LOCAL, &b, &an));
    b.n = 0;
    add_op(&b, STORE_DELETE, "seen/012345678", STR_NONE);
    assert_false(batch_granted(LOCAL, &b, &an));
    b.n = 0;
    add_op(&b, STORE_PUT_NEW, "seen/0123456789", STR("1")); /* creating needs nothing else */
    assert_true(batch_granted(LOCAL, &b, &an));
    assert_int_equal(an.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_the_matrix),
        cmocka_unit_test(roles_without_business_have_none),
        cmocka_unit_test(a_live_core_is_the_matrix),
        cmocka_unit_test(ranges_stay_within_a_prefix),
        cmocka_unit_test(deliveries_come_with_a_new_message),
        cmocka_unit_test(mx_takes_back_only_what_is_unfinished),
        cmocka_unit_test(local_touches_only_what_it_delivers),
        cmocka_unit_test(local_sweeps_marks_of_removed_mail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
