/* connect.c: how a command comes to a store (cli_store in cli.h).
 *
 * A running server is asked over DATA/control.sock. Without one the command makes a core of its own
 * over the same files and talks to it in the same way, so that everything above is the same code.
 * The files it leaves belong to the owner of the folder. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "roles/core/server.h"
#include "roles/log.h"
#include "store/engines.h"
#include "store/remote.h"

enum { LOCK_TRIES = 100, LOCK_PAUSE_US = 50000 }; /* five seconds */

struct embedded {
    int dir_fd;
    struct store *engine;
    struct core_server *core;
};

/* A socket connected to the running server's control socket, or -1 with errno. Goes by the folder's
 * descriptor: sun_path is short. */
static int control_connect(int dir_fd)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "/proc/self/fd/%d/control.sock", dir_fd);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
        int was = errno;
        close(fd);
        errno = was;
        return -1;
    }
    return fd;
}

static void engine_log(void *user, const char *line)
{
    (void)user;
    fprintf(stderr, "postrider: store: %s\n", line);
}

/* Gives the files of the folder to its owner: root may have made them. */
static void give_to_owner(int dir_fd)
{
    struct stat st;
    if (geteuid() != 0 || fstat(dir_fd, &st) != 0 || st.st_uid == 0)
        return;
    static const char *const names[] = {"queue.mdb", "queue.mdb-lock", "mail.mdb", "mail.mdb-lock"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (fchownat(dir_fd, names[i], st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) != 0 &&
            errno != ENOENT)
            fprintf(stderr, "postrider: cannot give %s to its owner: %s\n", names[i],
                    strerror(errno));
}

/* The folder's lock, which a running server holds: another command may have it for a moment, a
 * server for as long as it starts or stops. */
static bool lock_folder(int dir_fd)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(dir_fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        usleep(LOCK_PAUSE_US);
    }
    return false;
}

static int embed_core(struct cli *c, int dir_fd)
{
    struct embedded *e = arena_alloc(&c->arena, sizeof *e);
    struct err err = {0};
    int pair[2];
    if (!lock_folder(dir_fd)) {
        c->later = true;
        cli_fail(c, CLI_LATER, "a server on " STR_FMT " is starting or stopping; try again",
                 STR_ARG(c->settings.data_dir));
        return -1;
    }
    if (e == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        cli_fail(c, CLI_FAILED, "out of memory");
        return -1;
    }
    e->dir_fd = dir_fd;
    e->engine = store_lmdb_open(dir_fd, engine_log, NULL, &err);
    if (e->engine == NULL) {
        cli_fail(c, CLI_FAILED, "cannot open the store in " STR_FMT ": %s",
                 STR_ARG(c->settings.data_dir), err.text);
        close(pair[0]);
        close(pair[1]);
        return -1;
    }

    log_quiet(true); /* its events are for a server's log */
    e->core = core_server_new(e->engine, &c->env, &err);
    if (e->core == NULL || !core_server_serve(e->core, pair[1], permissions_of(ROLE_COUNT))) {
        cli_fail(c, CLI_FAILED, "cannot serve the store: %s", err.text);
        return -1;
    }
    c->embedded = e;
    return pair[0];
}

struct store *cli_store(struct cli *c, bool offline_ok)
{
    if (c->store != NULL)
        return c->store;
    const char *path = arena_cstr(&c->arena, c->settings.data_dir);
    int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        const char *hint = errno == ENOENT   ? "; `postrider init` makes it"
                           : errno == EACCES ? "; only its owner and root may"
                                             : "";
        cli_fail(c, CLI_FAILED, "cannot open the data folder %s: %s%s", path, strerror(errno),
                 hint);
        return NULL;
    }
    int fd = control_connect(dir_fd);
    if (fd >= 0) {
        close(dir_fd);
    } else if (errno == EACCES || errno == EPERM) {
        cli_fail(c, CLI_FAILED, "only the owner of %s and root may talk to this server", path);
    } else if (!offline_ok) {
        c->later = true;
        cli_fail(c, CLI_LATER, "no server runs on %s; start it with `postrider serve`", path);
    } else {
        fd = embed_core(c, dir_fd);
    }
    if (fd < 0) {
        close(dir_fd);
        return NULL;
    }
    struct channel *ch;
    c->store = store_remote_new(&c->env, &ch);
    if (c->store != NULL)
        channel_attach(ch, fd);
    c->env.store = c->store;
    return c->store;
}

int cli_no_store(const struct cli *c)
{
    return c->later ? CLI_LATER : CLI_FAILED;
}

void cli_close(struct cli *c)
{
    struct embedded *e = c->embedded;
    if (c->store != NULL)
        store_close(c->store);
    if (e != NULL) {
        core_server_free(e->core);
        store_close(e->engine);
        give_to_owner(e->dir_fd);
        close(e->dir_fd);
    }
    c->store = NULL;
    c->embedded = NULL;
}
