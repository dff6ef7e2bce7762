/* Checks every kernel of kernels.def in every instruction set that this machine has, against the
 * scalar specification (integer kernels, to the bit) or the exact value (float kernels, within the
 * bound of their row), on memory that ends at an unreadable page.
 *
 *     check_kernels [seed [kernel]]
 *
 * The seed is printed; giving it repeats a run. */
#include "tests/kernels/check.h"

#include "engine/base/clock.h"
#include "tests/support/guard.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void check_fail(const struct check *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s: %s: ", c->set, c->what);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

void check_same(const struct check *c, const void *value, const void *expected, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        if (((const uint8_t *)value)[i] != ((const uint8_t *)expected)[i])
            check_fail(c, "byte %zu of %zu differs: %02x, expected %02x", i, n_bytes,
                       ((const uint8_t *)value)[i], ((const uint8_t *)expected)[i]);
}

void check_near(const struct check *c, int64_t i, float value, double exact, double bound)
{
    if (!(fabs((double)value - exact) <= bound))
        check_fail(c, "value %lld is %.9g, expected %.9g within %.3g (off by %.3g)", (long long)i,
                   (double)value, exact, bound, fabs((double)value - exact));
}

int64_t check_int(struct check *c, int64_t low, int64_t high)
{
    return low + (int64_t)ct_rng_below(&c->rng, (uint64_t)(high - low + 1));
}

float check_float(struct check *c, float low, float high)
{
    return low + (high - low) * (float)ct_rng_uniform(&c->rng);
}

float *check_floats(struct check *c, int64_t n)
{
    float *x = guard_take((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = ct_rng_below(&c->rng, 50) == 0
                   ? 0
                   : check_float(c, -1, 1) + check_float(c, -1, 1) + check_float(c, -1, 1);
    return x;
}

static const struct {
    const char *name;
    void (*run)(struct check *c);
} checks[] = {
#define CT_KERNEL(name, parameters, bound) {#name, check_##name},
#define CT_VARIANT(name, set)
#include "engine/kernels/kernels.def"
#undef CT_KERNEL
#undef CT_VARIANT
};

/* Every kernel of a table, or the one that is named. */
static void check_table(const struct ct_kernel_table *table, const char *set, uint64_t seed,
                        const char *only)
{
    struct check c = {.kernels = table, .set = set};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (only != NULL && strcmp(only, checks[i].name) != 0)
            continue;
        ct_rng_init(&c.rng, seed);
        checks[i].run(&c);
        guard_release();
        printf("%s %s: ok\n", set, checks[i].name);
        fflush(stdout);
    }
}

#ifdef CHECK_EMULATED
/* Built against tests/kernels/emulated: the variants of AVX-VNNI and AVX-512, whatever the processor. */
static void check_sets(uint64_t seed, const char *only)
{
    struct ct_kernel_table avxvnni, avx512;
    ct_kernels_for(CT_ISA_scalar, &avxvnni);
    ct_kernels_for(CT_ISA_scalar, &avx512);
#define CT_KERNEL(name, parameters, bound)
#define CT_VARIANT(name, set) USE_##set(name)
#define USE_scalar(name)
#define USE_avx2(name)
#define USE_neon(name)
#define USE_i8mm(name)
#define USE_avxvnni(name) avxvnni.name = ct_##name##_avxvnni;
#define USE_avx512(name)  avx512.name = ct_##name##_avx512;
#include "engine/kernels/kernels.def"
#undef CT_KERNEL
#undef CT_VARIANT
    check_table(&avxvnni, "emulated avxvnni", seed, only);
    check_table(&avx512, "emulated avx512", seed, only);
}
#else
static void check_sets(uint64_t seed, const char *only)
{
    for (int isa = 0; isa < CT_N_ISA; isa++) {
        if (!ct_isa_is_usable((enum ct_isa)isa))
            continue;
        struct ct_kernel_table table;
        ct_kernels_for((enum ct_isa)isa, &table);
        check_table(&table, ct_isa_name((enum ct_isa)isa), seed, only);
    }
}
#endif

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : ct_clock_ns();
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    check_sets(seed, argc > 2 ? argv[2] : NULL);
    return 0;
}
