/* world.h: the whole mail path in one thread: postrider servers on a clock that only the story
 * moves, a made-up DNS, and hosts that do as they are told.
 *
 *     story.h     the language of the scenarios
 *     story*.c    reads one and plays it
 *     world.c     the clock; what is due; where a connection leads
 *     mta.c       one postrider: store, mx, courier, local
 *     host.c      somebody else's server, scripted
 *     zone.c      the DNS
 *     look.c      comparing a message with what is expected of it
 *
 * Everything lives in the world's arena or dies with world_free. What goes wrong sticks, the first
 * of it, and is looked at after each step: so code called deep inside the courier can complain too.
 */
#ifndef TESTS_SCENARIO_WORLD_H
#define TESTS_SCENARIO_WORLD_H

#include "fake_env.h"
#include "roles/courier/courier.h"
#include "roles/local/local.h"
#include "roles/mx/mx.h"
#include "roles/user/submission.h"
#include "store/engines.h"

enum {
    MTAS_MAX = 4,
    HOSTS_MAX = 20,
    RULES_MAX = 16,
    RECORDS_MAX = 60,
    TAKEN_MAX = 300,  /* messages that hosts took */
    TRIED_MAX = 2000, /* connections that were tried */
    ACCOUNTS_MAX = 10,
};

struct world;

/* ---- the DNS ---- */

struct record {
    str_t name, data;
    enum dns_type type;
    bool absent; /* no data but a status */
    enum dns_status status;
};

/* Another record, or with the name of a status in place of data: all of that name and type. False:
 * `type` or `data` make no sense. */
bool zone_set(struct world *w, str_t name, str_t type, str_t data);
/* A name without any record does not exist; CNAMEs are followed, as the resolver does. */
void zone_answer(struct world *w, str_t name, enum dns_type type, struct arena *a,
                 struct dns_answer *out);

/* ---- other hosts ---- */

struct rule {        /* what a host says to a command */
    str_t command;   /* a pattern; "" is the connection itself, "." the end of a message */
    str_t reply;     /* lines with CRLF */
    bool close, cut; /* then it closes; then the power of our servers fails */
};

enum host_kind { HOST_ACCEPTS, HOST_REFUSES, HOST_UNREACHABLE, HOST_SILENT };

struct host {
    struct netaddr addr;
    enum host_kind kind;
    struct rule rules[RULES_MAX]; /* the first that fits; without any a host takes everything */
    size_t nrules;
};

struct taken { /* a message that a host has whole: it said 250, or what it said was lost */
    struct netaddr by;
    str_t from, to; /* "<a@b>", "<c@d> <e@f>" */
    str_t text;
    bool told; /* the story has spoken of it */
};

struct conn *host_connect(struct world *w, struct host *h);

/* ---- our servers ---- */

struct account {
    str_t address;
    uint64_t id;
    size_t told; /* so many of its messages the story has spoken of */
};

struct mta {
    struct fake_env fe; /* first */
    struct world *world;
    str_t name;
    struct netaddr addr;
    struct buf conf; /* postrider.conf */
    bool started;
    struct settings settings;
    struct mx mx;
    struct submission people;
    struct courier *courier;
    struct local *local;
    struct account account[ACCOUNTS_MAX];
    size_t naccounts;
};

bool mta_new(struct world *w, str_t name, str_t address);
bool mta_start(struct mta *s);   /* with the settings it has by now; nothing to do if it runs */
void mta_restart(struct mta *s); /* after the power cut */
void mta_free(struct mta *s);
struct conn *mta_connect(struct mta *to, const struct netaddr *from);

struct letter {
    str_t account; /* who has logged in at the submission port; empty: it comes to port 25 */
    str_t from;    /* without <> */
    const str_t *to;
    size_t nto;
    str_t content;
    bool body_8bit, smtputf8;
    str_t with, each; /* further parameters of MAIL, and of every RCPT; or empty */
    struct netaddr client;
};
/* Sends it to the server as an SMTP client does. `reply` gets the first refusal, or what the final
 * dot was answered; false if the server does not follow the protocol. */
bool mta_submit(struct mta *s, const struct letter *m, char *reply, size_t cap);

/* ---- the world ---- */

struct world {
    struct arena arena;
    uint64_t seed;
    const char *file;
    unsigned line;
    char wrong[8000]; /* with the message that is not as expected */

    struct mta *mta[MTAS_MAX];
    size_t nmtas;
    struct host host[HOSTS_MAX];
    size_t nhosts;
    struct record record[RECORDS_MAX];
    size_t nrecords;
    struct taken taken[TAKEN_MAX];
    size_t ntaken;
    struct netaddr tried[TRIED_MAX];
    size_t ntried;
    struct netaddr source[TRIED_MAX]; /* ours, of the same connections; NETADDR_NONE: any */
    size_t nsources;
    size_t connections; /* open */
    bool dark;          /* the power has failed: nothing is stored or sent any more */
};

struct world *world_new(const char *file, uint64_t seed);
void world_free(struct world *w);
/* Notes file, line and what is wrong, unless something was before. Returns false. */
bool wrong(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int64_t world_now(const struct world *w);
/* Does all that is due now, on all servers, until nothing is. */
void world_settle(struct world *w);
int64_t world_next(const struct world *w); /* when something will be due; INT64_MAX: never */
/* Time goes on to then, without anything being done. */
void world_pass(struct world *w, int64_t until_ms);
void world_dark(struct world *w);
enum rc world_connect(struct env *e, const struct netaddr *to, const struct netaddr *from,
                      int64_t deadline_ms, struct conn **out, struct err *err);

/* ---- looking ---- */

bool wild(str_t pattern, str_t text); /* * stands for anything */
/* Each of `want`, lines that end in LF, fits a line of the message, in that order; one that begins
 * with "! " must fit none. Folded fields are one line. False: so many did, and *missed is the one
 * that does not. */
bool look_lines(str_t message, str_t want, struct arena *a, unsigned *fitting, str_t *missed);

#endif
