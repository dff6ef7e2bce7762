/* Matrix products. */
#include "engine/backend/gemmini/gem_mapping_internal.h"

/* A product under way: its tiles, and how many of them lie along each extent. */
struct product {
    const struct ct_gem_config *config;
    const struct ct_gem_matmul *op;
    struct ct_gem_tiles tile, count;
    struct emitter emitter;
};

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool is_normalised(const struct ct_gem_matmul *op)
{
    return op->act == CT_GEM_ACT_LAYERNORM || op->act == CT_GEM_ACT_SOFTMAX;
}

static enum ct_status check(const struct ct_gem_config *config, const struct ct_gem_matmul *op,
                            struct ct_error *err)
{
    if (op->m == 0 || op->n == 0 || op->k == 0)
        return ct_error_set(err, CT_INVALID, "a product of %zu x %zu x %zu", op->m, op->n, op->k);
    if (config->array_dataflow == (op->is_os ? CT_GEM_DATAFLOW_WS : CT_GEM_DATAFLOW_OS))
        return ct_error_set(err, CT_UNSUPPORTED, "this array is not %s stationary",
                            op->is_os ? "output" : "weight");
    if (op->is_os ? op->b_transpose && !op->a_transpose : op->b_transpose && op->a_transpose)
        return ct_error_set(err, CT_UNSUPPORTED, "%s stationary, B is not transposed %s A",
                            op->is_os ? "output" : "weight", op->is_os ? "without" : "beside");
    if (op->is_os && op->act != CT_GEM_ACT_NONE && op->act != CT_GEM_ACT_RELU)
        return ct_error_set(err, CT_UNSUPPORTED, "output stationary with activation %d", op->act);
    if (is_normalised(op) && !config->norm_enabled)
        return ct_error_set(err, CT_UNSUPPORTED, "normalises, but norm.enabled is 0");
    return CT_OK;
}

/* The reference software's: a square that fills the accumulator's blocks, or one row of blocks where rows
 * are normalised, grown while anything does. */
static struct ct_gem_tiles grow(const struct ct_gem_tiles *all, size_t spad, size_t acc,
                                bool is_normalised)
{
    size_t square = 1;
    while ((square + 1) * (square + 1) <= acc)
        square++;
    const size_t deep = spad / 2 / square > 0 ? spad / 2 / square : 1;
    struct ct_gem_tiles t = {min(all->i, square), min(all->j, square), min(all->k, deep)};
    if (is_normalised)
        t = (struct ct_gem_tiles){1, all->j, 1};
    for (bool has_grown = true; has_grown;) {
        has_grown = false;
        if (t.j < all->j && t.i * (t.j + 1) <= acc && (t.i + t.j + 1) * t.k <= spad)
            t.j++, has_grown = true;
        if (t.i < all->i && (t.i + 1) * t.j <= acc && (t.i + 1 + t.j) * t.k <= spad)
            t.i++, has_grown = true;
        if (t.k < all->k && (t.i + t.j) * (t.k + 1) <= spad)
            t.k++, has_grown = true;
    }
    return t;
}

enum ct_status ct_gem_matmul_tiles(const struct ct_gem_config *config,
                                   const struct ct_gem_matmul *op, struct ct_gem_tiles *tiles,
                                   struct ct_error *err)
{
    const enum ct_status status = check(config, op, err);
    if (status != CT_OK)
        return status;
    const size_t spad = ct_gem_config_spad_blocks(config, op->is_os);
    const size_t acc = ct_gem_config_acc_blocks(config, op->is_os);
    const struct ct_gem_tiles all = {blocks_of(op->m), blocks_of(op->n), blocks_of(op->k)};
    const bool has_tile = op->tile.i > 0;
    *tiles = has_tile ? (struct ct_gem_tiles){min(all.i, op->tile.i), min(all.j, op->tile.j),
                                              min(all.k, op->tile.k)}
                      : grow(&all, spad, acc, is_normalised(op));
    if (is_normalised(op) && tiles->j < all.j)
        return ct_error_set(err, CT_UNSUPPORTED,
                            "rows of %zu columns to normalise are %zu blocks, a tile has %zu",
                            op->n, all.j, tiles->j);
    if (is_normalised(op) && !has_tile && (tiles->j > acc || 1 + tiles->j > spad))
        return ct_error_set(err, CT_UNSUPPORTED,
                            "rows of %zu columns to normalise need %zu blocks of the accumulator's "
                            "%zu and %zu of the scratchpad's %zu",
                            op->n, tiles->j, acc, 1 + tiles->j, spad);
    return ct_gem_tiles_check(config, tiles, op->is_os, err);
}

