/* test_smtp_model.c: the SMTP server engine against a model that was written from the RFCs' tables
 * of what is allowed when, and knows nothing of the engine. Random sessions: any command in any
 * state, bad arguments, too much content, answers of the owner drawn at random, input cut anywhere,
 * pipelined where that is allowed and where it is not, given up at any point.
 *
 * After each step: the replies by number and code; what hello, TLS and login the engine knows of;
 * whether a transaction is open, with how many recipients; that nothing of the last one is left
 * where none is. And for each accepted MAIL exactly one END or ABORT.
 *
 * SMTP_MODEL_SEED, SMTP_MODEL_RUNS and SMTP_MODEL_STEPS (commands a session) in the environment
 * make other and longer runs; what fails is told with its seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "proto/smtp/server.h"

enum {
#ifdef POSTRIDER_SANITIZED
    RUNS = 30000, /* a few seconds either way */
#else
    RUNS = 200000,
#endif
    STEPS = 20,
    SIZE_MAX_BYTES = 60,
    EXCESS = 40, /* read past it */
    RECIPIENTS_MAX = 3,
    ANSWERS = 8, /* more than one command can ask for */
    WANTS = 64,
    SAID = 8192,
};

static uint64_t seed;
static unsigned rnd(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}
static bool chance(unsigned percent)
{
    return rnd(100) < percent;
}

/* ---- the model ---- */

struct model {
    /* what was configured */
    unsigned offer;
    bool lmtp, auth_needed, mechs, mechs_under_tls, xclient_allowed;
    /* the session */
    bool hello, esmtp, tls, authenticated, closed;
    bool exchange; /* AUTH under way: the next line is a response */
    int auth_failures;
    int strays; /* octets of chunks outside transactions, since the last accepted message */
    /* the transaction */
    bool mail, binary, chunks;
    int rcpts, refused;
    int size;
    int octets;        /* of chunks */
    char tail;         /* the last byte of the chunks so far; at first as behind a line end */
    int verdict, rank; /* why the chunks so far are refused, 0: they are not */
    /* what must be said: code, or code * 1000 + another that is as good */
    int want[WANTS];
    int wants;
    int mails_accepted; /* owner's view is checked against it */
};

static void want(struct model *m, int code)
{
    must(m->wants < WANTS);
    m->want[m->wants++] = code;
}

static void no_transaction(struct model *m)
{
    m->mail = m->binary = m->chunks = false;
    m->rcpts = m->refused = m->size = m->octets = m->verdict = m->rank = 0;
    m->tail = '\n';
}

/* RFC 5321 4.1.1.1, 3207 4.2: as after the greeting */
static void new_client(struct model *m)
{
    no_transaction(m);
    m->hello = m->esmtp = m->authenticated = false;
}

static void closed(struct model *m)
{
    m->closed = true;
    m->exchange = false;
    no_transaction(m);
}

static bool offers(const struct model *m, unsigned bit)
{
    return m->offer & bit;
}

static void answer_421(struct model *m, int code)
{
    if (code == 421)
        closed(m);
}

static void login_failed(struct model *m)
{
    m->exchange = false;
    if (++m->auth_failures == SMTPS_AUTH_FAILURES_MAX) {
        want(m, 421);
        closed(m);
    }
}

/* ---- the owner: answers as it was told to ---- */

struct owner {
    struct smtps *s;
    bool lmtp, open, in_content, exchange, tls_wanted;
    int mails, ends, aborts;
    int answer[ANSWERS]; /* used one after the other */
    int answers, next;
    char said[SAID];
    size_t len;
    int64_t now_ms;
};

/* The answer to the next question; both sides learn it here. */
static int will_answer(struct owner *o, int code)
{
    must(o->answers < ANSWERS);
    o->answer[o->answers++] = code;
    return code;
}

static void reply(struct owner *o, int code)
{
    char status[] = "2.0.0";
    status[0] = (char)('0' + code / 100);
    smtps_reply(o->s, code, code == 354 ? "" : status, "as told");
}

static void owner_answers(struct owner *o, enum smtps_event ev)
{
    assert_true(o->next < o->answers);
    int code = o->answer[o->next++];
    if (code == 334)
        smtps_auth_challenge(o->s, STR("challenge"));
    else
        reply(o, code);
    if (ev == SMTPS_MAIL && code < 300) {
        o->open = true;
        o->mails++;
    }
    if (ev == SMTPS_DATA)
        o->in_content = code == 354;
    if (ev == SMTPS_AUTH || ev == SMTPS_AUTH_RESPONSE)
        o->exchange = code == 334;
    if (ev == SMTPS_END) {
        for (size_t n = o->lmtp ? smtps_recipients(o->s) : 1; n > 1; n--)
            reply(o, o->answer[o->next++]);
        o->open = o->in_content = false;
        o->ends++;
    }
}

