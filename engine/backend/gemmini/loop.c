#include "engine/backend/gemmini/loop.h"

enum { DIM = CT_GEM_DIM };

static unsigned min(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

bool ct_gem_loop_configure(struct ct_gem_loop_registers *registers,
                           const struct ct_gem_command *command)
{
    const struct ct_gem_command c = *command;
    switch (ct_gem_command_instruction(command)) {
    case CT_GEM_LOOP_BOUNDS:
        registers->i = (unsigned)CT_GEM_GET(c, LOOP_BOUNDS, I);
        registers->j = (unsigned)CT_GEM_GET(c, LOOP_BOUNDS, J);
        registers->k = (unsigned)CT_GEM_GET(c, LOOP_BOUNDS, K);
        registers->pad_i = (unsigned)CT_GEM_GET(c, LOOP_BOUNDS, PAD_I);
        registers->pad_j = (unsigned)CT_GEM_GET(c, LOOP_BOUNDS, PAD_J);
        registers->pad_k = (unsigned)CT_GEM_GET(c, LOOP_BOUNDS, PAD_K);
        return true;
    case CT_GEM_LOOP_ADDRS_AB:
        registers->a = CT_GEM_GET(c, LOOP_ADDRS_AB, A);
        registers->b = CT_GEM_GET(c, LOOP_ADDRS_AB, B);
        return true;
    case CT_GEM_LOOP_ADDRS_DC:
        registers->d = CT_GEM_GET(c, LOOP_ADDRS_DC, D);
        registers->c = CT_GEM_GET(c, LOOP_ADDRS_DC, C);
        return true;
    case CT_GEM_LOOP_STRIDES_AB:
        registers->a_stride = CT_GEM_GET(c, LOOP_STRIDES_AB, A);
        registers->b_stride = CT_GEM_GET(c, LOOP_STRIDES_AB, B);
        return true;
    case CT_GEM_LOOP_STRIDES_DC:
        registers->d_stride = CT_GEM_GET(c, LOOP_STRIDES_DC, D);
        registers->c_stride = CT_GEM_GET(c, LOOP_STRIDES_DC, C);
        return true;
    default:
        return false;
    }
}

static enum ct_status check(const struct ct_gem_loop *loop, unsigned spad_rows, unsigned acc_rows,
                            struct ct_error *err)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    if (r->i == 0 || r->j == 0 || (r->k == 0 && !loop->is_resadd))
        return ct_error_set(err, CT_INVALID, "LOOP_WS over %u x %u x %u blocks: none may be 0",
                            r->i, r->j, r->k);
    if (r->pad_i >= DIM || r->pad_j >= DIM || r->pad_k >= DIM)
        return ct_error_set(err, CT_INVALID, "LOOP_WS pads blocks by %u, %u and %u of at most %d",
                            r->pad_i, r->pad_j, r->pad_k, DIM - 1);
    if (loop->act > CT_GEM_ACT_SOFTMAX)
        return ct_error_set(err, CT_INVALID, "LOOP_WS: activation %d of 0 to %d", (int)loop->act,
                            CT_GEM_ACT_SOFTMAX);
    if (loop->a_transpose && loop->b_transpose)
        return ct_error_set(err, CT_INVALID, "LOOP_WS transposes both A and B");
    const uint64_t spad =
        loop->is_resadd ? 0 : ((uint64_t)r->i * r->k + (uint64_t)r->k * r->j) * DIM;
    const uint64_t acc = (uint64_t)r->i * r->j * DIM;
    if (spad > spad_rows || acc > acc_rows)
        return ct_error_set(
            err, CT_INVALID,
            "LOOP_WS over %u x %u x %u blocks needs %llu rows of the scratchpad and "
            "%llu of the accumulator, but has %u and %u",
            r->i, r->j, r->k, (unsigned long long)spad, (unsigned long long)acc, spad_rows,
            acc_rows);
    return CT_OK;
}

/* Residual adds and loops without an operand skip the classes that would have nothing to do. */
static void skip_idle_classes(struct ct_gem_loop *loop)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    loop->at[CT_GEM_LOOP_LD_A].is_done = r->a == 0;
    loop->at[CT_GEM_LOOP_LD_B].is_done = r->b == 0;
    loop->at[CT_GEM_LOOP_LD_D].is_done = r->d == 0 || loop->is_resadd;
    loop->at[CT_GEM_LOOP_EX].is_done = loop->is_resadd;
    loop->at[CT_GEM_LOOP_ST_C].is_done = r->c == 0;
}

