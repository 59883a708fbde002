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

/* All of it, chunk by chunk. */
static enum rc read_all(struct attempt_convert *v, const struct attempt_content *from,
                        bool (*take)(struct attempt_convert *v, str_t bytes), struct err *err)
{
    for (uint32_t k = 0; k < from->m->chunks; k++) {
        str_t bytes = STR_NONE;
        arena_reset(from->scratch);
        enum rc rc = from->chunk(from->user, k, from->scratch, &bytes);
        if (rc == RC_PERM)
            return err_set(err, RC_PERM, "5.3.0", "the stored message is damaged");
        if (rc != RC_OK)
            return err_set(err, RC_TEMP, "4.3.0", "the stored message cannot be read now");
        if (!take(v, bytes))
            return err_set(err, RC_TEMP, "4.3.0", "out of memory for the conversion");
    }
    return RC_OK;
}

static bool look(struct attempt_convert *v, str_t bytes)
{
    mail_convert_look(v->c, bytes);
    return true;
}

static bool count(struct attempt_convert *v, str_t bytes)
{
    str_t out = STR_NONE;
    bool ok = attempt_convert_feed(v, bytes, false, &out);
    v->size += out.len;
    return ok;
}

static enum rc measure_all(struct attempt_convert *v, const struct attempt_content *from,
                           struct err *err)
{
    str_t tail = STR_NONE;
    enum rc rc = read_all(v, from, count, err);
    if (rc == RC_OK && !attempt_convert_feed(v, STR_NONE, true, &tail))
        rc = err_set(err, RC_TEMP, "4.3.0", "out of memory for the conversion");
    if (rc == RC_OK)
        v->size += tail.len;
    mail_convert_again(v->c);
    return rc;
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
                              const struct attempt_content *from, bool measure, struct err *err)
{
    bool needed = false;
    *out = (struct attempt_convert){.c = mail_convert_new(to), .to = to};
    buf_init(&out->out, OUT_MAX);
    if (out->c == NULL)
        return err_set(err, RC_TEMP, "4.3.0", "out of memory");
    enum rc rc = read_all(out, from, look, err);
    if (rc == RC_OK)
        rc = judge(out->c, &needed, err);
    if (rc == RC_OK && needed && measure)
        rc = measure_all(out, from, err);
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
