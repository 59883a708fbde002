/* log.c: see log.h. A line is put together on the stack and leaves in one write, so lines of
 * several threads and processes do not mix (a pipe takes up to PIPE_BUF, 4096, whole). */
#include "roles/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

#define LOG_LINE_MAX  4096 /* PIPE_BUF */
#define LOG_VALUE_MAX 512

static _Atomic int log_fd = 2;
static _Atomic bool log_off;

struct line {
    char text[LOG_LINE_MAX];
    size_t len;
};

/* What does not fit is cut; the newline always fits. */
static void add(struct line *l, const char *p, size_t n)
{
    size_t room = sizeof l->text - 1 - l->len;
    memcpy(l->text + l->len, p, n < room ? n : room);
    l->len += n < room ? n : room;
}

static void add_escaped(struct line *l, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    const char x[] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
    add(l, x, sizeof x);
}

/* What would change how the line looks: marks of direction, invisible characters, line ends of
 * Unicode. */
static bool deceives(uint32_t c)
{
    return c == 0xad || c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c >= 0xe0000 && c <= 0xe007f);
}

static bool must_escape(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == '"' || c == '\\' || deceives(c);
}

/* Bytes that are not UTF-8, and control characters (C0, DEL, C1) as \xNN a byte. */
static void add_value(struct line *l, str_t v)
{
    bool cut = v.len > LOG_VALUE_MAX, quote = v.len == 0 || str_contains(v, STR(" "));
    v = str_first(v, LOG_VALUE_MAX);
    if (quote)
        add(l, "\"", 1);
    while (v.len > 0) {
        str_t at = v;
        uint32_t c;
        bool valid = utf8_next(&v, &c);
        if (!valid)
            v = str_from(v, 1);
        size_t n = at.len - v.len;
        if (valid && !must_escape(c))
            add(l, at.ptr, n);
        else
            for (size_t i = 0; i < n; i++)
                add_escaped(l, (unsigned char)at.ptr[i]);
    }
    if (cut)
        add(l, "...", 3);
    if (quote)
        add(l, "\"", 1);
}

static void add_time(struct line *l)
{
    struct timespec now;
    struct tm tm;
    char text[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm); /* UTC: reads no file */
    int n = snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", tm.tm_year + 1900,
                     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     (int)(now.tv_nsec / 1000000));
    add(l, text, n > 0 ? (size_t)n : 0);
}

static void add_field(struct line *l, const struct log_field *f)
{
    char text[32];
    add(l, " ", 1);
    add(l, f->name, strlen(f->name));
    add(l, "=", 1);
    switch (f->kind) {
    case LOG_STR: add_value(l, f->s); return;
    case LOG_U64: snprintf(text, sizeof text, "%llu", (unsigned long long)f->u); break;
    case LOG_I64: snprintf(text, sizeof text, "%lld", (long long)f->i); break;
    }
    add(l, text, strlen(text));
}

void log_event_v(const char *role, str_t id, const char *event, const struct log_field *fields)
{
    if (atomic_load_explicit(&log_off, memory_order_relaxed))
        return;
    struct line l = {.len = 0};
    add_time(&l);
    add(&l, role, strlen(role));
    add(&l, " ", 1);
    add_value(&l, id.len > 0 ? id : STR("-"));
    add(&l, " ", 1);
    add(&l, event, strlen(event));
    for (; fields->name != NULL; fields++)
        add_field(&l, fields);
    l.text[l.len++] = '\n';
    (void)!write(atomic_load_explicit(&log_fd, memory_order_relaxed), l.text, l.len);
}

void log_to(int fd)
{
    atomic_store(&log_fd, fd);
}
void log_quiet(bool quiet)
{
    atomic_store(&log_off, quiet);
}
