/* fixup.c: what happens to the mail of our own people on its way in: mail/edit.h, and the operator's
 * tables of other addresses. The header and the sender of mail from other servers are never touched,
 * as its signatures would not survive it; but its envelope's recipients go by canonical-recipient,
 * too (policy.c asks smtp_in_rewrite for those of everybody's mail).
 *
 * Tables: canonical-sender and canonical-recipient give another address, or "@domain" for the local
 * part as it was; then masquerade gives another domain. */
#include "roles/smtp/smtp_in.h"

enum {
    /* a header of many addresses goes out in pieces of one feed: what was held back, and its
     * replacements, which are at most a few times as long */
    EDITED_MAX = 8 * MAIL_EDIT_FIELD_MAX,
};

static bool replace(struct smtp_common *c, enum table which, str_t *address, struct arena *a)
{
    bool found;
    str_t value;
    size_t at;
    if (table_find(c->tables, which, *address, a, &found, &value, NULL) != STORE_OK)
        return false;
    if (found && str_starts(value, STR("@")) && str_rfind(*address, '@', &at))
        *address = arena_fmt(a, STR_FMT STR_FMT, STR_ARG(str_first(*address, at)), STR_ARG(value));
    else if (found)
        *address = value;
    return !a->failed;
}

static bool masquerade(struct smtp_common *c, str_t *address, struct arena *a)
{
    bool found;
    str_t value;
    size_t at;
    if (!str_rfind(*address, '@', &at))
        return true;
    if (table_find(c->tables, TABLE_MASQUERADE, str_from(*address, at + 1), a, &found, &value,
                   NULL) != STORE_OK)
        return false;
    if (found)
        *address =
            arena_fmt(a, STR_FMT "@" STR_FMT, STR_ARG(str_first(*address, at)), STR_ARG(value));
    return !a->failed;
}

bool smtp_in_rewrite(struct smtp_common *c, enum mail_edit_side side, str_t address,
                     struct arena *a, str_t *out)
{
    *out = address;
    if (!smtp_in_origin(c, out, a))
        return false;
    return replace(c, side == MAIL_EDIT_SENDER ? TABLE_CANONICAL_SENDER : TABLE_CANONICAL_RECIPIENT,
                   out, a);
}

bool smtp_in_rewrite_sender(struct smtp_common *c, str_t address, struct arena *a, str_t *out)
{
    return smtp_in_rewrite(c, MAIL_EDIT_SENDER, address, a, out) && masquerade(c, out, a);
}

/* ---- the header ---- */

static str_t header_address(void *user, enum mail_edit_side side, str_t address, struct arena *a)
{
    struct smtp_session *s = user;
    str_t other;
    if (!smtp_in_rewrite(s->common, side, address, a, &other) ||
        !masquerade(s->common, &other, a)) {
        s->t->edit_failed = true;
        return STR_NONE;
    }
    return other.ptr != address.ptr ? other : STR_NONE;
}

bool smtp_in_fixup_begin(struct smtp_session *s)
{
    struct smtp_transaction *t = s->t;
    struct env *env = s->common->env;
    struct mail_edit_rules rules = {
        .remove_bcc = true,
        .add_missing = true,
        .hostname = s->common->settings->hostname,
        .wall_ms = env->wall_ms(env),
        .address = header_address,
        .user = s,
    };
    if (!smtp_service_submits(s->service))
        return true;
    env->random(env, rules.unique, sizeof rules.unique);
    buf_init(&t->edited, EDITED_MAX);
    t->edit = mail_edit_new(&rules);
    return t->edit != NULL;
}

/* Into the queue. What the store says sticks in the queue_in: its commit says it. */
static void pass_on(struct smtp_transaction *t, str_t content)
{
    if (content.len == 0 || t->edit_failed)
        return;
    enum store_rc rc = queue_in_write(t->in, content);
    (void)rc;
}

static void edited(struct smtp_transaction *t, bool ok)
{
    t->edit_failed = t->edit_failed || !ok;
    pass_on(t, buf_str(&t->edited));
    buf_clear(&t->edited);
}

void smtp_in_fixup_feed(struct smtp_session *s, str_t content)
{
    struct smtp_transaction *t = s->t;
    bool ok = true;
    if (t->edit != NULL) {
        content = mail_edit_feed(t->edit, content, &t->edited, &ok);
        edited(t, ok);
    }
    pass_on(t, content);
}

void smtp_in_fixup_end(struct smtp_session *s)
{
    struct smtp_transaction *t = s->t;
    if (t->edit != NULL)
        edited(t, mail_edit_end(t->edit, &t->edited));
}

void smtp_in_fixup_free(struct smtp_transaction *t)
{
    if (t->edit == NULL)
        return;
    mail_edit_free(t->edit);
    buf_free(&t->edited);
    t->edit = NULL;
}