static void flush(struct owner *o)
{
    str_t out = smtps_output(o->s);
    assert_true(o->len + out.len <= sizeof o->said);
    memcpy(o->said + o->len, out.ptr != NULL ? out.ptr : "", out.len);
    o->len += out.len;
    smtps_sent(o->s, out.len);
}

static void pump(struct owner *o)
{
    for (;;) {
        enum smtps_event ev = smtps_next(o->s);
        switch (ev) {
        case SMTPS_IDLE:
        case SMTPS_FLUSH:
        case SMTPS_CLOSE: return;
        case SMTPS_HELO: break;
        case SMTPS_STARTTLS: o->tls_wanted = true; return;
        case SMTPS_CONTENT: assert_true(o->open && o->in_content); break;
        case SMTPS_AUTH_CANCEL:
            assert_true(o->exchange);
            o->exchange = false;
            break;
        case SMTPS_ABORT:
            assert_true(o->open);
            o->open = o->in_content = false;
            o->aborts++;
            break;
        case SMTPS_MAIL:
        case SMTPS_RCPT:
        case SMTPS_DATA:
            assert_false(o->in_content);
            owner_answers(o, ev);
            break;
        case SMTPS_END:
            assert_true(o->in_content);
            owner_answers(o, ev);
            break;
        case SMTPS_AUTH:
        case SMTPS_AUTH_RESPONSE:
            assert_int_equal(o->exchange, ev == SMTPS_AUTH_RESPONSE);
            owner_answers(o, ev);
            break;
        case SMTPS_ETRN:
        case SMTPS_XCLIENT:
            assert_false(o->open);
            owner_answers(o, ev);
            break;
        case SMTPS_VRFY: owner_answers(o, ev); break;
        }
    }
}

static void feed_whole(struct owner *o, str_t bytes)
{
    do {
        smtps_feed(o->s, bytes, o->now_ms);
        pump(o);
        bytes = smtps_rest(o->s);
        flush(o);
    } while (bytes.len > 0);
}

/* In up to three pieces. */
static void feed_cut(struct owner *o, str_t bytes)
{
    for (int i = 0; i < 2 && bytes.len > 1 && chance(25); i++) {
        size_t n = 1 + rnd((unsigned)bytes.len - 1);
        feed_whole(o, str_first(bytes, n));
        bytes = str_from(bytes, n);
    }
    feed_whole(o, bytes);
}

/* ---- commands: each draws its arguments, says what it is, and what must be answered ---- */

struct line {
    char text[3000];
    size_t len;
    bool last_in_group; /* RFC 2920 3.1: nothing may follow it at once */
    bool quit;
    bool content; /* must be sent as it is: bytes of content belong to it */
};

static void put(struct line *l, const char *text)
{
    size_t n = strlen(text);
    must(l->len + n < sizeof l->text);
    memcpy(l->text + l->len, text, n);
    l->len += n;
}

static int draw(const int *codes, unsigned n)
{
    return codes[rnd(n)];
}
#define DRAW(...) draw((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static int rarely_421(int otherwise)
{
    return chance(10) ? 421 : otherwise;
}

/* RFC 5321 4.1.1.1, 4.1.4; RFC 2033 4.1 */
static void hello(struct model *m, struct owner *o, struct line *l)
{
    static const char *const verbs[] = {"EHLO", "ehlo", "LHLO", "HELO"};
    (void)o;
    const char *verb = verbs[m->lmtp ? DRAW(2, 2, 2, 0, 3) : DRAW(0, 0, 0, 0, 1, 2, 3)];
    bool lhlo = verb[0] == 'L', named = chance(92);
    put(l, verb);
    put(l, named ? " client.example" : "");
    l->last_in_group = lhlo == m->lmtp;
    if (lhlo != m->lmtp) {
        want(m, 500);
    } else if (!named) {
        want(m, 501);
    } else {
        want(m, 250);
        no_transaction(m);
        m->hello = true;
        m->esmtp = verb[0] != 'H';
    }
}

