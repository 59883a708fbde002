/* look.c: a message beside what the story says of it. See world.h. */
#include "world.h"

bool wild(str_t pattern, str_t text)
{
    /* the last *, and where what it stands for may end next */
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

/* A line that begins with a name and a colon: of a header, of the message or of a part. */
static bool is_field(str_t line)
{
    size_t at;
    if (!str_find(line, ':', &at) || at == 0)
        return false;
    for (size_t i = 0; i < at; i++)
        if (!ascii_alpha(line.ptr[i]) && !ascii_digit(line.ptr[i]) && line.ptr[i] != '-')
            return false;
    return true;
}

static str_t unfolded(str_t message, struct arena *a)
{
    struct buf out;
    str_t line;
    bool field = false;
    buf_init(&out, 1 << 24);
    while (str_cut(&message, '\n', &line)) {
        line = str_ends(line, STR("\r")) ? str_first(line, line.len - 1) : line;
        if (field && line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t')) {
            out.len--; /* the LF before it */
        } else {
            field = is_field(line);
        }
        buf_add(&out, line);
        buf_addc(&out, '\n');
    }
    str_t all = arena_dup(a, buf_str(&out));
    must(!out.failed && all.ptr != NULL);
    buf_free(&out);
    return all;
}

/* Cuts `rest` after the first line that fits. */
static bool find_line(str_t *rest, str_t want)
{
    str_t from = *rest, line;
    while (str_cut(&from, '\n', &line)) {
        if (!wild(want, line))
            continue;
        *rest = from;
        return true;
    }
    return false;
}

bool look_lines(str_t message, str_t want, struct arena *a, unsigned *fitting, str_t *missed)
{
    str_t all = unfolded(message, a), rest = all;
    for (*fitting = 0; str_cut(&want, '\n', missed); ++*fitting) {
        str_t whole = all;
        bool never = str_starts(*missed, STR("! "));
        if (never ? find_line(&whole, str_from(*missed, 2)) : !find_line(&rest, *missed))
            return false;
    }
    return true;
}
