/* place.c: what the server stands on: the data folder, the listening sockets, the settings as every
 * role gets them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "roles/log.h"
#include "roles/sealed.h"
#include "roles/supervisor/supervisor_internal.h"
#include "sys/net.h"

enum { PRIVILEGED_PORTS = 1024 };

static enum rc open_data(struct supervisor *s, struct err *err)
{
    char path[4096];
    str_toc(s->set->data_dir, path, sizeof path);
    struct stat st;
    bool made = mkdir(path, 0700) == 0;
    if (!made && errno != EEXIST)
        return err_set(err, RC_PERM, "", "cannot make the data folder %s: %s", path,
                       strerror(errno));
    s->data_dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->data_dir_fd < 0 || fstat(s->data_dir_fd, &st) != 0)
        return err_set(err, RC_PERM, "", "cannot open the data folder %s: %s", path,
                       strerror(errno));
    if ((st.st_mode & 077) != 0 && fchmod(s->data_dir_fd, 0700) != 0)
        return err_set(err, RC_PERM, "", "cannot close the data folder %s to others: %s", path,
                       strerror(errno));
    /* The lock is the open folder's, which core gets as well: it holds until the last of both is
     * gone. */
    if (flock(s->data_dir_fd, LOCK_EX | LOCK_NB) != 0)
        return err_set(err, RC_PERM, "", "another postrider runs on %s", path);
    return RC_OK;
}

static enum rc add_listener(struct supervisor *s, enum listener_kind kind, int fd, struct err *err)
{
    if (fd < 0)
        return err != NULL ? err->rc : RC_PERM;
    must(s->n_listeners < SUPERVISOR_LISTENERS_MAX);
    s->listeners[s->n_listeners++] = (struct role_listener){.kind = kind, .fd = fd};
    return RC_OK;
}

/* A Unix socket that listens, with these permissions; -1, and errno says why. */
static int listen_unix(const char *path, mode_t mode)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof at.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(at.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t mask = umask(0777 & ~mode);
    bool good =
        fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, NET_BACKLOG) == 0;
    int why = errno;
    umask(mask);
    if (!good && fd >= 0)
        close(fd);
    errno = why;
    return good ? fd : -1;
}

/* DATA/control.sock, for the owner's command line. By way of /proc, since a socket's path is
 * limited to 107 bytes. */
static int listen_admin(struct supervisor *s, struct err *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d/control.sock", s->data_dir_fd);
    /* we hold the lock: it is left from before */
    (void)unlinkat(s->data_dir_fd, "control.sock", 0);
    int fd = listen_unix(path, 0600);
    if (fd < 0)
        (void)err_set(err, RC_PERM, "", "cannot make control.sock in the data folder: %s",
                      strerror(errno));
    return fd;
}

/* ---- the socket of sendmail ---- */

/* Whether somebody listens there: another server's socket is not ours to take. */
static bool is_alive(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof at.sun_path)
        return false;
    memcpy(at.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool alive =
        fd >= 0 && (connect(fd, (struct sockaddr *)&at, sizeof at) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return alive;
}

/* Only a socket that is left over from before is taken away. */
static bool clear_way(const char *path)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT;
    if (!S_ISSOCK(st.st_mode) || is_alive(path)) {
        errno = EADDRINUSE;
        return false;
    }
    return unlink(path) == 0;
}

/* The folder that holds it, if it is not there; its own folder must be. */
static bool make_folder(const char *path)
{
    char folder[sizeof((struct sockaddr_un *)0)->sun_path + 1];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof folder)
        return true;
    str_toc(str_of(path, (size_t)(slash - path)), folder, sizeof folder);
    mode_t mask = umask(022);
    bool good = mkdir(folder, 0755) == 0 || errno == EEXIST;
    int why = errno;
    umask(mask);
    errno = why;
    return good;
}

/* For all users of the machine; the kernel says which of them each is. Without it the rest of the
 * server does its work: what cannot be made is told, and no reason not to start. */