/* RFC 5321 4.1.1.2, 4.1.1.11; 1870 6.1; 3030 3; 3461 5.1; 4954 6; 8689 2; 6710 4.1 */
static void mail(struct model *m, struct owner *o, struct line *l)
{
    static const struct {
        const char *text;
        unsigned offer; /* whose it is */
        int code;
        bool binary, esmtp, under_tls;
    } args[] = {
        {" FROM:<a@x.example>", 0, 250, false, false, false},
        {" FROM:<>", 0, 250, false, false, false},
        {" FROM:<a@x.example> SIZE=60", 0, 250, false, true, false},
        {" FROM:<a@x.example> SIZE=61", 0, 552, false, true, false},
        {" FROM:<a@x.example> BODY=8BITMIME", 0, 250, false, true, false},
        {" FROM:<a@x.example> BODY=BINARYMIME", SMTPS_OFFER_BINARYMIME, 250, true, true, false},
        {" FROM:<a@x.example> BODY=EBCDIC", 0, 501, false, true, false},
        {" FROM:<a@x.example> RET=HDRS ENVID=x", SMTPS_OFFER_DSN, 250, false, true, false},
        {" FROM:<a@x.example> RET=SOME", SMTPS_OFFER_DSN, 501, false, true, false},
        {" FROM:<a@x.example> REQUIRETLS", SMTPS_OFFER_REQUIRETLS, 250, false, true, true},
        {" FROM:<a@x.example> MT-PRIORITY=3", SMTPS_OFFER_MT_PRIORITY, 250, false, true, false},
        {" FROM:<a@x.example> BY=1;R", SMTPS_OFFER_DELIVERBY, 250, false, true, false},
        {" FROM:<a@x.example> X=Y", 0, 555, false, true, false},
        {" FROM:a@x.example", 0, 501, false, false, false},
        {" FROM:<a@>", 0, 501, false, false, false},
        {" TO:<a@x.example>", 0, 501, false, false, false},
        {"", 0, 501, false, false, false},
    };
    unsigned i = chance(50) ? 0 : rnd(sizeof args / sizeof *args);
    put(l, "MAIL");
    put(l, args[i].text);
    if (!m->hello || m->mail) {
        want(m, 503);
    } else if (m->auth_needed && !m->authenticated) {
        want(m, 530);
    } else if (args[i].esmtp && !m->esmtp) {
        want(m, 555);
    } else if ((args[i].offer && !offers(m, args[i].offer)) || (args[i].under_tls && !m->tls)) {
        want(m, args[i].binary ? 501 : 555); /* BODY itself is always there */
    } else if (args[i].code != 250) {
        want(m, args[i].code);
    } else {
        int code =
            will_answer(o, DRAW(250, 250, 250, 250, 250, 250, 250, 451, 550, rarely_421(550)));
        want(m, code);
        if (code == 250) {
            m->mail = true;
            m->binary = args[i].binary;
            m->mails_accepted++;
        }
        answer_421(m, code);
    }
}

/* RFC 5321 4.1.1.3, 4.5.3.1.10; 3461 5.1 (b) */
static void rcpt(struct model *m, struct owner *o, struct line *l)
{
    static const struct {
        const char *text;
        int code;
        bool dsn;
    } args[] = {
        {" TO:<b@y.example>", 250, false},
        {" TO:<b@y.example> NOTIFY=DELAY ORCPT=rfc822;b@y.example", 250, true},
        {" TO:<b@y.example> NOTIFY=NEVER,DELAY", 501, true},
        {" TO:<b@y.example> X=Y", 555, false},
        {" TO:<>", 501, false},
        {" TO:b@y.example", 501, false},
        {"", 501, false},
    };
    unsigned i = chance(60) ? 0 : rnd(sizeof args / sizeof *args);
    put(l, "RCPT");
    put(l, args[i].text);
    if (!m->mail || m->chunks) {
        want(m, 503);
    } else if (m->rcpts == RECIPIENTS_MAX) {
        want(m, 452);
    } else if (args[i].dsn && (!m->esmtp || !offers(m, SMTPS_OFFER_DSN))) {
        want(m, 555);
        m->refused++;
    } else if (args[i].code != 250) {
        want(m, args[i].code);
        m->refused++;
    } else {
        int code = will_answer(o, DRAW(250, 250, 250, 250, 450, 550, rarely_421(550)));
        want(m, code);
        if (code == 250)
            m->rcpts++;
        else
            m->refused++;
        answer_421(m, code);
    }
}

/* What is said when the content is complete; the transaction is over. RFC 2033 4.2 */
static void content_ended(struct model *m, struct owner *o)
{
    for (int i = 0; i < (m->lmtp ? m->rcpts : 1); i++) {
        int code = m->verdict ? m->verdict : will_answer(o, DRAW(250, 250, 452, 554));
        want(m, code);
        if (code == 250)
            m->strays = 0;
    }
    no_transaction(m);
}

