/* sandbox_landlock.c: the part of sandbox.h that Landlock does, by raw system calls: the library
 * has no wrappers, and headers may be older than the kernel, so the numbers are here. What the
 * kernel does not know is left to seccomp. */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/sandbox_internal.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

enum { CREATE_VERSION = 1, RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2 };

/* Rights on files, linux/landlock.h */
#define FS_WRITE_FILE   (1ull << 1)
#define FS_READ_FILE    (1ull << 2)
#define FS_READ_DIR     (1ull << 3)
#define FS_REMOVE_FILE  (1ull << 5)
#define FS_MAKE_REG     (1ull << 8)
#define FS_TRUNCATE     (1ull << 14) /* version 3 */
#define FS_VERSION_1    ((1ull << 13) - 1)
#define FS_REFER        (1ull << 13) /* version 2 */
#define FS_IOCTL_DEV    (1ull << 15) /* version 5 */
#define NET_BIND_TCP    1ull         /* version 4 */
#define NET_CONNECT_TCP 2ull
#define SCOPE_ALL       3ull /* version 6: abstract Unix sockets, signals */

struct ruleset_attr {
    uint64_t fs, net, scoped;
};
struct path_rule {
    uint64_t access;
    int32_t parent_fd;
} __attribute__((packed));
struct port_rule {
    uint64_t access, port;
};

int sandbox_landlock_version(void)
{
    long v = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
    return v > 0 ? (int)v : 0;
}

static struct ruleset_attr handled(int version)
{
    struct ruleset_attr a = {.fs = FS_VERSION_1};
    if (version >= 2)
        a.fs |= FS_REFER;
    if (version >= 3)
        a.fs |= FS_TRUNCATE;
    if (version >= 5)
        a.fs |= FS_IOCTL_DEV;
    if (version >= 4)
        a.net = NET_BIND_TCP | NET_CONNECT_TCP;
    if (version >= 6)
        a.scoped = SCOPE_ALL;
    return a;
}

static bool allow_dir(int rules, const struct sandbox *s, uint64_t known)
{
    struct path_rule r = {
        .access = known & (FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_FILE |
                           FS_MAKE_REG | FS_TRUNCATE),
        .parent_fd = s->dir_fd,
    };
    return syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &r, 0) == 0;
}

/* Connections to the ports; binding a local address to them (port 0) is part of it. */
static bool allow_ports(int rules, const struct sandbox *s)
{
    struct port_rule any = {.access = NET_BIND_TCP, .port = 0};
    if (syscall(SYS_landlock_add_rule, rules, RULE_NET_PORT, &any, 0) != 0)
        return false;
    for (size_t i = 0; i < s->n_ports; i++) {
        struct port_rule r = {.access = NET_CONNECT_TCP, .port = s->ports[i]};
        if (syscall(SYS_landlock_add_rule, rules, RULE_NET_PORT, &r, 0) != 0)
            return false;
    }
    return true;
}

enum rc sandbox_landlock(const struct sandbox *s, struct err *err)
{
    int version = sandbox_landlock_version();
    if (version == 0)
        return RC_OK;
    struct ruleset_attr a = handled(version);
    bool connects = (s->may & SANDBOX_CONNECT) != 0;
    if (connects && s->n_ports == 0)
        a.net &= ~NET_CONNECT_TCP;
    int rules = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof a, 0);
    bool good = rules >= 0;
    if (good && (s->may & SANDBOX_FILES))
        good = allow_dir(rules, s, a.fs);
    if (good && connects && a.net != 0)
        good = allow_ports(rules, s);
    if (good)
        good = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    int why = errno;
    if (rules >= 0)
        close(rules);
    if (!good)
        return err_set(err, RC_PERM, "", "sandbox: Landlock: %s", strerror(why));
    return RC_OK;
}
