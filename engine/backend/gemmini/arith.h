/* The accelerator's arithmetic on single numbers, to the bit. int32 wraps around, int8 saturates,
 * halves go to even.
 *
 * Floats are IEEE binary32, each operation rounded: the hardware converts int32 to float,
 * multiplies, and converts back, and so does this. From Arithmetic.scala and AccumulatorScale.scala
 * of ucb-bar/gemmini@8c3f992; I-GELU and I-exp are those of I-BERT (Kim et al., 2021). Pure; any
 * thread. */
#ifndef CT_BACKEND_GEMMINI_ARITH_H
#define CT_BACKEND_GEMMINI_ARITH_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline int32_t ct_gem_add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

static inline int32_t ct_gem_sub(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

static inline int32_t ct_gem_mul(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a * (uint32_t)b);
}

static inline int32_t ct_gem_clip(int32_t value, int bits)
{
    const int32_t high = (int32_t)((UINT32_C(1) << (bits - 1)) - 1);
    return value > high ? high : value < -high - 1 ? -high - 1 : value;
}

/* A float from its bits, as commands carry them. */
static inline float ct_gem_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* value / 2^shift, shift < 32. */
static inline int32_t ct_gem_shift(int32_t value, unsigned shift)
{
    if (shift == 0)
        return value;
    const int64_t half = INT64_C(1) << (shift - 1);
    const int64_t odd = value >> shift & 1;
    return (int32_t)(((int64_t)value + half - 1 + odd) >> shift);
}

/* A product to int8. What is no number becomes 127, as the hardware's conversion has it. Adding and
 * taking away 1.5 * 2^23 rounds what is left after clamping to a whole number. */
static inline int8_t ct_gem_narrow(float product)
{
    const float low = product > -128.0F ? product : -128.0F;
    const float value = product < 127.0F ? low : 127.0F;
    return (int8_t)((value + 12582912.0F) - 12582912.0F);
}

/* The scaling of stores and, of int8, of loads. */
static inline int8_t ct_gem_scale(int32_t value, float scale)
{
    return ct_gem_narrow((float)value * scale);
}

/* GELU of q in steps of S, times a scale that the store's scale takes away again. */
static inline int32_t ct_gem_igelu(int32_t q, int32_t qb, int32_t qc)
{
    const int32_t limit = ct_gem_sub(0, qb), magnitude = q < 0 ? ct_gem_sub(0, q) : q;
    const int32_t sum = ct_gem_add(magnitude > limit ? limit : magnitude, qb);
    const int32_t poly = ct_gem_add(ct_gem_mul(sum, sum), qc);
    return ct_gem_mul(q, ct_gem_add(q < 0 ? ct_gem_sub(0, poly) : poly, qc));
}

struct ct_gem_iexp {
    int32_t ln2, ln2_inverse, qb, qc;
    bool is_masked; /* shift by z mod 32, as the functional model does, not to 0 from 32 on */
};

/* exp of q <= 0 in steps of S: 2^-z times a polynomial in what is left of q. */
static inline int32_t ct_gem_iexp(int32_t q, const struct ct_gem_iexp *c)
{
    const int32_t z = ct_gem_mul(ct_gem_sub(0, q), c->ln2_inverse) >> 16;
    const int32_t sum = ct_gem_add(ct_gem_add(q, ct_gem_mul(z, c->ln2)), c->qb);
    const int32_t poly = ct_gem_add(ct_gem_mul(sum, sum), c->qc);
    if (c->is_masked)
        return poly >> (z & 31);
    return (uint32_t)z < 32 ? (int32_t)((uint32_t)poly >> z) : 0;
}

/* floor(sqrt(value)) by Newton's method from above, as I-BERT has it; below 0 it gives (value + 1)
 * / 2. */
static inline int32_t ct_gem_isqrt(int32_t value)
{
    int bits = 0;
    for (int32_t rest = value; rest > 0; rest >>= 1)
        bits++;
    int32_t root = value != 0 ? INT32_C(1) << (bits + 1) / 2 : 0;
    while (root != 0) {
        const int32_t next = (int32_t)(((int64_t)root + value / root) / 2);
        if (next >= root)
            break;
        root = next;
    }
    return root;
}

/* The constants for steps of S, 1e-4 to 1e4, as the reference software derives them. */
static inline void ct_gem_igelu_constants(float s, int32_t *qb, int32_t *qc)
{
    const float root2 = 1.41421356237F, s_erf = (float)(-0.2888 * (double)(s * s / 2));
    *qb = (int32_t)(-1.769 / (double)(s / root2));
    *qc = (int32_t)(1.0 / (double)s_erf);
}

static inline struct ct_gem_iexp ct_gem_iexp_constants(float s)
{
    struct ct_gem_iexp c = {.ln2 = (int32_t)(0.693147 / (double)s)};
    c.ln2_inverse = c.ln2 != 0 ? 65536 / c.ln2 : 0;
    c.qb = (int32_t)(1.353F / s);
    c.qc = (int32_t)(0.344F / (0.3585F * s * s));
    return c;
}

#endif
