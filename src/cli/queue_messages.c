/* queue_messages.c: `postrider queue list --messages`: every delivery by itself, oldest first. */
#include <stdio.h>

#include "cli/queue.h"

enum { REASON_SHOWN = 200, RECIPIENTS_SHOWN = 5 }; /* on a line for a person; --json has all */

void json_stream_add(struct json_stream *s, json_t *item)
{
    fputs(s->open ? ",\n " : "[\n ", stdout);
    s->open = true;
    json_dumpf(item, stdout, JSON_COMPACT);
    json_decref(item);
}

int json_stream_end(struct json_stream *s)
{
    puts(s->open ? "\n]" : "[]");
    return CLI_OK;
}

struct listing {
    struct cli *c;
    struct json_stream json;
    size_t n;
    int64_t now_ms;
};

static void delivery_json(const struct listing *l, const struct queue_delivery *d, json_t *o)
{
    json_object_set_new(o, "state", json_string(queue_state_name(d->state)));
    json_object_set_new(o, "domain", cli_json_str(d->domain));
    json_object_set_new(o, "via", cli_json_str(d->via));
    json_object_set_new(o, "source", cli_json_str(d->source));
    json_object_set_new(o, "priority", json_integer(d->priority));
    json_object_set_new(o, "attempts", json_integer(d->attempts));
    json_object_set_new(o, "arrived_ms", json_integer(d->arrived_ms));
    json_object_set_new(o, "next_ms", json_integer(d->next_ms));
    json_object_set_new(o, "next_in_s",
                        json_integer(d->next_ms > l->now_ms ? (d->next_ms - l->now_ms) / 1000 : 0));
    json_object_set_new(o, "reason", cli_json_str(d->reason));
    json_object_set_new(o, "class",
                        d->reason.len > 0
                            ? json_string(bounce_class_name(bounce_class_reason(d->reason)))
                            : json_null());
}

static json_t *item_json(const struct listing *l, const struct queue_item *it)
{
    char id[QUEUE_ID_TEXT];
    const struct queue_delivery *d = it->d;
    json_t *o = json_object(), *to = json_array();
    json_object_set_new(o, "id", json_string(queue_id_text(it->id, id)));
    json_object_set_new(o, "delivery", json_integer(it->n));
    json_object_set_new(o, "local", json_boolean(it->local));
    json_object_set_new(o, "from", it->m != NULL ? cli_json_str(it->m->reverse_path) : json_null());
    json_object_set_new(o, "size",
                        it->m != NULL ? json_integer((json_int_t)it->m->size) : json_null());
    json_object_set_new(o, "account",
                        it->m != NULL ? json_integer((json_int_t)it->m->account) : json_null());
    json_object_set_new(o, "damaged", json_boolean(d == NULL || it->m == NULL));
    for (size_t i = 0; d != NULL && i < d->nrcpt; i++)
        json_array_append_new(to, cli_json_str(d->rcpt[i].address));
    if (d != NULL)
        delivery_json(l, d, o);
    json_object_set_new(o, "to", to);
    return o;
}

static void item_text(const struct listing *l, const struct queue_item *it)
{
    char id[QUEUE_ID_TEXT], age[16], next[16];
    const struct queue_delivery *d = it->d;
    struct cli *c = l->c;
    queue_id_text(it->id, id);
    if (d == NULL) {
        printf("%s  this delivery's record is damaged; `postrider queue remove %s` removes it\n",
               id, id);
        return;
    }
    cli_span(l->now_ms - d->arrived_ms, age);
    cli_span(d->next_ms - l->now_ms, next);
    printf("%s  %6s old, %s%s  " STR_FMT "  <" STR_FMT "> ->", id, age,
           d->state == QUEUE_HELD    ? "held"
           : d->next_ms <= l->now_ms ? "now"
                                     : "again in ",
           d->state == QUEUE_HELD || d->next_ms <= l->now_ms ? "" : next,
           STR_ARG(d->local ? STR("local") : cli_safe(c, d->domain)),
           STR_ARG(it->m != NULL ? cli_safe(c, it->m->reverse_path) : STR("?")));
    for (size_t i = 0; i < d->nrcpt && i < RECIPIENTS_SHOWN; i++)
        printf("%s <" STR_FMT ">", i ? "," : "", STR_ARG(cli_safe(c, d->rcpt[i].address)));
    if (d->nrcpt > RECIPIENTS_SHOWN)
        printf(" and %zu more", d->nrcpt - RECIPIENTS_SHOWN);
    if (d->via.len > 0)
        printf(" by " STR_FMT, STR_ARG(cli_safe(c, d->via)));
    putchar('\n');
    if (d->reason.len > 0)
        printf("    %u attempt%s: " STR_FMT "%s (%s)\n", d->attempts, d->attempts == 1 ? "" : "s",
               STR_ARG(cli_safe(c, str_first(d->reason, REASON_SHOWN))),
               d->reason.len > REASON_SHOWN ? "…" : "",
               bounce_class_name(bounce_class_reason(d->reason)));
}

static bool on_item(void *user, const struct queue_item *it)
{
    struct listing *l = user;
    l->n++;
    if (l->c->json)
        json_stream_add(&l->json, item_json(l, it));
    else
        item_text(l, it);
    arena_reset(&l->c->scratch);
    return true;
}

int queue_list_messages(struct cli *c, const struct queue_words *w)
{
    struct listing l = {.c = c, .now_ms = c->env.wall_ms(&c->env)};
    enum store_rc rc = queue_list(c->store, &w->f, on_item, &l);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (c->json)
        return json_stream_end(&l.json);
    if (l.n == 0)
        puts("nothing waits");
    return CLI_OK;
}
