/* Clustered matrix times int8 activations with AVX-512 VBMI and VNNI: a tile to a register; see
 * linear_i8_vnni.inc. */
#include "engine/kernels/x86/tile_avx512.h"

enum { FEW = 8, MR = 12 };
#define SETS(X) X(12) X(8) X(4) X(2) X(1)
typedef __m512i v_i32;

CT_INLINE v_i32 v_i32_set1(int32_t x)
{
    return _mm512_set1_epi32(x);
}

CT_INLINE v_i32 v_i32_load(const void *p)
{
    return _mm512_load_si512(p);
}

CT_INLINE void v_i32_store(void *p, v_i32 x)
{
    _mm512_store_si512(p, x);
}

CT_INLINE v_f32 v_from_i32(v_i32 x)
{
    return _mm512_cvtepi32_ps(x);
}

CT_INLINE v_i32 begin_dot(const int32_t *x_sum)
{
    return _mm512_sub_epi32(_mm512_setzero_si512(),
                            _mm512_slli_epi32(_mm512_set1_epi32(*x_sum), 7));
}

/* sum += the products of 16 rows x 4 columns, in sum's own register: left to itself gcc 12 copies it
 * around. Emulation has no such instruction. */
CT_INLINE void add_products(v_i32 *sum, v_i32 w, v_i32 x)
{
#ifdef __AVX512VNNI__
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(w), "v"(x));
#else
    *sum = _mm512_dpbusd_epi32(*sum, w, x);
#endif
}

struct lookup {
    struct ct_unpack_avx512 unpack;
    struct ct_lookup_avx512 table;
};

CT_INLINE void lookup_init(struct lookup *l, const uint8_t *bytes, int bits)
{
    l->unpack = ct_unpack_init_avx512(bits);
    ct_lookup_init_avx512(&l->table, bytes, bits);
}

CT_INLINE v_i32 load_index(const struct lookup *l, const uint8_t *p, int half, int bits)
{
    (void)half;
    return ct_unpack_tile_avx512(&l->unpack, p, bits);
}

CT_INLINE v_i32 look_up(const struct lookup *l, const uint8_t *p, int half, int bits)
{
    return ct_lookup_tile_avx512(&l->table, load_index(l, p, half, bits), bits);
}

#include "engine/kernels/x86/linear_i8_vnni.inc"

void ct_linear_i8_avx512(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)
{
    linear_i8(a, tile_begin, tile_end);
}
