/* srs.h: other senders for mail that goes on: SRS for forwards, so that SPF of the next hop looks at
 * our domain and bounces find their way back (the Sender Rewriting Scheme as it is in use:
 * SRS0=hash=time=domain=local@us, SRS1 for an address that was rewritten before), and BATV for our
 * own mail (prvs=tag=local@domain), by which bounces of mail we never sent are told.
 *
 * Pure: the day and the key come from outside. Hashes are HMAC-SHA1 cut short, as everybody's are:
 * enough against guessing by mail, with a time limit. A rewritten local part may be longer than 64
 * octets (RFC 5321 4.5.3.1.1 asks to accept that where possible, and all do). */
#ifndef MAIL_SRS_H
#define MAIL_SRS_H

#include "base/arena.h"
#include "base/str.h"

#define SRS_DAYS     21  /* a rewritten address is good so long; bounces come within days */
#define SRS_PATH_MAX 254 /* local@domain, RFC 5321 4.5.3.1.3 without brackets */
#define SRS_KEY      32  /* bytes */
#define BATV_DAYS    7
#define SRS_DAY_MS   86400000

struct srs_key {
    uint8_t bytes[SRS_KEY];
};

enum srs_result {
    SRS_OK,
    SRS_NOT,   /* not such an address; of srs_forward: its domain is no name ([192.0.2.1]) */
    SRS_WRONG, /* it is one, but not ours: hash wrong, or too old */
    SRS_LONG,  /* the result would be too long: leave the sender as it is */
};

/* sender: local@domain as smtp_path_text writes it, not <>; quoted local parts keep their quotes
 * off: give it unquoted parts. */
enum srs_result srs_forward(const struct srs_key *k, int64_t wall_ms, str_t local, str_t domain,
                            str_t our_domain, struct arena *a, str_t *out);
/* The local part of an address at our domain; *out: whom it stands for, local@domain with the local
 * part quoted where it must be. */
enum srs_result srs_reverse(const struct srs_key *k, int64_t wall_ms, str_t local, struct arena *a,
                            str_t *out);

/* prvs=KDDDHHHHHH=local */
enum srs_result batv_sign(const struct srs_key *k, int64_t wall_ms, str_t local, str_t domain,
                          struct arena *a, str_t *out);
/* *out: the local part without the tag. */
enum srs_result batv_check(const struct srs_key *k, int64_t wall_ms, str_t local, str_t domain,
                           struct arena *a, str_t *out);

#endif
