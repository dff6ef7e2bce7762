#include "engine/backend/gemmini/gem_mapping_internal.h"

#include <string.h>

static uint64_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void emit_config_ex(const struct emitter *emitter, const struct ct_gem_matmul *op)
{
    emit(emitter, CT_GEM_CONFIG_EX_FUNCT,
         CT_GEM_PUT(CONFIG_EX, WS, !op->is_os) | CT_GEM_PUT(CONFIG_EX, ACT, op->act) |
             CT_GEM_PUT(CONFIG_EX, A_TRANSPOSE, op->a_transpose) |
             CT_GEM_PUT(CONFIG_EX, B_TRANSPOSE, op->b_transpose) |
             CT_GEM_PUT(CONFIG_EX, A_STRIDE, 1) | CT_GEM_PUT(CONFIG_EX, ACC_SCALE, bits_of(1)),
         CT_GEM_PUT(CONFIG_EX, C_STRIDE, 1));
}

void emit_config_ld(const struct emitter *emitter, unsigned id, uint64_t stride_bytes, float scale,
                    bool is_narrow)
{
    emit(emitter, CT_GEM_CONFIG_LD_FUNCT,
         1 | CT_GEM_PUT(CONFIG_LD, SHRINK, is_narrow) | CT_GEM_PUT(CONFIG_LD, ID, id) |
             CT_GEM_PUT(CONFIG_LD, PIXELS, 1) | CT_GEM_PUT(CONFIG_LD, BLOCK_STRIDE, DIM) |
             CT_GEM_PUT(CONFIG_LD, SCALE, bits_of(scale)),
         stride_bytes);
}

void emit_config_st(const struct emitter *emitter, uint64_t stride_bytes,
                    enum ct_gem_activation act, float scale)
{
    emit(emitter, CT_GEM_CONFIG_ST_FUNCT, 2 | CT_GEM_PUT(CONFIG_ST, ACT, act),
         CT_GEM_PUT(CONFIG_ST, STRIDE, stride_bytes) |
             CT_GEM_PUT(CONFIG_ST, ACC_SCALE, bits_of(scale)));
}

void emit_config_norm(const struct emitter *emitter, enum ct_gem_activation act, float act_scale)
{
    if (act == CT_GEM_ACT_IGELU) {
        int32_t qb, qc;
        ct_gem_igelu_constants(act_scale, &qb, &qc);
        emit(emitter, CT_GEM_CONFIG_NORM_FUNCT, 3,
             CT_GEM_PUT(CONFIG_NORM, QB, qb) | CT_GEM_PUT(CONFIG_NORM, QC, qc));
    } else if (act == CT_GEM_ACT_SOFTMAX) {
        const struct ct_gem_iexp c = ct_gem_iexp_constants(act_scale);
        for (unsigned inverse = 0; inverse < 2; inverse++)
            emit(emitter, CT_GEM_CONFIG_NORM_FUNCT,
                 3 | CT_GEM_PUT(CONFIG_NORM, SOFTMAX, 1) |
                     CT_GEM_PUT(CONFIG_NORM, IS_INVERSE, inverse) |
                     CT_GEM_PUT(CONFIG_NORM, LN2, inverse ? c.ln2_inverse : c.ln2),
                 CT_GEM_PUT(CONFIG_NORM, QB, c.qb) | CT_GEM_PUT(CONFIG_NORM, QC, c.qc));
    }
}

