/* cmd_sendmail.c: `sendmail`, `mailq`, `newaliases`. See sendmail.h.
 *
 * A message is off our hands when the server has said 250, or when it lies synced in the user's
 * folder: then the exit code is EX_TEMPFAIL and a line says where. Everything else is an error that
 * says that nothing was sent. */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli/sendmail.h"
#include "cli/sendmail_options.h"
#include "sys/env.h"

enum { FLUSH_BESIDE = 100 /* kept messages sent behind one's own: whoever called waits */ };

void sendmail_say(const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "sendmail: %s\n", text);
}

/* For what the server refused. */
static int sendmail_exit_code(const struct submit_outcome *o)
{
    str_t status = str_c(o->status);
    if (str_eq(status, STR("5.1.2")))
        return EX_NOHOST;
    if (str_eq(status, STR("5.1.3")) || str_eq(status, STR("5.1.7")) ||
        str_starts(status, STR("5.6.")) || str_eq(status, STR("5.2.3")) ||
        str_eq(status, STR("5.3.4")))
        return EX_DATAERR;
    if (str_starts(status, STR("5.1.")) || str_starts(status, STR("5.2.")))
        return EX_NOUSER;
    return EX_UNAVAILABLE;
}

/* ---- the message ---- */

static int read_content(const struct sendmail_options *o, struct buf *out)
{
    struct sendmail_lines lines = {.ignore_dots = o->ignore_dots};
    char bytes[65536];
    while (!lines.ended && !out->failed) {
        ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            sendmail_say("cannot read the message: %s; it was NOT sent", strerror(errno));
            return EX_IOERR;
        }
        if (n == 0)
            break;
        sendmail_lines_add(&lines, str_of(bytes, (size_t)n), out);
    }
    sendmail_lines_end(&lines, out);
    if (!out->failed)
        return EX_OK;
    sendmail_say("the message is larger than 256 MiB; it was NOT sent");
    return EX_DATAERR;
}

/* The person's name as passwd(5) has it: the first part of the comment, "&" for the login. */
static str_t person(const struct passwd *who, struct arena *a)
{
    struct buf b;
    buf_init(&b, 512);
    str_t text = who->pw_gecos != NULL ? str_c(who->pw_gecos) : STR_NONE, first;
    if (str_cut(&text, ',', &first))
        text = first;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '&')
            buf_add(&b, str_c(who->pw_name));
        else
            buf_addc(&b, text.ptr[i]);
    }
    str_t name = b.failed ? STR_NONE : arena_dup(a, str_trim(buf_str(&b)));
    buf_free(&b);
    return name;
}

/* -f and -F, or who runs this. */
static int take_sender(struct cli *c, const struct sendmail_options *o, struct sendmail_message *m)
{
    const struct passwd *who = getpwuid(getuid());
    m->full_name = o->full_name;
    if (m->full_name.len == 0 && who != NULL && !o->has_sender)
        m->full_name = person(who, &c->arena);
    if (!o->has_sender) {
        m->sender = who != NULL ? arena_dup(&c->arena, str_c(who->pw_name))
                                : arena_fmt(&c->arena, "uid-%lu", (unsigned long)getuid());
    } else if (o->sender.len > 0 && !sendmail_one_address(o->sender, &c->arena, &m->sender)) {
        sendmail_say("-f: \"%.100s\" is no address; the message was NOT sent", o->sender.ptr);
        return EX_DATAERR;
    }
    return EX_OK;
}

static int take_recipients(struct cli *c, const struct sendmail_options *o,
                           struct sendmail_message *m)
{
    struct err err = {0};
    bool ok = true;
    for (int i = 0; ok && i < o->n_recipients; i++)
        ok = sendmail_add_recipients(m, str_c(o->recipients[i]), o->notify, &c->arena, &err);
    if (ok && o->from_header)
        ok = sendmail_header_recipients(m, o->notify, &c->arena, &err);
    if (!ok) {
        str_t safe = cli_safe(c, str_c(err.text));
        sendmail_say(STR_FMT "; the message was NOT sent", STR_ARG(safe));
        return err.rc == RC_PERM ? EX_DATAERR : EX_OSERR;
    }
    if (m->n > 0)
        return EX_OK;
    sendmail_say("there are no recipients in To, Cc or Bcc; the message was NOT sent");
    return EX_DATAERR;
}

/* ---- what becomes of it ---- */

