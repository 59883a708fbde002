/* sendmail_submit.c: see sendmail_submit.h. */
#include "cli/sendmail_submit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/dialogue.h"
#include "roles/courier/client_io.h"
#include "sys/net.h"

enum {
    CONNECT_S = 30,             /* the server's backlog is full: it is busy, or stands still */
    SESSION_MS = 10 * 60 * 1000 /* whoever called us waits: a message is kept rather than that */
};

const char *submit_socket_path(void)
{
    const char *named = getenv("POSTRIDER_SOCKET");
    return named != NULL && *named != '\0' ? named : SENDMAIL_SOCKET;
}

int submit_connect(const char *path, struct err *err)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = CONNECT_S};
    size_t n = strlen(path);
    if (n >= sizeof sa.sun_path) {
        (void)err_set(err, RC_TEMP, "4.3.5", "%.200s is too long for a socket's name", path);
        return -1;
    }
    memcpy(sa.sun_path, path, n);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
        connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
        return fd;
    (void)err_set(err, RC_TEMP, "4.4.1", "%.150s: %s", path,
                  errno == EAGAIN ? "the server is too busy to answer" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool pump(struct submit *s)
{
    return smtpc_pump(s->smtp, s->conn, &s->c->env, s->limit_ms) == SMTPC_READY;
}

/* The system's name; for the server's log alone. */
static void own_name(struct submit *s)
{
    if (gethostname(s->hostname, sizeof s->hostname - 1) != 0 || s->hostname[0] == '\0')
        snprintf(s->hostname, sizeof s->hostname, "localhost");
    s->config = (struct smtpc_config){.hostname = str_c(s->hostname)};
}

bool submit_open(struct submit *s, struct cli *c, bool verbose, struct err *err)
{
    const struct netaddr nowhere = {.family = NETADDR_NONE};
    *s = (struct submit){.c = c, .limit_ms = c->env.mono_ms(&c->env) + SESSION_MS};
    int fd = submit_connect(submit_socket_path(), err);
    if (fd < 0)
        return false;
    own_name(s);
    s->conn = net_conn_new(fd, &nowhere, &nowhere);
    if (s->conn != NULL && verbose)
        s->conn = dialogue_show(c, s->conn, stdout);
    s->smtp = s->conn != NULL ? smtpc_new(&s->config) : NULL;
    if (s->smtp == NULL) {
        (void)err_set(err, RC_TEMP, "4.3.0", "out of memory");
        submit_close(s);
        return false;
    }
    if (pump(s))
        smtpc_hello(s->smtp);
    if (pump(s) && smtpc_peer_name(s->smtp).len > 0)
        return true;
    *err = *smtpc_error(s->smtp);
    if (err->rc == RC_OK)
        (void)err_set(err, RC_TEMP, "4.3.5", "the server does not say its name");
    submit_close(s);
    return false;
}

void submit_close(struct submit *s)
{
    if (s->smtp != NULL && smtpc_want(s->smtp) == SMTPC_READY) {
        smtpc_quit(s->smtp);
        (void)pump(s);
    }
    smtpc_free(s->smtp);
    if (s->conn != NULL)
        s->conn->ops->close(s->conn);
    s->smtp = NULL;
    s->conn = NULL;
}

/* ---- one message ---- */

static void send_part(struct submit *s, str_t part)
{
    while (smtpc_accepting(s->smtp) && part.len > 0) {
        str_t piece = str_first(part, SMTPC_CONTENT_MAX);
        part = str_from(part, piece.len);
        smtpc_content(s->smtp, piece);
        if (!pump(s))
            return;
    }
}

static bool has_8bit(str_t s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return true;
    return false;
}

static void outcome(struct submit_outcome *out, enum rc rc, int code, const char *status,
                    str_t text)
{
    *out = (struct submit_outcome){.rc = rc, .code = code, .text = text};
    snprintf(out->status, sizeof out->status, "%s", status);
}

static bool envelope(const struct submit *s, const struct sendmail_message *m, struct arena *a,
                     struct smtpc_envelope *e)
{
    str_t host = smtpc_peer_name(s->smtp);
    str_t *to = arena_array(a, m->n, sizeof *to);
    struct smtpc_dsn *dsn = arena_array(a, m->n, sizeof *dsn);
    if (to == NULL || dsn == NULL)
        return false;
    for (size_t i = 0; i < m->n; i++) {
        to[i] = sendmail_complete(m->rcpt[i].address, host, a);
        dsn[i].notify = m->rcpt[i].notify;
    }
    *e = (struct smtpc_envelope){
        .reverse_path = sendmail_complete(m->sender, host, a),
        .recipients = to,
        .n = m->n,
        .dsn = dsn,
        .envid = m->envid,
        .ret = (enum smtpc_ret)m->ret,
    };
    return !a->failed;
}

static void transact(struct submit *s, const struct sendmail_message *m, str_t header, str_t body,
                     struct arena *a, struct smtpc_envelope *e, struct submit_outcome *out)
{
    e->size = header.len + body.len;
    e->body_8bit = has_8bit(header) || has_8bit(body);
    smtpc_begin(s->smtp, e);
    if (pump(s)) {
        send_part(s, header);
        send_part(s, body);
        if (smtpc_accepting(s->smtp)) {
            smtpc_end(s->smtp);
            (void)pump(s);
        }
    }
    for (size_t i = 0; i < m->n; i++) {
        struct smtpc_reply r = {0};
        enum rc rc = smtpc_verdict(s->smtp, i, &r);
        outcome(&out[i], rc, r.code, r.status, arena_dup(a, r.text));
    }
}

void submit_message(struct submit *s, const struct sendmail_message *m, struct arena *a,
                    struct submit_outcome *out)
{
    struct smtpc_envelope e;
    struct buf header;
    str_t body;
    buf_init(&header, 2 * SENDMAIL_INPUT_MAX);
    for (size_t i = 0; i < m->n; i++)
        outcome(&out[i], RC_TEMP, 0, "4.3.0", STR("out of memory"));
    if (envelope(s, m, a, &e) && sendmail_header(m, smtpc_peer_name(s->smtp), a, &header, &body))
        transact(s, m, buf_str(&header), body, a, &e, out);
    buf_free(&header);
}
