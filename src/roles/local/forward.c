/* forward.c: further deliveries of a message: those an alias sends elsewhere, and those that wait
 * for their turn. See local.h. */
#include <stdlib.h>

#include "roles/local/expand.h"
#include "roles/local/local.h"

struct rows {
    struct job *j;
    int64_t now_ms;
    bool ok;
};

static void row_add(struct rows *r, bool local, str_t domain, struct queue_rcpt *rcpt, size_t n)
{
    struct job *j = r->j;
    struct queue_delivery d = {.id = j->m.id,
                               .n = j->m.next_n,
                               .local = local,
                               .arrived_ms = j->d.arrived_ms,
                               .next_ms = r->now_ms,
                               .domain = domain,
                               .nrcpt = n,
                               .rcpt = rcpt};
    struct buf value;
    buf_init(&value, STORE_VALUE_MAX);
    r->ok = r->ok && j->m.next_n < UINT16_MAX && queue_delivery_encode(&d, &value);
    j->more[j->nmore++] = (struct store_op){.kind = STORE_PUT_NEW,
                                            .key = queue_key_delivery(d.id, d.n, local, &j->arena),
                                            .value = arena_dup(&j->arena, buf_str(&value))};
    j->m.next_n++;
    buf_free(&value);
}

static int by_domain(const void *x, const void *y)
{
    const struct leaf *a = x, *b = y;
    return str_cmp(a->domain, b->domain);
}

static void remote_rows(struct rows *r, struct leaf *v, size_t n)
{
    struct queue_rcpt rcpt[QUEUE_GROUP];
    size_t nrows = 0;
    for (size_t i = 0; i < n; nrows++) {
        bool local = nrows >= LOCAL_REMOTE_ROWS; /* then mixed: the next turn sorts them */
        size_t k = 0, from = i;
        while (i < n && k < QUEUE_GROUP && (local || str_eq(v[i].domain, v[from].domain))) {
            rcpt[k++] = (struct queue_rcpt){v[i].address, v[i].original, v[i].utf8};
            i++;
        }
        row_add(r, local, local ? STR_NONE : v[from].domain, rcpt, k);
    }
}

/* m changes: it has more deliveries now. Required as it was read, so that numbers are given
 * once. */
static void message_rows(struct rows *r, str_t as_read)
{
    struct job *j = r->j;
    struct buf value;
    buf_init(&value, STORE_VALUE_MAX);
    r->ok = r->ok && queue_message_encode(&j->m, &value);
    str_t key = queue_key_message(j->m.id, &j->arena);
    j->more[j->nmore++] = (struct store_op){.kind = STORE_EQUAL, .key = key, .value = as_read};
    j->more[j->nmore++] = (struct store_op){
        .kind = STORE_PUT, .key = key, .value = arena_dup(&j->arena, buf_str(&value))};
    buf_free(&value);
}

static bool any_waits(const struct job *j)
{
    for (size_t i = 0; i < j->d.nrcpt; i++)
        if (j->verdicts[i].rc == RC_TEMP)
            return true;
    return false;
}

bool forward_rows(struct job *j, const struct expansion *x, const struct queue_rcpt *rest,
                  size_t nrest)
{
    enum {
        MORE_MAX =
            LOCAL_REMOTE_ROWS + EXPAND_MAX / QUEUE_GROUP + LOCAL_LEAVES_TURN / QUEUE_GROUP + 8
    };
    size_t n = 0;
    for (size_t i = 0; i < x->n; i++)
        n += x->v[i].kind == LEAF_REMOTE;
    if (n + nrest == 0)
        return true;
    struct leaf *v = arena_array(&j->arena, n, sizeof *v);
    j->more = arena_array(&j->arena, MORE_MAX, sizeof *j->more);
    struct buf as_read; /* the row decodes and encodes to the same bytes */
    buf_init(&as_read, STORE_VALUE_MAX);
    struct rows r = {.j = j,
                     .now_ms = j->c->env->wall_ms(j->c->env),
                     .ok = queue_message_encode(&j->m, &as_read)};
    n = 0;
    for (size_t i = 0; v != NULL && i < x->n; i++)
        if (x->v[i].kind == LEAF_REMOTE)
            v[n++] = x->v[i];
    if (v != NULL && j->more != NULL) {
        qsort(v, n, sizeof *v, by_domain);
        remote_rows(&r, v, n);
        if (nrest > 0)
            row_add(&r, true, STR_NONE, (struct queue_rcpt *)(uintptr_t)rest, nrest);
        j->m.single = j->m.single && j->nmore == 1 && !any_waits(j);
        message_rows(&r, arena_dup(&j->arena, buf_str(&as_read)));
    }
    buf_free(&as_read);
    return r.ok && !j->arena.failed;
}
