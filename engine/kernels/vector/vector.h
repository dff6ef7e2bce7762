/* The vector kernels: written once, over the few operations that each vector_<set>.h names.
 *
 *   V_SET V_LANES V_MR         the set, floats in a register, tokens linear_f32 keeps in them
 *   v_f32                      a register of floats
 *   v_zero v_set1              all lanes 0, or the same
 *   v_load v_store             a whole register
 *   v_load_n v_store_n         the first n lanes (all if n is larger), the others 0 or kept
 *   v_keep_n                   v_keep_n(x, n, fill): fill in all but the first n lanes
 *   v_f16 v_f16_n v_bf16_n     loads from half and brain floats
 *   v_i8                       and from 8-bit integers
 *   v_to_f16_n                 stores half floats, rounded to nearest even
 *   v_add v_sub v_mul v_div
 *   v_max                      if one is NaN, either
 *   v_fma                      v_fma(a, b, c) = a * b + c, rounded once
 *   v_round                    to nearest even
 *   v_power                    v_power(x, n) = x * 2^n for an integral n, gradually to 0
 *   v_minus_abs                -|x|
 *   v_pick                     v_pick(x, a, b) = x has its sign bit ? a : b
 *   v_sum v_top                the sum and the maximum of all lanes
 *
 * float_<set>.c and linear_f32_<set>.c include such a header and then the .inc files here. */
#ifndef CT_KERNELS_VECTOR_VECTOR_H
#define CT_KERNELS_VECTOR_VECTOR_H

#include "engine/kernels/kernels.h"

#define CT_JOIN(name, set)  ct_##name##_##set
#define CT_JOIN2(name, set) CT_JOIN(name, set)
/* ct_<name>_<set> of the set being built. */
#define CT_V(name)          CT_JOIN2(name, V_SET)

/* exp(x) for x <= 0, within 2 u of relative error down to the smallest normal and gradually to 0
 * below. x = n ln 2 + r with |r| <= ln 2 / 2; a polynomial of degree 6 gives exp(r) (Cephes' expf),
 * and 2^n is multiplied in two halves so that small results become denormal rather than wrong. */
CT_INLINE v_f32 v_exp(v_f32 x)
{
    x = v_max(v_set1(-110), x);
    v_f32 n = v_round(v_mul(x, v_set1(1.44269504088896341f)));
    v_f32 r = v_fma(n, v_set1(-0.693359375f), x);
    r = v_fma(n, v_set1(2.12194440e-4f), r);
    v_f32 p = v_set1(1.9875691500e-4f);
    p = v_fma(p, r, v_set1(1.3981999507e-3f));
    p = v_fma(p, r, v_set1(8.3334519073e-3f));
    p = v_fma(p, r, v_set1(4.1665795894e-2f));
    p = v_fma(p, r, v_set1(1.6666665459e-1f));
    p = v_fma(p, r, v_set1(5.0000001201e-1f));
    p = v_fma(p, v_mul(r, r), v_add(r, v_set1(1)));
    return v_power(p, n);
}

#endif
