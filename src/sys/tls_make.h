/* tls_make.h: a certificate of our own making, so that TLS works from the first minute.
 *
 * It is signed by itself: who verifies whom they talk to does not trust it, everybody else is safe
 * from being listened to. */
#ifndef SYS_TLS_MAKE_H
#define SYS_TLS_MAKE_H

#include "base/buf.h"
#include "base/err.h"

#define TLS_MAKE_DAYS 3650 /* nobody is there to renew it */

/* ECDSA on P-256, for the name (a host name), in PEM. The buffers are the caller's; the key's is to
 * be wiped. */
enum rc tls_make_pair(str_t name, struct buf *chain_pem, struct buf *key_pem, struct err *err);

/* Makes one and stores it: `folder` (an absolute or relative path, made if it is not there, mode
 * 0700), in it NAME/cert.pem and NAME/key.pem (0600). Both are on stable storage when it returns,
 * and either both are there or none is. What is there already stays: RC_OK with *made false. */
enum rc tls_make_store(const char *folder, str_t name, bool *made, struct err *err);

#endif
