/* session.h: the engine's insides, shared by server.c, command.c and content.c alone. */
#ifndef PROTO_POP3_SESSION_H
#define PROTO_POP3_SESSION_H

#include "proto/pop3/server.h"

enum pop3s_state {                     /* bits: the command table has sets of them */
                   POP3S_ST_START = 1, /* AUTHORIZATION, no name yet */
                   POP3S_ST_NAMED = 2, /* AUTHORIZATION, after USER */
                   POP3S_ST_TRANSACTION = 4,
};

enum pop3s_producing { POP3S_NOTHING, POP3S_LISTING, POP3S_UIDS, POP3S_MESSAGE };

struct pop3s_content_state {
    size_t index;
    uint32_t piece;
    bool started;    /* +OK was sent */
    bool ended;      /* no more pieces are wanted */
    bool line_start; /* nothing of the current line was sent yet */
    bool cr;         /* a CR was seen; what follows decides */
    bool top, in_header;
    uint64_t lines_left; /* TOP: of the body */
};

struct pop3s {
    const struct pop3s_config *config;
    enum pop3s_state state;
    enum pop3s_event waiting; /* the event to be answered; POP3S_IDLE: none */
    bool closing;
    unsigned bad; /* wrong commands and failed logins; since login: wrong commands */
    int64_t now_ms, deadline_ms;

    str_t in;        /* borrowed */
    bool discarding; /* the line is too long: wait for its end */
    size_t discarded;
    size_t line_len;
    char line[POP3S_LINE_MAX]; /* a line's beginning, when it came in pieces */
    size_t name_len;
    char name[POP3S_LINE_MAX];
    str_t password; /* during POP3S_LOGIN; points into `in` or `line` */

    struct pop3s_message *messages;
    size_t n, n_left; /* n_left: not marked deleted */
    uint64_t octets_left;
    uint32_t uidvalidity;

    enum pop3s_producing producing;
    size_t at; /* the next message of a listing */
    struct pop3s_content_state content;
    struct buf out;
};

enum {
    /* of output: then it is sent first. Small, so that many slow readers cost little */
    POP3S_WATERMARK = 16 * 1024,
    /* Over the watermark at most a piece, each byte of which may become two (bare LF, dots), with a
     * first line and an end. */
    POP3S_OUT_MAX = POP3S_WATERMARK + 2 * POP3S_PIECE_MAX + 1024,
};

/* command.c */
enum pop3s_event pop3s_run(struct pop3s *s, str_t line); /* one command; POP3S_IDLE: it is done */
void pop3s_bad(struct pop3s *s, const char *text);       /* -ERR, counted */
/* A piece of a listing; when it is through, producing is POP3S_NOTHING. */
void pop3s_list_some(struct pop3s *s);

/* content.c */
void pop3s_content_begin(struct pop3s *s, size_t index, bool top, uint64_t lines);

#endif
