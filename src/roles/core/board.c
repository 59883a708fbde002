/* board.c: the engine's board, copied to memory that every role maps.
 *
 * It is sealed: nobody can shrink it under its readers, and the seal against later writing leaves
 * our mapping as the only writable one. Generations are the engine's plus a random number of this
 * start: a cache filled before a restart of core never matches. Copied before any commit is
 * answered, so that whoever was told "done" finds the new generation; and every second, for the
 * rest. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "roles/core/client.h"

struct core_board {
    struct store *engine;
    struct store_board *shared;
    size_t len;
    int fd;
    uint64_t base; /* added to every generation */
};

static bool board_map(struct core_board *b)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    b->len = (sizeof *b->shared + page - 1) / page * page;
    b->fd = memfd_create("postrider-board", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (b->fd < 0 || ftruncate(b->fd, (off_t)b->len) != 0)
        return false;
    void *p = mmap(NULL, b->len, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
    if (p == MAP_FAILED)
        return false;
    b->shared = p;
    return fcntl(b->fd, F_ADD_SEALS,
                 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0;
}

struct core_board *core_board_new(struct core_server *cs, struct err *err)
{
    struct core_board *b = calloc(1, sizeof *b);
    if (b == NULL) {
        (void)err_set(err, RC_TEMP, "", "out of memory");
        return NULL;
    }
    b->engine = cs->engine;
    b->fd = -1;
    cs->env->random(cs->env, &b->base, sizeof b->base);
    b->base |= (uint64_t)1 << 62; /* far from what a client makes up before it has a board */
    if (!board_map(b)) {
        (void)err_set(err, RC_TEMP, "", "cannot make shared memory for the board: errno %d", errno);
        core_board_free(b);
        return NULL;
    }
    core_board_publish(b);
    return b;
}

void core_board_free(struct core_board *b)
{
    if (b == NULL)
        return;
    if (b->shared != NULL)
        munmap(b->shared, b->len);
    if (b->fd >= 0)
        close(b->fd);
    free(b);
}

/* Several commit threads may be here at once: a generation never goes back. */
static void raise_to(_Atomic uint64_t *shared, uint64_t to)
{
    uint64_t now = atomic_load_explicit(shared, memory_order_relaxed);
    while ((int64_t)(to - now) > 0 || now == 0)
        if (atomic_compare_exchange_weak(shared, &now, to))
            return;
}

/* Written only when it changed: it lies beside what every role reads. */
static void copy(_Atomic uint64_t *shared, const _Atomic uint64_t *from)
{
    uint64_t now = atomic_load_explicit(from, memory_order_relaxed);
    if (atomic_load_explicit(shared, memory_order_relaxed) != now)
        atomic_store(shared, now);
}

void core_board_publish(struct core_board *b)
{
    const struct store_board *from = store_board(b->engine);
    for (int k = 0; k < PART_KINDS; k++)
        raise_to(&b->shared->generation[k], atomic_load(&from->generation[k]) + b->base);
    copy(&b->shared->free_bytes, &from->free_bytes);
    copy(&b->shared->free_queue_bytes, &from->free_queue_bytes);
    uint32_t stopped = atomic_load(&from->writes_stopped);
    if (atomic_load_explicit(&b->shared->writes_stopped, memory_order_relaxed) != stopped)
        atomic_store(&b->shared->writes_stopped, stopped);
}

int core_board_fd(const struct core_board *b)
{
    return b->fd;
}
