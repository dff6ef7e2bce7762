/* KV pages: a random crowd of owners grows, shares, copies and lets go of pages. Each page holds
 * what its texts' tokens make of it, whatever was evicted in between, and the books agree after
 * every step. */
#include "tests/support/unit.h"

#include "engine/base/rng.h"
#include "engine/runtime/kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_PAGES = 23, PAGE_TOK = 4, N_OWNERS = 6, MAX_PAGES = 12 };

/* A text that is being evaluated: what an engine's session does. Its "keys and values" are a hash of
 * all tokens up to a place, so that a page that is reused for another text shows. */
struct owner {
    int32_t tokens[MAX_PAGES * PAGE_TOK];
    int32_t pages[MAX_PAGES];
    int n_tok, n_pages, n_target;
};

static void expect_sound(const struct ct_kv *kv, const struct owner *owners)
{
    int64_t n_holders = 0, n_held = 0;
    assert_true(ct_kv_is_sound(kv, &n_holders));
    for (int i = 0; i < N_OWNERS; i++)
        n_held += owners[i].n_pages;
    assert_int_equal(n_holders, n_held);
}

static uint16_t value_at(const struct owner *o, int position)
{
    uint32_t hash = 2166136261u;
    for (int t = 0; t <= position; t++)
        hash = (hash ^ (uint32_t)o->tokens[t]) * 16777619u;
    return (uint16_t)(hash ^ hash >> 16);
}

static void expect_values(const struct ct_kv *kv, const struct owner *o)
{
    for (int t = 0; t < o->n_tok; t++)
        assert_int_equal(ct_kv_data(kv, o->pages[t / PAGE_TOK])[t % PAGE_TOK], value_at(o, t));
}

static int32_t parent_of(const struct ct_kv *kv, const struct owner *o, int i)
{
    return i > 0 ? o->pages[i - 1] : ct_kv_root(kv);
}

/* A new text; its tokens are few, so that texts begin alike. Returns how many tokens were found. */
static int begin(struct ct_kv *kv, struct owner *o, struct ct_rng *rng)
{
    const int n = 1 + (int)ct_rng_below(rng, MAX_PAGES * PAGE_TOK);
    for (int t = 0; t < n; t++)
        o->tokens[t] = ct_rng_below(rng, 8) == 0;
    o->n_target = n;
    o->n_tok = o->n_pages = 0;
    for (int n_found = PAGE_TOK; n_found == PAGE_TOK;) {
        int32_t page = ct_kv_find(kv, parent_of(kv, o, o->n_pages), o->tokens + o->n_tok,
                                  n - 1 - o->n_tok, &n_found);
        if (n_found == PAGE_TOK) {
            ct_kv_hold(kv, page);
            o->pages[o->n_pages++] = page;
            o->n_tok += PAGE_TOK;
        } else if (n_found > 0) {
            ct_kv_hold(kv, page);
            if (ct_kv_take(kv, 1, &o->pages[o->n_pages]) == CT_OK) {
                memcpy(ct_kv_data(kv, o->pages[o->n_pages]), ct_kv_data(kv, page),
                       PAGE_TOK * sizeof(uint16_t));
                ct_kv_note(kv, parent_of(kv, o, o->n_pages), o->pages[o->n_pages],
                           o->tokens + o->n_tok, n_found);
                o->n_pages++;
                o->n_tok += n_found;
            }
            ct_kv_let_go(kv, 1, &page);
        }
    }
    return o->n_tok;
}

/* Evaluates some more; false when there are no pages for it. */
static bool grow(struct ct_kv *kv, struct owner *o, struct ct_rng *rng)
{
    int n = 1 + (int)ct_rng_below(rng, (uint64_t)(o->n_target - o->n_tok));
    const int more = (o->n_tok + n + PAGE_TOK - 1) / PAGE_TOK - o->n_pages;
    const int n_free = kv->n_free + kv->n_kept;
    if (ct_kv_take(kv, more, o->pages + o->n_pages) != CT_OK) {
        assert_true(more > n_free);
        assert_int_equal(kv->n_free + kv->n_kept, n_free);
        return false;
    }
    o->n_pages += more;
    while (n > 0) {
        const int i = o->n_tok / PAGE_TOK, room = PAGE_TOK - o->n_tok % PAGE_TOK;
        const int part = n < room ? n : room;
        for (int t = o->n_tok; t < o->n_tok + part; t++)
            ct_kv_data(kv, o->pages[i])[t % PAGE_TOK] = value_at(o, t);
        o->pages[i] = ct_kv_note(kv, parent_of(kv, o, i), o->pages[i], o->tokens + o->n_tok, part);
        o->n_tok += part;
        n -= part;
    }
    return true;
}

static void let_go(struct ct_kv *kv, struct owner *o)
{
    ct_kv_let_go(kv, o->n_pages, o->pages);
    o->n_pages = o->n_tok = o->n_target = 0;
}