void emit_loop(const struct emitter *emitter, const struct loop_operands *operands, uint64_t rs1,
               uint64_t rs2)
{
    const struct loop_operands *o = operands;
    emit(emitter, CT_GEM_LOOP_BOUNDS_FUNCT,
         CT_GEM_PUT(LOOP_BOUNDS, PAD_I, o->pad_i) | CT_GEM_PUT(LOOP_BOUNDS, PAD_J, o->pad_j) |
             CT_GEM_PUT(LOOP_BOUNDS, PAD_K, o->pad_k),
         CT_GEM_PUT(LOOP_BOUNDS, I, o->i) | CT_GEM_PUT(LOOP_BOUNDS, J, o->j) |
             CT_GEM_PUT(LOOP_BOUNDS, K, o->k));
    emit(emitter, CT_GEM_LOOP_ADDRS_AB_FUNCT, o->a.address, o->b.address);
    emit(emitter, CT_GEM_LOOP_ADDRS_DC_FUNCT, o->d.address, o->c.address);
    emit(emitter, CT_GEM_LOOP_STRIDES_AB_FUNCT, o->a.stride, o->b.stride);
    emit(emitter, CT_GEM_LOOP_STRIDES_DC_FUNCT, o->d.stride, o->c.stride);
    emit(emitter, CT_GEM_LOOP_WS_FUNCT, rs1, rs2);
}

static enum ct_status check_normalise(const struct ct_gem_config *config,
                                      const struct ct_gem_normalise *op, struct ct_error *err)
{
    const size_t rows = ct_gem_config_acc_rows(config);
    if (op->rows == 0 || op->cols == 0)
        return ct_error_set(err, CT_INVALID, "normalises %zu rows of %zu columns", op->rows,
                            op->cols);
    if (!config->norm_enabled)
        return ct_error_set(err, CT_UNSUPPORTED, "normalises, but norm.enabled is 0");
    if (blocks_of(op->cols) * DIM > rows)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "rows of %zu columns to normalise do not fit into an accumulator of "
                            "%zu rows",
                            op->cols, rows);
    return CT_OK;
}

/* One pass over a row that lies from local on, its blocks 16 rows apart. */
static void emit_pass(const struct emitter *emitter, const struct ct_gem_config *config,
                      const struct ct_gem_normalise *op, size_t row, uint32_t local, unsigned pass)
{
    const bool is_softmax = op->act == CT_GEM_ACT_SOFTMAX;
    const size_t step = max_blocks(config, 1) * DIM;
    for (size_t col = 0; col < op->cols; col += step) {
        const bool is_last = col + step >= op->cols;
        const uint32_t norm = ct_gem_norm_steps[is_softmax][pass][is_last];
        emit(emitter, CT_GEM_MVOUT_FUNCT, op->out.address + row * op->out.stride + col,
             ct_gem_block_encode((local + (uint32_t)col) | norm << CT_GEM_LOCAL_NORM_SHIFT, 1,
                                 (unsigned)(is_last ? op->cols - col : step)));
    }
}

/* 16 rows from row on, which lie in the accumulator's rows from local on: as many at a time as the
 * normaliser keeps statistics, three passes over each. */
static void emit_rows(const struct emitter *emitter, const struct ct_gem_config *config,
                      const struct ct_gem_normalise *op, size_t row, uint32_t local)
{
    const size_t rows = op->rows - row < DIM ? op->rows - row : DIM;
    const size_t n_stats = (size_t)config->norm_stat_ids, step = max_blocks(config, 4) * DIM;
    const uint32_t target = local | CT_GEM_LOCAL_ACCUMULATOR | CT_GEM_LOCAL_ADD;
    for (size_t col = 0; col < op->cols; col += step)
        emit(emitter, CT_GEM_MVIN_FUNCT, op->in.address + (row * op->in.stride + col) * 4,
             ct_gem_block_encode((local + (uint32_t)col) | CT_GEM_LOCAL_ACCUMULATOR, (unsigned)rows,
                                 (unsigned)(op->cols - col < step ? op->cols - col : step)));
    for (size_t first = 0; first < rows; first += n_stats) {
        const size_t n = rows - first < n_stats ? rows - first : n_stats;
        for (unsigned pass = 0; pass < CT_GEM_NORM_PASSES; pass++) {
            for (size_t stat = 0; stat < n; stat++) {
                emit(emitter, CT_GEM_CONFIG_NORM_FUNCT,
                     3 | CT_GEM_PUT(CONFIG_NORM, STAT, stat) |
                         CT_GEM_PUT(CONFIG_NORM, ONLY_STAT, op->act == CT_GEM_ACT_SOFTMAX),
                     0);
                emit_pass(emitter, config, op, row + first + stat,
                          target + (uint32_t)(first + stat), pass);
            }
        }
    }
}

