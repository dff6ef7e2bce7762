/* mvin and mvout: blocks of rows between main memory and the scratchpad or the accumulator. */
#include "engine/backend/gemmini/isa_internal.h"

/* How many columns a command may move: the longest request's worth, and a row of the array at
 * least. */
static unsigned max_cols(const struct ct_gem_machine *machine, unsigned element_bytes)
{
    const unsigned cols = (unsigned)machine->config->dma_max_bytes / element_bytes;
    return cols > DIM ? cols : DIM;
}

static enum ct_status check_block(const struct ct_gem_block *block, unsigned cols,
                                  struct ct_error *err)
{
    if (block->local.is_none)
        return ct_error_set(err, CT_INVALID, "moves a block without a local address");
    if (block->rows > DIM || block->cols > cols)
        return ct_error_set(err, CT_INVALID, "%u rows and %u columns of at most %d and %u",
                            block->rows, block->cols, DIM, cols);
    return CT_OK;
}

static unsigned cols_from(const struct ct_gem_block *block, unsigned first)
{
    return block->cols - first < DIM ? block->cols - first : DIM;
}

static int32_t read_int32(const uint8_t *bytes)
{
    return (int32_t)((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                     (uint32_t)bytes[3] << 24);
}

static void write_int32(uint8_t *bytes, int32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)((uint32_t)value >> (8 * i));
}

/* A row of at most 16 values to where it belongs; source NULL: zeros. */
static void load_row(struct ct_gem_machine *machine, const struct load_config *load,
                     const struct ct_gem_local *local, unsigned row, const uint8_t *source,
                     unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        int32_t value = 0;
        if (source != NULL && local->is_accumulator && !load->is_narrow)
            value = read_int32(source + (size_t)4 * i);
        else if (source != NULL)
            value = ct_gem_scale((int8_t)source[i], load->scale);
        if (!local->is_accumulator)
            machine->spad[row][i] = (int8_t)value;
        else if (local->is_add)
            machine->acc[row][i] = ct_gem_add(machine->acc[row][i], value);
        else
            machine->acc[row][i] = value;
    }
}

/* Columns beyond 16 go to the next block, block_stride rows on. Address 0 loads zeros. */
enum ct_status ct_gem_isa_mvin(struct ct_gem_machine *machine, const struct load_config *load,
                               const struct ct_gem_command *command, struct ct_error *err)
{
    const struct ct_gem_block block = ct_gem_block_decode(command->rs2);
    const unsigned bytes = block.local.is_accumulator && !load->is_narrow ? 4 : 1;
    enum ct_status status = check_block(&block, max_cols(machine, bytes), err);
    if (status != CT_OK || block.rows == 0 || block.cols == 0)
        return status;
    status = ct_gem_isa_check_rows(
        machine, &block.local, (uint64_t)((block.cols - 1) / DIM) * load->block_stride + block.rows,
        err);
    if (status != CT_OK)
        return status;
    for (unsigned i = 0; i < block.rows; i++) {
        const uint8_t *source = NULL;
        if (command->rs1 != 0) {
            source = ct_gem_isa_dram(machine, command->rs1 + i * load->stride_bytes,
                                     (size_t)block.cols * bytes, err);
            if (source == NULL)
                return CT_INVALID;
        }
        for (unsigned col = 0; col < block.cols; col += DIM)
            load_row(machine, load, &block.local,
                     block.local.row + col / DIM * load->block_stride + i,
                     source != NULL ? source + (size_t)col * bytes : NULL, cols_from(&block, col));
    }
    return CT_OK;
}

/* The step that a block other than a row's last one takes. */
static enum ct_gem_norm inner_step(enum ct_gem_norm step)
{
    switch (step) {
    case CT_GEM_NORM_MEAN:
        return CT_GEM_NORM_SUM;
    case CT_GEM_NORM_INV_STDDEV:
        return CT_GEM_NORM_VARIANCE;
    case CT_GEM_NORM_INV_SUM_EXP:
        return CT_GEM_NORM_SUM_EXP;
    default:
        return step;
    }
}

/* Takes a row of the accumulator through a step of the normaliser. True: it is to be written. */
static bool normalise(struct ct_gem_machine *machine, const struct ct_gem_block *block,
                      unsigned row)
{
    bool is_written = true;
    for (unsigned col = 0; col < block->cols; col += DIM) {
        const bool is_last = col + DIM >= block->cols;
        const enum ct_gem_norm step = is_last ? block->local.norm : inner_step(block->local.norm);
        is_written = ct_gem_norm_step(&machine->stats[machine->stat], &machine->scaling, step,
                                      machine->acc[row + col], cols_from(block, col));
    }
    return is_written;
}

static void store_row(const struct ct_gem_machine *machine, const struct ct_gem_block *block,
                      unsigned row, uint8_t *target)
{
    for (unsigned col = 0; col < block->cols; col += DIM) {
        const unsigned n = cols_from(block, col);
        if (!block->local.is_accumulator) {
            memcpy(target + col, machine->spad[row + col], n);
        } else if (block->local.is_full) {
            for (unsigned i = 0; i < n; i++)
                write_int32(target + (size_t)4 * (col + i), machine->acc[row + col][i]);
        } else {
            ct_gem_norm_narrow(&machine->stats[machine->stat], &machine->scaling,
                               machine->acc[row + col], n, (int8_t *)target + col);
        }
    }
}

static enum ct_status check_store(const struct ct_gem_machine *machine,
                                  const struct ct_gem_block *block, struct ct_error *err)
{
    const bool is_normalised = block->local.norm != CT_GEM_NORM_RESET ||
                               machine->scaling.act == CT_GEM_ACT_LAYERNORM ||
                               machine->scaling.act == CT_GEM_ACT_SOFTMAX;
    if (machine->store.is_pooled)
        return ct_error_set(err, CT_UNSUPPORTED, "pooling is not modelled");
    if (block->local.is_accumulator && is_normalised && !machine->config->norm_enabled)
        return ct_error_set(err, CT_UNSUPPORTED, "normalises, but norm.enabled is 0");
    enum ct_status status = check_block(block, max_cols(machine, 1), err);
    if (status != CT_OK || block->rows == 0 || block->cols == 0)
        return status;
    return ct_gem_isa_check_rows(machine, &block->local,
                                 (block->cols - 1) / DIM * DIM + block->rows, err);
}

/* Blocks of 16 columns lie 16 rows apart. */
enum ct_status ct_gem_isa_mvout(struct ct_gem_machine *machine,
                                const struct ct_gem_command *command, struct ct_error *err)
{
    const struct ct_gem_block block = ct_gem_block_decode(command->rs2);
    const unsigned bytes = block.local.is_accumulator && block.local.is_full ? 4 : 1;
    enum ct_status status = check_store(machine, &block, err);
    if (status != CT_OK || block.cols == 0)
        return status;
    for (unsigned i = 0; i < block.rows; i++) {
        const unsigned row = block.local.row + i;
        if (block.local.is_accumulator && !normalise(machine, &block, row))
            continue;
        uint8_t *target =
            ct_gem_isa_dram(machine, command->rs1 + (uint64_t)i * machine->store.stride_bytes,
                            (size_t)block.cols * bytes, err);
        if (target == NULL)
            return CT_INVALID;
        store_row(machine, &block, row, target);
    }
    return CT_OK;
}