static unsigned bytes_of_c(const struct ct_gem_matmul *op)
{
    return op->is_full_c ? 4 : 1;
}

/* The block at row, col of a matrix of elements of so many bytes. */
static uint64_t at(const struct ct_gem_matrix *matrix, size_t row, size_t col, unsigned bytes)
{
    return matrix->address + (row * matrix->stride + col) * DIM * bytes;
}

static uint64_t at_a(const struct ct_gem_matmul *op, size_t i, size_t k)
{
    return op->a_transpose ? at(&op->a, k, i, 1) : at(&op->a, i, k, 1);
}

static uint64_t at_b(const struct ct_gem_matmul *op, size_t k, size_t j)
{
    return op->b_transpose ? at(&op->b, j, k, 1) : at(&op->b, k, j, 1);
}

/* Columns or rows that block at lacks of 16. */
static size_t pad_of(size_t n, size_t block)
{
    return (block + 1) * DIM > n ? (block + 1) * DIM - n : 0;
}

/* The operands of tile i0, j0, k0. D comes with the first k0, C leaves with the last. */
static struct loop_operands operands_of(const struct product *p, size_t i0, size_t j0, size_t k0)
{
    const struct ct_gem_matmul *op = p->op;
    const size_t i = i0 * p->tile.i, j = j0 * p->tile.j, k = k0 * p->tile.k;
    struct loop_operands o = {
        .i = min(p->tile.i, blocks_of(op->m) - i),
        .j = min(p->tile.j, blocks_of(op->n) - j),
        .k = min(p->tile.k, blocks_of(op->k) - k),
        .a = {at_a(op, i, k), op->a.stride},
        .b = {at_b(op, k, j), op->b.stride},
        .d = {0, op->d.stride},
        .c = {0, op->c.stride},
    };
    o.pad_i = pad_of(op->m, i + o.i - 1);
    o.pad_j = pad_of(op->n, j + o.j - 1);
    o.pad_k = pad_of(op->k, k + o.k - 1);
    if (k0 == 0 && op->d.address != 0)
        o.d.address = at(&op->d, i, j, 4);
    if (k0 + 1 == p->count.k)
        o.c.address = at(&op->c, i, j, bytes_of_c(op));
    return o;
}

/* Where all of A or of B lies in two tiles, each gets a share of the scratchpad and is loaded once. So is
 * the operand of the outer loop where the operator says which that is, and tiles have all of its k. */
static bool keeps(const struct product *p, size_t n_tiles, enum ct_gem_order order)
{
    return (p->op->order == order && p->count.k == 1) ||
           (!p->op->is_os && p->config->rob_loops_in_flight == 2 && n_tiles <= 2);
}

static bool keeps_a(const struct product *p)
{
    return keeps(p, p->count.i * p->count.k, CT_GEM_ORDER_IJK);
}

static bool keeps_b(const struct product *p)
{
    return keeps(p, p->count.j * p->count.k, CT_GEM_ORDER_JIK);
}

/* The share of the scratchpad that a kept tile lies in, as LOOP_WS numbers them. */
static size_t share_of(const struct product *p, size_t tile)
{
    return 1 + tile % (size_t)p->config->rob_loops_in_flight;
}

static void emit_ws(const struct product *p, size_t i0, size_t j0, size_t k0)
{
    const struct ct_gem_matmul *op = p->op;
    struct loop_operands o = operands_of(p, i0, j0, k0);
    if (keeps_a(p) && j0 > 0)
        o.a.address = 0;
    if (keeps_b(p) && i0 > 0)
        o.b.address = 0;
    emit_loop(&p->emitter, &o,
              CT_GEM_PUT(LOOP_WS, ACCUMULATE, op->d.address != 0 || k0 > 0) |
                  CT_GEM_PUT(LOOP_WS, FULL_C, op->is_full_c) | CT_GEM_PUT(LOOP_WS, ACT, op->act) |
                  CT_GEM_PUT(LOOP_WS, A_SPAD, keeps_a(p) ? share_of(p, i0 + k0) : 0) |
                  CT_GEM_PUT(LOOP_WS, B_SPAD, keeps_b(p) ? share_of(p, j0 + k0) : 0),
              CT_GEM_PUT(LOOP_WS, A_TRANSPOSE, op->a_transpose) |
                  CT_GEM_PUT(LOOP_WS, B_TRANSPOSE, op->b_transpose));
}

