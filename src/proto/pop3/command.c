/* command.c: the verbs, each a row of the table with the states in which it is legal. See
 * server.h. */
#include "base/err.h"
#include "proto/pop3/session.h"

enum {
    BAD_BEFORE_LOGIN = 3, /* wrong commands or logins, then the connection is closed */
    BAD_AFTER_LOGIN = 20,
};

enum {
    ST_ANY = POP3S_ST_START | POP3S_ST_NAMED | POP3S_ST_TRANSACTION,
    ST_AUTH = POP3S_ST_START | POP3S_ST_NAMED,
    ST_TRANS = POP3S_ST_TRANSACTION,
};

struct command {
    str_t verb;
    unsigned states;
    enum pop3s_event (*run)(struct pop3s *s, str_t args);
};

static void ok(struct pop3s *s, const char *text)
{
    buf_addf(&s->out, "+OK%s%s\r\n", *text == '\0' ? "" : " ", text);
}

static const char *refusal_code(enum pop3s_refusal why)
{
    switch (why) {
    case POP3S_AUTH: return "[AUTH]";     /* RFC 3206 5 */
    case POP3S_IN_USE: return "[IN-USE]"; /* RFC 2449 8.1.2 */
    case POP3S_TEMP: return "[SYS/TEMP]"; /* RFC 3206 4 */
    case POP3S_PERM: return "[SYS/PERM]";
    }
    return "[SYS/PERM]";
}

/* A text of the caller's, as part of one line of at most 512 octets (RFC 1939 3). */
static void add_text(struct pop3s *s, const char *text)
{
    for (size_t i = 0; text[i] != '\0' && i < 400; i++)
        buf_addc(&s->out, (unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i]);
    buf_add(&s->out, STR("\r\n"));
}

static void count_bad(struct pop3s *s)
{
    unsigned most = s->state == POP3S_ST_TRANSACTION ? BAD_AFTER_LOGIN : BAD_BEFORE_LOGIN;
    if (++s->bad >= most)
        s->closing = true;
}

void pop3s_bad(struct pop3s *s, const char *text)
{
    buf_add(&s->out, STR("-ERR "));
    add_text(s, text);
    count_bad(s);
}

static enum pop3s_event bad(struct pop3s *s, const char *text)
{
    pop3s_bad(s, text);
    return POP3S_IDLE;
}

/* ---- AUTHORIZATION ---- */

static enum pop3s_event refuse_plaintext(struct pop3s *s)
{
    return bad(s, "[AUTH] passwords are taken only over connections from this machine, as there is "
                  "no encryption");
}

static enum pop3s_event cmd_user(struct pop3s *s, str_t args) /* RFC 1939 7 */
{
    if (!s->config->plaintext)
        return refuse_plaintext(s);
    if (args.len == 0 || args.len > sizeof s->name)
        return bad(s, "give a name: USER name");
    memcpy(s->name, args.ptr, args.len);
    s->name_len = args.len;
    s->state = POP3S_ST_NAMED;
    ok(s, ""); /* for every name: who exists is not told */
    return POP3S_IDLE;
}

static enum pop3s_event cmd_pass(struct pop3s *s,
                                 str_t args) /* RFC 1939 7: blanks are part of the password */
{
    if (!s->config->plaintext)
        return refuse_plaintext(s);
    s->state = POP3S_ST_START;
    if (args.len == 0)
        return bad(s, "give a password: PASS password");
    s->password = args;
    return POP3S_LOGIN;
}

str_t pop3s_name(const struct pop3s *s)
{
    return str_of(s->name, s->name_len);
}
str_t pop3s_password(const struct pop3s *s)
{
    return s->password;
}

static void login_answered(struct pop3s *s)
{
    must(s->waiting == POP3S_LOGIN);
    s->waiting = POP3S_IDLE;
    s->password = STR_NONE;
    explicit_bzero(s->line, sizeof s->line); /* the input buffer is the caller's */
}

void pop3s_login(struct pop3s *s, struct pop3s_message *messages, size_t n, uint32_t uidvalidity)
{
    login_answered(s);
    s->state = POP3S_ST_TRANSACTION;
    s->deadline_ms = s->now_ms + POP3S_IDLE_S * (int64_t)1000;
    s->bad = 0;
    s->messages = messages;
    s->n = s->n_left = n;
    s->uidvalidity = uidvalidity;
    s->octets_left = 0;
    for (size_t i = 0; i < n; i++)
        s->octets_left += messages[i].size;
    buf_addf(&s->out, "+OK %zu messages (%llu octets)\r\n", n, (unsigned long long)s->octets_left);
}

void pop3s_refuse(struct pop3s *s, enum pop3s_refusal why, const char *text)
{
    login_answered(s);
    s->name_len = 0;
    buf_addf(&s->out, "-ERR %s ", refusal_code(why));
    add_text(s, text);
    count_bad(s);
}

/* ---- any state ---- */

