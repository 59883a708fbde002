/* cmd_send.c: `postrider send`: a message by SMTP to any server, the dialogue shown on request, each
 * refusal explained.
 *
 *     send_options.c   the command line       send_plan.c   which server, the password
 *     compose*.c       the message            smtp_call.c   the session: TLS, login
 *     smtp_hint.c      what a refusal means   dialogue.c    -v */
#include <stdio.h>
#include <unistd.h>

#include "cli/send_options.h"
#include "cli/smtp_hint.h"
#include "post/directory.h"

struct send {
    struct cli *c;
    struct send_options o;
    struct call_plan plan;
    struct call call;
    str_t *to; /* all recipients */
    size_t n;
};

/* ---- what is told ---- */

static struct smtp_refusal refusal(const struct send *s, int code, const char *status, str_t text)
{
    const struct smtpc_features *f = s->call.smtp != NULL ? smtpc_features(s->call.smtp) : NULL;
    return (struct smtp_refusal){
        .step = s->call.step,
        .code = code,
        .status = str_c(status),
        .text = text,
        .encrypted = s->call.encrypted,
        .logged_in = s->call.smtp != NULL && smtpc_authenticated(s->call.smtp),
        .lmtp = s->plan.lmtp,
        .starttls_offered = f != NULL && f->starttls,
        .auth_offered = f != NULL && f->auth,
        .verified = s->plan.verify,
    };
}

static void say_hints(const struct smtp_refusal *r)
{
    str_t meaning = smtp_hint_meaning(r);
    const char *hint = smtp_hint(r);
    if (meaning.len > 0)
        fprintf(stderr, "  " STR_FMT "\n", STR_ARG(meaning));
    if (hint != NULL)
        fprintf(stderr, "  hint: %s\n", hint);
}

static void add_hints(json_t *o, const struct smtp_refusal *r)
{
    str_t meaning = smtp_hint_meaning(r);
    const char *hint = smtp_hint(r);
    if (meaning.len > 0)
        json_object_set_new(o, "meaning", cli_json_str(meaning));
    if (hint != NULL)
        json_object_set_new(o, "hint", json_string(hint));
}

static json_t *session_json(const struct send *s)
{
    char text[NETADDR_TEXT];
    json_t *o = json_object();
    if (s->plan.socket != NULL)
        json_object_set_new(o, "server", cli_json_str(str_c(s->plan.socket)));
    else
        json_object_set_new(o, "server", json_string(netaddr_text_port(&s->call.address, text)));
    if (s->call.encrypted) {
        json_t *tls = json_object();
        json_object_set_new(tls, "version", json_string(s->call.info.version));
        json_object_set_new(tls, "cipher", json_string(s->call.info.cipher));
        json_object_set_new(tls, "verified", json_boolean(s->plan.verify));
        json_object_set_new(o, "tls", tls);
    }
    if (s->call.mech[0] != '\0')
        json_object_set_new(o, "auth", json_string(s->call.mech));
    return o;
}

/* What went wrong before there was a session. */
static int report_call(struct send *s)
{
    static const char *const when[] = {[CALL_CONNECT] = "cannot connect",
                                       [CALL_GREETING] = "the server does not let us in",
                                       [CALL_TLS] = "no TLS",
                                       [CALL_AUTH] = "the login failed",
                                       [CALL_OPEN] = "the server"};
    const struct err *e = &s->call.err;
    bool perm = s->call.code != 0 ? s->call.code / 100 == 5 : e->rc == RC_PERM;
    /* waiting mends no certificate */
    perm = perm || (s->call.step == CALL_TLS && strcmp(e->status, "4.7.5") == 0);
    int code = perm ? CLI_FAILED : CLI_LATER;
    struct smtp_refusal r = refusal(s, s->call.code, e->status, str_c(e->text));
    if (s->c->json) {
        json_t *o = session_json(s);
        json_object_set_new(o, "error", cli_json_str(str_c(e->text)));
        json_object_set_new(o, "code", json_integer(code));
        add_hints(o, &r);
        cli_print_json(o);
        return code;
    }
    (void)cli_fail(s->c, code, "%s: " STR_FMT, when[s->call.step],
                   STR_ARG(cli_safe(s->c, str_c(e->text))));
    say_hints(&r);
    return code;
}

static json_t *verdict_json(const struct send *s, size_t i, enum rc rc, const struct smtpc_reply *r,
                            const struct smtp_refusal *why)
{
    json_t *o = json_object();
    json_object_set_new(o, "to", cli_json_str(s->to[i]));
    json_object_set_new(o, "result", json_string(rc_name(rc)));
    json_object_set_new(o, "code", json_integer(r->code));
    json_object_set_new(o, "status", json_string(r->status));
    json_object_set_new(o, "text", cli_json_str(r->text));
    if (rc != RC_OK)
        add_hints(o, why);
    return o;
}

static void say_refused(const struct send *s, size_t i, enum rc rc, const struct smtpc_reply *r)
{
    char code[8] = "";
    if (r->code != 0)
        snprintf(code, sizeof code, "%d ", r->code);
    fprintf(stderr, "postrider: " STR_FMT ": %s: %s%s%s" STR_FMT "\n",
            STR_ARG(cli_safe(s->c, s->to[i])), rc == RC_PERM ? "refused" : "not now", code,
            r->status, r->status[0] != '\0' ? " " : "", STR_ARG(cli_safe(s->c, r->text)));
}

/* One line a recipient that was refused, one for those that were taken. What is the same for the
 * next is explained once. The worst outcome decides the exit code. */
