/* mta.c: one postrider of the story: the roles as they are, on a store in memory. See world.h. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"

enum { CONF_MAX = 65536, SETTINGS_ARENA_MAX = 1 << 20 };

/* ---- its life ---- */

static void mta_dns(struct env *e, str_t name, enum dns_type type, int64_t deadline_ms,
                    struct arena *a, struct dns_answer *out)
{
    struct world *w = ((struct mta *)(void *)e)->world;
    zone_answer(w, name, type, a, out);
    if (out->status == DNS_TIMEOUT)
        world_pass(w, deadline_ms);
}

bool mta_new(struct world *w, str_t name, str_t address)
{
    char text[NETADDR_TEXT];
    if (w->nmtas == MTAS_MAX)
        return wrong(w, "there are more than %d servers", MTAS_MAX);
    struct mta *s = calloc(1, sizeof *s);
    must(s != NULL);
    w->mta[w->nmtas++] = s;
    fake_env_init(&s->fe, w->seed * 1000003 + w->nmtas);
    s->fe.env.connect = world_connect;
    s->fe.env.dns = mta_dns;
    s->fe.env.store = store_memory_new();
    must(s->fe.env.store != NULL);
    must(return_path_key_make(s->fe.env.store, &s->fe.env) == STORE_OK); /* as core does */
    s->world = w;
    s->name = arena_dup(&w->arena, name);
    buf_init(&s->conf, CONF_MAX);
    if (!netaddr_parse(address, &s->addr))
        return wrong(w, "a server needs a name and an address");
    buf_addf(&s->conf, "hostname = \"" STR_FMT "\"\nlisten_smtp = {\"%s:25\"}\n", STR_ARG(name),
             netaddr_text(&s->addr, text));
    return true;
}

static void carriers_open(struct mta *s)
{
    s->courier = calloc(1, sizeof *s->courier);
    s->local = calloc(1, sizeof *s->local);
    must(s->courier != NULL && s->local != NULL);
    must(courier_init(s->courier, &s->fe.env, &s->settings) &&
         local_init(s->local, &s->fe.env, &s->settings));
    must(carrier_attach(&s->courier->carrier) == STORE_OK &&
         carrier_attach(&s->local->carrier) == STORE_OK);
}

static void carriers_close(struct mta *s)
{
    courier_free(s->courier);
    local_free(s->local);
    free(s->courier);
    free(s->local);
}

/* Who may log in: every account, with any password. */
static enum rc desk_login(struct login_desk *desk, const struct store_login *q,
                          struct store_login_answer *out, struct err *err)
{
    struct mta *s = (struct mta *)(void *)desk->env;
    *out = (struct store_login_answer){.password_name = "main"};
    for (size_t i = 0; i < s->naccounts; i++) {
        if (!str_eq(s->account[i].address, q->name))
            continue;
        out->account = s->account[i].id;
        out->session = s->fe.env.store;
        str_toc(q->name, out->address, sizeof out->address);
        return RC_OK;
    }
    return err_set(err, RC_PERM, "5.7.8", "there is no such account");
}

static void desk_logout(struct login_desk *desk, struct store *session)
{
    must(session == desk->env->store);
}

static bool people_init(struct mta *s)
{
    bool ok = submission_init(&s->people, &s->fe.env, &s->settings, NULL);
    s->people.common.desk.login = desk_login;
    s->people.common.desk.logout = desk_logout;
    return ok;
}

bool mta_start(struct mta *s)
{
    struct err err;
    if (s->started)
        return true;
    if (settings_parse(buf_str(&s->conf), "settings", &s->world->arena, &s->settings, &err) !=
        RC_OK)
        return wrong(s->world, "%s", err.text);
    must(mx_init(&s->mx, &s->fe.env, &s->settings, NULL) && people_init(s));
    carriers_open(s);
    s->started = true;
    return true;
}

void mta_restart(struct mta *s)
{
    carriers_close(s);
    store_memory_reopen(s->fe.env.store, s->world->seed);
    carriers_open(s);
}

void mta_free(struct mta *s)
{
    if (s->started) {
        carriers_close(s);
        mx_free(&s->mx);
        submission_free(&s->people);
    }
    store_close(s->fe.env.store);
    buf_free(&s->conf);
    free(s);
}

/* ---- a session with it ---- */

struct link { /* what another server holds of it */
    struct conn base;
    struct mta *to;
    struct smtp_session *mx;
    struct buf out;
};

static void output_take(struct smtp_session *mx, struct buf *out)
{
    str_t bytes = smtp_in_ops.output(mx);
    buf_add(out, bytes);
    smtp_in_ops.sent(mx, bytes.len);
}

static void input_give(struct mta *s, struct smtp_session *mx, str_t bytes, struct buf *out)
{
    while (bytes.len > 0 && !smtp_in_ops.finished(mx)) {
        size_t used = smtp_in_ops.input(mx, bytes, s->fe.mono);
        must(used > 0 || smtp_in_ops.output(mx).len > 0);
        bytes = str_from(bytes, used);
        output_take(mx, out);
    }
}

