/* sendmail_smtp.c: `sendmail -bs`: whoever called speaks SMTP with the server by our descriptors. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/sendmail.h"

enum { PIECE = 16384 };

/* Bytes on their way from one descriptor to another. */
struct pipe_way {
    int from, to;
    size_t at, len;
    bool eof;
    char bytes[PIECE];
};

static bool again(void)
{
    return errno == EINTR || errno == EAGAIN;
}

/* False: the way is at its end, `to` takes no more. */
static bool move(struct pipe_way *w, short readable, short writable)
{
    if (w->at == w->len && !w->eof && readable != 0) {
        ssize_t n = read(w->from, w->bytes, sizeof w->bytes);
        if (n < 0 && again())
            return true;
        w->eof = n <= 0;
        w->at = 0;
        w->len = n > 0 ? (size_t)n : 0;
    } else if (w->at < w->len && writable != 0) {
        ssize_t n = write(w->to, w->bytes + w->at, w->len - w->at);
        if (n < 0)
            return again();
        w->at += (size_t)n;
    }
    return true;
}

static bool drained(const struct pipe_way *w)
{
    return w->eof && w->at == w->len;
}

/* Until the server has ended the session and all it said was passed on. */
static int carry(struct pipe_way *up, struct pipe_way *down)
{
    bool closed = false;
    while (!drained(down)) {
        bool up_full = up->at < up->len, down_full = down->at < down->len;
        struct pollfd p[] = {
            {.fd = up->eof || up_full ? -1 : up->from, .events = POLLIN},
            {.fd = up_full ? up->to : -1, .events = POLLOUT},
            {.fd = down->eof || down_full ? -1 : down->from, .events = POLLIN},
            {.fd = down_full ? down->to : -1, .events = POLLOUT},
        };
        if (poll(p, 4, -1) < 0 && errno != EINTR)
            return EX_OSERR;
        if (!move(up, p[0].revents, p[1].revents)) {
            up->eof = true; /* the server listens no more; what it said last is still to come */
            up->at = up->len = 0;
        }
        if (!move(down, p[2].revents, p[3].revents))
            return EX_IOERR; /* nobody reads the answers */
        if (drained(up) && !closed) {
            (void)shutdown(up->to, SHUT_WR);
            closed = true;
        }
    }
    return EX_OK;
}

int sendmail_smtp(void)
{
    struct err err = {0};
    int fd = submit_connect(submit_socket_path(), &err);
    if (fd < 0) {
        printf("421 4.3.2 the mail server does not answer\r\n");
        (void)fflush(stdout);
        sendmail_say("the mail server does not answer: %s", err.text);
        return EX_TEMPFAIL;
    }
    struct pipe_way up = {.from = STDIN_FILENO, .to = fd};
    struct pipe_way down = {.from = fd, .to = STDOUT_FILENO};
    int code = carry(&up, &down);
    close(fd);
    return code;
}
