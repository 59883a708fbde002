/* curl_library.c: see curl_library.h. */
#include "roles/courier/curl_library.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"
/* 7.85: protocols by name; what is older is not supported by its authors either */
#define VERSION_MIN 0x075500

static struct curl_library library;
static _Atomic int loaded; /* `library` is filled, and stays as it is */

static const struct {
    const char *name;
    size_t offset;
} symbols[] = {
    {"curl_global_init", offsetof(struct curl_library, global_init)},
    {"curl_version_info", offsetof(struct curl_library, version_info)},
    {"curl_easy_init", offsetof(struct curl_library, easy_init)},
    {"curl_easy_setopt", offsetof(struct curl_library, easy_setopt)},
    {"curl_easy_perform", offsetof(struct curl_library, easy_perform)},
    {"curl_easy_getinfo", offsetof(struct curl_library, easy_getinfo)},
    {"curl_easy_cleanup", offsetof(struct curl_library, easy_cleanup)},
    {"curl_easy_strerror", offsetof(struct curl_library, easy_strerror)},
    {"curl_slist_append", offsetof(struct curl_library, slist_append)},
    {"curl_slist_free_all", offsetof(struct curl_library, slist_free_all)},
};

enum rc curl_library_open(struct err *err)
{
    if (atomic_load(&loaded))
        return RC_OK;
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        return err_set(err, RC_PERM, "", "%s", dlerror());
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        void *at = dlsym(handle, symbols[i].name);
        if (at == NULL)
            return err_set(err, RC_PERM, "", LIBRARY " has no %s", symbols[i].name);
        memcpy((char *)&library + symbols[i].offset, &at, sizeof at);
    }
    const curl_version_info_data *v = library.version_info(CURLVERSION_NOW);
    if (v->version_num < VERSION_MIN || v->ssl_version == NULL ||
        strncmp(v->ssl_version, "OpenSSL/", 8) != 0)
        return err_set(err, RC_PERM, "", LIBRARY " is %s with %s; it must be 7.85 with OpenSSL",
                       v->version, v->ssl_version != NULL ? v->ssl_version : "no TLS");
    if (library.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, RC_TEMP, "", LIBRARY " cannot be set up");
    atomic_store(&loaded, 1);
    return RC_OK;
}

const struct curl_library *curl_library(void)
{
    return atomic_load(&loaded) ? &library : NULL;
}
