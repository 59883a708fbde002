/* client_content.c: see client_content.h.
 *
 * Lines are found by memchr and copied in runs: only a line that begins with a dot ends a run,
 * so that ordinary content is one copy. */
#include "proto/smtp/client_content.h"

/* The rest of the content without an LF: may end in the CR of a line end that was cut. */
static bool unfinished_line(enum smtpc_line *at, const char *p, const char *end)
{
    const char *cr = memchr(p, '\r', (size_t)(end - p));
    *at = cr == NULL ? SMTPC_LINE_INSIDE : SMTPC_LINE_CR;
    return cr == NULL || cr == end - 1;
}

enum smtpc_stuff smtpc_stuff(enum smtpc_line *at, str_t bytes, struct buf *out)
{
    if (bytes.len == 0)
        return SMTPC_STUFF_OK;
    const char *p = bytes.ptr, *run = p, *end = p + bytes.len;
    if (memchr(p, '\0', bytes.len) != NULL)
        return SMTPC_STUFF_BARE;
    if (*at == SMTPC_LINE_CR) {
        if (*p++ != '\n')
            return SMTPC_STUFF_BARE;
        *at = SMTPC_LINE_START;
    }
    while (p < end) {
        if (*at == SMTPC_LINE_START && *p == '.') {
            buf_add(out, str_of(run, (size_t)(p - run)));
            buf_addc(out, '.');
            run = p;
        }
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        if (lf == NULL) {
            if (!unfinished_line(at, p, end))
                return SMTPC_STUFF_BARE;
            break;
        }
        if (lf == p || memchr(p, '\r', (size_t)(lf - p)) != lf - 1)
            return SMTPC_STUFF_BARE;
        *at = SMTPC_LINE_START;
        p = lf + 1;
    }
    return buf_add(out, str_of(run, (size_t)(end - run))) ? SMTPC_STUFF_OK : SMTPC_STUFF_FULL;
}

enum smtpc_stuff smtpc_stuff_end(enum smtpc_line at, struct buf *out)
{
    if (at == SMTPC_LINE_CR)
        return SMTPC_STUFF_BARE;
    bool ok = buf_add(out, at == SMTPC_LINE_INSIDE ? STR("\r\n.\r\n") : STR(".\r\n"));
    return ok ? SMTPC_STUFF_OK : SMTPC_STUFF_FULL;
}
