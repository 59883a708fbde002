/* start.c: starts one role and gives it what its row in the table names. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "roles/control.h"
#include "roles/log.h"
#include "roles/runtime.h"
#include "roles/supervisor/supervisor_internal.h"
#include "sys/clock.h"

#define RECONNECT_MS   500       /* a role gets no more channels than this by asking */
#define CHANNEL_BUFFER (1 << 20) /* wanted for a channel; the kernel gives what it allows */

/* What of our environment a role gets: nothing that the loader or the library obeys, but what test
 * builds need. */
static const char *const kept_variables[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
                                             "TSAN_OPTIONS"};
#define KEPT (sizeof kept_variables / sizeof *kept_variables)

struct environment {
    char text[KEPT][1024];
    char *list[KEPT + 1];
};

static void fill_environment(struct environment *e)
{
    size_t n = 0;
    for (size_t i = 0; i < KEPT; i++) {
        const char *value = getenv(kept_variables[i]);
        if (value != NULL)
            snprintf(e->list[n] = e->text[n], sizeof e->text[n], "%s=%s", kept_variables[i], value),
                n++;
    }
    e->list[n] = NULL;
}

/* In the new process. */
static _Noreturn void become_role(struct supervisor *s, struct child *c, int role_end,
                                  char **environment)
{
    char *const argv[] = {(char[]){"postrider"}, (char[]){"role"}, (char *)(uintptr_t)c->row->name,
                          NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (role_end == ROLE_CONTROL_FD)
        fcntl(role_end, F_SETFD, 0);
    else if (dup2(role_end, ROLE_CONTROL_FD) < 0)
        _exit(ROLE_EXIT_CONFIG);
    if (!s->root || privilege_become(c))
        execve("/proc/self/exe", argv, environment);
    static const char why[] =
        "postrider: a role cannot become its user, or its program cannot be executed\n";
    (void)!write(2, why, sizeof why - 1);
    _exit(ROLE_EXIT_CONFIG);
}

static bool start_process(struct supervisor *s, struct child *c, int role_end)
{
    static struct environment e;
    fill_environment(&e);
    c->pid = fork();
    if (c->pid == 0)
        become_role(s, c, role_end, e.list);
    close(role_end);
    return c->pid > 0;
}

static void *thread_main(void *arg)
{
    struct child *c = arg;
    atomic_store(&c->thread_status, role_run(c->id, c->role_end, false));
    return NULL; /* role_run has closed its end: the supervisor sees it */
}

static bool start_thread(struct child *c, int role_end)
{
    c->role_end = role_end;
    if (pthread_create(&c->thread, NULL, thread_main, c) == 0)
        return true;
    close(role_end);
    return false;
}

bool child_start(struct supervisor *s, struct child *c)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return false;
    c->control = fds[0];
    c->started_ms = sys_mono_ms();
    c->pid = 0;
    if (s->single ? start_thread(c, fds[1]) : start_process(s, c, fds[1])) {
        c->state = CHILD_STARTING;
        return true;
    }
    child_close(c);
    return false;
}

void child_close(struct child *c)
{
    if (c->control >= 0)
        close(c->control);
    c->control = -1;
}

bool child_give(struct supervisor *s, struct child *c)
{
    bool good = control_send(c->control, CONTROL_SETTINGS, 0, s->settings_fd);
    if (good && c->row->data_dir)
        good = control_send(c->control, CONTROL_DATA_DIR, 0, s->data_dir_fd);
    for (size_t i = 0; good && i < s->n_listeners; i++)
        if (c->row->listeners >> s->listeners[i].kind & 1) {
            /* A thread shares our descriptors: what it closes must not be ours. Sending makes a new
             * one either way. */
            good = control_send(c->control, CONTROL_LISTENER, (uint8_t)s->listeners[i].kind,
                                s->listeners[i].fd);
        }
    return good && certificates_give(s, c) && secrets_give(s, c);
}

static void connect_pair(struct child *client, struct child *server)
{
    enum control_kind kind = server->id == ROLE_COURIER ? CONTROL_TOKENS : CONTROL_CHANNEL;
    int fds[2];
    const int size = CHANNEL_BUFFER;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        log_event("supervisor", STR_NONE, "channel-failed", log_cstr("role", client->row->name),
                  log_cstr("reason", strerror(errno)), log_end);
        return;
    }
    for (int i = 0; i < 2; i++)
        (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    /* If one of them is just dying, its successor gets another pair. */
    if (control_send(server->control, kind, (uint8_t)client->id, fds[1]))
        (void)control_send(client->control, kind, (uint8_t)server->id, fds[0]);
    close(fds[0]);
    close(fds[1]);
}

static bool is_client(const struct supervisor *s, const struct child *client,
                      const struct child *server)
{
    return (server->id == ROLE_CORE && client->row->core) ||
           (server->id == ROLE_RESOLVER && client->row->resolver) ||
           (server->id == ROLE_COURIER && client->row->courier &&
            settings_oauth_url(s->set).len > 0);
}

void child_reconnect(struct supervisor *s, struct child *c, uint8_t server)
{
    int64_t now = sys_mono_ms();
    if (server >= ROLE_COUNT || now - c->reconnected_ms < RECONNECT_MS)
        return;
    struct child *other = &s->children[server];
    if (other->control < 0 || c->control < 0 || !is_client(s, c, other))
        return;
    c->reconnected_ms = now;
    log_event("supervisor", STR_NONE, "new-channel", log_cstr("role", c->row->name),
              log_cstr("to", other->row->name), log_end);
    connect_pair(c, other);
}

void child_connect(struct supervisor *s, struct child *c)
{
    for (int i = ROLE_SUPERVISOR + 1; i < ROLE_COUNT; i++) {
        struct child *other = &s->children[i];
        if (other == c || other->control < 0)
            continue;
        if (is_client(s, c, other)) /* core and courier are each other's */
            connect_pair(c, other);
        if (is_client(s, other, c))
            connect_pair(other, c);
    }
}
