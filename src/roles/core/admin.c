/* admin.c: see admin.h. */
#include "roles/core/admin.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "roles/log.h"

enum {
    POLL_MS = 500 /* how long a stop may take */,
    PAUSE_MS = 100 /* after EMFILE: the listener stays */
};

struct admin {
    struct role *core;
    int fd;
    uid_t owner; /* of the data folder */
    _Atomic bool stop;
    pthread_t thread;
};

static bool may(const struct admin *a, int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || len != sizeof peer)
        return false;
    if (peer.uid == 0 || peer.uid == geteuid() || peer.uid == a->owner)
        return true;
    log_event("core", STR_NONE, "refused", log_cstr("peer", "admin"), log_u64("uid", peer.uid),
              log_end);
    return false;
}

static void *admin_main(void *arg)
{
    struct admin *a = arg;
    while (!atomic_load(&a->stop)) {
        struct pollfd p = {.fd = a->fd, .events = POLLIN};
        if (poll(&p, 1, POLL_MS) <= 0)
            continue;
        int fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
                poll(NULL, 0, PAUSE_MS);
            continue;
        }
        if (may(a, fd))
            core_serve(a->core, fd, ROLE_COUNT);
        else
            close(fd);
    }
    return NULL;
}

struct admin *admin_start(struct role *core, int fd)
{
    struct admin *a = calloc(1, sizeof *a);
    struct stat st;
    if (a != NULL) {
        a->core = core;
        a->fd = fd;
        a->owner =
            core->data_dir_fd >= 0 && fstat(core->data_dir_fd, &st) == 0 ? st.st_uid : geteuid();
        if (pthread_create(&a->thread, NULL, admin_main, a) == 0)
            return a;
    }
    free(a);
    close(fd);
    return NULL;
}

void admin_stop(struct admin *a)
{
    if (a == NULL)
        return;
    atomic_store(&a->stop, true);
    pthread_join(a->thread, NULL);
    close(a->fd);
    free(a);
}
