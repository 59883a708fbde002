/* sendmail_unsent.c: see sendmail_unsent.h. */
#include "cli/sendmail_unsent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/codec.h"

enum {
    STALE_S = 3600,           /* a file being written is not older */
    NAMES_LOOKED_AT = 100000, /* of one folder: work has an end */
};

/* ---- the folder ---- */

/* The folder of who runs this, not of whose environment was inherited (sudo); or none yet. */
static bool own_home(const char *path)
{
    struct stat st;
    if (path == NULL || path[0] != '/')
        return false;
    return stat(path, &st) == 0 ? S_ISDIR(st.st_mode) && st.st_uid == geteuid() : errno == ENOENT;
}

static bool find_path(char out[static UNSENT_PATH])
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n;
    if (own_home(state)) {
        n = snprintf(out, UNSENT_PATH, "%s/postrider/unsent", state);
    } else {
        if (!own_home(home)) {
            const struct passwd *who = getpwuid(geteuid());
            home = who != NULL && who->pw_dir[0] == '/' ? who->pw_dir : NULL;
        }
        if (home == NULL)
            return false;
        n = snprintf(out, UNSENT_PATH, "%s/.local/state/postrider/unsent", home);
    }
    return n > 0 && n < UNSENT_PATH;
}

static bool sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Makes what is missing of the path; a new folder's name is on the disk when it is in its own
 * parent. */
static bool make_path(const char *path)
{
    char part[UNSENT_PATH];
    snprintf(part, sizeof part, "%s", path);
    for (char *at = part + 1; *at != '\0'; at++) {
        if (*at != '/' && at[1] != '\0')
            continue;
        char *end = *at == '/' ? at : at + 1;
        char was = *end;
        *end = '\0';
        bool made = mkdir(part, 0700) == 0;
        if (!made && errno != EEXIST && errno != EROFS && errno != EACCES)
            return false;
        *end = was;
        if (made) {
            char *slash = end - 1;
            while (*slash != '/')
                slash--;
            *slash = '\0';
            bool ok = sync_folder(slash == part ? "/" : part);
            *slash = '/';
            if (!ok)
                return false;
        }
    }
    return true;
}

bool unsent_open(struct unsent *u, bool make, struct err *err)
{
    struct stat st;
    u->lock_fd = -1;
    u->dir_fd = -1;
    if (!find_path(u->path)) {
        (void)err_set(err, RC_TEMP, "", "there is no home folder");
        return false;
    }
    if (make && !make_path(u->path)) {
        (void)err_set(err, RC_TEMP, "", "%.150s: %s", u->path, strerror(errno));
        return false;
    }
    u->dir_fd = open(u->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (u->dir_fd < 0) {
        (void)err_set(err, RC_TEMP, "", "%.150s: %s", u->path, strerror(errno));
        return false;
    }
    if (fstat(u->dir_fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 022) == 0)
        return true;
    (void)err_set(err, RC_TEMP, "", "%.150s belongs to somebody else, or others may write in it",
                  u->path);
    unsent_close(u);
    return false;
}

void unsent_close(struct unsent *u)
{
    if (u->lock_fd >= 0)
        close(u->lock_fd);
    if (u->dir_fd >= 0)
        close(u->dir_fd);
    u->lock_fd = -1;
    u->dir_fd = -1;
}

bool unsent_lock(struct unsent *u)
{
    u->lock_fd = openat(u->dir_fd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return u->lock_fd >= 0 && flock(u->lock_fd, LOCK_EX | LOCK_NB) == 0;
}

/* ---- writing ---- */

static bool write_all(int fd, str_t s)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.ptr, s.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        s = str_from(s, (size_t)n);
    }
    return true;
}

static bool write_file(int fd, const struct sendmail_message *m)
{
    struct buf head;
    buf_init(&head, SENDMAIL_RECORD_HEAD_MAX);
    bool ok = sendmail_record_head(m, &head) && write_all(fd, buf_str(&head)) &&
              write_all(fd, m->content) && fsync(fd) == 0;
    buf_free(&head);
    return ok;
}

static void make_name(struct env *env, char name[static UNSENT_NAME])
{
    uint8_t random[8];
    struct buf hex;
    buf_init(&hex, 32);
    env->random(env, random, sizeof random);
    hex_encode(&hex, str_of(random, sizeof random));
    snprintf(name, UNSENT_NAME, "%013lld-%.16s", (long long)env->wall_ms(env),
             hex.ptr != NULL ? hex.ptr : "0");
    buf_free(&hex);
}

