/* channel_server.c: the server side of channel.h.
 *
 * A reply is written at once, by the thread that gives it, without blocking. What the socket does
 * not take is copied to the queue `out`, and from then on everything goes through the queue, which
 * a writer thread (started when first needed) empties. The socket is closed with the last reference
 * only, so that no thread ever uses a number that has become another descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "sys/channel.h"
#include "sys/clock.h"
#include "sys/frame.h"

/* Replies waiting for the peer. From OUT_BYTES_PAUSE on its requests are not read: it gets no more
 * answers than it takes. What was read before and is answered later may add to that; at
 * OUT_BYTES_MAX the peer is cut off. */
#define OUT_BYTES_PAUSE (8 << 20)
#define OUT_BYTES_MAX   (16 << 20)
/* a peer that takes nothing at all for so long has stopped: cut off */
#define PAUSE_MS 30000
/* replies gathered; a commit answers some 60 requests of 30 bytes */
#define CORK_SIZE     (64 << 10)
#define IOV_MAX_REPLY 32
/* poll step of the writer: how long it takes to notice an end at most */
#define WRITER_IDLE_MS 1000

struct out { /* a piece of the queue */
    struct list link;
    size_t len, at;
    int fd; /* goes with the first byte, or -1 */
    char bytes[];
};

struct channel_peer {
    const struct channel_server_ops *ops;
    void *user;
    int fd;
    _Atomic int refs;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t more;  /* out has something, or dead */
    pthread_cond_t room;  /* out has less, or dead */
    bool dead, writing;   /* cut off or ended; the writer thread exists */
    struct list out;
    _Atomic size_t out_bytes; /* changed under lock */
    bool corked;
    pthread_t corker;
    char *cork;
    size_t cork_len;
};

/* ---- life ---- */

void channel_peer_hold(struct channel_peer *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
}

void channel_peer_release(struct channel_peer *p)
{
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (struct list *l; (l = list_pop(&p->out)) != NULL;) {
        struct out *o = list_entry(l, struct out, link);
        if (o->fd >= 0)
            close(o->fd);
        free(o);
    }
    close(p->fd);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->more);
    pthread_cond_destroy(&p->room);
    free(p->cork);
    free(p);
}

void *channel_peer_user(struct channel_peer *p)
{
    return p->user;
}

/* Under lock. */
static void cut_off(struct channel_peer *p)
{
    p->dead = true;
    shutdown(p->fd, SHUT_RDWR);
    pthread_cond_signal(&p->more);
    pthread_cond_signal(&p->room);
}

void channel_peer_close(struct channel_peer *p)
{
    pthread_mutex_lock(&p->lock);
    cut_off(p);
    pthread_mutex_unlock(&p->lock);
}

/* Waits while more answers than OUT_BYTES_PAUSE wait for the peer. False: it is over. */
static bool wait_room(struct channel_peer *p)
{
    if (atomic_load_explicit(&p->out_bytes, memory_order_relaxed) <= OUT_BYTES_PAUSE)
        return true;
    pthread_mutex_lock(&p->lock);
    while (!p->dead && p->out_bytes > OUT_BYTES_PAUSE / 2) {
        struct timespec until = sys_timespec(sys_mono_ms() + PAUSE_MS);
        size_t before = p->out_bytes;
        int late = pthread_cond_clockwait(&p->room, &p->lock, CLOCK_MONOTONIC, &until);
        if (late != 0 && p->out_bytes >= before)
            cut_off(p);
    }
    bool good = !p->dead;
    pthread_mutex_unlock(&p->lock);
    return good;
}

static void read_requests(struct channel_peer *p, struct frame_reader *r)
{
    for (;;) {
        enum frame_rc rc = frame_fill(r, p->fd);
        if (rc == FRAME_END || rc == FRAME_BAD)
            return;
        struct frame f;
        while ((rc = frame_next(r, &f)) == FRAME_OK)
            if (!p->ops->request(p->user, p, f.type, f.id, f.payload, f.fd) || !wait_room(p))
                return;
        if (rc == FRAME_BAD)
            return;
    }
}

static void *reader_main(void *arg)
{
    struct channel_peer *p = arg;
    struct frame_reader r;
    if (frame_reader_init(&r)) {
        read_requests(p, &r);
        frame_reader_free(&r);
    }
    channel_peer_close(p);
    if (p->ops->closed != NULL)
        p->ops->closed(p->user, p);
    channel_peer_release(p);
    return NULL;
}

static bool start_thread(void *(*run)(void *), void *arg)
{
    pthread_t t;
    if (pthread_create(&t, NULL, run, arg) != 0)
        return false;
    pthread_detach(t);
    return true;
}

struct channel_peer *channel_serve(int fd, const struct channel_server_ops *ops, void *user)
{
    struct channel_peer *p = calloc(1, sizeof *p);
    if (p == NULL) {
        close(fd);
        return NULL;
    }
    p->ops = ops;
    p->user = user;
    p->fd = fd;
    atomic_init(&p->refs, 1); /* the reader's */
    list_init(&p->out);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    pthread_cond_init(&p->room, NULL);
    if (!start_thread(reader_main, p)) {
        channel_peer_release(p);
        return NULL;
    }
    return p;
}

/* ---- writing ---- */

