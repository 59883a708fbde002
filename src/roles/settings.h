/* settings.h: everything that can be set, parsed once from postrider.conf and the same in every
 * role.
 *
 * Each setting is one row of the table in settings_table.c: name, kind, range, default, help. The
 * parser, `config show`, the man page postrider.conf(5) and error messages all read that row.
 * Routes alone have a form of their own (route "DOMAIN" { … }), read by settings.c. The file is
 * optional. Domains, accounts and aliases are not here: they live in the store and change while
 * running. */
#ifndef ROLES_SETTINGS_H
#define ROLES_SETTINGS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/netaddr.h"

#define SETTINGS_LIST_MAX       64
#define SETTINGS_PORTS_MAX      16
#define SETTINGS_SERVICES_MAX   8         /* kinds of listeners with TLS, at most */
#define SETTINGS_ALGORITHMS_MAX 4         /* of signatures of tokens */
#define SETTINGS_TEXT_MAX       (1 << 20) /* a configuration file of 1 MiB is not one */

struct settings_route {
    str_t domain;  /* "example.org", or "*" for all that have no row of their own (the smarthost) */
    str_t host;    /* a name or address; both names in A-labels, lower case */
    uint16_t port; /* 25 unless given */
    bool use_mx;   /* look the host's MX up; else its addresses alone (the default) */
};

/* A certificate that lies elsewhere than in tls_dir: certificate "NAME" { chain = … key = … } */
struct settings_certificate {
    str_t name;       /* a host name it is chosen for, besides those in it; A-labels, lower case */
    str_t chain, key; /* paths of PEM files */
};

