/* story.c: see story.h. */
#include "cli/story.h"

#include <stdio.h>

#include "post/bounce_class.h"
#include "post/queue_admin.h"

/* ---- as text ---- */

/* What its sender asked for beside delivery, and whose it is. */
static void print_wishes(struct cli *c, const struct queue_message *m)
{
    char when[32];
    if (m->account != 0)
        printf("                       submitted by account %llu\n",
               (unsigned long long)m->account);
    else if (m->source.len > 0)
        printf("                       counted for " STR_FMT "\n", STR_ARG(cli_safe(c, m->source)));
    if (m->priority != 0)
        printf("                       priority %d\n", m->priority);
    if (m->requiretls)
        printf("                       only over verified TLS (REQUIRETLS)\n");
    if (m->release_ms > m->arrived_ms)
        printf("                       not before %s\n", cli_time(m->release_ms, when));
    if (m->by != QUEUE_BY_NONE)
        printf("                       by %s, or %s\n", cli_time(m->deliver_by_ms, when),
               m->by == QUEUE_BY_RETURN ? "it goes back" : "its sender is told");
}

static void print_accepted(struct cli *c, const struct queue_story *s, queue_id_t id)
{
    char text[QUEUE_ID_TEXT], when[32];
    printf("message %s", queue_id_text(id, text));
    if (!s->has_m) {
        printf(s->m_damaged ? ": its record is damaged\n" : ": its record is gone\n");
        return;
    }
    const struct queue_message *m = &s->m;
    printf(", %llu bytes, from <" STR_FMT ">\n", (unsigned long long)m->size,
           STR_ARG(cli_safe(c, m->reverse_path)));
    printf("%s  accepted%s from " STR_FMT, cli_time(m->arrived_ms, when),
           m->bounce ? " (a report of ours)" : "", STR_ARG(cli_safe(c, m->client)));
    if (m->helo.len > 0)
        printf(" (" STR_FMT ")", STR_ARG(cli_safe(c, m->helo)));
    if (m->protocol.len > 0)
        printf(" by " STR_FMT, STR_ARG(m->protocol));
    printf("; safe on disk before it was acknowledged\n");
    print_wishes(c, m);
}

static void print_result(struct cli *c, const struct queue_result *r)
{
    printf("                       " STR_FMT ": %s", STR_ARG(cli_safe(c, r->address)),
           queue_outcome_name(r->outcome));
    if (r->code != 0)
        printf(" %d", r->code);
    if (r->status.len > 0)
        printf(" " STR_FMT, STR_ARG(cli_safe(c, r->status)));
    if (r->text.len > 0)
        printf(" " STR_FMT, STR_ARG(cli_safe(c, r->text)));
    if (r->outcome == QUEUE_DEFERRED || r->outcome == QUEUE_FAILED)
        printf(" (%s)", bounce_class_name(bounce_class(r->code, r->status, r->text)));
    putchar('\n');
}

static void print_event(struct cli *c, const struct queue_event *e)
{
    char when[32], id[QUEUE_ID_TEXT];
    printf("%s  %s", cli_time(e->time_ms, when), queue_event_name(e->kind));
    if (e->host.len > 0)
        printf(" at " STR_FMT, STR_ARG(cli_safe(c, e->host)));
    if (e->addr.len > 0)
        printf(" [" STR_FMT "]", STR_ARG(cli_safe(c, e->addr)));
    if (e->text.len > 0)
        printf(": " STR_FMT, STR_ARG(cli_safe(c, e->text)));
    putchar('\n');
    for (size_t i = 0; i < e->nresults; i++)
        print_result(c, &e->results[i]);
    if (e->next_ms != 0)
        printf("                       next attempt %s\n", cli_time(e->next_ms, when));
    if (e->bounced)
        printf("                       the sender was told: message %s\n",
               queue_id_text(e->bounce, id));
    if (e->warned)
        printf("                       the sender was told of the delay: message %s\n",
               queue_id_text(e->warning, id));
}

static void print_waiting(struct cli *c, const struct queue_delivery *d)
{
    char when[32];
    for (size_t i = 0; i < d->nrcpt; i++) {
        printf("waiting                " STR_FMT ": %s", STR_ARG(cli_safe(c, d->rcpt[i].address)),
               d->state == QUEUE_HELD ? "held" : "next attempt ");
        if (d->state != QUEUE_HELD)
            printf("%s", cli_time(d->next_ms, when));
        if (d->via.len > 0)
            printf(" by " STR_FMT, STR_ARG(cli_safe(c, d->via)));
        if (d->reason.len > 0)
            printf(", because: " STR_FMT, STR_ARG(cli_safe(c, d->reason)));
        putchar('\n');
    }
}

static void print_story(struct cli *c, const struct queue_story *s, queue_id_t id)
{
    print_accepted(c, s, id);
    for (size_t i = 0; i < s->nevents; i++)
        print_event(c, &s->events[i]);
    for (size_t i = 0; i < s->ndeliveries; i++)
        print_waiting(c, &s->deliveries[i]);
    if (s->truncated)
        printf("… and more events than are shown\n");
    if (s->ndamaged > 0)
        printf("%zu record%s of this message cannot be read: `postrider check store` names them\n",
               s->ndamaged, s->ndamaged == 1 ? "" : "s");
    if (s->ndeliveries == 0 && s->ndamaged == 0)
        printf("nothing of it waits any more\n");
}

