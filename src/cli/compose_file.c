/* compose_file.c: a file as a part of a message. See compose.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "cli/compose.h"
#include "cli/encoded.h"

enum { LINE_BYTES = 57 }; /* make 76 characters of base64 (RFC 2045 6.8) */

/* What people attach. What is not here goes as bytes: every reader can save that. */
static const struct {
    str_t end;
    const char *type;
} types[] = {
    {STR("txt"), "text/plain"},
    {STR("log"), "text/plain"},
    {STR("md"), "text/markdown"},
    {STR("csv"), "text/csv"},
    {STR("htm"), "text/html"},
    {STR("html"), "text/html"},
    {STR("ics"), "text/calendar"},
    {STR("vcf"), "text/vcard"},
    {STR("patch"), "text/x-patch"},
    {STR("diff"), "text/x-patch"},
    {STR("json"), "application/json"},
    {STR("xml"), "application/xml"},
    {STR("pdf"), "application/pdf"},
    {STR("zip"), "application/zip"},
    {STR("gz"), "application/gzip"},
    {STR("tar"), "application/x-tar"},
    {STR("eml"), "application/octet-stream"}, /* message/rfc822 may not be base64 (2046 5.2.1) */
    {STR("odt"), "application/vnd.oasis.opendocument.text"},
    {STR("ods"), "application/vnd.oasis.opendocument.spreadsheet"},
    {STR("docx"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {STR("xlsx"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {STR("pptx"), "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {STR("doc"), "application/msword"},
    {STR("png"), "image/png"},
    {STR("jpg"), "image/jpeg"},
    {STR("jpeg"), "image/jpeg"},
    {STR("gif"), "image/gif"},
    {STR("webp"), "image/webp"},
    {STR("svg"), "image/svg+xml"},
    {STR("mp3"), "audio/mpeg"},
    {STR("wav"), "audio/wav"},
    {STR("mp4"), "video/mp4"},
    {STR("webm"), "video/webm"},
};

static const char *type_of(str_t name)
{
    size_t dot;
    if (str_rfind(name, '.', &dot))
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
            if (str_ieq(str_from(name, dot + 1), types[i].end))
                return types[i].type;
    return "application/octet-stream";
}

static str_t base_name(const char *path)
{
    str_t all = str_c(path);
    size_t slash;
    return str_rfind(all, '/', &slash) ? str_from(all, slash + 1) : all;
}

static void add_part(str_t name, str_t bytes, struct buf *out)
{
    buf_addf(out, "Content-Type: %s", type_of(name));
    encoded_parameter(out, "name", name);
    buf_add(out, STR("\r\nContent-Disposition: attachment"));
    encoded_parameter(out, "filename", name);
    buf_add(out, STR("\r\nContent-Transfer-Encoding: base64\r\n\r\n"));
    while (bytes.len > 0 && !out->failed) {
        base64_encode(out, str_first(bytes, LINE_BYTES));
        buf_add(out, STR("\r\n"));
        bytes = str_from(bytes, LINE_BYTES);
    }
}

bool compose_file(struct cli *c, const char *path, struct buf *out)
{
    struct stat st;
    struct buf bytes;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
        cli_fail(c, CLI_FAILED, "cannot attach %s: %s", path,
                 fd >= 0 ? "it is a folder" : strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    buf_init(&bytes, COMPOSE_INPUT_MAX);
    bool ok = compose_read(c, fd, path, &bytes);
    close(fd);
    if (ok)
        add_part(base_name(path), buf_str(&bytes), out);
    buf_free(&bytes);
    return ok;
}
