/* fuzz_store_protocol.c: The store protocol, both ways: what core takes apart, and what a client
 * does. The first byte chooses the message. What decodes must keep to the limits, and what was
 * encoded again must decode to the same. */
#include <stdlib.h>

#include "base/err.h"
#include "store/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct store_op ops[STORE_BATCH_OPS];

static void touch(str_t s) /* every byte a decoder points to must be there */
{
    volatile char sum = 0;
    for (size_t i = 0; i < s.len; i++)
        sum = (char)(sum ^ s.ptr[i]);
}

static bool decode_commit(str_t in, struct store_commit_head *h, size_t *bytes)
{
    struct cursor c = cursor_of(in);
    return store_commit_decode_head(&c, h) && store_commit_decode_ops(&c, ops, h->n, bytes);
}

static void commit(str_t in)
{
    struct store_commit_head h, again;
    size_t bytes, bytes_again;
    if (!decode_commit(in, &h, &bytes))
        return;
    must(h.n <= STORE_BATCH_OPS && bytes <= STORE_BATCH_MAX && (unsigned)h.part.kind < PART_KINDS);
    for (size_t i = 0; i < h.n; i++) {
        must(ops[i].key.len <= STORE_KEY_MAX && ops[i].value.len <= STORE_VALUE_MAX);
        touch(ops[i].key);
        touch(ops[i].value);
        touch(ops[i].prefix);
    }
    struct store_batch b = {.part = h.part, .lazy = h.lazy, .n = h.n, .ops = ops};
    struct iovec iov[STORE_COMMIT_IOV];
    size_t room = store_commit_size(&b), len = 0;
    char *fields = malloc(room);
    char *whole = malloc(in.len + STORE_TOKEN_LEN);
    must(fields != NULL && whole != NULL);
    int n = store_commit_encode(&b, &h.head, fields, room, iov);
    for (int i = 0; i < n; i++) {
        must(len + iov[i].iov_len <= in.len);
        memcpy(whole + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    must(len == in.len);
    must(decode_commit(str_of(whole, len), &again, &bytes_again));
    must(again.n == h.n && bytes_again == bytes && again.lazy == h.lazy &&
         again.part.id == h.part.id);
    free(whole);
    free(fields);
}

static void commit_reply(str_t in)
{
    struct store_op two[2] = {{.kind = STORE_ADD}, {.kind = STORE_PUT}};
    struct store_batch b = {.n = 2, .ops = two};
    struct store_commit c = {.batch = &b};
    if (store_commit_reply_decode(in, &c))
        must(c.rc <= STORE_UNKNOWN);
}

static void get(str_t in)
{
    struct store_head h;
    part_t part;
    str_t keys[STORE_GET_KEYS];
    uint16_t n;
    if (!store_get_decode(in, &h, &part, keys, &n))
        return;
    for (uint16_t i = 0; i < n; i++) {
        must(keys[i].len >= 1 && keys[i].len <= STORE_KEY_MAX);
        touch(keys[i]);
    }
}

static void get_reply(str_t in)
{
    enum store_rc rc;
    struct store_value v[3];
    if (!store_get_reply_decode(in, &rc, v, 3) || rc != STORE_OK)
        return;
    for (int i = 0; i < 3; i++)
        touch(v[i].value);
}

static void scan(str_t in)
{
    struct store_head h;
    struct store_scan q;
    if (!store_scan_decode(in, &h, &q))
        return;
    must(q.rows_max >= 1 && q.rows_max <= STORE_SCAN_ROWS && q.from.len <= STORE_KEY_MAX &&
         q.end.len <= STORE_KEY_MAX);
    touch(q.from);
    touch(q.end);
}

static void scan_reply(str_t in)
{
    struct arena a;
    enum store_rc rc;
    struct store_page page;
    arena_init(&a, 4 << 20);
    if (store_scan_reply_decode(in, &a, &rc, &page))
        for (size_t i = 0; i < page.n; i++) {
            touch(page.rows[i].key);
            touch(page.rows[i].value);
        }
    arena_free(&a);
}

static void hints(str_t in)
{
    struct cursor c = cursor_of(in);
    struct store_hint h;
    while (store_hint_decode(&c, &h)) {
        must(h.watch < STORE_WATCHES && h.value.len <= STORE_HINT_VALUE);
        touch(h.key);
        touch(h.value);
    }
}

static void watch(str_t in)
{
    struct store_watch_req w;
    if (store_watch_decode(in, &w)) {
        must(w.watch < STORE_WATCHES);
        touch(w.prefix);
    }
}

/* What was decoded is encoded to the same bytes. */
static void same(struct buf *b, bool encoded, str_t in)
{
    must(encoded && str_eq(buf_str(b), in));
    buf_free(b);
}

static void login(str_t in)
{
    struct store_login_req q;
    struct buf b;
    if (!store_login_decode(in, &q))
        return;
    const struct store_login *l = &q.login;
    must(store_login_valid(l) && l->name.len <= STORE_NAME_MAX &&
         l->auth_message.len <= STORE_AUTH_MESSAGE_MAX);
    touch(l->name);
    touch(l->password);
    touch(l->auth_message);
    touch(l->client_proof);
    touch(l->cert_sha256);
    if (q.head.timeout_ms == STORE_TIMEOUT_MAX_MS)
        return; /* may have been cut to it */
    buf_init(&b, STORE_LOGIN_MAX);
    same(&b, store_login_encode(&b, &q), in);
}

static void login_reply(str_t in)
{
    struct store_login_reply r;
    struct buf b;
    if (!store_login_reply_decode(in, &r))
        return;
    touch(r.address);
    touch(r.password_name);
    touch(r.signature);
    must(r.rc == RC_OK || r.address.len == 0);
    buf_init(&b, STORE_LOGIN_REPLY_MAX);
    if (r.rc == RC_OK || in.ptr[0] == (char)r.rc) /* other numbers are taken as "later" */
        same(&b, store_login_reply_encode(&b, &r), in);
}

static void passwords(str_t in)
{
    static const enum store_msg types[] = {STORE_MSG_SET_PASSWORD,   STORE_MSG_SCRAM,
                                           STORE_MSG_ADD_PASSWORD,   STORE_MSG_REMOVE_PASSWORD,
                                           STORE_MSG_LIST_PASSWORDS, STORE_MSG_CERTIFICATE};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct store_password_req q;
        struct buf b;
        if (!store_password_decode(in, types[i], &q))
            continue;
        must(q.name.len <= STORE_NAME_MAX && q.password.len <= STORE_PASSWORD_MAX);
        touch(q.name);
        touch(q.password);
        buf_init(&b, STORE_LOGIN_MAX);
        if (q.head.timeout_ms < STORE_TIMEOUT_MAX_MS)
            same(&b, store_password_encode(&b, types[i], &q), in);
    }
}

static void password_list(str_t in)
{
    struct store_password_info info[STORE_PASSWORDS_MAX];
    size_t n;
    if (store_password_list_decode(in, info, &n))
        for (size_t i = 0; i < n; i++)
            must(strlen(info[i].name) <= STORE_PASSWORD_NAME_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(str_t) = {commit, commit_reply, get,       get_reply,
                                             scan,   scan_reply,   hints,     watch,
                                             login,  login_reply,  passwords, password_list};
    if (size > 0)
        targets[data[0] % (sizeof targets / sizeof *targets)](str_of(data + 1, size - 1));
    return 0;
}
