#include "engine/backend/gemmini/isa_internal.h"

#include <assert.h>
#include <stdlib.h>

static_assert(sizeof((struct ct_gem_machine){0}.stats) / sizeof(struct ct_gem_stat) == 16,
              "norm.stat_ids is up to 16");

enum ct_status ct_gem_machine_open(const struct ct_gem_config *config,
                                   const struct ct_gem_segment *segments, size_t n_segments,
                                   struct ct_gem_machine **out, struct ct_error *err)
{
    *out = NULL;
    enum ct_status status = ct_gem_config_check(config, err);
    if (status != CT_OK)
        return status;
    struct ct_gem_machine *machine = calloc(1, sizeof *machine);
    if (machine == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the machine");
    machine->config = config;
    machine->segments = segments;
    machine->n_segments = n_segments;
    machine->spad_rows = ct_gem_config_spad_rows(config);
    machine->acc_rows = ct_gem_config_acc_rows(config);
    machine->spad = calloc(machine->spad_rows, sizeof *machine->spad);
    machine->acc = calloc(machine->acc_rows, sizeof *machine->acc);
    machine->scaling.rounding = (enum ct_gem_rounding)config->norm_rounding;
    machine->scaling.iexp.is_masked = config->norm_rounding == CT_GEM_ROUND_TWICE;
    for (int i = 0; i < config->norm_stat_ids; i++)
        machine->stats[i].is_fresh = true;
    if (machine->spad == NULL || machine->acc == NULL) {
        ct_gem_machine_close(machine);
        return ct_error_set(err, CT_MEMORY, "no memory for %d + %d KiB of the machine",
                            config->spad_kb, config->acc_kb);
    }
    *out = machine;
    return CT_OK;
}

void ct_gem_machine_close(struct ct_gem_machine *machine)
{
    if (machine == NULL)
        return;
    free(machine->spad);
    free(machine->acc);
    free(machine);
}

uint64_t ct_gem_machine_macs(const struct ct_gem_machine *machine)
{
    return machine->n_macs;
}

uint8_t *ct_gem_isa_dram(const struct ct_gem_machine *machine, uint64_t address, size_t n,
                         struct ct_error *err)
{
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t i = 0; i < machine->n_segments; i++) {
        const struct ct_gem_segment *segment = &machine->segments[i];
        const uint64_t offset = address - segment->address;
        if (address >= segment->address && offset <= segment->n_bytes &&
            n <= segment->n_bytes - offset)
            return segment->bytes + offset;
        low = segment->address < low ? segment->address : low;
        high =
            segment->address + segment->n_bytes > high ? segment->address + segment->n_bytes : high;
    }
    if (machine->n_segments == 0)
        ct_error_set(err, CT_INVALID, "%zu bytes at 0x%llx, but there is no memory", n,
                     (unsigned long long)address);
    else
        ct_error_set(err, CT_INVALID, "%zu bytes at 0x%llx are outside memory, 0x%llx to 0x%llx", n,
                     (unsigned long long)address, (unsigned long long)low,
                     (unsigned long long)high);
    return NULL;
}

enum ct_status ct_gem_isa_check_rows(const struct ct_gem_machine *machine,
                                     const struct ct_gem_local *local, uint64_t n,
                                     struct ct_error *err)
{
    const unsigned limit = local->is_accumulator ? machine->acc_rows : machine->spad_rows;
    if (local->row + n <= limit)
        return CT_OK;
    return ct_error_set(err, CT_INVALID, "rows %u to %llu of the %s, which has %u", local->row,
                        (unsigned long long)(local->row + n - 1),
                        local->is_accumulator ? "accumulator" : "scratchpad", limit);
}

