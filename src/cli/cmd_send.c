/* cmd_send.c: `postrider send`: a message by SMTP to any server, the dialogue shown on request. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/compose.h"
#include "cli/dialogue.h"
#include "proto/smtp/client.h"
#include "roles/courier/client_io.h"

enum { CONNECT_MS = 30 * 1000, RECIPIENTS_MAX = 1000 };

struct send {
    struct cli *c;
    struct compose message;
    str_t *to;
    const char *server;
    bool verbose;
};

static bool parse(struct send *s, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "-v") == 0 || strcmp(name, "--verbose") == 0) {
            s->verbose = true;
            continue;
        }
        if (i + 1 >= argc)
            return false;
        str_t value = str_c(argv[++i]);
        if (strcmp(name, "--to") == 0 && s->message.nto < RECIPIENTS_MAX) {
            s->to[s->message.nto++] = value;
        } else if (strcmp(name, "--from") == 0) {
            s->message.from = value;
        } else if (strcmp(name, "--subject") == 0) {
            s->message.subject = value;
            s->message.has_subject = true;
        } else if (strcmp(name, "--body") == 0) {
            s->message.body = value;
            s->message.has_body = true;
        } else if (strcmp(name, "--server") == 0) {
            s->server = argv[i];
        } else {
            return false;
        }
    }
    s->message.to = s->to;
    return s->message.nto > 0;
}

/* Where to connect: --server ADDRESS:PORT, else where this server listens, by loopback if it
 * listens everywhere. */
static int find_server(const struct send *s, struct netaddr *out)
{
    const struct settings *set = &s->c->settings;
    if (s->server != NULL) {
        if (netaddr_parse_port(str_c(s->server), out))
            return CLI_OK;
        if (netaddr_parse(str_c(s->server), out)) {
            out->port = 25;
            return CLI_OK;
        }
        return cli_fail(s->c, CLI_USAGE,
                        "--server wants ADDRESS:PORT, such as 127.0.0.1:25 or [::1]:25");
    }
    if (set->n_listen_smtp == 0)
        return cli_fail(s->c, CLI_USAGE,
                        "this server listens for no SMTP; name one with --server ADDRESS:PORT");
    *out = set->listen_smtp[0];
    static const uint8_t any[16] = {0};
    if (memcmp(out->bytes, any, sizeof any) == 0) {
        uint16_t port = out->port;
        bool ok = netaddr_parse(out->family == NETADDR_V4 ? STR("127.0.0.1") : STR("::1"), out);
        must(ok);
        out->port = port;
    }
    return CLI_OK;
}

static json_t *verdict_json(const struct send *s, size_t i, enum rc rc, const struct smtpc_reply *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "to", cli_json_str(s->to[i]));
    json_object_set_new(o, "result", json_string(rc_name(rc)));
    json_object_set_new(o, "code", json_integer(r->code));
    json_object_set_new(o, "status", json_string(r->status));
    json_object_set_new(o, "text", cli_json_str(r->text));
    return o;
}

/* One line a recipient that was refused, one for those that were taken. The worst outcome decides
 * the exit code. */
static int report(struct send *s, const struct smtpc *c)
{
    json_t *list = json_array();
    int code = CLI_OK;
    size_t taken = 0;
    str_t last = STR_NONE;
    for (size_t i = 0; i < s->message.nto; i++) {
        struct smtpc_reply r = {0};
        enum rc rc = smtpc_verdict(c, i, &r);
        json_array_append_new(list, verdict_json(s, i, rc, &r));
        if (rc == RC_OK) {
            taken++;
            last = r.text;
            continue;
        }
        code = rc == RC_PERM ? CLI_FAILED : code == CLI_OK ? CLI_LATER : code;
        if (!s->c->json)
            fprintf(stderr, "postrider: " STR_FMT ": %s: %d %s " STR_FMT "\n",
                    STR_ARG(cli_safe(s->c, s->to[i])), rc == RC_PERM ? "refused" : "not now",
                    r.code, r.status, STR_ARG(cli_safe(s->c, r.text)));
    }
    if (s->c->json) {
        cli_print_json(list);
    } else {
        json_decref(list);
        if (taken > 0)
            printf("taken for %zu of %zu: " STR_FMT "\n", taken, s->message.nto,
                   STR_ARG(cli_safe(s->c, last)));
    }
    return code;
}