/* More content than is read: the verdict, which is 552 at least, and it is over. RFC 5321 3.8 */
static void sent_on(struct model *m, bool final)
{
    for (int i = 0; i < (m->lmtp && final ? m->rcpts : 1); i++)
        want(m, m->verdict ? m->verdict : 552);
    want(m, 421);
    closed(m);
}

static void spoilt(struct model *m, int rank, int code)
{
    if (rank > m->rank) {
        m->rank = rank;
        m->verdict = code;
    }
}

/* RFC 5321 4.1.1.4, 3.3; RFC 3030 2 and 3. The content follows the 354 in the same step. */
static void data(struct model *m, struct owner *o, struct line *l)
{
    static const struct {
        const char *text;
        int size;
        bool bad;
    } contents[] = {
        {"text\r\n.\r\n", 6, false},
        {".\r\n", 0, false},
        {"..\r\n.x\r\n.\r\n", 6, false},
        {"a\nb\r\n.\r\n", 5, true},
        {"a\rb\r\n.\r\n", 5, true},
        {"a\r\n.\nb\r\n.\r\n", 6, true},
        {"\n.\r\n\r\n.\r\n", 6, true},
        {"123456789 123456789 123456789 123456789 123456789 123456789\r\n.\r\n", 61, false},
        {"123456789 123456789 123456789 123456789 123456789 12345678\r\n.\r\n", 60, false},
        {"123456789 123456789 123456789 123456789 123456789 123456\n89\r\n.\r\n", 61, true},
        {"123456789 123456789 123456789 123456789 123456789 12345678\r\n"
         "123456789 123456789 123456789 12345\r\n.\r\n",
         97, false},
        {"123456789 123456789 123456789 123456789 123456789 12345678\r\n"
         "123456789 123456789 123456789 123456\r\n.\r\n",
         98, false},
        {"a\nb\r\n123456789 123456789 123456789 123456789 123456789 12345678\r\n"
         "123456789 123456789 123456789 123456\r\n.\r\n",
         103, true},
    };
    bool argument = chance(3);
    put(l, argument ? "DATA now" : "DATA");
    l->last_in_group = true;
    if (argument) {
        want(m, m->hello ? 501 : 501503);
    } else if (!m->mail || m->chunks || m->rcpts == 0) {
        /* LMTP has no 554 here (RFC 2033 4.2) */
        want(m, m->mail && !m->chunks && m->refused > 0 && !m->lmtp ? 554 : 503);
    } else if (m->binary) {
        want(m, 503);
    } else {
        int code = will_answer(o, DRAW(354, 354, 354, 354, 451, 554));
        want(m, code);
        if (code != 354) {
            no_transaction(m);
            return;
        }
        unsigned i = rnd(sizeof contents / sizeof *contents);
        put(l, "\r\n");
        put(l, contents[i].text);
        l->len -= 2; /* the CRLF that every line gets */
        l->content = true;
        if (contents[i].size > SIZE_MAX_BYTES)
            spoilt(m, 1, 552);
        if (contents[i].bad)
            spoilt(m, 2, 554);
        if (contents[i].size + 3 > SIZE_MAX_BYTES + EXCESS)
            sent_on(m, true);
        else
            content_ended(m, o);
    }
}

/* Whether CR and LF come other than together, or a NUL at all (RFC 5321 2.3.8), in the bytes that
 * follow `tail`. A CR at the end is judged by what comes next. */
static bool bad_bytes(char tail, str_t s, bool last)
{
    bool bad = false;
    for (size_t i = 0; i < s.len; i++) {
        bad |= s.ptr[i] == '\0' || (s.ptr[i] == '\n') != (tail == '\r');
        tail = s.ptr[i];
    }
    return bad || (last && tail == '\r');
}

