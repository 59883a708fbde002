/* tls_files.c: see tls_files.h. */
#include "roles/tls_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "roles/settings_table.h"
#include "roles/tls_parcel.h"
#include "sys/tls_make.h"

/* ---- names ---- */

void tls_files_folder(const struct settings *s, char out[static TLS_FILES_PATH])
{
    if (s->tls_dir.len > 0)
        str_toc(s->tls_dir, out, TLS_FILES_PATH);
    else
        snprintf(out, TLS_FILES_PATH, STR_FMT "/tls", STR_ARG(s->data_dir));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add(char ***names, size_t *n, const char *name)
{
    char **more = realloc(*names, (*n + 1) * sizeof *more);
    char *copy = more == NULL ? NULL : strdup(name);
    if (more != NULL)
        *names = more;
    if (copy != NULL)
        more[(*n)++] = copy;
    return copy != NULL;
}

/* The folders whose names are host names, sorted; the array and its strings are the caller's. Hidden
 * ones are half done (sys/tls_make.c), or somebody's backups. */
static char **list_names(const char *folder, size_t *n)
{
    char **names = NULL;
    DIR *d = opendir(folder);
    *n = 0;
    for (struct dirent *e; d != NULL && *n < TLS_PARCEL_PAIRS_MAX && (e = readdir(d)) != NULL;)
        if (e->d_type != DT_REG && settings_host_valid(str_c(e->d_name)) &&
            !add(&names, n, e->d_name))
            break;
    if (d != NULL)
        closedir(d);
    if (*n > 0)
        qsort(names, *n, sizeof *names, by_text);
    return names;
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

enum rc tls_files_make(const struct settings *s, bool *made, struct err *err)
{
    char folder[TLS_FILES_PATH];
    size_t n;
    *made = false;
    if (s->n_certificates > 0)
        return RC_OK;
    tls_files_folder(s, folder);
    char **names = list_names(folder, &n);
    free_names(names, n);
    return n > 0 ? RC_OK : tls_make_store(folder, s->hostname, made, err);
}

/* ---- each ---- */

static bool path_of(char out[static TLS_FILES_PATH], const char *folder, const char *name,
                    const char *file)
{
    int n = snprintf(out, TLS_FILES_PATH, "%s/%s/%s", folder, name, file);
    return n > 0 && n < TLS_FILES_PATH;
}

/* Ours, or as certbot names it, so that tls_dir can be its folder "live". */
static bool in_folder(const char *folder, const char *name, struct tls_files *f)
{
    bool fits = path_of(f->chain, folder, name, "fullchain.pem");
    bool certbot = fits && access(f->chain, F_OK) == 0;
    snprintf(f->name, sizeof f->name, "%s", name);
    return fits && (certbot || path_of(f->chain, folder, name, "cert.pem")) &&
           path_of(f->key, folder, name, certbot ? "privkey.pem" : "key.pem");
}

void tls_files_each(const struct settings *s, tls_files_one *one, void *user)
{
    struct tls_files f;
    char folder[TLS_FILES_PATH];
    size_t n;
    for (size_t i = 0; i < s->n_certificates; i++) {
        const struct settings_certificate *b = &s->certificates[i];
        str_toc(b->name, f.name, sizeof f.name);
        str_toc(b->chain, f.chain, sizeof f.chain);
        str_toc(b->key, f.key, sizeof f.key);
        one(user, &f);
    }
    tls_files_folder(s, folder);
    char **names = list_names(folder, &n);
    for (size_t i = 0; i < n; i++)
        if (in_folder(folder, names[i], &f))
            one(user, &f);
    free_names(names, n);
}

/* ---- reading ---- */

void tls_files_wipe(struct buf *b)
{
    if (b->ptr != NULL)
        explicit_bzero(b->ptr, b->cap);
    buf_free(b);
}

/* Room for all of it is made at once. */
enum rc tls_files_read(const char *path, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        int why = errno;
        if (fd >= 0)
            close(fd);
        return err_set(err, RC_PERM, "", "%s: %s", path, strerror(why));
    }
    bool fits = S_ISREG(st.st_mode) && (uint64_t)st.st_size <= out->max;
    char *to = fits && st.st_size > 0 ? buf_room(out, (size_t)st.st_size) : NULL;
    ssize_t n = to == NULL ? 0 : read(fd, to, (size_t)st.st_size);
    out->len += n > 0 ? (size_t)n : 0;
    close(fd);
    if (!fits)
        return err_set(err, RC_PERM, "", "%s: not a file of at most %zu bytes", path, out->max);
    return n >= 0 ? RC_OK : err_set(err, RC_PERM, "", "%s: cannot be read", path);
}

/* In a vault that is thrown away. */
static enum rc check_pair(const struct tls_files *f, const struct buf *chain, const struct buf *key,
                          struct err *err)
{
    struct tls_vault *v = tls_vault_new();
    const struct tls_pair p = {str_c(f->name), buf_str(chain), buf_str(key)};
    enum rc rc =
        v != NULL ? tls_vault_set_pairs(v, &p, 1, err) : err_set(err, RC_TEMP, "", "out of memory");
    tls_vault_free(v);
    return rc;
}

enum rc tls_files_pair(const struct tls_files *f, struct buf *chain, struct buf *key,
                       struct err *err)
{
    enum rc rc = tls_files_read(f->chain, chain, err);
    rc = rc == RC_OK ? tls_files_read(f->key, key, err) : rc;
    return rc == RC_OK ? check_pair(f, chain, key, err) : rc;
}

/* ---- dates ---- */

enum tls_files_state tls_files_state(const struct tls_dates *d, int64_t now_ms)
{
    int64_t soon = (d->until_ms - d->from_ms) / 4;
    if (now_ms >= d->until_ms)
        return TLS_FILES_EXPIRED;
    if (now_ms < d->from_ms)
        return TLS_FILES_NOT_YET;
    return d->until_ms - now_ms < (soon < TLS_FILES_SOON_MS ? soon : TLS_FILES_SOON_MS)
               ? TLS_FILES_ENDS_SOON
               : TLS_FILES_GOOD;
}

char *tls_files_day(int64_t ms, char out[static TLS_FILES_DAY])
{
    time_t at = (time_t)(ms / 1000);
    struct tm tm;
    if (gmtime_r(&at, &tm) == NULL || strftime(out, TLS_FILES_DAY, "%Y-%m-%d", &tm) == 0)
        snprintf(out, TLS_FILES_DAY, "?");
    return out;
}