/* Into the user's own folder. */
static int keep(struct cli *c, const struct sendmail_message *m, const char *why)
{
    struct unsent u;
    struct err err = {0};
    char name[UNSENT_NAME] = "";
    if (!unsent_open(&u, true, &err)) {
        sendmail_say("%s. The message was NOT kept: %s", why, err.text);
        return EX_CANTCREAT;
    }
    enum unsent_kept kept = unsent_keep(&u, &c->env, m, name, &err);
    if (kept == UNSENT_KEPT)
        sendmail_say("%s. The message is kept in %s/%s; the next sendmail, or sendmail -q, "
                     "sends it",
                     why, u.path, name);
    else
        sendmail_say("%s. The message was NOT kept: %s", why, err.text);
    unsent_close(&u);
    return kept == UNSENT_KEPT ? EX_TEMPFAIL : kept == UNSENT_CANNOT_MAKE ? EX_CANTCREAT : EX_IOERR;
}

static int keep_rest(struct cli *c, const struct sendmail_result *r)
{
    char why[400];
    str_t text = cli_safe(c, r->why_later.text);
    if (r->why_later.code != 0)
        snprintf(why, sizeof why, "the mail server says %d " STR_FMT, r->why_later.code,
                 STR_ARG(str_first(text, 300)));
    else
        snprintf(why, sizeof why, "the mail server: " STR_FMT, STR_ARG(str_first(text, 300)));
    return keep(c, &r->later, why);
}

/* Behind one's own message: what waited for the server to come back. Failing in that is no failure
 * of this call. */
static void flush_beside(struct submit *s)
{
    struct unsent u;
    struct err err = {0};
    size_t sent, left;
    if (smtpc_want(s->smtp) != SMTPC_READY || !unsent_open(&u, false, &err))
        return;
    (void)sendmail_flush(s, &u, FLUSH_BESIDE, &sent, &left);
    unsent_close(&u);
}

static int submit(struct cli *c, const struct sendmail_options *o, const struct sendmail_message *m)
{
    struct submit s;
    struct err err = {0};
    struct sendmail_result r;
    if (!submit_open(&s, c, o->verbose, &err)) {
        char why[400];
        snprintf(why, sizeof why, "the mail server does not answer (%s)", err.text);
        return keep(c, m, why);
    }
    if (!sendmail_send(&s, m, &c->arena, "", &r)) {
        submit_close(&s);
        return keep(c, m, "out of memory");
    }
    int code = r.later.n > 0 ? keep_rest(c, &r) : EX_OK;
    if (r.refused.n > 0) {
        if (r.taken > 0)
            sendmail_say("the other recipients get it");
        else if (r.later.n == 0)
            sendmail_say("the message was NOT sent");
        code = sendmail_exit_code(&r.why_refused);
    }
    flush_beside(&s);
    submit_close(&s);
    return code;
}

static int send_message(struct cli *c, const struct sendmail_options *o)
{
    struct sendmail_message m = {.ret = (uint8_t)o->ret, .envid = o->envid};
    struct buf content;
    if (o->n_recipients == 0 && !o->from_header) {
        sendmail_say("to whom? Name recipients, or take them from the header with -t");
        return EX_USAGE;
    }
    buf_init(&content, 2 * SENDMAIL_INPUT_MAX);
    int code = read_content(o, &content);
    m.content = sendmail_skip_from_line(buf_str(&content));
    if (code == EX_OK && content.len > SENDMAIL_INPUT_MAX) {
        sendmail_say("the message is larger than 256 MiB; it was NOT sent");
        code = EX_DATAERR;
    }
    if (code == EX_OK)
        code = take_sender(c, o, &m);
    if (code == EX_OK)
        code = take_recipients(c, o, &m);
    if (code == EX_OK)
        code = submit(c, o, &m);
    buf_free(&content);
    return code;
}

/* ---- which of them ---- */

static int run(struct cli *c, const struct sendmail_options *o)
{
    switch (o->mode) {
    case SENDMAIL_SEND: return send_message(c, o);
    case SENDMAIL_SMTP: return sendmail_smtp();
    case SENDMAIL_LIST: return sendmail_list(c);
    case SENDMAIL_FLUSH: return sendmail_flush_all(c, o->verbose);
    case SENDMAIL_NEWALIASES: break;
    }
    puts("Aliases live in the server's store and change at once (`postrider alias set`): nothing "
         "to do.");
    return EX_OK;
}

static int as(struct cli *c, enum sendmail_mode mode, int argc, char **argv)
{
    struct sendmail_options o = {.mode = mode};
    sys_env_init(&c->env);
    (void)signal(SIGPIPE, SIG_IGN);
    if (!sendmail_options_parse(argc, argv, &o)) {
        sendmail_say("%s", o.error);
        return EX_USAGE;
    }
    return run(c, &o);
}

int cmd_sendmail(struct cli *c, int argc, char **argv)
{
    return as(c, SENDMAIL_SEND, argc, argv);
}

int cmd_mailq(struct cli *c, int argc, char **argv)
{
    return as(c, SENDMAIL_LIST, argc, argv);
}

int cmd_newaliases(struct cli *c, int argc, char **argv)
{
    return as(c, SENDMAIL_NEWALIASES, argc, argv);
}