static enum pop3s_event cmd_capa(struct pop3s *s, str_t args) /* RFC 2449 5 */
{
    if (args.len > 0)
        return bad(s, "CAPA takes no argument");
    ok(s, "");
    buf_add(&s->out, STR("TOP\r\nUIDL\r\n"));
    if (s->config->plaintext)
        buf_add(&s->out, STR("USER\r\n"));
    buf_add(&s->out,
            STR("RESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nIMPLEMENTATION "));
    buf_add(&s->out, s->config->implementation);
    buf_add(&s->out, STR("\r\n.\r\n"));
    return POP3S_IDLE;
}

static enum pop3s_event cmd_quit(struct pop3s *s, str_t args)
{
    if (args.len > 0)
        return bad(s, "QUIT takes no argument");
    /* RFC 1939 6: only here is anything removed */
    if (s->state == POP3S_ST_TRANSACTION && s->n_left < s->n)
        return POP3S_UPDATE;
    ok(s, "bye");
    s->closing = true;
    return POP3S_IDLE;
}

void pop3s_updated(struct pop3s *s, bool all)
{
    must(s->waiting == POP3S_UPDATE);
    s->waiting = POP3S_IDLE;
    s->closing = true;
    if (all)
        ok(s, "bye");
    /* RFC 1939 6 */
    else
        buf_add(&s->out, STR("-ERR [SYS/TEMP] some deleted messages not removed\r\n"));
}

void pop3s_login_over(struct pop3s *s, const char *text)
{
    must(s->waiting == POP3S_UPDATE || s->waiting == POP3S_CONTENT);
    bool under_way = s->waiting == POP3S_CONTENT && s->content.started;
    s->waiting = POP3S_IDLE;
    s->producing = POP3S_NOTHING;
    s->closing = true;
    if (under_way)
        return; /* words would be taken for the message */
    buf_addf(&s->out, "-ERR %s ", refusal_code(POP3S_AUTH));
    add_text(s, text);
}

/* ---- TRANSACTION ---- */

/* A message number as it is written in `arg`, of one that is not marked deleted; false:
 * answered. */
static bool message_number(struct pop3s *s, str_t arg, size_t *index)
{
    uint64_t number;
    if (!str_u64(arg, UINT64_MAX, &number)) {
        pop3s_bad(s, "give a message number");
        return false;
    }
    if (number == 0 || number > s->n || s->messages[number - 1].deleted) {
        buf_add(&s->out, STR("-ERR no such message\r\n")); /* a fair question: not counted as bad */
        return false;
    }
    *index = (size_t)number - 1;
    return true;
}

static enum pop3s_event cmd_stat(struct pop3s *s, str_t args)
{
    if (args.len > 0)
        return bad(s, "STAT takes no argument");
    buf_addf(&s->out, "+OK %zu %llu\r\n", s->n_left, (unsigned long long)s->octets_left);
    return POP3S_IDLE;
}

static void add_listing(struct pop3s *s, size_t i)
{
    buf_addf(&s->out, "%zu %llu\r\n", i + 1, (unsigned long long)s->messages[i].size);
}

/* RFC 1939 7: unique for ever, 1 to 70 characters. */
static void add_uid(struct pop3s *s, size_t i)
{
    buf_addf(&s->out, "%zu %u.%llu\r\n", i + 1, s->uidvalidity,
             (unsigned long long)s->messages[i].uid);
}

static enum pop3s_event list(struct pop3s *s, str_t args, enum pop3s_producing kind)
{
    size_t index;
    if (args.len == 0) {
        buf_addf(&s->out, "+OK %zu messages (%llu octets)\r\n", s->n_left,
                 (unsigned long long)s->octets_left);
        s->producing = kind;
        s->at = 0;
    } else if (message_number(s, args, &index)) {
        buf_add(&s->out, STR("+OK "));
        (kind == POP3S_LISTING ? add_listing : add_uid)(s, index);
    }
    return POP3S_IDLE;
}

void pop3s_list_some(struct pop3s *s)
{
    for (; s->at < s->n && s->out.len < POP3S_WATERMARK; s->at++)
        if (!s->messages[s->at].deleted)
            (s->producing == POP3S_LISTING ? add_listing : add_uid)(s, s->at);
    if (s->at < s->n)
        return;
    buf_add(&s->out, STR(".\r\n"));
    s->producing = POP3S_NOTHING;
}

static enum pop3s_event cmd_list(struct pop3s *s, str_t args)
{
    return list(s, args, POP3S_LISTING);
}
static enum pop3s_event cmd_uidl(struct pop3s *s, str_t args)
{
    return list(s, args, POP3S_UIDS);
}

static enum pop3s_event cmd_retr(struct pop3s *s, str_t args)
{
    size_t index;
    if (message_number(s, args, &index))
        pop3s_content_begin(s, index, false, 0);
    return POP3S_IDLE;
}

