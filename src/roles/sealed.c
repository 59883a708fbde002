/* sealed.c: see sealed.h. */
#include "roles/sealed.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

int sealed_new(const char *name, str_t bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool good = fd >= 0;
    while (good && bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        good = n > 0;
        bytes = str_from(bytes, good ? (size_t)n : 0);
    }
    if (good && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

bool sealed_map(int fd, size_t max, str_t *out)
{
    /* The seals are not asked for: a role's sandbox has no such call, and the sender is the
     * supervisor. */
    struct stat st;
    *out = STR_NONE;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0 || (size_t)st.st_size > max)
        return false;
    if (st.st_size == 0)
        return true;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return false;
    *out = str_of(p, (size_t)st.st_size);
    return true;
}

void sealed_unmap(str_t bytes)
{
    if (bytes.len > 0)
        munmap((void *)(uintptr_t)bytes.ptr, bytes.len);
}
