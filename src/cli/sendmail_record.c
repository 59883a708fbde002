/* sendmail_record.c: a message that waits, as bytes of a file. See sendmail_message.h.
 *
 * "postrider unsent 1\n", CRC-32C of what follows; then the sender, the full name, RET, ENVID, the
 * recipients, the content. */
#include "base/crc32c.h"
#include "base/cursor.h"
#include "cli/sendmail_message.h"

#define MAGIC STR("postrider unsent 1\n")

static bool encode(const struct sendmail_message *m, struct buf *out)
{
    buf_str16(out, m->sender);
    buf_str16(out, m->full_name);
    buf_u8(out, m->ret);
    buf_str16(out, m->envid);
    buf_u32(out, (uint32_t)m->n);
    for (size_t i = 0; i < m->n; i++) {
        buf_u8(out, m->rcpt[i].notify);
        buf_str16(out, m->rcpt[i].address);
    }
    return buf_u32(out, (uint32_t)m->content.len) && !out->failed;
}

bool sendmail_record_head(const struct sendmail_message *m, struct buf *out)
{
    struct buf head;
    buf_init(&head, SENDMAIL_RECORD_HEAD_MAX);
    bool ok = encode(m, &head);
    buf_add(out, MAGIC);
    buf_u32(out, crc32c(crc32c(0, buf_str(&head)), m->content));
    buf_add(out, buf_str(&head));
    buf_free(&head);
    return ok && !out->failed;
}

bool sendmail_record_decode(str_t text, struct arena *a, struct sendmail_message *out)
{
    if (!str_starts(text, MAGIC))
        return false;
    struct cursor c = cursor_of(str_from(text, MAGIC.len));
    uint32_t crc = cursor_u32(&c);
    if (c.failed || crc32c(0, c.rest) != crc)
        return false;
    *out = (struct sendmail_message){0};
    out->sender = cursor_str16(&c);
    out->full_name = cursor_str16(&c);
    out->ret = cursor_u8(&c);
    out->envid = cursor_str16(&c);
    uint32_t n = cursor_u32(&c);
    if (c.failed || n == 0 || n > SENDMAIL_RECIPIENTS_MAX)
        return false;
    out->rcpt = arena_array(a, n, sizeof *out->rcpt);
    if (out->rcpt == NULL)
        return false;
    for (out->n = 0; out->n < n; out->n++) {
        out->rcpt[out->n].notify = cursor_u8(&c);
        out->rcpt[out->n].address = cursor_str16(&c);
    }
    out->cap = n;
    out->content = cursor_str32(&c);
    return cursor_end(&c);
}
