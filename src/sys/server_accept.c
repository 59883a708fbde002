/* server_accept.c: listeners, and the limits a new connection must pass: see server_internal.h. */
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
    return a->family == NETADDR_NONE ||
           memcmp(a->bytes, zero, a->family == NETADDR_V4 ? 4 : 16) == 0;
}

bool server_listen(struct server *s, int fd, void *tag)
{
    const int on = 1;
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
                           .user = tag != NULL ? tag : s->user};
    l->wildcard = is_wildcard(&l->local);
    s->listeners[s->n_listeners++] = l; /* before the first event can come */
    struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT,
                            .data.u64 = EVENT_LISTENERS + l->index};
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

void listener_arm(struct listener *l)
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

static void refuse(struct server *s, int fd)
{
    str_t text = str_c(s->limits.refuse_text);
    if (text.len > 0)
        (void)!send(fd, text.ptr, text.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

static void welcome(struct listener *l, int fd, const struct netaddr *peer, char *buffer)
{
    struct server *s = l->server;
    struct netaddr local = l->wildcard ? net_local(fd) : l->local;
    bool exempt = s->limits.exempt != NULL && s->limits.exempt(l->user, peer);
    struct served *c = served_new(s, fd, peer, exempt);
    if (c == NULL) {
        refuse(s, fd);
        return;
    }
    c->session = s->ops->open(l->user, peer, &local, sys_mono_ms());
    if (c->session == NULL) {
        served_free(s, c);
        close(fd);
        return;
    }
    served_turn(s, c, false, buffer); /* the client waits for the greeting: nothing to read yet */
}

void listener_turn(struct listener *l, char *buffer)
{
    for (int i = 0; i < SERVER_ACCEPTS && !atomic_load(&l->server->stopping); i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            struct netaddr peer = net_from_sockaddr(&from);
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