enum ct_status ct_gem_loop_start(const struct ct_gem_config *config,
                                 const struct ct_gem_loop_registers *registers,
                                 const struct ct_gem_command *command, bool is_padded_b,
                                 struct ct_gem_loop_turn *turn, struct ct_gem_loop *loop,
                                 struct ct_error *err)
{
    const unsigned shares = (unsigned)config->rob_loops_in_flight;
    const unsigned spad_rows = ct_gem_config_spad_rows(config) / shares;
    const unsigned acc_rows = ct_gem_config_acc_rows(config) / shares;
    const struct ct_gem_command c = *command;
    *loop = (struct ct_gem_loop){
        .registers = *registers,
        .is_accumulate = CT_GEM_GET(c, LOOP_WS, ACCUMULATE),
        .is_full_c = CT_GEM_GET(c, LOOP_WS, FULL_C),
        .is_low_d = CT_GEM_GET(c, LOOP_WS, LOW_D),
        .is_resadd = CT_GEM_GET(c, LOOP_WS, RESADD),
        .a_transpose = CT_GEM_GET(c, LOOP_WS, A_TRANSPOSE),
        .b_transpose = CT_GEM_GET(c, LOOP_WS, B_TRANSPOSE),
        .is_padded_b = is_padded_b,
        .act = (enum ct_gem_activation)CT_GEM_GET(c, LOOP_WS, ACT),
        .stat_ids = (unsigned)config->norm_stat_ids,
        .max_blocks = (unsigned)config->dma_max_bytes / DIM,
        .max_blocks_acc = (unsigned)config->dma_max_bytes / CT_GEM_ACC_ROW_BYTES,
    };
    loop->max_blocks_acc += loop->max_blocks_acc == 0;
    enum ct_status status = check(loop, spad_rows, acc_rows, err);
    if (status != CT_OK)
        return status;
    /* A program may say which share A and B lie in: it does to keep them for several loops. */
    const unsigned a_spad = (unsigned)CT_GEM_GET(c, LOOP_WS, A_SPAD);
    const unsigned b_spad = (unsigned)CT_GEM_GET(c, LOOP_WS, B_SPAD);
    if (a_spad > shares || b_spad > shares)
        return ct_error_set(err, CT_INVALID, "LOOP_WS: shares %u and %u of the scratchpad's %u",
                            a_spad, b_spad, shares);
    const unsigned a_share = a_spad > 0 ? a_spad - 1 : turn->spad;
    const unsigned b_share = b_spad > 0 ? b_spad - 1 : turn->spad;
    if (loop->is_resadd) {
        loop->a_row = loop->b_row = loop->c_row = turn->spad * acc_rows;
    } else {
        loop->a_row = a_share * spad_rows;
        loop->b_row = (b_share + 1) * spad_rows - registers->k * registers->j * DIM;
        loop->c_row = turn->acc * acc_rows;
    }
    skip_idle_classes(loop);
    turn->spad = (turn->spad + 1) % shares;
    turn->acc = (turn->acc + (registers->c != 0)) % shares;
    return CT_OK;
}

/* A matrix in memory as a load or store sees it: rows and columns of blocks. */
struct view {
    unsigned row, col, rows, cols; /* where, of how many */
    unsigned row_pad, col_pad;
    unsigned max_blocks;
};

/* How many blocks the command at v moves, and how many of their columns are real. */
static unsigned blocks_of(const struct view *v)
{
    return min(min(v->max_blocks, v->cols), v->cols - v->col);
}

static uint64_t block_of(const struct view *v, uint32_t local)
{
    const unsigned blocks = blocks_of(v);
    const unsigned cols = blocks * DIM - (v->col + blocks >= v->cols ? v->col_pad : 0);
    const unsigned rows = DIM - (v->row + 1 == v->rows ? v->row_pad : 0);
    return ct_gem_block_encode(local + (v->row * v->cols + v->col) * DIM, rows, cols);
}

static uint64_t address_of(const struct view *v, uint64_t base, uint64_t stride, unsigned bytes)
{
    return base + (v->row * stride + v->col) * DIM * bytes;
}

