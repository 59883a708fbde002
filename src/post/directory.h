/* directory.h: domains, accounts, aliases: who gets mail here. In PART_DIRECTORY; changes are seen
 * at once.
 *
 *     dom/DOMAIN             a domain of ours: flags, catch-all target or empty
 *     addr/DOMAIN/LOCAL      an address (local part lower-cased): an account id, or alias targets
 *                            (several addresses), or an account id and where its mail goes on to,
 *                            or a list's id
 *     acct/ID                an account: its state and name (the login, an address)
 *     login/ADDRESS          account id (big-endian u64) by lower-cased login name: core
 *                            authenticates by it
 *     next/account           the last account id given; ids are never used again
 *     first/domain           the domain that was made first: <postmaster> without a domain belongs
 *                            there
 *     gone/ID                a removed account whose mail and password are still to be removed
 *     list/ID/DOMAIN/LOCAL   a member of a list (mailing_list.h), by its domain; no value
 *     next/list              the last list id given
 *     mask/ID/ADDRESS        a masked address of that account: when it was made, and a note (mask.h)
 *     tab/NAME/KEY           a row of one of the operator's tables (table.h)
 *
 * Lookup of local@domain: the exact address, then without +detail, then the domain's catch-all
 * (given as an alias with one target); <postmaster> and postmaster@ any of our domains always exist
 * (RFC 5321 4.5.1): without an own row they go to the first account made. Local parts compare
 * without case. A local part with several separators is cut where the longest name before one of
 * them exists. Domains are kept in lower-case A-labels and may be given in U-labels everywhere
 * here (mail/domain.h). Password hashes are not here but in PART_SECRET, which core alone reads. */
#ifndef POST_DIRECTORY_H
#define POST_DIRECTORY_H

#include "base/env.h"
#include "store/store.h"

#define DIRECTORY_PART        ((part_t){PART_DIRECTORY, 0})
#define DIRECTORY_TARGETS_MAX 500 /* of one alias */

enum directory_kind {
    DIRECTORY_NONE,
    DIRECTORY_ACCOUNT,
    DIRECTORY_ALIAS,
    DIRECTORY_NOT_OURS,
    DIRECTORY_LIST,
};

struct directory_entry {
    enum directory_kind kind; /* NONE: the domain is ours, the address does not exist */
    /* DIRECTORY_ACCOUNT: its id. DIRECTORY_LIST: the list's. DIRECTORY_ALIAS: of an account whose
     * mail goes on to the targets, its id (`keep`: a copy stays in its mailbox); of others 0. */
    uint64_t account;
    bool keep;
    str_t detail;    /* what followed the separator */
    size_t ntargets; /* DIRECTORY_ALIAS */
    str_t *targets;  /* local@domain */
};

/* One lookup, one round trip. `domain` empty: our first domain (for <postmaster>). */
enum store_rc directory_lookup(struct store *s, str_t local, str_t domain, char separator,
                               struct arena *a, struct directory_entry *out);
enum store_rc directory_domain_exists(struct store *s, str_t domain, struct arena *a, bool *yes);
/* The domain that was made first, of those that are left; empty: there is none. */
enum store_rc directory_first_domain(struct store *s, struct arena *a, str_t *domain);

/* A cache in front of the two, for mx: valid while the board's directory generation stays the same.
 * Thread-safe. */
struct directory_cache;
struct directory_cache *directory_cache_new(struct env *env, char separator, size_t max_entries);
void directory_cache_free(struct directory_cache *c);
/* As directory_lookup, but `detail` is always empty. */
enum store_rc directory_cache_lookup(struct directory_cache *c, str_t local, str_t domain,
                                     struct arena *a, struct directory_entry *out);
/* As directory_lookup but only the kind. */
enum store_rc directory_cache_kind(struct directory_cache *c, str_t local, str_t domain,
                                   enum directory_kind *out);

/* Changes, for the command line. Each is one durable batch; *err says what is wrong and what to
 * do. */
enum rc directory_domain_add(struct store *s, str_t domain, struct err *err);
/* only when it has no addresses */
enum rc directory_domain_remove(struct store *s, str_t domain, struct err *err);
/* empty: none */
enum rc directory_domain_catchall(struct store *s, str_t domain, str_t target, struct err *err);
/* makes its address too */
enum rc directory_account_add(struct store *s, str_t address, uint64_t *id, struct err *err);
/* The address and the account row. What was its own is then to be removed, and is listed until it
 * is: see directory_gone_next. */
enum rc directory_account_remove(struct store *s, str_t address, struct err *err);
/* Of an account: its mail goes on to the targets, and to its own mailbox only if its own address is
 * among them. */
enum rc directory_alias_set(struct store *s, str_t address, const str_t *targets, size_t n,
                            struct err *err);
/* of an account: its mail stays here again */
enum rc directory_alias_remove(struct store *s, str_t address, struct err *err);

/* The account of exactly this address, as a person writes it; 0: there is none. */
enum store_rc directory_account_find(struct store *s, str_t address, uint64_t *id);
/* Walks through all accounts: the next id above `after`; 0: no more. */
enum store_rc directory_account_next(struct store *s, uint64_t after, uint64_t *id);
/* A removed account whose mail (mailbox_purge) and password are still there; 0: none. When both are
 * gone, forget it. So a removal that was interrupted anywhere is found and done again. */
enum store_rc directory_gone_next(struct store *s, uint64_t *id);
enum store_rc directory_gone_forget(struct store *s, uint64_t id);

struct directory_row { /* one row of a listing */
    enum {
        DIRECTORY_ROW_DOMAIN,
        DIRECTORY_ROW_ACCOUNT,
        DIRECTORY_ROW_ALIAS,
        DIRECTORY_ROW_LIST
    } kind;
    str_t name; /* domain, or local@domain */
    str_t catchall;
    uint64_t account; /* DIRECTORY_ROW_ACCOUNT; DIRECTORY_ROW_LIST: the list's id */
    bool keep;        /* DIRECTORY_ROW_ALIAS: of an account, which keeps a copy */
    size_t ntargets;
    str_t *targets;
};
/* Calls `row` for each in order; `what` as in kind. */
enum store_rc directory_list(struct store *s, int what,
                             bool (*row)(void *user, const struct directory_row *r), void *user);

#endif
