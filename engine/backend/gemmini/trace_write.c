/* The text form's writer: the disassembler. */
#include "engine/backend/gemmini/arith.h"
#include "engine/backend/gemmini/trace.h"

#include <inttypes.h>
#include <stdlib.h>

static void write_local(uint32_t address, FILE *file)
{
    const struct ct_gem_local local = ct_gem_local_decode(address);
    if (local.is_none)
        fputs("none", file);
    else if (local.is_accumulator)
        fprintf(file, "acc+%" PRIu32 "%s%s%s%s", local.row, local.is_add ? ",add" : "",
                local.is_full ? ",full" : "", local.norm != CT_GEM_NORM_RESET ? "," : "",
                ct_gem_norm_names[local.norm]);
    else if (address == local.row)
        fprintf(file, "spad+%" PRIu32, local.row);
    else
        fprintf(file, "0x%" PRIx32, address);
}

/* The shortest decimal number that has these bits; the bits of what is no number. */
static void write_scale(uint32_t bits, FILE *file)
{
    char text[32];
    for (int digits = 6; digits <= 9 && isfinite(ct_gem_float(bits)); digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)ct_gem_float(bits));
        const float back = strtof(text, NULL);
        uint32_t back_bits;
        memcpy(&back_bits, &back, sizeof back_bits);
        if (back_bits == bits) {
            fputs(text, file);
            return;
        }
    }
    fprintf(file, "0x%" PRIx32, bits);
}

static uint64_t take(const struct ct_gem_field *field, const struct ct_gem_command *command)
{
    return ct_gem_bits(field->reg == 1 ? command->rs1 : command->rs2, field->low, field->bits);
}

/* Whether the fields of the instruction hold every bit that the command has set. */
static bool is_whole(enum ct_gem_instruction instruction, const struct ct_gem_command *command)
{
    struct ct_gem_command rest = *command;
    if (ct_gem_instructions[instruction].type != CT_GEM_ANY)
        rest.rs1 &= ~UINT64_C(3);
    for (int f = 0; f < CT_GEM_FIELDS; f++) {
        const struct ct_gem_field *field = &ct_gem_fields[f];
        if (field->instruction != instruction)
            continue;
        *(field->reg == 1 ? &rest.rs1 : &rest.rs2) &= ~(take(field, command) << field->low);
    }
    return rest.rs1 == 0 && rest.rs2 == 0;
}

void ct_gem_command_write(const struct ct_gem_command *command, FILE *file)
{
    const enum ct_gem_instruction instruction = ct_gem_command_instruction(command);
    if (instruction == CT_GEM_UNKNOWN || !is_whole(instruction, command)) {
        fprintf(file, "raw %u 0x%" PRIx64 " 0x%" PRIx64, command->funct, command->rs1,
                command->rs2);
        return;
    }
    fputs(ct_gem_instructions[instruction].mnemonic, file);
    for (int f = 0; f < CT_GEM_FIELDS; f++) {
        const struct ct_gem_field *field = &ct_gem_fields[f];
        const uint64_t value = field->instruction == instruction ? take(field, command) : 0;
        if (field->instruction != instruction || (value == 0 && field->kind != CT_GEM_FIELD_LOCAL))
            continue;
        fprintf(file, " %s=", field->name);
        if (field->kind == CT_GEM_FIELD_LOCAL)
            write_local((uint32_t)value, file);
        else if (field->kind == CT_GEM_FIELD_SCALE)
            write_scale((uint32_t)value, file);
        else
            fprintf(file, field->kind == CT_GEM_FIELD_HEX ? "0x%" PRIx64 : "%" PRIu64, value);
    }
}

void ct_gem_trace_write(const struct ct_gem_trace *trace, FILE *file)
{
    for (size_t i = 0; i < trace->n_fills; i++) {
        const struct ct_gem_fill *f = &trace->fills[i];
        fprintf(file,
                ".fill at=0x%" PRIx64 " type=i%d n=%" PRIu64 " seed=%" PRIu64 " low=%" PRId64
                " high=%" PRId64 "\n",
                f->address, 8 * f->element_bytes, f->n, f->seed, f->low, f->high);
    }
    for (size_t i = 0; i < trace->n_commands; i++) {
        ct_gem_command_write(&trace->commands[i], file);
        fputc('\n', file);
    }
    for (size_t i = 0; i < trace->n_prints; i++) {
        const struct ct_gem_print *p = &trace->prints[i];
        fprintf(file,
                ".print at=0x%" PRIx64 " type=i%d rows=%" PRIu64 " cols=%" PRIu64 " stride=%" PRIu64
                "\n",
                p->address, 8 * p->element_bytes, p->rows, p->cols, p->stride_bytes);
    }
}

void ct_gem_print_write(const struct ct_gem_print *print, const struct ct_gem_segment *memory,
                        FILE *file)
{
    fprintf(file, "# 0x%" PRIx64 ", %" PRIu64 " x %" PRIu64 " i%d\n", print->address, print->rows,
            print->cols, 8 * print->element_bytes);
    for (uint64_t row = 0; row < print->rows; row++) {
        const uint8_t *at =
            memory->bytes + (print->address - memory->address) + row * print->stride_bytes;
        for (uint64_t col = 0; col < print->cols; col++, at += print->element_bytes) {
            uint32_t value = 0;
            for (int byte = 0; byte < print->element_bytes; byte++)
                value |= (uint32_t)at[byte] << (8 * byte);
            fprintf(file, "%s%" PRId32, col > 0 ? " " : "",
                    print->element_bytes == 1 ? (int8_t)value : (int32_t)value);
        }
        fputc('\n', file);
    }
}
