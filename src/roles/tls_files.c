/* tls_files.c: see tls_files.h. */
#include "roles/tls_files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "roles/settings_table.h"
#include "roles/tls_parcel.h"
#include "sys/tls_make.h"

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

/* Hidden ones are half done (sys/tls_make.c), or somebody's backups. */
char **tls_files_list(const char *folder, size_t *n)
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

void tls_files_free(char **names, size_t n)
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
    char **names = tls_files_list(folder, &n);
    tls_files_free(names, n);
    return n > 0 ? RC_OK : tls_make_store(folder, s->hostname, made, err);
}
