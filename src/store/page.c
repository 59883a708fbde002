/* page.c: see page.h. */
#include "store/page.h"

#define PAGE_FIRST_ROWS 64

struct page_fill page_begin(const struct store_scan *q, struct arena *a, struct store_page *page)
{
    *page = (struct store_page){0};
    return (struct page_fill){.q = q, .a = a, .page = page};
}

static bool grow(struct page_fill *f)
{
    size_t cap = f->cap ? f->cap * 2 : PAGE_FIRST_ROWS;
    if (f->q->rows_max && cap > f->q->rows_max)
        cap = f->q->rows_max;
    struct store_row *rows = arena_array(f->a, cap, sizeof *rows);
    if (!rows)
        return false;
    if (f->page->n)
        memcpy(rows, f->page->rows, f->page->n * sizeof *rows);
    f->page->rows = rows;
    f->cap = cap;
    return true;
}

bool page_add(struct page_fill *f, str_t key, str_t value, bool damaged)
{
    struct store_page *p = f->page;
    size_t cost = key.len + value.len + STORE_ROW_COST;
    if ((f->q->rows_max && p->n == f->q->rows_max) || (p->n && f->bytes + cost > STORE_PAGE_MAX)) {
        p->more = true;
        return false;
    }
    if (p->n == f->cap && !grow(f))
        return false;
    char *both = arena_alloc(f->a, key.len + value.len);
    if (!both)
        return false;
    memcpy(both, key.ptr, key.len);
    if (value.len)
        memcpy(both + key.len, value.ptr, value.len);
    p->rows[p->n++] = (struct store_row){.key = str_of(both, key.len),
                                         .value = str_of(both + key.len, value.len),
                                         .damaged = damaged};
    f->bytes += cost;
    return true;
}
