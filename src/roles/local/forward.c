/* forward.c: further deliveries of a message: those an alias sends elsewhere, those to a list, and
 * those that wait for their turn. See local.h. */
#include "roles/local/forward.h"

#include <stdlib.h>

/* ---- rows in general ---- */

bool rows_begin(struct rows *r, struct job *j, size_t most)
{
    enum { MESSAGE_OPS = 2 };
    *r = (struct rows){.j = j, .now_ms = j->c->env->wall_ms(j->c->env), .ok = true};
    j->nmore = 0;
    j->more = arena_array(&j->arena, most + MESSAGE_OPS, sizeof *j->more);
    return j->more != NULL;
}

void rows_add(struct rows *r, const struct queue_delivery *what)
{
    struct job *j = r->j;
    struct queue_delivery d = *what;
    struct buf value;
    d.id = j->m.id;
    d.n = j->m.next_n;
    d.arrived_ms = j->d.arrived_ms;
    d.next_ms = r->now_ms;
    d.deliver_by_ms = j->d.deliver_by_ms;
    d.by_told = j->d.by_told;
    d.asked = false;
    d.priority = j->d.priority;
    d.source = j->d.source;
    buf_init(&value, STORE_VALUE_MAX);
    r->ok = r->ok && j->m.next_n < UINT16_MAX && queue_delivery_encode(&d, &value);
    j->more[j->nmore++] =
        (struct store_op){.kind = STORE_PUT_NEW,
                          .key = queue_key_delivery(d.id, d.n, d.local, &j->arena),
                          .value = arena_dup(&j->arena, buf_str(&value))};
    j->m.next_n++;
    buf_free(&value);
}

static bool any_waits(const struct job *j)
{
    for (size_t i = 0; i < j->d.nrcpt; i++)
        if (j->verdicts[i].rc == RC_TEMP)
            return true;
    return false;
}

/* m changes: it has more deliveries now. Required as it was read, so that numbers are given
 * once. */
bool rows_end(struct rows *r)
{
    struct job *j = r->j;
    struct buf value;
    if (j->nmore == 0)
        return r->ok && !j->arena.failed;
    j->m.single = j->m.single && j->nmore == 1 && !any_waits(j);
    buf_init(&value, STORE_VALUE_MAX);
    r->ok = r->ok && queue_message_encode(&j->m, &value);
    str_t key = queue_key_message(j->m.id, &j->arena);
    j->more[j->nmore++] = (struct store_op){.kind = STORE_EQUAL, .key = key, .value = j->m_value};
    j->more[j->nmore++] = (struct store_op){
        .kind = STORE_PUT, .key = key, .value = arena_dup(&j->arena, buf_str(&value))};
    buf_free(&value);
    return r->ok && !j->arena.failed;
}

/* ---- of leaves ---- */

/* Who asked for reports goes on asking, and the address it was sent to stays known
 * (RFC 3461 5.2.7.3). */
struct queue_rcpt leaf_rcpt(const struct leaf *l)
{
    return (struct queue_rcpt){.address = l->address,
                               .original = l->original,
                               .orcpt = l->orcpt,
                               .notify = l->notify,
                               .utf8 = l->utf8,
                               .box = l->box};
}

/* What a delivery has in common for all its recipients, as group_order in post/queue_in.c. */
static int leaf_order(const void *x, const void *y)
{
    const struct leaf *a = x, *b = y;
    int by = str_cmp(a->domain, b->domain);
    by = by != 0 ? by : str_cmp(a->via, b->via);
    by = by != 0 ? by : (int)a->has_sender - (int)b->has_sender;
    return by != 0 ? by : str_cmp(a->sender, b->sender);
}

/* To addresses here: their next turn is like this one. */
static void local_row(struct rows *r, struct queue_rcpt *rcpt, size_t n)
{
    const struct queue_delivery *now = &r->j->d;
    rows_add(r, &(struct queue_delivery){.local = true,
                                         .via = now->via,
                                         .sender = now->sender,
                                         .has_sender = now->has_sender,
                                         .list = now->list,
                                         .nrcpt = n,
                                         .rcpt = rcpt});
}

