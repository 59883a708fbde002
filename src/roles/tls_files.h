/* tls_files.h: where certificates lie: NAME/cert.pem and NAME/key.pem in tls_dir, and those that
 * `certificate` blocks of the settings name. */
#ifndef ROLES_TLS_FILES_H
#define ROLES_TLS_FILES_H

#include "base/buf.h"
#include "base/err.h"
#include "roles/settings.h"
#include "sys/tls.h"

#define TLS_FILES_PATH 4096

/* tls_dir, or the folder tls in data_dir. */
void tls_files_folder(const struct settings *s, char out[static TLS_FILES_PATH]);

/* If there is no certificate at all, makes one for hostname, signed by itself. */
enum rc tls_files_make(const struct settings *s, bool *made, struct err *err);

/* One certificate: the name that its block or folder has, and its files. */
struct tls_files {
    char name[256];
    char chain[TLS_FILES_PATH], key[TLS_FILES_PATH];
};
/* Calls `one` with each that the settings or the folder speak of, whether its files are there or not:
 * first the blocks, then the folders by name. A name may come twice: the first counts. */
typedef void tls_files_one(void *user, const struct tls_files *f);
void tls_files_each(const struct settings *s, tls_files_one *one, void *user);

/* Reads one file, at most out->max bytes. It is not moved in memory on the way. */
enum rc tls_files_read(const char *path, struct buf *out, struct err *err);
/* Reads both and holds them against each other; the buffers (to be wiped by tls_files_wipe, whatever
 * comes of it) take TLS_CHAIN_MAX and TLS_KEY_MAX. */
enum rc tls_files_pair(const struct tls_files *f, struct buf *chain, struct buf *key,
                       struct err *err);
void tls_files_wipe(struct buf *b);

/* What its dates are worth now. It ends soon when a quarter of its time is left, or TLS_FILES_SOON_MS
 * if that is less: what renews certificates does so before. */
#define TLS_FILES_SOON_MS (14 * INT64_C(86400000))
enum tls_files_state {
    TLS_FILES_GOOD,
    TLS_FILES_ENDS_SOON,
    TLS_FILES_EXPIRED,
    TLS_FILES_NOT_YET,
};
enum tls_files_state tls_files_state(const struct tls_dates *d, int64_t now_ms);

/* "2026-12-31" */
#define TLS_FILES_DAY 16
char *tls_files_day(int64_t ms, char out[static TLS_FILES_DAY]);

#endif