static struct view view_a(const struct ct_gem_loop *loop)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    const struct ct_gem_loop_position *at = &loop->at[CT_GEM_LOOP_LD_A];
    if (loop->is_resadd)
        return (struct view){at->i, at->j, r->i, r->j, r->pad_i, r->pad_j, loop->max_blocks};
    if (loop->a_transpose)
        return (struct view){at->k, at->i, r->k, r->i, r->pad_k, r->pad_i, loop->max_blocks};
    return (struct view){at->i, at->k, r->i, r->k, r->pad_i, r->pad_k, loop->max_blocks};
}

static struct view view_b(const struct ct_gem_loop *loop)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    const struct ct_gem_loop_position *at = &loop->at[CT_GEM_LOOP_LD_B];
    struct view v;
    if (loop->is_resadd)
        v = (struct view){at->i, at->j, r->i, r->j, r->pad_i, r->pad_j, loop->max_blocks};
    else if (loop->b_transpose)
        v = (struct view){at->j, at->k, r->j, r->k, r->pad_j, r->pad_k, loop->max_blocks};
    else
        v = (struct view){at->k, at->j, r->k, r->j, r->pad_k, r->pad_j, loop->max_blocks};
    if (loop->is_padded_b)
        v.row_pad = 0;
    return v;
}

/* D and C, in the accumulator. */
static struct view view_acc(const struct ct_gem_loop *loop, enum ct_gem_loop_class which)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    const struct ct_gem_loop_position *at = &loop->at[which];
    const unsigned max_blocks = which == CT_GEM_LOOP_ST_C
                                    ? (loop->is_full_c ? 1 : loop->max_blocks)
                                    : (loop->is_low_d ? loop->max_blocks : loop->max_blocks_acc);
    return (struct view){at->i, at->j, r->i, r->j, r->pad_i, r->pad_j, max_blocks};
}

static struct view view_of(const struct ct_gem_loop *loop, enum ct_gem_loop_class which)
{
    return which == CT_GEM_LOOP_LD_A   ? view_a(loop)
           : which == CT_GEM_LOOP_LD_B ? view_b(loop)
                                       : view_acc(loop, which);
}

static struct ct_gem_command peek_load(const struct ct_gem_loop *loop, enum ct_gem_loop_class which)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    const struct view v = view_of(loop, which);
    const uint32_t acc = loop->is_resadd ? CT_GEM_LOCAL_ACCUMULATOR : 0;
    if (which == CT_GEM_LOOP_LD_A)
        return (struct ct_gem_command){CT_GEM_MVIN_FUNCT, address_of(&v, r->a, r->a_stride, 1),
                                       block_of(&v, loop->a_row | acc)};
    if (which == CT_GEM_LOOP_LD_B)
        return (struct ct_gem_command){
            CT_GEM_MVIN2_FUNCT, address_of(&v, r->b, r->b_stride, 1),
            block_of(&v, loop->b_row | acc | (loop->is_resadd ? CT_GEM_LOCAL_ADD : 0))};
    return (struct ct_gem_command){CT_GEM_MVIN3_FUNCT,
                                   address_of(&v, r->d, r->d_stride, loop->is_low_d ? 1 : 4),
                                   block_of(&v, loop->c_row | CT_GEM_LOCAL_ACCUMULATOR)};
}

static struct ct_gem_command peek_ex(const struct ct_gem_loop *loop)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    const struct ct_gem_loop_position *at = &loop->at[CT_GEM_LOOP_EX];
    const unsigned rows = DIM - (at->i + 1 == r->i ? r->pad_i : 0);
    const unsigned cols = DIM - (at->j + 1 == r->j ? r->pad_j : 0);
    const unsigned depth = DIM - (at->k + 1 == r->k ? r->pad_k : 0);
    if (at->is_second) {
        const unsigned block = loop->a_transpose ? at->k * r->i + at->i : at->i * r->k + at->k;
        return (struct ct_gem_command){at->i == 0 ? CT_GEM_COMPUTE_PRELOADED_FUNCT
                                                  : CT_GEM_COMPUTE_ACCUMULATED_FUNCT,
                                       ct_gem_block_encode(loop->a_row + block * DIM, rows, depth),
                                       ct_gem_block_encode(CT_GEM_LOCAL_NONE, DIM, DIM)};
    }
    const unsigned block = loop->b_transpose ? at->j * r->k + at->k : at->k * r->j + at->j;
    const uint32_t c = (loop->c_row + (at->i * r->j + at->j) * DIM) | CT_GEM_LOCAL_ACCUMULATOR |
                       (loop->is_accumulate || at->k > 0 ? CT_GEM_LOCAL_ADD : 0);
    return (struct ct_gem_command){
        CT_GEM_PRELOAD_FUNCT,
        ct_gem_block_encode(at->i == 0 ? loop->b_row + block * DIM : CT_GEM_LOCAL_NONE, depth,
                            cols),
        ct_gem_block_encode(c, rows, cols)};
}

