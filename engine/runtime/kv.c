#include "engine/runtime/kv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Of the pages that may fit in part, at most so many are looked at, the newest first. */
enum { MAX_LOOKED_AT = 64 };

enum ct_status ct_kv_init(struct ct_kv *kv, int32_t n_pages, size_t page_elements, int page_tok,
                          bool is_kept)
{
    *kv = (struct ct_kv){.page_elements = page_elements,
                         .page_tok = page_tok,
                         .is_kept = is_kept,
                         .n_buckets = 64,
                         .oldest = -1,
                         .newest = -1};
    void *region = mmap(NULL, (size_t)n_pages * page_elements * sizeof(uint16_t),
                        PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED)
        return CT_MEMORY;
    /* Huge pages where there are any: a step reads all of a session. */
    madvise(region, (size_t)n_pages * page_elements * sizeof(uint16_t), MADV_HUGEPAGE);
    while (kv->n_buckets < (uint32_t)n_pages)
        kv->n_buckets *= 2;
    kv->region = region;
    kv->n_pages = n_pages;
    kv->free_pages = malloc((size_t)n_pages * sizeof *kv->free_pages);
    kv->pages = calloc((size_t)n_pages + 1, sizeof *kv->pages);
    kv->tokens = malloc((size_t)n_pages * (size_t)page_tok * sizeof *kv->tokens);
    kv->buckets = malloc(kv->n_buckets * sizeof *kv->buckets);
    if (kv->free_pages == NULL || kv->pages == NULL || kv->tokens == NULL || kv->buckets == NULL) {
        ct_kv_deinit(kv);
        return CT_MEMORY;
    }
    /* Taken from the end, so that low pages, which were used before, are used again. */
    for (int32_t i = 0; i < n_pages; i++)
        kv->free_pages[i] = n_pages - 1 - i;
    kv->n_free = n_pages;
    kv->pages[n_pages] = (struct ct_kv_page){.n_tok = page_tok, .parent = -1, .first_child = -1};
    memset(kv->buckets, 0xff, kv->n_buckets * sizeof *kv->buckets); /* -1 */
    return CT_OK;
}

void ct_kv_deinit(struct ct_kv *kv)
{
    if (kv->region != NULL)
        munmap(kv->region, (size_t)kv->n_pages * kv->page_elements * sizeof(uint16_t));
    free(kv->free_pages);
    free(kv->pages);
    free(kv->tokens);
    free(kv->buckets);
    *kv = (struct ct_kv){0};
}

/* ---- the tree ---- */

static int32_t *tokens_of(const struct ct_kv *kv, int32_t page)
{
    return kv->tokens + (size_t)page * (size_t)kv->page_tok;
}

/* FNV-1a over whole tokens, with a last mix for the low bits. */
static uint64_t hash_of(const struct ct_kv *kv, int32_t parent, const int32_t *tokens)
{
    uint64_t hash = 14695981039346656037u ^ (uint64_t)parent;
    for (int i = 0; i < kv->page_tok; i++)
        hash = (hash ^ (uint32_t)tokens[i]) * 1099511628211u;
    return hash ^ hash >> 29;
}

static int32_t *bucket_of(const struct ct_kv *kv, uint64_t hash)
{
    return &kv->buckets[hash & (kv->n_buckets - 1)];
}

static int32_t find_full(const struct ct_kv *kv, int32_t parent, const int32_t *tokens,
                         uint64_t hash)
{
    const size_t n_bytes = (size_t)kv->page_tok * sizeof *tokens;
    int32_t page = *bucket_of(kv, hash);
    while (page >= 0 && (kv->pages[page].hash != hash || kv->pages[page].parent != parent ||
                         memcmp(tokens_of(kv, page), tokens, n_bytes) != 0))
        page = kv->pages[page].next_in_bucket;
    return page;
}

int32_t ct_kv_find(const struct ct_kv *kv, int32_t parent, const int32_t *tokens, int n,
                   int *n_found)
{
    int32_t best = -1;
    *n_found = 0;
    if (n >= kv->page_tok)
        best = find_full(kv, parent, tokens, hash_of(kv, parent, tokens));
    if (best >= 0) {
        *n_found = kv->page_tok;
        return best;
    }
    int32_t page = kv->pages[parent].first_child;
    for (int i = 0; i < MAX_LOOKED_AT && page >= 0; i++, page = kv->pages[page].next_sibling) {
        const int most = n < kv->pages[page].n_tok ? n : kv->pages[page].n_tok;
        int n_same = 0;
        while (n_same < most && tokens_of(kv, page)[n_same] == tokens[n_same])
            n_same++;
        if (n_same > *n_found) {
            *n_found = n_same;
            best = page;
        }
    }
    return best;
}

static void enter(struct ct_kv *kv, int32_t parent, int32_t page)
{
    struct ct_kv_page *p = &kv->pages[page];
    p->parent = parent;
    p->first_child = -1;
    p->previous_sibling = -1;
    p->next_sibling = kv->pages[parent].first_child;
    if (p->next_sibling >= 0)
        kv->pages[p->next_sibling].previous_sibling = page;
    kv->pages[parent].first_child = page;
}

