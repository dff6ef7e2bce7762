/* Check of the dot product that measures the machine: it multiplies as often as it says. */
#include "tests/kernels/check.h"

#include "tests/support/guard.h"

void check_dot_peak(struct check *c)
{
    static const int64_t counts[] = {0, 48, 96, 480, 48000};
    uint8_t *x = guard_take(64);
    int8_t *w = guard_take(64);
    int32_t *sum = guard_take(sizeof *sum);
    for (int i = 0; i < 50; i++) {
        const int64_t n = CHECK_PICK(c, counts);
        const bool is_extreme = i < 10;
        int64_t dot = 0;
        CHECK_CASE(c, "dot_peak, n %lld", (long long)n);
        for (int j = 0; j < 64; j++) {
            x[j] = (uint8_t)(is_extreme ? 127 : check_int(c, 0, 127));
            w[j] = (int8_t)(is_extreme ? -128 : check_int(c, -128, 127));
            dot += x[j] * w[j];
        }
        const int32_t expected = (int32_t)(uint32_t)(n * dot);
        c->kernels->dot_peak(x, w, n, sum);
        check_same(c, sum, &expected, sizeof expected);
    }
    guard_check(c->what);
}