enum unsent_kept unsent_keep(struct unsent *u, struct env *env, const struct sendmail_message *m,
                             char name[static UNSENT_NAME], struct err *err)
{
    char fresh[UNSENT_NAME], temporary[UNSENT_NAME + 8];
    make_name(env, fresh);
    snprintf(temporary, sizeof temporary, "new-%s", fresh);
    int fd =
        openat(u->dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        (void)err_set(err, RC_TEMP, "", "%.150s: %s", u->path, strerror(errno));
        return UNSENT_CANNOT_MAKE;
    }
    bool first = name[0] == '\0';
    if (first)
        snprintf(name, UNSENT_NAME, "%s", fresh);
    bool ok = write_file(fd, m);
    ok = close(fd) == 0 && ok && renameat(u->dir_fd, temporary, u->dir_fd, name) == 0 &&
         fsync(u->dir_fd) == 0;
    if (ok)
        return UNSENT_KEPT;
    (void)err_set(err, RC_TEMP, "", "%.150s: %s", u->path, strerror(errno));
    /* What is not surely kept shall not be sent after the caller was told so. */
    (void)unlinkat(u->dir_fd, temporary, 0);
    if (first)
        (void)unlinkat(u->dir_fd, name, 0);
    return UNSENT_CANNOT_WRITE;
}

/* ---- reading ---- */

static bool read_all(int fd, struct buf *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return false;
    for (;;) {
        char *to = buf_room(out, 65536);
        ssize_t n = to != NULL ? read(fd, to, 65536) : -1;
        if (n < 0 && to != NULL && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        out->len += (size_t)n;
    }
}

static bool set_aside(struct unsent *u, const char *name, const char *as)
{
    char to[UNSENT_NAME + 16];
    snprintf(to, sizeof to, "%s.%s", name, as);
    return renameat(u->dir_fd, name, u->dir_fd, to) == 0 && fsync(u->dir_fd) == 0;
}

enum unsent_got unsent_read(struct unsent *u, const char *name, struct arena *a, struct buf *text,
                            struct sendmail_message *out)
{
    int fd = openat(u->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? UNSENT_GONE : UNSENT_CANNOT_READ;
    bool read = read_all(fd, text);
    close(fd);
    if (read && sendmail_record_decode(buf_str(text), a, out))
        return UNSENT_GOT;
    return read && !a->failed && set_aside(u, name, "damaged") ? UNSENT_DAMAGED
                                                               : UNSENT_CANNOT_READ;
}

bool unsent_remove(struct unsent *u, const char *name)
{
    return unlinkat(u->dir_fd, name, 0) == 0 && fsync(u->dir_fd) == 0;
}

bool unsent_refused(struct unsent *u, const char *name)
{
    return set_aside(u, name, "refused");
}

/* ---- listing ---- */

static bool is_waiting(const char *name)
{
    size_t n = strspn(name, "0123456789");
    return n == 13 && name[n] == '-' && strlen(name) < UNSENT_NAME && strchr(name, '.') == NULL;
}

static bool is_aside(const char *name)
{
    return ascii_digit(name[0]) &&
           (str_ends(str_c(name), STR(".refused")) || str_ends(str_c(name), STR(".damaged")));
}

/* What a crash has left half written is nobody's. */
static void drop_stale(struct unsent *u, const char *name)
{
    struct stat st;
    struct timespec now;
    if (str_starts(str_c(name), STR("new-")) && clock_gettime(CLOCK_REALTIME, &now) == 0 &&
        fstatat(u->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
        now.tv_sec - st.st_mtime > STALE_S)
        (void)unlinkat(u->dir_fd, name, 0);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The `max` first by name in an array of 2 * max: sorted and halved whenever it is full. */
static size_t halve(char **names, size_t n, size_t max)
{
    qsort(names, n, sizeof *names, by_name);
    return n < max ? n : max;
}

size_t unsent_list(struct unsent *u, struct arena *a, size_t max, char ***names, size_t *aside)
{
    int fd = openat(u->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    size_t n = 0;
    *aside = 0;
    *names = arena_array(a, 2 * max, sizeof **names);
    if (dir == NULL && fd >= 0)
        close(fd);
    if (dir == NULL)
        return 0;
    const struct dirent *e;
    for (int i = 0; *names != NULL && i < NAMES_LOOKED_AT && (e = readdir(dir)) != NULL; i++) {
        drop_stale(u, e->d_name);
        *aside += is_aside(e->d_name);
        if (!is_waiting(e->d_name))
            continue;
        char *copy = arena_cstr(a, str_c(e->d_name));
        if (copy == NULL)
            break;
        (*names)[n++] = copy;
        if (n == 2 * max)
            n = halve(*names, n, max);
    }
    closedir(dir);
    return halve(*names, n, max);
}
