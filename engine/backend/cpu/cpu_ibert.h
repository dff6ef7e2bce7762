/* The integers of Gemmini's stores, by rows: what an accumulator's row becomes on its way to memory.
 * Numbers are integers that floats hold; int32 wraps around, int8 saturates, halves go to even.
 *
 * Written for itself and held to engine/backend/gemmini by tests (test_gemmini_ibert.c): I-GELU, I-exp and
 * LayerNorm are I-BERT's (Kim et al., 2021), with the roundings of the RTL. Pure; any thread. */
#ifndef CT_BACKEND_CPU_CPU_IBERT_H
#define CT_BACKEND_CPU_CPU_IBERT_H

#include <stdint.h>

/* x [n], sums of products, += bias [n] (NULL: none), then times scale to int8; scale 0: they stay. */
void ct_cpu_store_row(float *x, const float *bias, int64_t n, float scale);

/* GELU of count * in [n], |count * in| < 2^24, in steps of `unit`, times scale to int8; may be in
 * place. */
void ct_cpu_igelu_row(const float *in, int64_t n, int count, float unit, float scale, float *out);

/* (in - mean) / deviation times scale to int8, in [n] below 2^24; may be in place. */
void ct_cpu_layernorm_row(const float *in, int64_t n, float scale, float *out);

/* The softmax of scores [n] in steps of `unit`, 127 for 1; scores are overwritten. */
void ct_cpu_softmax_row(int32_t *scores, int64_t n, float unit, int8_t *out);

/* A number as int8, at most 127 away from 0. */
float ct_cpu_whole_i8(float x);

/* An int32 as a store scales it. */
int8_t ct_cpu_narrow(int32_t sum, float scale);

#endif
