/* err.c: see err.h. */
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that was cut must not end in half a character of UTF-8: its last one goes whole. */
static void drop_last_character(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && ((unsigned char)text[n - 1] & 0xc0) == 0x80)
        n--;
    if (n > 0 && ((unsigned char)text[n - 1] & 0x80) != 0)
        text[n - 1] = '\0';
}

enum rc err_set(struct err *e, enum rc rc, const char *status, const char *fmt, ...)
{
    if (e == NULL)
        return rc;
    struct err made = {.rc = rc}; /* apart, for the arguments may point into *e */
    snprintf(made.status, sizeof made.status, "%s", status != NULL ? status : "");
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(made.text, sizeof made.text, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof made.text)
        drop_last_character(made.text);
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
