/* fuzz_channel.c: the frames of internal channels, as a hostile peer sends them. The input is a
 * list of pieces, each a control byte and up to 127 bytes that "arrive" together (bit 7: a
 * descriptor comes with them). Whatever comes: no frame is larger than allowed or outside the
 * buffer, a descriptor comes only with a frame that announced it, nothing follows a bad frame, and
 * what is accepted reads the same when written again. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "sys/channel.h"
#include "sys/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_frame(const struct frame_reader *r, const struct frame *f)
{
    must(f->payload.len <= CHANNEL_FRAME_MAX - FRAME_HEADER + 4);
    if (f->payload.len > 0)
        must(f->payload.ptr >= r->buf && f->payload.ptr + f->payload.len <= r->buf + r->end);
    char again[FRAME_HEADER];
    frame_header(again, f->type, f->id, f->payload.len, f->fd >= 0);
    if (r->start >=
        FRAME_HEADER + f->payload.len) /* it is still there, just before what is unread */
        must(memcmp(again, r->buf + r->start - f->payload.len - FRAME_HEADER, FRAME_HEADER) == 0);
    if (f->fd >= 0)
        close(f->fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame_reader r;
    struct frame f;
    enum frame_rc rc = FRAME_MORE;
    must(frame_reader_init(&r));
    while (rc == FRAME_MORE && size > 0) {
        size_t n = *data & 0x7f, room;
        bool with_fd = (*data & 0x80) != 0;
        data++;
        size--;
        n = n < size ? n : size;
        char *to = frame_room(&r, &room);
        must(to != NULL && room >= n);
        memcpy(to, data, n);
        frame_added(&r, n);
        if (with_fd && n > 0 && !frame_add_fd(&r, open("/dev/null", O_RDONLY | O_CLOEXEC)))
            break;
        data += n;
        size -= n;
        while ((rc = frame_next(&r, &f)) == FRAME_OK)
            check_frame(&r, &f);
        must(rc == FRAME_MORE || rc == FRAME_BAD);
    }
    frame_reader_free(&r);
    return 0;
}