static int report(struct send *s)
{
    json_t *list = json_array();
    int code = CLI_OK;
    size_t taken = 0;
    str_t last = STR_NONE, explained = STR_NONE;
    for (size_t i = 0; i < s->n; i++) {
        struct smtpc_reply r = {0};
        enum rc rc = smtpc_verdict(s->call.smtp, i, &r);
        struct smtp_refusal why = refusal(s, r.code, r.status, r.text);
        json_array_append_new(list, verdict_json(s, i, rc, &r, &why));
        if (rc == RC_OK) {
            taken++;
            last = r.text;
            continue;
        }
        code = rc == RC_PERM ? CLI_FAILED : code == CLI_OK ? CLI_LATER : code;
        if (s->c->json)
            continue;
        say_refused(s, i, rc, &r);
        if (!str_eq(explained, r.text))
            say_hints(&why);
        explained = r.text;
    }
    if (s->c->json) {
        json_t *o = session_json(s);
        json_object_set_new(o, "recipients", list);
        cli_print_json(o);
        return code;
    }
    json_decref(list);
    if (taken > 0)
        printf("taken for %zu of %zu: " STR_FMT "\n", taken, s->n, STR_ARG(cli_safe(s->c, last)));
    return code;
}

/* ---- what is done ---- */

static void send_content(struct send *s, str_t content)
{
    struct smtpc *c = s->call.smtp;
    while (smtpc_accepting(c) && content.len > 0) {
        str_t piece = str_first(content, SMTPC_CONTENT_MAX);
        content = str_from(content, piece.len);
        smtpc_content(c, piece);
        if (!call_pump(&s->call))
            return;
    }
    if (smtpc_accepting(c)) {
        smtpc_end(c);
        (void)call_pump(&s->call);
    }
}

static int transact(struct send *s, str_t content)
{
    struct smtpc_dsn *dsn = arena_array(&s->c->arena, s->n, sizeof *dsn);
    struct smtpc_envelope e = {
        .reverse_path = s->o.message.from,
        .recipients = s->to,
        .n = s->n,
        .size = content.len,
        .dsn = dsn,
        .envid = s->o.envid,
        .ret = s->o.ret,
    };
    if (dsn == NULL)
        return cli_fail(s->c, CLI_LATER, "out of memory");
    for (size_t i = 0; i < s->n; i++)
        dsn[i].notify = s->o.notify;
    for (size_t i = 0; i < content.len && !e.body_8bit; i++)
        e.body_8bit = (unsigned char)content.ptr[i] >= 0x80;
    smtpc_begin(s->call.smtp, &e);
    if (call_pump(&s->call))
        send_content(s, content);
    return report(s);
}

static int deliver(struct send *s, str_t content)
{
    int code = call_open(&s->call, s->c, &s->plan) ? transact(s, content) : report_call(s);
    call_close(&s->call);
    return code;
}

static bool all_recipients(struct send *s)
{
    const struct compose *m = &s->o.message;
    s->to = arena_array(&s->c->arena, m->nto + m->ncc + s->o.nbcc, sizeof *s->to);
    if (s->to == NULL)
        return false;
    for (size_t i = 0; i < m->nto; i++)
        s->to[s->n++] = m->to[i];
    for (size_t i = 0; i < m->ncc; i++)
        s->to[s->n++] = m->cc[i];
    for (size_t i = 0; i < s->o.nbcc; i++)
        s->to[s->n++] = s->o.bcc[i];
    return true;
}

/* The first domain of the server that is set up here. None: there is none, or not for us to read. */
static str_t own_domain(struct cli *c)
{
    str_t domain = STR_NONE;
    str_t file = arena_fmt(&c->arena, STR_FMT "/mail.mdb", STR_ARG(c->settings.data_dir));
    const char *path = arena_cstr(&c->arena, file);
    if (path == NULL || access(path, R_OK | W_OK) != 0 || cli_store(c, true) == NULL)
        return STR_NONE;
    enum store_rc rc = directory_first_domain(c->store, &c->arena, &domain);
    return rc == STORE_OK ? domain : STR_NONE;
}

/* Who sends it, where nobody was named: to that address the reports go. On the socket it is of our
 * host's name, which the server makes an address of its first domain if it must (sendmail(1)). */
static int default_sender(struct send *s)
{
    struct cli *c = s->c;
    str_t *from = &s->o.message.from;
    if (s->o.user != NULL && strchr(s->o.user, '@') != NULL) {
        *from = str_c(s->o.user);
        return CLI_OK;
    }
    str_t domain = s->plan.socket != NULL ? c->settings.hostname : own_domain(c);
    if (domain.len == 0)
        return cli_fail(c, CLI_USAGE,
                        "whose mail is it? Name the sender: --from ADDRESS (no domain of ours is "
                        "known here by which it could be the postmaster)");
    *from = arena_fmt(&c->arena, "postmaster@" STR_FMT, STR_ARG(domain));
    return CLI_OK;
}

int cmd_send(struct cli *c, int argc, char **argv)
{
    struct send s = {.c = c};
    if (!send_options_parse(c, argc, argv, &s.o))
        return CLI_USAGE;
    if (!all_recipients(&s))
        return cli_fail(c, CLI_LATER, "out of memory");
    struct buf content;
    buf_init(&content, COMPOSE_OUTPUT_MAX);
    int code = send_plan(c, &s.o, &s.plan);
    if (code == CLI_OK && s.o.message.from.ptr == NULL)
        code = default_sender(&s);
    if (code == CLI_OK)
        code = send_password(c, &s.o, &s.plan);
    if (code == CLI_OK)
        code = compose_message(c, &s.o.message, STDIN_FILENO, &content);
    if (code == CLI_OK)
        code = deliver(&s, buf_str(&content));
    if (s.plan.password.len > 0)
        explicit_bzero((void *)(uintptr_t)s.plan.password.ptr, s.plan.password.len);
    buf_free(&content);
    return code;
}
