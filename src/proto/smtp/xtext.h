/* xtext.h: xtext, by which parameters of SMTP commands carry any byte. RFC 3461 4. */
#ifndef PROTO_SMTP_XTEXT_H
#define PROTO_SMTP_XTEXT_H

#include "base/arena.h"
#include "base/buf.h"

/* All of `in`, strictly. False: not xtext, or the arena is full (a->failed). Never a NULL ptr. */
bool xtext_decode(str_t in, struct arena *a, str_t *out);
bool xtext_encode(struct buf *out, str_t in); /* as much as possible left as it is */

#endif
