/* hops.c: see hops.h. */
#include "roles/mx/hops.h"

#define FIELD "received:"

/* Looks at one byte at the start of a line; true: the line is decided. */
static bool decide(struct hops *h, char c)
{
    if (h->matched == 0 && c == '\r') {
        h->body = true; /* lines end with CRLF here, so an empty one begins with CR */
        return true;
    }
    if (FIELD[h->matched] == ':' && (c == ' ' || c == '\t'))
        return false; /* RFC 5322 4.5.8: blanks before the colon */
    if (ascii_lower(c) != FIELD[h->matched])
        return true;
    if (c != ':') {
        h->matched++;
        return false;
    }
    h->count++;
    return true;
}

void hops_feed(struct hops *h, str_t content)
{
    while (content.len > 0 && !h->body) {
        if (!h->rest_of_line) {
            h->rest_of_line = decide(h, content.ptr[0]);
            content = str_from(content, 1);
            continue;
        }
        size_t lf;
        if (!str_find(content, '\n', &lf))
            return;
        content = str_from(content, lf + 1);
        h->rest_of_line = false;
        h->matched = 0;
    }
}
