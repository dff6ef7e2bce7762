/* A command of the accelerator, as the host sends it: a function and two 64-bit registers.
 *
 * instruction.def lists what there is and where in the registers each field lies; everything that
 * reads commands (the functional machine, the timing model, the text form) goes through this list:
 * ct_gem_command_instruction says which one a command is, CT_GEM_GET takes a field out.
 *
 * A local address is a row of the scratchpad or of the accumulator (bits from the top):
 *
 *   31 accumulator | 30 add to what is there | 29 all 32 bits | 28..26 normalisation step | 25..0 row
 *
 * and all ones is no address: nothing is read (zeros) or written. Pure functions; any thread. */
#ifndef CT_BACKEND_GEMMINI_COMMAND_H
#define CT_BACKEND_GEMMINI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CT_GEM_DIM = 16,           /* rows and columns of the array; bytes of a scratchpad row */
    CT_GEM_ACC_ROW_BYTES = 64, /* 16 int32 */
    CT_GEM_ANY = -1,           /* instruction.def */
    CT_GEM_LOAD_CONFIGS = 3,   /* mvin, mvin2 and mvin3 have a config_ld each */
};

struct ct_gem_command {
    uint8_t funct;
    uint64_t rs1, rs2;
};

enum ct_gem_instruction {
    CT_GEM_UNKNOWN = -1,
#define CT_GEM_INSTRUCTION(name, mnemonic, funct, type) CT_GEM_##name,
#define CT_GEM_FIELD(instruction, name, text, reg, low, bits, kind)
#include "engine/backend/gemmini/instruction.def"
#undef CT_GEM_INSTRUCTION
#undef CT_GEM_FIELD
    CT_GEM_INSTRUCTIONS
};

/* CT_GEM_MVIN_FUNCT and so on; a command is {CT_GEM_MVIN_FUNCT, rs1, rs2}. */
enum {
#define CT_GEM_INSTRUCTION(name, mnemonic, funct, type) CT_GEM_##name##_FUNCT = funct,
#define CT_GEM_FIELD(instruction, name, text, reg, low, bits, kind)
#include "engine/backend/gemmini/instruction.def"
#undef CT_GEM_INSTRUCTION
#undef CT_GEM_FIELD
};

/* Where a field lies: CT_GEM_MVIN_DRAM_REGISTER, _LOW, _BITS. */
enum {
#define CT_GEM_INSTRUCTION(name, mnemonic, funct, type)
#define CT_GEM_FIELD(instruction, name, text, reg, low, bits, kind)                                \
    CT_GEM_##instruction##_##name##_REGISTER = reg, CT_GEM_##instruction##_##name##_LOW = low,     \
    CT_GEM_##instruction##_##name##_BITS = bits,
#include "engine/backend/gemmini/instruction.def"
#undef CT_GEM_INSTRUCTION
#undef CT_GEM_FIELD
};

static inline uint64_t ct_gem_bits(uint64_t value, int low, int bits)
{
    return value >> low & ~UINT64_C(0) >> (64 - bits);
}

/* A field of struct ct_gem_command: CT_GEM_GET(command, CONFIG_ST, STRIDE), and its place in a
 * register for building one: CT_GEM_PUT(CONFIG_ST, STRIDE, 64). */
