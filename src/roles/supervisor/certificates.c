/* certificates.c: the certificates' files: read, held against their keys, handed to the roles that
 * serve TLS, and looked at again every few seconds.
 *
 * A file counts as changed when what stat(2) says of it does, links followed, so that certbot's
 * exchange of links is seen. It is read when two looks in a row saw the same: whoever writes a
 * certificate and then its key is not caught in between. What is broken is logged once, and what was
 * good before stays in use. One that is missing at the start is taken up like any other when it comes.
 * One that has expired or soon will is told of when it is read and once a day. Texts with keys are
 * wiped before they are freed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "roles/control.h"
#include "roles/log.h"
#include "roles/sealed.h"
#include "roles/supervisor/supervisor_internal.h"
#include "roles/tls_files.h"
#include "roles/tls_parcel.h"
#include "sys/clock.h"

#define LOOK_MS 3000
#define WARN_MS (24 * 3600 * 1000)

/* What stat says of one or two files; equal if nothing changed. */
struct look {
    struct {
        dev_t device;
        ino_t inode;
        off_t size;
        struct timespec changed, status;
        int error;
    } files[2];
};

struct certificate {
    struct certificate *next;
    struct tls_files files;
    struct look seen, tried;
    struct buf chain, key;  /* empty: never good yet */
    struct tls_dates dates; /* of the chain */
    bool wanted;            /* found in this look */
};

struct certificates {
    struct certificate *first; /* in the order of handing out */
    int64_t warn_ms;           /* when those that end soon are told again */
    int pairs_fd, authorities_fd;
    char authorities_path[TLS_FILES_PATH];
    struct look authorities_seen, authorities_tried;
};

/* ---- looking ---- */

static void look_at(struct look *l, size_t i, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        l->files[i].error = errno;
        return;
    }
    l->files[i].device = st.st_dev;
    l->files[i].inode = st.st_ino;
    l->files[i].size = st.st_size;
    l->files[i].changed = st.st_mtim;
    l->files[i].status = st.st_ctim;
}

/* false: nothing is to be read (again). */
static bool settled(struct look *seen, struct look *tried, const struct look *now, bool at_once)
{
    bool same = memcmp(seen, now, sizeof *now) == 0;
    *seen = *now;
    if ((!same && !at_once) || memcmp(tried, now, sizeof *now) == 0)
        return false;
    *tried = *now;
    return true;
}

static struct certificate *find(struct certificates *c, const char *name)
{
    for (struct certificate *one = c->first; one != NULL; one = one->next)
        if (strcmp(one->files.name, name) == 0)
            return one;
    return NULL;
}

struct wants {
    struct certificates *c;
    struct certificate **last;
};

/* One that the settings or a folder's name speak of. A block goes before a folder of its name. */
static void want(void *user, const struct tls_files *f)
{
    struct wants *w = user;
    struct certificate *one = find(w->c, f->name);
    if (one != NULL && one->wanted)
        return;
    if (one == NULL) {
        one = calloc(1, sizeof *one);
        if (one == NULL)
            return;
        buf_init(&one->chain, TLS_CHAIN_MAX);
        buf_init(&one->key, TLS_KEY_MAX);
        *w->last = one;
        w->last = &one->next;
    }
    one->wanted = true;
    one->files = *f;
}

static void want_all(const struct supervisor *s, struct certificates *c)
{
    struct wants w = {.c = c, .last = &c->first};
    for (; *w.last != NULL; w.last = &(*w.last)->next)
        (*w.last)->wanted = false;
    tls_files_each(s->set, want, &w);
}

/* ---- reading ---- */

/* Says if it is of no use to who looks at it, or soon will be. */
static void tell_dates(const struct certificate *one, int64_t now_ms)
{
    static const char *const events[] = {[TLS_FILES_ENDS_SOON] = "certificate-ends-soon",
                                         [TLS_FILES_EXPIRED] = "certificate-expired",
                                         [TLS_FILES_NOT_YET] = "certificate-not-yet-valid"};
    enum tls_files_state state = tls_files_state(&one->dates, now_ms);
    char from[TLS_FILES_DAY], until[TLS_FILES_DAY];
    if (state == TLS_FILES_GOOD)
        return;
    log_event("supervisor", STR_NONE, events[state], log_cstr("name", one->files.name),
              log_cstr("file", one->files.chain),
              log_cstr("from", tls_files_day(one->dates.from_ms, from)),
              log_cstr("until", tls_files_day(one->dates.until_ms, until)),
              log_cstr("hint", state == TLS_FILES_NOT_YET
                                   ? "is this machine's clock right?"
                                   : "renew it: the new files are taken up without a restart"),
              log_end);
}

