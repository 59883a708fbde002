/* queue_groups.c: `postrider queue list`: how much waits where and why, since when, and what comes
 * next. */
#include <stdio.h>

#include "cli/queue.h"
#include "post/queue_wait.h"
#include "post/table.h"

enum { NAME_SHOWN = 120, REASON_SHOWN = 160 };

struct listing {
    struct cli *c;
    enum queue_group_by by;
    struct json_stream json;
    struct tables *tables;
    uint64_t limit, shown, left, deliveries;
    int64_t now_ms;
    /* of the destination in hand */
    bool skip, suspended, waits;
    str_t suspended_why;
    struct queue_wait wait;
    struct arena dest; /* its texts */
};

/* The host: suspensions are by name, whatever the port. */
static str_t host_of(str_t site)
{
    size_t first, last;
    return str_find(site, ':', &first) && str_rfind(site, ':', &last) && first == last
               ? str_first(site, first)
               : site;
}

/* What holds for the whole destination: the operator's suspension, and courier's back-off. */
static void destination_look(struct listing *l, const struct queue_group *g)
{
    l->suspended = l->waits = false;
    arena_reset(&l->dest);
    if (g->domain.len == 0)
        return; /* local */
    enum store_rc rc = queue_wait_read(&l->c->env, g->domain, &l->dest, &l->waits, &l->wait);
    if (rc == STORE_OK && l->tables != NULL)
        rc = table_find(l->tables, TABLE_SUSPEND, g->domain, &l->dest, &l->suspended,
                        &l->suspended_why, NULL);
    if (rc == STORE_OK && !l->suspended && l->waits && l->wait.site.len > 0 && l->tables != NULL)
        rc = table_find(l->tables, TABLE_SUSPEND, host_of(l->wait.site), &l->dest, &l->suspended,
                        &l->suspended_why, NULL);
    if (rc != STORE_OK) /* then only the rows' own reasons are shown */
        l->suspended = l->waits = false;
}

/* When, and why then. */
static str_t next_text(struct listing *l, const struct queue_group *g)
{
    char span[16];
    struct arena *a = &l->c->scratch;
    if (g->held == g->deliveries)
        return STR("held until it is released");
    if (l->suspended)
        return STR("not before its destination is resumed");
    if (l->waits && l->wait.until_ms > g->next_ms)
        return arena_fmt(a, "in %s, when the destination is tried again",
                         cli_span(l->wait.until_ms - l->now_ms, span));
    if (g->next_ms <= l->now_ms)
        return g->tried == 0 ? STR("now: not tried yet") : STR("now");
    cli_span(g->next_ms - l->now_ms, span);
    if (g->tried == 0)
        return arena_fmt(a, "in %s, when its sender releases it", span);
    return arena_fmt(a, "in %s", span);
}

/* ---- as text ---- */

static const char *plural(uint64_t n)
{
    return n == 1 ? "y" : "ies";
}

static str_t shown(struct listing *l, str_t s, size_t most)
{
    return cli_safe(l->c, str_first(s, most));
}

static void destination_text(struct listing *l, const struct queue_group *g)
{
    char age[16], span[16];
    struct cli *c = l->c;
    printf(STR_FMT ": %llu deliver%s, oldest %s\n",
           STR_ARG(g->domain.len == 0 ? STR("local") : shown(l, g->name, NAME_SHOWN)),
           (unsigned long long)g->dest_deliveries, plural(g->dest_deliveries),
           cli_span(l->now_ms - g->dest_oldest_ms, age));
    if (l->suspended)
        printf("    suspended: " STR_FMT "\n", STR_ARG(cli_safe(c, l->suspended_why)));
    if (!l->waits)
        return;
    printf("    not reached; all of it waits %s", cli_span(l->wait.until_ms - l->now_ms, span));
    if (l->wait.site.len > 0)
        printf(" for " STR_FMT, STR_ARG(cli_safe(c, l->wait.site)));
    if (l->wait.reason.len > 0)
        printf(": " STR_FMT, STR_ARG(shown(l, l->wait.reason, REASON_SHOWN)));
    putchar('\n');
}

