/* Half and brain floats, one value at a time; the vector forms are kernels. Any thread. */
#ifndef CT_BASE_F16_H
#define CT_BASE_F16_H

#include <stdint.h>
#include <string.h>

static inline float ct_f32_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t ct_f32_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* IEEE binary16 to binary32, exact for every bit pattern (a NaN is made quiet, as hardware
 * does). */
static inline float ct_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 31u;
    uint32_t mantissa = h & 0x3ffu;
    if (exponent == 31)
        return ct_f32_from_bits(sign | 0x7f800000u | (mantissa ? mantissa << 13 | 0x400000u : 0));
    if (exponent == 0) {
        float magnitude = (float)mantissa * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    return ct_f32_from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

/* binary32 to binary16, to nearest even; overflow gives infinity, a NaN stays a (quiet) NaN. */
static inline uint16_t ct_f16_from_f32(float f)
{
    uint32_t x = ct_f32_bits(f);
    uint16_t sign = (uint16_t)((x >> 16) & 0x8000u);
    x &= 0x7fffffffu;
    if (x > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((x >> 13) & 0x3ffu));
    if (x >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00u);
    if (x < 0x38800000u) { /* below 2^-14: adding 1/2 rounds at 2^-24 */
        uint32_t rounded = ct_f32_bits(ct_f32_from_bits(x) + 0.5f);
        return (uint16_t)(sign | (rounded - 0x3f000000u));
    }
    uint32_t rounded = x + 0xfffu + ((x >> 13) & 1u);
    return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

static inline float ct_bf16_to_f32(uint16_t b)
{
    return ct_f32_from_bits((uint32_t)b << 16);
}

#endif