static bool is_normalised(const struct ct_gem_loop *loop)
{
    return loop->act == CT_GEM_ACT_LAYERNORM || loop->act == CT_GEM_ACT_SOFTMAX;
}

static unsigned rows_of_store(const struct ct_gem_loop *loop)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    return DIM - (loop->at[CT_GEM_LOOP_ST_C].i + 1 == r->i ? r->pad_i : 0);
}

/* A row at a time; the pass and whether the row ends here choose the step. */
static struct ct_gem_command peek_normalised_store(const struct ct_gem_loop *loop)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    const struct ct_gem_loop_position *at = &loop->at[CT_GEM_LOOP_ST_C];
    if (!at->is_second)
        return (struct ct_gem_command){
            CT_GEM_CONFIG_NORM_FUNCT,
            3 | CT_GEM_PUT(CONFIG_NORM, STAT, at->stat) | CT_GEM_PUT(CONFIG_NORM, ONLY_STAT, 1), 0};
    const struct view v = view_acc(loop, CT_GEM_LOOP_ST_C);
    const unsigned row = at->row + at->stat, bytes = loop->is_full_c ? 4 : 1;
    const bool is_last = at->j + blocks_of(&v) >= r->j;
    const uint32_t norm = ct_gem_norm_steps[loop->act == CT_GEM_ACT_SOFTMAX][at->pass][is_last];
    const uint32_t local = (loop->c_row + row) | CT_GEM_LOCAL_ACCUMULATOR |
                           (loop->is_full_c ? CT_GEM_LOCAL_FULL : 0) |
                           norm << CT_GEM_LOCAL_NORM_SHIFT;
    const struct ct_gem_block block = ct_gem_block_decode(block_of(&v, 0));
    return (struct ct_gem_command){
        CT_GEM_MVOUT_FUNCT, address_of(&v, r->c, r->c_stride, bytes) + row * r->c_stride * bytes,
        ct_gem_block_encode(local + block.local.row, 1, block.cols)};
}

static struct ct_gem_command peek_store(const struct ct_gem_loop *loop)
{
    if (is_normalised(loop) && !loop->is_resadd)
        return peek_normalised_store(loop);
    const struct ct_gem_loop_registers *r = &loop->registers;
    const struct view v = view_acc(loop, CT_GEM_LOOP_ST_C);
    const uint32_t full = loop->is_full_c ? CT_GEM_LOCAL_FULL : 0;
    return (struct ct_gem_command){CT_GEM_MVOUT_FUNCT,
                                   address_of(&v, r->c, r->c_stride, loop->is_full_c ? 4 : 1),
                                   block_of(&v, loop->c_row | CT_GEM_LOCAL_ACCUMULATOR | full)};
}

bool ct_gem_loop_peek(const struct ct_gem_loop *loop, enum ct_gem_loop_class which,
                      struct ct_gem_command *command)
{
    if (loop->at[which].is_done)
        return false;
    *command = which == CT_GEM_LOOP_EX     ? peek_ex(loop)
               : which == CT_GEM_LOOP_ST_C ? peek_store(loop)
                                           : peek_load(loop, which);
    return true;
}

/* Counts one digit of an odometer on; true when it wrapped and the next digit is to move. */
static bool count(unsigned *digit, unsigned step, unsigned end)
{
    *digit += step;
    if (*digit < end)
        return false;
    *digit = 0;
    return true;
}

static bool advance_ex(const struct ct_gem_loop_registers *r, struct ct_gem_loop_position *at)
{
    at->is_second = !at->is_second;
    return !at->is_second && count(&at->i, 1, r->i) && count(&at->j, 1, r->j) &&
           count(&at->k, 1, r->k);
}