static enum rc listen_local(struct supervisor *s, struct err *err)
{
    char path[4096];
    if (str_eq(s->set->submit_socket, STR("none")))
        return RC_OK;
    str_toc(s->set->submit_socket, path, sizeof path);
    int fd = make_folder(path) && clear_way(path) ? listen_unix(path, 0666) : -1;
    if (fd >= 0)
        return add_listener(s, LISTEN_LOCAL, fd, err);
    log_event(
        "supervisor", STR_NONE, "no-submit-socket", log_cstr("path", path),
        log_cstr("why", strerror(errno)),
        log_cstr("hint", "sendmail cannot hand mail in; see submit_socket in postrider.conf(5)"),
        log_end);
    return RC_OK;
}

/* The first that everybody may take (ip(7), ip_unprivileged_port_start; for IPv6 as well). */
static int first_free_port(void)
{
    char text[16] = "";
    int fd = open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    return n > 0 ? atoi(text) : PRIVILEGED_PORTS;
}

/* A port that the kernel keeps from us. */
static bool forbidden_port(const struct netaddr *at, const struct err *err)
{
    return at->port < first_free_port() && str_contains(str_c(err->text), str_c(strerror(EACCES)));
}

static enum rc explain_port(const struct netaddr *at, struct err *err)
{
    char text[NETADDR_TEXT];
    return err_set(
        err, RC_PERM, "",
        "cannot listen on %s: ports below %d need root or CAP_NET_BIND_SERVICE. Start as "
        "root (its rights are given up), or set other ports: listen_smtp, "
        "listen_submission, listen_submissions, listen_pop3",
        netaddr_text_port(at, text), first_free_port());
}

static enum rc listen_all(struct supervisor *s, enum listener_kind kind, const struct netaddr *at,
                          size_t n, struct err *err)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        rc = add_listener(s, kind, net_listen(&at[i], err), err);
        if (rc != RC_OK && forbidden_port(&at[i], err))
            rc = explain_port(&at[i], err);
    }
    return rc;
}

static enum rc keep_settings(struct supervisor *s, str_t text, struct err *err)
{
    s->settings_fd = sealed_new("settings", text);
    return s->settings_fd >= 0
               ? RC_OK
               : err_set(err, RC_TEMP, "", "cannot keep the settings: %s", strerror(errno));
}

enum rc place_open(struct supervisor *s, str_t settings_text, struct err *err)
{
    const struct settings *set = s->set;
    enum rc rc = keep_settings(s, settings_text, err);
    rc = rc == RC_OK ? open_data(s, err) : rc;
    rc = rc == RC_OK ? listen_all(s, LISTEN_SMTP, set->listen_smtp, set->n_listen_smtp, err) : rc;
    rc = rc == RC_OK ? listen_all(s, LISTEN_LMTP, set->listen_lmtp, set->n_listen_lmtp, err) : rc;
    rc = rc == RC_OK ? listen_all(s, LISTEN_POP3, set->listen_pop3, set->n_listen_pop3, err) : rc;
    rc = rc == RC_OK ? listen_all(s, LISTEN_SUBMISSION, set->listen_submission,
                                  set->n_listen_submission, err)
                     : rc;
    rc = rc == RC_OK ? listen_all(s, LISTEN_SUBMISSIONS, set->listen_submissions,
                                  set->n_listen_submissions, err)
                     : rc;
    rc = rc == RC_OK ? listen_local(s, err) : rc;
    rc = rc == RC_OK ? add_listener(s, LISTEN_ADMIN, listen_admin(s, err), err) : rc;
    return rc == RC_OK ? privilege_own_data(s, err) : rc;
}

/* It was made by us; fails where we have given root up: the next start does it. */
static void forget_local(struct supervisor *s)
{
    char path[4096];
    (void)unlink(str_toc(s->set->submit_socket, path, sizeof path));
}

void place_close(struct supervisor *s)
{
    bool admin = false; /* if another one runs here, control.sock is its */
    for (size_t i = 0; i < s->n_listeners; i++) {
        admin = admin || s->listeners[i].kind == LISTEN_ADMIN;
        if (s->listeners[i].kind == LISTEN_LOCAL)
            forget_local(s);
        close(s->listeners[i].fd);
    }
    s->n_listeners = 0;
    if (s->settings_fd >= 0)
        close(s->settings_fd);
    if (s->data_dir_fd >= 0) {
        /* fails where the folder is core's; the next start does it */
        if (admin)
            (void)unlinkat(s->data_dir_fd, "control.sock", 0);
        close(s->data_dir_fd);
    }
    s->settings_fd = s->data_dir_fd = -1;
}
