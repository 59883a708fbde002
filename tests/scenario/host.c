/* host.c: somebody else's server. It takes what it is given, unless the story has a rule for a
 * command. See world.h. */
#include "world.h"

#include <stdlib.h>

struct session {
    struct conn base;
    struct world *world;
    struct host *host;
    struct buf in, out, text;
    str_t from, to;
    bool mail, data, closed;
};

static struct session *session_of(struct conn *c)
{
    return (struct session *)(void *)c;
}

static const struct rule *rule_for(const struct session *s, str_t command)
{
    for (size_t i = 0; i < s->host->nrules; i++) {
        const struct rule *r = &s->host->rules[i];
        if (command.len == 0 ? r->command.len == 0 : wild(r->command, command))
            return r;
    }
    return NULL;
}

/* What it says; true if that is yes. A host that has the whole message and then says nothing more
 * counts as one that took it: who knows. */
static bool answer(struct session *s, str_t command, str_t otherwise)
{
    const struct rule *r = rule_for(s, command);
    str_t reply = r != NULL ? r->reply : otherwise;
    bool end = str_eq(command, STR("."));
    if (r != NULL && r->cut && end) {
        s->closed = true;
        return true;
    }
    buf_add(&s->out, reply);
    s->closed = s->closed || (r != NULL && r->close);
    return reply.len > 0 ? reply.ptr[0] == '2' || reply.ptr[0] == '3' : end;
}

static str_t in_brackets(str_t line, struct arena *a)
{
    size_t from, to;
    if (!str_find(line, '<', &from) || !str_rfind(line, '>', &to) || to < from)
        return STR_NONE;
    return arena_dup(a, str_first(str_from(line, from), to - from + 1));
}

static void take(struct session *s)
{
    struct world *w = s->world;
    if (w->ntaken == TAKEN_MAX) {
        wrong(w, "too many messages");
        return;
    }
    w->taken[w->ntaken++] = (struct taken){.by = s->host->addr,
                                           .from = s->from,
                                           .to = s->to,
                                           .text = arena_dup(&w->arena, buf_str(&s->text))};
}

static void dot(struct session *s)
{
    const struct rule *r = rule_for(s, STR("."));
    s->data = false;
    if (answer(s, STR("."), STR("250 2.0.0 taken\r\n")))
        take(s);
    s->mail = false;
    s->to = STR_NONE;
    buf_clear(&s->text);
    if (r != NULL && r->cut)
        world_dark(s->world);
}

static void command(struct session *s, str_t line)
{
    struct arena *a = &s->world->arena;
    if (str_istarts(line, STR("EHLO ")) || str_istarts(line, STR("HELO "))) {
        (void)answer(s, line,
                     STR("250-host\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-"
                         "ENHANCEDSTATUSCODES\r\n250 SIZE 10000000\r\n"));
    } else if (str_istarts(line, STR("MAIL FROM:"))) {
        s->to = STR_NONE;
        s->mail = answer(s, line, STR("250 2.1.0 ok\r\n"));
        s->from = in_brackets(line, a);
    } else if (str_istarts(line, STR("RCPT TO:"))) {
        if (answer(s, line, s->mail ? STR("250 2.1.5 ok\r\n") : STR("503 5.5.1 MAIL first\r\n"))) {
            str_t to = in_brackets(line, a);
            s->to = s->to.len == 0 ? to
                                   : arena_fmt(a, STR_FMT " " STR_FMT, STR_ARG(s->to), STR_ARG(to));
        }
    } else if (str_ieq(line, STR("DATA"))) {
        s->data = answer(s, line,
                         s->to.len > 0 ? STR("354 go on\r\n") : STR("554 5.5.1 no recipients\r\n"));
    } else if (str_ieq(line, STR("QUIT"))) {
        (void)answer(s, line, STR("221 2.0.0 bye\r\n"));
        s->closed = true;
    } else if (str_ieq(line, STR("RSET"))) {
        s->mail = false;
        s->to = STR_NONE;
        (void)answer(s, line, STR("250 2.0.0 ok\r\n"));
    } else {
        (void)answer(s, line, STR("500 5.5.1 what?\r\n"));
    }
}

static void one_line(struct session *s, str_t line)
{
    if (!s->data) {
        command(s, line);
    } else if (str_eq(line, STR("."))) {
        dot(s);
    } else {
        buf_add(&s->text, str_starts(line, STR(".")) ? str_from(line, 1) : line);
        buf_add(&s->text, STR("\r\n"));
    }
}

static enum rc session_write(struct conn *c, str_t bytes, int64_t deadline_ms)
{
    struct session *s = session_of(c);
    (void)deadline_ms;
    if (s->closed || s->world->dark)
        return RC_CLOSED;
    buf_add(&s->in, bytes);
    str_t rest = buf_str(&s->in), line;
    while (!s->closed && str_cut(&rest, '\n', &line)) {
        if (!str_ends(line, STR("\r")))
            wrong(s->world, "a bare LF was sent"); /* RFC 5321 2.3.8 */
        one_line(s, str_first(line, line.len - (line.len > 0)));
    }
    buf_consume(&s->in, s->in.len - rest.len);
    return RC_OK;
}

static enum rc session_read(struct conn *c, void *to, size_t cap, size_t *got, int64_t deadline_ms)
{
    struct session *s = session_of(c);
    *got = 0;
    if (s->world->dark)
        return RC_CLOSED;
    if (s->out.len == 0 && s->closed)
        return RC_OK; /* the end */
    if (s->out.len == 0) {
        world_pass(s->world, deadline_ms);
        return RC_TEMP;
    }
    *got = s->out.len < cap ? s->out.len : cap;
    memcpy(to, s->out.ptr, *got);
    buf_consume(&s->out, *got);
    return RC_OK;
}

static void session_close(struct conn *c)
{
    struct session *s = session_of(c);
    s->world->connections--;
    buf_free(&s->in);
    buf_free(&s->out);
    buf_free(&s->text);
    free(s);
}

struct conn *host_connect(struct world *w, struct host *h)
{
    static const struct conn_ops ops = {session_read, session_write, session_close};
    struct session *s = calloc(1, sizeof *s);
    must(s != NULL);
    s->base = (struct conn){.ops = &ops, .peer = h->addr};
    s->world = w;
    s->host = h;
    buf_init(&s->in, 1 << 20);
    buf_init(&s->out, 1 << 20);
    buf_init(&s->text, 1 << 24);
    w->connections++;
    (void)answer(s, STR(""), STR("220 host ESMTP\r\n"));
    return &s->base;
}