#define CT_GEM_GET(command, instruction, field)                                                    \
    ct_gem_bits(CT_GEM_##instruction##_##field##_REGISTER == 1 ? (command).rs1 : (command).rs2,    \
                CT_GEM_##instruction##_##field##_LOW, CT_GEM_##instruction##_##field##_BITS)
#define CT_GEM_PUT(instruction, field, value)                                                      \
    (ct_gem_bits((uint64_t)(value), 0, CT_GEM_##instruction##_##field##_BITS)                      \
     << CT_GEM_##instruction##_##field##_LOW)

/* Steps of a normalisation, as mvout's local address has them. All but RESET write nothing. */
enum ct_gem_norm {
    CT_GEM_NORM_RESET,
    CT_GEM_NORM_SUM,
    CT_GEM_NORM_MEAN,
    CT_GEM_NORM_VARIANCE,
    CT_GEM_NORM_INV_STDDEV,
    CT_GEM_NORM_MAX,
    CT_GEM_NORM_SUM_EXP,
    CT_GEM_NORM_INV_SUM_EXP,
};

/* The steps of a row's passes, [softmax, not LayerNorm][pass][last block of the row]. */
enum { CT_GEM_NORM_PASSES = 3 };
extern const enum ct_gem_norm ct_gem_norm_steps[2][CT_GEM_NORM_PASSES][2];

/* "", "sum", "mean" and so on. */
extern const char *const ct_gem_norm_names[CT_GEM_NORM_INV_SUM_EXP + 1];

enum ct_gem_activation {
    CT_GEM_ACT_NONE,
    CT_GEM_ACT_RELU,
    CT_GEM_ACT_LAYERNORM,
    CT_GEM_ACT_IGELU,
    CT_GEM_ACT_SOFTMAX,
};

#define CT_GEM_LOCAL_NONE        UINT32_MAX
#define CT_GEM_LOCAL_ACCUMULATOR (UINT32_C(1) << 31)
#define CT_GEM_LOCAL_ADD         (UINT32_C(1) << 30)
#define CT_GEM_LOCAL_FULL        (UINT32_C(1) << 29)
#define CT_GEM_LOCAL_NORM_SHIFT  26

/* A local address taken apart. */
struct ct_gem_local {
    uint32_t row;
    bool is_none, is_accumulator, is_add, is_full;
    enum ct_gem_norm norm;
};

/* A block of the scratchpad or the accumulator, as half a register pair names it. */
struct ct_gem_block {
    struct ct_gem_local local;
    unsigned rows, cols;
};

static inline struct ct_gem_local ct_gem_local_decode(uint32_t address)
{
    return (struct ct_gem_local){
        .row = address & ((UINT32_C(1) << CT_GEM_LOCAL_NORM_SHIFT) - 1),
        .is_none = address == CT_GEM_LOCAL_NONE,
        .is_accumulator = (address & CT_GEM_LOCAL_ACCUMULATOR) != 0,
        .is_add = (address & CT_GEM_LOCAL_ADD) != 0,
        .is_full = (address & CT_GEM_LOCAL_FULL) != 0,
        .norm = (enum ct_gem_norm)ct_gem_bits(address, CT_GEM_LOCAL_NORM_SHIFT, 3),
    };
}

/* rs2 of mvin and mvout, both registers of preload and compute: rows | cols | local address. */
static inline struct ct_gem_block ct_gem_block_decode(uint64_t reg)
{
    return (struct ct_gem_block){
        .local = ct_gem_local_decode((uint32_t)reg),
        .cols = (unsigned)ct_gem_bits(reg, 32, 16),
        .rows = (unsigned)ct_gem_bits(reg, 48, 16),
    };
}

static inline uint64_t ct_gem_block_encode(uint32_t local, unsigned rows, unsigned cols)
{
    return (uint64_t)rows << 48 | (uint64_t)cols << 32 | local;
}

/* Which of the list a command is; CT_GEM_UNKNOWN for others (LOOP_CONV among them). */
enum ct_gem_instruction ct_gem_command_instruction(const struct ct_gem_command *command);

/* The list as tables: what the text form is made of. An instruction's fields are neighbours. */
enum ct_gem_field_kind {
    CT_GEM_FIELD_DECIMAL,
    CT_GEM_FIELD_HEX,
    CT_GEM_FIELD_SCALE,
    CT_GEM_FIELD_LOCAL,
};
struct ct_gem_field {
    enum ct_gem_instruction instruction;
    const char *name;
    int reg, low, bits;
    enum ct_gem_field_kind kind;
};
struct ct_gem_instruction_info {
    const char *mnemonic;
    int funct, type; /* type: rs1[1:0], or CT_GEM_ANY */
};
enum {
#define CT_GEM_INSTRUCTION(name, mnemonic, funct, type)
#define CT_GEM_FIELD(instruction, name, text, reg, low, bits, kind)                                \
    CT_GEM_FIELD_##instruction##_##name,
#include "engine/backend/gemmini/instruction.def"
#undef CT_GEM_INSTRUCTION
#undef CT_GEM_FIELD
    CT_GEM_FIELDS
};
extern const struct ct_gem_instruction_info ct_gem_instructions[CT_GEM_INSTRUCTIONS];
extern const struct ct_gem_field ct_gem_fields[CT_GEM_FIELDS];

#endif
