/* supervisor.c: see supervisor.h. One thread, one poll loop over a signal descriptor and the
 * control sockets; it waits for nothing else.
 *
 * A role that dies is started at once. If it lived less than STEADY_MS it waits before the next
 * start: FIRST_DELAY_MS, doubling up to MAX_DELAY_MS. Until all roles were ready once, a role that
 * ends by itself (no signal) ends the whole: what it found wrong, a restart would find again, and
 * whoever starts us wants to know. */
#include "roles/supervisor/supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "roles/control.h"
#include "roles/log.h"
#include "roles/runtime.h"
#include "roles/supervisor/supervisor_internal.h"
#include "sys/clock.h"
#include "sys/net.h"

#define STEADY_MS      1000
#define FIRST_DELAY_MS 100
#define MAX_DELAY_MS   10000
#define STOP_MS        10000 /* each stage of the stop; then what is left is killed */

#define EACH_CHILD(s, c) \
    for (struct child *c = &(s)->children[ROLE_SUPERVISOR + 1]; c < &(s)->children[ROLE_COUNT]; c++)

static void log_role(const struct child *c, const char *event, const char *what, int64_t value)
{
    log_event("supervisor", STR_NONE, event, log_cstr("role", c->row->name), log_i64(what, value),
              log_end);
}

/* ---- starting ---- */

static void plan_restart(struct child *c)
{
    int64_t now = sys_mono_ms();
    if (now - c->started_ms >= STEADY_MS)
        c->delay_ms = 0;
    c->restart_ms = now + c->delay_ms;
    c->delay_ms = c->delay_ms == 0                 ? FIRST_DELAY_MS
                  : c->delay_ms * 2 > MAX_DELAY_MS ? MAX_DELAY_MS
                                                   : c->delay_ms * 2;
}

/* A role whose control socket does not take what it must have is of no use: the end of it is what
 * restarts it. */
static void give_up_on(struct supervisor *s, struct child *c)
{
    if (!s->single)
        kill(c->pid, SIGKILL);
}

static void start_child(struct supervisor *s, struct child *c)
{
    if (!child_start(s, c)) {
        log_role(c, "start-failed", "errno", errno);
        plan_restart(c);
        return;
    }
    if (!child_give(s, c))
        give_up_on(s, c);
}

static void let_begin(struct supervisor *s, struct child *c)
{
    if (c->control >= 0 && !control_send(c->control, CONTROL_START, 0, -1))
        give_up_on(s, c);
}

static void start_all(struct supervisor *s)
{
    EACH_CHILD(s, c)
    start_child(s, c);
    /* Each pair once, when all are there. That takes for granted that all roles but core and resolver
     * are clients of core, and no two of them each other's. */
    EACH_CHILD(s, client)
    if (client->control >= 0 && client->row->core)
        child_connect(s, client);
    EACH_CHILD(s, c)
    let_begin(s, c);
}

static void restart_due(struct supervisor *s)
{
    int64_t now = sys_mono_ms();
    EACH_CHILD(s, c)
    {
        if (c->state != CHILD_DOWN || c->restart_ms > now || s->stage >= 0)
            continue;
        start_child(s, c);
        if (c->state != CHILD_STARTING)
            continue;
        child_connect(s, c);
        let_begin(s, c);
        log_role(c, "restarted", "pid", c->pid);
    }
}

/* ---- stopping ---- */

/* Goes to the next stage that has a living role; false: all are gone. */
static bool next_stage(struct supervisor *s)
{
    EACH_CHILD(s, c)
    if (s->stage >= 0 && c->state != CHILD_DOWN && c->row->stop_stage <= s->stage)
        return true; /* this one is not over */
    while (++s->stage < ROLE_STOP_STAGES) {
        bool some = false;
        EACH_CHILD(s, c)
        {
            if (c->state == CHILD_DOWN || c->row->stop_stage != s->stage)
                continue;
            some = true;
            c->state = CHILD_STOPPING;
            c->kill_ms = sys_mono_ms() + STOP_MS;
            if (!control_send(c->control, CONTROL_STOP, 0, -1))
                give_up_on(s, c);
        }
        if (some)
            return true;
    }
    return false;
}

