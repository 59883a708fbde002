/* output.c: messages, JSON, times: how the commands speak. See cli.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"
#include "cli/cli.h"
#include "post/missing.h"

int cli_fail(struct cli *c, int code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->json) {
        json_t *doc = json_object();
        json_object_set_new(doc, "error", cli_json_str(str_c(text)));
        json_object_set_new(doc, "code", json_integer(code));
        cli_print_json(doc);
    } else {
        fprintf(stderr, "postrider: %s\n", text);
    }
    return code;
}

int cli_usage(struct cli *c)
{
    fprintf(stderr, "usage: postrider %s %s\n", c->command->name, c->command->args);
    return CLI_USAGE;
}

int cli_err(struct cli *c, const struct err *e)
{
    int code = e->rc == RC_TEMP || e->rc == RC_CLOSED    ? CLI_LATER
               : strcmp(e->status, MISSING_STATUS) == 0 ? CLI_NOT_FOUND
                                                        : CLI_FAILED;
    return cli_fail(c, code, "%s", e->text);
}

int cli_store_error(struct cli *c, enum store_rc rc)
{
    switch (rc) {
    case STORE_OK: return CLI_OK;
    case STORE_DOWN: return cli_fail(c, CLI_LATER, "the server does not answer; try again");
    case STORE_UNKNOWN:
        return cli_fail(
            c, CLI_LATER,
            "the server went away meanwhile: it may have been done or not; look, then try again");
    case STORE_FULL: return cli_fail(c, CLI_LATER, "the disk is full; make room and try again");
    case STORE_STOPPED:
        return cli_fail(c, CLI_FAILED,
                        "the store takes no writes: the disk failed to store something. See the "
                        "log, check the disk, "
                        "then restart the server");
    case STORE_DENIED: return cli_fail(c, CLI_FAILED, "the store does not permit that");
    case STORE_CONFLICT:
    case STORE_EXPIRED: return cli_fail(c, CLI_LATER, "it changed at the same moment; try again");
    case STORE_LIMIT: return cli_fail(c, CLI_FAILED, "that is larger than the store takes");
    case STORE_DAMAGED:
        return cli_fail(
            c, CLI_FAILED,
            "that record is damaged on disk; `postrider check store` names all that is");
    }
    return CLI_FAILED;
}

int cli_print_json(json_t *doc)
{
    json_dumpf(doc, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(doc);
    return CLI_OK;
}

/* Appends s, each byte that is not part of valid UTF-8 as U+FFFD. */
static void add_utf8(struct buf *b, str_t s)
{
    while (s.len > 0) {
        str_t before = s;
        uint32_t cp;
        if (utf8_next(&s, &cp)) {
            buf_add(b, str_first(before, before.len - s.len));
        } else {
            buf_add(b, STR("\xef\xbf\xbd"));
            s = str_from(s, 1);
        }
    }
}

json_t *cli_json_str(str_t s)
{
    if (utf8_valid(s))
        return json_stringn(s.len ? s.ptr : "", s.len);
    struct buf b;
    buf_init(&b, s.len * 3 + 1);
    add_utf8(&b, s);
    json_t *j = json_stringn(b.ptr, b.len);
    buf_free(&b);
    return j;
}

str_t cli_safe(struct cli *c, str_t s)
{
    struct buf b;
    buf_init(&b, s.len * 4 + 1);
    bool text = utf8_valid(s);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.ptr[i];
        /* U+0080 to U+009F */
        bool c1 = ch == 0xc2 && i + 1 < s.len && (unsigned char)s.ptr[i + 1] < 0xa0;
        if (ch < ' ' || ch == 0x7f || c1 || (ch >= 0x80 && !text))
            buf_addf(&b, "\\x%02x", ch);
        else
            buf_addc(&b, (char)ch);
        if (c1)
            buf_addf(&b, "\\x%02x", (unsigned char)s.ptr[++i]);
    }
    str_t out = arena_dup(&c->scratch, buf_str(&b));
    buf_free(&b);
    return out;
}

char *cli_time(int64_t wall_ms, char out[static 32])
{
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (localtime_r(&t, &tm) == NULL || strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(out, 32, "-");
    return out;
}

char *cli_span(int64_t ms, char out[static 16])
{
    long long s = ms / 1000;
    if (s < 0)
        s = 0;
    if (s < 60)
        snprintf(out, 16, "%llds", s);
    else if (s < 3600)
        snprintf(out, 16, "%lldm", s / 60);
    else if (s < 2 * 86400LL)
        snprintf(out, 16, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else
        snprintf(out, 16, "%lldd", s / 86400 < 100000 ? s / 86400 : 99999LL);
    return out;
}