static bool advance_normalised_store(const struct ct_gem_loop *loop,
                                     struct ct_gem_loop_position *at, unsigned blocks)
{
    const unsigned rows = rows_of_store(loop);
    if (!at->is_second) {
        at->is_second = true;
        return false;
    }
    if (!count(&at->j, blocks, loop->registers.j))
        return false;
    at->is_second = false;
    return count(&at->stat, 1, min(loop->stat_ids, rows - at->row)) &&
           count(&at->pass, 1, CT_GEM_NORM_PASSES) && count(&at->row, loop->stat_ids, rows) &&
           count(&at->i, 1, loop->registers.i);
}

void ct_gem_loop_advance(struct ct_gem_loop *loop, enum ct_gem_loop_class which)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    struct ct_gem_loop_position *at = &loop->at[which];
    if (which == CT_GEM_LOOP_EX) {
        at->is_done = advance_ex(r, at);
        return;
    }
    const struct view v = view_of(loop, which);
    const unsigned blocks = blocks_of(&v);
    if (which == CT_GEM_LOOP_ST_C && is_normalised(loop) && !loop->is_resadd)
        at->is_done = advance_normalised_store(loop, at, blocks);
    else if (which == CT_GEM_LOOP_LD_D || which == CT_GEM_LOOP_ST_C ||
             (which == CT_GEM_LOOP_LD_A && loop->is_resadd))
        at->is_done = count(&at->i, 1, r->i) && count(&at->j, blocks, r->j);
    else if (which == CT_GEM_LOOP_LD_A)
        at->is_done = count(&at->i, loop->a_transpose ? blocks : 1, r->i) &&
                      count(&at->k, loop->a_transpose ? 1 : blocks, r->k);
    else if (loop->is_resadd)
        at->is_done = count(&at->j, blocks, r->j) && count(&at->i, 1, r->i);
    else
        at->is_done = count(&at->j, loop->b_transpose ? 1 : blocks, r->j) &&
                      count(&at->k, loop->b_transpose ? blocks : 1, r->k);
}

bool ct_gem_loop_next(struct ct_gem_loop *loop, enum ct_gem_loop_class which,
                      struct ct_gem_command *command)
{
    if (!ct_gem_loop_peek(loop, which, command))
        return false;
    ct_gem_loop_advance(loop, which);
    return true;
}

/* The hardware compares iterators, so a load counts as done when the iterator has moved past it. */
static bool is_ex_ready(const struct ct_gem_loop *loop)
{
    const struct ct_gem_loop_position *ex = &loop->at[CT_GEM_LOOP_EX];
    const struct ct_gem_loop_position *a = &loop->at[CT_GEM_LOOP_LD_A];
    const struct ct_gem_loop_position *b = &loop->at[CT_GEM_LOOP_LD_B];
    const bool has_a = a->is_done || a->k > ex->k || (a->k == ex->k && a->i > ex->i);
    const bool has_b = b->is_done || b->k > ex->k || (b->k == ex->k && b->j > ex->j);
    return has_a && has_b && loop->at[CT_GEM_LOOP_LD_D].is_done;
}

static bool is_store_ready(const struct ct_gem_loop *loop)
{
    const struct ct_gem_loop_registers *r = &loop->registers;
    const struct ct_gem_loop_position *ex = &loop->at[CT_GEM_LOOP_EX];
    const struct ct_gem_loop_position *st = &loop->at[CT_GEM_LOOP_ST_C];
    if (loop->is_resadd)
        return loop->at[CT_GEM_LOOP_LD_A].is_done && loop->at[CT_GEM_LOOP_LD_B].is_done;
    if (ex->is_done || is_normalised(loop))
        return ex->is_done;
    const struct view v = view_acc(loop, CT_GEM_LOOP_ST_C);
    const unsigned last = st->j + blocks_of(&v) - 1;
    return ex->k + 1 == r->k && (ex->j > last || (ex->j == last && ex->i > st->i));
}

bool ct_gem_loop_is_ready(const struct ct_gem_loop *loop, enum ct_gem_loop_class which)
{
    return which == CT_GEM_LOOP_EX     ? is_ex_ready(loop)
           : which == CT_GEM_LOOP_ST_C ? is_store_ready(loop)
                                       : true;
}

bool ct_gem_loop_is_done(const struct ct_gem_loop *loop)
{
    for (int which = 0; which < CT_GEM_LOOP_CLASSES; which++)
        if (!loop->at[which].is_done)
            return false;
    return true;
}
