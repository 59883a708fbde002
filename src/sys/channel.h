/* channel.h: the internal protocol between roles: framed requests and replies on a Unix stream
 * socket.
 *
 * Frame, big-endian: u32 length of what follows (12 to CHANNEL_FRAME_MAX), u8 version (1), u8 type,
 * u16 flags (number of descriptors passed: 0 or 1), u64 request id, payload. A reply carries the id
 * of its request; id 0 is a notice that expects none. Many requests are in flight at once and may
 * be answered in any order. A malformed frame ends the channel: both sides treat the other as
 * hostile.
 *
 * The client object survives its socket: when the peer dies, calls in flight end with RC_CLOSED,
 * later ones wait for channel_attach with a new socket until their deadline. Payload bytes are
 * opaque here. All functions are thread-safe. */
#ifndef SYS_CHANNEL_H
#define SYS_CHANNEL_H

#include <sys/uio.h>

#include "base/arena.h"
#include "base/err.h"

/* a whole page of a scan or a whole batch, with room for its fields */
#define CHANNEL_FRAME_MAX ((2 << 20) + 4096)

/* ---- client: sends requests ---- */

struct channel;

/* One request in flight. The caller owns it until done was called, exactly once, on the channel's
 * reader thread (or in channel_send). In done, reply points into the reader's buffer: copy what is
 * kept. done must not block on this channel. */
struct channel_call {
    void (*done)(struct channel_call *c);
    void *user;
    /* RC_OK: reply is valid; RC_TEMP: deadline passed before it was sent (nothing happened);
     * RC_CLOSED: sent, no answer (peer died or deadline passed); RC_PERM: larger than a frame */
    enum rc rc;
    uint8_t reply_type;
    str_t reply;
    int reply_fd;        /* -1, or a descriptor now owned by done */
    int64_t deadline_ms; /* CLOCK_MONOTONIC ms, as sys_mono_ms() */
    void *internal[6];
};
/* Deadlines of channel_send are looked at once a second, those of channel_call are exact. */

/* A notice from the peer (id 0). On the reader thread; must not block. */
typedef void channel_notice_fn(void *user, uint8_t type, str_t payload, int fd);
/* The socket was replaced (after the first attach and each later one), before any other call uses
 * it: what is sent from within goes first. On the reader thread; must not block, and must not use
 * channel_call. */
typedef void channel_attached_fn(void *user);

struct channel *channel_new(channel_notice_fn *notice, channel_attached_fn *attached, void *user);
void channel_attach(struct channel *ch, int fd); /* takes fd; a former socket is closed */
bool channel_connected(struct channel *ch);
/* With a deadline that has passed already: sent now or not at all, so never to the peer's successor
 * if called in done or in a notice. */
void channel_send(struct channel *ch, uint8_t type, const struct iovec *payload, int niov,
                  struct channel_call *c);
/* Sends and waits; the reply is copied to the arena. */
enum rc channel_call(struct channel *ch, uint8_t type, const struct iovec *payload, int niov,
                     int64_t deadline_ms, struct arena *a, uint8_t *reply_type, str_t *reply,
                     int *reply_fd);
void channel_free(struct channel *ch);

/* ---- server: answers them ---- */

/* one connected client; counted: live while its socket or a pending reply needs it */
struct channel_peer;

struct channel_server_ops {
    /* A request; on the peer's reader thread, one at a time. Answer now or later with
     * channel_reply(peer, id, …); payload is valid during the call only. Returning false ends the
     * channel (malformed). */
    bool (*request)(void *user, struct channel_peer *peer, uint8_t type, uint64_t id, str_t payload,
                    int fd);
    void (*closed)(void *user, struct channel_peer *peer); /* the last call for this peer */
};
/* Serves fd (taken) on a new thread; ops must outlive it. NULL: no thread or memory, fd is closed,
 * ops were not called. The pointer returned is not counted: it may be used until ops->closed was
 * called, which can be before this returns. */
struct channel_peer *channel_serve(int fd, const struct channel_server_ops *ops, void *user);
void *channel_peer_user(struct channel_peer *p); /* what channel_serve was given */
void channel_peer_hold(struct channel_peer *p);  /* for a reply given later, from another thread */
void channel_peer_release(struct channel_peer *p);
/* Never blocks: a peer that does not read its replies is not read either (8 MiB waiting), then cut
 * off (16 MiB). fd (or -1) is duplicated where it has to wait, so the caller keeps it. id 0 sends a
 * notice. After the peer is gone this does nothing. */
void channel_reply(struct channel_peer *p, uint64_t id, uint8_t type, const struct iovec *payload,
                   int niov, int fd);
/* Several replies in one write: between cork and uncork replies from this thread to this peer are
 * gathered. */
void channel_cork(struct channel_peer *p);
void channel_uncork(struct channel_peer *p);
void channel_peer_close(struct channel_peer *p);

#endif
