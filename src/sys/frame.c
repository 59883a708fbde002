/* frame.c: see frame.h. The buffer is one piece; a partial frame moves to its start when there is
 * little room behind it, and the buffer grows only once a valid header has announced a frame that
 * does not fit. */
#include "sys/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/err.h"
#include "sys/channel.h"

#define FRAME_ROOM_MIN (32 << 10) /* less room than this is not worth a read */
#define FRAME_LEN_MIN  (FRAME_HEADER - 4)

_Static_assert(CHANNEL_FRAME_MAX > FRAME_READ_SIZE,
               "the buffer must be able to grow to the largest frame");

void frame_header(char out[static FRAME_HEADER], uint8_t type, uint64_t id, size_t payload_len,
                  bool with_fd)
{
    size_t len = payload_len + FRAME_LEN_MIN;
    must(len <= CHANNEL_FRAME_MAX);
    for (int i = 0; i < 4; i++)
        out[i] = (char)(len >> (24 - 8 * i));
    out[4] = FRAME_VERSION;
    out[5] = (char)type;
    out[6] = 0;
    out[7] = with_fd ? 1 : 0;
    for (int i = 0; i < 8; i++)
        out[8 + i] = (char)(id >> (56 - 8 * i));
}

size_t frame_payload_len(const struct iovec *v, int n)
{
    size_t len = 0;
    for (int i = 0; i < n; i++)
        len += v[i].iov_len;
    return len;
}

bool frame_reader_init(struct frame_reader *r)
{
    *r = (struct frame_reader){.buf = malloc(FRAME_READ_SIZE), .cap = FRAME_READ_SIZE};
    return r->buf != NULL;
}

void frame_reader_reset(struct frame_reader *r)
{
    for (unsigned i = 0; i < r->nfds; i++)
        close(r->fds[i]);
    r->nfds = 0;
    r->start = r->end = 0;
}

void frame_reader_free(struct frame_reader *r)
{
    frame_reader_reset(r);
    free(r->buf);
    r->buf = NULL;
}

/* The whole size of the frame at the start, 4 if not even its length is there. Checked by
 * frame_next before. */
static size_t wanted(const struct frame_reader *r)
{
    struct cursor c = cursor_of(str_of(r->buf + r->start, r->end - r->start));
    uint32_t len = cursor_u32(&c);
    return 4 + (c.failed ? 0 : (size_t)len);
}

char *frame_room(struct frame_reader *r, size_t *n)
{
    size_t have = r->end - r->start, want = wanted(r);
    if (have == 0)
        r->start = r->end = 0;
    if (want > r->cap - r->start || r->cap - r->end < FRAME_ROOM_MIN) {
        memmove(r->buf, r->buf + r->start, have);
        r->start = 0;
        r->end = have;
    }
    if (want > r->cap) {
        must(want <= CHANNEL_FRAME_MAX + 4);
        char *grown = realloc(r->buf, want);
        if (grown == NULL)
            return NULL;
        r->buf = grown;
        r->cap = want;
    }
    *n = r->cap - r->end;
    must(*n > 0);
    return r->buf + r->end;
}

void frame_added(struct frame_reader *r, size_t n)
{
    must(n <= r->cap - r->end);
    r->end += n;
}

bool frame_add_fd(struct frame_reader *r, int fd)
{
    if (r->nfds == FRAME_FDS_MAX) {
        close(fd);
        return false;
    }
    r->fds[r->nfds++] = fd;
    return true;
}

/* Takes over every descriptor that came, wanted or not: one left behind would be a leak for a
 * hostile peer to use. */
static bool take_fds(struct frame_reader *r, struct msghdr *m)
{
    bool good = (m->msg_flags & MSG_CTRUNC) == 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            good = frame_add_fd(r, fd) && good;
        }
        good = good && n == 1;
    }
    return good;
}

enum frame_rc frame_fill(struct frame_reader *r, int sock)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec v;
    v.iov_base = frame_room(r, &v.iov_len);
    if (v.iov_base == NULL)
        return FRAME_BAD;
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    ssize_t got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? FRAME_MORE : FRAME_END;
    if (m.msg_controllen > 0 && !take_fds(r, &m))
        return FRAME_BAD;
    if (got == 0)
        return FRAME_END;
    frame_added(r, (size_t)got);
    return FRAME_OK;
}

static int pop_fd(struct frame_reader *r)
{
    int fd = r->fds[0];
    r->nfds--;
    memmove(r->fds, r->fds + 1, r->nfds * sizeof *r->fds);
    return fd;
}

enum frame_rc frame_next(struct frame_reader *r, struct frame *f)
{
    struct cursor c = cursor_of(str_of(r->buf + r->start, r->end - r->start));
    /* a descriptor whose frame did not claim it */
    if (c.rest.len == 0 && r->nfds > 0)
        return FRAME_BAD;
    if (c.rest.len < 4)
        return FRAME_MORE;
    uint32_t len = cursor_u32(&c);
    if (len < FRAME_LEN_MIN || len > CHANNEL_FRAME_MAX)
        return FRAME_BAD;
    if (c.rest.len < FRAME_LEN_MIN)
        return FRAME_MORE;
    uint8_t version = cursor_u8(&c);
    f->type = cursor_u8(&c);
    uint16_t flags = cursor_u16(&c);
    f->id = cursor_u64(&c);
    if (version != FRAME_VERSION || flags > 1)
        return FRAME_BAD;
    if (c.rest.len < len - FRAME_LEN_MIN)
        return FRAME_MORE;
    if (flags == 1 && r->nfds == 0)
        return FRAME_BAD;
    f->payload = cursor_bytes(&c, len - FRAME_LEN_MIN);
    f->fd = flags == 1 ? pop_fd(r) : -1;
    r->start += 4 + (size_t)len;
    return FRAME_OK;
}
