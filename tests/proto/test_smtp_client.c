/* test_smtp_client.c: The SMTP client engine against scripted servers: each script is played whole,
 * cut at every byte, and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/sasl/client.h"
#include "proto/smtp/client.h"

/* A script: lines that begin with '<' are said by the server, '>' are expected from the client, in
 * this order. "!eof" and "!expire" happen to the client. Server lines end in CRLF; "\\" at the end
 * of one: bare LF. */
struct play {
    const char *name, *script;
    bool lmtp;
    struct smtpc_envelope env; /* sent `messages` times; recipients from `to` */
    const char *to[4];
    const char *content;
    int messages;
    /* for each message and recipient "rc code status text;", then "dead: status text" if it died */
    const char *want;
    bool starttls;      /* after the hello; if granted, it is said again */
    const char *log_in; /* a mechanism: then AUTH as me, with password secret */
};

static const char *script_at; /* what is left of the script */

static str_t script_line(void)
{
    const char *end = strchr(script_at, '\n');
    return str_of(script_at, end != NULL ? (size_t)(end - script_at) : strlen(script_at));
}

static void script_next(str_t line)
{
    script_at = line.ptr + line.len + (line.ptr[line.len] == '\n');
}

static void expect_output(struct smtpc *c)
{
    str_t out = smtpc_output(c);
    size_t n = out.len;
    while (out.len > 0) {
        str_t line = script_line();
        char text[2048];
        assert_true(line.len > 0 && line.ptr[0] == '>');
        int len = snprintf(text, sizeof text, STR_FMT "\r\n", STR_ARG(str_from(line, 1)));
        if (!str_starts(out, str_of(text, (size_t)len)))
            fail_msg("expected >%s got >" STR_FMT, text, STR_ARG(out));
        out = str_from(out, (size_t)len);
        script_next(line);
    }
    smtpc_sent(c, n);
}

static void feed_cut(struct smtpc *c, str_t bytes, size_t *fed, size_t cut)
{
    for (size_t i = 0; i < bytes.len;) {
        size_t n = bytes.len - i;
        if (cut == 0)
            n = 1;
        else if (*fed < cut && cut - *fed < n)
            n = cut - *fed;
        char *exact = malloc(n); /* so that ASan sees a look beyond */
        assert_non_null(exact);
        memcpy(exact, bytes.ptr + i, n);
        smtpc_feed(c, str_of(exact, n));
        free(exact);
        i += n;
        *fed += n;
    }
}

/* What the server says next, up to where the client has to speak. */
static void give_input(struct smtpc *c, size_t *fed, size_t cut)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    str_t line = script_line();
    if (str_eq(line, STR("!eof")) || str_eq(line, STR("!expire"))) {
        script_next(line);
        if (str_eq(line, STR("!eof")))
            smtpc_eof(c);
        else
            smtpc_expire(c);
        return;
    }
    if (line.len == 0 || line.ptr[0] != '<')
        fail_msg("the client waits for input, the script says: " STR_FMT, STR_ARG(line));
    for (; line.len > 0 && line.ptr[0] == '<'; line = script_line()) {
        bool lf = str_ends(line, STR("\\"));
        buf_add(&b, str_of(line.ptr + 1, line.len - 1 - lf));
        buf_add(&b, lf ? STR("\n") : STR("\r\n"));
        script_next(line);
    }
    /* scripts are C strings */
    for (size_t i = 0; i < b.len; i++)
        if (b.ptr[i] == '\x01')
            b.ptr[i] = '\0';
    feed_cut(c, buf_str(&b), fed, cut);
    buf_free(&b);
}

static void pump(struct smtpc *c, size_t *fed, size_t cut)
{
    for (;;) {
        switch (smtpc_want(c)) {
        case SMTPC_READY:
        case SMTPC_DEAD: return;
        case SMTPC_OUTPUT: expect_output(c); break;
        case SMTPC_INPUT: give_input(c, fed, cut); break;
        }
    }
}

static void starttls(struct smtpc *c, size_t *fed, size_t cut, struct buf *got)
{
    smtpc_starttls(c);
    pump(c, fed, cut);
    if (smtpc_tls(c) == SMTPC_TLS_REFUSED)
        buf_addf(got, "no TLS: %s;", smtpc_refusal(c)->text);
    if (smtpc_tls(c) != SMTPC_TLS_GRANTED || smtpc_want(c) == SMTPC_DEAD)
        return;
    if (str_starts(script_line(), STR("<")))
        give_input(c, fed, cut); /* before TLS */
    smtpc_tls_started(c);
    assert_false(smtpc_features(c)->starttls || smtpc_features(c)->size);
    smtpc_hello(c);
    pump(c, fed, cut);
}

static void log_in(struct smtpc *c, const char *mech, size_t *fed, size_t cut, struct buf *got)
{
    static const uint8_t nonce[24] = "fixed";
    const struct sasl_credentials who = {
        .name = STR("me"), .password = STR("secret"), .allow_plain = true, .only = mech};
    struct err err;
    struct arena a;
    arena_init(&a, 1 << 20);
    struct saslc *sasl = saslc_begin(&a, str_c(smtpc_features(c)->mechanisms), &who, nonce, &err);
    assert_non_null(sasl);
    smtpc_auth(c, sasl);
    pump(c, fed, cut);
    saslc_end(sasl);
    arena_free(&a);
    if (smtpc_want(c) == SMTPC_READY)
        buf_addf(got, "%s;", smtpc_authenticated(c) ? "authenticated" : smtpc_refusal(c)->text);
}

static void play_cut(const struct play *p, size_t cut, size_t *fed)
{
    struct smtpc_config config = {.hostname = STR("me.test"), .lmtp = p->lmtp};
    struct smtpc *c = smtpc_new(&config);
    struct buf got;
    str_t to[4];
    struct smtpc_envelope e = p->env;
    for (e.n = 0; e.n < 4 && p->to[e.n] != NULL; e.n++)
        to[e.n] = str_c(p->to[e.n]);
    e.recipients = to;
    buf_init(&got, 1 << 16);
    *fed = 0;
    script_at = p->script;
    pump(c, fed, cut);
    smtpc_hello(c);
    pump(c, fed, cut);
    if (p->starttls)
        starttls(c, fed, cut, &got);
    if (p->log_in != NULL && smtpc_want(c) == SMTPC_READY)
        log_in(c, p->log_in, fed, cut, &got);
    for (int m = 0; m < p->messages; m++) {
        smtpc_begin(c, &e);
        pump(c, fed, cut);
        /* the server speaks out of turn */
        if (str_starts(script_line(), STR("<")) && smtpc_accepting(c))
            give_input(c, fed, cut);
        if (smtpc_accepting(c)) {
            smtpc_content(c, str_c(p->content));
            if (p->env.body_binary) { /* in two chunks */
                pump(c, fed, cut);
                smtpc_content(c, str_c(p->content));
            }
            smtpc_end(c);
        }
        pump(c, fed, cut);
        for (size_t i = 0; i < e.n; i++) {
            struct smtpc_reply r;
            enum rc rc = smtpc_verdict(c, i, &r);
            buf_addf(&got, "%s %d %s " STR_FMT ";", rc_name(rc), r.code, r.status, STR_ARG(r.text));
        }
    }
    if (smtpc_want(c) == SMTPC_READY && str_starts(script_line(), STR("<")))
        give_input(c, fed, cut); /* between messages */
    if (smtpc_want(c) == SMTPC_READY && str_starts(script_line(), STR(">QUIT"))) {
        smtpc_quit(c);
        pump(c, fed, cut);
    } else if (smtpc_want(c) == SMTPC_DEAD) {
        buf_addf(&got, "dead: %s %s", smtpc_error(c)->status, smtpc_error(c)->text);
    }
    buf_addc(&got, '\0');
    if (strcmp(got.ptr, p->want) != 0)
        fail_msg("%s, cut %zu:\n got %s\nwant %s", p->name, cut, got.ptr, p->want);
    if (*script_at != '\0')
        fail_msg("%s, cut %zu: the script goes on: %s", p->name, cut, script_at);
    buf_free(&got);
    smtpc_free(c);
}