/* Moves what the engine has to say until it is ready for the next step; false: the connection is
 * over. */
static bool pump(struct send *s, struct smtpc *c, struct conn *conn)
{
    return smtpc_pump(c, conn, &s->c->env, SMTPC_NO_LIMIT) == SMTPC_READY;
}

static void send_content(struct send *s, struct smtpc *c, struct conn *conn, str_t content)
{
    while (smtpc_accepting(c) && content.len > 0) {
        str_t piece = str_first(content, SMTPC_CONTENT_MAX);
        content = str_from(content, piece.len);
        smtpc_content(c, piece);
        if (!pump(s, c, conn))
            return;
    }
    if (smtpc_accepting(c)) {
        smtpc_end(c);
        (void)pump(s, c, conn);
    }
}

static int transact(struct send *s, struct smtpc *c, struct conn *conn, str_t content)
{
    struct smtpc_envelope e = {
        .reverse_path = s->message.from,
        .recipients = s->to,
        .n = s->message.nto,
        .size = content.len,
    };
    for (size_t i = 0; i < content.len && !e.body_8bit; i++)
        e.body_8bit = (unsigned char)content.ptr[i] >= 0x80;
    bool ready = pump(s, c, conn);
    if (ready) {
        smtpc_hello(c);
        ready = pump(s, c, conn);
    }
    if (!ready)
        return cli_fail(s->c, CLI_LATER, "%s", smtpc_error(c)->text);
    smtpc_begin(c, &e);
    if (pump(s, c, conn))
        send_content(s, c, conn, content);
    int code = report(s, c);
    if (smtpc_want(c) == SMTPC_READY) {
        smtpc_quit(c);
        (void)pump(s, c, conn);
    }
    return code;
}

static int deliver(struct send *s, str_t content)
{
    struct netaddr to;
    struct err err = {0};
    struct conn *conn;
    char text[NETADDR_TEXT];
    int code = find_server(s, &to);
    if (code != CLI_OK)
        return code;
    struct env *env = &s->c->env;
    if (env->connect(env, &to, NULL, env->mono_ms(env) + CONNECT_MS, &conn, &err) != RC_OK)
        return cli_fail(s->c, CLI_LATER, "cannot connect to %s: %s", netaddr_text_port(&to, text),
                        err.text);
    if (s->verbose)
        conn = dialogue_show(s->c, conn);
    struct smtpc_config config = {.hostname = s->c->settings.hostname};
    struct smtpc *c = conn != NULL ? smtpc_new(&config) : NULL;
    code = c != NULL ? transact(s, c, conn, content) : cli_fail(s->c, CLI_LATER, "out of memory");
    if (c != NULL)
        smtpc_free(c);
    if (conn != NULL)
        conn->ops->close(conn);
    return code;
}

int cmd_send(struct cli *c, int argc, char **argv)
{
    struct send s = {.c = c, .to = arena_array(&c->arena, RECIPIENTS_MAX, sizeof(str_t))};
    if (s.to == NULL)
        return cli_fail(c, CLI_LATER, "out of memory");
    if (!parse(&s, argc, argv))
        return cli_usage(c);
    if (s.message.from.len == 0)
        s.message.from = arena_fmt(&c->arena, "postmaster@" STR_FMT, STR_ARG(c->settings.hostname));
    struct buf content;
    buf_init(&content, 3 * COMPOSE_INPUT_MAX);
    int code = compose_message(c, &s.message, 0, &content);
    if (code == CLI_OK)
        code = deliver(&s, buf_str(&content));
    buf_free(&content);
    return code;
}
