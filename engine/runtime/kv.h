/* Pages of keys and values: one region, cut into pages, with a free list.
 *
 *   region: | page 0 | page 1 | ... |      a page: all layers of CT_PAGE_TOK tokens (backend.h)
 *
 * Address space is set aside at once, memory is used as pages are first written. The engine thread.
 */
#ifndef CT_RUNTIME_KV_H
#define CT_RUNTIME_KV_H

#include "engine/base/status.h"

#include <stddef.h>
#include <stdint.h>

struct ct_kv {
    uint16_t *region;
    size_t page_elements;
    int64_t n_pages;
    int64_t n_free;
    int32_t *free_pages; /* [n_pages], the first n_free are free */
};

CT_MUST_CHECK enum ct_status ct_kv_init(struct ct_kv *kv, int64_t n_pages, size_t page_elements);
void ct_kv_deinit(struct ct_kv *kv);

/* Takes n pages into pages[0..n); CT_BUSY (and takes none) when fewer are free. */
CT_MUST_CHECK enum ct_status ct_kv_take(struct ct_kv *kv, int64_t n, uint16_t **pages);
void ct_kv_give_back(struct ct_kv *kv, int64_t n, uint16_t *const *pages);

#endif
