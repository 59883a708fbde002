/* settings_table.h: the one row of each setting, which the parser, `config show`, the manual page
 * and the error messages read; and how one value is read and written. For settings*.c alone. */
#ifndef ROLES_SETTINGS_TABLE_H
#define ROLES_SETTINGS_TABLE_H

#include "base/buf.h"
#include "roles/settings.h"

enum settings_kind {
    SETTINGS_HOST,      /* str_t, a host name */
    SETTINGS_PATH,      /* str_t */
    SETTINGS_USER,      /* str_t, a name for a Unix user */
    SETTINGS_DOMAIN,    /* str_t, a domain name or empty */
    SETTINGS_LISTEN,    /* list of struct netaddr with port */
    SETTINGS_NETWORKS,  /* list of struct netaddr_net */
    SETTINGS_SERVERS,   /* list of struct netaddr, port 53 unless given */
    SETTINGS_ADDRESS_4, /* struct netaddr without port, or none */
    SETTINGS_ADDRESS_6,
    SETTINGS_BOOL,
    SETTINGS_PORT,       /* uint16_t */
    SETTINGS_NUMBER,     /* uint32_t */
    SETTINGS_DURATION,   /* uint32_t, seconds */
    SETTINGS_SIZE,       /* uint64_t, bytes */
    SETTINGS_SEPARATOR,  /* char, 0: none */
    SETTINGS_SERVICES,   /* list of str_t, kinds of listeners with TLS */
    SETTINGS_URL,        /* str_t, https, or http to this machine; or empty */
    SETTINGS_WORD,       /* str_t, visible ASCII, or empty */
    SETTINGS_TEXT,       /* str_t, words with blanks between, or empty */
    SETTINGS_ALGORITHMS, /* list of str_t, signatures of tokens */
    SETTINGS_PORTS,      /* list of uint16_t */
};

struct settings_row {
    const char *name;
    enum settings_kind kind;
    size_t offset, size; /* of the member in struct settings */
    size_t count_offset; /* lists: of its number of elements */
    size_t list_max;     /* lists: most elements; 0: no list */
    uint64_t min, max;   /* numbers, durations, sizes */
    const char *preset;  /* the default as it would be written; lists: separated by blanks */
    const char *help;    /* one or more sentences */
};

extern const struct settings_row settings_rows[];
extern const size_t settings_n_rows;

/* Reads one value (of a list: one more element) into *s. false: `why` says what is wrong, without
 * the name. */
#define SETTINGS_WHY 160
bool settings_value_parse(const struct settings_row *row, str_t text, struct arena *a,
                          struct settings *s, char why[static SETTINGS_WHY]);
/* Element i (0 if it is no list) as it would be written, without quotes. */
bool settings_value_text(const struct settings_row *row, const struct settings *s, size_t i,
                         struct buf *out);
/* 1 if it is no list */
size_t settings_value_count(const struct settings_row *row, const struct settings *s);
/* a list: no elements */
void settings_value_clear(const struct settings_row *row, struct settings *s);
/* Sets the row's default. The table is ours, so that this can only fail for lack of memory. */
bool settings_value_preset(const struct settings_row *row, struct arena *a, struct settings *s);
/* What may be written: "a duration, from 1s to 7d". */
void settings_value_allowed(const struct settings_row *row, struct buf *out);

bool settings_host_valid(str_t s);            /* a host name or an address */
bool settings_bool_parse(str_t s, bool *out); /* yes no true false on off */

#endif
