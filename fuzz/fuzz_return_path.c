/* fuzz_return_path.c: senders under which mail leaves, and what comes back to them. The input is an
 * address. As a stranger's it goes through a forward of ours and must come back as what it was; as a
 * recipient of ours it is read, whatever it is. */
#include <stdlib.h>

#include "../tests/fake_env.h"
#include "post/directory_row.h"
#include "post/mailing_list.h"
#include "post/return_path.h"
#include "store/engines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_env fe;
static struct directory_cache *directory;
static struct return_path paths;

static void world(void)
{
    struct err err;
    if (directory != NULL)
        return;
    fake_env_init(&fe, 1);
    fe.env.store = store_memory_new();
    directory = directory_cache_new(&fe.env, '+', 64);
    must(directory_domain_add(fe.env.store, STR("us.test"), &err) == RC_OK);
    must(return_path_key_make(fe.env.store, &fe.env) == STORE_OK);
    return_path_init(&paths, directory, true, true, STR_NONE);
}

static enum return_path_kind back(str_t address, struct arena *a, str_t *out)
{
    enum return_path_kind kind = RETURN_PATH_PLAIN;
    size_t at;
    must(str_rfind(address, '@', &at));
    must(return_path_read(&paths, &fe.env, directory_unquoted(str_first(address, at), a),
                          str_from(address, at + 1), a, &kind, out) == STORE_OK);
    return kind;
}

static void there_and_back(str_t in, struct arena *a)
{
    struct directory_address given;
    str_t out, again, local;
    bool changed;
    size_t at;
    if (!directory_address_parse(in, a, &given) ||
        return_path_leaving(&paths, &fe.env, given.text, STR("us.test"), a, &out, &changed) !=
            STORE_OK ||
        !changed)
        return;
    must(str_ends(out, STR("us.test")) && str_rfind(out, '@', &at));
    switch (back(out, a, &again)) {
    case RETURN_PATH_FORWARD:
        must(str_eq(again, given.text) || str_istarts(given.local, STR("SRS")));
        break;
    case RETURN_PATH_TAGGED: must(str_eq(again, given.local)); break;
    case RETURN_PATH_PLAIN:
    case RETURN_PATH_STALE:
    case RETURN_PATH_WRONG: must(false);
    }
    local = directory_unquoted(str_first(out, at), a);
    must(local.len <= 254);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    enum return_path_kind kind;
    str_t in = str_of((const char *)data, size), out;
    world();
    arena_init(&a, 4 << 20);
    there_and_back(in, &a);
    enum store_rc rc = return_path_read(&paths, &fe.env, in, STR("us.test"), &a, &kind, &out);
    must(rc == STORE_OK && kind != RETURN_PATH_FORWARD); /* nobody guesses a hash */
    const struct mailing_list_rules rules = {.is = true, .verp = true, .owner = STR("o@us.test")};
    str_t sender = mailing_list_sender(&rules, in, '+', &a);
    must(sender.len > 0 && sender.len <= 254);
    arena_free(&a);
    return 0;
}