static enum pop3s_event cmd_top(struct pop3s *s, str_t args)
{
    size_t index;
    uint64_t lines;
    str_t number;
    if (!str_cut(&args, ' ', &number) || !str_u64(args, UINT64_MAX, &lines))
        return bad(s, "give a message and a number of lines: TOP 1 10");
    if (message_number(s, number, &index))
        pop3s_content_begin(s, index, true, lines);
    return POP3S_IDLE;
}

void pop3s_content_failed(struct pop3s *s, enum pop3s_refusal why, const char *text)
{
    must(s->waiting == POP3S_CONTENT);
    s->waiting = POP3S_IDLE;
    s->producing = POP3S_NOTHING;
    if (s->content.started) {
        s->closing = true;
        return;
    }
    buf_addf(&s->out, "-ERR %s ", refusal_code(why));
    add_text(s, text);
}

static enum pop3s_event cmd_dele(struct pop3s *s, str_t args)
{
    size_t index;
    if (!message_number(s, args, &index))
        return POP3S_IDLE;
    s->messages[index].deleted = true;
    s->n_left--;
    s->octets_left -= s->messages[index].size;
    buf_addf(&s->out, "+OK message %zu deleted\r\n", index + 1);
    return POP3S_IDLE;
}

static enum pop3s_event cmd_noop(struct pop3s *s, str_t args)
{
    if (args.len > 0)
        return bad(s, "NOOP takes no argument");
    ok(s, "");
    return POP3S_IDLE;
}

static enum pop3s_event cmd_rset(struct pop3s *s, str_t args)
{
    if (args.len > 0)
        return bad(s, "RSET takes no argument");
    for (size_t i = 0; s->n_left < s->n && i < s->n; i++) {
        if (!s->messages[i].deleted)
            continue;
        s->messages[i].deleted = false;
        s->n_left++;
        s->octets_left += s->messages[i].size;
    }
    buf_addf(&s->out, "+OK %zu messages (%llu octets)\r\n", s->n,
             (unsigned long long)s->octets_left);
    return POP3S_IDLE;
}

/* ---- the table ---- */

static const struct command commands[] = {
    {{"USER", 4}, ST_AUTH, cmd_user},        /* RFC 1939 7 */
    {{"PASS", 4}, POP3S_ST_NAMED, cmd_pass}, /* RFC 1939 7: only right after USER */
    {{"CAPA", 4}, ST_ANY, cmd_capa},         /* RFC 2449 5 */
    {{"QUIT", 4}, ST_ANY, cmd_quit},         /* RFC 1939 4, 5, 6 */
    {{"STAT", 4}, ST_TRANS, cmd_stat},       /* RFC 1939 5 */
    {{"LIST", 4}, ST_TRANS, cmd_list},       /* RFC 1939 5 */
    {{"UIDL", 4}, ST_TRANS, cmd_uidl},       /* RFC 1939 7 */
    {{"RETR", 4}, ST_TRANS, cmd_retr},       /* RFC 1939 5 */
    {{"TOP", 3}, ST_TRANS, cmd_top},         /* RFC 1939 7 */
    {{"DELE", 4}, ST_TRANS, cmd_dele},       /* RFC 1939 5 */
    {{"NOOP", 4}, ST_TRANS, cmd_noop},       /* RFC 1939 5 */
    {{"RSET", 4}, ST_TRANS, cmd_rset},       /* RFC 1939 5 */
};

/* Browsers that were tricked into talking to us: close at once, echo nothing. */
static bool is_http(str_t verb)
{
    static const str_t verbs[] = {{"GET", 3},  {"POST", 4},    {"PUT", 3},
                                  {"HEAD", 4}, {"OPTIONS", 7}, {"CONNECT", 7}};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (str_ieq(verb, verbs[i]))
            return true;
    return verb.len > 0 && !ascii_alpha(verb.ptr[0]);
}

static bool clean(str_t line)
{
    size_t at;
    return !str_find(line, '\0', &at) && !str_find(line, '\r', &at);
}

enum pop3s_event pop3s_run(struct pop3s *s, str_t line)
{
    str_t args = line, verb;
    if (!str_cut(&args, ' ', &verb)) {
        verb = line;
        args = STR_NONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (!str_ieq(verb, commands[i].verb))
            continue;
        if ((commands[i].states & s->state) == 0)
            return bad(s, s->state == POP3S_ST_TRANSACTION
                              ? "you are logged in already"
                              : "log in first: USER name, then PASS password");
        if (!clean(line))
            return bad(s, "no CR or NUL inside a line, please");
        bool password = commands[i].run == cmd_pass; /* whose blanks count */
        return commands[i].run(s, password ? args : str_trim(args));
    }
    bool http = s->state != POP3S_ST_TRANSACTION && is_http(verb);
    pop3s_bad(s, "unknown command; CAPA lists what there is");
    s->closing = s->closing || http;
    return POP3S_IDLE;
}
