/* The number of processors follows the affinity mask. */
#include "tests/support/unit.h"

#include "engine/base/processors.h"

#include <sched.h>

static void one_processor_is_left(void **state)
{
    (void)state;
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    const int n = ct_processors();
    assert_in_range(n, 1, CPU_COUNT(&all));
    int first = 0;
    while (!CPU_ISSET(first, &all))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(ct_processors(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(ct_processors(), n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_processor_is_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