static void group_text(struct listing *l, const struct queue_group *g)
{
    char age[16];
    if (g->others) {
        if (g->deliveries > 0)
            printf("and %llu deliver%s in more groups than are told apart\n",
                   (unsigned long long)g->deliveries, plural(g->deliveries));
        if (g->damaged > 0)
            printf("%llu deliver%s cannot be read: `postrider check store` names them\n",
                   (unsigned long long)g->damaged, plural(g->damaged));
        return;
    }
    if (l->by == QUEUE_BY_DESTINATION) {
        printf("    %7llu  next %-.*s", (unsigned long long)g->deliveries,
               STR_ARG(next_text(l, g)));
        if (g->held > 0 && g->held < g->deliveries)
            printf(", %llu held", (unsigned long long)g->held);
        if (g->reason.len > 0)
            printf("; " STR_FMT " (%s)",
                   STR_ARG(shown(l, g->example.len > 0 ? g->example : g->reason, REASON_SHOWN)),
                   bounce_class_name(bounce_class_reason(g->example)));
        putchar('\n');
        return;
    }
    printf("%7llu  oldest %6s, next %-.*s  " STR_FMT "\n", (unsigned long long)g->deliveries,
           cli_span(l->now_ms - g->oldest_ms, age), STR_ARG(next_text(l, g)),
           STR_ARG(g->name.len > 0 ? shown(l, g->name, REASON_SHOWN) : STR("-")));
}

/* ---- as JSON ---- */

static json_t *str_or_null(bool is, str_t s)
{
    return is ? cli_json_str(s) : json_null();
}

static json_t *group_json(struct listing *l, const struct queue_group *g)
{
    static const char *const names[] = {"destination", "reason", "class", "source", "sender"};
    json_t *o = json_object();
    bool by_destination = l->by == QUEUE_BY_DESTINATION;
    json_object_set_new(o, names[l->by], str_or_null(!g->others, g->name));
    if (by_destination) {
        json_object_set_new(o, "reason", cli_json_str(g->reason));
        json_object_set_new(o, "class",
                            g->example.len > 0
                                ? json_string(bounce_class_name(bounce_class_reason(g->example)))
                                : json_null());
        json_object_set_new(o, "suspended", str_or_null(l->suspended, l->suspended_why));
        json_object_set_new(o, "waits_until_ms",
                            l->waits ? json_integer(l->wait.until_ms) : json_null());
        json_object_set_new(o, "waits_for", str_or_null(l->waits, l->wait.reason));
        json_object_set_new(o, "site", str_or_null(l->waits, l->wait.site));
    }
    json_object_set_new(o, "example", cli_json_str(g->example));
    json_object_set_new(o, "others", json_boolean(g->others));
    json_object_set_new(o, "deliveries", json_integer((json_int_t)g->deliveries));
    json_object_set_new(o, "recipients", json_integer((json_int_t)g->recipients));
    json_object_set_new(o, "held", json_integer((json_int_t)g->held));
    json_object_set_new(o, "damaged", json_integer((json_int_t)g->damaged));
    json_object_set_new(o, "oldest_ms",
                        g->oldest_ms != INT64_MAX ? json_integer(g->oldest_ms) : json_null());
    json_object_set_new(o, "next_ms",
                        g->next_ms != INT64_MAX ? json_integer(g->next_ms) : json_null());
    json_object_set_new(o, "next", cli_json_str(next_text(l, g)));
    return o;
}

/* ---- the list ---- */

static bool on_group(void *user, const struct queue_group *g)
{
    struct listing *l = user;
    bool counts = l->by != QUEUE_BY_DESTINATION || g->first; /* what --limit is about */
    l->deliveries += g->deliveries;
    if (counts && !g->others) {
        l->skip = !l->c->json && l->shown >= l->limit;
        l->shown += !l->skip;
        l->left += l->skip;
    }
    if (l->skip && !g->others)
        return true;
    if (g->others || (l->by == QUEUE_BY_DESTINATION && g->first))
        destination_look(l, g);
    if (l->c->json) {
        json_stream_add(&l->json, group_json(l, g));
    } else {
        if (g->first)
            destination_text(l, g);
        group_text(l, g);
    }
    arena_reset(&l->c->scratch);
    return true;
}

int queue_list_groups(struct cli *c, const struct queue_words *w)
{
    enum { DEST_ARENA_MAX = 1 << 20 };
    struct listing l = {.c = c, .by = w->by, .limit = w->limit, .now_ms = c->env.wall_ms(&c->env)};
    arena_init(&l.dest, DEST_ARENA_MAX);
    l.tables = tables_new(&c->env);
    enum store_rc rc = queue_groups(c->store, &w->f, w->by, on_group, &l);
    tables_free(l.tables);
    arena_free(&l.dest);
    if (rc != STORE_OK)
        return cli_store_error(c, rc);
    if (c->json)
        return json_stream_end(&l.json);
    if (l.shown == 0 && l.deliveries == 0)
        puts("nothing waits");
    else if (l.left > 0)
        printf("… and %llu more %s; --limit shows more of them\n", (unsigned long long)l.left,
               l.by == QUEUE_BY_DESTINATION ? "destinations" : "groups");
    if (l.deliveries > 1 && l.shown > 1)
        printf("%llu deliveries in all\n", (unsigned long long)l.deliveries);
    return CLI_OK;
}
