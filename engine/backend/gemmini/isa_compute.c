/* preload and compute: a product of two 16 x 16 blocks.
 *
 *   weight stationary  C = A W + D       W was preloaded and stays for the next compute.accumulated
 *   output stationary  C = C' + A B      C' was preloaded, or is what the array holds
 *
 * All blocks are filled up with zeros. The array's partial sums have mesh_out_bits: what an
 * output-stationary product gives is shifted and then clipped to them. Sums of a weight-stationary
 * one always fit. */
#include "engine/backend/gemmini/isa_internal.h"

/* A block of int8 from the scratchpad, zeros around it. Row i of the block is row local.row + i x
 * stride; of a transposed block, column i is. */
static enum ct_status read_block(const struct ct_gem_machine *machine,
                                 const struct ct_gem_block *block, unsigned stride,
                                 bool is_transposed, int8_t out[DIM][DIM], struct ct_error *err)
{
    memset(out, 0, sizeof(int8_t[DIM][DIM]));
    if (block->local.is_none)
        return CT_OK;
    const unsigned rows = block->rows, cols = block->cols, lines = is_transposed ? cols : rows;
    if (rows > DIM || cols > DIM)
        return ct_error_set(err, CT_INVALID, "%u rows and %u columns of at most %d", rows, cols,
                            DIM);
    if (rows == 0 || cols == 0)
        return CT_OK;
    if (block->local.is_accumulator)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "an operand in the accumulator (row %u) is not modelled",
                            block->local.row);
    enum ct_status status =
        ct_gem_isa_check_rows(machine, &block->local, (uint64_t)(lines - 1) * stride + 1, err);
    for (unsigned i = 0; i < lines && status == CT_OK; i++) {
        const int8_t *line = machine->spad[block->local.row + i * stride];
        if (!is_transposed)
            memcpy(out[i], line, cols);
        else
            for (unsigned k = 0; k < rows; k++)
                out[k][i] = line[k];
    }
    return status;
}

/* sums += a b, of which depth columns of a and rows of b may be other than 0. */
static void multiply(int32_t sums[DIM][DIM], int8_t a[DIM][DIM], int8_t b[DIM][DIM], unsigned rows,
                     unsigned depth)
{
    for (unsigned i = 0; i < rows; i++)
        for (unsigned k = 0; k < depth; k++)
            for (unsigned j = 0; j < DIM; j++)
                sums[i][j] = ct_gem_add(sums[i][j], a[i][k] * b[k][j]);
}

static void widen(int32_t out[DIM][DIM], int8_t in[DIM][DIM])
{
    for (unsigned i = 0; i < DIM; i++)
        for (unsigned j = 0; j < DIM; j++)
            out[i][j] = in[i][j];
}

/* What the array keeps from one compute to the next: the weights, or the sums begun with D. */
static enum ct_status preload(struct ct_gem_machine *machine, struct ct_error *err)
{
    const struct ex_config *ex = &machine->ex;
    int8_t block[DIM][DIM];
    enum ct_status status =
        read_block(machine, &machine->preload_bd, 1, ex->is_ws && ex->b_transpose, block, err);
    if (status == CT_OK && ex->is_ws)
        memcpy(machine->weights, block, sizeof block);
    else if (status == CT_OK)
        widen(machine->sums, block);
    return status;
}

static enum ct_status write_block(struct ct_gem_machine *machine, int32_t values[DIM][DIM],
                                  struct ct_error *err)
{
    const struct ct_gem_block *c = &machine->preload_c;
    const unsigned stride = machine->ex.c_stride;
    if (c->local.is_none || c->rows == 0 || c->cols == 0)
        return CT_OK;
    if (c->rows > DIM || c->cols > DIM)
        return ct_error_set(err, CT_INVALID, "%u rows and %u columns of C of at most %d", c->rows,
                            c->cols, DIM);
    enum ct_status status =
        ct_gem_isa_check_rows(machine, &c->local, (uint64_t)(c->rows - 1) * stride + 1, err);
    for (unsigned i = 0; i < c->rows && status == CT_OK; i++)
        for (unsigned j = 0; j < c->cols; j++) {
            const unsigned row = c->local.row + i * stride;
            const int32_t value = values[i][j];
            const int32_t narrow = ct_gem_clip(value, 8);
            if (!c->local.is_accumulator)
                machine->spad[row][j] = (int8_t)(machine->ex.is_relu && narrow < 0 ? 0 : narrow);
            else if (c->local.is_add)
                machine->acc[row][j] = ct_gem_add(machine->acc[row][j], value);
            else
                machine->acc[row][j] = value;
        }
    return status;
}

enum ct_status ct_gem_isa_compute(struct ct_gem_machine *machine, bool is_preloaded,
                                  const struct ct_gem_command *command, struct ct_error *err)
{
    const struct ct_gem_block block_a = ct_gem_block_decode(command->rs1);
    const struct ct_gem_block block_bd = ct_gem_block_decode(command->rs2);
    const struct ex_config *ex = &machine->ex;
    int8_t a[DIM][DIM], bd[DIM][DIM];
    int32_t results[DIM][DIM];
    enum ct_status status = is_preloaded ? preload(machine, err) : CT_OK;
    if (status == CT_OK)
        status = read_block(machine, &block_a, ex->a_stride, ex->a_transpose, a, err);
    if (status == CT_OK)
        status = read_block(machine, &block_bd, 1, !ex->is_ws && ex->b_transpose, bd, err);
    if (status != CT_OK)
        return status;
    const unsigned rows = block_a.local.is_none ? 0 : block_a.rows, depth = block_a.cols;
    machine->n_macs += (uint64_t)rows * depth * DIM;
    if (ex->is_ws) {
        widen(results, bd);
        multiply(results, a, machine->weights, rows, depth);
    } else {
        multiply(machine->sums, a, bd, rows, depth);
        for (unsigned i = 0; i < DIM; i++)
            for (unsigned j = 0; j < DIM; j++)
                results[i][j] = ct_gem_clip(ct_gem_shift(machine->sums[i][j], ex->shift),
                                            machine->config->array_mesh_out_bits);
    }
    return write_block(machine, results, err);
}
