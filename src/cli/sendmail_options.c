/* sendmail_options.c: see sendmail_options.h. One row an option. */
#include "cli/sendmail_options.h"

#include <stdio.h>

#include "proto/smtp/client.h"

/* What follows an option's letter. */
enum takes {
    TAKES_NOTHING,
    TAKES_VALUE,   /* the rest of the word, or the next one */
    TAKES_OPTIONAL /* the rest of the word, if any */
};

typedef bool option_run(struct sendmail_options *o, char letter, str_t value);

struct option_row {
    char letter;
    enum takes takes;
    option_run *run; /* NULL: taken, and nothing follows from it */
};

static bool wrong(struct sendmail_options *o, char letter, str_t value, const char *why)
{
    snprintf(o->error, sizeof o->error, "-%c%.40s: %s", letter, value.len > 0 ? value.ptr : "",
             why);
    return false;
}

static bool run_mode(struct sendmail_options *o, char letter, str_t value)
{
    char what = value.len == 1 ? value.ptr[0] : '\0';
    switch (what) {
    case 'm':
    case 'a': /* ARPANET mode: a line of its own ends with CRLF; so do all */ return true;
    case 's': o->mode = SENDMAIL_SMTP; return true;
    case 'p': o->mode = SENDMAIL_LIST; return true;
    case 'i': o->mode = SENDMAIL_NEWALIASES; return true;
    case 'd':
    case 'D':
        return wrong(o, letter, value,
                     "the server is not started by this name; `postrider serve` does it");
    case 'v':
        return wrong(o, letter, value,
                     "addresses are not verified without sending; `postrider alias list` and "
                     "`postrider account list` show them");
    default: return wrong(o, letter, value, "there is no such mode");
    }
}

static bool run_newaliases(struct sendmail_options *o, char letter, str_t value)
{
    (void)letter, (void)value;
    o->mode = SENDMAIL_NEWALIASES;
    return true;
}

/* -q, and -q30m of a daemon of old, and -qRtext, -qStext …: all that waits is tried. */
static bool run_flush(struct sendmail_options *o, char letter, str_t value)
{
    (void)letter, (void)value;
    o->mode = SENDMAIL_FLUSH;
    return true;
}

static bool run_extract(struct sendmail_options *o, char letter, str_t value)
{
    (void)letter, (void)value;
    o->from_header = true;
    return true;
}

static bool run_dots(struct sendmail_options *o, char letter, str_t value)
{
    (void)letter, (void)value;
    o->ignore_dots = true;
    return true;
}

static bool run_verbose(struct sendmail_options *o, char letter, str_t value)
{
    (void)letter, (void)value;
    o->verbose = true;
    return true;
}

static bool run_sender(struct sendmail_options *o, char letter, str_t value)
{
    (void)letter;
    o->has_sender = true;
    o->sender = str_trim(value);
    if (str_eq(o->sender, STR("<>")))
        o->sender = STR_NONE;
    return true;
}

static bool run_name(struct sendmail_options *o, char letter, str_t value)
{
    (void)letter;
    o->full_name = value;
    return true;
}

/* RFC 3461 4.1, with commas and without regard to case. */
static bool run_notify(struct sendmail_options *o, char letter, str_t value)
{
    static const struct {
        str_t word;
        unsigned bit;
    } words[] = {
        {STR("never"), SMTPC_NOTIFY_NEVER},
        {STR("success"), SMTPC_NOTIFY_SUCCESS},
        {STR("failure"), SMTPC_NOTIFY_FAILURE},
        {STR("delay"), SMTPC_NOTIFY_DELAY},
    };
    const char *why = "one of never, success, failure, delay; the last three may be joined by "
                      "commas";
    str_t rest = value, word;
    o->notify = 0;
    for (bool more = true; more;) {
        unsigned bit = 0;
        more = str_cut(&rest, ',', &word);
        if (!more)
            word = rest;
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
            if (str_ieq(str_trim(word), words[i].word))
                bit = words[i].bit;
        if (bit == 0)
            return wrong(o, letter, value, why);
        o->notify |= bit;
    }
    if ((o->notify & SMTPC_NOTIFY_NEVER) != 0 && o->notify != SMTPC_NOTIFY_NEVER)
        return wrong(o, letter, value, why);
    return true;
}

static bool run_ret(struct sendmail_options *o, char letter, str_t value)
{
    if (str_ieq(value, STR("full")))
        o->ret = SMTPC_RET_FULL;
    else if (str_ieq(value, STR("hdrs")))
        o->ret = SMTPC_RET_HDRS;
    else
        return wrong(o, letter, value, "full or hdrs");
    return true;
}

/* RFC 3461 4.4: printable, and at most 100 characters once encoded. */
static bool run_envid(struct sendmail_options *o, char letter, str_t value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] <= ' ' || value.ptr[i] >= 0x7f)
            return wrong(o, letter, STR_NONE, "an envelope id is printable ASCII without blanks");
    if (value.len == 0 || value.len > SMTPC_ENVID_MAX)
        return wrong(o, letter, STR_NONE, "an envelope id has 1 to 100 characters");
    o->envid = value;
    return true;
}

