/* curl_library.h: libcurl, loaded only where it is used: by courier, and only if the settings have
 * an OAuth endpoint. It brings thirty other libraries along, which no other role is to have in its
 * memory, nor each start of the command to wait for. */
#ifndef ROLES_COURIER_CURL_LIBRARY_H
#define ROLES_COURIER_CURL_LIBRARY_H

#include <curl/curl.h>

#include "base/err.h"

struct curl_library {
    CURLcode (*global_init)(long flags);
    curl_version_info_data *(*version_info)(CURLversion age);
    CURL *(*easy_init)(void);
    CURLcode (*easy_setopt)(CURL *c, CURLoption option, ...);
    CURLcode (*easy_perform)(CURL *c);
    CURLcode (*easy_getinfo)(CURL *c, CURLINFO what, ...);
    void (*easy_cleanup)(CURL *c);
    const char *(*easy_strerror)(CURLcode code);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
};

/* Loads it and sets it up: before the sandbox is entered, and before there are threads. Again: does
 * nothing. RC_PERM and *err: it is not there, or not made with OpenSSL. */
enum rc curl_library_open(struct err *err);
/* NULL: curl_library_open was not called, or failed. */
const struct curl_library *curl_library(void);

#endif
