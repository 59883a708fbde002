/* schedule_heap.c: a pairing heap in indexes: adding is one comparison, and any entry can be taken
 * out. */
#include "post/schedule_impl.h"

static uint32_t meld(struct schedule *s, uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0)
        return a != 0 ? a : b;
    if (schedule_at(s, b)->due_ms < schedule_at(s, a)->due_ms) {
        uint32_t swap = a;
        a = b;
        b = swap;
    }
    struct entry *up = schedule_at(s, a), *down = schedule_at(s, b);
    down->sibling = up->child;
    if (up->child != 0)
        schedule_at(s, up->child)->prev = b;
    down->prev = a;
    up->child = b;
    return a;
}

/* Melds a list of siblings into one heap: in pairs from the left, then those from the right. */
static uint32_t meld_siblings(struct schedule *s, uint32_t first)
{
    uint32_t pairs = 0;
    while (first != 0) {
        uint32_t a = first, b = schedule_at(s, a)->sibling;
        first = b != 0 ? schedule_at(s, b)->sibling : 0;
        schedule_at(s, a)->sibling = 0;
        if (b != 0)
            schedule_at(s, b)->sibling = 0;
        uint32_t m = meld(s, a, b);
        schedule_at(s, m)->sibling = pairs;
        pairs = m;
    }
    uint32_t root = 0;
    while (pairs != 0) {
        uint32_t m = pairs;
        pairs = schedule_at(s, m)->sibling;
        schedule_at(s, m)->sibling = 0;
        root = meld(s, root, m);
    }
    if (root != 0)
        schedule_at(s, root)->prev = 0;
    return root;
}

void schedule_heap_push(struct schedule *s, uint32_t *root, uint32_t i)
{
    struct entry *e = schedule_at(s, i);
    e->child = e->sibling = e->prev = 0;
    *root = meld(s, *root, i);
    schedule_at(s, *root)->prev = 0;
}

void schedule_heap_pull(struct schedule *s, uint32_t *root, uint32_t i)
{
    struct entry *e = schedule_at(s, i);
    uint32_t below = meld_siblings(s, e->child);
    if (*root == i) {
        *root = below;
    } else {
        struct entry *before = schedule_at(s, e->prev);
        *(before->child == i ? &before->child : &before->sibling) = e->sibling;
        if (e->sibling != 0)
            schedule_at(s, e->sibling)->prev = e->prev;
        *root = meld(s, *root, below);
        schedule_at(s, *root)->prev = 0;
    }
    e->child = e->sibling = e->prev = 0;
}

/* What is due is a tree at the top of the heap: each is looked at once, and what hangs below it and
 * is not due is melded into what stays. */
uint32_t schedule_heap_due(struct schedule *s, uint32_t *root, int64_t now_ms)
{
    uint32_t todo = *root, due = 0, last = 0, stay = 0;
    while (todo != 0) {
        uint32_t i = todo;
        struct entry *e = schedule_at(s, i);
        todo = e->sibling;
        e->sibling = e->prev = 0;
        if (e->due_ms > now_ms) {
            stay = meld(s, stay, i);
            continue;
        }
        for (uint32_t child = e->child, next; child != 0; child = next) {
            next = schedule_at(s, child)->sibling;
            schedule_at(s, child)->sibling = todo;
            todo = child;
        }
        e->child = 0;
        *(last != 0 ? &schedule_at(s, last)->sibling : &due) = i;
        last = i;
    }
    *root = stay;
    return due;
}