static void stop(struct supervisor *s, const char *why)
{
    if (s->stage >= 0)
        return;
    log_event("supervisor", STR_NONE, "stopping", log_cstr("reason", why), log_end);
    notify_systemd("STOPPING=1");
    (void)next_stage(s);
}

static void kill_late(struct supervisor *s)
{
    int64_t now = sys_mono_ms();
    EACH_CHILD(s, c)
    if (c->state == CHILD_STOPPING && now >= c->kill_ms) {
        log_role(c, "killed", "after_ms", STOP_MS);
        if (s->single)
            _exit(1); /* a thread cannot be ended alone */
        kill(c->pid, SIGKILL);
        c->kill_ms = now + STOP_MS;
    }
}

/* ---- what happens ---- */

static void on_end(struct supervisor *s, struct child *c, int code, int sig)
{
    bool asked = c->state == CHILD_STOPPING;
    if (!asked || code != 0 || sig != 0)
        log_event("supervisor", STR_NONE, "ended", log_cstr("role", c->row->name),
                  log_i64("pid", c->pid), log_i64("status", code), log_i64("signal", sig), log_end);
    child_close(c);
    c->state = CHILD_DOWN;
    c->pid = 0;
    if (s->stage >= 0)
        return;
    plan_restart(c);
    if (s->single || (!s->was_ready && sig == 0)) {
        s->exit_status = code != 0 ? code : 1;
        (void)err_set(s->err, RC_PERM, "", "the role %s %s", c->row->name,
                      s->was_ready ? "ended" : "could not start; the log says why");
        stop(s, "a role ended");
    }
}

