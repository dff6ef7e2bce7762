/* What the kernel checks share: the table under test, a seeded generator, and failure with the
 * case's description. Each kernel of kernels.def has a check_<name>, so that a new kernel without a
 * check does not link. One thread. */
#ifndef CT_TESTS_KERNELS_CHECK_H
#define CT_TESTS_KERNELS_CHECK_H

#include "engine/base/rng.h"
#include "engine/kernels/kernels.h"

#include <stdio.h>

struct check {
    const struct ct_kernel_table *kernels;
    const char *set; /* the instruction set's name */
    struct ct_rng rng;
    char what[256]; /* the case being tried, for messages */
};

/* 2^-24: half the distance between floats, relative. */
#define CHECK_U                            0x1p-24

#define CT_KERNEL(name, parameters, bound) void check_##name(struct check *c);
#define CT_VARIANT(name, set)
#include "engine/kernels/kernels.def"
#undef CT_KERNEL
#undef CT_VARIANT

/* Names the case in later messages. */
#define CHECK_CASE(c, ...) snprintf((c)->what, sizeof(c)->what, __VA_ARGS__)

/* Ends the program with the set, the case and the message. */
_Noreturn void check_fail(const struct check *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The two have the same bytes. */
void check_same(const struct check *c, const void *value, const void *expected, size_t n_bytes);

/* |value - exact| <= bound; an infinity or NaN where exact has none fails. */
void check_near(const struct check *c, int64_t i, float value, double exact, double bound);

/* Uniform in [low, high]. */
int64_t check_int(struct check *c, int64_t low, int64_t high);
float check_float(struct check *c, float low, float high);

/* A random entry of a list. */
#define CHECK_PICK(c, list) (list)[check_int((c), 0, (int64_t)(sizeof(list) / sizeof *(list)) - 1)]

/* n floats at the guard, normal-ish around 0 with a few zeros. */
float *check_floats(struct check *c, int64_t n);

#endif
