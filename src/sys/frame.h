/* frame.h: the frames of channel.h: writing their header, and taking them out of a stream of bytes.
 *
 * A reader is used by one thread. Bytes and descriptors come from one socket; frame_next takes
 * whole frames out of what has arrived. Anything malformed (length, version, flags, a descriptor
 * without its frame or a frame without its descriptor) is FRAME_BAD, and then the stream is
 * over. */
#ifndef SYS_FRAME_H
#define SYS_FRAME_H

#include <sys/uio.h>

#include "base/str.h"

#define FRAME_HEADER  16 /* u32 length, u8 version, u8 type, u16 flags, u64 id */
#define FRAME_VERSION 1
/* descriptors received ahead of their frames: a read ends at the first, so 2 would do */
#define FRAME_FDS_MAX 8
/* the buffer: some hundred small frames in one read; grows for a larger frame */
#define FRAME_READ_SIZE (256 << 10)

struct frame {
    uint8_t type;
    uint64_t id;
    str_t payload; /* in the reader's buffer, until the next frame_fill or frame_room */
    int fd;        /* -1, or the taker's to close */
};

struct frame_reader {
    char *buf;
    size_t start, end, cap; /* unread bytes are buf[start..end) */
    int fds[FRAME_FDS_MAX];
    unsigned nfds;
};

enum [[nodiscard]] frame_rc{
    FRAME_OK,
    /* frame_next: no whole frame yet; frame_fill: nothing arrived (time limit of the socket) */
    FRAME_MORE,
    FRAME_END, /* frame_fill: the peer is gone */
    FRAME_BAD,
};

void frame_header(char out[static FRAME_HEADER], uint8_t type, uint64_t id, size_t payload_len,
                  bool with_fd);
size_t frame_payload_len(const struct iovec *v, int n);

bool frame_reader_init(struct frame_reader *r);             /* false: out of memory */
void frame_reader_free(struct frame_reader *r);             /* closes descriptors nobody took */
void frame_reader_reset(struct frame_reader *r);            /* for a new stream */
enum frame_rc frame_fill(struct frame_reader *r, int sock); /* one recvmsg */
enum frame_rc frame_next(struct frame_reader *r, struct frame *f);

/* What frame_fill is made of, for tests without a socket: room for *n bytes (NULL: out of memory),
 * then how many were put there; a descriptor that came with them. */
char *frame_room(struct frame_reader *r, size_t *n);
void frame_added(struct frame_reader *r, size_t n);
bool frame_add_fd(struct frame_reader *r, int fd); /* takes fd; false: too many */

#endif
