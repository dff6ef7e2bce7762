/* KV pages: each page has one owner, all come back, and too many are refused whole. */
#include "tests/support/unit.h"

#include "engine/runtime/kv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_PAGES = 37, PAGE_ELEMENTS = 100, N_OWNERS = 6 };

static void pages_have_one_owner(void **state)
{
    (void)state;
    const unsigned seed = 99;
    printf("seed %u\n", seed);
    srand(seed);
    struct ct_kv kv;
    assert_int_equal(ct_kv_init(&kv, N_PAGES, PAGE_ELEMENTS), CT_OK);
    uint16_t *pages[N_OWNERS][N_PAGES];
    int64_t n_held[N_OWNERS] = {0};
    for (int round = 0; round < 2000; round++) {
        int owner = rand() % N_OWNERS;
        for (int64_t i = 0; i < n_held[owner]; i++) /* nobody else wrote here */
            for (int j = 0; j < PAGE_ELEMENTS; j++)
                assert_int_equal(pages[owner][i][j], owner + 1);
        ct_kv_give_back(&kv, n_held[owner], pages[owner]);
        n_held[owner] = 0;
        int64_t n = rand() % (N_PAGES / 2), n_free = kv.n_free;
        if (ct_kv_take(&kv, n, pages[owner]) != CT_OK) {
            assert_true(n > n_free);
            assert_int_equal(kv.n_free, n_free);
            continue;
        }
        n_held[owner] = n;
        for (int64_t i = 0; i < n; i++)
            for (int j = 0; j < PAGE_ELEMENTS; j++)
                pages[owner][i][j] = (uint16_t)(owner + 1);
    }
    for (int owner = 0; owner < N_OWNERS; owner++)
        ct_kv_give_back(&kv, n_held[owner], pages[owner]);
    assert_int_equal(kv.n_free, N_PAGES);
    ct_kv_deinit(&kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pages_have_one_owner)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
