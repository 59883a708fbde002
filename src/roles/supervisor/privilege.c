/* privilege.c: the users of the roles, and what the supervisor gives up once everything is open. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "roles/supervisor/supervisor_internal.h"

#define DESCRIPTORS_WANTED 65536 /* connections_max and some for all else */

void privilege_users(struct supervisor *s)
{
    s->root = geteuid() == 0 && !s->single;
    for (int i = ROLE_SUPERVISOR + 1; i < ROLE_COUNT; i++) {
        struct child *c = &s->children[i];
        char name[128];
        snprintf(name, sizeof name, STR_FMT "-%s", STR_ARG(str_first(s->set->user, 64)),
                 c->row->name);
        const struct passwd *pw = s->root ? getpwnam(name) : NULL;
        c->uid = pw != NULL ? pw->pw_uid : SUPERVISOR_UID_BASE + (uid_t)i;
        c->gid = pw != NULL ? pw->pw_gid : SUPERVISOR_UID_BASE + (gid_t)i;
    }
}

static bool own(int dir, const char *name, const struct child *core)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode) ||
        st.st_nlink != 1 || st.st_uid == core->uid)
        return true; /* nothing of ours, or done */
    return fchownat(dir, name, core->uid, core->gid, AT_SYMLINK_NOFOLLOW) == 0;
}

enum rc privilege_own_data(struct supervisor *s, struct err *err)
{
    const struct child *core = &s->children[ROLE_CORE];
    if (!s->root)
        return RC_OK;
    /* The folder last: until then nobody but root can put anything into it. */
    int fd = openat(s->data_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    bool good = d != NULL;
    for (struct dirent *e; good && (e = readdir(d)) != NULL;)
        good = own(s->data_dir_fd, e->d_name, core);
    good = good && fchown(s->data_dir_fd, core->uid, core->gid) == 0;
    int why = errno;
    if (d != NULL)
        closedir(d);
    if (!good)
        return err_set(err, RC_PERM, "", "cannot give " STR_FMT " to user %u: %s",
                       STR_ARG(s->set->data_dir), (unsigned)core->uid, strerror(why));
    return RC_OK;
}

void privilege_descriptors(void)
{
    struct rlimit have, want;
    if (getrlimit(RLIMIT_NOFILE, &have) != 0)
        return;
    want = have;
    if (want.rlim_max < DESCRIPTORS_WANTED)
        want.rlim_max = DESCRIPTORS_WANTED; /* root may */
    want.rlim_cur = want.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &want) == 0)
        return;
    have.rlim_cur = have.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &have);
}

enum rc privilege_drop(struct supervisor *s, struct err *err)
{
    if (s->single)
        return RC_OK;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_set(err, RC_PERM, "", "no new privileges: %s", strerror(errno));
    if (!s->root)
        return RC_OK;
    /* To start a role again as its user, to end one that hangs, and to read a renewed certificate
     * whoever owns it. All sockets and folders are open. */
    uint64_t keep =
        1ull << CAP_SETUID | 1ull << CAP_SETGID | 1ull << CAP_KILL | 1ull << CAP_DAC_READ_SEARCH;
    return sandbox_keep_capabilities(keep, err);
}

bool privilege_become(const struct child *c)
{
    return setgroups(0, NULL) == 0 && setresgid(c->gid, c->gid, c->gid) == 0 &&
           setresuid(c->uid, c->uid, c->uid) == 0;
}