static void play(const struct play *p)
{
    size_t total, fed;
    play_cut(p, SIZE_MAX, &total);
    for (size_t cut = 0; cut < total; cut++)
        play_cut(p, cut, &fed);
}

#define HELLO_PLAIN "<220 mx.test ESMTP\n>EHLO me.test\n<250 mx.test\n"
#define HELLO_PIPE  "<220 mx.test ESMTP\n>EHLO me.test\n<250-mx.test hi\n<250 PIPELINING\n"
#define FROM        .env = {.reverse_path = {"a@me.test", 9}, .size = 9}
#define ONE         .to = {"b@x.test"}, .content = "S: x\r\n\r\nhi", .messages = 1
#define TWO         .to = {"b@x.test", "c@x.test"}, .content = "S: x\r\n\r\nhi", .messages = 1
#define GROUP_1     ">MAIL FROM:<a@me.test>\n>RCPT TO:<b@x.test>\n>DATA\n"
#define GROUP_2     ">MAIL FROM:<a@me.test>\n>RCPT TO:<b@x.test>\n>RCPT TO:<c@x.test>\n>DATA\n"
#define BODY        ">S: x\n>\n>hi\n>.\n"

static const struct smtpc_dsn dsn_two[] = {
    {SMTPC_NOTIFY_SUCCESS | SMTPC_NOTIFY_DELAY, STR("rfc822;B+c@x.test")},
    {SMTPC_NOTIFY_NEVER, {0}}};
static const struct smtpc_dsn dsn_utf8[] = {{0, STR("utf-8;\xc3\xbc+\\x{E9}@x.test")}};