enum ct_status ct_gem_map_normalise(const struct ct_gem_config *config,
                                    const struct ct_gem_normalise *op, ct_gem_sink_fn *sink,
                                    void *context, struct ct_error *err)
{
    const struct emitter emitter = {sink, context};
    const enum ct_status status = check_normalise(config, op, err);
    if (status != CT_OK)
        return status;
    const uint32_t block_rows = (uint32_t)blocks_of(op->cols) * DIM;
    const uint32_t n_blocks = ct_gem_config_acc_rows(config) / block_rows;
    emit_config_st(&emitter, op->out.stride, op->act, op->scale);
    emit_config_ex(&emitter, &(struct ct_gem_matmul){0});
    emit_config_ld(&emitter, 0, op->in.stride * 4, 1, false);
    emit_config_ld(&emitter, 1, op->in.stride * 4, 1, false);
    emit_config_norm(&emitter, op->act, op->act_scale);
    for (size_t row = 0; row < op->rows; row += DIM)
        emit_rows(&emitter, config, op, row, (uint32_t)(row / DIM % n_blocks) * block_rows);
    emit(&emitter, CT_GEM_FENCE_FUNCT, 0, 0);
    return CT_OK;
}

/* The larger extent gives way, rows by halves, columns by a block, until a tile fits into the share of
 * the accumulator that a loop gets. */
static void resadd_tile(const struct ct_gem_config *config, const struct ct_gem_resadd *op,
                        size_t *rows, size_t *cols)
{
    const size_t room =
        ct_gem_config_acc_rows(config) / (unsigned)config->rob_loops_in_flight / DIM;
    *rows = op->rows;
    *cols = op->cols;
    while (blocks_of(*rows) * blocks_of(*cols) > room) {
        if (*rows >= *cols)
            *rows /= 2;
        else
            *cols -= DIM;
    }
}

enum ct_status ct_gem_map_resadd(const struct ct_gem_config *config, const struct ct_gem_resadd *op,
                                 ct_gem_sink_fn *sink, void *context, struct ct_error *err)
{
    const struct emitter emitter = {sink, context};
    size_t tile_rows, tile_cols;
    if (op->rows == 0 || op->cols == 0)
        return ct_error_set(err, CT_INVALID, "adds %zu rows of %zu columns", op->rows, op->cols);
    resadd_tile(config, op, &tile_rows, &tile_cols);
    const enum ct_gem_activation act = op->is_relu ? CT_GEM_ACT_RELU : CT_GEM_ACT_NONE;
    emit_config_st(&emitter, op->c.stride, act, op->scale);
    emit_config_ex(&emitter, &(struct ct_gem_matmul){0});
    emit_config_ld(&emitter, 0, op->a.stride, op->a_scale, true);
    emit_config_ld(&emitter, 1, op->b.stride, op->b_scale, true);
    for (size_t row = 0; row < op->rows; row += tile_rows) {
        for (size_t col = 0; col < op->cols; col += tile_cols) {
            const size_t rows = op->rows - row < tile_rows ? op->rows - row : tile_rows;
            const size_t cols = op->cols - col < tile_cols ? op->cols - col : tile_cols;
            struct loop_operands o = {.i = blocks_of(rows), .j = blocks_of(cols)};
            o.pad_i = o.i * DIM - rows;
            o.pad_j = o.j * DIM - cols;
            o.a = (struct ct_gem_matrix){op->a.address + row * op->a.stride + col, op->a.stride};
            o.b = (struct ct_gem_matrix){op->b.address + row * op->b.stride + col, op->b.stride};
            o.c = (struct ct_gem_matrix){op->c.address + row * op->c.stride + col, op->c.stride};
            emit_loop(&emitter, &o, CT_GEM_PUT(LOOP_WS, ACT, act), CT_GEM_PUT(LOOP_WS, RESADD, 1));
        }
    }
    emit(&emitter, CT_GEM_FENCE_FUNCT, 0, 0);
    return CT_OK;
}