struct settings {
    str_t hostname; /* our name in EHLO, greeting, Received; default: the system's name */
    str_t data_dir; /* /var/lib/postrider */
    str_t user;     /* base name of the users the roles run as when started as root: "postrider" */
    struct netaddr listen_smtp[SETTINGS_LIST_MAX]; /* "0.0.0.0:25", "[::]:25" */
    size_t n_listen_smtp;
    struct netaddr listen_lmtp[SETTINGS_LIST_MAX]; /* none */
    size_t n_listen_lmtp;
    struct netaddr listen_pop3[SETTINGS_LIST_MAX]; /* "127.0.0.1:110" */
    size_t n_listen_pop3;
    struct netaddr listen_submission[SETTINGS_LIST_MAX]; /* "0.0.0.0:587", "[::]:587" */
    size_t n_listen_submission;
    struct netaddr listen_submissions[SETTINGS_LIST_MAX]; /* 465: TLS at once (RFC 8314) */
    size_t n_listen_submissions;
    str_t submit_socket; /* Unix socket for `sendmail`; "none": there is none */
    struct netaddr_net proxy_networks[SETTINGS_LIST_MAX]; /* who speaks PROXY to us */
    size_t n_proxy_networks;
    struct netaddr_net xclient_networks[SETTINGS_LIST_MAX]; /* who may use XCLIENT */
    size_t n_xclient_networks;
    struct netaddr_net relay_networks[SETTINGS_LIST_MAX]; /* who may relay: 127.0.0.0/8, ::1 */
    size_t n_relay_networks;
    struct settings_route routes[SETTINGS_LIST_MAX];
    size_t n_routes;
    uint16_t relay_ports[SETTINGS_PORTS_MAX]; /* of routes in tables, besides the usual ones */
    size_t n_relay_ports;
    str_t tls_dir;     /* NAME/cert.pem and NAME/key.pem; empty: the folder tls in data_dir */
    str_t tls_ca_file; /* who others' certificates are trusted for */
    str_t tls_no_tickets[SETTINGS_SERVICES_MAX]; /* see settings_tickets */
    size_t n_tls_no_tickets;
    struct settings_certificate certificates[SETTINGS_LIST_MAX];
    size_t n_certificates;
    struct netaddr dns_servers[8]; /* empty: full recursion from the root servers */
    size_t n_dns_servers;
    bool dnssec;                         /* validate: true */
    uint16_t smtp_client_port;           /* 25; a test network may need another */
    struct netaddr source_v4, source_v6; /* addresses to send from; NONE: the system's choice */
    uint64_t message_size_max;           /* bytes, 50 MiB */
    uint32_t recipients_max;             /* per message, 1000 (at least 100: RFC 5321 4.5.3.1.8) */
    uint32_t errors_soft, errors_hard;   /* 5, 15 */
    uint32_t idle_s;                     /* 300 (RFC 5321 4.5.3.2.7) */
    uint32_t data_floor_bps;             /* bytes per second of DATA, 500 */
    uint32_t hops_max;                   /* Received fields, 100 (RFC 5321 6.3) */
    uint32_t connections_max, connections_per_address; /* 10,000; 50 (relay_networks exempt) */
    uint32_t connections_per_network;                  /* 200 of a /24 or /56 */
    uint32_t connections_per_minute;                   /* 300 new ones from an address */
    uint64_t stress_memory_bytes; /* of all roles: see smtp_in_memory; 256 MiB */
    /* of one account; over it mail is held until the operator releases it */
    uint32_t account_messages_hour, account_messages_day;     /* 500, 2,000 */
    uint32_t account_recipients_hour, account_recipients_day; /* 1,000, 5,000 */
    uint32_t auth_cache_s;    /* a password just checked holds so long, 120; 0: off */
    bool client_certificates; /* submission asks clients for one: SASL EXTERNAL; no */
    /* bearer tokens (OAUTHBEARER, XOAUTH2): at most one of the two; both empty: not offered */
    str_t oauth_introspection_url, oauth_jwks_url;
    str_t oauth_issuer, oauth_audience, oauth_scope, oauth_claim; /* struct oauth_rules */
    str_t oauth_algorithms[SETTINGS_ALGORITHMS_MAX];              /* as in JWT's header */
    size_t n_oauth_algorithms;
    str_t oauth_client_id, oauth_client_secret_file; /* who we are to the introspection endpoint */
    bool vrfy;                                       /* VRFY and EXPN are answered: no */
    uint64_t reserve_bytes;                 /* free space below which no mail is taken, 256 MiB */
    uint32_t retry_first_s, retry_max_s;    /* 300, 14400 */
    uint32_t warn_after_s, give_up_after_s; /* 14400, 432000 */
    uint32_t destination_concurrency;       /* most connections to one destination, 20 */
    uint32_t courier_threads;               /* most deliveries at once, 200 */
    uint32_t suppress_s; /* an address that does not exist is left alone for so long; 0: never */
    uint32_t trace_days; /* how long the story of a finished message is kept, 7 */
    char subaddress_separator; /* '+' ; 0: off */
    bool srs;                  /* what aliases send on gets a sender of ours: yes */
    str_t srs_domain;          /* in that domain; empty: the alias's own */
    bool batv;                 /* bounces of mail we never sent are refused: no */
};

/* Parses the text of a configuration file (may be empty: all defaults). Strings live in the arena.
 * On failure *err says file, line, what is wrong, and the nearest right name. RC_OK with a text in
 * *err is a warning to be shown (a hostname without domain). Values are also held against each
 * other (retry_first_s <= retry_max_s). */
enum rc settings_parse(str_t text, const char *file_name, struct arena *a, struct settings *out,
                       struct err *err);

/* Whether a service with TLS ("smtp", "lmtp", "submission", "submissions", "pop3") gives session
 * tickets. */
bool settings_tickets(const struct settings *s, const char *service);

/* The endpoint that is asked about bearer tokens; empty: none, they are not taken. */
str_t settings_oauth_url(const struct settings *s);

struct buf;
/* every setting, its value and default */
bool settings_show(const struct settings *s, bool json, struct buf *out);
bool settings_manual(struct buf *out); /* postrider.conf(5), roff */

#endif
