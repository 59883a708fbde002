/* mailbox_row.c: see mailbox_row.h. */
#include "post/mailbox_row.h"

#include "base/cursor.h"

enum {
    ROW_VERSION = 1,
    KEY_MAX = 32,                /* the longest: "b/", 10 bytes, "/", u32 */
    MESSAGE_KEY = 2 + 4 + 1 + 8, /* "u/" folder "/" uid */
};

static str_t key_done(struct buf *b, struct arena *a)
{
    str_t key = arena_dup(a, buf_str(b));
    if (b->failed)
        a->failed = true;
    buf_free(b);
    return key;
}

str_t mailbox_key_folder(uint32_t folder, struct arena *a)
{
    struct buf b;
    buf_init(&b, KEY_MAX);
    buf_add(&b, STR("f/"));
    buf_u32(&b, folder);
    return key_done(&b, a);
}

str_t mailbox_key_uids(uint32_t folder, struct arena *a)
{
    struct buf b;
    buf_init(&b, KEY_MAX);
    buf_add(&b, STR("uid/"));
    buf_u32(&b, folder);
    return key_done(&b, a);
}

static void add_messages(struct buf *b, uint32_t folder)
{
    buf_add(b, STR("u/"));
    buf_u32(b, folder);
    buf_addc(b, '/');
}

str_t mailbox_prefix_messages(uint32_t folder, struct arena *a)
{
    struct buf b;
    buf_init(&b, KEY_MAX);
    add_messages(&b, folder);
    return key_done(&b, a);
}

str_t mailbox_key_message(uint32_t folder, uint64_t uid, struct arena *a)
{
    struct buf b;
    buf_init(&b, KEY_MAX);
    add_messages(&b, folder);
    buf_u64(&b, uid);
    return key_done(&b, a);
}

static void add_content(struct buf *b, const uint8_t content[static 10])
{
    buf_add(b, STR("b/"));
    buf_add(b, str_of(content, 10));
    buf_addc(b, '/');
}

str_t mailbox_prefix_content(const uint8_t content[static 10], struct arena *a)
{
    struct buf b;
    buf_init(&b, KEY_MAX);
    add_content(&b, content);
    return key_done(&b, a);
}

str_t mailbox_key_chunk(const uint8_t content[static 10], uint32_t k, struct arena *a)
{
    struct buf b;
    buf_init(&b, KEY_MAX);
    add_content(&b, content);
    buf_u32(&b, k);
    return key_done(&b, a);
}

str_t mailbox_key_seen(queue_id_t id, struct arena *a)
{
    struct buf b;
    buf_init(&b, KEY_MAX);
    buf_add(&b, STR("seen/"));
    buf_add(&b, str_of(id.b, sizeof id.b));
    return key_done(&b, a);
}

bool mailbox_folder_encode(const struct mailbox_folder *f, struct buf *out)
{
    buf_u8(out, ROW_VERSION);
    buf_u32(out, f->uidvalidity);
    buf_u8(out, f->special_use);
    return buf_str16(out, f->name);
}

bool mailbox_folder_decode(str_t value, struct mailbox_folder *out)
{
    struct cursor c = cursor_of(value);
    uint8_t version = cursor_u8(&c);
    out->uidvalidity = cursor_u32(&c);
    out->special_use = cursor_u8(&c);
    out->name = cursor_str16(&c);
    return version == ROW_VERSION && cursor_end(&c);
}

bool mailbox_message_encode(const struct mailbox_message *m, struct buf *out)
{
    buf_u8(out, ROW_VERSION);
    buf_add(out, str_of(m->content, sizeof m->content));
    buf_u64(out, m->size);
    buf_u32(out, m->chunks);
    buf_u64(out, (uint64_t)m->date_ms);
    buf_u32(out, m->flags);
    return buf_u64(out, 0); /* modseq */
}

bool mailbox_message_uid(str_t key, uint64_t *uid)
{
    struct cursor c = cursor_of(str_from(key, MESSAGE_KEY - sizeof *uid));
    *uid = cursor_u64(&c);
    return key.len == MESSAGE_KEY && cursor_end(&c);
}

bool mailbox_message_decode(str_t key, str_t value, struct mailbox_message *out)
{
    struct cursor c = cursor_of(value);
    *out = (struct mailbox_message){0};
    if (!mailbox_message_uid(key, &out->uid) || cursor_u8(&c) != ROW_VERSION)
        return false;
    str_t content = cursor_bytes(&c, sizeof out->content);
    out->size = cursor_u64(&c);
    out->chunks = cursor_u32(&c);
    out->date_ms = (int64_t)cursor_u64(&c);
    out->flags = cursor_u32(&c);
    cursor_u64(&c); /* modseq */
    /* all but the last are full */
    uint64_t chunks = out->size / STORE_CHUNK + (out->size % STORE_CHUNK > 0);
    if (!cursor_end(&c) || out->chunks != chunks)
        return false;
    memcpy(out->content, content.ptr, sizeof out->content);
    return true;
}