/* Loads rows x cols blocks from matrix into local rows, a row of blocks after the other, with as many
 * columns a command as it takes; is_down: those below one another first. */
static void emit_loads(const struct product *p, const struct ct_gem_matrix *matrix, uint32_t local,
                       size_t rows, size_t cols, size_t row_pad, size_t col_pad, unsigned bytes,
                       bool is_down)
{
    const size_t step = min(cols, max_blocks(p->config, bytes));
    const size_t n_steps = (cols + step - 1) / step;
    emit_config_ld(&p->emitter, 0, matrix->stride * bytes, 1, false);
    for (size_t n = 0; n < rows * n_steps; n++) {
        const size_t row = is_down ? n % rows : n / n_steps;
        const size_t col = (is_down ? n / rows : n % n_steps) * step;
        const size_t blocks = min(step, cols - col);
        emit(&p->emitter, CT_GEM_MVIN_FUNCT, at(matrix, row, col, bytes),
             ct_gem_block_encode(local + (uint32_t)((row * cols + col) * DIM),
                                 (unsigned)(DIM - (row + 1 == rows ? row_pad : 0)),
                                 (unsigned)(blocks * DIM - (col + blocks == cols ? col_pad : 0))));
    }
}

static void emit_loads_a(const struct product *p, const struct loop_operands *o)
{
    if (p->op->a_transpose)
        emit_loads(p, &o->a, 0, o->k, o->i, o->pad_k, o->pad_i, 1, false);
    else
        emit_loads(p, &o->a, 0, o->i, o->k, o->pad_i, o->pad_k, 1, false);
}

static void emit_loads_b(const struct product *p, const struct loop_operands *o, uint32_t b_row)
{
    if (p->op->b_transpose)
        emit_loads(p, &o->b, b_row, o->j, o->k, o->pad_j, o->pad_k, 1, true);
    else
        emit_loads(p, &o->b, b_row, o->k, o->j, o->pad_k, o->pad_j, 1, true);
}

/* The sums of block i, j, which stay in the array until the last k. */
static void emit_chain(const struct product *p, const struct loop_operands *o, size_t i, size_t j,
                       uint32_t b_row, uint32_t c)
{
    const struct ct_gem_matmul *op = p->op;
    const unsigned rows = (unsigned)(DIM - (i + 1 == o->i ? o->pad_i : 0));
    const unsigned cols = (unsigned)(DIM - (j + 1 == o->j ? o->pad_j : 0));
    for (size_t k = 0; k < o->k; k++) {
        const bool is_last = k + 1 == o->k;
        const unsigned depth = (unsigned)(DIM - (is_last ? o->pad_k : 0));
        const size_t a = op->a_transpose ? k * o->i + i : i * o->k + k;
        const size_t b = op->b_transpose ? j * o->k + k : k * o->j + j;
        emit(&p->emitter, CT_GEM_PRELOAD_FUNCT, ct_gem_block_encode(CT_GEM_LOCAL_NONE, DIM, DIM),
             ct_gem_block_encode(is_last ? c : CT_GEM_LOCAL_NONE, rows, cols));
        emit(&p->emitter,
             k == 0 ? CT_GEM_COMPUTE_PRELOADED_FUNCT : CT_GEM_COMPUTE_ACCUMULATED_FUNCT,
             ct_gem_block_encode((uint32_t)(a * DIM), rows, depth),
             ct_gem_block_encode(b_row + (uint32_t)(b * DIM), depth, cols));
    }
}

