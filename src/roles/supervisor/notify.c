/* notify.c: the protocol of sd_notify(3): one datagram to the socket named in the environment. */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "roles/supervisor/supervisor_internal.h"

void notify_systemd(const char *state)
{
    str_t path = str_c(getenv("NOTIFY_SOCKET"));
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (path.len < 2 || path.len >= sizeof to.sun_path ||
        (path.ptr[0] != '/' && path.ptr[0] != '@'))
        return;
    memcpy(to.sun_path, path.ptr, path.len);
    if (to.sun_path[0] == '@')
        to.sun_path[0] = '\0'; /* the abstract name space */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len);
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, len);
    close(fd);
}
