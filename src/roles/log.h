/* log.h: one line an event: time, role, id, event, key=value. To stderr, which the journal reads.
 *
 *     log_event("mx", id, "accept", log_str("from", reverse_path), log_u64("size", n), log_end);
 *
 * Values are escaped by this function: bytes below 0x20, 0x7f, quotes, backslash, invalid UTF-8, and
 * characters that are not seen or turn the line around become \xNN, and a value with a blank is
 * quoted; a field is cut at 512 bytes. Lines are written whole. Thread-safe. */
#ifndef ROLES_LOG_H
#define ROLES_LOG_H

#include "base/str.h"

struct log_field {
    const char *name; /* NULL ends the list */
    enum { LOG_STR, LOG_U64, LOG_I64 } kind;
    str_t s;
    uint64_t u;
    int64_t i;
};
#define log_str(n, v)  ((struct log_field){.name = (n), .kind = LOG_STR, .s = (v)})
#define log_cstr(n, v) ((struct log_field){.name = (n), .kind = LOG_STR, .s = str_c(v)})
#define log_u64(n, v)  ((struct log_field){.name = (n), .kind = LOG_U64, .u = (uint64_t)(v)})
#define log_i64(n, v)  ((struct log_field){.name = (n), .kind = LOG_I64, .i = (int64_t)(v)})
#define log_end        ((struct log_field){.name = NULL})

void log_event_v(const char *role, str_t id, const char *event, const struct log_field *fields);
#define log_event(role, id, event, ...) \
    log_event_v((role), (id), (event), (const struct log_field[]){__VA_ARGS__})
void log_to(int fd); /* default 2; for tests */
void log_quiet(bool quiet);

#endif