static struct smtp_session *session_open(struct mta *s, bool people, const struct netaddr *from,
                                         struct buf *out)
{
    static const struct tls_info tls = {.version = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384"};
    struct smtp_service *v = people ? &s->people.implicit : &s->mx.smtp;
    struct smtp_session *mx = smtp_in_ops.open(v, from, &s->addr, s->fe.mono);
    must(mx != NULL);
    if (people)
        smtp_in_ops.tls_started(mx, &tls, NULL, s->fe.mono);
    output_take(mx, out);
    return mx;
}

static enum rc link_write(struct conn *c, str_t bytes, int64_t deadline_ms)
{
    struct link *l = (struct link *)(void *)c;
    (void)deadline_ms;
    if (l->to->world->dark || smtp_in_ops.finished(l->mx))
        return RC_CLOSED;
    input_give(l->to, l->mx, bytes, &l->out);
    return RC_OK;
}

static enum rc link_read(struct conn *c, void *to, size_t cap, size_t *got, int64_t deadline_ms)
{
    struct link *l = (struct link *)(void *)c;
    *got = l->out.len < cap ? l->out.len : cap;
    if (l->to->world->dark)
        return RC_CLOSED;
    if (*got == 0 && !smtp_in_ops.finished(l->mx)) {
        world_pass(l->to->world, deadline_ms);
        return RC_TEMP;
    }
    if (*got > 0)
        memcpy(to, l->out.ptr, *got);
    buf_consume(&l->out, *got);
    return RC_OK;
}

static void link_close(struct conn *c)
{
    struct link *l = (struct link *)(void *)c;
    smtp_in_ops.close(l->mx);
    buf_free(&l->out);
    l->to->world->connections--;
    free(l);
}

struct conn *mta_connect(struct mta *to, const struct netaddr *from)
{
    static const struct conn_ops ops = {link_read, link_write, link_close};
    struct link *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->base = (struct conn){.ops = &ops, .peer = to->addr, .local = *from};
    l->to = to;
    buf_init(&l->out, 1 << 20);
    l->mx = session_open(to, false, from, &l->out);
    to->world->connections++;
    return &l->base;
}

/* ---- a client ---- */

struct client {
    struct mta *mta;
    struct smtp_session *mx;
    struct buf said;
    char *reply;
    size_t cap;
    bool refused;
};

/* Gives bytes; what is answered is kept if it is the first refusal, or `last`. True: it is yes. */
static bool tell(struct client *c, str_t bytes, bool last)
{
    buf_clear(&c->said);
    input_give(c->mta, c->mx, bytes, &c->said);
    str_t line, rest = buf_str(&c->said);
    if (!str_cut(&rest, '\n', &line))
        return false;
    bool yes = line.ptr[0] == '2' || line.ptr[0] == '3';
    if ((!yes || last) && !c->refused)
        str_toc(str_trim(line), c->reply, c->cap);
    c->refused = c->refused || !yes;
    return yes;
}

static bool say(struct client *c, const char *verb, str_t path, const char *params)
{
    char line[2000];
    int n = snprintf(line, sizeof line, "%s<" STR_FMT ">%s\r\n", verb, STR_ARG(path), params);
    must(n > 0 && (size_t)n < sizeof line);
    return tell(c, str_of(line, (size_t)n), false);
}

static bool log_in(struct client *c, str_t account)
{
    struct arena *a = &c->mta->world->arena;
    struct buf b;
    if (account.len == 0)
        return true;
    buf_init(&b, 1000);
    must(base64_encode(&b, arena_fmt(a, "%c" STR_FMT "%csecret", 0, STR_ARG(account), 0)));
    str_t line = arena_fmt(a, "AUTH PLAIN " STR_FMT "\r\n", STR_ARG(buf_str(&b)));
    buf_free(&b);
    return tell(c, line, false);
}

static void content(struct client *c, str_t text)
{
    struct buf out;
    str_t line;
    buf_init(&out, 1 << 24);
    while (str_cut(&text, '\n', &line)) {
        if (str_starts(line, STR(".")))
            buf_addc(&out, '.');
        buf_add(&out, line);
        buf_addc(&out, '\n');
    }
    buf_add(&out, STR(".\r\n"));
    must(!out.failed);
    (void)tell(c, buf_str(&out), true);
    buf_free(&out);
}

bool mta_submit(struct mta *s, const struct letter *m, char *reply, size_t cap)
{
    struct client c = {.mta = s, .reply = reply, .cap = cap};
    char params[500], each[500];
    bool any = false;
    reply[0] = '\0';
    buf_init(&c.said, 1 << 20);
    c.mx = session_open(s, m->account.len > 0, &m->client, &c.said);
    snprintf(params, sizeof params, " SIZE=%zu%s%s%s" STR_FMT, m->content.len,
             m->body_8bit ? " BODY=8BITMIME" : "", m->smtputf8 ? " SMTPUTF8" : "",
             m->with.len > 0 ? " " : "", STR_ARG(m->with));
    snprintf(each, sizeof each, "%s" STR_FMT, m->each.len > 0 ? " " : "", STR_ARG(m->each));
    if (tell(&c, STR("EHLO client.test\r\n"), false) && log_in(&c, m->account) &&
        say(&c, "MAIL FROM:", m->from, params)) {
        for (size_t i = 0; i < m->nto; i++)
            any = say(&c, "RCPT TO:", m->to[i], each) || any;
        if (any && tell(&c, STR("DATA\r\n"), false))
            content(&c, m->content);
    }
    smtp_in_ops.close(c.mx);
    buf_free(&c.said);
    return reply[0] != '\0';
}
