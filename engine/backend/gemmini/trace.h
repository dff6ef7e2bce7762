/* Programs as text: one command a line, and the memory that it runs over.
 *
 *     # residual add of two rows
 *     .fill at=0x80000000 type=i8 n=128 seed=66 low=-128 high=127
 *     config_ld shrink=1 block_stride=16 scale=1 stride=64
 *     config_st stride=64 acc_scale=1
 *     mvin dram=0x80000000 local=acc+0 cols=64 rows=1
 *     mvin dram=0x80000040 local=acc+0,add cols=64 rows=1
 *     mvout dram=0x80000100 local=acc+0 cols=64 rows=1
 *     .print at=0x80000100 type=i8 rows=1 cols=64
 *
 * A command is its name and its fields (instruction.def) in any order; fields left out are 0. A
 * local address is none, spad+ROW or acc+ROW with ",add", ",full" or the step of a normalisation
 * (",mean"), or a number. A scale is a decimal number or, from "0x", the bits of a float. What no
 * such line can say (bits that belong to no field, functions that are not in the list) is written
 * "raw FUNCT RS1 RS2".
 *
 * What a command is written as, reads back as the same command. Any thread. */
#ifndef CT_BACKEND_GEMMINI_TRACE_H
#define CT_BACKEND_GEMMINI_TRACE_H

#include "engine/backend/gemmini/command.h"
#include "engine/backend/gemmini/isa.h"

#include <stdio.h>

/* .fill: n elements of 1 or 4 bytes from address on; element i is low + splitmix64(seed + i) mod
 * (high - low + 1), little-endian. */
struct ct_gem_fill {
    uint64_t address, n, seed;
    int element_bytes;
    int64_t low, high; /* int32 */
};

/* .print: a matrix, of one row and column at least, to look at when the program has ended. */
struct ct_gem_print {
    uint64_t address, rows, cols, stride_bytes;
    int element_bytes;
};

struct ct_gem_trace {
    struct ct_gem_command *commands;
    struct ct_gem_fill *fills;
    struct ct_gem_print *prints;
    size_t n_commands, n_fills, n_prints;
};

enum { CT_GEM_TRACE_MAX_BYTES = 1 << 30 };

/* Reads text [n_bytes] of the file that messages call name. CT_INVALID names the line, CT_MEMORY.
 * *trace is to be deinited when it worked. */
CT_MUST_CHECK enum ct_status ct_gem_trace_read(const char *name, const char *text, size_t n_bytes,
                                               struct ct_gem_trace *trace, struct ct_error *err);
void ct_gem_trace_deinit(struct ct_gem_trace *trace);

/* Writes what ct_gem_trace_read reads. */
void ct_gem_trace_write(const struct ct_gem_trace *trace, FILE *file);

/* One command as a line without its end. */
void ct_gem_command_write(const struct ct_gem_command *command, FILE *file);

/* The memory of a trace as its program begins: one block from the lowest address that it fills or
 * prints to the highest, zero between; its bytes are to be freed. CT_TOO_LARGE past
 * CT_GEM_TRACE_MAX_BYTES, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_gem_trace_memory(const struct ct_gem_trace *trace,
                                                 struct ct_gem_segment *memory,
                                                 struct ct_error *err);

/* What memory holds of a matrix, a line for each of its rows. */
void ct_gem_print_write(const struct ct_gem_print *print, const struct ct_gem_segment *memory,
                        FILE *file);

#endif