/* clang-format off: a script a row */
static const struct play plays[] = {
    {"pipelined",
     HELLO_PIPE GROUP_2 "<250 2.1.0 ok\n<250 2.1.5 ok\n<251 2.1.5 ok\n<354 go\n" BODY
                        "<250 2.0.0 queued as 1\n>QUIT\n<221 bye\n",
     FROM, TWO, .want = "ok 250 2.0.0 queued as 1;ok 250 2.0.0 queued as 1;"},
    {"one by one",
     HELLO_PLAIN ">MAIL FROM:<a@me.test>\n<250 ok\n>RCPT TO:<b@x.test>\n<250 ok\n>RCPT "
                 "TO:<c@x.test>\n<250 ok\n>DATA\n"
                 "<354 go\n" BODY "<250 taken\n",
     FROM, TWO, .want = "ok 250  taken;ok 250  taken;"},
    {"HELO",
     "<220 old\n>EHLO me.test\n<502 what\n>HELO me.test\n<250 hi\n>MAIL FROM:<a@me.test>\n<250 "
     "ok\n>RCPT TO:<b@x.test>\n<250 ok\n"
     ">DATA\n<354 go\n" BODY "<250 ok\n",
     FROM, ONE, .want = "ok 250  ok;"},
    {"HELO refused",
     "<220 old\n>EHLO me.test\n<550-5.7.1 not\n<550 5.7.1 you\n>HELO me.test\n<550 5.7.1 no\n",
     FROM, ONE, .want = "temporary 0 5.7.1 HELO: 550 5.7.1 no;dead: 5.7.1 HELO: 550 5.7.1 no"},
    {"EHLO later", "<220 x\n>EHLO me.test\n<451 4.3.0 busy\n", FROM, ONE,
     .want = "temporary 0 4.3.0 EHLO: 451 4.3.0 busy;dead: 4.3.0 EHLO: 451 4.3.0 busy"},
    {"what is offered is used",
     "<220 x\n>EHLO me.test\n<250-x\n<250-size 10000\n<250-8bitmime\n<250-SMTPUTF8\n<250 "
     "Pipelining\n"
     ">MAIL FROM:<> SIZE=12 BODY=8BITMIME SMTPUTF8\n>RCPT TO:<b@x.test>\n>DATA\n<250 ok\n<250 "
     "ok\n<354 go\n" BODY "<250 ok\n",
     .env = {.size = 12, .body_8bit = true, .smtputf8 = true}, ONE, .want = "ok 250  ok;"},
    {"an address asks for SMTPUTF8",
     "<220 x\n>EHLO me.test\n<250-x\n<250 SMTPUTF8\n>MAIL FROM:<a@me.test> SMTPUTF8\n<250 ok\n"
     ">RCPT TO:<\xc3\xbc@x.test>\n<250 ok\n>DATA\n<354 go\n" BODY "<250 ok\n",
     FROM, .to = {"\xc3\xbc@x.test"}, .content = "S: x\r\n\r\nhi\r\n", .messages = 1,
     .want = "ok 250  ok;"},
    {"an address needs SMTPUTF8", HELLO_PIPE GROUP_1 "<250 ok\n<250 ok\n<354 go\n" BODY "<250 ok\n",
     FROM, .to = {"\xc3\xbc@x.test", "b@x.test"}, .content = "S: x\r\n\r\nhi\r\n", .messages = 1,
     .want = "permanent 0 5.6.7 the next server does not take internationalized addresses "
             "(SMTPUTF8);ok 250  ok;"},
    {"no 8BITMIME", HELLO_PIPE ">QUIT\n<221 ok\n", .env = {.body_8bit = true}, ONE,
     .want = "permanent 0 5.6.3 the next server does not take 8-bit content (8BITMIME);"},
    {"no SMTPUTF8", HELLO_PIPE ">QUIT\n<221 ok\n", .env = {.smtputf8 = true}, ONE,
     .want = "permanent 0 5.6.7 the next server does not take internationalized mail (SMTPUTF8);"},
    {"too large", "<220 x\n>EHLO me.test\n<250-x\n<250 SIZE 8\n>QUIT\n!eof\n", FROM, ONE,
     .want = "permanent 0 5.3.4 the message is larger than the next server takes;"},
    {"just fits",
     "<220 x\n>EHLO me.test\n<250-x\n<250 SIZE 9\n>MAIL FROM:<a@me.test> SIZE=9\n<552 5.3.4 no\n",
     FROM, ONE, .want = "permanent 552 5.3.4 no;"},
    {"SIZE 0 is no limit",
     "<220 x\n>EHLO me.test\n<250-x\n<250 SIZE 0\n>MAIL FROM:<a@me.test> SIZE=9\n<452 4.3.1 no\n",
     FROM, ONE, .want = "temporary 452 4.3.1 no;"},
    {"after success no RSET",
     HELLO_PIPE GROUP_1 "<250 a\n<250 b\n<354 go\n" BODY "<250 one\n" GROUP_1
                        "<250 a\n<250 b\n<354 go\n" BODY "<250 two\n",
     FROM, .to = {"b@x.test"}, .content = "S: x\r\n\r\nhi", .messages = 2,
     .want = "ok 250  one;ok 250  two;"},
    {"one refused, the next starts clean",
     HELLO_PIPE GROUP_2 "<250 ok\n<550 5.1.1 no such user\n<250 ok\n<354 go\n" BODY
                        "<450 4.2.0 not now\n>RSET\n" GROUP_2
                        "<250 reset\n<250 ok\n<250 ok\n<450 4.2.1 grey\n<354 go\n" BODY
                        "<250 2.0.0 yes\n",
     FROM, .to = {"b@x.test", "c@x.test"}, .content = "S: x\r\n\r\nhi", .messages = 2,
     .want = "permanent 550 5.1.1 no such user;temporary 450 4.2.0 not now;ok 250 2.0.0 "
             "yes;temporary 450 4.2.1 grey;"},
    {"all refused, DATA granted",
     HELLO_PIPE GROUP_2 "<250 ok\n<550 a\n<551 b\n<354 go\n>.\n<250 nothing\n>RSET\n" GROUP_2
                        "<250 ok\n<250 ok\n<550 a\n<551 b\n<354 go\n>.\n<554 no recipients\n",
     FROM, .to = {"b@x.test", "c@x.test"}, .content = "", .messages = 2,
     .want = "permanent 550  a;permanent 551  b;permanent 550  a;permanent 551  b;"},
    {"all refused, DATA too",
     HELLO_PIPE GROUP_2 "<250 ok\n<450 a\n<550 b\n<554 none\n>QUIT\n<221 x\n", FROM, TWO,
     .want = "temporary 450  a;permanent 550  b;"},
    {"one by one, all refused",
     HELLO_PLAIN ">MAIL FROM:<a@me.test>\n<250 ok\n>RCPT TO:<b@x.test>\n<550 no\n>RSET\n<250 ok\n"
                 ">MAIL FROM:<a@me.test>\n<250 ok\n>RCPT TO:<b@x.test>\n<550 still no\n",
     FROM, .to = {"b@x.test"}, .content = "", .messages = 2,
     .want = "permanent 550  no;permanent 550  still no;"},
    {"sender refused in a group",
     HELLO_PIPE GROUP_2 "<550 5.1.8 you\n<503 mail first\n<503 mail first\n<503 rcpt first\n", FROM,
     TWO, .want = "permanent 550 5.1.8 you;permanent 550 5.1.8 you;"},
    {"sender refused in a group, DATA granted",
     HELLO_PIPE GROUP_1 "<450 you\n<250 odd\n<354 very odd\n>.\n<250 ok\n", FROM, ONE,
     .want = "temporary 450  you;"},
    {"sender refused", HELLO_PLAIN ">MAIL FROM:<a@me.test>\n<451 4.7.1 later\n>QUIT\n<221 x\n",
     FROM, TWO, .want = "temporary 451 4.7.1 later;temporary 451 4.7.1 later;"},
    {"DATA refused",
     HELLO_PIPE GROUP_2 "<250 ok\n<250 ok\n<550 no\n<451 4.3.0 full\n>QUIT\n<221 x\n", FROM, TWO,
     .want = "temporary 451 4.3.0 full;permanent 550  no;"},
    {"DATA answered 250", HELLO_PIPE GROUP_1 "<250 ok\n<250 ok\n<250 what\n", FROM, ONE,
     .want =
         "temporary 0 4.5.0 unexpected reply 250 to DATA;dead: 4.5.0 unexpected reply 250 to DATA"},
    {"RCPT answered 354", HELLO_PIPE GROUP_1 "<250 ok\n<354 what\n", FROM, ONE,
     .want = "temporary 0 4.5.0 unexpected reply 354;dead: 4.5.0 unexpected reply 354"},
    {"too many recipients",
     HELLO_PIPE GROUP_2 "<250 ok\n<250 ok\n<552 too many\n<354 go\n" BODY "<250 ok\n", FROM, TWO,
     .want = "ok 250  ok;temporary 552  too many;"},
    {"mailbox full",
     HELLO_PIPE GROUP_2 "<250 ok\n<250 ok\n<552 5.2.2 full\n<354 go\n" BODY "<250 ok\n", FROM, TWO,
     .want = "ok 250  ok;permanent 552 5.2.2 full;"},
    {"LMTP",
     "<220 l LMTP\n>LHLO me.test\n<250-l\n<250 PIPELINING\n"
     ">MAIL FROM:<a@me.test>\n>RCPT TO:<b@x.test>\n>RCPT TO:<c@x.test>\n"
     ">RCPT TO:<d@x.test>\n>DATA\n<250 ok\n<250 ok\n<550 no\n<250 ok\n<354 go\n" BODY
     "<250 2.1.5 b\n<452 4.2.2 d full\n>QUIT\n<221 x\n",
     true, FROM, .to = {"b@x.test", "c@x.test", "d@x.test"}, .content = "S: x\r\n\r\nhi",
     .messages = 1, .want = "ok 250 2.1.5 b;permanent 550  no;temporary 452 4.2.2 d full;"},
    {"LMTP lost between replies",
     "<220 l LMTP\n>LHLO me.test\n<250-l\n<250 PIPELINING\n" GROUP_2
     "<250 ok\n<250 ok\n<250 ok\n<354 go\n" BODY "<250 2.1.5 b\n!eof\n",
     true, FROM, TWO,
     .want = "ok 250 2.1.5 b;closed 0 4.4.2 connection lost in reply to the end of the message;"
             "dead: 4.4.2 connection lost in reply to the end of the message"},
    {"LMTP has no HELO", "<220 l\n>LHLO me.test\n<500 what\n", true, FROM, ONE,
     .want = "temporary 0 4.3.2 EHLO: 500 what;dead: 4.3.2 EHLO: 500 what"},
    {"greeting 554", "<554-5.3.2 no\n<554 5.3.2 service\n", FROM, ONE,
     .want = "temporary 0 5.3.2 greeting: 554 5.3.2 no service;dead: 5.3.2 greeting: 554 5.3.2 no "
             "service"},
    {"greeting 421", "<421 4.3.2 full\n", FROM, ONE,
     .want = "temporary 0 4.3.2 closed by the peer: 421 4.3.2 full;dead: 4.3.2 closed by the peer: "
             "421 4.3.2 full"},
    {"no greeting", "!eof\n", FROM, ONE,
     .want = "closed 0 4.4.2 connection lost waiting for the greeting;"
             "dead: 4.4.2 connection lost waiting for the greeting"},
    {"greeting times out", "!expire\n", FROM, ONE,
     .want = "temporary 0 4.4.2 timed out waiting for the greeting;dead: 4.4.2 timed out waiting "
             "for the greeting"},
    {"421 to MAIL", HELLO_PIPE GROUP_2 "<421 4.4.5 enough\n", FROM, TWO,
     .want = "temporary 421 4.4.5 enough;temporary 421 4.4.5 enough;dead: 4.4.5 closed by the "
             "peer: 421 4.4.5 enough"},
    {"421 to RCPT", HELLO_PIPE GROUP_2 "<250 ok\n<550 5.1.1 no\n<421 4.4.5 enough\n", FROM, TWO,
     .want = "permanent 550 5.1.1 no;temporary 421 4.4.5 enough;dead: 4.4.5 closed by the peer: "
             "421 4.4.5 enough"},
    {"421 to the message",
     HELLO_PIPE GROUP_1 "<250 ok\n<250 ok\n<354 go\n" BODY "<421 4.3.0 disk\n", FROM, ONE,
     .want = "temporary 421 4.3.0 disk;dead: 4.3.0 closed by the peer: 421 4.3.0 disk"},
    {"421 between messages",
     HELLO_PIPE GROUP_1 "<250 ok\n<250 ok\n<354 go\n" BODY "<250 ok\n<421 idle\n", FROM, ONE,
     .want = "ok 250  ok;dead: 4.3.2 closed by the peer: 421 idle"},
    {"a reply too many", HELLO_PIPE GROUP_1 "<250 ok\n<250 ok\n<354 go\n" BODY "<250 ok\n<250 ok\n",
     FROM, ONE, .want = "ok 250  ok;dead: 4.3.2 a reply nobody asked for: 250 ok"},
    {"content answered before it was sent",
     HELLO_PIPE GROUP_1 "<250 ok\n<250 ok\n<354 go\n<250 queued\n", FROM, ONE,
     .want = "temporary 0 4.3.2 a reply nobody asked for: 250 queued;dead: 4.3.2 a reply nobody "
             "asked for: 250 queued"},
    {"a command answered before it was sent",
     HELLO_PLAIN ">MAIL FROM:<a@me.test>\n<250 ok\n<250 ok\n", FROM, ONE,
     .want = "temporary 0 4.5.0 a reply came before its command;dead: 4.5.0 a reply came before "
             "its command"},
    {"EHLO answered with the greeting", "<220 x\n<250 x\n", FROM, ONE,
     .want = "temporary 0 4.3.2 a reply nobody asked for: 250 x;dead: 4.3.2 a reply nobody asked "
             "for: 250 x"},
    {"lost in the group", HELLO_PIPE GROUP_2 "<250 ok\n<550 no\n!eof\n", FROM, TWO,
     .want = "permanent 550  no;closed 0 4.4.2 connection lost in reply to RCPT TO;dead: 4.4.2 "
             "connection lost in reply to RCPT TO"},
    {"lost after the dot", HELLO_PIPE GROUP_2 "<250 ok\n<550 no\n<250 ok\n<354 go\n" BODY "!eof\n",
     FROM, TWO,
     .want = "permanent 550  no;closed 0 4.4.2 connection lost in reply to the end of the message;"
             "dead: 4.4.2 connection lost in reply to the end of the message"},
    {"timed out after the dot", HELLO_PIPE GROUP_1 "<250 ok\n<250 ok\n<354 go\n" BODY "!expire\n",
     FROM, ONE,
     .want = "closed 0 4.4.2 timed out in reply to the end of the message;dead: 4.4.2 timed out in "
             "reply to the end of the message"},
    {"nonsense after the dot", HELLO_PIPE GROUP_1 "<250 ok\n<250 ok\n<354 go\n" BODY "<OK\n", FROM,
     ONE,
     .want = "closed 0 4.5.0 no valid SMTP reply in reply to the end of the message;"
             "dead: 4.5.0 no valid SMTP reply in reply to the end of the message"},
    {"RSET refused", HELLO_PIPE GROUP_1 "<250 ok\n<550 no\n<503 no\n>RSET\n" GROUP_1 "<500 what\n",
     FROM, .to = {"b@x.test"}, .content = "", .messages = 2,
     .want = "permanent 550  no;temporary 0 4.5.0 RSET was refused with 500;dead: 4.5.0 RSET was "
             "refused with 500"},
    {"bare CR", HELLO_PIPE GROUP_1 "<250 ok\n<250 ok\n<354 go\n", FROM, .to = {"b@x.test"},
     .content = "a\r\nb\rc\r\n", .messages = 1,
     .want =
         "permanent 0 5.6.0 the message has a bare CR, a bare LF or a NUL, which mail cannot carry;"
         "dead: 5.6.0 the message has a bare CR, a bare LF or a NUL, which mail cannot carry"},
    {"bare CR at the end", HELLO_PIPE GROUP_1 "<250 ok\n<250 ok\n<354 go\n", FROM,
     .to = {"b@x.test"}, .content = "a\r", .messages = 1,
     .want =
         "permanent 0 5.6.0 the message has a bare CR, a bare LF or a NUL, which mail cannot carry;"
         "dead: 5.6.0 the message has a bare CR, a bare LF or a NUL, which mail cannot carry"},
    {"commands in an address", HELLO_PIPE GROUP_1 "<250 ok\n<550 no\n<503 x\n", FROM,
     .to = {"b@x.test>\r\nRSET", "b@x.test"}, .content = "", .messages = 1,
     .want = "permanent 0 5.1.3 the address cannot be sent;permanent 550  no;"},
    {"bare LF, controls, NUL and bad UTF-8 in replies",
     HELLO_PIPE GROUP_1 "<250 ok\\\n<550-5.1.1 \x1b[2J\x01\xff\xc3\xbc\\\n"
                        "<550 5.1.1 a\tb\x7f\n<503 x\n",
     FROM, ONE, .want = "permanent 550 5.1.1 ?[2J??\xc3\xbc a b?;"},
    {"status of another class is text", HELLO_PIPE GROUP_1 "<250 ok\n<550 4.1.1 hm\n<503 x\n", FROM,
     ONE, .want = "permanent 550  4.1.1 hm;"},
    {"no status at all", HELLO_PIPE GROUP_1 "<250 ok\n<550 5.1.1.1 x\n<503 x\n", FROM, ONE,
     .want = "permanent 550  5.1.1.1 x;"},
    {"no status: 4 digits", HELLO_PIPE GROUP_1 "<250 ok\n<550 5.1.1000 x\n<503 x\n", FROM, ONE,
     .want = "permanent 550  5.1.1000 x;"},
    {"status alone", HELLO_PIPE GROUP_1 "<250 ok\n<550 5.999.999\n<503\n", FROM, ONE,
     .want = "permanent 550 5.999.999 ;"},
    {"codes differ within their class",
     HELLO_PIPE GROUP_1 "<250 ok\n<550-5.1.1 a\n<551 5.1.6 b\n<503 x\n", FROM, ONE,
     .want = "permanent 551 5.1.6 a b;"},
    {"codes differ in class", HELLO_PIPE GROUP_1 "<250 ok\n<550-a\n<250 b\n", FROM, ONE,
     .want = "temporary 0 4.5.0 no valid SMTP reply in reply to RCPT TO;dead: 4.5.0 no valid SMTP "
             "reply in reply to RCPT TO"},
    {"code 999", HELLO_PIPE GROUP_1 "<999 ok\n", FROM, ONE,
     .want = "temporary 0 4.5.0 no valid SMTP reply in reply to MAIL FROM;dead: 4.5.0 no valid "
             "SMTP reply in reply to MAIL FROM"},
    {"code 199", HELLO_PIPE GROUP_1 "<199 ok\n", FROM, ONE,
     .want = "temporary 0 4.5.0 no valid SMTP reply in reply to MAIL FROM;dead: 4.5.0 no valid "
             "SMTP reply in reply to MAIL FROM"},
    {"no blank after the code", HELLO_PIPE GROUP_1 "<250ok\n", FROM, ONE,
     .want = "temporary 0 4.5.0 no valid SMTP reply in reply to MAIL FROM;dead: 4.5.0 no valid "
             "SMTP reply in reply to MAIL FROM"},
    /* ---- extensions ---- */
    {"all that can be said",
     "<220 x\n>EHLO me.test\n<250-x\n<250-SIZE\n<250-8BITMIME\n<250-DSN\n<250-DELIVERBY 10\n"
     "<250-MT-PRIORITY MIXER\n<250-REQUIRETLS\n<250-AUTH PLAIN\n<250 PIPELINING\n"
     ">MAIL FROM:<a@me.test> SIZE=9 BODY=8BITMIME RET=HDRS ENVID=q+2B1+3D+20x BY=120;RT "
     "MT-PRIORITY=-3 AUTH=<>\n>RCPT TO:<b@x.test> NOTIFY=SUCCESS,DELAY "
     "ORCPT=rfc822;B+2Bc@x.test\n>RCPT TO:<c@x.test> NOTIFY=NEVER\n>DATA\n"
     "<250 ok\n<250 ok\n<250 ok\n<354 go\n" BODY "<250 ok\n",
     .env = {.reverse_path = {"a@me.test", 9},
             .size = 9,
             .body_8bit = true,
             .envid = STR("q+1= x"),
             .ret = SMTPC_RET_HDRS,
             .by_mode = 'R',
             .by_trace = true,
             .by_s = 120,
             .priority = -3,
             .auth_null = true,
             .dsn = dsn_two},
     TWO, .want = "ok 250  ok;ok 250  ok;"},
    {"a priority of 0 is said as well",
     "<220 x\n>EHLO me.test\n<250-x\n<250 MT-PRIORITY\n>MAIL FROM:<a@me.test> MT-PRIORITY=0\n"
     "<550 no\n",
     .env = {.reverse_path = {"a@me.test", 9}}, ONE, .want = "permanent 550  no;"},
    {"none of it without being offered",
     HELLO_PIPE GROUP_2 "<250 ok\n<250 ok\n<250 ok\n<354 go\n" BODY "<250 ok\n",
     .env = {.reverse_path = {"a@me.test", 9},
             .size = 9,
             .envid = STR("q"),
             .ret = SMTPC_RET_FULL,
             .by_mode = 'N',
             .by_s = -5,
             .priority = 4,
             .auth_null = true,
             .dsn = dsn_two},
     TWO, .want = "ok 250  ok;ok 250  ok;"},
    {"a deadline that has passed, to be told of",
     "<220 x\n>EHLO me.test\n<250-x\n<250 DELIVERBY\n>MAIL FROM:<a@me.test> BY=-5;N\n<550 no\n",
     .env = {.reverse_path = {"a@me.test", 9}, .by_mode = 'N', .by_s = -5}, ONE,
     .want = "permanent 550  no;"},
    {"no DELIVERBY", HELLO_PIPE ">QUIT\n<221 ok\n", .env = {.by_mode = 'R', .by_s = 100}, ONE,
     .want = "permanent 0 5.3.3 the next server does not take messages with a deadline "
             "(DELIVERBY);"},
    {"DELIVERBY takes too long",
     "<220 x\n>EHLO me.test\n<250-x\n<250 DELIVERBY 101\n>QUIT\n<221 ok\n",
     .env = {.by_mode = 'R', .by_s = 100}, ONE,
     .want = "permanent 0 5.3.3 the next server takes longer than the message has time "
             "(DELIVERBY);"},
    {"DELIVERBY expired", "<220 x\n>EHLO me.test\n<250-x\n<250 DELIVERBY\n>QUIT\n<221 ok\n",
     .env = {.by_mode = 'R', .by_s = 0}, ONE, .want = "permanent 0 5.4.7 delivery time expired;"},
    {"an ENVID of 100 characters, and an internationalized ORCPT",
     "<220 x\n>EHLO me.test\n<250-x\n<250 DSN\n>MAIL FROM:<a@me.test> ENVID="
     "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901"
     "234567890\n<250 ok\n>RCPT TO:<b@x.test> ORCPT=utf-8;\\x{FC}\\x{2B}\\x{E9}@x.test\n"
     "<550 no\n",
     .env = {.reverse_path = {"a@me.test", 9},
             .envid = STR("123456789012345678901234567890123456789012345678901234567890123456789012"
                          "3456789012345678901234567890"),
             .dsn = dsn_utf8},
     ONE, .want = "permanent 550  no;"},
    {"an ENVID that is too long is not said",
     "<220 x\n>EHLO me.test\n<250-x\n<250 DSN\n>MAIL FROM:<a@me.test>\n<550 no\n",
     .env = {.reverse_path = {"a@me.test", 9},
             .envid = STR("123456789012345678901234567890123456789012345678901234567890123456789012"
                          "34567890123456789012345678901")},
     ONE, .want = "permanent 550  no;"},
    {"REQUIRETLS is nothing without TLS",
     "<220 x\n>EHLO me.test\n<250-x\n<250 REQUIRETLS\n>QUIT\n<221 ok\n",
     .env = {.reverse_path = {"a@me.test", 9}, .requiretls = true}, ONE,
     .want = "permanent 0 5.7.30 the next server does not promise TLS on the whole way "
             "(REQUIRETLS);"},
    {"REQUIRETLS of a bounce is not insisted on",
     "<220 x\n>EHLO me.test\n<250 x\n>MAIL FROM:<>\n<550 no\n", .env = {.requiretls = true}, ONE,
     .want = "permanent 550  no;"},
    {"REQUIRETLS",
     "<220 x\n>EHLO me.test\n<250-x\n<250-REQUIRETLS\n<250 STARTTLS\n>STARTTLS\n<220 go\n"
     ">EHLO me.test\n<250-x\n<250 REQUIRETLS\n>MAIL FROM:<a@me.test> REQUIRETLS\n<550 no\n",
     .env = {.reverse_path = {"a@me.test", 9}, .requiretls = true}, ONE,
     .want = "permanent 550  no;", .starttls = true},
    {"REQUIRETLS offered before TLS alone",
     "<220 x\n>EHLO me.test\n<250-x\n<250-REQUIRETLS\n<250 STARTTLS\n>STARTTLS\n<220 go\n"
     ">EHLO me.test\n<250 x\n>QUIT\n<221 ok\n",
     .env = {.reverse_path = {"a@me.test", 9}, .requiretls = true}, ONE,
     .want = "permanent 0 5.7.30 the next server does not promise TLS on the whole way "
             "(REQUIRETLS);",
     .starttls = true},
    /* ---- BDAT ---- */
    {"binary",
     "<220 x\n>EHLO me.test\n<250-x\n<250-CHUNKING\n<250-BINARYMIME\n<250 PIPELINING\n"
     ">MAIL FROM:<a@me.test> BODY=BINARYMIME\n>RCPT TO:<b@x.test>\n>RCPT TO:<c@x.test>\n"
     "<250 ok\n<550 no\n<250 ok\n>BDAT 5\n>a\rb\n>BDAT 5\n>a\rb\n>BDAT 0 LAST\n"
     "<250 5\n<250 5\n<250 taken\n>QUIT\n<221 x\n",
     .env = {.reverse_path = {"a@me.test", 9}, .body_binary = true, .body_8bit = true},
     .to = {"b@x.test", "c@x.test"}, .content = "a\rb\r\n", .messages = 1,
     .want = "permanent 550  no;ok 250  taken;"},
    {"binary, one by one",
     "<220 x\n>EHLO me.test\n<250-x\n<250-CHUNKING\n<250 BINARYMIME\n"
     ">MAIL FROM:<a@me.test> BODY=BINARYMIME\n<250 ok\n>RCPT TO:<b@x.test>\n<250 ok\n"
     ">BDAT 4\n>.a\n<250 4\n>BDAT 4\n>.a\n>BDAT 0 LAST\n<250 4\n<250 2.0.0 taken\n",
     .env = {.reverse_path = {"a@me.test", 9}, .body_binary = true}, .to = {"b@x.test"},
     .content = ".a\r\n", .messages = 1, .want = "ok 250 2.0.0 taken;"},
    {"binary, to nobody",
     "<220 x\n>EHLO me.test\n<250-x\n<250-CHUNKING\n<250-BINARYMIME\n<250 PIPELINING\n"
     ">MAIL FROM:<a@me.test> BODY=BINARYMIME\n>RCPT TO:<b@x.test>\n<250 ok\n<550 no\n>RSET\n"
     ">MAIL FROM:<a@me.test> BODY=BINARYMIME\n>RCPT TO:<b@x.test>\n<250 ok\n<550 no\n<503 x\n",
     .env = {.reverse_path = {"a@me.test", 9}, .body_binary = true}, .to = {"b@x.test"},
     .content = "", .messages = 2, .want = "permanent 550  no;permanent 550  no;"},
    {"a chunk is refused",
     "<220 x\n>EHLO me.test\n<250-x\n<250-CHUNKING\n<250 BINARYMIME\n"
     ">MAIL FROM:<a@me.test> BODY=BINARYMIME\n<250 ok\n>RCPT TO:<b@x.test>\n<250 ok\n"
     ">BDAT 4\n>ab\n<452 4.3.1 full\n>RSET\n<250 ok\n>MAIL FROM:<a@me.test> BODY=BINARYMIME\n"
     "<421 4.3.0 bye\n",
     .env = {.reverse_path = {"a@me.test", 9}, .body_binary = true}, .to = {"b@x.test"},
     .content = "ab\r\n", .messages = 2,
     .want = "temporary 452 4.3.1 full;temporary 421 4.3.0 bye;dead: 4.3.0 closed by the peer: "
             "421 4.3.0 bye"},
    {"a chunk is refused with the last under way",
     "<220 x\n>EHLO me.test\n<250-x\n<250-CHUNKING\n<250-BINARYMIME\n<250 PIPELINING\n"
     ">MAIL FROM:<a@me.test> BODY=BINARYMIME\n>RCPT TO:<b@x.test>\n<250 ok\n<250 ok\n"
     ">BDAT 4\n>ab\n>BDAT 4\n>ab\n>BDAT 0 LAST\n<552 5.3.4 big\n<503 what\n<503 what\n"
     ">QUIT\n<221 x\n",
     .env = {.reverse_path = {"a@me.test", 9}, .body_binary = true}, .to = {"b@x.test"},
     .content = "ab\r\n", .messages = 1, .want = "permanent 552 5.3.4 big;"},
    {"no BINARYMIME",
     "<220 x\n>EHLO me.test\n<250-x\n<250-CHUNKING\n<250 8BITMIME\n>QUIT\n<221 ok\n",
     .env = {.body_binary = true}, ONE,
     .want = "permanent 0 5.6.3 the next server does not take binary content (BINARYMIME);"},
    /* ---- STARTTLS ---- */
    {"TLS, and all is new",
     "<220 x\n>EHLO me.test\n<250-x\n<250-SIZE 5\n<250 STARTTLS\n>STARTTLS\n<220 go\n"
     ">EHLO me.test\n<250 y\n>MAIL FROM:<a@me.test>\n<550 no\n",
     FROM, ONE, .want = "permanent 550  no;", .starttls = true},
    {"bytes behind the 220",
     "<220 x\n>EHLO me.test\n<250 STARTTLS\n>STARTTLS\n<220 go\n<250 queued\n", FROM, ONE,
     .want = "temporary 0 4.7.0 bytes came behind the reply to STARTTLS, before TLS;"
             "dead: 4.7.0 bytes came behind the reply to STARTTLS, before TLS",
     .starttls = true},
    {"TLS refused, 454",
     "<220 x\n>EHLO me.test\n<250-x\n<250-SIZE 9\n<250 STARTTLS\n>STARTTLS\n"
     "<454 4.7.0 not now\n>MAIL FROM:<a@me.test> SIZE=9\n<550 no\n",
     FROM, ONE, .want = "no TLS: STARTTLS: 454 4.7.0 not now;permanent 550  no;", .starttls = true},
    {"TLS answered 250", "<220 x\n>EHLO me.test\n<250 STARTTLS\n>STARTTLS\n<250 ok\n", FROM, ONE,
     .want = "temporary 0 4.5.0 unexpected reply 250 to STARTTLS;"
             "dead: 4.5.0 unexpected reply 250 to STARTTLS",
     .starttls = true},
    {"TLS answered 421", "<220 x\n>EHLO me.test\n<250 STARTTLS\n>STARTTLS\n<421 4.3.2 no\n", FROM,
     ONE,
     .want = "temporary 0 4.3.2 closed by the peer: 421 4.3.2 no;"
             "dead: 4.3.2 closed by the peer: 421 4.3.2 no",
     .starttls = true},
    {"lost at STARTTLS", "<220 x\n>EHLO me.test\n<250 STARTTLS\n>STARTTLS\n!eof\n", FROM, ONE,
     .want = "closed 0 4.4.2 connection lost in reply to STARTTLS;"
             "dead: 4.4.2 connection lost in reply to STARTTLS",
     .starttls = true},
    {"220 before STARTTLS was said", "<220 x\n>EHLO me.test\n<250 STARTTLS\n<220 go\n", FROM, ONE,
     .want = "temporary 0 4.3.2 a reply nobody asked for: 220 go;"
             "dead: 4.3.2 a reply nobody asked for: 220 go",
     .starttls = true},
    /* ---- AUTH ---- */
    {"PLAIN",
     "<220 x\n>EHLO me.test\n<250-x\n<250 AUTH LOGIN PLAIN\n>AUTH PLAIN AG1lAHNlY3JldA==\n"
     "<235 2.7.0 ok\n>MAIL FROM:<a@me.test>\n<550 no\n",
     FROM, ONE, .want = "authenticated;permanent 550  no;", .log_in = "PLAIN"},
    {"LOGIN, offered as of old",
     "<220 x\n>EHLO me.test\n<250-x\n<250 AUTH=LOGIN\n>AUTH LOGIN\n<334 VXNlcm5hbWU6\n"
     ">bWU=\n<334 UGFzc3dvcmQ6\n>c2VjcmV0\n<235 ok\n>MAIL FROM:<a@me.test>\n<550 no\n",
     FROM, ONE, .want = "authenticated;permanent 550  no;", .log_in = "LOGIN"},
    {"wrong password",
     "<220 x\n>EHLO me.test\n<250-x\n<250 AUTH PLAIN\n>AUTH PLAIN AG1lAHNlY3JldA==\n"
     "<535 5.7.8 no\n>MAIL FROM:<a@me.test>\n<550 no\n",
     FROM, ONE, .want = "AUTH: 535 5.7.8 no;permanent 550  no;", .log_in = "PLAIN"},
    {"a challenge too many is cancelled",
     "<220 x\n>EHLO me.test\n<250-x\n<250 AUTH PLAIN\n>AUTH PLAIN AG1lAHNlY3JldA==\n"
     "<334 aGVsbG8=\n>*\n<501 5.7.0 cancelled\n>MAIL FROM:<a@me.test>\n<550 no\n",
     FROM, ONE,
     .want = "AUTH PLAIN: the server's challenge was not right, or not its own;permanent 550  no;",
     .log_in = "PLAIN"},
    {"a challenge that is not base64",
     "<220 x\n>EHLO me.test\n<250-x\n<250 AUTH LOGIN\n>AUTH LOGIN\n<334 VXN?\n>*\n<501 x\n"
     ">MAIL FROM:<a@me.test>\n<550 no\n",
     FROM, ONE,
     .want = "AUTH LOGIN: the server's challenge was not right, or not its own;permanent 550  no;",
     .log_in = "LOGIN"},
    {"SCRAM: yes without proof",
     "<220 x\n>EHLO me.test\n<250-x\n<250 AUTH SCRAM-SHA-256\n"
     ">AUTH SCRAM-SHA-256 biwsbj1tZSxyPVptbDRaV1FBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB\n<235 2.7.0 "
     "welcome\n",
     FROM, ONE,
     .want = "temporary 0 4.7.8 AUTH SCRAM-SHA-256: the server said yes without proving that it "
             "knows the password;dead: 4.7.8 AUTH SCRAM-SHA-256: the server said yes without "
             "proving that it knows the password",
     .log_in = "SCRAM-SHA-256"},
    {"yes to a cancelled exchange",
     "<220 x\n>EHLO me.test\n<250-x\n<250 AUTH PLAIN\n>AUTH PLAIN AG1lAHNlY3JldA==\n"
     "<334 x\n>*\n<235 ok\n",
     FROM, ONE,
     .want = "temporary 0 4.7.8 AUTH PLAIN: the server said yes without proving that it knows the "
             "password;dead: 4.7.8 AUTH PLAIN: the server said yes without proving that it knows "
             "the password",
     .log_in = "PLAIN"},
    {"an empty line", HELLO_PIPE GROUP_1 "<\n", FROM, ONE,
     .want = "temporary 0 4.5.0 no valid SMTP reply in reply to MAIL FROM;dead: 4.5.0 no valid "
             "SMTP reply in reply to MAIL FROM"},
};
/* clang-format on */

