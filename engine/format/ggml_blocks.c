#include "engine/format/ggml_blocks.h"

#include "engine/base/f16.h"

#include <string.h>

static uint16_t load_u16(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static float load_f16(const unsigned char *p)
{
    return ct_f16_to_f32(load_u16(p));
}

/* Fifth bits (or zeros) of a block of 32: bit j belongs to element j. */
static uint32_t load_u32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The quantised value of element j of a 32-block: 4 bits from qs, the fifth from `high`. */
static int value5(const unsigned char *qs, uint32_t high, int j)
{
    int low = j < 16 ? qs[j] & 15 : qs[j - 16] >> 4;
    return low | (int)((high >> j) & 1u) << 4;
}

static void q4_0(const unsigned char *p, float *out)
{
    float d = load_f16(p);
    for (int j = 0; j < 32; j++)
        out[j] = d * (float)(value5(p + 2, 0, j) - 8);
}

static void q4_1(const unsigned char *p, float *out)
{
    float d = load_f16(p), m = load_f16(p + 2);
    for (int j = 0; j < 32; j++)
        out[j] = d * (float)value5(p + 4, 0, j) + m;
}

static void q5_0(const unsigned char *p, float *out)
{
    float d = load_f16(p);
    uint32_t high = load_u32(p + 2);
    for (int j = 0; j < 32; j++)
        out[j] = d * (float)(value5(p + 6, high, j) - 16);
}

static void q5_1(const unsigned char *p, float *out)
{
    float d = load_f16(p), m = load_f16(p + 2);
    uint32_t high = load_u32(p + 4);
    for (int j = 0; j < 32; j++)
        out[j] = d * (float)value5(p + 8, high, j) + m;
}

static void q8_0(const unsigned char *p, float *out)
{
    float d = load_f16(p);
    for (int j = 0; j < 32; j++)
        out[j] = d * (float)(int8_t)p[2 + j];
}

/* The 6-bit scale and min of sub-block j of 8, packed in 12 bytes: the first four of each lie in
 * the low 6 bits of bytes 0-3 and 4-7; the others have 4 bits in bytes 8-11 and 2 in the spare top
 * bits. */
static void k_scale_min(const unsigned char *packed, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = packed[j] & 63;
        *min = packed[j + 4] & 63;
    } else {
        *scale = (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4;
        *min = (packed[j + 4] >> 4) | (packed[j] >> 6) << 4;
    }
}

/* Q4_K and Q5_K: 8 sub-blocks of 32; sub-blocks 2i and 2i + 1 are the halves of bytes [32 i, 32 i +
 * 32), and `high` (NULL for Q4_K) holds the fifth bit of element l of sub-block j in bit j of byte
 * l. */
static void q4_k_or_q5_k(const unsigned char *p, const unsigned char *high, const unsigned char *qs,
                         float *out)
{
    float d = load_f16(p), dmin = load_f16(p + 2);
    for (int j = 0; j < 8; j++) {
        int scale, min;
        k_scale_min(p + 4, j, &scale, &min);
        float dj = d * (float)scale, mj = dmin * (float)min;
        for (int l = 0; l < 32; l++) {
            int byte = qs[j / 2 * 32 + l];
            int q = j % 2 == 0 ? byte & 15 : byte >> 4;
            if (high != NULL)
                q |= (high[l] >> j & 1) << 4;
            out[j * 32 + l] = dj * (float)q - mj;
        }
    }
}

static void q4_k(const unsigned char *p, float *out)
{
    q4_k_or_q5_k(p, NULL, p + 16, out);
}

static void q5_k(const unsigned char *p, float *out)
{
    q4_k_or_q5_k(p, p + 16, p + 48, out);
}

/* Two halves of 128 elements, each four runs of 32: run i takes the low (i < 2) or high half of the
 * bytes at 32 (i % 2), and bits 2i, 2i + 1 of the upper bytes; 16 elements share a scale. */
static void q6_k(const unsigned char *p, float *out)
{
    float d = load_f16(p + 208);
    for (int half = 0; half < 2; half++) {
        const unsigned char *low = p + 64 * half;
        const unsigned char *high = p + 128 + 32 * half;
        const unsigned char *scales = p + 192 + 8 * half;
        for (int e = 0; e < 128; e++) {
            int run = e / 32, l = e % 32;
            int byte = low[32 * (run % 2) + l];
            int q = (run < 2 ? byte & 15 : byte >> 4) | (high[l] >> 2 * run & 3) << 4;
            out[128 * half + e] = d * (float)(int8_t)scales[e / 16] * (float)(q - 32);
        }
    }
}

typedef void block_fn(const unsigned char *block, float *out);

static block_fn *const block_fns[CT_N_DTYPES] = {
    [CT_DTYPE_Q4_0] = q4_0, [CT_DTYPE_Q4_1] = q4_1, [CT_DTYPE_Q5_0] = q5_0, [CT_DTYPE_Q5_1] = q5_1,
    [CT_DTYPE_Q8_0] = q8_0, [CT_DTYPE_Q4_K] = q4_k, [CT_DTYPE_Q5_K] = q5_k, [CT_DTYPE_Q6_K] = q6_k,
};

/* One element of a plain type. */
static float plain(enum ct_dtype dtype, const unsigned char *p)
{
    double f64;
    int64_t i64;
    switch (dtype) {
    case CT_DTYPE_F32:
        return ct_f32_from_bits(load_u32(p));
    case CT_DTYPE_F16:
        return load_f16(p);
    case CT_DTYPE_BF16:
        return ct_bf16_to_f32(load_u16(p));
    case CT_DTYPE_F64:
        memcpy(&f64, p, sizeof f64);
        return (float)f64;
    case CT_DTYPE_I8:
        return (float)(int8_t)*p;
    case CT_DTYPE_U8:
        return (float)*p;
    case CT_DTYPE_I16:
        return (float)(int16_t)load_u16(p);
    case CT_DTYPE_I32:
        return (float)(int32_t)load_u32(p);
    default: /* CT_DTYPE_I64: the quantised types have their own functions */
        memcpy(&i64, p, sizeof i64);
        return (float)i64;
    }
}

void ct_row_to_f32(enum ct_dtype dtype, const void *row, int64_t k, float *out)
{
    const unsigned char *p = row;
    block_fn *fn = block_fns[dtype];
    int elements = ct_dtype_block_elements(dtype), bytes = ct_dtype_block_bytes(dtype);
    if (dtype == CT_DTYPE_F32) {
        if (k > 0)
            memcpy(out, row, (size_t)k * sizeof *out);
        return;
    }
    for (int64_t j = 0; j < k; j += elements, p += bytes) {
        if (fn != NULL)
            fn(p, out + j);
        else
            out[j] = plain(dtype, p);
    }
}

size_t ct_row_n_bytes(enum ct_dtype dtype, int64_t k)
{
    return (size_t)(k / ct_dtype_block_elements(dtype)) * (size_t)ct_dtype_block_bytes(dtype);
}
