/* supervisor_internal.h: what the files of supervisor/ share.
 *
 *     supervisor.c   the loop: signals, deaths, restarts, the end
 *     start.c        one role: its process or thread, what it is given
 *     place.c        the data folder, the listening sockets, the settings
 *     certificates.c their files, handed to the roles that serve TLS
 *     secrets.c      courier's secret at the OAuth endpoint
 *     privilege.c    users of the roles, and what the supervisor gives up
 *     notify.c       tells systemd */
#ifndef ROLES_SUPERVISOR_INTERNAL_H
#define ROLES_SUPERVISOR_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "roles/role_table.h"
#include "roles/supervisor/supervisor.h"

/* SMTP, LMTP, POP3, submission by two ways; sendmail, the command line */
#define SUPERVISOR_LISTENERS_MAX (5 * SETTINGS_LIST_MAX + 2)

enum child_state {
    CHILD_DOWN,     /* not there; restart_ms says when it will be */
    CHILD_STARTING, /* not ready yet */
    CHILD_READY,
    CHILD_STOPPING, /* told to end */
};

struct child {
    enum role_id id;
    const struct role_row *row;
    enum child_state state;
    pid_t pid; /* process; 0 in a thread */
    pthread_t thread;
    _Atomic int thread_status;
    int control;  /* our end, -1: none */
    int role_end; /* of a thread: its end, which it closes */
    int64_t started_ms, restart_ms, kill_ms, reconnected_ms;
    int delay_ms; /* before the next restart */
    uid_t uid;
    gid_t gid;
};

struct supervisor {
    const struct settings *set;
    bool single, root;
    bool was_ready; /* all roles were ready at once: from now on nothing makes it give up */
    int stage;      /* of the stop; -1: not stopping */
    int exit_status;
    struct err *err;
    int signal_fd, settings_fd, data_dir_fd;
    struct certificates *certificates;
    int64_t certificates_due_ms;    /* when they are looked at again */
    int64_t secret_due_ms;          /* likewise */
    struct timespec secret_changed; /* its file's, when it was last read */
    struct role_listener listeners[SUPERVISOR_LISTENERS_MAX];
    size_t n_listeners;
    struct child children[ROLE_COUNT]; /* the first, the supervisor's own, is unused */
};

/* start.c */
/* false: no process, thread or descriptors */
bool child_start(struct supervisor *s, struct child *c);
bool child_give(struct supervisor *s, struct child *c); /* its first set but for channels */
/* new channels to all it talks to that live */
void child_connect(struct supervisor *s, struct child *c);
/* A new channel to that role, asked for by the client whose old one ended. */
void child_reconnect(struct supervisor *s, struct child *c, uint8_t server);
void child_close(struct child *c);

/* place.c */
enum rc place_open(struct supervisor *s, str_t settings_text, struct err *err);
void place_close(struct supervisor *s);

/* certificates.c */
enum rc certificates_open(struct supervisor *s, struct err *err);
void certificates_close(struct supervisor *s);
bool certificates_give(struct supervisor *s, struct child *c); /* what its row names */
void certificates_look(struct supervisor *s); /* if it is time: hands out what has changed */
/* Logs those in use that have expired or will soon. */
void certificates_warn(const struct supervisor *s, int64_t now_ms);

/* secrets.c */
bool secrets_give(struct supervisor *s, struct child *c); /* reads the file */
void secrets_look(struct supervisor *s);                  /* if it is time and it has changed */

/* privilege.c */
void privilege_users(struct supervisor *s);
/* gives the data folder to core's user */
enum rc privilege_own_data(struct supervisor *s, struct err *err);
enum rc privilege_drop(struct supervisor *s, struct err *err);
void privilege_descriptors(void);             /* as many descriptors as we may have */
bool privilege_become(const struct child *c); /* in the child, before exec */

/* notify.c */
void notify_systemd(const char *state); /* sd_notify(3): "READY=1"; nothing without NOTIFY_SOCKET */

#endif