/* -oX: the short forms of settings. Two of them matter; the others set what is not here to be set:
 * how errors are told (-oem …), the delivery mode (-odb …), files, limits and times. */
static bool run_setting(struct sendmail_options *o, char letter, str_t value)
{
    if (str_eq(value, STR("i")))
        return run_dots(o, letter, value);
    if (str_eq(value, STR("v")))
        return run_verbose(o, letter, value);
    if (value.len == 0 || !ascii_alpha(value.ptr[0]))
        return wrong(o, letter, value, "there is no such option");
    return true;
}

static bool run_body(struct sendmail_options *o, char letter, str_t value)
{
    /* What the message is, is seen from it. */
    return str_ieq(value, STR("7BIT")) || str_ieq(value, STR("8BITMIME")) ||
           wrong(o, letter, value, "7BIT or 8BITMIME");
}

static const struct option_row rows[] = {
    {'b', TAKES_VALUE, run_mode},
    {'f', TAKES_VALUE, run_sender},
    {'r', TAKES_VALUE, run_sender},
    {'F', TAKES_VALUE, run_name},
    {'t', TAKES_NOTHING, run_extract},
    {'i', TAKES_NOTHING, run_dots},
    {'v', TAKES_NOTHING, run_verbose},
    {'q', TAKES_OPTIONAL, run_flush},
    {'I', TAKES_NOTHING, run_newaliases},
    {'N', TAKES_VALUE, run_notify},
    {'R', TAKES_VALUE, run_ret},
    {'V', TAKES_VALUE, run_envid},
    {'B', TAKES_VALUE, run_body},
    {'o', TAKES_VALUE, run_setting},
    {'A', TAKES_VALUE, NULL},    /* -Ac, -Am: which configuration file */
    {'C', TAKES_VALUE, NULL},    /* a configuration file */
    {'D', TAKES_VALUE, NULL},    /* a debugging log */
    {'d', TAKES_OPTIONAL, NULL}, /* debugging */
    {'e', TAKES_OPTIONAL, NULL}, /* how errors are told: by the exit code and a line, always */
    {'G', TAKES_NOTHING, NULL},  /* a gateway submits */
    {'h', TAKES_VALUE, NULL},    /* hops so far: Received fields are counted */
    {'L', TAKES_VALUE, NULL},    /* the name in the log */
    {'m', TAKES_NOTHING, NULL},  /* send to the sender too: never left out */
    {'n', TAKES_NOTHING, NULL},  /* no aliases: that is the server's matter */
    {'O', TAKES_VALUE, NULL},    /* -O name=value */
    {'p', TAKES_VALUE, NULL},    /* the protocol it came by */
    {'T', TAKES_VALUE, NULL},    /* how long it may wait */
    {'U', TAKES_NOTHING, NULL},  /* a user submits */
    {'x', TAKES_NOTHING, NULL},  /* of AIX */
    {'X', TAKES_VALUE, NULL},    /* a traffic log */
};

static const struct option_row *row_of(char letter)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].letter == letter)
            return &rows[i];
    return NULL;
}

/* One word "-abc". *i moves on when the next word is its value. */
static bool take_word(struct sendmail_options *o, int argc, char **argv, int *i)
{
    const char *word = argv[*i] + 1;
    while (*word != '\0') {
        char letter = *word++;
        const struct option_row *row = row_of(letter);
        if (row == NULL) {
            snprintf(o->error, sizeof o->error, "there is no option -%c (in \"%.60s\")",
                     letter > ' ' && letter < 0x7f ? letter : '?', argv[*i]);
            return false;
        }
        str_t value = STR_NONE;
        if (row->takes != TAKES_NOTHING) {
            value = str_c(word);
            word += value.len;
            if (row->takes == TAKES_VALUE && value.len == 0) {
                if (*i + 1 >= argc)
                    return wrong(o, letter, STR_NONE, "a value is missing");
                value = str_c(argv[++*i]);
            }
        }
        if (row->run != NULL && !row->run(o, letter, value))
            return false;
    }
    return true;
}

bool sendmail_options_parse(int argc, char **argv, struct sendmail_options *out)
{
    int i = 1;
    bool ended = false;
    out->error[0] = '\0';
    for (; i < argc && !ended && argv[i][0] == '-' && argv[i][1] != '\0'; i++) {
        ended = strcmp(argv[i], "--") == 0;
        if (!ended && !take_word(out, argc, argv, &i))
            return false;
    }
    out->recipients = argv + i;
    out->n_recipients = argc - i;
    for (; i < argc && !ended; i++) {
        if (argv[i][0] != '-')
            continue;
        snprintf(out->error, sizeof out->error,
                 "\"%.60s\" stands behind a recipient; options come first (and \"--\" before "
                 "addresses that begin with a hyphen)",
                 argv[i]);
        return false;
    }
    return true;
}