/* ---- as JSON ---- */

static json_t *id_json(queue_id_t id)
{
    char text[QUEUE_ID_TEXT];
    return json_string(queue_id_text(id, text));
}

static json_t *event_json(const struct queue_event *e)
{
    json_t *o = json_object(), *results = json_array();
    for (size_t i = 0; i < e->nresults; i++) {
        const struct queue_result *r = &e->results[i];
        json_t *v = json_object();
        json_object_set_new(v, "address", cli_json_str(r->address));
        json_object_set_new(v, "outcome", json_string(queue_outcome_name(r->outcome)));
        json_object_set_new(v, "code", json_integer(r->code));
        json_object_set_new(v, "status", cli_json_str(r->status));
        json_object_set_new(v, "text", cli_json_str(r->text));
        if (r->outcome == QUEUE_DEFERRED || r->outcome == QUEUE_FAILED)
            json_object_set_new(
                v, "class",
                json_string(bounce_class_name(bounce_class(r->code, r->status, r->text))));
        json_array_append_new(results, v);
    }
    json_object_set_new(o, "time_ms", json_integer(e->time_ms));
    json_object_set_new(o, "kind", json_string(queue_event_name(e->kind)));
    json_object_set_new(o, "host", cli_json_str(e->host));
    json_object_set_new(o, "address", cli_json_str(e->addr));
    json_object_set_new(o, "text", cli_json_str(e->text));
    json_object_set_new(o, "next_ms", e->next_ms != 0 ? json_integer(e->next_ms) : json_null());
    json_object_set_new(o, "bounce", e->bounced ? id_json(e->bounce) : json_null());
    json_object_set_new(o, "warning", e->warned ? id_json(e->warning) : json_null());
    json_object_set_new(o, "results", results);
    return o;
}

static json_t *waiting_json(const struct queue_delivery *d)
{
    json_t *o = json_object(), *to = json_array();
    for (size_t i = 0; i < d->nrcpt; i++)
        json_array_append_new(to, cli_json_str(d->rcpt[i].address));
    json_object_set_new(o, "to", to);
    json_object_set_new(o, "local", json_boolean(d->local));
    json_object_set_new(o, "state", json_string(queue_state_name(d->state)));
    json_object_set_new(o, "attempts", json_integer(d->attempts));
    json_object_set_new(o, "next_ms", json_integer(d->next_ms));
    json_object_set_new(o, "reason", cli_json_str(d->reason));
    json_object_set_new(o, "via", cli_json_str(d->via));
    return o;
}

static json_t *story_json(const struct queue_story *s, queue_id_t id)
{
    json_t *o = json_object(), *events = json_array(), *waiting = json_array();
    json_object_set_new(o, "id", id_json(id));
    if (s->has_m) {
        json_object_set_new(o, "from", cli_json_str(s->m.reverse_path));
        json_object_set_new(o, "size", json_integer((json_int_t)s->m.size));
        json_object_set_new(o, "accepted_ms", json_integer(s->m.arrived_ms));
        json_object_set_new(o, "client", cli_json_str(s->m.client));
        json_object_set_new(o, "helo", cli_json_str(s->m.helo));
        json_object_set_new(o, "protocol", cli_json_str(s->m.protocol));
        json_object_set_new(o, "report", json_boolean(s->m.bounce));
        json_object_set_new(o, "account", json_integer((json_int_t)s->m.account));
        json_object_set_new(o, "source", cli_json_str(s->m.source));
        json_object_set_new(o, "priority", json_integer(s->m.priority));
        json_object_set_new(o, "release_ms", json_integer(s->m.release_ms));
        json_object_set_new(o, "deliver_by_ms", json_integer(s->m.deliver_by_ms));
    }
    for (size_t i = 0; i < s->nevents; i++)
        json_array_append_new(events, event_json(&s->events[i]));
    for (size_t i = 0; i < s->ndeliveries; i++)
        json_array_append_new(waiting, waiting_json(&s->deliveries[i]));
    json_object_set_new(o, "events", events);
    json_object_set_new(o, "waiting", waiting);
    json_object_set_new(o, "damaged", json_integer((json_int_t)s->ndamaged + s->m_damaged));
    return o;
}

int cli_show_story(struct cli *c, queue_id_t id)
{
    struct queue_story s;
    char text[QUEUE_ID_TEXT];
    enum store_rc rc = queue_story_read(c->store, id, &c->arena, &s);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (!s.found)
        return cli_fail(c, CLI_NOT_FOUND,
                        "nothing is known of a message %s; finished ones are kept for %u days",
                        queue_id_text(id, text), c->settings.trace_days);
    if (c->json)
        return cli_print_json(story_json(&s, id));
    print_story(c, &s, id);
    return CLI_OK;
}
