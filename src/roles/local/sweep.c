/* sweep.c: once a day through all mailboxes, for what deliveries left behind there
 * (post/mailbox_sweep.h). A page of one mailbox a step with a pause after it, so that it is never
 * in the way. Where it stands is in memory alone: after a start it begins again. */
#include "post/directory.h"
#include "roles/local/local.h"
#include "roles/log.h"

enum {
    /* After the start there is other work, and a role that dies again and again must not do only
     * this. */
    FIRST_MS = 300000,
    LOOK_MS = 5000, /* how often it looks whether its time has come */
    BREATH_MS = 10, /* between steps */
};

/* To the next mailbox. False: there is none, or the directory cannot be read now. */
static bool box_next(struct local *l)
{
    struct local_sweep *s = &l->sweep;
    uint64_t account;
    if (directory_account_next(l->carrier.env->store, s->box.account, &account) != STORE_OK)
        return false; /* again from here */
    s->box = (struct mailbox_sweep){.account = account};
    s->open = account != 0;
    if (!s->open)
        s->next_ms = l->carrier.env->mono_ms(l->carrier.env) + LOCAL_SWEEP_ROUND_MS;
    return s->open;
}

static void box_done(struct local_sweep *s, enum store_rc rc)
{
    s->open = false;
    if (rc != STORE_OK)
        log_event("local", STR_NONE, "sweep-failed", log_u64("account", s->box.account),
                  log_cstr("store", store_rc_name(rc)), log_end);
    else if (s->box.marks + s->box.contents > 0)
        log_event("local", STR_NONE, "swept", log_u64("account", s->box.account),
                  log_u64("marks", s->box.marks), log_u64("contents", s->box.contents), log_end);
}

bool local_sweep_step(struct local *l)
{
    struct local_sweep *s = &l->sweep;
    struct env *env = l->carrier.env;
    const struct store_board *board = store_board(env->store);
    if (board != NULL && atomic_load(&board->writes_stopped) != 0)
        return false;
    if (!s->open && !box_next(l))
        return false;
    bool end = false;
    enum store_rc rc = mailbox_sweep_step(env->store, &s->box, env->wall_ms(env), &end);
    /* again from here */
    if (rc == STORE_DOWN || rc == STORE_UNKNOWN || rc == STORE_STOPPED)
        return false;
    if (rc != STORE_OK || end)
        box_done(s, rc);
    return true;
}

void *local_sweeper(void *carrier)
{
    struct local *l = carrier; /* its first member */
    struct env *env = l->carrier.env;
    struct agenda *g = &l->carrier.agenda;
    l->sweep.next_ms = env->mono_ms(env) + FIRST_MS;
    while (agenda_pause(g, LOOK_MS))
        while (env->mono_ms(env) >= l->sweep.next_ms && local_sweep_step(l) &&
               agenda_pause(g, BREATH_MS)) {
        }
    return NULL;
}