static void test_plays(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plays / sizeof *plays; i++)
        play(&plays[i]);
}

/* ---- single engines ---- */

static void sent_all(struct smtpc *c)
{
    while (smtpc_want(c) == SMTPC_OUTPUT)
        smtpc_sent(c, smtpc_output(c).len);
}

static const struct smtpc_config me = {.hostname = {"me.test", 7}};

static struct smtpc *greeted(const char *ehlo)
{
    struct smtpc *c = smtpc_new(&me);
    smtpc_feed(c, STR("220 mx.test hello\r\n"));
    smtpc_hello(c);
    sent_all(c);
    smtpc_feed(c, str_c(ehlo));
    assert_int_equal(smtpc_want(c), SMTPC_READY);
    return c;
}

static void test_features(void **state)
{
    (void)state;
    struct smtpc *c = greeted("250-PIPELINING is my "
                              "name\r\n250-SIZE\r\n250-CHUNKING\r\n250-ENHANCEDSTATUSCODES\r\n250-"
                              "X-FOO a b\r\n250 STARTTLS\r\n");
    const struct smtpc_features *f = smtpc_features(c);
    assert_true(str_eq(smtpc_peer_name(c), STR("mx.test")));
    assert_true(f->esmtp && f->size && f->chunking && f->enhanced && f->starttls);
    /* the first line is a name, no keyword */
    assert_false(f->pipelining || f->body_8bit || f->smtputf8);
    assert_int_equal(f->size_max, 0);
    smtpc_free(c);
}

