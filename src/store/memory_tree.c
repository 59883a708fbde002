/* memory_tree.c: a persistent treap. Recursion goes as deep as the tree, which is a small multiple
 * of log n. Memory that cannot be had stops the process: this is for tests. */
#include "store/memory_tree.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "base/err.h"

struct cell {
    unsigned refs;
    uint32_t sum;
    size_t key_len, value_len;
    char bytes[];
};

struct tree {
    unsigned refs;
    uint32_t priority;
    struct cell *cell;
    struct tree *left, *right;
};

static str_t cell_key(const struct cell *c)
{
    return str_of(c->bytes, c->key_len);
}

static struct tree_row cell_row(const struct cell *c)
{
    return (struct tree_row){cell_key(c), str_of(c->bytes + c->key_len, c->value_len), c->sum};
}

struct tree *tree_hold(struct tree *t)
{
    if (t)
        t->refs++;
    return t;
}

void tree_drop(struct tree *t)
{
    if (!t || --t->refs)
        return;
    tree_drop(t->left);
    tree_drop(t->right);
    if (--t->cell->refs == 0)
        free(t->cell);
    free(t);
}

/* Takes the references to left and right, adds one to the cell. */
static struct tree *node(uint32_t priority, struct cell *cell, struct tree *left,
                         struct tree *right)
{
    struct tree *t = malloc(sizeof *t);
    must(t != NULL);
    cell->refs++;
    *t = (struct tree){.refs = 1, .priority = priority, .cell = cell, .left = left, .right = right};
    return t;
}

static struct tree *rotate_right(struct tree *l, struct tree *t) /* l, held, goes above t */
{
    struct tree *low = node(t->priority, t->cell, tree_hold(l->right), tree_hold(t->right));
    struct tree *top = node(l->priority, l->cell, tree_hold(l->left), low);
    tree_drop(l);
    return top;
}

static struct tree *rotate_left(struct tree *t, struct tree *r)
{
    struct tree *low = node(t->priority, t->cell, tree_hold(t->left), tree_hold(r->left));
    struct tree *top = node(r->priority, r->cell, low, tree_hold(r->right));
    tree_drop(r);
    return top;
}

static struct tree *insert(struct tree *t, struct cell *c, uint32_t priority)
{
    if (!t)
        return node(priority, c, NULL, NULL);
    int order = str_cmp(cell_key(c), cell_key(t->cell));
    if (order == 0)
        return node(t->priority, c, tree_hold(t->left), tree_hold(t->right));
    struct tree *side = insert(order < 0 ? t->left : t->right, c, priority);
    if (side->priority > t->priority)
        return order < 0 ? rotate_right(side, t) : rotate_left(t, side);
    return order < 0 ? node(t->priority, t->cell, side, tree_hold(t->right))
                     : node(t->priority, t->cell, tree_hold(t->left), side);
}

struct tree *tree_put(struct tree *t, str_t key, str_t value, uint32_t sum)
{
    struct cell *c = malloc(sizeof *c + key.len + value.len);
    must(c != NULL);
    *c = (struct cell){.sum = sum, .key_len = key.len, .value_len = value.len};
    memcpy(c->bytes, key.ptr, key.len);
    if (value.len)
        memcpy(c->bytes + key.len, value.ptr, value.len);
    return insert(t, c, crc32c(0x9e3779b9u, key));
}

static struct tree *merge(struct tree *a,
                          struct tree *b) /* all of a before all of b; both borrowed */
{
    if (!a || !b)
        return tree_hold(a ? a : b);
    if (a->priority > b->priority)
        return node(a->priority, a->cell, tree_hold(a->left), merge(a->right, b));
    return node(b->priority, b->cell, merge(a, b->left), tree_hold(b->right));
}

static struct tree *cut(struct tree *t, str_t key) /* key is there */
{
    int order = str_cmp(key, cell_key(t->cell));
    if (order == 0)
        return merge(t->left, t->right);
    return order < 0 ? node(t->priority, t->cell, cut(t->left, key), tree_hold(t->right))
                     : node(t->priority, t->cell, tree_hold(t->left), cut(t->right, key));
}

struct tree *tree_del(struct tree *t, str_t key)
{
    struct tree_row row;
    return tree_get(t, key, &row) ? cut(t, key) : tree_hold(t);
}

bool tree_get(const struct tree *t, str_t key, struct tree_row *out)
{
    return tree_from(t, key, false, out) && str_eq(out->key, key);
}

bool tree_from(const struct tree *t, str_t key, bool after, struct tree_row *out)
{
    const struct tree *best = NULL;
    while (t) {
        int order = str_cmp(key, cell_key(t->cell));
        if (order < 0 || (order == 0 && !after)) {
            best = t;
            t = t->left;
        } else {
            t = t->right;
        }
    }
    if (best)
        *out = cell_row(best->cell);
    return best != NULL;
}

bool tree_below(const struct tree *t, str_t key, struct tree_row *out)
{
    const struct tree *best = NULL;
    while (t) {
        if (str_cmp(cell_key(t->cell), key) < 0) {
            best = t;
            t = t->right;
        } else {
            t = t->left;
        }
    }
    if (best)
        *out = cell_row(best->cell);
    return best != NULL;
}