/* Out of the tree: nothing is known of the page any more. */
static void leave(struct ct_kv *kv, int32_t page)
{
    struct ct_kv_page *p = &kv->pages[page];
    assert(p->first_child < 0);
    if (p->previous_sibling >= 0)
        kv->pages[p->previous_sibling].next_sibling = p->next_sibling;
    else
        kv->pages[p->parent].first_child = p->next_sibling;
    if (p->next_sibling >= 0)
        kv->pages[p->next_sibling].previous_sibling = p->previous_sibling;
    if (p->n_tok == kv->page_tok) {
        int32_t *at = bucket_of(kv, p->hash);
        while (*at != page)
            at = &kv->pages[*at].next_in_bucket;
        *at = p->next_in_bucket;
    }
    p->n_tok = 0;
}

int32_t ct_kv_note(struct ct_kv *kv, int32_t parent, int32_t page, const int32_t *tokens, int n)
{
    struct ct_kv_page *p = &kv->pages[page];
    if (!kv->is_kept)
        return page;
    assert(p->n_holders == 1 && n > 0 && p->n_tok + n <= kv->page_tok);
    if (p->n_tok == 0)
        enter(kv, parent, page);
    memcpy(tokens_of(kv, page) + p->n_tok, tokens, (size_t)n * sizeof *tokens);
    if (p->n_tok + n < kv->page_tok) {
        p->n_tok += n;
        return page;
    }
    const uint64_t hash = hash_of(kv, parent, tokens_of(kv, page));
    const int32_t same = find_full(kv, parent, tokens_of(kv, page), hash);
    if (same >= 0) { /* its keys and values are the same bits */
        ct_kv_hold(kv, same);
        leave(kv, page);
        ct_kv_let_go(kv, 1, &page);
        return same;
    }
    p->n_tok = kv->page_tok;
    p->hash = hash;
    p->next_in_bucket = *bucket_of(kv, hash);
    *bucket_of(kv, hash) = page;
    return page;
}

/* ---- holders ---- */

static void keep(struct ct_kv *kv, int32_t page)
{
    struct ct_kv_page *p = &kv->pages[page];
    p->newer = -1;
    p->older = kv->newest;
    *(p->older >= 0 ? &kv->pages[p->older].newer : &kv->oldest) = page;
    kv->newest = page;
    kv->n_kept++;
}

static void keep_no_more(struct ct_kv *kv, int32_t page)
{
    const struct ct_kv_page *p = &kv->pages[page];
    *(p->older >= 0 ? &kv->pages[p->older].newer : &kv->oldest) = p->newer;
    *(p->newer >= 0 ? &kv->pages[p->newer].older : &kv->newest) = p->older;
    kv->n_kept--;
}

enum ct_status ct_kv_take(struct ct_kv *kv, int n, int32_t *pages)
{
    if (n > kv->n_free + kv->n_kept)
        return CT_BUSY;
    for (int i = 0; i < n; i++) {
        int32_t page = kv->oldest;
        if (kv->n_free > 0) {
            page = kv->free_pages[--kv->n_free];
        } else {
            keep_no_more(kv, page);
            leave(kv, page);
        }
        kv->pages[page].n_holders = 1;
        pages[i] = page;
    }
    return CT_OK;
}

void ct_kv_hold(struct ct_kv *kv, int32_t page)
{
    assert(kv->pages[page].n_tok > 0);
    if (kv->pages[page].n_holders++ == 0)
        keep_no_more(kv, page);
}

void ct_kv_let_go(struct ct_kv *kv, int n, const int32_t *pages)
{
    for (int i = n; i-- > 0;) {
        struct ct_kv_page *p = &kv->pages[pages[i]];
        assert(p->n_holders > 0);
        if (--p->n_holders > 0)
            continue;
        if (p->n_tok > 0)
            keep(kv, pages[i]);
        else
            kv->free_pages[kv->n_free++] = pages[i];
    }
}

bool ct_kv_is_sound(const struct ct_kv *kv, int64_t *n_holders)
{
    int32_t n_held = 0, n_unheld = 0, n_listed = 0;
    *n_holders = 0;
    for (int32_t i = 0; i < kv->n_pages; i++) {
        const struct ct_kv_page *p = &kv->pages[i];
        n_held += p->n_holders > 0;
        n_unheld += p->n_holders == 0 && p->n_tok > 0;
        *n_holders += p->n_holders;
        if (p->n_tok > 0 && kv->pages[p->parent].n_tok != kv->page_tok)
            return false; /* a parent is full, and in the tree itself */
        if (p->n_tok > 0 && p->n_holders > 0 && p->parent != ct_kv_root(kv) &&
            kv->pages[p->parent].n_holders < p->n_holders)
            return false;
    }
    for (int32_t i = kv->oldest; i >= 0 && n_listed <= kv->n_pages; i = kv->pages[i].newer)
        n_listed += kv->pages[i].n_holders == 0 && kv->pages[i].n_tok > 0;
    return n_unheld == kv->n_kept && n_listed == kv->n_kept &&
           n_held + kv->n_kept + kv->n_free == kv->n_pages;
}
