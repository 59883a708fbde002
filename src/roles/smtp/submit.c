/* submit.c: as whom a person may send. RFC 6409 6.1: a submission server may refuse senders that are
 * not the user's; we do, in MAIL FROM and in From and Sender of the header, so that nobody here can
 * write in another's name.
 *
 * An address is theirs if it is the account's own, in any form with a detail (wherever its mail goes
 * on to), or if mail to it comes to them and to nobody else: an alias (of an alias …) with them as
 * its only target; or if it, or its domain, was granted to them (TABLE_GRANT). */
#include "mail/domain.h"
#include "roles/smtp/smtp_in.h"

/* an alias of an alias …: as deep as expansion goes would be slow, and nobody has that */
enum { ALIAS_DEPTH = 5 };

/* local@domain as the directory wants it: the local part without quotes. */
static bool split(str_t address, struct arena *a, struct smtp_path *out)
{
    return smtp_address_parse(address, a, out) == SMTP_PATH_OK && out->kind == SMTP_DOMAIN_NAME;
}

static enum store_rc leads_to(struct smtp_session *s, str_t address, struct arena *a, bool *theirs)
{
    struct directory_entry e = {0};
    struct smtp_path p;
    *theirs = false;
    for (int depth = 0; depth < ALIAS_DEPTH; depth++) {
        if (!split(address, a, &p))
            return a->failed ? STORE_LIMIT : STORE_OK;
        enum store_rc rc = directory_cache_lookup(s->common->directory, p.local, p.domain, a, &e);
        if (rc != STORE_OK)
            return rc;
        /* an account's own address, also where its mail goes on to others */
        bool account = e.kind == DIRECTORY_ACCOUNT || (e.kind == DIRECTORY_ALIAS && e.account != 0);
        *theirs = account && e.account == s->login->is.account;
        if (account || e.kind != DIRECTORY_ALIAS || e.ntargets != 1)
            return STORE_OK;
        address = e.targets[0];
    }
    return STORE_OK;
}

static enum store_rc granted(struct smtp_session *s, str_t address, struct arena *a, bool *theirs)
{
    bool found;
    str_t rest, word;
    enum store_rc rc = table_find(s->common->tables, TABLE_GRANT, address, a, &found, &rest, NULL);
    *theirs = false;
    if (rc != STORE_OK || !found)
        return rc;
    while (rest.len > 0 && !*theirs) {
        if (!str_cut(&rest, ' ', &word)) {
            word = rest;
            rest = STR_NONE;
        }
        *theirs = str_ieq(login_stored_name(word, a), str_c(s->login->is.address));
    }
    return STORE_OK;
}

enum store_rc smtp_in_is_theirs(struct smtp_session *s, str_t address, struct arena *a,
                                bool *theirs)
{
    enum store_rc rc = leads_to(s, address, a, theirs);
    return rc == STORE_OK && !*theirs ? granted(s, address, a, theirs) : rc;
}

/* ---- the header ---- */

enum { FROM_ARENA = 512 * 1024 }; /* an alias with all its targets */

static const struct smtp_given_up not_theirs = {
    554, "5.7.1",
    "From or Sender is an address of somebody else: use one of your own, or ask your postmaster to "
    "grant it to you",
    "From is not theirs"};
static const struct smtp_given_up unclear = {
    554, "5.6.0", "From or Sender cannot be understood, and must be to be checked",
    "From cannot be understood"};
static const struct smtp_given_up nobody = {
    554, "5.6.0", "there must be exactly one From field, with an address", "no From, or several"};
static const struct smtp_given_up later = {451, "4.3.0", "cannot check From now, try later",
                                           "cannot look From up"};

static const struct smtp_given_up *check_one(struct smtp_session *s, str_t address)
{
    struct arena a;
    bool theirs;
    arena_init(&a, FROM_ARENA);
    enum store_rc rc = smtp_in_is_theirs(s, address, &a, &theirs);
    arena_free(&a);
    return rc != STORE_OK ? &later : theirs ? NULL : &not_theirs;
}

const struct smtp_given_up *smtp_in_check_from(struct smtp_session *s)
{
    const struct mail_edit_seen *seen = mail_edit_seen(s->t->edit);
    if (seen->from_unclear)
        return &unclear;
    if (seen->from_fields != 1 || seen->n_from == 0) /* RFC 5322 3.6 */
        return &nobody;
    /* As a rule there is one, and it is the sender of the envelope, which was looked up. */
    for (size_t i = 0; i < seen->n_from; i++) {
        if (str_eq(seen->from[i], s->t->reverse_path))
            continue;
        const struct smtp_given_up *why = check_one(s, seen->from[i]);
        if (why != NULL)
            return why;
    }
    return NULL;
}
