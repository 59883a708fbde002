/* mask.c: see mask.h. An address is an adjective, a noun and two digits, as in quiet.river42: easy
 * to say on the telephone, hard to guess by trying (two to the 18th, and mx counts errors), and
 * without letters or digits that are taken for each other. */
#include "post/mask.h"

#include "base/cursor.h"
#include "post/directory_edit.h"

enum {
    ROW_VERSION = 1,
    TRIES = 16, /* addresses tried until one is free */
    LIST_ROWS = 256,
    LIST_ARENA = 1 << 20,
};

static const char adjectives[64][8] = {
    "amber",  "apt",    "bold",   "brave",  "brief", "bright", "calm",  "clear", "cool",  "crisp",
    "curly",  "dapper", "deep",   "eager",  "early", "easy",   "fair",  "fancy", "fast",  "fine",
    "fond",   "free",   "fresh",  "gentle", "glad",  "golden", "good",  "grand", "great", "green",
    "happy",  "hardy",  "keen",   "kind",   "large", "late",   "merry", "mild",  "neat",  "new",
    "nimble", "noble",  "polite", "proud",  "pure",  "quick",  "quiet", "rapid", "rare",  "ready",
    "rich",   "round",  "royal",  "sharp",  "shy",   "smart",  "snowy", "soft",  "solid", "steady",
    "sunny",  "swift",  "warm",   "wise"};
static const char nouns[64][8] = {
    "acorn",  "apple",   "badger",  "beach",  "berry",   "birch",  "bridge",  "brook",
    "cabin",  "candle",  "canyon",  "castle", "cedar",   "cherry", "cloud",   "clover",
    "coral",  "creek",   "desert",  "eagle",  "ember",   "falcon", "feather", "fern",
    "forest", "fox",     "garden",  "harbor", "hazel",   "heron",  "hill",    "island",
    "kettle", "lake",    "lantern", "maple",  "meadow",  "moon",   "oak",     "ocean",
    "orchid", "otter",   "owl",     "pebble", "pepper",  "pine",   "planet",  "pond",
    "rabbit", "raven",   "river",   "robin",  "sparrow", "spruce", "stone",   "summit",
    "sunset", "thistle", "tiger",   "tulip",  "valley",  "walnut", "willow",  "winter"};

/* Digits that are not taken for letters: no 0 and 1. */
static str_t name_make(struct env *env, struct arena *a)
{
    uint8_t r[4];
    env->random(env, r, sizeof r);
    return arena_fmt(a, "%s.%s%c%c", adjectives[r[0] & 63], nouns[r[1] & 63], '2' + r[2] % 8,
                     '2' + r[3] % 8);
}

struct made {
    struct env *env;
    str_t note;
    struct arena *arena; /* of who asked, for what was made */
    str_t address;
};

/* The account that `name` is; its id. */
static enum rc account_of(struct edit *e, uint64_t *id)
{
    struct directory_entry there;
    str_t key, value;
    enum rc rc = edit_address_read(e, &there, &key, &value);
    *id = there.account;
    if (rc != RC_OK)
        return rc;
    if (there.kind == DIRECTORY_LIST || there.account == 0)
        return edit_missing(e);
    store_require_equal(&e->batch, key, value);
    return RC_OK;
}

static enum rc free_name(struct edit *e, struct env *env, str_t *key, str_t *text)
{
    for (int i = 0; i < TRIES; i++) {
        bool present;
        str_t value, local = name_make(env, &e->arena);
        *key = directory_key_address(e->address.domain, local, &e->arena);
        *text = directory_address_text(local, e->address.domain, &e->arena);
        enum rc rc = edit_read(e, *key, &present, &value);
        if (rc != RC_OK || !present)
            return rc;
    }
    return err_set(e->err, RC_TEMP, "", "no free address was found; try again");
}

static enum rc build_add(struct edit *e)
{
    struct made *m = e->more;
    struct store_page page;
    str_t key, text;
    uint64_t id;
    enum rc rc = account_of(e, &id);
    if (rc == RC_OK)
        rc = edit_scan_keys(e, directory_key_mask(id, STR_NONE, &e->arena), MASKS_MAX, &page);
    if (rc == RC_OK && page.n == MASKS_MAX)
        return err_set(e->err, RC_PERM, "",
                       STR_FMT " has %d masked addresses already; remove some: postrider mask list",
                       STR_ARG(e->address.text), MASKS_MAX);
    if (rc == RC_OK)
        rc = free_name(e, m->env, &key, &text);
    if (rc != RC_OK)
        return rc;
    m->address = arena_dup(m->arena, text);
    directory_entry_encode(&(struct directory_entry){.kind = DIRECTORY_ALIAS,
                                                     .ntargets = 1,
                                                     .targets = &e->address.text},
                           &e->value);
    store_put_new(&e->batch, key, edit_value(e));
    buf_u8(&e->value, ROW_VERSION);
    buf_u64(&e->value, (uint64_t)m->env->wall_ms(m->env));
    buf_str16(&e->value, m->note);
    store_put_new(&e->batch, directory_key_mask(id, text, &e->arena), edit_value(e));
    edit_domain_touch(e);
    return RC_OK;
}