void certificates_warn(const struct supervisor *s, int64_t now_ms)
{
    for (const struct certificate *one = s->certificates->first; one != NULL; one = one->next)
        if (one->chain.len > 0)
            tell_dates(one, now_ms);
}

static bool load(struct certificate *one)
{
    struct buf chain, key;
    struct tls_dates dates;
    struct err err = {0};
    buf_init(&chain, TLS_CHAIN_MAX);
    buf_init(&key, TLS_KEY_MAX);
    enum rc rc = tls_files_pair(&one->files, &chain, &key, &err);
    rc = rc == RC_OK ? tls_dates_read(buf_str(&chain), &dates, &err) : rc;
    if (rc != RC_OK) {
        log_event("supervisor", STR_NONE, "certificate-refused", log_cstr("name", one->files.name),
                  log_cstr("reason", err.text),
                  log_cstr("in_use", one->chain.len > 0 ? "the one before" : "none"), log_end);
        tls_files_wipe(&chain);
        tls_files_wipe(&key);
        return false;
    }
    tls_files_wipe(&one->chain);
    tls_files_wipe(&one->key);
    one->chain = chain;
    one->key = key;
    one->dates = dates;
    char day[TLS_FILES_DAY];
    log_event("supervisor", STR_NONE, "certificate", log_cstr("name", one->files.name),
              log_cstr("file", one->files.chain),
              log_cstr("until", tls_files_day(dates.until_ms, day)), log_end);
    tell_dates(one, sys_wall_ms());
    return true;
}

/* True: what is handed out changed. */
static bool look_at_pairs(struct certificates *c, bool at_once)
{
    bool changed = false;
    for (struct certificate **at = &c->first; *at != NULL;) {
        struct certificate *one = *at;
        if (!one->wanted) {
            *at = one->next;
            changed = changed || one->chain.len > 0;
            log_event("supervisor", STR_NONE, "certificate-gone", log_cstr("name", one->files.name),
                      log_end);
            tls_files_wipe(&one->chain);
            tls_files_wipe(&one->key);
            free(one);
            continue;
        }
        struct look now;
        memset(&now, 0, sizeof now); /* the gaps too: it is compared as bytes */
        look_at(&now, 0, one->files.chain);
        look_at(&now, 1, one->files.key);
        if (settled(&one->seen, &one->tried, &now, at_once))
            changed = load(one) || changed;
        at = &one->next;
    }
    return changed;
}

static enum rc check_authorities(const struct buf *b, struct err *err)
{
    struct tls_vault *v = tls_vault_new();
    enum rc rc = v != NULL ? tls_vault_set_authorities(v, buf_str(b), err)
                           : err_set(err, RC_TEMP, "", "out of memory");
    tls_vault_free(v);
    return rc;
}

static bool look_at_authorities(struct certificates *c, bool at_once)
{
    struct look now;
    struct buf b;
    struct err err = {0};
    memset(&now, 0, sizeof now);
    look_at(&now, 0, c->authorities_path);
    if (!settled(&c->authorities_seen, &c->authorities_tried, &now, at_once))
        return false;
    buf_init(&b, TLS_AUTHORITIES_MAX);
    enum rc rc = tls_files_read(c->authorities_path, &b, &err);
    rc = rc == RC_OK ? check_authorities(&b, &err) : rc;
    int fd = rc == RC_OK ? sealed_new("authorities", buf_str(&b)) : -1;
    buf_free(&b);
    if (fd < 0) {
        log_event("supervisor", STR_NONE, "authorities-refused",
                  log_cstr("reason", rc != RC_OK ? err.text : strerror(errno)),
                  log_cstr("in_use", c->authorities_fd >= 0 ? "those before" : "none"), log_end);
        return false;
    }
    if (c->authorities_fd >= 0)
        close(c->authorities_fd);
    c->authorities_fd = fd;
    return true;
}

/* ---- handing out ---- */

static bool add_pair(struct buf *b, const struct certificate *one)
{
    const struct tls_pair p = {str_c(one->files.name), buf_str(&one->chain), buf_str(&one->key)};
    return one->chain.len == 0 || tls_parcel_add(b, &p);
}