static void remote_row(struct rows *r, const struct leaf *l, struct queue_rcpt *rcpt, size_t n)
{
    rows_add(r, &(struct queue_delivery){.domain = l->domain,
                                         .via = l->via,
                                         .sender = l->sender,
                                         .has_sender = l->has_sender,
                                         .list = r->j->d.list,
                                         .nrcpt = n,
                                         .rcpt = rcpt});
}

static void remote_rows(struct rows *r, struct leaf *v, size_t n)
{
    struct queue_rcpt rcpt[QUEUE_GROUP];
    size_t nrows = 0;
    for (size_t i = 0; i < n; nrows++) {
        bool local = nrows >= LOCAL_REMOTE_ROWS; /* then mixed: the next turn sorts them */
        size_t k = 0, from = i, bytes = 0;
        while (i < n && k < QUEUE_GROUP && (local || leaf_order(&v[i], &v[from]) == 0)) {
            rcpt[k] = leaf_rcpt(&v[i]);
            bytes += queue_rcpt_bytes(&rcpt[k]);
            if (k > 0 && bytes > QUEUE_GROUP_BYTES)
                break;
            k++;
            i++;
        }
        if (local)
            local_row(r, rcpt, k);
        else
            remote_row(r, &v[from], rcpt, k);
    }
}

/* Those that are too many wait for a turn of their own. */
static void list_rows(struct rows *r, const struct expansion *x)
{
    struct queue_rcpt rcpt[QUEUE_GROUP];
    size_t nrows = 0, k = 0, bytes = 0;
    for (size_t i = 0; i < x->n; i++) {
        if (x->v[i].kind != LEAF_LIST)
            continue;
        if (nrows++ < LOCAL_LIST_ROWS) {
            list_row(r, &x->v[i]);
            continue;
        }
        struct queue_rcpt to = leaf_rcpt(&x->v[i]);
        bytes += queue_rcpt_bytes(&to);
        if (k == QUEUE_GROUP || (k > 0 && bytes > QUEUE_GROUP_BYTES)) {
            local_row(r, rcpt, k);
            k = 0;
            bytes = queue_rcpt_bytes(&to);
        }
        rcpt[k++] = to;
    }
    if (k > 0)
        local_row(r, rcpt, k);
}

static size_t leaves_count(const struct expansion *x, enum leaf_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < x->n; i++)
        n += x->v[i].kind == kind;
    return n;
}

bool forward_rows(struct job *j, const struct expansion *x, const struct queue_rcpt *rest,
                  size_t nrest)
{
    enum {
        /* recipients in a full row of the longest ones */
        GROUP_LEAST = QUEUE_GROUP_BYTES / (2 * QUEUE_PATH_MAX + QUEUE_TEXT_MAX + 8),
        MORE_MAX = LOCAL_REMOTE_ROWS + LOCAL_LIST_ROWS +
                   (EXPAND_MAX + LOCAL_LEAVES_TURN) / GROUP_LEAST + 8
    };
    /* the message twice, and what is the outcome's own, with brief reports */
    _Static_assert(MORE_MAX + 28 <= STORE_BATCH_OPS, "a batch takes them");
    struct rows r;
    size_t remote = leaves_count(x, LEAF_REMOTE), lists = leaves_count(x, LEAF_LIST), n = 0;
    if (remote + lists + nrest == 0)
        return true;
    struct leaf *v = arena_array(&j->arena, remote, sizeof *v);
    if (v == NULL || !rows_begin(&r, j, MORE_MAX))
        return false;
    for (size_t i = 0; i < x->n; i++)
        if (x->v[i].kind == LEAF_REMOTE)
            v[n++] = x->v[i];
    list_rows(&r, x);
    qsort(v, n, sizeof *v, leaf_order);
    remote_rows(&r, v, n);
    if (nrest > 0)
        local_row(&r, (struct queue_rcpt *)(uintptr_t)rest, nrest);
    return rows_end(&r);
}
