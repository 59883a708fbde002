/* page.h: fills a page of a scan, for engines. */
#ifndef STORE_PAGE_H
#define STORE_PAGE_H

#include "store/store.h"

struct page_fill {
    const struct store_scan *q;
    struct arena *a;
    struct store_page *page;
    size_t bytes, cap;
};

struct page_fill page_begin(const struct store_scan *q, struct arena *a, struct store_page *page);
/* Copies a row. False: stop, the page is full (page->more is set) or the arena is (a->failed). */
bool page_add(struct page_fill *f, str_t key, str_t value, bool damaged);

#endif
