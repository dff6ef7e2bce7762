/* LOOP_WS: the unroller that makes a whole tiled matrix product (or a residual add) out of one
 * command.
 *
 * The host writes bounds, padding, addresses and strides into registers (LOOP_BOUNDS ..
 * LOOP_STRIDES_DC) and starts the loop with LOOP_WS. The hardware has five unrollers which work
 * beside each other, here five classes, and each makes its commands in an order of its own:
 *
 *   LD_A  mvin    A blocks; k outside, i inside    up to 4 blocks (64 bytes) of columns a command
 *   LD_B  mvin2   B blocks; k outside, j inside    the same
 *   LD_D  mvin3   bias;     j outside, i inside    1 block if int32, up to 4 if int8
 *   EX    preload, compute  k, j, i                preload B at i = 0, else keep it
 *   ST_C  mvout   results;  j outside, i inside    1 block if int32, up to 4 if int8
 *
 * Where blocks lie, each in row-major order and 16 rows apart, for the loop's half of both
 * memories:
 *
 *   scratchpad half   | A: i x k blocks ->           <- B: k x j blocks |
 *   accumulator half  | C (and D before): i x j blocks ->               |
 *
 * A residual add has no product: A is loaded into the accumulator and B added to it there.
 *
 * How a functional machine uses it: the regions of A, B and C are apart, so ct_gem_loop_next of one
 * class after the other, in the order of the enum, is a legal order.
 *
 * How a timing model uses it: it holds up to loops_in_flight struct ct_gem_loop, and each cycle
 * offers each class the oldest loop in which the class is not done. ct_gem_loop_is_ready says
 * whether the other classes have come far enough (for EX: the loads of its operands and all of D;
 * for ST_C: the last k of its blocks); full queues and who goes first are the model's own business.
 * ct_gem_loop_peek shows the command, ct_gem_loop_advance takes it. is_padded_b = true gives LD_B's
 * commands as the hardware issues them: it always asks for 16 rows, also past K, which a program's
 * memory need not have. The halves of a loop come from ct_gem_loop_place: the caller keeps one
 * struct ct_gem_loop_turn.
 *
 * From LoopMatmul.scala of ucb-bar/gemmini@8c3f992. Owner: one machine. */
#ifndef CT_BACKEND_GEMMINI_LOOP_H
#define CT_BACKEND_GEMMINI_LOOP_H

#include "engine/backend/gemmini/command.h"
#include "engine/backend/gemmini/gem_config.h"

enum ct_gem_loop_class {
    CT_GEM_LOOP_LD_D,
    CT_GEM_LOOP_LD_A,
    CT_GEM_LOOP_LD_B,
    CT_GEM_LOOP_EX,
    CT_GEM_LOOP_ST_C,
    CT_GEM_LOOP_CLASSES
};

/* What LOOP_BOUNDS .. LOOP_STRIDES_DC have written. Addresses 0: that operand is left out. Strides
 * count elements. */
struct ct_gem_loop_registers {
    unsigned i, j, k;             /* blocks */
    unsigned pad_i, pad_j, pad_k; /* rows and columns that the last block lacks */
    uint64_t a, b, d, c;
    uint64_t a_stride, b_stride, d_stride, c_stride;
};

/* Which half of each memory the next loop gets. The scratchpad's changes with every loop, the
 * accumulator's with those that store. Zeros at reset. */
struct ct_gem_loop_turn {
    unsigned spad, acc;
};

/* Where a class stands: the block that its next command is about. The last four belong to ST_C of a
 * normalisation, which goes row by row: rows in groups of stat_ids, three passes over each. */
struct ct_gem_loop_position {
    unsigned i, j, k;
    bool is_done;
    bool is_second; /* EX: the preload is out; ST_C: config_norm is */
    unsigned row, stat, pass;
};

struct ct_gem_loop {
    struct ct_gem_loop_registers registers;
    bool is_accumulate, is_full_c, is_low_d, is_resadd, a_transpose, b_transpose, is_padded_b;
    enum ct_gem_activation act;
    uint32_t a_row, b_row, c_row;                  /* where A, B and C begin */
    unsigned stat_ids, max_blocks, max_blocks_acc; /* columns of blocks that one command moves */
    struct ct_gem_loop_position at[CT_GEM_LOOP_CLASSES];
};

/* Takes LOOP_BOUNDS .. LOOP_STRIDES_DC; false for every other command. */
bool ct_gem_loop_configure(struct ct_gem_loop_registers *registers,
                           const struct ct_gem_command *command);

/* Begins the loop of command, a LOOP_WS, in the half that turn says, and moves turn on. CT_INVALID:
 * bounds of 0, padding of 16 or more, or blocks that do not fit into a half. */
CT_MUST_CHECK enum ct_status ct_gem_loop_start(const struct ct_gem_config *config,
                                               const struct ct_gem_loop_registers *registers,
                                               const struct ct_gem_command *command,
                                               bool is_padded_b, struct ct_gem_loop_turn *turn,
                                               struct ct_gem_loop *loop, struct ct_error *err);

/* The next command of a class; false when it is done. */
bool ct_gem_loop_peek(const struct ct_gem_loop *loop, enum ct_gem_loop_class which,
                      struct ct_gem_command *command);

/* Moves past the command that ct_gem_loop_peek shows. */
void ct_gem_loop_advance(struct ct_gem_loop *loop, enum ct_gem_loop_class which);

/* Both. */
bool ct_gem_loop_next(struct ct_gem_loop *loop, enum ct_gem_loop_class which,
                      struct ct_gem_command *command);

/* Whether the other classes of this loop let the class go on. */
bool ct_gem_loop_is_ready(const struct ct_gem_loop *loop, enum ct_gem_loop_class which);

/* Whether all five classes are done. */
bool ct_gem_loop_is_done(const struct ct_gem_loop *loop);

#endif
