/* attempt_convert.c: see attempt_convert.h. */
#include "roles/courier/attempt_convert.h"

/* What one chunk can become: four times itself, and a header field or line that waited. */
enum { OUT_MAX = 4 * STORE_CHUNK + (256 << 10) };

bool attempt_convert_wanted(const struct queue_message *m, const struct smtpc_features *f,
                            enum mail_convert_to *to)
{
    bool binary = m->body_binary && !(f->binarymime && f->chunking);
    *to = binary && f->body_8bit ? MAIL_CONVERT_8BIT : MAIL_CONVERT_7BIT;
    return binary || (!m->body_binary && m->body_8bit && !f->body_8bit);
}

static enum rc look(struct mail_convert *c, const struct queue_message *m, attempt_chunk_fn *chunk,
                    void *user, struct arena *scratch, struct err *err)
{
    for (uint32_t k = 0; k < m->chunks; k++) {
        str_t bytes = STR_NONE;
        arena_reset(scratch);
        enum rc rc = chunk(user, k, scratch, &bytes);
        if (rc == RC_PERM)
            return err_set(err, RC_PERM, "5.3.0", "the stored message is damaged");
        if (rc != RC_OK)
            return err_set(err, RC_TEMP, "4.3.0", "the stored message cannot be read now");
        mail_convert_look(c, bytes);
    }
    return RC_OK;
}

static enum rc judge(struct mail_convert *c, bool *needed, struct err *err)
{
    switch (mail_convert_looked(c, needed)) {
    case MAIL_CONVERT_OK: return RC_OK;
    case MAIL_CONVERT_SIGNED:
        return err_set(err, RC_PERM, "5.6.3",
                       "the next server takes neither 8-bit nor binary content as this message has "
                       "it, and converting it would break its signature");
    case MAIL_CONVERT_HEADER:
        return err_set(err, RC_PERM, "5.6.7",
                       "the message has 8-bit bytes in its header, which the next server does not "
                       "take (8BITMIME, SMTPUTF8)");
    case MAIL_CONVERT_MEMORY: break;
    }
    return err_set(err, RC_TEMP, "4.3.0", "out of memory");
}

enum rc attempt_convert_begin(struct attempt_convert *out, enum mail_convert_to to,
                              const struct queue_message *m, attempt_chunk_fn *chunk, void *user,
                              struct arena *scratch, struct err *err)
{
    bool needed = false;
    *out = (struct attempt_convert){.c = mail_convert_new(to), .to = to};
    buf_init(&out->out, OUT_MAX);
    if (out->c == NULL)
        return err_set(err, RC_TEMP, "4.3.0", "out of memory");
    enum rc rc = look(out->c, m, chunk, user, scratch, err);
    if (rc == RC_OK)
        rc = judge(out->c, &needed, err);
    if (rc != RC_OK || !needed)
        attempt_convert_end(out);
    return rc;
}

bool attempt_convert_feed(struct attempt_convert *v, str_t bytes, bool last, str_t *out)
{
    buf_clear(&v->out);
    bool ok = last ? mail_convert_end(v->c, &v->out) : mail_convert_feed(v->c, bytes, &v->out);
    *out = buf_str(&v->out);
    return ok;
}

void attempt_convert_end(struct attempt_convert *v)
{
    mail_convert_free(v->c);
    buf_free(&v->out);
    v->c = NULL;
}
