/* Pages of keys and values: who holds each, and which tokens are in it.
 *
 *   region: | page 0 | page 1 | ... |      a page: all layers of page_tok tokens (backend.h)
 *
 *   free --take--> held by one session or more --let go--> kept, the most recent last
 *    ^                        ^                              |      |
 *    |                        '----------- hold -------------'      |
 *    '---------------- taken again, the least recent first ---------'
 *
 * Pages whose tokens are known form a tree: a page's parent is the page that stands before it, so
 * that a way from the root spells a text. A full page is found by a hash of its parent and its
 * tokens, and then compared, token by token; of a page that fits in part only, a session takes a
 * copy. Who holds a page holds its parents, too, and lets them go after it, so that a page is
 * always taken again before its parent. (Paged keys and values: Kwon et al., SOSP 2023, section 4; a tree
 * of prefixes: Zheng et al., NeurIPS 2024, section 3.)
 *
 * Address space is set aside at once, memory is used as pages are first written, and there are
 * never more than n_pages. The engine thread. */
#ifndef CT_RUNTIME_KV_H
#define CT_RUNTIME_KV_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is known of a page; as an index, -1 is no page. */
struct ct_kv_page {
    int32_t n_holders;
    int32_t n_tok;  /* known tokens, from its first on; 0: it is not in the tree */
    int32_t parent; /* the tree: */
    int32_t first_child;
    int32_t next_sibling, previous_sibling;
    int32_t next_in_bucket; /* full pages of the tree */
    int32_t older, newer;   /* kept pages */
    uint64_t hash;
};

struct ct_kv {
    uint16_t *region;
    size_t page_elements;
    int page_tok;
    bool is_kept; /* pages that nobody holds are kept for their tokens */
    int32_t n_pages;
    int32_t n_free;
    int32_t n_kept;
    int32_t *free_pages;      /* [n_pages], the first n_free are free */
    struct ct_kv_page *pages; /* [n_pages + 1], the last is the root of the tree */
    int32_t *tokens;          /* [n_pages, page_tok] */
    int32_t *buckets;         /* [n_buckets], a power of two */
    uint32_t n_buckets;
    int32_t oldest, newest; /* of the kept */
};

/* CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_kv_init(struct ct_kv *kv, int32_t n_pages, size_t page_elements,
                                        int page_tok, bool is_kept);
void ct_kv_deinit(struct ct_kv *kv);

static inline uint16_t *ct_kv_data(const struct ct_kv *kv, int32_t page)
{
    return kv->region + (size_t)page * kv->page_elements;
}

static inline int32_t ct_kv_root(const struct ct_kv *kv)
{
    return kv->n_pages;
}

/* Takes n pages, each with one holder and no known tokens, into pages[0..n); CT_BUSY (and takes
 * none) when fewer are free or kept. */
CT_MUST_CHECK enum ct_status ct_kv_take(struct ct_kv *kv, int n, int32_t *pages);

/* One more holder for a page of the tree. */
void ct_kv_hold(struct ct_kv *kv, int32_t page);

/* One holder less for each of the n pages, which stand one after the other in a text. */
void ct_kv_let_go(struct ct_kv *kv, int n, const int32_t *pages);

/* The page after parent (ct_kv_root: the first) that has the most of tokens [n] at its front, and
 * how many these are; -1 and 0 when there is none. */
int32_t ct_kv_find(const struct ct_kv *kv, int32_t parent, const int32_t *tokens, int n,
                   int *n_found);

/* tokens [n] were evaluated behind those that are known to be in the page, which stands after
 * parent. When that fills it and the tree has such a page already, that one takes its place: the
 * caller holds the page that is returned. */
int32_t ct_kv_note(struct ct_kv *kv, int32_t parent, int32_t page, const int32_t *tokens, int n);

/* Whether every page is in exactly one state and the tree and the lists agree; *n_holders: of all.
 */
bool ct_kv_is_sound(const struct ct_kv *kv, int64_t *n_holders);

#endif