/* One sendmsg. Bytes sent, 0 if there is no room, -1 if the peer is gone. */
static ssize_t write_some(int sock, struct iovec *v, int nv, int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)nv};
    if (fd >= 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    for (;;) {
        ssize_t n = sendmsg(sock, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            return n;
        if (errno != EINTR)
            return errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS ? 0 : -1;
    }
}

/* Under lock: sends the first piece on. False: no room now. */
static bool write_first(struct channel_peer *p)
{
    struct out *o = list_entry(p->out.next, struct out, link);
    struct iovec v = {.iov_base = o->bytes + o->at, .iov_len = o->len - o->at};
    ssize_t n = write_some(p->fd, &v, 1, o->fd);
    if (n < 0)
        cut_off(p);
    if (n <= 0)
        return false;
    o->at += (size_t)n;
    p->out_bytes -= (size_t)n;
    if (o->fd >= 0)
        close(o->fd);
    o->fd = -1;
    if (o->at == o->len) {
        list_remove(&o->link);
        free(o);
    }
    pthread_cond_signal(&p->room);
    return true;
}

static void *writer_main(void *arg)
{
    struct channel_peer *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->dead) {
        if (list_empty(&p->out)) {
            pthread_cond_wait(&p->more, &p->lock);
        } else if (!write_first(p)) {
            pthread_mutex_unlock(&p->lock);
            struct pollfd w = {.fd = p->fd, .events = POLLOUT};
            (void)poll(&w, 1, WRITER_IDLE_MS);
            pthread_mutex_lock(&p->lock);
        }
    }
    pthread_mutex_unlock(&p->lock);
    channel_peer_release(p);
    return NULL;
}

static bool start_writer(struct channel_peer *p)
{
    if (p->writing)
        return true;
    channel_peer_hold(p);
    p->writing = start_thread(writer_main, p);
    if (!p->writing)
        atomic_fetch_sub(&p->refs, 1); /* never the last: the caller has one */
    return p->writing;
}

static void copy_out(char *to, const struct iovec *v, int nv, size_t skip)
{
    for (int i = 0; i < nv; i++) {
        size_t drop = skip < v[i].iov_len ? skip : v[i].iov_len;
        skip -= drop;
        if (v[i].iov_len > drop)
            memcpy(to, (char *)v[i].iov_base + drop, v[i].iov_len - drop);
        to += v[i].iov_len - drop;
    }
}

/* Under lock: keeps the frame but for its first `sent` bytes for the writer. */
static void queue_rest(struct channel_peer *p, const struct iovec *v, int nv, size_t sent, int fd)
{
    size_t len = frame_payload_len(v, nv) - sent;
    struct out *o = p->out_bytes + len > OUT_BYTES_MAX ? NULL : malloc(sizeof *o + len);
    int own = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (o == NULL || (fd >= 0 && own < 0) || !start_writer(p)) {
        free(o);
        if (own >= 0)
            close(own);
        cut_off(p);
        return;
    }
    *o = (struct out){.len = len, .fd = own};
    copy_out(o->bytes, v, nv, sent);
    p->out_bytes += len;
    list_push(&p->out, &o->link);
    pthread_cond_signal(&p->more);
}

/* Under lock. */
static void write_or_queue(struct channel_peer *p, struct iovec *v, int nv, int fd)
{
    size_t len = frame_payload_len(v, nv);
    ssize_t n = list_empty(&p->out) ? write_some(p->fd, v, nv, fd) : 0;
    if (n < 0)
        cut_off(p);
    else if ((size_t)n < len)
        queue_rest(p, v, nv, (size_t)n, n > 0 ? -1 : fd);
}

static void flush_cork(struct channel_peer *p)
{
    if (p->cork_len == 0 || p->dead)
        return;
    struct iovec v = {.iov_base = p->cork, .iov_len = p->cork_len};
    write_or_queue(p, &v, 1, -1);
    p->cork_len = 0;
}

/* Under lock: gathers the frame if this thread has corked the peer and it is small. */
static bool gather(struct channel_peer *p, const struct iovec *v, int nv, size_t len, int fd)
{
    if (!p->corked || !pthread_equal(p->corker, pthread_self()))
        return false;
    if (p->cork_len + len > CORK_SIZE || fd >= 0)
        flush_cork(p);
    if (fd >= 0 || len > CORK_SIZE || p->dead)
        return false;
    if (p->cork == NULL && (p->cork = malloc(CORK_SIZE)) == NULL)
        return false;
    copy_out(p->cork + p->cork_len, v, nv, 0);
    p->cork_len += len;
    return true;
}

void channel_reply(struct channel_peer *p, uint64_t id, uint8_t type, const struct iovec *payload,
                   int niov, int fd)
{
    must(niov >= 0 && niov <= IOV_MAX_REPLY);
    char header[FRAME_HEADER];
    struct iovec v[IOV_MAX_REPLY + 1] = {{.iov_base = header, .iov_len = sizeof header}};
    if (niov > 0)
        memcpy(v + 1, payload, (size_t)niov * sizeof *v);
    size_t len = frame_payload_len(payload, niov);
    frame_header(header, type, id, len, fd >= 0);
    pthread_mutex_lock(&p->lock);
    if (!p->dead && !gather(p, v, niov + 1, len + FRAME_HEADER, fd) && !p->dead)
        write_or_queue(p, v, niov + 1, fd);
    pthread_mutex_unlock(&p->lock);
}

void channel_cork(struct channel_peer *p)
{
    pthread_mutex_lock(&p->lock);
    if (!p->corked) { /* a second thread's replies just go out one by one */
        p->corked = true;
        p->corker = pthread_self();
    }
    pthread_mutex_unlock(&p->lock);
}

void channel_uncork(struct channel_peer *p)
{
    pthread_mutex_lock(&p->lock);
    if (p->corked && pthread_equal(p->corker, pthread_self())) {
        flush_cork(p);
        p->corked = false;
    }
    pthread_mutex_unlock(&p->lock);
}
