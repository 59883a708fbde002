/* sandbox.c: privileges; and the order in which the parts of sandbox.h must come: seccomp last,
 * since it denies what sets the others up. */
#include "sys/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/sandbox_internal.h"

#ifndef PR_SET_MDWE /* Linux 6.3: memory that was writable never becomes executable */
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static enum rc failed(struct err *err, const char *what)
{
    return err_set(err, RC_PERM, "", "sandbox: %s: %s", what, strerror(errno));
}

static bool set_capabilities(uint64_t mask)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[2] = {
        {.effective = (uint32_t)mask, .permitted = (uint32_t)mask},
        {.effective = (uint32_t)(mask >> 32), .permitted = (uint32_t)(mask >> 32)},
    };
    return syscall(SYS_capset, &h, d) == 0;
}

enum rc sandbox_keep_capabilities(uint64_t mask, struct err *err)
{
    /* The bounding set: what a program we execute could get. Needs CAP_SETPCAP; who has not got it
     * has nothing to lose. */
    for (int cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (!(mask >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EPERM)
            return failed(err, "capability bounding set");
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (!set_capabilities(mask))
        return failed(err, "capabilities");
    return RC_OK;
}

enum rc sandbox_enter(const struct sandbox *s, struct err *err)
{
    const struct rlimit none = {0, 0};
    enum rc rc = sandbox_keep_capabilities(0, err);
    if (rc != RC_OK)
        return rc;
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed(err, "no new privileges");
    (void)prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
    rc = sandbox_landlock(s, err);
    if (rc != RC_OK)
        return rc;
    sandbox_leak_check_off();
    return sandbox_seccomp(s, err);
}
