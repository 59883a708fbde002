/* tls_files.h: where certificates lie: NAME/cert.pem and NAME/key.pem in tls_dir, and those that
 * `certificate` blocks of the settings name. */
#ifndef ROLES_TLS_FILES_H
#define ROLES_TLS_FILES_H

#include "base/err.h"
#include "roles/settings.h"

#define TLS_FILES_PATH 4096

/* tls_dir, or the folder tls in data_dir. */
void tls_files_folder(const struct settings *s, char out[static TLS_FILES_PATH]);

/* If there is no certificate at all, makes one for hostname, signed by itself. */
enum rc tls_files_make(const struct settings *s, bool *made, struct err *err);

/* The names (host names) of the folders in it, sorted; the array and its strings are the caller's:
 * tls_files_free. n = 0 and NULL if there are none, or no folder. */
char **tls_files_list(const char *folder, size_t *n);
void tls_files_free(char **names, size_t n);

#endif
