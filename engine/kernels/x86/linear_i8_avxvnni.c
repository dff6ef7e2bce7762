/* Clustered matrix times int8 activations with AVX2 and AVX-VNNI: half a tile to a register; see
 * linear_i8_vnni.inc. */
#include "engine/kernels/x86/dot_avxvnni.h"
#include "engine/kernels/x86/tile_avx2.h"

enum { FEW = 4, MR = 6 };
#define SETS(X) X(6) X(5) X(4) X(3) X(2) X(1)
typedef __m256i v_i32;

CT_INLINE v_i32 v_i32_set1(int32_t x)
{
    return _mm256_set1_epi32(x);
}

CT_INLINE v_i32 v_i32_load(const void *p)
{
    return _mm256_load_si256(p);
}

CT_INLINE void v_i32_store(void *p, v_i32 x)
{
    _mm256_store_si256(p, x);
}

CT_INLINE v_f32 v_from_i32(v_i32 x)
{
    return _mm256_cvtepi32_ps(x);
}

CT_INLINE v_i32 begin_dot(const int32_t *x_sum)
{
    return _mm256_sub_epi32(_mm256_setzero_si256(),
                            _mm256_slli_epi32(_mm256_set1_epi32(*x_sum), 7));
}

CT_INLINE void add_products(v_i32 *sum, v_i32 w, v_i32 x)
{
    ct_add_products_avxvnni(sum, w, x);
}

struct lookup {
    struct ct_lookup_avx2 table;
};

CT_INLINE void lookup_init(struct lookup *l, const uint8_t *bytes, int bits)
{
    ct_lookup_init_avx2(&l->table, (const int8_t *)bytes, bits);
}

CT_INLINE v_i32 load_index(const struct lookup *l, const uint8_t *p, int half, int bits)
{
    (void)l;
    return ct_join_index_avx2(ct_load_index_avx2(p, half, bits), bits);
}

CT_INLINE v_i32 look_up(const struct lookup *l, const uint8_t *p, int half, int bits)
{
    const struct ct_index_avx2 index = ct_load_index_avx2(p, half, bits);
    return bits == CT_LINEAR8 ? index.low : ct_lookup_half_avx2(&l->table, index, bits);
}

#include "engine/kernels/x86/linear_i8_vnni.inc"

void ct_linear_i8_avxvnni(const struct ct_linear *a, int64_t tile_begin, int64_t tile_end)
{
    linear_i8(a, tile_begin, tile_end);
}
