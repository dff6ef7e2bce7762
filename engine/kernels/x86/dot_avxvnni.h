/* The instruction that AVX-VNNI adds to AVX2. */
#ifndef CT_KERNELS_X86_DOT_AVXVNNI_H
#define CT_KERNELS_X86_DOT_AVXVNNI_H

#include "engine/kernels/x86/vector_avx2.h"

/* sum += the products of 8 x 4 unsigned w and signed x, in sum's own register: left to itself gcc 12
 * copies it around. Emulation has no such instruction. */
CT_INLINE void ct_add_products_avxvnni(__m256i *sum, __m256i w, __m256i x)
{
#ifdef __AVXVNNI__
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(*sum) : "x"(w), "x"(x));
#else
    *sum = _mm256_dpbusd_epi32(*sum, w, x);
#endif
}

#endif