/* The one of our own name first, for clients that name none. */
static bool pack(const struct supervisor *s, struct certificates *c)
{
    struct buf b;
    size_t size = 1;
    for (const struct certificate *one = c->first; one != NULL; one = one->next)
        size += one->chain.len + one->key.len + strlen(one->files.name) + 10;
    buf_init(&b, size);
    (void)buf_room(&b, size); /* so that no copy of a key is left behind by growing */
    tls_parcel_begin(&b);
    char own[256];
    const struct certificate *first = find(c, str_toc(s->set->hostname, own, sizeof own));
    if (first != NULL)
        (void)add_pair(&b, first);
    for (const struct certificate *one = c->first; one != NULL; one = one->next)
        if (one != first)
            (void)add_pair(&b, one);
    int fd = b.failed ? -1 : sealed_new("certificates", buf_str(&b));
    tls_files_wipe(&b);
    if (fd < 0)
        return false;
    if (c->pairs_fd >= 0)
        close(c->pairs_fd);
    c->pairs_fd = fd;
    return true;
}

static bool give(const struct supervisor *s, const struct child *ch, bool pairs, bool authorities)
{
    const struct certificates *c = s->certificates;
    bool good = true;
    if (pairs && (ch->row->tls & ROLE_TLS_PAIRS) && c->pairs_fd >= 0)
        good = control_send(ch->control, CONTROL_TLS_PAIRS, 0, c->pairs_fd);
    if (authorities && (ch->row->tls & ROLE_TLS_AUTHORITIES) && c->authorities_fd >= 0)
        good = control_send(ch->control, CONTROL_TLS_AUTHORITIES, 0, c->authorities_fd) && good;
    return good;
}

bool certificates_give(struct supervisor *s, struct child *c)
{
    return give(s, c, true, true);
}

void certificates_look(struct supervisor *s)
{
    struct certificates *c = s->certificates;
    if (sys_mono_ms() < s->certificates_due_ms)
        return;
    s->certificates_due_ms = sys_mono_ms() + LOOK_MS;
    if (sys_mono_ms() >= c->warn_ms) {
        c->warn_ms = sys_mono_ms() + WARN_MS;
        certificates_warn(s, sys_wall_ms());
    }
    want_all(s, c);
    bool pairs = look_at_pairs(c, false) && pack(s, c), authorities = look_at_authorities(c, false);
    if (!pairs && !authorities)
        return;
    for (struct child *ch = &s->children[ROLE_SUPERVISOR + 1]; ch < &s->children[ROLE_COUNT]; ch++)
        if (ch->control >= 0 && !give(s, ch, pairs, authorities))
            log_event("supervisor", STR_NONE, "certificates-not-passed",
                      log_cstr("role", ch->row->name), log_end);
}

/* ---- beginning and end ---- */

enum rc certificates_open(struct supervisor *s, struct err *err)
{
    struct certificates *c = calloc(1, sizeof *c);
    struct err why = {0};
    bool made = false;
    if (c == NULL)
        return err_set(err, RC_TEMP, "", "out of memory");
    s->certificates = c;
    c->pairs_fd = c->authorities_fd = -1;
    str_toc(s->set->tls_ca_file, c->authorities_path, sizeof c->authorities_path);
    /* Without one there is no TLS, but mail all the same: no reason not to start. */
    if (tls_files_make(s->set, &made, &why) != RC_OK)
        log_event("supervisor", STR_NONE, "certificate-not-made", log_cstr("reason", why.text),
                  log_end);
    if (made)
        log_event("supervisor", STR_NONE, "certificate-made", log_str("name", s->set->hostname),
                  log_cstr("signed_by", "itself"), log_end);
    c->warn_ms = sys_mono_ms() + WARN_MS; /* what is read now is told of now */
    want_all(s, c);
    (void)look_at_pairs(c, true);
    (void)look_at_authorities(c, true);
    s->certificates_due_ms = sys_mono_ms() + LOOK_MS;
    return pack(s, c)
               ? RC_OK
               : err_set(err, RC_TEMP, "", "cannot keep the certificates: %s", strerror(errno));
}

void certificates_close(struct supervisor *s)
{
    struct certificates *c = s->certificates;
    if (c == NULL)
        return;
    for (struct certificate *one = c->first, *next; one != NULL; one = next) {
        next = one->next;
        tls_files_wipe(&one->chain);
        tls_files_wipe(&one->key);
        free(one);
    }
    if (c->pairs_fd >= 0)
        close(c->pairs_fd);
    if (c->authorities_fd >= 0)
        close(c->authorities_fd);
    free(c);
    s->certificates = NULL;
}
