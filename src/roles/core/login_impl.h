/* login_impl.h: what the files of logins share.
 *
 *     logins.c       requests come and are answered; sessions
 *     login_pool.c   the queue, its threads, and what they share
 *     login_check.c  who is it, and is the proof right?
 *     login_note.c   what a login that succeeded leaves behind
 *     login_admin.c  passwords and certificates are set and taken away
 *
 * Rows of PART_SECRET, which nobody else reads (its others: relay/NAME, post/route.h; hmac/key,
 * post/return_path.h):
 *
 *     pw/ID            passwords of an account (password.h)
 *     cert/SHA256      the account (u64) a client certificate belongs to
 *     known/ID/NET     when the account last logged in from this network, and where in it (known.h)
 *     fake-salt        32 random bytes: salts of SCRAM come from it, see login_salt */
#ifndef ROLES_CORE_LOGIN_IMPL_H
#define ROLES_CORE_LOGIN_IMPL_H

#include <stdatomic.h>

#include "base/digest.h"
#include "roles/core/budgets.h"
#include "roles/core/client.h"
#include "roles/core/delays.h"
#include "roles/core/known.h"
#include "roles/core/password.h"
#include "roles/core/verified.h"
#include "roles/log.h"
#include "roles/log_gate.h"

#define SECRET_PART    ((part_t){PART_SECRET, 0})
#define DIRECTORY_PART ((part_t){PART_DIRECTORY, 0})
#define SECRET_KEY_MAX 64 /* of the rows above */

/* So many networks are kept of each account: a year's holidays; the oldest goes. */
#define LOGIN_KNOWN_MAX 64

struct login_job {
    struct list link;
    struct core_client *client;
    struct channel_peer *peer;
    uint64_t id;
    enum store_msg type;
    int64_t deadline_ms;
    struct store_login login;          /* LOGIN; the name in lower case */
    struct store_password_req request; /* the others */
    uint64_t account;
    uint64_t begun; /* pool's `changes` when the record was first read */
    bool stranger;  /* pays budgets; is held back */
    bool paid;      /* and what it paid is in `budget` */
    struct budgets_try budget;
    /* what was found out before the job was queued: the password is right, and the entry's number
     * in a record of this generation */
    bool verified;
    bool token_asked; /* and answered: */
    enum rc token_rc;
    struct core_token token;
    uint64_t generation;
    int which;
    char password_name[STORE_PASSWORD_NAME_MAX + 1];
    char address[STORE_ADDRESS_MAX + 1];
    uint8_t signature[32];
    size_t signature_len;
    size_t len;
    char bytes[]; /* what the slices point to */
};

#define KNOWN_SLOTS   4096
#define CHANGED_SLOTS 256 /* of accounts: two that share one make each other log in again */

struct login_pool {
    struct core_server *server;
    pthread_mutex_t lock; /* of all below but the salt and the constants; short */
    pthread_cond_t work;
    pthread_cond_t tokens_back;
    struct list first, waiting; /* from where the account is known; strangers */
    size_t n_first, n_waiting, n_tokens;
    bool stop;
    struct delays delays;
    struct budgets budgets;
    struct verified verified;
    struct { /* pairs noted today: saves asking the store */
        uint64_t who;
        uint32_t day;
    } known[KNOWN_SLOTS];
    struct log_gate gate;
    uint64_t logins, refused; /* succeeded; over a budget or no room */
    /* How often something was taken from an account, and of each what the number was then. */
    _Atomic uint64_t changes, changed[CHANGED_SLOTS];
    pthread_mutex_t salt_lock;
    bool have_salt;
    uint8_t salt[32];
    int64_t cache_ms;             /* 0: nothing is cached */
    const struct settings *rules; /* who is no stranger; NULL: this machine alone */
    int n_threads;
    pthread_t threads[CORE_LOGIN_THREADS_MAX];
};

/* ---- logins.c ---- */

/* Answers and frees the job. RC_OK: a session was made. */
void login_answer(struct login_pool *p, struct login_job *j, enum rc rc);
void login_answer_plain(struct login_job *j, enum rc rc); /* of the administration */
void login_job_free(struct login_job *j);
/* A password or certificate of the account is no more (that is durable): all its sessions end, and
 * so does a login that is just being checked against what there was. */
void login_revoke(struct login_pool *p, uint64_t account);
void login_run(struct login_pool *p, struct login_job *j); /* pool thread */

/* ---- login_pool.c ---- */

/* Queues the job, which the pool then owns. False: no room. */
bool login_pool_add(struct login_pool *p, struct login_job *j, bool first);

/* ---- login_check.c ---- */

/* The account of a login name (in lower case); 0: there is none. */
enum store_rc login_account(struct login_pool *p, str_t name, struct arena *a, uint64_t *account);
/* Reads an account's record and what it knows of this address; for account 0 the same work.
 * *old, if asked for: the row as it is, in the arena. */
enum store_rc login_record(struct login_pool *p, uint64_t account, const struct netaddr *from,
                           struct arena *a, struct password_record *record, str_t *old,
                           enum budgets_place *place);
/* Pool thread: is the proof right? Fills the job's account, address, password_name, which and
 * signature, and *record. */
enum rc login_check(struct login_pool *p, struct login_job *j, struct password_record *record);
/* What a session of this entry is called, and whether it may be. */
enum rc login_entry(struct login_job *j, const struct password_record *record, int which);
/* The salt of a name's SCRAM keys: HMAC-SHA-256(fake-salt, name): the same function for names that
 * exist and others, so nobody can tell them apart by it. */
enum rc login_salt(struct login_pool *p, str_t name, uint8_t salt[static STORE_SCRAM_SALT]);
enum rc login_account_name(struct login_pool *p, uint64_t account, char out[STORE_ADDRESS_MAX + 1]);

str_t secret_key(const char *prefix, uint64_t account, char out[static SECRET_KEY_MAX]);
str_t known_key(uint64_t account, const struct netaddr *from, char out[static SECRET_KEY_MAX]);
str_t cert_key(str_t sha256, char out[static SECRET_KEY_MAX]);
uint32_t login_today(struct login_pool *p);

/* ---- login_note.c ---- */

/* Whether all that login_note would write was written today. Under the lock. */
bool login_noted(struct login_pool *p, uint64_t account, const struct netaddr *from);
/* After a success: where from, when, and SCRAM keys for a record that has none. */
void login_note(struct login_pool *p, const struct login_job *j,
                const struct password_record *record);

/* ---- login_admin.c ---- */

/* Pool thread: does what the job asks, answers, frees it. */
void login_admin(struct login_pool *p, struct login_job *j);

#endif