static void texts_keep_their_values(void **state)
{
    (void)state;
    const uint64_t seed = 99;
    printf("seed %d\n", (int)seed);
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        struct ct_rng rng;
        struct ct_kv kv;
        struct owner owners[N_OWNERS] = {0};
        int64_t n_found = 0, n_short = 0;
        ct_rng_init(&rng, seed);
        assert_int_equal(ct_kv_init(&kv, N_PAGES, PAGE_TOK, PAGE_TOK, is_kept), CT_OK);
        for (int round = 0; round < 20000; round++) {
            struct owner *o = &owners[ct_rng_below(&rng, N_OWNERS)];
            if (o->n_target == 0)
                n_found += begin(&kv, o, &rng);
            else if (o->n_tok == o->n_target || ct_rng_below(&rng, 8) == 0)
                let_go(&kv, o);
            else if (!grow(&kv, o, &rng)) {
                n_short++;
                let_go(&kv, o);
            }
            expect_sound(&kv, owners);
            for (int i = 0; i < N_OWNERS; i++)
                expect_values(&kv, &owners[i]);
        }
        assert_true(is_kept ? n_found > 1000 : n_found == 0);
        assert_true(n_short > 100); /* or nothing was ever evicted */
        for (int i = 0; i < N_OWNERS; i++)
            let_go(&kv, &owners[i]);
        assert_int_equal(kv.n_free + kv.n_kept, N_PAGES);
        assert_true(is_kept || kv.n_kept == 0);
        ct_kv_deinit(&kv);
    }
}

static struct owner make(struct ct_kv *kv, const int32_t *tokens, int n)
{
    struct owner o = {.n_target = n};
    memcpy(o.tokens, tokens, (size_t)n * sizeof *tokens);
    o.n_pages = (n + PAGE_TOK - 1) / PAGE_TOK;
    assert_int_equal(ct_kv_take(kv, o.n_pages, o.pages), CT_OK);
    for (int i = 0; i < o.n_pages; i++) {
        const int part = n - i * PAGE_TOK < PAGE_TOK ? n - i * PAGE_TOK : PAGE_TOK;
        o.pages[i] =
            ct_kv_note(kv, parent_of(kv, &o, i), o.pages[i], o.tokens + i * PAGE_TOK, part);
    }
    o.n_tok = n;
    return o;
}

static void equal_pages_become_one(void **state)
{
    (void)state;
    struct ct_kv kv;
    assert_int_equal(ct_kv_init(&kv, 8, PAGE_TOK, PAGE_TOK, true), CT_OK);
    const int32_t text[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct owner a = make(&kv, text, 9), b = make(&kv, text, 9);
    assert_int_equal(a.pages[0], b.pages[0]);
    assert_int_equal(a.pages[1], b.pages[1]);
    assert_int_not_equal(a.pages[2], b.pages[2]); /* not full: each goes on in its own */
    assert_int_equal(kv.n_free, 4);
    /* the same tokens after others are another page */
    const int32_t other[] = {5, 6, 7, 8};
    struct owner c = make(&kv, other, 4);
    assert_int_not_equal(c.pages[0], a.pages[1]);
    let_go(&kv, &a);
    let_go(&kv, &b);
    let_go(&kv, &c);
    ct_kv_deinit(&kv);
}

static void the_longest_unused_goes_first(void **state)
{
    (void)state;
    struct ct_kv kv;
    int n_found = 0;
    int32_t taken[8];
    assert_int_equal(ct_kv_init(&kv, 8, PAGE_TOK, PAGE_TOK, true), CT_OK);
    const int32_t first[] = {1, 1, 1, 1, 2, 2, 2, 2}, second[] = {3, 3, 3, 3, 4, 4, 4, 4};
    struct owner a = make(&kv, first, 8), b = make(&kv, second, 8);
    let_go(&kv, &a);
    let_go(&kv, &b);
    assert_int_equal(kv.n_kept, 4);
    /* four are free; one more costs the end of the older text, and another its beginning */
    assert_int_equal(ct_kv_take(&kv, 5, taken), CT_OK);
    int32_t page = ct_kv_find(&kv, ct_kv_root(&kv), first, 8, &n_found);
    assert_int_equal(n_found, PAGE_TOK);
    ct_kv_find(&kv, page, first + 4, 4, &n_found);
    assert_int_equal(n_found, 0);
    assert_int_equal(ct_kv_take(&kv, 1, taken + 5), CT_OK);
    ct_kv_find(&kv, ct_kv_root(&kv), first, 8, &n_found);
    assert_int_equal(n_found, 0);
    page = ct_kv_find(&kv, ct_kv_root(&kv), second, 8, &n_found);
    assert_int_equal(n_found, PAGE_TOK);
    /* a part of a page: the most that fits */
    const int32_t part[] = {4, 4, 9};
    assert_true(ct_kv_find(&kv, page, part, 3, &n_found) >= 0);
    assert_int_equal(n_found, 2);
    assert_int_equal(ct_kv_take(&kv, 3, taken + 6), CT_BUSY);
    assert_int_equal(ct_kv_take(&kv, 2, taken + 6), CT_OK);
    assert_int_equal(kv.n_kept + kv.n_free, 0);
    ct_kv_let_go(&kv, 8, taken);
    assert_int_equal(kv.n_free, 8);
    ct_kv_deinit(&kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_keep_their_values),
        cmocka_unit_test(equal_pages_become_one),
        cmocka_unit_test(the_longest_unused_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