/* RFC 3030 2 */
static void bdat(struct model *m, struct owner *o, struct line *l)
{
    static const str_t contents[] = {
        STR(""),
        STR("abc\r\n"),
        STR("\r\n.\r\n"),
        STR("ab\ncd\r\n"),
        STR("a\0b\r\n"),
        STR("abc"),
        STR("a\r"),
        STR("\nb\r\n"),
        STR("\r"),
        STR("\n"),
        STR("abc\r\n"),
        STR("def\r\n"),
        STR("123456789 123456789 12345678\r\n"),
    };
    char command[64];
    bool last = chance(50);
    if (chance(3)) {
        put(l, DRAW(0, 1) ? "BDAT x" : "BDAT");
        want(m, 501); /* where the chunk ends is not known */
        closed(m);
        return;
    }
    str_t content = contents[m->esmtp ? rnd(sizeof contents / sizeof *contents) : 0];
    snprintf(command, sizeof command, "BDAT %zu%s\r\n", content.len, last ? " LAST" : "");
    put(l, command);
    memcpy(l->text + l->len, content.ptr, content.len);
    l->len += content.len;
    l->content = true;
    int *octets = m->rcpts == 0 ? &m->strays : &m->octets;
    *octets += (int)content.len;
    if (*octets > SIZE_MAX_BYTES + EXCESS) { /* known from the command */
        m->verdict = m->rcpts > 0 ? m->verdict : m->refused > 0 ? 554 : 503;
        sent_on(m, last && m->rcpts > 0);
        return;
    }
    if (m->rcpts == 0) {
        if (m->lmtp && last && m->mail) {
            no_transaction(m); /* RFC 2033 4.3: a reply for each of no recipients */
            return;
        }
        want(m, m->refused > 0 ? 554 : 503);
        return;
    }
    if (!m->chunks) {
        int code = will_answer(o, DRAW(354, 354, 354, 354, 354, 451, 554));
        if (code != 354)
            spoilt(m, 3, code);
    }
    m->chunks = true;
    m->size += (int)content.len;
    if (m->size > SIZE_MAX_BYTES)
        spoilt(m, 1, 552);
    if (!m->binary && bad_bytes(m->tail, content, last))
        spoilt(m, 2, 554);
    if (content.len > 0)
        m->tail = content.ptr[content.len - 1];
    if (last)
        content_ended(m, o);
    else
        want(m, m->verdict ? m->verdict : 250);
}

/* RFC 3207 4 */
static void starttls(struct model *m, struct owner *o, struct line *l)
{
    (void)o;
    bool argument = chance(5);
    put(l, argument ? "STARTTLS now" : "STARTTLS");
    l->last_in_group = true;
    bool wrong = !m->hello || !m->esmtp || m->mail || m->tls;
    if (!offers(m, SMTPS_OFFER_STARTTLS))
        want(m, 502);
    else if (argument)
        want(m, wrong ? 501503 : 501);
    else
        want(m, wrong ? 503 : 220);
}

static void auth_answer(struct model *m, struct owner *o)
{
    int code = will_answer(o, DRAW(334, 334, 235, 235, 535, 454, rarely_421(235)));
    want(m, code);
    m->exchange = code == 334;
    m->authenticated |= code == 235;
    if (code == 535)
        login_failed(m);
    answer_421(m, code);
}

/* RFC 4954 4, 6 */
static void auth(struct model *m, struct owner *o, struct line *l)
{
    static const struct {
        const char *text;
        int code;
        bool failed;
    } args[] = {
        {" PLAIN dGVzdA==", 0, false},
        {" plain", 0, false},
        {" PLAIN =", 0, false},
        {" PLAIN dGVz dA==", 501, true},
        {" PLAIN =AAA", 501, true},
        {" NTLM", 504, false},
        {"", 501, false},
    };
    unsigned i = rnd(sizeof args / sizeof *args);
    put(l, "AUTH");
    put(l, args[i].text);
    l->last_in_group = true;
    bool mechs = m->mechs && (m->tls || !m->mechs_under_tls);
    if (!offers(m, SMTPS_OFFER_AUTH)) {
        want(m, 502);
    } else if (!m->hello || !m->esmtp || m->mail || m->authenticated) {
        want(m, 503);
    } else if (!mechs) {
        want(m, !m->tls && offers(m, SMTPS_OFFER_STARTTLS) ? 538 : 502);
    } else if (args[i].code != 0) {
        want(m, args[i].code);
        if (args[i].failed)
            login_failed(m);
    } else {
        auth_answer(m, o);
    }
}

/* The answer to a challenge. */
static void response(struct model *m, struct owner *o, struct line *l)
{
    static const struct {
        const char *text;
        int code;
    } lines[] = {
        {"dGVzdA==", 0}, {"", 0},     {"*", 501},       {"=", 501},
        {"dGVzdA", 501}, {"NOOP", 0}, {"QUIT\tx", 501},
    };
    unsigned i = rnd(sizeof lines / sizeof *lines);
    put(l, lines[i].text);
    l->last_in_group = true;
    if (lines[i].code == 0) {
        auth_answer(m, o);
        return;
    }
    want(m, lines[i].code);
    login_failed(m);
}

