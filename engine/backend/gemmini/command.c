#include "engine/backend/gemmini/command.h"

enum { ANY = CT_GEM_ANY };

const char *const ct_gem_norm_names[CT_GEM_NORM_INV_SUM_EXP + 1] = {
    "", "sum", "mean", "variance", "inv_stddev", "max", "sum_exp", "inv_sum_exp"};

const struct ct_gem_instruction_info ct_gem_instructions[CT_GEM_INSTRUCTIONS] = {
#define CT_GEM_INSTRUCTION(name, mnemonic, funct, type) {mnemonic, funct, type},
#define CT_GEM_FIELD(instruction, name, text, reg, low, bits, kind)
#include "engine/backend/gemmini/instruction.def"
#undef CT_GEM_INSTRUCTION
#undef CT_GEM_FIELD
};

const struct ct_gem_field ct_gem_fields[CT_GEM_FIELDS] = {
#define CT_GEM_INSTRUCTION(name, mnemonic, funct, type)
#define CT_GEM_FIELD(instruction, name, text, reg, low, bits, kind)                                \
    {CT_GEM_##instruction, text, reg, low, bits, CT_GEM_FIELD_##kind},
#include "engine/backend/gemmini/instruction.def"
#undef CT_GEM_INSTRUCTION
#undef CT_GEM_FIELD
};

enum ct_gem_instruction ct_gem_command_instruction(const struct ct_gem_command *command)
{
    for (int i = 0; i < CT_GEM_INSTRUCTIONS; i++)
        if (ct_gem_instructions[i].funct == command->funct &&
            (ct_gem_instructions[i].type == ANY ||
             ct_gem_instructions[i].type == (int)(command->rs1 & 3)))
            return (enum ct_gem_instruction)i;
    return CT_GEM_UNKNOWN;
}

const enum ct_gem_norm ct_gem_norm_steps[2][CT_GEM_NORM_PASSES][2] = {
    {{CT_GEM_NORM_SUM, CT_GEM_NORM_MEAN},
     {CT_GEM_NORM_VARIANCE, CT_GEM_NORM_INV_STDDEV},
     {CT_GEM_NORM_RESET, CT_GEM_NORM_RESET}},
    {{CT_GEM_NORM_MAX, CT_GEM_NORM_MAX},
     {CT_GEM_NORM_SUM_EXP, CT_GEM_NORM_INV_SUM_EXP},
     {CT_GEM_NORM_RESET, CT_GEM_NORM_RESET}},
};
