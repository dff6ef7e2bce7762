/* What a piece of work cost: the ledger entry that every op, step and request adds to. Any
 * thread. */
#ifndef CT_ENERGY_COST_H
#define CT_ENERGY_COST_H

#include <stdint.h>

enum ct_energy_source {
    CT_ENERGY_MODEL, /* counted work times platforms.def */
    CT_ENERGY_RAPL,  /* read from the processor */
};

/* What a simulated machine says of the same work; all 0 where there is none, or nobody asked. A part of a
 * batch has its share, hence the fractions. */
enum ct_simulated_part {
    CT_SIMULATED_MAC, /* the array: multiply-accumulates and its registers */
    CT_SIMULATED_SRAM,
    CT_SIMULATED_NORM, /* units that normalise */
    CT_SIMULATED_DRAM,
    CT_SIMULATED_HOST,
    CT_SIMULATED_PARTS
};
static inline const char *ct_simulated_part_name(enum ct_simulated_part part)
{
    static const char *const names[CT_SIMULATED_PARTS] = {
        [CT_SIMULATED_MAC] = "mac",   [CT_SIMULATED_SRAM] = "sram", [CT_SIMULATED_NORM] = "norm",
        [CT_SIMULATED_DRAM] = "dram", [CT_SIMULATED_HOST] = "host",
    };
    return names[part];
}

struct ct_simulated {
    double cycles;      /* of the machine's clock, from begin to end */
    double host_cycles; /* of these, while it waited for its host */
    double macs;
    double full_macs; /* that its array could have done in these cycles */
    double dram_bytes;
    double pj[CT_SIMULATED_PARTS];
};

/* pj stays 0 until energy.c has filled it in, from a reading or from the counts. */
struct ct_cost {
    uint64_t ns;          /* wall time */
    uint64_t macs_i8;     /* int8 x int8 -> int32 */
    uint64_t macs_f32;    /* float multiply-adds */
    uint64_t bytes_dram;  /* weights and KV streamed from memory */
    uint64_t bytes_cache; /* activations, read and written */
    double pj;
    struct ct_simulated simulated;
};

static inline void ct_simulated_add(struct ct_simulated *sum, const struct ct_simulated *part)
{
    sum->cycles += part->cycles;
    sum->host_cycles += part->host_cycles;
    sum->macs += part->macs;
    sum->full_macs += part->full_macs;
    sum->dram_bytes += part->dram_bytes;
    for (int i = 0; i < CT_SIMULATED_PARTS; i++)
        sum->pj[i] += part->pj[i];
}

/* Of the array, over all cycles. */
static inline double ct_simulated_utilisation(const struct ct_simulated *simulated)
{
    return simulated->full_macs > 0 ? simulated->macs / simulated->full_macs : 0;
}

static inline double ct_simulated_pj(const struct ct_simulated *simulated)
{
    double pj = 0;
    for (int i = 0; i < CT_SIMULATED_PARTS; i++)
        pj += simulated->pj[i];
    return pj;
}

static inline void ct_cost_add(struct ct_cost *sum, const struct ct_cost *part)
{
    sum->ns += part->ns;
    sum->macs_i8 += part->macs_i8;
    sum->macs_f32 += part->macs_f32;
    sum->bytes_dram += part->bytes_dram;
    sum->bytes_cache += part->bytes_cache;
    sum->pj += part->pj;
    ct_simulated_add(&sum->simulated, &part->simulated);
}

#endif