/* RFC 9422: a value that is none is not there, a parameter that is none neither. */
static void test_limits(void **state)
{
    static const struct {
        const char *line;
        uint32_t mail, rcpt;
    } rows[] = {{"LIMITS MAILMAX=10 RCPTMAX=20 RCPTDOMAINMAX=1", 10, 20},
                {"limits rcptmax=999999 X-OTHER Y=a:b", 0, 999999},
                {"LIMITS RCPTMAX=0 MAILMAX=5", 5, 0},
                {"LIMITS RCPTMAX=1000000 MAILMAX=5", 5, 0},
                {"LIMITS RCPTMAX=x MAILMAX=5", 5, 0},
                {"LIMITS RCPTMAX MAILMAX=5", 5, 0},
                {"LIMITS MAILMAX=5 RCPTMAX=5;6", 0, 0},
                {"LIMITS MAILMAX=5 R?=6", 0, 0},
                {"LIMITS MAILMAX=5 =6", 0, 0},
                {"LIMITS", 0, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char ehlo[200];
        snprintf(ehlo, sizeof ehlo, "250-x\r\n250 %s\r\n", rows[i].line);
        struct smtpc *c = greeted(ehlo);
        const struct smtpc_features *f = smtpc_features(c);
        if (f->mail_max != rows[i].mail || f->rcpt_max != rows[i].rcpt)
            fail_msg("%s: %u %u", rows[i].line, f->mail_max, f->rcpt_max);
        smtpc_free(c);
    }
}

/* RFC 9422 3.6: what the last EHLO said counts, and nothing else. */
static void test_the_last_hello_counts(void **state)
{
    (void)state;
    struct smtpc *c = greeted("250-x\r\n250-SIZE 5\r\n250 LIMITS MAILMAX=5\r\n");
    assert_int_equal(smtpc_features(c)->mail_max, 5);
    smtpc_hello(c);
    sent_all(c);
    smtpc_feed(c, STR("250-x\r\n250 DSN\r\n"));
    assert_int_equal(smtpc_features(c)->mail_max, 0);
    assert_true(smtpc_features(c)->dsn && !smtpc_features(c)->size);
    smtpc_free(c);
}

/* Mechanisms that do not fit are left out whole. */
static void test_mechanisms(void **state)
{
    char ehlo[600] = "250-x\r\n250 AUTH";
    (void)state;
    for (int i = 0; i < 30; i++)
        strcat(ehlo, " MECHANISM");
    strcat(ehlo, " LOGIN\r\n");
    struct smtpc *c = greeted(ehlo);
    str_t all = str_c(smtpc_features(c)->mechanisms);
    assert_true(smtpc_features(c)->auth);
    assert_in_range(all.len, 240, 255);
    assert_true(str_ends(all, STR("MECHANISM LOGIN")) || str_ends(all, STR("MECHANISM")));
    smtpc_free(c);
}

/* RFC 5321 4.5.3.2 */
static void test_timeouts(void **state)
{
    (void)state;
    enum { MIN = 60 * 1000 };
    struct smtpc *c = smtpc_new(&me);
    assert_int_equal(smtpc_timeout_ms(c), 5 * MIN);
    smtpc_free(c);
    c = greeted("250 x\r\n");
    str_t to = STR("b@x.test");
    smtpc_begin(c, &(struct smtpc_envelope){.recipients = &to, .n = 1});
    sent_all(c);
    assert_int_equal(smtpc_timeout_ms(c), 5 * MIN); /* MAIL */
    smtpc_feed(c, STR("250 ok\r\n"));
    sent_all(c);
    assert_int_equal(smtpc_timeout_ms(c), 5 * MIN); /* RCPT */
    smtpc_feed(c, STR("250 ok\r\n"));
    sent_all(c);
    assert_int_equal(smtpc_timeout_ms(c), 2 * MIN); /* DATA */
    smtpc_feed(c, STR("354 ok\r\n"));
    smtpc_content(c, STR("x"));
    assert_int_equal(smtpc_timeout_ms(c), 3 * MIN); /* a block */
    smtpc_end(c);
    sent_all(c);
    assert_int_equal(smtpc_timeout_ms(c), 10 * MIN); /* the end */
    smtpc_free(c);
}

static enum smtpc_want after_reply(size_t lines, size_t length)
{
    struct smtpc *c = smtpc_new(&me);
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 1; i <= lines; i++) {
        buf_add(&b, i < lines ? STR("220-") : STR("220 "));
        while (i == 1 && b.len < length - 2)
            buf_addc(&b, 'x');
        buf_add(&b, STR("\r\n"));
    }
    smtpc_feed(c, buf_str(&b));
    enum smtpc_want w = smtpc_want(c);
    buf_free(&b);
    smtpc_free(c);
    return w;
}