static bool lacks_auth(struct model *m)
{
    return m->auth_needed && !m->authenticated;
}

/* RFC 5321 3.5 */
static void vrfy(struct model *m, struct owner *o, struct line *l)
{
    bool expn = chance(40), argument = chance(85), offered = offers(m, SMTPS_OFFER_VRFY);
    put(l, expn ? "EXPN" : "VRFY");
    put(l, argument ? " someone" : "");
    l->last_in_group = true;
    if (expn && !offered)
        want(m, 502);
    else if (!argument)
        want(m, 501);
    else if (!offered)
        want(m, 252);
    else if (lacks_auth(m))
        want(m, 530);
    else
        want(m, will_answer(o, DRAW(250, 252, 550)));
}

/* RFC 1985 5 */
static void etrn(struct model *m, struct owner *o, struct line *l)
{
    bool argument = chance(85);
    put(l, argument ? "ETRN y.example" : "ETRN");
    l->last_in_group = true;
    if (!offers(m, SMTPS_OFFER_ETRN))
        want(m, 502);
    else if (!m->hello || !m->esmtp || m->mail)
        want(m, 503);
    else if (!argument)
        want(m, lacks_auth(m) ? 501530 : 501);
    else if (lacks_auth(m))
        want(m, 530);
    else
        want(m, will_answer(o, DRAW(250, 459, 550)));
}

/* Postfix, XCLIENT_README */
static void xclient(struct model *m, struct owner *o, struct line *l)
{
    bool good = chance(80);
    put(l, good ? "XCLIENT NAME=spike.example ADDR=192.0.2.1" : "XCLIENT ADDR=spike");
    l->last_in_group = true;
    if (!offers(m, SMTPS_OFFER_XCLIENT)) {
        want(m, 502);
    } else if (m->mail) {
        want(m, 503);
    } else if (!m->xclient_allowed) {
        want(m, 550);
    } else if (!good) {
        want(m, 501);
    } else {
        int code = will_answer(o, DRAW(220, 220, 220, 550, rarely_421(220)));
        want(m, code);
        if (code == 220)
            new_client(m);
        answer_421(m, code);
    }
}

static void rset(struct model *m, struct owner *o, struct line *l)
{
    (void)o;
    bool argument = chance(5);
    put(l, argument ? "RSET x" : "RSET");
    want(m, argument ? 501 : 250);
    if (!argument)
        no_transaction(m);
}

static void noop(struct model *m, struct owner *o, struct line *l)
{
    (void)o;
    bool help = chance(20);
    put(l, help ? "HELP" : "NOOP");
    l->last_in_group = true;
    want(m, help ? 214 : 250);
}

/* What is no command. */
static void junk(struct model *m, struct owner *o, struct line *l)
{
    static const char *const lines[] = {"FOO", "", "NOOP\x01", " NOOP", "MAILFROM:<a@x>", "DATA\t"};
    (void)o;
    if (chance(10)) { /* over-long: RFC 5321 4.5.3.1.4 */
        put(l, "NOOP ");
        memset(l->text + l->len, 'x', SMTPS_COMMAND_MAX);
        l->len += SMTPS_COMMAND_MAX;
    } else {
        put(l, lines[rnd(sizeof lines / sizeof *lines)]);
    }
    want(m, 500);
}

/* RFC 2920 does not know them; a browser's and a TLS client's first line end the session. */
static void alien(struct model *m, struct owner *o, struct line *l)
{
    (void)o;
    put(l, DRAW(0, 1) ? "GET / HTTP/1.1" : "\x16\x03\x01");
    l->quit = true; /* whatever follows is not read */
    want(m, 500);
    closed(m);
}

static void quit(struct model *m, struct owner *o, struct line *l)
{
    (void)o;
    bool argument = chance(10);
    put(l, argument ? "QUIT x" : "QUIT");
    l->quit = true;
    want(m, argument ? 501 : 221);
    if (!argument)
        closed(m);
}

typedef void action(struct model *m, struct owner *o, struct line *l);
static action *const actions[] = {
    hello, hello, hello,   mail, mail, mail, mail,     rcpt,     rcpt, rcpt,
    rcpt,  data,  data,    bdat, bdat, bdat, bdat,     starttls, auth, auth,
    vrfy,  etrn,  xclient, rset, rset, noop, starttls, junk,
};