static bool note_good(str_t note)
{
    for (size_t i = 0; i < note.len; i++)
        if ((unsigned char)note.ptr[i] < ' ' || note.ptr[i] == 0x7f)
            return false;
    return note.len <= MASK_NOTE_MAX;
}

enum rc mask_add(struct env *env, str_t account, str_t note, struct arena *a, str_t *out,
                 struct err *err)
{
    struct made made = {.env = env, .note = note, .arena = a};
    struct edit e = {.s = env->store, .err = err, .what = "account", .name = account, .more = &made};
    *out = STR_NONE;
    if (!note_good(note))
        return err_set(err, RC_PERM, "", "a note is one line of at most %d bytes", MASK_NOTE_MAX);
    enum rc rc = edit_run(&e, build_add);
    if (rc == RC_OK)
        *out = made.address;
    return rc;
}

/* Found by whom the alias leads to. */
enum rc edit_mask_row(struct edit *e, const struct directory_entry *alias, str_t *key)
{
    struct directory_entry owner;
    struct directory_address target;
    bool present;
    str_t value;
    *key = STR_NONE;
    if (alias->kind != DIRECTORY_ALIAS || alias->account != 0 || alias->ntargets != 1 ||
        !directory_address_parse(alias->targets[0], &e->arena, &target))
        return RC_OK;
    enum rc rc = edit_read(e, directory_key_address(target.domain, target.local, &e->arena),
                           &present, &value);
    if (rc == RC_OK && present && directory_entry_decode(value, &e->arena, &owner) &&
        owner.kind != DIRECTORY_LIST && owner.account != 0)
        *key = directory_key_mask(owner.account, e->address.text, &e->arena);
    return rc;
}

static enum rc build_remove(struct edit *e)
{
    struct directory_entry there;
    str_t key, value, row, ignored;
    bool present = false;
    enum rc rc = edit_address_read(e, &there, &key, &value);
    if (rc == RC_OK)
        rc = edit_mask_row(e, &there, &row);
    if (rc == RC_OK && row.len > 0)
        rc = edit_read(e, row, &present, &ignored);
    if (rc == RC_OK && !present)
        return edit_missing(e);
    if (rc == RC_OK)
        rc = edit_not_catchall(e);
    if (rc != RC_OK)
        return rc;
    store_require_equal(&e->batch, key, value);
    store_delete(&e->batch, key);
    store_delete(&e->batch, row);
    edit_domain_touch(e);
    return RC_OK;
}

enum rc mask_remove(struct store *s, str_t address, struct err *err)
{
    struct edit e = {.s = s, .err = err, .what = "mask", .name = address};
    return edit_run(&e, build_remove);
}

/* ---- listing ---- */

static bool row_decode(const struct store_row *r, struct mask *out)
{
    str_t key = str_from(r->key, DIRECTORY_PREFIX_MASK.len);
    struct cursor c = cursor_of(r->value);
    bool good = !r->damaged && cursor_u8(&c) == ROW_VERSION &&
                directory_u64_decode(str_first(key, 8), &out->account);
    out->address = str_from(key, 8);
    out->made_ms = (int64_t)cursor_u64(&c);
    out->note = cursor_str16(&c);
    return good && cursor_end(&c);
}

enum store_rc mask_list(struct store *s, uint64_t account,
                        bool (*row)(void *user, const struct mask *m), void *user)
{
    struct arena names, a;
    char last[STORE_KEY_MAX + 1];
    arena_init(&names, LIST_ARENA);
    arena_init(&a, LIST_ARENA);
    str_t prefix =
        account != 0 ? directory_key_mask(account, STR_NONE, &names) : DIRECTORY_PREFIX_MASK;
    struct store_scan q = {.part = DIRECTORY_PART,
                           .from = prefix,
                           .end = store_prefix_end(&names, prefix),
                           .rows_max = LIST_ROWS};
    struct store_page page = {.more = true};
    enum store_rc rc = names.failed ? STORE_LIMIT : STORE_OK, damaged = STORE_OK;
    bool go = true;
    while (rc == STORE_OK && page.more && go) {
        arena_reset(&a);
        rc = store_scan(s, &q, &a, &page);
        for (size_t i = 0; rc == STORE_OK && i < page.n && go; i++) {
            struct mask m;
            if (row_decode(&page.rows[i], &m))
                go = row(user, &m);
            else
                damaged = STORE_DAMAGED; /* the others are still shown */
        }
        if (rc == STORE_OK && page.n > 0) {
            str_t k = page.rows[page.n - 1].key;
            memcpy(last, k.ptr, k.len);
            last[k.len] = '\0';
            q.from = str_of(last, k.len + 1);
        }
    }
    arena_free(&a);
    arena_free(&names);
    return rc != STORE_OK ? rc : damaged;
}