static void test_reply_limits(void **state)
{
    (void)state;
    assert_int_equal(after_reply(SMTPC_REPLY_LINES - 1, 6), SMTPC_READY);
    assert_int_equal(after_reply(SMTPC_REPLY_LINES, 6), SMTPC_READY);
    assert_int_equal(after_reply(SMTPC_REPLY_LINES + 1, 6), SMTPC_DEAD);
    assert_int_equal(after_reply(2, SMTPC_REPLY_LINE_BAD), SMTPC_READY);
    assert_int_equal(after_reply(2, SMTPC_REPLY_LINE_BAD + 1), SMTPC_READY); /* with its LF */
    assert_int_equal(after_reply(2, SMTPC_REPLY_LINE_BAD + 2), SMTPC_DEAD);
    /* An endless line is given up before it ends. */
    struct smtpc *c = smtpc_new(&me);
    for (int i = 0; i < SMTPC_REPLY_LINE_BAD && smtpc_want(c) == SMTPC_INPUT; i++)
        smtpc_feed(c, STR("2x"));
    assert_int_equal(smtpc_want(c), SMTPC_DEAD);
    smtpc_free(c);
}

/* Text kept: 512 bytes of a line, 4096 of a reply; the verdict stands whatever the length. */
static void test_reply_text_bound(void **state)
{
    (void)state;
    struct smtpc *c = greeted("250 x\r\n");
    str_t to = STR("b@x.test");
    smtpc_begin(c, &(struct smtpc_envelope){.recipients = &to, .n = 1});
    sent_all(c);
    char line[1000];
    memset(line, 'y', sizeof line);
    for (int i = 0; i < 50; i++) {
        memcpy(line, i < 49 ? "550-" : "550 ", 4);
        memcpy(line + sizeof line - 2, "\r\n", 2);
        smtpc_feed(c, str_of(line, sizeof line));
    }
    struct smtpc_reply r;
    assert_int_equal(smtpc_verdict(c, 0, &r), RC_PERM);
    assert_int_equal(r.code, 550);
    assert_in_range(r.text.len, 4 * (SMTPC_REPLY_LINE - 4), SMTPC_REPLY_TEXT);
    smtpc_free(c);
}