/* Half of the time what brings the session on, so that all states are reached often. */
static action *choose(const struct model *m)
{
    if (m->exchange)
        return response;
    if (chance(1))
        return chance(50) ? quit : alien;
    if (chance(45))
        return actions[rnd(sizeof actions / sizeof *actions)];
    if (!m->hello)
        return hello;
    if (m->esmtp && !m->tls && !m->mail && offers(m, SMTPS_OFFER_STARTTLS) && chance(30))
        return starttls;
    if (m->esmtp && !m->authenticated && !m->mail && offers(m, SMTPS_OFFER_AUTH) &&
        chance(m->auth_needed ? 80 : 20))
        return auth;
    if (!m->mail)
        return mail;
    if (m->chunks)
        return bdat;
    if (m->rcpts == 0 || chance(30))
        return rcpt;
    return m->binary || chance(40) ? bdat : data;
}

/* ---- what was said, and what is ---- */

static int next_code(str_t *said)
{
    str_t line;
    int code = -1;
    while (str_cut(said, '\n', &line)) {
        assert_true(line.len >= 4 && line.ptr[line.len - 1] == '\r');
        int c = (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + line.ptr[2] - '0';
        assert_true(code < 0 || c == code); /* one reply, one code: RFC 5321 4.2.1 */
        code = c;
        if (line.ptr[3] == ' ')
            return code;
        assert_int_equal(line.ptr[3], '-');
    }
    return code;
}

static void check_replies(const struct model *m, struct owner *o)
{
    str_t said = str_of(o->said, o->len);
    for (int i = 0; i < m->wants; i++) {
        int code = next_code(&said);
        if (code != m->want[i] / 1000 && code != m->want[i] % 1000)
            fail_msg("reply %d of %d: the model says %d, the engine %d; all it said:\n%.*s", i + 1,
                     m->wants, m->want[i], code, (int)o->len, o->said);
    }
    if (said.len > 0)
        fail_msg("said too much: %.*s", (int)said.len, said.ptr);
    o->len = 0;
}

static void check_state(const struct model *m, const struct owner *o)
{
    const struct smtps_mail_params none = {0};
    assert_int_equal(smtps_closing(o->s), m->closed);
    assert_int_equal(o->open, m->mail);
    assert_int_equal(o->mails, m->mails_accepted);
    assert_int_equal(o->mails, o->ends + o->aborts + (o->open ? 1 : 0));
    assert_int_equal(o->next, o->answers);
    assert_int_equal(smtps_tls(o->s), m->tls);
    if (!m->closed) {
        assert_int_equal(smtps_authenticated(o->s), m->authenticated);
        assert_int_equal(smtps_helo_name(o->s).len > 0, m->hello);
        assert_int_equal(m->hello && smtps_esmtp(o->s), m->esmtp);
    }
    assert_int_equal(smtps_recipients(o->s), m->rcpts);
    if (m->mail)
        return;
    assert_null(smtps_sender(o->s));
    assert_null(smtps_recipient(o->s));
    assert_int_equal(smtps_transaction_arena(o->s)->used, 0);
    assert_memory_equal(smtps_mail_params(o->s), &none, sizeof none);
    assert_int_equal(smtps_rcpt_params(o->s)->orcpt.len, 0);
    assert_null(smtps_argument(o->s).ptr);
    if (!m->exchange)
        assert_int_equal(smtps_auth_mech(o->s).len, 0);
}

/* What smtps_expire says; in an exchange and in a transaction too. */
static void timeout(struct model *m, struct owner *o)
{
    smtps_expire(o->s, o->now_ms);
    pump(o);
    flush(o);
    want(m, 421);
    closed(m);
}

static void handshake(struct model *m, struct owner *o)
{
    o->tls_wanted = false;
    if (chance(10)) { /* no handshake: nothing is said, nothing is done */
        feed_whole(o, STR("MAIL FROM:<canary@x.example>\r\n"));
        closed(m);
        return;
    }
    smtps_tls_started(o->s, o->now_ms);
    new_client(m);
    m->tls = true;
    if (m->mechs)
        smtps_set_mechs(o->s, STR("LOGIN PLAIN"));
}

/* One line, or several in a group; what must not follow is sometimes sent all the same. */
static void step(struct model *m, struct owner *o)
{
    char bytes[12000];
    size_t n = 0;
    bool cut = true;
    if (rnd(300) == 0) {
        timeout(m, o);
        return;
    }
    for (int i = 0; i < 4; i++) {
        struct line l = {.len = 0};
        struct model before = *m;
        int answers = o->answers;
        choose(m)(m, o, &l);
        put(&l, l.content && memcmp(l.text, "BDAT", 4) == 0 ? "" : "\r\n");
        memcpy(bytes + n, l.text, l.len);
        n += l.len;
        if (l.content && l.text[0] == 'D') {
            /* DATA: the content comes after the 354 */
            const char *lf = memchr(l.text, '\n', l.len);
            size_t command = (size_t)(lf + 1 - l.text);
            feed_whole(o, str_of(bytes, n - l.len + command));
            feed_cut(o, str_of(lf + 1, l.len - command));
            return;
        }
        bool may_follow = before.esmtp && !l.last_in_group && !before.exchange;
        if (l.quit || m->closed)
            break;
        if (!may_follow && chance(1)) {
            /* RFC 2920 3.1, 5321 4.3.1, 3207 4.2, 4954 4: not run, neither of them */
            memcpy(bytes + n, "NOOP\r\n", 6);
            n += 6;
            bool known = m->want[m->wants - 1] != 500 || before.exchange || l.last_in_group;
            if (!known) /* an unknown command is answered, and what follows is run */
                return feed_whole(o, str_of(bytes, n)), want(m, 250);
            *m = before;
            o->answers = answers;
            want(m, 554);
            closed(m);
            cut = false;
            break;
        }
        if (!may_follow || chance(60))
            break;
    }
    if (cut)
        feed_cut(o, str_of(bytes, n));
    else
        feed_whole(o, str_of(bytes, n));
    if (o->tls_wanted)
        handshake(m, o);
}

static void session(int steps)
{
    struct model m = {.offer = chance(50) ? ~0u : rnd(1 << 12), .lmtp = chance(12)};
    m.auth_needed = chance(25);
    m.mechs = chance(85);
    m.mechs_under_tls = chance(40);
    m.xclient_allowed = chance(50);
    struct smtps_config c = {
        .hostname = STR("mx.example.test"),
        .lmtp = m.lmtp,
        .size_max = SIZE_MAX_BYTES,
        .excess_max = EXCESS,
        .recipients_max = RECIPIENTS_MAX,
        .messages_max = 1000000,
        .errors_soft = 1000000,
        .errors_hard = 1000000,
        .junk_max = 1000000,
        .idle_s = 300,
        .data_floor_bps = 500,
        .offer = m.offer,
        .auth_needed = m.auth_needed,
        .future_max_s = 3600,
    };
    struct owner o = {.s = smtps_new(&c, 1000), .lmtp = m.lmtp, .now_ms = 1000};
    must(o.s != NULL);
    smtps_set_mechs(o.s, m.mechs && !m.mechs_under_tls ? STR("LOGIN PLAIN") : STR(""));
    if (m.xclient_allowed)
        smtps_allow_xclient(o.s);
    want(&m, 220);
    if (chance(10)) { /* TLS from the start, and nothing of it is seen */
        smtps_tls_started(o.s, 1000);
        m.tls = true;
        if (m.mechs)
            smtps_set_mechs(o.s, STR("LOGIN PLAIN"));
    }
    flush(&o);
    check_replies(&m, &o);
    for (int i = 0; i < steps && !m.closed; i++) {
        m.wants = o.answers = o.next = 0;
        step(&m, &o);
        check_replies(&m, &o);
        check_state(&m, &o);
    }
    smtps_eof(o.s);
    pump(&o);
    assert_false(o.open);
    assert_int_equal(o.mails, o.ends + o.aborts);
    assert_int_equal(smtps_transaction_arena(o.s)->used, 0);
    feed_whole(&o, STR("MAIL FROM:<late@x.example>\r\n")); /* nothing wakes it again */
    assert_int_equal(o.len, 0);
    smtps_free(o.s);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    uint64_t v;
    const char *text = getenv(name);
    return text != NULL && str_u64(str_c(text), UINT64_MAX, &v) ? v : otherwise;
}

static uint64_t run_seed;
static int tell_seed(void **state)
{
    (void)state;
    print_message("last seed %llu: SMTP_MODEL_SEED=%llu SMTP_MODEL_RUNS=1 repeats it\n",
                  (unsigned long long)run_seed, (unsigned long long)run_seed);
    return 0;
}

static void test_random_sessions(void **state)
{
    (void)state;
    uint64_t first = from_environment("SMTP_MODEL_SEED", 1);
    uint64_t runs = from_environment("SMTP_MODEL_RUNS", RUNS);
    int steps = (int)from_environment("SMTP_MODEL_STEPS", STEPS);
    for (uint64_t i = 0; i < runs; i++) {
        run_seed = seed = first + i;
        (void)rnd(1);
        session(steps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_random_sessions, tell_seed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
