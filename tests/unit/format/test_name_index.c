/* A hundred thousand names: found, told apart, and one that is there twice is noticed. */
#include "engine/format/name_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_NAMES = 100000, NAME_BYTES = 32 };

/* Names in an order that is not sorted, all with one long prefix. */
static void fill(struct ct_name_index *index, char (*names)[NAME_BYTES])
{
    for (int i = 0; i < N_NAMES; i++) {
        int n = snprintf(names[i], NAME_BYTES, "model.layers.%d.weight", i * 7919 % N_NAMES);
        ct_name_index_add(index, names[i], (size_t)n);
    }
}

static void test_many_names(void **state)
{
    (void)state;
    struct ct_name_index index;
    char(*names)[NAME_BYTES] = malloc((size_t)N_NAMES * NAME_BYTES);
    assert_non_null(names);
    assert_int_equal(ct_name_index_init(&index, N_NAMES + 1), CT_OK);
    fill(&index, names);
    assert_null(ct_name_index_sort(&index));
    for (int i = 0; i < N_NAMES; i++)
        assert_int_equal(ct_name_index_find(&index, names[i], strlen(names[i])), i);
    assert_int_equal(ct_name_index_find(&index, "model.layers.", 13), -1);
    assert_int_equal(ct_name_index_find(&index, "", 0), -1);
    ct_name_index_add(&index, names[54321], strlen(names[54321]));
    const struct ct_name_entry *twice = ct_name_index_sort(&index);
    assert_non_null(twice);
    assert_string_equal(twice->text, names[54321]);
    ct_name_index_deinit(&index);
    free(names);
}

static void test_nothing_is_found_in_nothing(void **state)
{
    (void)state;
    struct ct_name_index index;
    assert_int_equal(ct_name_index_init(&index, 0), CT_OK);
    assert_null(ct_name_index_sort(&index));
    assert_int_equal(ct_name_index_find(&index, "x", 1), -1);
    ct_name_index_deinit(&index);
}

static void test_plain_names(void **state)
{
    (void)state;
    char longest[CT_MAX_NAME + 1];
    memset(longest, 'x', sizeof longest);
    assert_true(ct_name_is_plain(longest, CT_MAX_NAME));
    assert_false(ct_name_is_plain(longest, CT_MAX_NAME + 1));
    assert_false(ct_name_is_plain("", 0));
    assert_false(ct_name_is_plain("a\0b", 3));
    assert_false(ct_name_is_plain("a\x7f", 2));
    assert_true(ct_name_is_plain("gr\xc3\xb6\xc3\x9f"
                                 "er",
                                 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_nothing_is_found_in_nothing),
        cmocka_unit_test(test_plain_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
