/* return_path.h: under which reverse-path mail leaves, and what an address of ours that was made so
 * stands for when mail comes back to it. Used by who puts mail into the queue and by who sends it on.
 *
 *     SRS (mail/srs.h)    what an alias sends on to another server, from somebody whose domain is not
 *                         ours: SRS0=…@our domain, so that SPF there looks at us
 *     BATV, if set        from a domain of ours: prvs=…=local@domain, so that bounces of mail we
 *                         never sent are told from others
 *
 * <> stays <>. The key for both is `hmac/key` in PART_SECRET, made by core at its first start and
 * read by who needs it; it never changes, so one who has it keeps it. Thread-safe. */
#ifndef POST_RETURN_PATH_H
#define POST_RETURN_PATH_H

#include <pthread.h>

#include "mail/srs.h"
#include "post/directory.h"

struct return_path {
    struct directory_cache *directory;
    bool srs, batv;
    str_t srs_domain; /* empty: that of the alias */
    pthread_mutex_t lock;
    bool known;
    struct srs_key key;
};
/* Everything is borrowed. */
void return_path_init(struct return_path *r, struct directory_cache *directory, bool srs, bool batv,
                      str_t srs_domain);
void return_path_free(struct return_path *r);

/* `env`: whose store may read the key. `forwarder`: the domain of ours whose alias sends it on;
 * empty: none does. *changed false: *out is `sender`. */
enum store_rc return_path_leaving(struct return_path *r, struct env *env, str_t sender,
                                  str_t forwarder, struct arena *a, str_t *out, bool *changed);

enum return_path_kind {
    RETURN_PATH_PLAIN,   /* an address like others */
    RETURN_PATH_FORWARD, /* SRS: *out is whom it stands for, local@domain */
    RETURN_PATH_TAGGED,  /* BATV: *out is the local part without the tag */
    RETURN_PATH_STALE,   /* BATV with a tag that is not ours, or too old; *out as above */
    RETURN_PATH_WRONG,   /* SRS that is not ours, or too old */
};
/* An address of a domain of ours, its local part unquoted. Settings do not matter: what was sent
 * before they were changed comes back as well. */
enum store_rc return_path_read(struct return_path *r, struct env *env, str_t local, str_t domain,
                               struct arena *a, enum return_path_kind *kind, str_t *out);

/* Makes the key if there is none. For core, and for tests. */
enum store_rc return_path_key_make(struct store *s, struct env *env);

#endif