static void emit_os(const struct product *p, size_t i0, size_t j0, size_t k0)
{
    const struct ct_gem_matmul *op = p->op;
    const struct loop_operands o = operands_of(p, i0, j0, k0);
    const uint32_t full = op->is_full_c ? CT_GEM_LOCAL_FULL : 0;
    const uint32_t acc = CT_GEM_LOCAL_ACCUMULATOR, add = CT_GEM_LOCAL_ADD;
    const bool is_new = k0 == 0 && op->d.address == 0;
    const uint32_t b_row = ct_gem_config_spad_rows(p->config) - (uint32_t)(o.k * o.j * DIM);
    if (o.d.address != 0)
        emit_loads(p, &o.d, acc, o.i, o.j, o.pad_i, o.pad_j, 4, false);
    if (i0 == 0 || !keeps_b(p))
        emit_loads_b(p, &o, b_row);
    if (j0 == 0 || !keeps_a(p))
        emit_loads_a(p, &o);
    for (size_t i = 0; i < o.i; i++)
        for (size_t j = 0; j < o.j; j++)
            emit_chain(p, &o, i, j, b_row,
                       ((uint32_t)((i * o.j + j) * DIM)) | acc | (is_new ? 0 : add) | full);
    for (size_t n = 0; o.c.address != 0 && n < o.i * o.j; n++) {
        const size_t i = n / o.j, j = n % o.j;
        emit(&p->emitter, CT_GEM_MVOUT_FUNCT, at(&o.c, i, j, bytes_of_c(op)),
             ct_gem_block_encode((uint32_t)(n * DIM) | acc | add | full,
                                 (unsigned)(DIM - (i + 1 == o.i ? o.pad_i : 0)),
                                 (unsigned)(DIM - (j + 1 == o.j ? o.pad_j : 0))));
    }
}

static void emit_configs(const struct product *p)
{
    const struct ct_gem_matmul *op = p->op;
    emit_config_ex(&p->emitter, op);
    emit_config_st(&p->emitter, op->c.stride * bytes_of_c(op), op->act, op->scale);
    emit_config_ld(&p->emitter, 0, op->a.stride, 1, false);
    emit_config_ld(&p->emitter, 1, op->b.stride, 1, false);
    emit_config_ld(&p->emitter, 2, op->d.stride * 4, 1, false);
    emit_config_norm(&p->emitter, op->act, op->act_scale);
}

static enum ct_status plan(const struct ct_gem_config *config, const struct ct_gem_matmul *op,
                           struct product *p, struct ct_error *err)
{
    *p = (struct product){.config = config, .op = op};
    const enum ct_status status = ct_gem_matmul_tiles(config, op, &p->tile, err);
    if (status != CT_OK)
        return status;
    p->count.i = (blocks_of(op->m) + p->tile.i - 1) / p->tile.i;
    p->count.j = (blocks_of(op->n) + p->tile.j - 1) / p->tile.j;
    p->count.k = (blocks_of(op->k) + p->tile.k - 1) / p->tile.k;
    return CT_OK;
}

enum ct_status ct_gem_matmul_b_bytes(const struct ct_gem_config *config,
                                     const struct ct_gem_matmul *op, uint64_t *n_bytes,
                                     struct ct_error *err)
{
    struct product p;
    const enum ct_status status = plan(config, op, &p, err);
    if (status == CT_OK)
        *n_bytes = (uint64_t)op->k * op->n * (keeps_b(&p) ? 1 : p.count.i);
    return status;
}

enum ct_status ct_gem_map_matmul(const struct ct_gem_config *config, const struct ct_gem_matmul *op,
                                 ct_gem_sink_fn *sink, void *context, struct ct_error *err)
{
    struct product p;
    const enum ct_status status = plan(config, op, &p, err);
    if (status != CT_OK)
        return status;
    p.emitter = (struct emitter){sink, context};
    emit_configs(&p);
    const bool is_j_outer = op->order == CT_GEM_ORDER_JIK;
    const size_t n_inner = is_j_outer ? p.count.i : p.count.j;
    for (size_t n = 0; n < p.count.i * p.count.j; n++)
        for (size_t k0 = 0; k0 < p.count.k; k0++) {
            const size_t outer = n / n_inner, inner = n % n_inner;
            (op->is_os ? emit_os : emit_ws)(&p, is_j_outer ? inner : outer,
                                            is_j_outer ? outer : inner, k0);
        }
    emit(&p.emitter, CT_GEM_FENCE_FUNCT, 0, 0);
    return CT_OK;
}
