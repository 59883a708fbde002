/* err.c: see err.h. */
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

enum rc err_set(struct err *e, enum rc rc, const char *status, const char *fmt, ...)
{
    if (e == NULL)
        return rc;
    struct err made = {.rc = rc}; /* apart, for the arguments may point into *e */
    snprintf(made.status, sizeof made.status, "%s", status != NULL ? status : "");
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(made.text, sizeof made.text, fmt, ap);
    va_end(ap);
    for (char *p = made.text; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    *e = made;
    return rc;
}

const char *rc_name(enum rc rc)
{
    switch (rc) {
    case RC_OK: return "ok";
    case RC_TEMP: return "temporary";
    case RC_PERM: return "permanent";
    case RC_CLOSED: return "closed";
    }
    return "?";
}

void must_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "postrider: internal error: %s does not hold at %s:%d\n", what, file, line);
    abort();
}
