#include "engine/runtime/kv.h"

#include <stdlib.h>
#include <sys/mman.h>

enum ct_status ct_kv_init(struct ct_kv *kv, int64_t n_pages, size_t page_elements)
{
    *kv = (struct ct_kv){.page_elements = page_elements};
    void *region = mmap(NULL, (size_t)n_pages * page_elements * sizeof(uint16_t),
                        PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED)
        return CT_MEMORY;
    kv->region = region;
    kv->n_pages = n_pages;
    kv->free_pages = malloc((size_t)n_pages * sizeof *kv->free_pages);
    if (kv->free_pages == NULL) {
        ct_kv_deinit(kv);
        return CT_MEMORY;
    }
    /* Taken from the end, so that low pages, which were used before, are used again. */
    for (int64_t i = 0; i < n_pages; i++)
        kv->free_pages[i] = (int32_t)(n_pages - 1 - i);
    kv->n_free = n_pages;
    return CT_OK;
}

void ct_kv_deinit(struct ct_kv *kv)
{
    if (kv->region != NULL)
        munmap(kv->region, (size_t)kv->n_pages * kv->page_elements * sizeof(uint16_t));
    free(kv->free_pages);
    *kv = (struct ct_kv){0};
}

enum ct_status ct_kv_take(struct ct_kv *kv, int64_t n, uint16_t **pages)
{
    if (n > kv->n_free)
        return CT_BUSY;
    for (int64_t i = 0; i < n; i++)
        pages[i] = kv->region + (size_t)kv->free_pages[--kv->n_free] * kv->page_elements;
    return CT_OK;
}

void ct_kv_give_back(struct ct_kv *kv, int64_t n, uint16_t *const *pages)
{
    for (int64_t i = n; i-- > 0;)
        kv->free_pages[kv->n_free++] =
            (int32_t)((size_t)(pages[i] - kv->region) / kv->page_elements);
}
