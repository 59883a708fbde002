/* secrets.c: courier's secret at the OAuth endpoint: a small file that only the supervisor can read,
 * handed on in memory; looked at again every few seconds, as the certificates are. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "roles/control.h"
#include "roles/log.h"
#include "roles/sealed.h"
#include "roles/supervisor/supervisor_internal.h"
#include "roles/tls_files.h"
#include "sys/clock.h"

enum { LOOK_MS = 3000, SECRET_MAX = 1024 };

static void refused(const char *path, const char *why)
{
    log_event("supervisor", STR_NONE, "oauth-secret-refused", log_cstr("file", path),
              log_cstr("reason", why), log_end);
}

/* -1: there is none that can be used, which was logged. */
static int read_secret(const char *path)
{
    char text[SECRET_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    int why = errno, sealed = -1;
    if (fd >= 0)
        close(fd);
    if (n < 0)
        refused(path, strerror(why));
    else if (n > SECRET_MAX || str_trim(str_of(text, (size_t)n)).len == 0)
        refused(path, n == 0 ? "it is empty" : "it holds no secret of at most 1024 bytes");
    else if ((sealed = sealed_new("oauth secret", str_of(text, (size_t)n))) < 0)
        refused(path, strerror(errno));
    digest_wipe(text, sizeof text);
    return sealed;
}

static const char *path_of(const struct supervisor *s, char out[static TLS_FILES_PATH])
{
    str_toc(s->set->oauth_client_secret_file, out, TLS_FILES_PATH);
    return out;
}

bool secrets_give(struct supervisor *s, struct child *c)
{
    char path[TLS_FILES_PATH];
    struct stat st;
    if (c->id != ROLE_COURIER || s->set->oauth_client_secret_file.len == 0)
        return true;
    if (stat(path_of(s, path), &st) == 0)
        s->secret_changed = st.st_ctim;
    int fd = read_secret(path);
    if (fd < 0)
        return true; /* mail goes on without it */
    bool good = control_send(c->control, CONTROL_TOKEN_SECRET, 0, fd);
    close(fd);
    return good;
}

void secrets_look(struct supervisor *s)
{
    char path[TLS_FILES_PATH];
    struct child *courier = &s->children[ROLE_COURIER];
    struct stat st;
    if (s->set->oauth_client_secret_file.len == 0 || sys_mono_ms() < s->secret_due_ms)
        return;
    s->secret_due_ms = sys_mono_ms() + LOOK_MS;
    if (courier->control < 0 || stat(path_of(s, path), &st) != 0 ||
        (st.st_ctim.tv_sec == s->secret_changed.tv_sec &&
         st.st_ctim.tv_nsec == s->secret_changed.tv_nsec))
        return;
    (void)secrets_give(s, courier);
}
