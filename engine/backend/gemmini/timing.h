/* How long a program takes, to the cycle or nearly, without computing anything.
 *
 * The model follows the mechanisms of the hardware: what waits for what, for how long, and how much of
 * each there is. It goes from event to event, never cycle by cycle, and skips repetitions of what it has
 * seen; a layer of BERT-base at 512 tokens is a matter of a tenth of a second.
 *
 *   host -> front end -> reservation station -> load controller    -> reads -> memory
 *           (LOOP_WS     ld 8, st 4, ex 16   -> execute controller -> array
 *           unrolled)                        -> store controller   -> normaliser, scaler -> writes
 *
 * timing.c has the front end, the reservation station and the order of events, timing_load.c,
 * timing_execute.c and timing_store.c the three controllers with what lies behind them, timing_repeat.c
 * the skipping. Accuracy against the hardware and what is left out: docs/gemmini.md.
 *
 * From ucb-bar/gemmini@8c3f992 (ReservationStation, LoopMatmul, LoadController, DMA, Scratchpad,
 * ExecuteController, StoreController, Normalizer); constants that follow from no single register there
 * are lone latencies measured on it in Verilator. Pure functions; any thread. */
#ifndef CT_BACKEND_GEMMINI_TIMING_H
#define CT_BACKEND_GEMMINI_TIMING_H

#include "engine/backend/gemmini/command.h"
#include "engine/backend/gemmini/gem_config.h"

#include <stdint.h>

enum ct_gem_unit { CT_GEM_UNIT_LOAD, CT_GEM_UNIT_EXECUTE, CT_GEM_UNIT_STORE, CT_GEM_UNITS };

/* What a program took. Requests and bytes are those on the bus: a read counts all bytes of its aligned
 * request, a write those that it changes. A row is 16 values. */
struct ct_gem_timing {
    uint64_t cycles; /* from the first command until everything is idle */
    uint64_t busy_cycles[CT_GEM_UNITS];
    uint64_t read_requests, read_bytes, write_requests, write_bytes;
    uint64_t macs;
    uint64_t spad_rows_read, spad_rows_written, acc_rows_read, acc_rows_written;
    uint64_t norm_lanes; /* values through the normaliser */
    uint64_t host_instructions, tlb_misses;
    double utilisation; /* macs of those that the array could have done */
};

/* CT_INVALID, CT_UNSUPPORTED: a command that the functional machine (isa.h) would not carry out, named
 * as it names it; what config says against itself. CT_MEMORY. Addresses of main memory are not checked,
 * for there is none. On errors report holds what happened so far. */
CT_MUST_CHECK enum ct_status ct_gem_time(const struct ct_gem_config *config,
                                         const struct ct_gem_command *commands, size_t n_commands,
                                         struct ct_gem_timing *report, struct ct_error *err);

/* A unit worked on the program's command from cycle start until cycle end. */
typedef void ct_gem_interval_fn(void *context, enum ct_gem_unit unit, uint64_t start, uint64_t end,
                                size_t command);

/* The same with every interval told, which takes longer: nothing is skipped. */
CT_MUST_CHECK enum ct_status ct_gem_timeline(const struct ct_gem_config *config,
                                             const struct ct_gem_command *commands,
                                             size_t n_commands, ct_gem_interval_fn *each,
                                             void *context, struct ct_gem_timing *report,
                                             struct ct_error *err);

#endif
