/* sendmail_options.h: the command line of `sendmail`, as programs have called it for forty years.
 *
 * Options stand before the recipients, may be joined ("-ti", "-oi"), and end at "--". What changes
 * nothing here (error modes, configuration files, debugging, queue groups …) is taken and ignored;
 * an option that would have to do something it cannot do, or that nobody knows, is an error. A
 * recipient that looks like an option is one, too, unless "--" says otherwise: addresses that come
 * from strangers shall not become options. Pure: no I/O. */
#ifndef CLI_SENDMAIL_OPTIONS_H
#define CLI_SENDMAIL_OPTIONS_H

#include "base/str.h"

enum sendmail_mode {
    SENDMAIL_SEND,       /* -bm, and without any */
    SENDMAIL_SMTP,       /* -bs: SMTP on standard input and output */
    SENDMAIL_LIST,       /* -bp, mailq */
    SENDMAIL_NEWALIASES, /* -bi, -I, newaliases */
    SENDMAIL_FLUSH,      /* -q */
};

struct sendmail_options {
    enum sendmail_mode mode;
    bool from_header;  /* -t: recipients from To, Cc, Bcc too */
    bool ignore_dots;  /* -i, -oi: a line with a dot alone ends nothing */
    bool verbose;      /* -v */
    bool has_sender;   /* -f, -r; `sender` empty: <> */
    str_t sender;      /* as given: an address in any form, or a bare name */
    str_t full_name;   /* -F */
    unsigned notify;   /* -N: enum smtpc_notify, 0: not given */
    int ret;           /* -R: enum smtpc_ret */
    str_t envid;       /* -V */
    char **recipients; /* what is left of argv */
    int n_recipients;
    char error[240]; /* a sentence without the program's name */
};

/* argv[0] is the program. False: `error` says why (EX_USAGE). Strings are argv's. */
bool sendmail_options_parse(int argc, char **argv, struct sendmail_options *out);

#endif
