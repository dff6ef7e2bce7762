/* What the kinds of programs have in common, for gem_mapping*.c alone. */
#ifndef CT_BACKEND_GEMMINI_GEM_MAPPING_INTERNAL_H
#define CT_BACKEND_GEMMINI_GEM_MAPPING_INTERNAL_H

#include "engine/backend/gemmini/arith.h"
#include "engine/backend/gemmini/gem_mapping.h"

enum { DIM = CT_GEM_DIM };

/* Where commands go. */
struct emitter {
    ct_gem_sink_fn *sink;
    void *context;
};

/* The operands of LOOP_WS: counts in blocks, addresses 0 where there is nothing to load or store. */
struct loop_operands {
    size_t i, j, k, pad_i, pad_j, pad_k;
    struct ct_gem_matrix a, b, d, c;
};

static inline size_t blocks_of(size_t n)
{
    return (n + DIM - 1) / DIM;
}

/* Blocks of 16 columns that a load or a store moves at once. */
static inline size_t max_blocks(const struct ct_gem_config *config, size_t element_bytes)
{
    const size_t n = (size_t)config->dma_max_bytes / (DIM * element_bytes);
    return n > 0 ? n : 1;
}

static inline void emit(const struct emitter *emitter, int funct, uint64_t rs1, uint64_t rs2)
{
    const struct ct_gem_command command = {(uint8_t)funct, rs1, rs2};
    emitter->sink(emitter->context, &command);
}

void emit_config_ex(const struct emitter *emitter, const struct ct_gem_matmul *op);
void emit_config_ld(const struct emitter *emitter, unsigned id, uint64_t stride_bytes, float scale,
                    bool is_narrow);
void emit_config_st(const struct emitter *emitter, uint64_t stride_bytes,
                    enum ct_gem_activation act, float scale);
/* The constants of I-GELU or softmax; nothing for others. */
void emit_config_norm(const struct emitter *emitter, enum ct_gem_activation act, float act_scale);
void emit_loop(const struct emitter *emitter, const struct loop_operands *operands, uint64_t rs1,
               uint64_t rs2);

#endif
