/* place.c: what the server stands on: the data folder, the listening sockets, the settings as every
 * role gets them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "roles/supervisor/supervisor_internal.h"
#include "sys/net.h"

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

/* DATA/control.sock, for the owner's command line. By way of /proc, since a socket's path is
 * limited to 107 bytes. */
static int listen_admin(struct supervisor *s, struct err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/control.sock", s->data_dir_fd);
    /* we hold the lock: it is left from before */
    (void)unlinkat(s->data_dir_fd, "control.sock", 0);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t mask = umask(0177);
    bool good =
        fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, NET_BACKLOG) == 0;
    int why = errno;
    umask(mask);
    if (good)
        return fd;
    if (fd >= 0)
        close(fd);
    (void)err_set(err, RC_PERM, "", "cannot make control.sock in the data folder: %s",
                  strerror(why));
    return -1;
}

static enum rc listen_all(struct supervisor *s, enum listener_kind kind, const struct netaddr *at,
                          size_t n, struct err *err)
{
    enum rc rc = RC_OK;
    for (size_t i = 0; i < n && rc == RC_OK; i++)
        rc = add_listener(s, kind, net_listen(&at[i], err), err);
    return rc;
}

static enum rc keep_settings(struct supervisor *s, str_t text, struct err *err)
{
    s->settings_fd = memfd_create("settings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool good = s->settings_fd >= 0;
    for (size_t at = 0; good && at < text.len;) {
        ssize_t n = write(s->settings_fd, text.ptr + at, text.len - at);
        good = n > 0;
        at += good ? (size_t)n : 0;
    }
    good = good && fcntl(s->settings_fd, F_ADD_SEALS,
                         F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0;
    return good ? RC_OK
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
    rc = rc == RC_OK ? add_listener(s, LISTEN_ADMIN, listen_admin(s, err), err) : rc;
    return rc == RC_OK ? privilege_own_data(s, err) : rc;
}

void place_close(struct supervisor *s)
{
    bool admin = false; /* if another one runs here, control.sock is its */
    for (size_t i = 0; i < s->n_listeners; i++) {
        admin = admin || s->listeners[i].kind == LISTEN_ADMIN;
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