static enum ct_status config_ex(struct ct_gem_machine *machine,
                                const struct ct_gem_command *command, struct ct_error *err)
{
    const struct ct_gem_command c = *command;
    const struct ex_config ex = {
        .is_ws = CT_GEM_GET(c, CONFIG_EX, WS),
        .a_transpose = CT_GEM_GET(c, CONFIG_EX, A_TRANSPOSE),
        .b_transpose = CT_GEM_GET(c, CONFIG_EX, B_TRANSPOSE),
        .is_relu = CT_GEM_GET(c, CONFIG_EX, ACT) == CT_GEM_ACT_RELU,
        .shift = (unsigned)CT_GEM_GET(c, CONFIG_EX, SHIFT),
        .a_stride = (unsigned)CT_GEM_GET(c, CONFIG_EX, A_STRIDE),
        .c_stride = (unsigned)CT_GEM_GET(c, CONFIG_EX, C_STRIDE),
    };
    if (CT_GEM_GET(c, CONFIG_EX, ONLY_STRIDES)) {
        machine->ex.a_stride = ex.a_stride;
        machine->ex.c_stride = ex.c_stride;
        return CT_OK;
    }
    if (machine->config->array_dataflow == (ex.is_ws ? CT_GEM_DATAFLOW_OS : CT_GEM_DATAFLOW_WS))
        return ct_error_set(err, CT_UNSUPPORTED, "this array is not %s stationary",
                            ex.is_ws ? "weight" : "output");
    if (ex.shift > 31)
        return ct_error_set(err, CT_INVALID, "shift %u of at most 31", ex.shift);
    if (ex.is_ws ? ex.a_transpose && ex.b_transpose : !ex.a_transpose && ex.b_transpose)
        return ct_error_set(err, CT_INVALID, "%s",
                            ex.is_ws ? "both A and B transposed, weight stationary"
                                     : "B but not A transposed, output stationary");
    machine->ex = ex;
    return CT_OK;
}

static enum ct_status config_ld(struct ct_gem_machine *machine,
                                const struct ct_gem_command *command, struct ct_error *err)
{
    const struct ct_gem_command c = *command;
    const unsigned id = (unsigned)CT_GEM_GET(c, CONFIG_LD, ID);
    const unsigned pixels = (unsigned)CT_GEM_GET(c, CONFIG_LD, PIXELS);
    if (id >= CT_GEM_LOAD_CONFIGS)
        return ct_error_set(err, CT_INVALID, "id %u of at most %d", id, CT_GEM_LOAD_CONFIGS - 1);
    if (pixels > 1)
        return ct_error_set(err, CT_UNSUPPORTED, "%u pixels in a row: only 1 is modelled", pixels);
    machine->load[id] = (struct load_config){
        .stride_bytes = CT_GEM_GET(c, CONFIG_LD, STRIDE),
        .block_stride = (unsigned)CT_GEM_GET(c, CONFIG_LD, BLOCK_STRIDE),
        .is_narrow = CT_GEM_GET(c, CONFIG_LD, SHRINK),
        .scale = ct_gem_float((uint32_t)CT_GEM_GET(c, CONFIG_LD, SCALE)),
    };
    return CT_OK;
}

static void config_st(struct ct_gem_machine *machine, const struct ct_gem_command *command)
{
    const struct ct_gem_command c = *command;
    machine->store.stride_bytes = (uint32_t)CT_GEM_GET(c, CONFIG_ST, STRIDE);
    machine->store.is_pooled = CT_GEM_GET(c, CONFIG_ST, POOL_STRIDE) != 0;
    machine->scaling.act = (enum ct_gem_activation)CT_GEM_GET(c, CONFIG_ST, ACT);
    machine->scaling.scale = ct_gem_float((uint32_t)CT_GEM_GET(c, CONFIG_ST, ACC_SCALE));
}

static enum ct_status config_norm(struct ct_gem_machine *machine,
                                  const struct ct_gem_command *command, struct ct_error *err)
{
    const struct ct_gem_command c = *command;
    const unsigned stat = (unsigned)CT_GEM_GET(c, CONFIG_NORM, STAT);
    struct ct_gem_scaling *scaling = &machine->scaling;
    if (stat >= (unsigned)machine->config->norm_stat_ids)
        return ct_error_set(err, CT_INVALID, "statistics %u of at most %d", stat,
                            machine->config->norm_stat_ids - 1);
    machine->stat = stat;
    if (CT_GEM_GET(c, CONFIG_NORM, ONLY_STAT))
        return CT_OK;
    /* The activation's third bit is here, the other two in config_st. */
    const unsigned act = (unsigned)scaling->act & 3;
    if (CT_GEM_GET(c, CONFIG_NORM, SOFTMAX) && act != CT_GEM_ACT_NONE)
        return ct_error_set(err, CT_INVALID, "softmax beside activation %u of config_st", act);
    scaling->act =
        CT_GEM_GET(c, CONFIG_NORM, SOFTMAX) ? CT_GEM_ACT_SOFTMAX : (enum ct_gem_activation)act;
    scaling->igelu_qb = scaling->iexp.qb = (int32_t)CT_GEM_GET(c, CONFIG_NORM, QB);
    scaling->igelu_qc = scaling->iexp.qc = (int32_t)CT_GEM_GET(c, CONFIG_NORM, QC);
    if (CT_GEM_GET(c, CONFIG_NORM, IS_INVERSE))
        scaling->iexp.ln2_inverse = (int32_t)CT_GEM_GET(c, CONFIG_NORM, LN2);
    else
        scaling->iexp.ln2 = (int32_t)CT_GEM_GET(c, CONFIG_NORM, LN2);
    return CT_OK;
}

