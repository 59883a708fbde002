/* settings_table.c: every setting there is. See settings_table.h. */
#include "roles/settings_table.h"

#define AT(member) \
    .offset = offsetof(struct settings, member), .size = sizeof(((struct settings *)0)->member)
#define LIST(member, limit) \
    AT(member), .count_offset = offsetof(struct settings, n_##member), .list_max = (limit)

#define HOUR 3600ull
#define DAY  86400ull
#define KIB  1024ull
#define MIB  (1024 * KIB)
#define GIB  (1024 * MIB)

const struct settings_row settings_rows[] = {
    {"hostname", SETTINGS_HOST, AT(hostname), .preset = "",
     .help = "Our name in the greeting, in EHLO and in Received fields: a name that the DNS leads "
             "to this machine, as in mail.example.org. Default: the system's host name."},
    {"data_dir", SETTINGS_PATH, AT(data_dir), .preset = "/var/lib/postrider",
     .help = "The folder that holds the queue, the mailboxes and the accounts."},
    {"user", SETTINGS_USER, AT(user), .preset = "postrider",
     .help =
         "When started as root, each role runs as the user of this name, a hyphen and the "
         "role's name (postrider-mx), or, where there is no such user, under a number of its own."},
    {"listen_smtp", SETTINGS_LISTEN, LIST(listen_smtp, SETTINGS_LIST_MAX),
     .preset = "0.0.0.0:25 [::]:25",
     .help = "Addresses and ports on which mail is taken in by SMTP."},
    {"listen_lmtp", SETTINGS_LISTEN, LIST(listen_lmtp, SETTINGS_LIST_MAX), .preset = "",
     .help = "Addresses and ports on which mail is taken in by LMTP (RFC 2033)."},
    {"listen_pop3", SETTINGS_LISTEN, LIST(listen_pop3, SETTINGS_LIST_MAX),
     .preset = "127.0.0.1:110",
     .help =
         "Addresses and ports on which people read their mail by POP3. Passwords are taken from "
         "this machine alone, as long as there is no encryption."},
    {"listen_submission", SETTINGS_LISTEN, LIST(listen_submission, SETTINGS_LIST_MAX),
     .preset = "0.0.0.0:587 [::]:587",
     .help = "Addresses and ports on which people's programs hand mail in (RFC 6409): after "
             "STARTTLS, with a password."},
    {"listen_submissions", SETTINGS_LISTEN, LIST(listen_submissions, SETTINGS_LIST_MAX),
     .preset = "0.0.0.0:465 [::]:465", .help = "The same with TLS from the first byte (RFC 8314)."},
    {"submit_socket", SETTINGS_PATH, AT(submit_socket), .preset = "/run/postrider/submit.sock",
     .help = "The Unix socket on which sendmail hands mail in for the users of this machine, or "
             "none."},
    {"proxy_networks", SETTINGS_NETWORKS, LIST(proxy_networks, SETTINGS_LIST_MAX), .preset = "",
     .help = "Proxies that begin each connection with a PROXY header (version 1 or 2) that says "
             "whose it is. A connection from them without one is refused."},
    {"xclient_networks", SETTINGS_NETWORKS, LIST(xclient_networks, SETTINGS_LIST_MAX), .preset = "",
     .help = "Filters and proxies that may say by XCLIENT whose session it is."},
    {"relay_networks", SETTINGS_NETWORKS, LIST(relay_networks, SETTINGS_LIST_MAX),
     .preset = "127.0.0.0/8 ::1/128",
     .help = "Who may send mail to other servers through this one: addresses or networks as in "
             "192.0.2.0/24."},
    {"tls_dir", SETTINGS_PATH, AT(tls_dir), .preset = "",
     .help = "The folder of certificates: each in a folder that is called as the domain, with the "
             "files cert.pem (the certificate, then those between it and the root) and key.pem. "
             "Files that change are taken up by themselves. Empty: the folder tls in data_dir."},
    {"tls_ca_file", SETTINGS_PATH, AT(tls_ca_file), .preset = "/etc/ssl/certs/ca-certificates.crt",
     .help = "The file with the authorities that are trusted where the certificate of another "
             "server has to be verified. If it is not there, none is."},
    {"tls_no_tickets", SETTINGS_SERVICES, LIST(tls_no_tickets, SETTINGS_SERVICES_MAX), .preset = "",
     .help = "Kinds of listeners that give no session tickets, so that each connection has keys "
             "that nothing in our memory could reveal afterwards; it costs a full handshake each "
             "time."},
    {"dns_servers", SETTINGS_SERVERS, LIST(dns_servers, 8), .preset = "",
     .help = "DNS servers to ask, with :port or @port if it is not 53. Default: none, we ask the "
             "DNS ourselves from its root down."},
    {"dnssec", SETTINGS_BOOL, AT(dnssec), .preset = "yes",
     .help = "Whether DNS answers are validated. A forged answer then only delays mail."},
    {"smtp_client_port", SETTINGS_PORT, AT(smtp_client_port), .min = 1, .max = 65535,
     .preset = "25",
     .help = "The port on which other mail servers are called. Only a test network needs another "
             "than 25."},
    {"relay_ports", SETTINGS_PORTS, LIST(relay_ports, SETTINGS_PORTS_MAX), .preset = "",
     .help = "Ports, as in {2525, 10025}, that routes in the tables transport and relay and of "
             "single deliveries may name besides 24, 25, 465, 587 and those of routes in this "
             "file. Mail is sent to no other port."},
    {"source_v4", SETTINGS_ADDRESS_4, AT(source_v4), .preset = "none",
     .help = "The IPv4 address from which mail is sent, or none: the system's choice."},
    {"source_v6", SETTINGS_ADDRESS_6, AT(source_v6), .preset = "none",
     .help = "The IPv6 address from which mail is sent, or none: the system's choice."},
    {"message_size_max", SETTINGS_SIZE, AT(message_size_max), .min = 64 * KIB, .max = 2 * GIB,
     .preset = "50M",
     .help = "The largest message that is taken in. Clients learn of it by SIZE (RFC 1870)."},
    {"recipients_max", SETTINGS_NUMBER, AT(recipients_max), .min = 100, .max = 10000,
     .preset = "1000",
     .help = "The most recipients of one message; at least 100 (RFC 5321 4.5.3.1.8)."},
    {"errors_soft", SETTINGS_NUMBER, AT(errors_soft), .min = 1, .max = 1000, .preset = "5",
     .help = "After so many errors each answer to a client waits a second."},
    {"errors_hard", SETTINGS_NUMBER, AT(errors_hard), .min = 1, .max = 1000, .preset = "15",
     .help = "After so many errors a client is disconnected."},
    {"idle", SETTINGS_DURATION, AT(idle_s), .min = 10, .max = HOUR, .preset = "5m",
     .help = "How long a client may be silent; RFC 5321 4.5.3.2.7 asks for five minutes."},
    {"data_floor", SETTINGS_SIZE, AT(data_floor_bps), .min = 0, .max = MIB, .preset = "500",
     .help = "Bytes a second below which a client that sends a message is disconnected; 0: it may "
             "be as slow as it likes."},
    {"hops_max", SETTINGS_NUMBER, AT(hops_max), .min = 25, .max = 1000, .preset = "100",
     .help = "With so many Received fields a message is in a loop and is refused (RFC 5321 6.3)."},
    {"connections_max", SETTINGS_NUMBER, AT(connections_max), .min = 1, .max = 1000000,
     .preset = "10000",
     .help = "The most connections at once; further ones are told to come back later."},
    {"connections_per_address", SETTINGS_NUMBER, AT(connections_per_address), .min = 1,
     .max = 1000000, .preset = "50",
     .help = "The most connections at once from one address; relay_networks are exempt."},
    {"connections_per_network", SETTINGS_NUMBER, AT(connections_per_network), .min = 1,
     .max = 1000000, .preset = "200",
     .help = "The most connections at once from one network (IPv4 /24, IPv6 /56); relay_networks "
             "are exempt."},
    {"connections_per_minute", SETTINGS_NUMBER, AT(connections_per_minute), .min = 1,
     .max = 1000000, .preset = "300",
     .help = "The most new connections in a minute from one address; relay_networks are exempt."},
    {"stress_memory", SETTINGS_SIZE, AT(stress_memory_bytes), .min = 16 * MIB, .max = 1024 * GIB,
     .preset = "256M",
     .help = "Memory for all processes of the server. A half of it is for the role of incoming "
             "mail, a quarter for that of people's connections: over four fifths of its share a "
             "role is short with clients, until it is under three fifths."},
    {"account_messages_hour", SETTINGS_NUMBER, AT(account_messages_hour), .min = 1,
     .max = 1000000000, .preset = "500",
     .help = "The most messages that one account sends in an hour. What is over the limit is held "
             "until the operator releases it."},
    {"account_messages_day", SETTINGS_NUMBER, AT(account_messages_day), .min = 1, .max = 1000000000,
     .preset = "2000", .help = "The same in a day."},
    {"account_recipients_hour", SETTINGS_NUMBER, AT(account_recipients_hour), .min = 1,
     .max = 1000000000, .preset = "1000",
     .help = "The most recipients to which one account sends in an hour."},
    {"account_recipients_day", SETTINGS_NUMBER, AT(account_recipients_day), .min = 1,
     .max = 1000000000, .preset = "5000", .help = "The same in a day."},
    {"auth_cache", SETTINGS_DURATION, AT(auth_cache_s), .min = 0, .max = 10 * 60, .preset = "2m",
     .help = "For so long a password that was found right is known to be right: programs that log "
             "in for each message then cost little. 0: each login is checked in full. A changed "
             "password holds at once in any case."},
    {"client_certificates", SETTINGS_BOOL, AT(client_certificates), .preset = "no",
     .help =
         "Whether people's programs are asked for a certificate when they hand mail in, so that "
         "those whose certificate was registered log in with it (SASL EXTERNAL) and need no "
         "password."},
    {"oauth_introspection_url", SETTINGS_URL, AT(oauth_introspection_url), .preset = "",
     .help = "Where the issuer of OAuth tokens says what a token is worth (RFC 7662), as in "
             "https://id.example.org/introspect. With it people's programs may log in with a token "
             "(OAUTHBEARER, XOAUTH2)."},
    {"oauth_jwks_url", SETTINGS_URL, AT(oauth_jwks_url), .preset = "",
     .help =
         "Where the issuer of OAuth tokens publishes the keys they are signed with (a JWK set): "
         "for tokens that are JWTs. Needs oauth_issuer and oauth_audience. Only one of this and "
         "oauth_introspection_url may be set."},
    {"oauth_issuer", SETTINGS_WORD, AT(oauth_issuer), .preset = "",
     .help = "Who must have issued a token: its claim iss, as it is."},
    {"oauth_audience", SETTINGS_WORD, AT(oauth_audience), .preset = "",
     .help = "For whom a token must be: what its claim aud is or holds. Without it, tokens that "
             "were given to other programs than those for mail would be good here."},
    {"oauth_scope", SETTINGS_TEXT, AT(oauth_scope), .preset = "",
     .help = "What a token must allow: words that its claim scope (or scp) must all have."},
    {"oauth_claim", SETTINGS_WORD, AT(oauth_claim), .preset = "",
     .help = "The claim that names the account. Default: email, or, where there is none, "
             "preferred_username (of introspection: username). It must be one that people cannot "
             "choose for themselves at the issuer."},
    {"oauth_algorithms", SETTINGS_ALGORITHMS, LIST(oauth_algorithms, SETTINGS_ALGORITHMS_MAX),
     .preset = "RS256 PS256 ES256 EdDSA",
     .help = "With which algorithms tokens may be signed that are JWTs."},
    {"oauth_client_id", SETTINGS_WORD, AT(oauth_client_id), .preset = "",
     .help = "Our name at the introspection endpoint."},
    {"oauth_client_secret_file", SETTINGS_PATH, AT(oauth_client_secret_file), .preset = "",
     .help = "The file with our secret there: its first line."},
    {"vrfy", SETTINGS_BOOL, AT(vrfy), .preset = "no",
     .help = "Whether VRFY and EXPN tell who has an address here. Spammers ask too."},
    {"reserve", SETTINGS_SIZE, AT(reserve_bytes), .min = 16 * MIB, .max = 1024 * GIB,
     .preset = "256M",
     .help = "Free disk space below which no mail is taken in, so that what is there can still be "
             "delivered."},
    {"retry_first", SETTINGS_DURATION, AT(retry_first_s), .min = 1, .max = DAY, .preset = "5m",
     .help = "After a failed attempt, the wait before the second one. Each further wait is longer, "
             "up to retry_max."},
    {"retry_max", SETTINGS_DURATION, AT(retry_max_s), .min = 1, .max = 7 * DAY, .preset = "4h",
     .help = "The longest wait between two attempts."},
    {"warn_after", SETTINGS_DURATION, AT(warn_after_s), .min = 1, .max = 30 * DAY, .preset = "4h",
     .help =
         "When a message could not be delivered for so long, its sender is told that it is late."},
    {"give_up_after", SETTINGS_DURATION, AT(give_up_after_s), .min = 1, .max = 60 * DAY,
     .preset = "5d",
     .help = "When a message could not be delivered for so long, it goes back to its sender."},
    {"suppress", SETTINGS_DURATION, AT(suppress_s), .min = 0, .max = 3650u * DAY, .preset = "30d",
     .help = "When a server has said that an address does not exist, mail that is handed in here "
             "for it comes back at once for so long, instead of being sent again; 0 switches this "
             "off. See postrider queue suppressed."},
    {"destination_concurrency", SETTINGS_NUMBER, AT(destination_concurrency), .min = 1, .max = 1000,
     .preset = "20", .help = "The most connections at once to one destination."},
    {"courier_threads", SETTINGS_NUMBER, AT(courier_threads), .min = 1, .max = 2000,
     .preset = "200", .help = "The most deliveries to other servers at once."},
    {"trace_days", SETTINGS_NUMBER, AT(trace_days), .min = 0, .max = 3650, .preset = "7",
     .help =
         "For so many days after its end the story of a message can be read by postrider trace."},
    {"subaddress_separator", SETTINGS_SEPARATOR, AT(subaddress_separator), .preset = "+",
     .help = "Mail to name+anything goes to name; this is the character between, or none."},
    {"srs", SETTINGS_BOOL, AT(srs), .preset = "yes",
     .help = "Whether mail that an alias sends on to another server goes under a sender of our own "
             "domain (SRS), so that it passes SPF there; what comes back to that address within "
             "three weeks goes on to the true sender."},
    {"srs_domain", SETTINGS_DOMAIN, AT(srs_domain), .preset = "",
     .help = "One of our domains, in which those senders are. Empty: that of the alias."},
    {"batv", SETTINGS_BOOL, AT(batv), .preset = "no",
     .help =
         "Whether mail of our own domains leaves with a signed sender (BATV), so that bounces of "
         "mail we never sent can be told and are refused. Not for everybody: all mail of our "
         "domains has to leave by this server; mailing lists that know members by the "
         "envelope's sender see one that changes from day to day, and so does greylisting; and "
         "notices that others send to the address in From instead of the sender are refused."},
};

const size_t settings_n_rows = sizeof settings_rows / sizeof *settings_rows;
