/* The functional machine: what commands do to the scratchpad, the accumulator and main memory, to
 * the bit.
 *
 *           mvin                    preload, compute                   mvout
 *   memory ------> scratchpad ------------------------> accumulator ----------> memory
 *             \----------------------------------------^      (scale, activation, normalisation)
 *
 * isa.c has the commands and their registers, isa_move.c what moves between memory and the machine,
 * isa_compute.c the array. Time does not exist here: a command ends before the next begins, as
 * fences and the reservation station make it look.
 *
 * Where libgemmini and the hardware differ, this follows the hardware (ucb-bar/gemmini@8c3f992),
 * but for two things. With norm.rounding = libgemmini the last bits of softmax and LayerNorm are
 * the functional model's. And the results of an output-stationary chain are written at each
 * compute, not when the array flips: software gives all but the last no address, so that this shows
 * nowhere.
 *
 * A command that cannot be carried out ends the run: an address outside a memory, a block larger
 * than the array, a function that does not exist or is not modelled (LOOP_CONV, pooling, operands
 * read from the accumulator). The message begins "command N (name)", N counted from 0 since the
 * machine was opened. Owner: one thread. */
#ifndef CT_BACKEND_GEMMINI_ISA_H
#define CT_BACKEND_GEMMINI_ISA_H

#include "engine/backend/gemmini/command.h"
#include "engine/backend/gemmini/gem_config.h"

struct ct_gem_machine;

/* A part of main memory; the bytes are the caller's. A row that is moved lies in one segment. */
struct ct_gem_segment {
    uint64_t address;
    size_t n_bytes;
    uint8_t *bytes;
};

/* All memories of the machine zero, as after reset. config and segments [n_segments] are read while
 * the machine is open: both are the caller's. CT_MEMORY, and what ct_gem_config_check says. */
CT_MUST_CHECK enum ct_status ct_gem_machine_open(const struct ct_gem_config *config,
                                                 const struct ct_gem_segment *segments,
                                                 size_t n_segments, struct ct_gem_machine **out,
                                                 struct ct_error *err);
void ct_gem_machine_close(struct ct_gem_machine *machine);

/* Carries out commands [n]. CT_INVALID, CT_UNSUPPORTED: the command that err names was not, or in
 * part. */
CT_MUST_CHECK enum ct_status ct_gem_machine_run(struct ct_gem_machine *machine,
                                                const struct ct_gem_command *commands, size_t n,
                                                struct ct_error *err);

/* Multiply-accumulates so far, those with rows and columns that a block has. */
uint64_t ct_gem_machine_macs(const struct ct_gem_machine *machine);

#endif
