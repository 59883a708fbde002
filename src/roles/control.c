/* control.c: see control.h. */
#include "roles/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

union fd_space {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

bool control_send(int sock, enum control_kind kind, uint8_t arg, int fd)
{
    uint8_t bytes[2] = {(uint8_t)kind, arg};
    union fd_space space = {{0}};
    struct iovec v = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    if (fd >= 0) {
        m.msg_control = space.bytes;
        m.msg_controllen = sizeof space.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t n;
    do
        n = sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof bytes;
}

/* The descriptor that came, if one; a second one is closed. */
static int take_fd(struct msghdr *m)
{
    int fd = -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof fd; i++) {
            if (fd >= 0)
                close(fd);
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        }
    }
    return fd;
}

int control_receive(int sock, struct control_message *out)
{
    uint8_t bytes[2];
    union fd_space space;
    struct iovec v = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = space.bytes,
                       .msg_controllen = sizeof space.bytes};
    ssize_t n;
    do
        n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? -1 : 0;
    int fd = take_fd(&m);
    if (n == (ssize_t)sizeof bytes && bytes[0] < CONTROL_KINDS &&
        (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) {
        *out = (struct control_message){
            .kind = (enum control_kind)bytes[0], .arg = bytes[1], .fd = fd};
        return 1;
    }
    if (fd >= 0)
        close(fd);
    return 0;
}
