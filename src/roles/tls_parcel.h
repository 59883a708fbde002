/* tls_parcel.h: certificates with their keys, as the supervisor hands them to the roles that serve
 * TLS: in a sealed file (CONTROL_TLS_PAIRS). The first is the one for clients that name none.
 *
 *     u8 version, then for each: u16-string name, u32-string chain (PEM), u32-string key (PEM)
 *
 * Authorities (CONTROL_TLS_AUTHORITIES) are PEM as in their file. */
#ifndef ROLES_TLS_PARCEL_H
#define ROLES_TLS_PARCEL_H

#include "base/buf.h"
#include "sys/tls.h"

#define TLS_PARCEL_PAIRS_MAX 4096 /* domains with a certificate of their own on one machine */
#define TLS_CHAIN_MAX        (128 * 1024)
#define TLS_KEY_MAX          (32 * 1024) /* RSA of 16,384 bits has 13 KiB */
#define TLS_AUTHORITIES_MAX  (8 << 20)   /* a distribution's bundle has 220 KiB */
#define TLS_PARCEL_MAX       (256 << 20)

void tls_parcel_begin(struct buf *b);
bool tls_parcel_add(struct buf *b, const struct tls_pair *p);

/* Takes it apart; the slices point into it, the array (to be freed) is the caller's. */
bool tls_parcel_read(str_t bytes, struct tls_pair **pairs, size_t *n);

/* What a role does with what came: fd stays the caller's. */
enum rc tls_parcel_take_pairs(struct tls_vault *v, int fd, struct err *err);
enum rc tls_parcel_take_authorities(struct tls_vault *v, int fd, struct err *err);

#endif
