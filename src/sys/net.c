/* net.c: see net.h. Sockets are non-blocking; waiting is done by poll with what is left of the
 * deadline. */
#include "sys/net.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/clock.h"

socklen_t net_to_sockaddr(const struct netaddr *a, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    struct sockaddr_in *v4 = (void *)out;
    struct sockaddr_in6 *v6 = (void *)out;
    switch (a->family) {
    case NETADDR_V4:
        v4->sin_family = AF_INET;
        v4->sin_port = htons(a->port);
        memcpy(&v4->sin_addr, a->bytes, 4);
        return sizeof *v4;
    case NETADDR_V6:
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(a->port);
        memcpy(&v6->sin6_addr, a->bytes, 16);
        return sizeof *v6;
    case NETADDR_UNIX: /* nobody connects or listens by a user id */
    case NETADDR_NONE: break;
    }
    return 0;
}

struct netaddr net_from_sockaddr(const struct sockaddr_storage *s)
{
    struct netaddr a = {.family = NETADDR_NONE};
    const struct sockaddr_in *v4 = (const void *)s;
    const struct sockaddr_in6 *v6 = (const void *)s;
    if (s->ss_family == AF_INET) {
        a.family = NETADDR_V4;
        a.port = ntohs(v4->sin_port);
        memcpy(a.bytes, &v4->sin_addr, 4);
    } else if (s->ss_family == AF_INET6) {
        a.family = NETADDR_V6;
        a.port = ntohs(v6->sin6_port);
        memcpy(a.bytes, &v6->sin6_addr, 16);
    }
    return a;
}

struct netaddr net_local(int fd)
{
    struct sockaddr_storage s = {0};
    socklen_t len = sizeof s;
    if (getsockname(fd, (struct sockaddr *)&s, &len) != 0)
        s.ss_family = AF_UNSPEC;
    return net_from_sockaddr(&s);
}

/* ---- listening ---- */

static bool bind_and_listen(int fd, const struct netaddr *at)
{
    const int on = 1;
    struct sockaddr_storage s;
    socklen_t len = net_to_sockaddr(at, &s);
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           (at->family != NETADDR_V6 ||
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
           bind(fd, (struct sockaddr *)&s, len) == 0 && listen(fd, NET_BACKLOG) == 0;
}

int net_listen(const struct netaddr *at, struct err *err)
{
    char text[NETADDR_TEXT];
    int fd = socket(at->family == NETADDR_V6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind_and_listen(fd, at))
        return fd;
    int why = errno;
    if (fd >= 0)
        close(fd);
    (void)err_set(err, RC_PERM, "", "cannot listen on %s: %s", netaddr_text_port(at, text),
                  strerror(why));
    return -1;
}

/* ---- connections ---- */

struct net_conn {
    struct conn base;
    int fd;
};

static int conn_fd(struct conn *c)
{
    return ((struct net_conn *)(void *)c)->fd;
}

/* RC_OK: ready, or broken so that the next call tells. */
static enum rc wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        int n = poll(&p, 1, sys_poll_ms(deadline_ms));
        if (n > 0)
            return RC_OK;
        if (n < 0 && errno != EINTR)
            return RC_CLOSED;
        if (sys_mono_ms() >= deadline_ms)
            return RC_TEMP;
    }
}

static enum rc conn_read(struct conn *c, void *to, size_t cap, size_t *got, int64_t deadline_ms)
{
    *got = 0;
    for (;;) {
        ssize_t n = recv(conn_fd(c), to, cap, MSG_DONTWAIT);
        if (n >= 0) {
            *got = (size_t)n;
            return RC_OK;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return RC_CLOSED;
        enum rc rc = wait_for(conn_fd(c), POLLIN, deadline_ms);
        if (rc != RC_OK)
            return rc;
    }
}

static enum rc conn_write(struct conn *c, str_t bytes, int64_t deadline_ms)
{
    while (bytes.len > 0) {
        ssize_t n = send(conn_fd(c), bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            bytes = str_from(bytes, (size_t)n);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return RC_CLOSED;
        enum rc rc = wait_for(conn_fd(c), POLLOUT, deadline_ms);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static void conn_close(struct conn *c)
{
    close(conn_fd(c));
    free(c);
}

struct conn *net_conn_new(int fd, const struct netaddr *peer, const struct netaddr *local)
{
    static const struct conn_ops ops = {
        .read = conn_read, .write = conn_write, .close = conn_close};
    struct net_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        close(fd);
        return NULL;
    }
    c->fd = fd;
    c->base = (struct conn){.ops = &ops, .peer = *peer, .local = *local};
    return &c->base;
}

/* 0, an errno, or that of bind, negative. */
static int connect_fd(int fd, const struct netaddr *to, const struct netaddr *from,
                      int64_t deadline_ms)
{
    const int on = 1;
    struct sockaddr_storage s;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (from != NULL && from->family == to->family) {
        /* The port is chosen by connect, so that one address can be used with many peers. */
        if (from->port == 0)
            (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        socklen_t len = net_to_sockaddr(from, &s);
        if (bind(fd, (struct sockaddr *)&s, len) != 0)
            return -errno;
    }
    socklen_t len = net_to_sockaddr(to, &s);
    if (connect(fd, (struct sockaddr *)&s, len) == 0)
        return 0;
    if (errno != EINPROGRESS && errno != EINTR)
        return errno;
    if (wait_for(fd, POLLOUT, deadline_ms) != RC_OK)
        return ETIMEDOUT;
    int why = 0;
    socklen_t size = sizeof why;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &size) == 0 ? why : errno;
}

enum rc net_connect(const struct netaddr *to, const struct netaddr *from, int64_t deadline_ms,
                    struct conn **out, struct err *err)
{
    char text[NETADDR_TEXT];
    int fd = socket(to->family == NETADDR_V6 ? AF_INET6 : AF_INET,
                    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int why = fd < 0 ? errno : connect_fd(fd, to, from, deadline_ms);
    if (why == 0) {
        struct netaddr local = net_local(fd);
        *out = net_conn_new(fd, to, &local);
        if (*out != NULL)
            return RC_OK;
        fd = -1;
        why = ENOMEM;
    }
    if (fd >= 0)
        close(fd);
    if (why < 0) /* RFC 3463: 4.3.5, it is configured so */
        return err_set(err, RC_TEMP, "4.3.5",
                       "cannot send from %s, which must be an address of this machine: %s",
                       netaddr_text(from, text), strerror(-why));
    /* RFC 3463: 4.4.1 no answer from host; 4.4.4 no way there from here; 4.3.2 we are the one who
     * cannot. */
    bool ours = why == EMFILE || why == ENFILE || why == ENOMEM || why == ENOBUFS;
    bool no_way = why == ENETUNREACH || why == EAFNOSUPPORT || why == EADDRNOTAVAIL;
    return err_set(err, RC_TEMP,
                   ours     ? "4.3.2"
                   : no_way ? "4.4.4"
                            : "4.4.1",
                   "connect to %s: %s", netaddr_text_port(to, text), strerror(why));
}
