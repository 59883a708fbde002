/* maildrop.c: the mailbox behind a session: login, reading, removing. See session.h.
 *
 * The messages are those that were there at login (RFC 1939 5); their contents are fetched chunk by
 * chunk as the client takes them. A damaged message costs that message: it is listed, it answers
 * with an error, and it can be deleted.
 *
 * When the password is changed or taken away, or the account removed, core ends the session: what
 * was read at login is still listed, but nothing more is read, and nothing deleted. */
#include "roles/log.h"
#include "roles/sasl_driver.h"
#include "roles/user/session.h"

enum {
    MAILDROP_MAX = 256 << 20, /* bytes of both arrays: more messages than mailbox_list gives */
    CHUNK_ARENA = 4 * STORE_CHUNK,
    NAME_ARENA = 16384, /* names are shorter than a line */
};

static bool list_messages(struct user_session *s, enum store_rc *rc, uint32_t *uidvalidity)
{
    *rc = mailbox_uidvalidity(s->store, s->account, MAILBOX_INBOX, uidvalidity);
    if (*rc == STORE_OK)
        *rc = mailbox_list(s->store, s->account, MAILBOX_INBOX, &s->arena, &s->messages, &s->n);
    if (*rc != STORE_OK)
        return false;
    s->listed = arena_array(&s->arena, s->n, sizeof *s->listed);
    for (size_t i = 0; s->listed != NULL && i < s->n; i++) {
        s->listed[i] =
            (struct pop3s_message){.size = s->messages[i].size, .uid = s->messages[i].uid};
        if (s->messages[i].damaged)
            log_event("user", str_c(s->id), "damaged", log_u64("account", s->account),
                      log_u64("uid", s->messages[i].uid), log_end);
    }
    *rc = s->listed != NULL || s->n == 0 ? STORE_OK : STORE_LIMIT;
    return *rc == STORE_OK;
}

static void open_maildrop(struct user_session *s)
{
    enum store_rc rc;
    uint32_t uidvalidity;
    arena_init(&s->arena, MAILDROP_MAX);
    if (list_messages(s, &rc, &uidvalidity)) {
        log_event("user", str_c(s->id), "login", log_str("name", pop3s_name(s->pop3)),
                  log_u64("account", s->account), log_u64("messages", s->n), log_end);
        pop3s_login(s->pop3, s->listed, s->n, uidvalidity);
        return;
    }
    log_event("user", str_c(s->id), "mailbox-unreadable", log_u64("account", s->account),
              log_cstr("why", store_rc_name(rc)), log_end);
    maildrop_close(s);
    if (rc == STORE_DAMAGED || rc == STORE_LIMIT)
        pop3s_refuse(s->pop3, POP3S_PERM, "the mailbox cannot be read; tell your postmaster");
    else
        pop3s_refuse(s->pop3, POP3S_TEMP, "the mailbox cannot be read now; try again later");
}

static void log_refused(struct user_session *s, const struct err *err)
{
    char from[NETADDR_TEXT];
    uint64_t left_out;
    if (log_gate_pass(&s->user->gate, &s->peer, s->now_ms, &left_out))
        log_event("user", str_c(s->id), "login-failed", log_str("name", pop3s_name(s->pop3)),
                  log_cstr("from", netaddr_text(&s->peer, from)), log_cstr("why", err->text),
                  log_u64("more_before", left_out), log_end);
}

static void refuse_login(struct user_session *s, enum rc rc, const struct err *err)
{
    log_refused(s, err);
    /* which, is not told */
    if (rc == RC_PERM)
        pop3s_refuse(s->pop3, POP3S_AUTH, "name or password is wrong");
    else
        pop3s_refuse(s->pop3, POP3S_TEMP, "logins cannot be checked now; try again later");
}

/* Held back, so that who floods us has his connections full of waiting, and others get a turn. */
static uint32_t busy(struct err *err)
{
    (void)err_set(err, RC_TEMP, "", "too many logins at once");
    return USER_BUSY_HOLD_MS;
}

