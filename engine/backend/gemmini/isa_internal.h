/* The functional machine's insides, for isa*.c alone. */
#ifndef CT_BACKEND_GEMMINI_ISA_INTERNAL_H
#define CT_BACKEND_GEMMINI_ISA_INTERNAL_H

#include "engine/backend/gemmini/isa.h"
#include "engine/backend/gemmini/loop.h"
#include "engine/backend/gemmini/norm.h"

enum { DIM = CT_GEM_DIM };

/* config_ld, one for each of mvin, mvin2, mvin3. */
struct load_config {
    uint64_t stride_bytes;
    unsigned block_stride; /* rows from one block of 16 columns to the next */
    bool is_narrow;        /* int8 also into the accumulator */
    float scale;
};

/* config_st; its activation and scale are in ct_gem_scaling. */
struct store_config {
    uint32_t stride_bytes;
    bool is_pooled;
};

/* config_ex. */
struct ex_config {
    bool is_ws, a_transpose, b_transpose;
    bool is_relu;
    unsigned shift;
    unsigned a_stride, c_stride; /* rows from one row of A or C to the next */
};

struct ct_gem_machine {
    const struct ct_gem_config *config;
    const struct ct_gem_segment *segments;
    size_t n_segments;

    int8_t (*spad)[DIM]; /* [spad_rows, 16] */
    int32_t (*acc)[DIM]; /* [acc_rows, 16] */
    unsigned spad_rows, acc_rows;
    int8_t weights[DIM][DIM]; /* in the array, weight stationary */
    int32_t sums[DIM][DIM];   /* in the array, output stationary */

    struct load_config load[CT_GEM_LOAD_CONFIGS];
    struct store_config store;
    struct ex_config ex;
    struct ct_gem_scaling scaling;
    struct ct_gem_block preload_bd, preload_c;
    struct ct_gem_stat stats[16]; /* norm.stat_ids of them */
    unsigned stat;
    struct ct_gem_loop_registers loop_registers;
    struct ct_gem_loop_turn loop_turn;

    uint64_t n_commands, n_macs;
};

/* Where a row of n bytes lies in main memory. NULL: not all in one segment, and err says so. */
uint8_t *ct_gem_isa_dram(const struct ct_gem_machine *machine, uint64_t address, size_t n,
                         struct ct_error *err);

/* Whether rows [local.row, local.row + n) lie in the memory that local is of. */
enum ct_status ct_gem_isa_check_rows(const struct ct_gem_machine *machine,
                                     const struct ct_gem_local *local, uint64_t n,
                                     struct ct_error *err);

/* isa_move.c */
enum ct_status ct_gem_isa_mvin(struct ct_gem_machine *machine, const struct load_config *load,
                               const struct ct_gem_command *command, struct ct_error *err);
enum ct_status ct_gem_isa_mvout(struct ct_gem_machine *machine,
                                const struct ct_gem_command *command, struct ct_error *err);

/* isa_compute.c */
enum ct_status ct_gem_isa_compute(struct ct_gem_machine *machine, bool is_preloaded,
                                  const struct ct_gem_command *command, struct ct_error *err);

#endif
