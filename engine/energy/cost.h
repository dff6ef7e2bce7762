/* What a piece of work cost: the ledger entry that every op, step and request adds to. Any
 * thread. */
#ifndef CT_ENERGY_COST_H
#define CT_ENERGY_COST_H

#include <stdint.h>

enum ct_energy_source {
    CT_ENERGY_MODEL, /* counted work times platforms.def */
    CT_ENERGY_RAPL,  /* read from the processor */
};

/* pj stays 0 until energy.c has filled it in, from a reading or from the counts. */
struct ct_cost {
    uint64_t ns;         /* wall time */
    uint64_t macs_i8;    /* int8 x int8 -> int32 */
    uint64_t macs_f32;   /* float multiply-adds */
    uint64_t bytes_dram; /* weights and KV streamed from memory */
    uint64_t bytes_cache; /* activations, read and written */
    double pj;
};

static inline void ct_cost_add(struct ct_cost *sum, const struct ct_cost *part)
{
    sum->ns += part->ns;
    sum->macs_i8 += part->macs_i8;
    sum->macs_f32 += part->macs_f32;
    sum->bytes_dram += part->bytes_dram;
    sum->bytes_cache += part->bytes_cache;
    sum->pj += part->pj;
}

#endif