/* More recipients than any group: output and unanswered commands stay bounded, and each gets its
 * own verdict. */
static void test_many_recipients(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct smtpc *c = greeted("250-x\r\n250 PIPELINING\r\n");
    static char text[N][32];
    static str_t to[N];
    for (int i = 0; i < N; i++)
        to[i] = str_of(text[i], (size_t)snprintf(text[i], sizeof text[i], "user%d@x.test", i));
    smtpc_begin(c, &(struct smtpc_envelope){.recipients = to, .n = N});
    int asked = 0, answered = 0, most = 0;
    while (!smtpc_accepting(c)) {
        assert_int_not_equal(smtpc_want(c), SMTPC_DEAD);
        while (smtpc_want(c) == SMTPC_OUTPUT) {
            str_t out = smtpc_output(c), rest = out, line;
            assert_in_range(out.len, 1, 40000);
            while (str_cut(&rest, '\n', &line))
                asked++;
            smtpc_sent(c, out.len);
        }
        most = asked - answered > most ? asked - answered : most;
        char reply[64];
        int i = answered - 1; /* the recipient answered now; -1 is MAIL, N is DATA */
        int n = snprintf(reply, sizeof reply, "%d r%d\r\n",
                         i == N                 ? 354
                         : i >= 0 && i % 3 == 0 ? 550
                                                : 250,
                         i);
        smtpc_feed(c, str_of(reply, (size_t)n));
        answered++;
    }
    assert_int_equal(asked, N + 2);
    assert_int_equal(answered, N + 2);
    assert_in_range(most, 100, 256);
    smtpc_end(c);
    sent_all(c);
    smtpc_feed(c, STR("250 done\r\n"));
    for (int i = 0; i < N; i++) {
        struct smtpc_reply r;
        char want[16];
        snprintf(want, sizeof want, "r%d", i);
        assert_int_equal(smtpc_verdict(c, (size_t)i, &r), i % 3 == 0 ? RC_PERM : RC_OK);
        if (i % 3 == 0 && r.text.len > 0) /* texts are bounded in all */
            assert_true(str_eq(r.text, str_c(want)));
    }
    smtpc_free(c);
}

