/* returned.c: recipients that are reverse-paths of ours (post/return_path.h), and bounces of mail we
 * never sent.
 *
 *     recipient                         accepted as                      else
 *     SRS0=, SRS1= at a domain of ours  ours; local sends it on          550 5.7.1
 *     prvs=…=name@ours                  name@ours                        as below, if from <>
 *     name@ours, from <>, `batv` is on  postmaster alone                 550 5.7.1
 *
 * The last is asked of strangers only: who may relay sends as they like. */
#include "post/directory_row.h"
#include "roles/smtp/smtp_in.h"

/* The path with another local part. */
static bool path_again(struct smtp_session *s, str_t local, const struct smtp_path **p,
                       struct queue_in_rcpt *r)
{
    struct arena *a = smtps_transaction_arena(s->smtps);
    struct smtp_path *path = arena_alloc(a, sizeof *path);
    if (path == NULL)
        return false;
    *path = **p;
    path->local = local;
    r->address = smtp_path_text(path, a);
    *p = path;
    return !a->failed;
}

enum smtp_in_returned smtp_in_returned(struct smtp_session *s, const struct smtp_path **p,
                                       struct queue_in_rcpt *r)
{
    struct smtp_common *c = s->common;
    struct arena *a = smtps_transaction_arena(s->smtps);
    enum return_path_kind kind;
    enum directory_kind ours;
    str_t out;
    enum store_rc rc =
        return_path_read(&c->paths, smtp_in_env(s), (*p)->local, r->domain, a, &kind, &out);
    if (rc == STORE_OK && kind == RETURN_PATH_PLAIN)
        return SMTP_IN_RETURNED_NOT;
    if (rc == STORE_OK)
        rc = directory_cache_kind(c->directory, STR_NONE, r->domain, &ours);
    if (rc != STORE_OK)
        return SMTP_IN_RETURNED_LATER;
    if (ours == DIRECTORY_NOT_OURS)
        return SMTP_IN_RETURNED_NOT;
    if (kind == RETURN_PATH_WRONG)
        return SMTP_IN_RETURNED_WRONG;
    if (kind == RETURN_PATH_FORWARD)
        return SMTP_IN_RETURNED_FORWARD;
    if (!path_again(s, out, p, r))
        return SMTP_IN_RETURNED_LATER;
    return kind == RETURN_PATH_TAGGED ? SMTP_IN_RETURNED_TAGGED : SMTP_IN_RETURNED_NOT;
}

bool smtp_in_bounce_ok(const struct smtp_session *s, const struct smtp_path *p)
{
    if (!s->common->settings->batv || s->t->reverse_path.len > 0 || smtp_in_may_relay(s))
        return true;
    return str_ieq(p->local, STR("postmaster")); /* RFC 5321 4.5.1 */
}

/* Mail of our own people: what others send through us (a backup MX) is not ours to sign. */
bool smtp_in_sign(struct smtp_session *s, struct queue_in_rcpt *r)
{
    if (r->local || !smtp_in_may_relay(s))
        return true;
    return return_path_leaving(&s->common->paths, smtp_in_env(s), s->t->reverse_path, STR_NONE,
                               smtps_transaction_arena(s->smtps), &r->sender,
                               &r->has_sender) == STORE_OK;
}
