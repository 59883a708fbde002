/* attempt_convert.h: content made to fit a peer that lacks 8BITMIME or BINARYMIME. RFC 6152 3, RFC
 * 3030 3. */
#ifndef ROLES_COURIER_ATTEMPT_CONVERT_H
#define ROLES_COURIER_ATTEMPT_CONVERT_H

#include "mail/convert.h"
#include "proto/smtp/client.h"
#include "roles/courier/attempt.h"

struct attempt_convert {
    struct mail_convert *c; /* NULL: as it is */
    enum mail_convert_to to;
    struct buf out;
    uint64_t size; /* of all that goes out; 0: as it is, or not asked for */
};

/* Where the content comes from; `scratch` is reset for each chunk. */
struct attempt_content {
    const struct queue_message *m;
    attempt_chunk_fn *chunk;
    void *user;
    struct arena *scratch;
};

/* Whether the peer cannot take what the message says of itself. */
bool attempt_convert_wanted(const struct queue_message *m, const struct smtpc_features *f,
                            enum mail_convert_to *to);
/* Looks through all of the content. RC_OK: out->c is ready to be fed from the first chunk on, or
 * NULL: nothing in it has to change. Else *err is the verdict for every recipient. `measure`: goes
 * through it once more, for out->size: what base64 and quoted-printable come to is only known when
 * it is done, and an estimate would have messages refused that fit (RFC 1870 6). */
enum rc attempt_convert_begin(struct attempt_convert *out, enum mail_convert_to to,
                              const struct attempt_content *from, bool measure, struct err *err);
/* What goes out for these bytes, valid until the next call; last: after all of them. False: no
 * memory. */
bool attempt_convert_feed(struct attempt_convert *v, str_t bytes, bool last, str_t *out);
void attempt_convert_end(struct attempt_convert *v);

#endif
