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
    {"relay_networks", SETTINGS_NETWORKS, LIST(relay_networks, SETTINGS_LIST_MAX),
     .preset = "127.0.0.0/8 ::1/128",
     .help = "Who may send mail to other servers through this one: addresses or networks as in "
             "192.0.2.0/24."},
    {"dns_servers", SETTINGS_SERVERS, LIST(dns_servers, 8), .preset = "",
     .help = "DNS servers to ask, with :port or @port if it is not 53. Default: none, we ask the "
             "DNS ourselves from its root down."},
    {"dnssec", SETTINGS_BOOL, AT(dnssec), .preset = "yes",
     .help = "Whether DNS answers are validated. A forged answer then only delays mail."},
    {"smtp_client_port", SETTINGS_PORT, AT(smtp_client_port), .min = 1, .max = 65535,
     .preset = "25",
     .help = "The port on which other mail servers are called. Only a test network needs another "
             "than 25."},
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
    {"destination_concurrency", SETTINGS_NUMBER, AT(destination_concurrency), .min = 1, .max = 1000,
     .preset = "20", .help = "The most connections at once to one destination."},
    {"courier_threads", SETTINGS_NUMBER, AT(courier_threads), .min = 1, .max = 2000,
     .preset = "200", .help = "The most deliveries to other servers at once."},
    {"trace_days", SETTINGS_NUMBER, AT(trace_days), .min = 0, .max = 3650, .preset = "7",
     .help =
         "For so many days after its end the story of a message can be read by postrider trace."},
    {"subaddress_separator", SETTINGS_SEPARATOR, AT(subaddress_separator), .preset = "+",
     .help = "Mail to name+anything goes to name; this is the character between, or none."},
};

const size_t settings_n_rows = sizeof settings_rows / sizeof *settings_rows;