static void on_ready(struct supervisor *s, struct child *c)
{
    if (c->state == CHILD_STARTING)
        c->state = CHILD_READY;
    bool all = true;
    EACH_CHILD(s, o)
    all = all && o->state == CHILD_READY;
    if (all && !s->was_ready) {
        s->was_ready = true;
        log_event("supervisor", STR_NONE, "ready", log_u64("listeners", s->n_listeners), log_end);
        notify_systemd("READY=1");
    }
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        EACH_CHILD(s, c)
    if (c->pid == pid)
        on_end(s, c, WIFEXITED(status) ? WEXITSTATUS(status) : 0,
               WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void on_signal(struct supervisor *s)
{
    struct signalfd_siginfo i;
    while (read(s->signal_fd, &i, sizeof i) == (ssize_t)sizeof i) {
        if (i.ssi_signo == SIGCHLD)
            reap(s);
        else if (i.ssi_signo == SIGHUP)
            log_event("supervisor", STR_NONE, "hangup-ignored",
                      log_cstr("reason", "settings are read at start only"), log_end);
        else
            stop(s, i.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

static void on_control(struct supervisor *s, struct child *c)
{
    struct control_message m;
    int got = control_receive(c->control, &m);
    if (got == 1) {
        if (m.fd >= 0)
            close(m.fd);
        if (m.kind == CONTROL_READY)
            on_ready(s, c);
        else if (m.kind == CONTROL_CHANNEL)
            child_reconnect(s, c, m.arg);
    } else if (got == 0 && s->single) {
        pthread_join(c->thread, NULL);
        on_end(s, c, atomic_load(&c->thread_status), 0);
    } else if (got == 0) { /* a process: SIGCHLD follows */
        child_close(c);
    }
}

static const char *kind_name(enum listener_kind kind)
{
    switch (kind) {
    case LISTEN_SMTP: return "smtp";
    case LISTEN_LMTP: return "lmtp";
    case LISTEN_POP3: return "pop3";
    case LISTEN_ADMIN: return "admin";
    case LISTEN_SUBMISSION: return "submission";
    case LISTEN_SUBMISSIONS: return "submissions";
    case LISTEN_LOCAL: return "local";
    }
    must_failed("a kind of listener", __FILE__, __LINE__);
}

static void log_listeners(const struct supervisor *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        if (s->listeners[i].kind == LISTEN_ADMIN)
            continue;
        char text[NETADDR_TEXT];
        struct netaddr at = net_local(s->listeners[i].fd);
        bool local = s->listeners[i].kind == LISTEN_LOCAL;
        log_event(
            "supervisor", STR_NONE, "listening", log_cstr("kind", kind_name(s->listeners[i].kind)),
            log_str("address", local ? s->set->submit_socket : str_c(netaddr_text_port(&at, text))),
            log_end);
    }
}

static int64_t next_due(struct supervisor *s)
{
    int64_t due = s->stage < 0 ? s->certificates_due_ms : INT64_MAX;
    EACH_CHILD(s, c)
    {
        if (c->state == CHILD_DOWN && s->stage < 0 && c->restart_ms < due)
            due = c->restart_ms;
        if (c->state == CHILD_STOPPING && c->kill_ms < due)
            due = c->kill_ms;
    }
    return due;
}

static void loop(struct supervisor *s)
{
    while (s->stage < 0 || next_stage(s)) {
        struct pollfd p[ROLE_COUNT] = {{.fd = s->signal_fd, .events = POLLIN}};
        /* -1 is skipped */
        EACH_CHILD(s, c) p[c->id] = (struct pollfd){.fd = c->control, .events = POLLIN};
        int64_t due = next_due(s);
        if (poll(p, ROLE_COUNT, due == INT64_MAX ? -1 : sys_poll_ms(due)) < 0)
            must(errno == EINTR);
        EACH_CHILD(s, c)
        if (p[c->id].fd >= 0 && p[c->id].revents != 0 && c->control == p[c->id].fd)
            on_control(s, c);
        if (p[0].revents != 0)
            on_signal(s);
        if (s->stage < 0)
            certificates_look(s), secrets_look(s);
        restart_due(s);
        kill_late(s);
    }
}

/* ---- from beginning to end ---- */

static enum rc watch_signals(struct supervisor *s, sigset_t *before, struct err *err)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &mask, before);
    signal(SIGPIPE, SIG_IGN);
    s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd >= 0 ? RC_OK : err_set(err, RC_TEMP, "", "signals: %s", strerror(errno));
}

int supervisor_run(const struct settings *set, str_t settings_text, bool single, struct err *err)
{
    struct supervisor *s = calloc(1, sizeof *s);
    sigset_t before;
    must(s != NULL);
    *s = (struct supervisor){.set = set,
                             .single = single,
                             .stage = -1,
                             .err = err,
                             .signal_fd = -1,
                             .settings_fd = -1,
                             .data_dir_fd = -1};
    for (int i = 0; i < ROLE_COUNT; i++) {
        s->children[i].id = (enum role_id)i;
        s->children[i].row = &role_table[i];
        s->children[i].control = -1;
    }
    privilege_descriptors();
    privilege_users(s);
    enum rc rc = watch_signals(s, &before, err);
    rc = rc == RC_OK ? place_open(s, settings_text, err) : rc;
    rc = rc == RC_OK ? certificates_open(s, err) : rc;
    rc = rc == RC_OK ? privilege_drop(s, err) : rc;
    if (rc == RC_OK) {
        log_listeners(s);
        start_all(s);
        loop(s);
        log_event("supervisor", STR_NONE, "stopped", log_i64("status", s->exit_status), log_end);
    }
    place_close(s);
    certificates_close(s);
    if (s->signal_fd >= 0)
        close(s->signal_fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    int status = rc == RC_OK ? s->exit_status : ROLE_EXIT_CONFIG;
    free(s);
    return status;
}