static void test_untouched(void **state)
{
    (void)state;
    str_t to = STR("b@x.test");
    struct smtpc_envelope e = {.recipients = &to, .n = 1};
    for (int how = 0; how < 4; how++) {
        struct smtpc *c = greeted("250-x\r\n250 PIPELINING\r\n");
        smtpc_begin(c, &e);
        sent_all(c);
        if (how == 1)
            smtpc_feed(c, STR("421 too many messages\r\n"));
        if (how == 2)
            smtpc_feed(c, STR("250 ok\r\n"));
        if (how == 3)
            smtpc_feed(c, STR("550 no\r\n"));
        smtpc_eof(c);
        assert_int_equal(smtpc_untouched(c), how < 2);
        smtpc_free(c);
    }
}

/* ---- content: every string of up to 6 bytes over what matters, cut everywhere, against a model
 * ---- */

/* The model, byte by byte: false if it may not be sent. */
static bool model(const char *s, size_t n, char *out)
{
    bool start = true;
    for (size_t i = 0; i < n; i++) {
        bool cr = i > 0 && s[i - 1] == '\r';
        if (s[i] == '\0' || (s[i] == '\n') != cr)
            return false;
        if (start && s[i] == '.')
            *out++ = '.';
        *out++ = s[i];
        start = s[i] == '\n';
    }
    if (n > 0 && s[n - 1] == '\r')
        return false;
    strcpy(out, start ? ".\r\n" : "\r\n.\r\n");
    return true;
}

static void check_content(const char *s, size_t n, size_t cut)
{
    char want[64] = "";
    bool ok = model(s, n, want);
    struct smtpc *c = greeted("250-x\r\n250 PIPELINING\r\n");
    str_t to = STR("b@x.test");
    smtpc_begin(c, &(struct smtpc_envelope){.recipients = &to, .n = 1});
    sent_all(c);
    smtpc_feed(c, STR("250 ok\r\n250 ok\r\n354 ok\r\n"));
    smtpc_content(c, str_of(s, cut));
    smtpc_content(c, str_of(s + cut, n - cut));
    smtpc_end(c);
    if (ok)
        assert_true(str_eq(smtpc_output(c), str_c(want)));
    assert_int_equal(smtpc_want(c), ok ? SMTPC_OUTPUT : SMTPC_DEAD);
    if (!ok)
        assert_int_equal(smtpc_error(c)->rc, RC_PERM);
    smtpc_free(c);
}

static void test_content(void **state)
{
    (void)state;
    static const char letters[] = {'\r', '\n', '.', 'a', '\0'};
    for (size_t n = 0; n <= 6; n++) {
        size_t all = 1;
        for (size_t i = 0; i < n; i++)
            all *= sizeof letters;
        for (size_t k = 0; k < all; k++) {
            char s[8];
            for (size_t i = 0, v = k; i < n; i++, v /= sizeof letters)
                s[i] = letters[v % sizeof letters];
            for (size_t cut = 0; cut <= n; cut += n < 6 ? 1 : 3)
                check_content(s, n, cut);
        }
    }
}

/* The worst that a call can bring fits the output. */
static void test_content_bound(void **state)
{
    (void)state;
    struct smtpc *c = greeted("250-x\r\n250 PIPELINING\r\n");
    str_t to = STR("b@x.test");
    static char dots[SMTPC_CONTENT_MAX];
    for (size_t i = 0; i + 3 <= sizeof dots; i += 3)
        memcpy(dots + i, ".\r\n", 3);
    dots[sizeof dots - 1] = 'a';
    smtpc_begin(c, &(struct smtpc_envelope){.recipients = &to, .n = 1});
    sent_all(c);
    smtpc_feed(c, STR("250 ok\r\n250 ok\r\n354 ok\r\n"));
    smtpc_content(c, str_of(dots, sizeof dots));
    assert_int_equal(smtpc_output(c).len, sizeof dots + sizeof dots / 3);
    smtpc_content(c, str_of(dots + 1, 2)); /* bare CR after 'a'? no: "\r\n" ends the line */
    assert_int_equal(smtpc_want(c), SMTPC_OUTPUT);
    /* a caller that does not pump: stopped, nothing overrun */
    for (int i = 0; i < 3; i++)
        smtpc_content(c, str_of(dots, sizeof dots - 1));
    assert_int_equal(smtpc_want(c), SMTPC_DEAD);
    assert_int_equal(smtpc_error(c)->rc, RC_TEMP);
    smtpc_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plays),           cmocka_unit_test(test_features),
        cmocka_unit_test(test_limits),          cmocka_unit_test(test_the_last_hello_counts),
        cmocka_unit_test(test_mechanisms),      cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_reply_limits),    cmocka_unit_test(test_reply_text_bound),
        cmocka_unit_test(test_many_recipients), cmocka_unit_test(test_untouched),
        cmocka_unit_test(test_content),         cmocka_unit_test(test_content_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
