/* control.h: what supervisor and roles say to each other, over a SOCK_SEQPACKET pair: two bytes and
 * perhaps a descriptor.
 *
 *     supervisor                                   role
 *       SETTINGS fd, DATA_DIR fd, LISTENER…, TLS…, CHANNEL…, START ──▶   enters its sandbox
 *       ◀── READY                                                   serves
 *       CHANNEL fd (a peer was restarted) ──▶
 *       TLS_PAIRS fd, TLS_AUTHORITIES fd, TOKEN_SECRET fd (files have changed) ──▶
 *       TOKENS fd (between core and courier alone, in addition to CHANNEL) ──▶
 *       ◀── CHANNEL (its channel to that peer ended although neither died: it wants a new one)
 *       STOP ──▶                                                    ends */
#ifndef ROLES_CONTROL_H
#define ROLES_CONTROL_H

#include "base/str.h"

enum control_kind {
    CONTROL_SETTINGS, /* fd: a file with the text of the configuration */
    CONTROL_DATA_DIR, /* fd */
    CONTROL_LISTENER, /* arg: enum listener_kind; fd */
    CONTROL_CHANNEL,  /* arg: enum role_id of the peer, or ROLE_COUNT; fd: our end */
    CONTROL_START,    /* the first set is complete */
    CONTROL_STOP,
    CONTROL_READY,
    CONTROL_TLS_PAIRS,       /* fd: certificates with their keys, roles/tls_parcel.h */
    CONTROL_TLS_AUTHORITIES, /* fd: PEM */
    CONTROL_TOKENS,       /* fd: the end of core's channel to courier, or of courier's to core, for
                           * bearer tokens (roles/token_protocol.h) */
    CONTROL_TOKEN_SECRET, /* fd: courier's secret at the OAuth endpoint */
    CONTROL_KINDS,
};

struct control_message {
    enum control_kind kind;
    uint8_t arg;
    int fd; /* -1, or the receiver's */
};

/* Never waits: a role that does not read its control socket is as good as dead. fd (-1: none) stays
 * the caller's. */
bool control_send(int sock, enum control_kind kind, uint8_t arg, int fd);
/* Waits (unless the socket is non-blocking). 1: a message; 0: the other side is gone or sent
 * nonsense; -1: nothing there. */
int control_receive(int sock, struct control_message *m);

#endif