static enum ct_status step(struct ct_gem_machine *machine, const struct ct_gem_command *command,
                           struct ct_error *err);

/* The classes of the loop in the order of loop.h, each command a step of its own. */
static enum ct_status loop_ws(struct ct_gem_machine *machine, const struct ct_gem_command *command,
                              struct ct_error *err)
{
    struct ct_gem_loop loop;
    struct ct_gem_command next;
    enum ct_status status = ct_gem_loop_start(machine->config, &machine->loop_registers, command,
                                              false, &machine->loop_turn, &loop, err);
    if (status == CT_OK && !loop.is_resadd && !machine->ex.is_ws)
        status = ct_error_set(err, CT_INVALID, "config_ex chose the output stationary dataflow");
    for (int which = 0; which < CT_GEM_LOOP_CLASSES; which++)
        while (status == CT_OK && ct_gem_loop_next(&loop, (enum ct_gem_loop_class)which, &next))
            if ((status = step(machine, &next, err)) != CT_OK)
                ct_error_prefix(err, "its %s",
                                ct_gem_instructions[ct_gem_command_instruction(&next)].mnemonic);
    return status;
}

static enum ct_status step(struct ct_gem_machine *machine, const struct ct_gem_command *command,
                           struct ct_error *err)
{
    switch (ct_gem_command_instruction(command)) {
    case CT_GEM_CONFIG_EX:
        return config_ex(machine, command, err);
    case CT_GEM_CONFIG_LD:
        return config_ld(machine, command, err);
    case CT_GEM_CONFIG_ST:
        config_st(machine, command);
        return CT_OK;
    case CT_GEM_CONFIG_NORM:
        return config_norm(machine, command, err);
    case CT_GEM_MVIN:
        return ct_gem_isa_mvin(machine, &machine->load[0], command, err);
    case CT_GEM_MVIN2:
        return ct_gem_isa_mvin(machine, &machine->load[1], command, err);
    case CT_GEM_MVIN3:
        return ct_gem_isa_mvin(machine, &machine->load[2], command, err);
    case CT_GEM_MVOUT:
        return ct_gem_isa_mvout(machine, command, err);
    case CT_GEM_PRELOAD:
        machine->preload_bd = ct_gem_block_decode(command->rs1);
        machine->preload_c = ct_gem_block_decode(command->rs2);
        return CT_OK;
    case CT_GEM_COMPUTE_PRELOADED:
        return ct_gem_isa_compute(machine, true, command, err);
    case CT_GEM_COMPUTE_ACCUMULATED:
        return ct_gem_isa_compute(machine, false, command, err);
    case CT_GEM_LOOP_WS:
        return loop_ws(machine, command, err);
    case CT_GEM_LOOP_BOUNDS:
    case CT_GEM_LOOP_ADDRS_AB:
    case CT_GEM_LOOP_ADDRS_DC:
    case CT_GEM_LOOP_STRIDES_AB:
    case CT_GEM_LOOP_STRIDES_DC:
        ct_gem_loop_configure(&machine->loop_registers, command);
        return CT_OK;
    case CT_GEM_FLUSH: /* translations, of which there are none */
    case CT_GEM_COUNTER:
    case CT_GEM_FENCE:
        return CT_OK;
    case CT_GEM_UNKNOWN:
    case CT_GEM_INSTRUCTIONS:
        break;
    }
    return ct_error_set(err, CT_UNSUPPORTED, "no instruction that is modelled");
}

enum ct_status ct_gem_machine_run(struct ct_gem_machine *machine,
                                  const struct ct_gem_command *commands, size_t n,
                                  struct ct_error *err)
{
    for (size_t i = 0; i < n; i++, machine->n_commands++) {
        enum ct_status status = step(machine, &commands[i], err);
        if (status == CT_OK)
            continue;
        const enum ct_gem_instruction instruction = ct_gem_command_instruction(&commands[i]);
        char funct[16];
        snprintf(funct, sizeof funct, "funct %d", commands[i].funct);
        return ct_error_prefix(
            err, "command %llu (%s)", (unsigned long long)machine->n_commands,
            instruction == CT_GEM_UNKNOWN ? funct : ct_gem_instructions[instruction].mnemonic);
    }
    return CT_OK;
}
