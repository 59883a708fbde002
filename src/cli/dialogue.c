/* dialogue.c: see dialogue.h. Printing goes by line: what is left of one waits for its end. */
#include "cli/dialogue.h"

#include <stdlib.h>

enum { LINE_SHOWN = 2000, CONTENT_LINES_SHOWN = 40 };

struct side {
    const char *mark;
    struct buf line;
};

struct dialogue {
    struct conn conn;
    struct cli *c;
    struct conn *inner;
    FILE *to;
    struct side client, server;
    bool content;   /* 354 was seen: what the client sends is the message */
    unsigned shown; /* lines of it */
    bool secret;    /* AUTH was said: an answer to 334 is a secret */
    bool challenged;
};

/* What the client says, with its secrets left out. */
static str_t without_secrets(struct dialogue *d, str_t line)
{
    if (d->content)
        return line;
    if (d->challenged) {
        d->challenged = false;
        return str_eq(line, STR("*")) ? line : STR("(not shown)");
    }
    if (!str_istarts(line, STR("AUTH ")))
        return line;
    size_t mech = 5;
    while (mech < line.len && line.ptr[mech] != ' ')
        mech++;
    d->secret = true;
    if (mech + 1 >= line.len || str_eq(str_from(line, mech + 1), STR("=")))
        return line;
    return arena_fmt(&d->c->scratch, STR_FMT " (not shown)", STR_ARG(str_first(line, mech)));
}

/* What the server's answer means for the lines that follow. */
static void note_answer(struct dialogue *d, str_t line)
{
    if (str_starts(line, STR("354"))) {
        d->content = true;
        d->shown = 0;
    }
    d->challenged = d->secret && str_starts(line, STR("334"));
    if (d->secret && !d->challenged)
        d->secret = false;
}

static void print_line(struct dialogue *d, struct side *s)
{
    str_t line = buf_str(&s->line);
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    bool is_client = s == &d->client;
    if (is_client)
        line = without_secrets(d, line);
    else
        note_answer(d, line);
    if (is_client && d->content && str_eq(line, STR(".")))
        d->content = false;
    if (is_client && d->content && ++d->shown > CONTENT_LINES_SHOWN) {
        if (d->shown == CONTENT_LINES_SHOWN + 1)
            fprintf(d->to, "%s: …\n", s->mark);
        return;
    }
    str_t safe = cli_safe(d->c, line);
    fprintf(d->to, "%s: " STR_FMT "\n", s->mark, STR_ARG(safe));
    arena_reset(&d->c->scratch);
}

static void show(struct dialogue *d, struct side *s, str_t bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        if (bytes.ptr[i] == '\n') {
            print_line(d, s);
            buf_clear(&s->line);
        } else if (s->line.len < LINE_SHOWN) {
            buf_addc(&s->line, bytes.ptr[i]);
        }
    }
    fflush(d->to);
}

static struct dialogue *of(struct conn *c)
{
    return (struct dialogue *)(void *)c;
}

static enum rc dialogue_read(struct conn *c, void *to, size_t cap, size_t *got, int64_t deadline_ms)
{
    struct dialogue *d = of(c);
    enum rc rc = d->inner->ops->read(d->inner, to, cap, got, deadline_ms);
    if (rc == RC_OK)
        show(d, &d->server, str_of(to, *got));
    return rc;
}

static enum rc dialogue_write(struct conn *c, str_t bytes, int64_t deadline_ms)
{
    struct dialogue *d = of(c);
    show(d, &d->client, bytes);
    return d->inner->ops->write(d->inner, bytes, deadline_ms);
}

static void dialogue_close(struct conn *c)
{
    struct dialogue *d = of(c);
    if (d->inner != NULL)
        d->inner->ops->close(d->inner);
    buf_free(&d->client.line);
    buf_free(&d->server.line);
    free(d);
}

static const struct conn_ops dialogue_ops = {dialogue_read, dialogue_write, dialogue_close};

struct conn *dialogue_show(struct cli *c, struct conn *inner, FILE *to)
{
    struct dialogue *d = calloc(1, sizeof *d);
    if (d == NULL) {
        inner->ops->close(inner);
        return NULL;
    }
    d->conn = (struct conn){.ops = &dialogue_ops, .peer = inner->peer, .local = inner->local};
    d->c = c;
    d->to = to;
    d->inner = inner;
    d->client.mark = "C";
    d->server.mark = "S";
    buf_init(&d->client.line, LINE_SHOWN);
    buf_init(&d->server.line, LINE_SHOWN);
    return &d->conn;
}

struct conn *dialogue_take(struct conn *dialogue)
{
    struct dialogue *d = of(dialogue);
    struct conn *inner = d->inner;
    d->inner = NULL;
    return inner;
}

void dialogue_give(struct conn *dialogue, struct conn *inner)
{
    of(dialogue)->inner = inner;
}
