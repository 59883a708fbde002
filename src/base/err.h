/* err.h: outcomes in the words of mail: now, later, never, gone.
 *
 * enum rc is what an operation towards the outside ended as; it maps onto SMTP's 2xx, 4xx and 5xx.
 * struct err carries it with an enhanced status code (RFC 3463) and one human sentence.
 * Libraries fill a struct err and never log; roles log it once. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>

enum [[nodiscard]] rc{
    RC_OK,     /* done */
    RC_TEMP,   /* not now, try later (4xx) */
    RC_PERM,   /* never, as it stands (5xx) */
    RC_CLOSED, /* the other side is gone; whether it acted is unknown */
};

struct err {
    enum rc rc;
    char status[12]; /* "4.4.1" (RFC 3463), or "" */
    char text[256];  /* a sentence without CR, LF or final newline; truncated if longer */
};

/* Fills *e (may be NULL) and returns rc, so that a failing line reads `return err_set(e, ...)`. */
enum rc err_set(struct err *e, enum rc rc, const char *status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

const char *rc_name(enum rc rc); /* "ok", "temporary", "permanent", "closed" */

/* Stops the process with a message: a belief of ours does not hold. Never for bad input. */
#define must(cond) ((cond) ? (void)0 : must_failed(#cond, __FILE__, __LINE__))
_Noreturn void must_failed(const char *what, const char *file, int line);

#endif
