/* protocol.h: what the core role and its clients say to each other inside the frames of
 * sys/channel.h.
 *
 * A request is a frame of one of the types below; its reply has the same type with STORE_MSG_REPLY
 * set and begins with a u8 (enum store_rc; for the login messages enum rc). Every field is bounded
 * here, on both sides; a message that does not decode exactly, to its last byte, is malformed: core
 * ends the channel, a client takes it as no answer.
 *
 *     head            u8 flags (1: a session token follows), u32 ms until the deadline (0: none),
 *                     [16 bytes token]
 *     part            u8 kind, u64 id
 *
 *     HELLO           u16 version; once on each socket
 *                     -> rc, u16 version, and the board's descriptor
 *     COMMIT          head, part, u8 lazy, u16 n, n ops
 *                     -> OK: u64 for each ADD and PUT_NEXT, in order; CONFLICT: u32 index
 *     GET             head, part, u16 n, n keys
 *                     -> u16 n, n times: u8 absent 0, present 1, damaged 2; value if 1
 *     SCAN            head, part, u64 snapshot, u8 flags, u32 rows, from, end
 *                     -> u8 more, u32 n, n times: u8 damaged, key, value
 *     SNAPSHOT_OPEN   head, part -> u64 id
 *     SNAPSHOT_CLOSE  head, u64 id -> rc
 *     WATCH           head, u8 index, part, prefix -> rc; from then on notices HINTS
 *     HINTS           (notice) any number of: u8 index, u8 kind (put 0, deleted 1, lost 2), u16
 *                     key, u16 value
 *     HINT_ACK        u32 bytes of HINTS that were handled -> rc. Core keeps at most
 *                     STORE_HINTS_UNACKED on their way: over it the watch gets "lost" when there is
 *                     room again. So a slow watcher never holds core.
 *     LOGIN           head, u8 use, u8 proof, u8 family, 16 bytes address, name, password or token,
 *                     u16 hash bits, auth message, client proof, certificate
 *                     -> rc; OK: u64 account, 16 bytes token, address, password's name, signature;
 *                     else: u32 ms for which the answer is to be held back
 *     LOGOUT          head (with token) -> rc
 *     SCRAM           head, name -> rc; OK: 16 bytes salt, u32 iterations
 *     SET_PASSWORD    head, u64 account, password -> rc
 *     ADD_PASSWORD    head, u64 account, u8 uses, name, password -> rc
 *     REMOVE_PASSWORD head, u64 account, name -> rc
 *     LIST_PASSWORDS  head, u64 account -> rc; OK: u8 n, n times: name, u8 uses, u64 made, u64 used
 *     CERTIFICATE     head, u64 account, u8 remove, 32 bytes SHA-256 -> rc
 *
 * Keys have a u16 length before them, values a u32. Pure functions: no I/O, nothing kept. Slices
 * decoded point into the input. */
#ifndef STORE_PROTOCOL_H
#define STORE_PROTOCOL_H

#include <sys/uio.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/netaddr.h"
#include "store/login.h"
#include "store/store.h"

#define STORE_PROTOCOL_VERSION 2

enum store_msg {
    STORE_MSG_HELLO = 1,
    STORE_MSG_COMMIT,
    STORE_MSG_GET,
    STORE_MSG_SCAN,
    STORE_MSG_SNAPSHOT_OPEN,
    STORE_MSG_SNAPSHOT_CLOSE,
    STORE_MSG_WATCH,
    STORE_MSG_HINT_ACK,
    STORE_MSG_LOGIN,
    STORE_MSG_LOGOUT,
    STORE_MSG_SET_PASSWORD,
    STORE_MSG_SCRAM,
    STORE_MSG_ADD_PASSWORD,
    STORE_MSG_REMOVE_PASSWORD,
    STORE_MSG_LIST_PASSWORDS,
    STORE_MSG_CERTIFICATE,
    STORE_MSG_REQUESTS, /* one more than the last */
    STORE_MSG_HINTS = 64,
    STORE_MSG_REPLY = 128, /* set in a reply's type */
};

#define STORE_TOKEN_LEN 16
#define STORE_GET_KEYS  512 /* keys in one multi-get, as ops in a batch */
/* rows in one page: their fields and a page of bytes stay within a frame */
#define STORE_SCAN_ROWS  32768
#define STORE_WATCHES    16   /* of one client */
#define STORE_HINT_VALUE 4096 /* a longer value is left out of its hint */
/* bytes of hints on their way to one client: a tenth of a second of a busy queue */
#define STORE_HINTS_UNACKED  (1 << 20)
#define STORE_HINTS_ACK      (128 << 10) /* a client acknowledges after so many */
#define STORE_NAME_MAX       448         /* login name: STORE_KEY_MAX less the row's prefix */
#define STORE_PASSWORD_MAX   1024 /* bytes; hashing cost does not depend on it, memory does */
#define STORE_TIMEOUT_MAX_MS (10 * 60 * 1000) /* no request waits longer, whatever it says */

struct store_head {
    bool has_token;
    uint8_t token[STORE_TOKEN_LEN];
    uint32_t timeout_ms;
};
bool store_head_encode(struct buf *out, const struct store_head *h);
bool store_head_decode(struct cursor *c, struct store_head *h);
bool store_part_encode(struct buf *out, part_t part);
bool store_part_decode(struct cursor *c, part_t *part);

/* ---- commit ---- */

/* The first values from this size on are sent from where they lie; the others are copied between
 * the fields. A full batch of content is 16 chunks of 64 KiB. */
