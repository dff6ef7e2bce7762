/* Labels by how likely they are, and cosines. */
#include "tests/support/unit.h"

#include "engine/base/scores.h"

#include <math.h>

static void labels_are_ranked(void **state)
{
    (void)state;
    static const float row[] = {1, 3, -2, 3};
    struct ct_label_score scores[4];
    ct_rank_labels(row, 4, false, scores);
    static const int order[] = {1, 3, 0, 2};
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(scores[i].label, order[i]);
        sum += scores[i].probability;
    }
    assert_true(fabs(sum - 1) < 1e-12);
    assert_true(fabs(scores[0].probability / scores[2].probability - (exp(2))) < 1e-9);

    ct_rank_labels(row, 4, true, scores);
    assert_true(fabs(scores[3].probability - (1 / (1 + exp(2)))) < 1e-12);
    ct_rank_labels(row, 1, false, scores); /* one label is a yes or a no */
    assert_true(fabs(scores[0].probability - (1 / (1 + exp(-1)))) < 1e-12);

    static const float huge[] = {3e38f, -3e38f};
    ct_rank_labels(huge, 2, false, scores);
    assert_true(scores[0].probability == 1);
    assert_true(scores[1].probability == 0);
}

static void cosines(void **state)
{
    (void)state;
    static const float a[] = {3, 4}, b[] = {4, -3}, c[] = {-6, -8}, none[] = {0, 0};
    assert_true(fabs(ct_cosine(a, a, 2) - 1) < 1e-12);
    assert_true(fabs(ct_cosine(a, b, 2)) < 1e-12);
    assert_true(fabs(ct_cosine(a, c, 2) + 1) < 1e-12);
    assert_true(ct_cosine(a, none, 2) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_ranked),
        cmocka_unit_test(cosines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