/* Asks core, unless too many wait for it already. */
static enum rc check(struct user_session *s, struct store **store, struct err *err)
{
    struct user *u = s->user;
    struct arena a;
    uint32_t hold_ms = 0;
    enum rc rc = RC_TEMP;
    arena_init(&a, NAME_ARENA);
    if (atomic_fetch_add(&u->logins_waiting, 1) < USER_LOGINS_MAX)
        rc = u->login(u, login_stored_name(pop3s_name(s->pop3), &a), pop3s_password(s->pop3),
                      &s->peer, &s->account, store, &hold_ms, err);
    else
        hold_ms = busy(err);
    atomic_fetch_sub(&u->logins_waiting, 1);
    arena_free(&a);
    s->hold_until_ms = hold_ms > 0 ? s->now_ms + hold_ms : 0;
    return rc;
}

void maildrop_login(struct user_session *s)
{
    struct user *u = s->user;
    struct err err = {0};
    struct store *store = NULL;
    enum rc rc = check(s, &store, &err);
    if (rc != RC_OK) {
        refuse_login(s, rc, &err);
        return;
    }
    if (!user_lock(&u->locks, s->account)) {
        u->logout(u, store);
        log_event("user", str_c(s->id), "in-use", log_u64("account", s->account), log_end);
        pop3s_refuse(s->pop3, POP3S_IN_USE, "another session has this mailbox; try again later");
        return;
    }
    s->store = store;
    open_maildrop(s);
}

/* Core knows the session no more: else it may do all that is done here. */
static void login_over(struct user_session *s)
{
    log_event("user", str_c(s->id), "login-over", log_u64("account", s->account), log_end);
    pop3s_login_over(s->pop3, "the password was changed or taken away, log in again");
}

static void content_failed(struct user_session *s, const struct mailbox_message *m,
                           enum store_rc rc)
{
    log_event("user", str_c(s->id), "content-unreadable", log_u64("account", s->account),
              log_u64("uid", m->uid), log_cstr("why", store_rc_name(rc)), log_end);
    if (rc == STORE_DAMAGED)
        pop3s_content_failed(s->pop3, POP3S_PERM,
                             "this message is damaged and cannot be read; tell your postmaster");
    else
        pop3s_content_failed(s->pop3, POP3S_TEMP,
                             "this message cannot be read now; try again later");
}

void maildrop_content(struct user_session *s)
{
    const struct mailbox_message *m = &s->messages[pop3s_index(s->pop3)];
    uint32_t piece = pop3s_piece(s->pop3);
    if (m->chunks == 0 && !m->damaged) {
        pop3s_content(s->pop3, STR_NONE, true);
        return;
    }
    struct arena a;
    str_t bytes;
    arena_init(&a, CHUNK_ARENA);
    enum store_rc rc = mailbox_chunk(s->store, s->account, m, piece, &a, &bytes);
    if (rc == STORE_OK) {
        bool last = piece + 1 == m->chunks;
        s->retrieved += last;
        pop3s_content(s->pop3, bytes, last);
    } else if (rc == STORE_DENIED) {
        login_over(s);
    } else {
        content_failed(s, m, rc);
    }
    arena_free(&a);
}

void maildrop_update(struct user_session *s)
{
    /* The marked ones moved to the front: the session ends here, the order is not needed any
     * more. */
    size_t marked = 0, removed;
    for (size_t i = 0; i < s->n; i++)
        if (s->listed[i].deleted)
            s->messages[marked++] = s->messages[i];
    enum store_rc rc =
        mailbox_remove(s->store, s->account, MAILBOX_INBOX, s->messages, marked, &removed);
    s->removed = removed;
    if (rc != STORE_OK)
        log_event("user", str_c(s->id), "remove-failed", log_u64("account", s->account),
                  log_u64("wanted", marked), log_u64("removed", removed),
                  log_cstr("why", store_rc_name(rc)), log_end);
    if (rc == STORE_DENIED)
        login_over(s);
    else
        pop3s_updated(s->pop3, rc == STORE_OK);
}

void maildrop_close(struct user_session *s)
{
    if (s->store == NULL)
        return;
    user_unlock(&s->user->locks, s->account);
    s->user->logout(s->user, s->store);
    s->store = NULL;
    arena_free(&s->arena);
}