#define STORE_INLINE_VALUE 4096
#define STORE_BIG_VALUES   15
#define STORE_COMMIT_IOV   (2 * STORE_BIG_VALUES + 1) /* sys/channel.c takes 32 */

/* Room for the fields of this batch (which store_submit has found within the limits). */
size_t store_commit_size(const struct store_batch *b);
/* Encodes into fields[size]; iov then lists fields and big values in turn, n of them. */
int store_commit_encode(const struct store_batch *b, const struct store_head *h, char *fields,
                        size_t size, struct iovec iov[static STORE_COMMIT_IOV]);

/* The part of a COMMIT before its ops: with n checked against the bytes that follow. */
struct store_commit_head {
    struct store_head head;
    part_t part;
    bool lazy;
    uint16_t n;
};
bool store_commit_decode_head(struct cursor *c, struct store_commit_head *out);
/* Fills ops[n] and *bytes (keys and values). The message must end with the last op. */
bool store_commit_decode_ops(struct cursor *c, struct store_op *ops, uint16_t n, size_t *bytes);

bool store_commit_reply_encode(struct buf *out, const struct store_commit *c);
/* Sets c->rc, c->failed_op and the numbers of the batch's ops. */
bool store_commit_reply_decode(str_t reply, struct store_commit *c);
#define STORE_COMMIT_REPLY_MAX (1 + 8 * STORE_BATCH_OPS)

/* ---- get ---- */

bool store_get_encode(struct buf *out, const struct store_head *h, part_t part, const str_t *keys,
                      size_t n);
/* Keys in `keys`, room for STORE_GET_KEYS. */
bool store_get_decode(str_t request, struct store_head *h, part_t *part, str_t *keys, uint16_t *n);
bool store_get_reply_encode(struct buf *out, enum store_rc rc, const struct store_value *v,
                            size_t n);
bool store_get_reply_decode(str_t reply, enum store_rc *rc, struct store_value *out, size_t n);

/* ---- scan ---- */

bool store_scan_encode(struct buf *out, const struct store_head *h, const struct store_scan *q);
bool store_scan_decode(str_t request, struct store_head *h, struct store_scan *q);
bool store_scan_reply_encode(struct buf *out, enum store_rc rc, const struct store_page *p);
bool store_scan_reply_decode(str_t reply, struct arena *a, enum store_rc *rc,
                             struct store_page *out);

/* ---- watches ---- */

struct store_hint {
    uint8_t watch;
    enum { STORE_HINT_PUT, STORE_HINT_DELETED, STORE_HINT_LOST } kind;
    str_t key, value;
};
#define STORE_HINT_MAX (6 + STORE_KEY_MAX + STORE_HINT_VALUE)
bool store_hint_encode(struct buf *out, const struct store_hint *h);
/* The next of a HINTS message; false at its end (then c->failed tells whether it was malformed). */
bool store_hint_decode(struct cursor *c, struct store_hint *h);

struct store_watch_req {
    struct store_head head;
    uint8_t watch;
    part_t part;
    str_t prefix;
};
bool store_watch_encode(struct buf *out, const struct store_watch_req *w);
bool store_watch_decode(str_t request, struct store_watch_req *w);

/* ---- logins: protocol_login.c ---- */

/* a bearer token: what a SASL message of 12,288 characters of base64 (RFC 4954 4) holds and more */
#define STORE_BEARER_MAX 12288
/* SCRAM: three messages with a name, nonces and a binding; ours and every client's are below 2 KiB */
#define STORE_AUTH_MESSAGE_MAX 8192
#define STORE_DIGEST_MAX       32 /* a proof, a signature, a certificate's hash */
#define STORE_ADDRESS_MAX      320

/* As a client sees it: with the head. */
struct store_login_req {
    struct store_head head;
    struct store_login login;
};
/* Room for any request. */
#define STORE_LOGIN_MAX \
    (128 + STORE_NAME_MAX + STORE_BEARER_MAX + STORE_AUTH_MESSAGE_MAX + 2 * STORE_DIGEST_MAX)
/* Whether every field keeps to its limit: what decode refuses otherwise. */
bool store_login_valid(const struct store_login *l);
bool store_login_encode(struct buf *out, const struct store_login_req *l);
bool store_login_decode(str_t request, struct store_login_req *l);

struct store_login_reply {
    enum rc rc;
    uint32_t hold_ms; /* unless RC_OK */
    uint64_t account; /* the rest: RC_OK */
    uint8_t token[STORE_TOKEN_LEN];
    str_t address, password_name, signature;
};
#define STORE_LOGIN_REPLY_MAX (64 + STORE_ADDRESS_MAX + STORE_PASSWORD_NAME_MAX + STORE_DIGEST_MAX)
bool store_login_reply_encode(struct buf *out, const struct store_login_reply *r);
bool store_login_reply_decode(str_t reply, struct store_login_reply *r);

/* All that is asked of an account's passwords: SCRAM (by name) and the five of the administration.
 * Fields a message does not have are empty. */
struct store_password_req {
    struct store_head head;
    uint64_t account;
    unsigned uses;
    bool remove;    /* CERTIFICATE */
    str_t name;     /* of the account (SCRAM) or the password */
    str_t password; /* or a certificate's SHA-256 */
};
bool store_password_encode(struct buf *out, enum store_msg type,
                           const struct store_password_req *q);
bool store_password_decode(str_t request, enum store_msg type, struct store_password_req *q);

bool store_password_list_encode(struct buf *out, const struct store_password_info *list, size_t n);
bool store_password_list_decode(str_t reply, struct store_password_info out[STORE_PASSWORDS_MAX],
                                size_t *n);

#endif
