/* server_accept.c: listeners and new connections: see server_internal.h. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "sys/clock.h"
#include "sys/net.h"
#include "sys/server_internal.h"

static bool is_wildcard(const struct netaddr *a)
{
    static const uint8_t zero[16];
    return (a->family == NETADDR_V4 || a->family == NETADDR_V6) &&
           memcmp(a->bytes, zero, a->family == NETADDR_V4 ? 4 : 16) == 0;
}

static bool is_unix(int fd)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;
    return getsockname(fd, (struct sockaddr *)&at, &len) == 0 && at.ss_family == AF_UNIX;
}

bool server_listen(struct server *s, int fd, void *tag)
{
    return server_listen_on(s, &(struct server_listener){.fd = fd, .tag = tag});
}

bool server_listen_on(struct server *s, const struct server_listener *from)
{
    const int on = 1, fd = from->fd;
    struct listener *l = s->n_listeners < SERVER_LISTENERS ? calloc(1, sizeof *l) : NULL;
    int flags = fcntl(fd, F_GETFL);
    if (l == NULL || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        free(l);
        close(fd);
        return false;
    }
    /* Connections inherit it from the listener; fails harmlessly on a Unix socket. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    *l = (struct listener){.server = s,
                           .fd = fd,
                           .index = s->n_listeners,
                           .local = net_local(fd),
                           .user = from->tag != NULL ? from->tag : s->user,
                           .tls = from->tls};
    l->wildcard = is_wildcard(&l->local);
    l->is_unix = is_unix(fd);
    s->listeners[l->index] = l; /* before the first event can come */
    atomic_fetch_add(&s->n_listeners, 1);
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT,
                            .data.u64 = EVENT_LISTENERS + l->index};
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

static void listener_arm(struct listener *l)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT,
                            .data.u64 = EVENT_LISTENERS + l->index};
    must(epoll_ctl(l->server->epoll_fd, EPOLL_CTL_MOD, l->fd, &e) == 0);
}

void listeners_resume(struct server *s)
{
    for (uint32_t i = 0; i < s->n_listeners; i++) {
        struct listener *l = s->listeners[i];
        pthread_mutex_lock(&s->timers_lock);
        bool was = l->paused;
        l->paused = false;
        pthread_mutex_unlock(&s->timers_lock);
        if (was)
            listener_arm(l);
    }
}

/* Once, and as far as there is room. A client that expects TLS could not read it. */
static void refuse(const struct listener *l, int fd)
{
    str_t text = str_c(l->server->limits.refuse_text);
    if (text.len > 0 && l->tls == NULL)
        (void)!send(fd, text.ptr, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool served_begin(struct server *s, struct served *c, const struct netaddr *peer,
                  const struct netaddr *local, bool exempt)
{
    struct listener *l = c->listener;
    if (!limits_admit(s, c, peer, exempt)) {
        refuse(l, c->fd);
        return false;
    }
    c->phase = PHASE_SESSION;
    c->session = s->ops->open(l->user, peer, local, sys_mono_ms());
    if (c->session != NULL && l->tls != NULL)
        handshake_begin(c, l->tls);
    return c->session != NULL;
}

static bool knows_peer(struct listener *l, struct served *c, const struct netaddr *peer)
{
    struct server *s = l->server;
    if (s->limits.proxied != NULL && s->limits.proxied(l->user, peer)) {
        c->phase = PHASE_PROXY;
        c->since_ms = sys_mono_ms();
        return true;
    }
    struct netaddr local = l->wildcard ? net_local(c->fd) : l->local;
    bool exempt = s->limits.exempt != NULL && s->limits.exempt(l->user, peer);
    return served_begin(s, c, peer, &local, exempt);
}

static void welcome(struct listener *l, int fd, const struct netaddr *peer, char *buffer)
{
    struct server *s = l->server;
    struct served *c = served_new(s, fd, l);
    if (c == NULL) {
        refuse(l, fd);
        close(fd);
        return;
    }
    if (knows_peer(l, c, peer))
        served_turn(s, c, false, buffer); /* the client waits for the greeting: nothing to read */
    else
        served_drop(s, c, buffer);
}

/* The kernel names the user who connected (unix(7)); NONE if it does not. */
static struct netaddr peer_of(const struct listener *l, int fd, const struct sockaddr_storage *from)
{
    struct ucred who;
    socklen_t len = sizeof who;
    if (!l->is_unix)
        return net_from_sockaddr(from);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
        return (struct netaddr){.family = NETADDR_NONE};
    return netaddr_of_uid(who.uid);
}

void listener_turn(struct listener *l, char *buffer)
{
    for (int i = 0; i < SERVER_ACCEPTS && !atomic_load(&l->server->stopping); i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            struct netaddr peer = peer_of(l, fd, &from);
            welcome(l, fd, &peer, buffer);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            timers_pause(l->server, l);
            return;
        } /* else: that connection broke before it was taken */
    }
    listener_arm(l);
}
