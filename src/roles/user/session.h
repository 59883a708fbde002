/* session.h: one POP3 session; shared by session.c and maildrop.c alone. */
#ifndef ROLES_USER_SESSION_H
#define ROLES_USER_SESSION_H

#include "post/mailbox.h"
#include "roles/user/user.h"

struct user_session {
    struct user *user;
    struct pop3s *pop3;
    struct netaddr peer;
    char id[24];
    int64_t now_ms;        /* of the last event */
    int64_t hold_until_ms; /* the answer to a wrong password waits; 0: no */
    /* Since the login: */
    struct store *store; /* NULL: not logged in */
    uint64_t account;
    struct arena arena; /* the two arrays */
    struct mailbox_message *messages;
    struct pop3s_message *listed; /* the same, as the engine has them */
    size_t n;
    uint64_t retrieved, removed; /* for the log */
};

/* Answers POP3S_LOGIN, POP3S_CONTENT, POP3S_UPDATE. */
void maildrop_login(struct user_session *s);
void maildrop_content(struct user_session *s);
void maildrop_update(struct user_session *s);
/* Gives the mailbox back. Nothing if there is none. */
void maildrop_close(struct user_session *s);

#endif
