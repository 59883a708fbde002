/* cmd_mask.c: `postrider mask`: masked addresses (post/mask.h). */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "post/mask.h"

struct listing {
    struct cli *c;
    json_t *doc; /* NULL: text */
};

static bool show(void *user, const struct mask *m)
{
    struct listing *l = user;
    char when[32];
    if (l->doc != NULL) {
        json_t *o = json_object();
        json_object_set_new(o, "address", cli_json_str(m->address));
        json_object_set_new(o, "account", json_integer((json_int_t)m->account));
        json_object_set_new(o, "made_ms", json_integer((json_int_t)m->made_ms));
        json_object_set_new(o, "note", cli_json_str(m->note));
        json_array_append_new(l->doc, o);
        return true;
    }
    printf("%s  " STR_FMT "  ", cli_time(m->made_ms, when), STR_ARG(cli_safe(l->c, m->address)));
    printf(STR_FMT "\n", STR_ARG(cli_safe(l->c, m->note)));
    arena_reset(&l->c->scratch);
    return true;
}

static int list(struct cli *c, struct store *s, const char *account)
{
    struct listing l = {.c = c, .doc = c->json ? json_array() : NULL};
    uint64_t id = 0;
    enum store_rc rc = STORE_OK;
    if (account != NULL)
        rc = directory_account_find(s, str_c(account), &id);
    if (rc == STORE_OK && account != NULL && id == 0) {
        json_decref(l.doc);
        return cli_fail(c, CLI_NOT_FOUND, "there is no account %s", account);
    }
    if (rc == STORE_OK)
        rc = mask_list(s, id, show, &l);
    if (rc == STORE_OK)
        return l.doc != NULL ? cli_print_json(l.doc) : CLI_OK;
    json_decref(l.doc);
    return cli_store_error(c, rc);
}

/* The words of a note, joined as they were given. */
static str_t note_of(struct cli *c, int argc, char **argv)
{
    str_t note = STR_NONE;
    for (int i = 0; i < argc; i++)
        note = note.len > 0 ? arena_fmt(&c->arena, STR_FMT " %s", STR_ARG(note), argv[i])
                            : str_c(argv[i]);
    return note;
}

static int add(struct cli *c, int argc, char **argv)
{
    struct err err = {0};
    str_t made;
    if (mask_add(&c->env, str_c(argv[2]), note_of(c, argc - 3, argv + 3), &c->arena, &made, &err) !=
        RC_OK)
        return cli_err(c, &err);
    if (c->json) {
        json_t *o = json_object();
        json_object_set_new(o, "address", cli_json_str(made));
        return cli_print_json(o);
    }
    printf(STR_FMT "\n", STR_ARG(made));
    return CLI_OK;
}

int cmd_mask(struct cli *c, int argc, char **argv)
{
    enum { LIST, ADD, REMOVE };
    static const char *const verbs[] = {"list", "add", "remove"};
    struct err err = {0};
    int verb = argc > 1 ? cli_verb(c, argv[1], verbs, 3) : LIST;
    if (verb < 0)
        return CLI_USAGE;
    if ((verb != LIST && argc < 3) || (verb != ADD && argc > 3))
        return cli_usage(c);
    struct store *s = cli_store(c, true);
    if (s == NULL)
        return cli_no_store(c);
    if (verb == LIST)
        return list(c, s, argc > 2 ? argv[2] : NULL);
    if (verb == ADD)
        return add(c, argc, argv);
    return mask_remove(s, str_c(argv[2]), &err) == RC_OK ? CLI_OK : cli_err(c, &err);
}
