/* Random programs on the functional machine, and beside it what they mean: plain loops over arrays,
 * operator by operator, that know nothing of the machine's code but how a command is written.
 *
 *   memory  | any bytes | small int32 | results | what the machine's memories hold at the end |
 *
 * A program is a dozen operators of any kind, whose operands are wherever earlier ones left them; at its
 * end all of the machine's memories are stored, and main memory has to be the same in every byte. */
#include "engine/backend/gemmini/isa.h"
#include "engine/base/rng.h"
#include "tests/support/unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROGRAMS = 3000,
    BASE = 0x4000,
    SMALL = 24 << 10, /* offsets in memory */
    RESULTS = 32 << 10,
    DUMP = 48 << 10,
    MEMORY = 72 << 10,
    SPAD_ROWS = 512, /* of 8 KiB each */
    ACC_ROWS = 128,
    MAX_COMMANDS = 2000,
};

struct model {
    struct ct_rng rng;
    struct ct_gem_config config;
    uint8_t memory[MEMORY];
    int spad[SPAD_ROWS][16];
    int32_t acc[ACC_ROWS][16];
    struct ct_gem_command commands[MAX_COMMANDS];
    size_t n_commands;
};

/* Arithmetic as docs/gemmini.md has it, in 64 bits and the C library's rounding. */
static int32_t wrap(int64_t value)
{
    return (int32_t)(uint32_t)(uint64_t)value;
}

static int64_t clamp(int64_t value, int bits)
{
    const int64_t limit = INT64_C(1) << (bits - 1);
    return value >= limit ? limit - 1 : value < -limit ? -limit : value;
}

static int scaled(int64_t value, float scale)
{
    const float product = (float)value * scale;
    return product >= 127 ? 127 : product <= -128 ? -128 : (int)nearbyintf(product);
}

static int64_t shifted(int64_t value, int shift)
{
    return (int64_t)nearbyint(ldexp((double)value, -shift));
}

static int32_t igelu(int32_t q, int32_t qb, int32_t qc)
{
    const int64_t magnitude = q < 0 ? -(int64_t)q : q, c = magnitude < -qb ? magnitude : -qb;
    const int64_t poly = wrap((c + qb) * (c + qb)) + (int64_t)qc;
    return wrap((int64_t)q * wrap((q < 0 ? -poly : poly) + qc));
}

/* Choices. */
static int below(struct model *m, int n)
{
    return (int)ct_rng_below(&m->rng, (uint64_t)n);
}

static int from_to(struct model *m, int low, int high)
{
    return low + below(m, high - low + 1);
}

static float random_scale(struct model *m)
{
    static const float scales[] = {1, 1, 0.5F, 0.25F, -0.75F, 0.0078125F, 0.013F, 1e-4F, 3.7F};
    return scales[below(m, sizeof scales / sizeof scales[0])];
}

/* Commands. */
static uint64_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void add(struct model *m, uint8_t funct, uint64_t rs1, uint64_t rs2)
{
    assert_true(m->n_commands < MAX_COMMANDS);
    m->commands[m->n_commands++] = (struct ct_gem_command){funct, rs1, rs2};
}

static void config_ld(struct model *m, int id, int stride, int block_stride, float scale,
                      bool is_narrow)
{
    add(m, CT_GEM_CONFIG_LD_FUNCT,
        1 | CT_GEM_PUT(CONFIG_LD, SHRINK, is_narrow) | CT_GEM_PUT(CONFIG_LD, ID, id) |
            CT_GEM_PUT(CONFIG_LD, PIXELS, 1) | CT_GEM_PUT(CONFIG_LD, BLOCK_STRIDE, block_stride) |
            CT_GEM_PUT(CONFIG_LD, SCALE, bits_of(scale)),
        (uint64_t)stride);
}

static void config_st(struct model *m, int stride, int act, float scale)
{
    add(m, CT_GEM_CONFIG_ST_FUNCT, 2 | CT_GEM_PUT(CONFIG_ST, ACT, act),
        CT_GEM_PUT(CONFIG_ST, STRIDE, stride) | CT_GEM_PUT(CONFIG_ST, ACC_SCALE, bits_of(scale)));
}

static uint64_t block(uint32_t local, int rows, int cols)
{
    return ct_gem_block_encode(local, (unsigned)rows, (unsigned)cols);
}

static void mvin(struct model *m, int id, uint64_t address, uint32_t local, int rows, int cols)
{
    static const uint8_t functs[] = {CT_GEM_MVIN_FUNCT, CT_GEM_MVIN2_FUNCT, CT_GEM_MVIN3_FUNCT};
    add(m, functs[id], address, block(local, rows, cols));
}

static int32_t memory_int32(const struct model *m, int offset)
{
    int32_t value;
    memcpy(&value, m->memory + offset, sizeof value);
    return value;
}

/* Sets row and column of either memory. */
static void put(struct model *m, bool is_acc, bool is_added, int row, int col, int64_t value)
{
    if (!is_acc)
        m->spad[row][col] = (int)value;
    else
        m->acc[row][col] = wrap(value + (is_added ? m->acc[row][col] : 0));
}

/* A matrix in memory to rows and columns of either memory, or zeros. */
static void load(struct model *m)
{
    const bool is_acc = below(m, 2), is_narrow = below(m, 2), is_wide = is_acc && !is_narrow;
    const bool is_added = is_acc && below(m, 2), is_zero = below(m, 8) == 0;
    const int id = below(m, 3), bytes = is_wide ? 4 : 1;
    const int rows = from_to(m, 1, 16), cols = from_to(m, 1, 64 / bytes);
    const int block_stride = from_to(m, 16, 20), stride = below(m, 4) == 0 ? 0 : from_to(m, 4, 300);
    const int room = (is_acc ? ACC_ROWS : SPAD_ROWS) - (cols - 1) / 16 * block_stride - rows;
    const int row = below(m, room + 1);
    const int from = is_wide && below(m, 2) ? SMALL + 4 * below(m, 500) : below(m, SMALL);
    const float scale = is_wide ? 1 : random_scale(m);
    config_ld(m, id, stride, block_stride, scale, is_narrow);
    mvin(m, id, is_zero ? 0 : (uint64_t)(BASE + from),
         (uint32_t)row | (is_acc ? CT_GEM_LOCAL_ACCUMULATOR : 0) |
             (is_added ? CT_GEM_LOCAL_ADD : 0),
         rows, cols);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            const int at = from + i * stride + j * bytes;
            const int64_t value = is_zero   ? 0
                                  : is_wide ? memory_int32(m, at)
                                            : scaled((int8_t)m->memory[at], scale);
            put(m, is_acc, is_added, row + j / 16 * block_stride + i, j % 16, value);
        }
}

/* Rows of either memory to a matrix in memory. */
static void store(struct model *m)
{
    const bool is_acc = below(m, 3) > 0, is_full = is_acc && below(m, 3) == 0;
    const int act = is_acc && !is_full ? (const int[]){0, 1, 3}[below(m, 3)] : 0;
    const int rows = from_to(m, 1, 16), cols = from_to(m, 1, is_full ? 16 : 64);
    const int row = below(m, (is_acc ? ACC_ROWS : SPAD_ROWS) - (cols - 1) / 16 * 16 - rows + 1);
    const int stride = from_to(m, 64, 300), to = RESULTS + below(m, 8000);
    const float scale = act == 3 ? 1e-5F : random_scale(m);
    const int32_t qb = -from_to(m, 1, 400), qc = -from_to(m, 0, 100000);
    config_st(m, stride, act, scale);
    if (act == 3)
        add(m, CT_GEM_CONFIG_NORM_FUNCT, 3,
            CT_GEM_PUT(CONFIG_NORM, QB, qb) | CT_GEM_PUT(CONFIG_NORM, QC, qc));
    add(m, CT_GEM_MVOUT_FUNCT, (uint64_t)(BASE + to),
        block((uint32_t)row | (is_acc ? CT_GEM_LOCAL_ACCUMULATOR : 0) |
                  (is_full ? CT_GEM_LOCAL_FULL : 0),
              rows, cols));
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            const int from = row + j / 16 * 16 + i;
            if (is_full) {
                memcpy(m->memory + to + i * stride + 4 * j, &m->acc[from][j], 4);
                continue;
            }
            int value = m->spad[from][j % 16];
            if (is_acc && act == 3)
                value = scaled(igelu(m->acc[from][j % 16], qb, qc), scale);
            else if (is_acc)
                value = scaled(m->acc[from][j % 16], scale);
            m->memory[to + i * stride + j] = (uint8_t)(act == 1 && value < 0 ? 0 : value);
        }
}

/* A block of int8 in the scratchpad, zeros around it; of a transposed one, rows are columns. */
struct view {
    bool is_none, is_transposed;
    int row, stride, rows, cols;
};

static struct view random_view(struct model *m, int rows, int cols, int stride, bool is_transposed)
{
    const int lines = is_transposed ? cols : rows;
    return (struct view){.is_transposed = is_transposed,
                         .row = below(m, SPAD_ROWS - (lines - 1) * stride),
                         .stride = stride,
                         .rows = rows,
                         .cols = cols};
}

static uint64_t view_block(const struct view *v)
{
    return block(v->is_none ? CT_GEM_LOCAL_NONE : (uint32_t)v->row, v->rows, v->cols);
}

static int view_at(const struct model *m, const struct view *v, int i, int j)
{
    if (v->is_none || i >= v->rows || j >= v->cols)
        return 0;
    return v->is_transposed ? m->spad[v->row + j * v->stride][i]
                            : m->spad[v->row + i * v->stride][j];
}

/* Where a product goes. */
struct target {
    bool is_acc, is_added, is_relu;
    int row, stride, rows, cols;
};

static struct target random_target(struct model *m, int rows, int cols, int stride, bool is_relu)
{
    struct target t = {.is_acc = below(m, 3) > 0, .is_relu = is_relu, .stride = stride};
    t.is_added = t.is_acc && below(m, 2);
    t.rows = from_to(m, 1, rows);
    t.cols = from_to(m, 1, cols);
    t.row = below(m, (t.is_acc ? ACC_ROWS : SPAD_ROWS) - (t.rows - 1) * stride);
    return t;
}

static uint64_t target_block(const struct target *t)
{
    return block((uint32_t)t->row | (t->is_acc ? CT_GEM_LOCAL_ACCUMULATOR : 0) |
                     (t->is_added ? CT_GEM_LOCAL_ADD : 0),
                 t->rows, t->cols);
}

static void put_target(struct model *m, const struct target *t, int64_t values[16][16])
{
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->cols; j++) {
            int64_t value = values[i][j];
            if (!t->is_acc)
                value = clamp(value, 8);
            put(m, t->is_acc, t->is_added, t->row + i * t->stride, j,
                !t->is_acc && t->is_relu && value < 0 ? 0 : value);
        }
}

static void config_ex(struct model *m, bool is_ws, bool a_transpose, bool b_transpose, bool is_relu,
                      int shift, int a_stride, int c_stride)
{
    add(m, CT_GEM_FLUSH_FUNCT, 0, 0);
    add(m, CT_GEM_CONFIG_EX_FUNCT,
        CT_GEM_PUT(CONFIG_EX, WS, is_ws) | CT_GEM_PUT(CONFIG_EX, ACT, is_relu) |
            CT_GEM_PUT(CONFIG_EX, A_TRANSPOSE, a_transpose) |
            CT_GEM_PUT(CONFIG_EX, B_TRANSPOSE, b_transpose) |
            CT_GEM_PUT(CONFIG_EX, A_STRIDE, a_stride) |
            CT_GEM_PUT(CONFIG_EX, ACC_SCALE, bits_of(1)),
        CT_GEM_PUT(CONFIG_EX, SHIFT, shift) | CT_GEM_PUT(CONFIG_EX, C_STRIDE, c_stride));
}

static void add_product(const struct model *m, const struct view *a, const struct view *b,
                        int64_t values[16][16])
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            for (int k = 0; k < 16; k++)
                values[i][j] += view_at(m, a, i, k) * view_at(m, b, k, j);
}

static void set_values(const struct model *m, const struct view *d, int64_t values[16][16])
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            values[i][j] = view_at(m, d, i, j);
}

/* C = A W + D for one to three A and D, with the W of the first. */
static void multiply_ws(struct model *m)
{
    const bool a_transpose = below(m, 3) == 0, b_transpose = !a_transpose && below(m, 3) == 0;
    const bool is_relu = below(m, 2);
    const int a_stride = from_to(m, 1, 3), c_stride = from_to(m, 1, 3);
    const int k = from_to(m, 1, 16), n = from_to(m, 1, 16);
    const struct view b = random_view(m, k, n, 1, b_transpose);
    int weights[16][16];
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            weights[i][j] = view_at(m, &b, i, j);
    config_ex(m, true, a_transpose, b_transpose, is_relu, below(m, 8), a_stride, c_stride);
    for (int left = from_to(m, 1, 3), is_first = 1; left > 0; left--, is_first = 0) {
        const int rows = from_to(m, 1, 16);
        const struct view a = random_view(m, rows, k, a_stride, a_transpose);
        struct view d = random_view(m, rows, n, 1, false);
        const struct target c = random_target(m, 16, 16, c_stride, is_relu);
        int64_t values[16][16];
        d.is_none = below(m, 2);
        add(m, CT_GEM_PRELOAD_FUNCT, is_first ? view_block(&b) : block(CT_GEM_LOCAL_NONE, 16, 16),
            target_block(&c));
        add(m, is_first ? CT_GEM_COMPUTE_PRELOADED_FUNCT : CT_GEM_COMPUTE_ACCUMULATED_FUNCT,
            view_block(&a), view_block(&d));
        set_values(m, &d, values);
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 16; j++)
                for (int at = 0; at < 16; at++)
                    values[i][j] += view_at(m, &a, i, at) * weights[at][j];
        put_target(m, &c, values);
    }
}

/* C = D + A1 B1 + A2 B2 ..., shifted. */
static void multiply_os(struct model *m)
{
    const bool a_transpose = below(m, 2), b_transpose = a_transpose && below(m, 2);
    const bool is_relu = below(m, 2);
    const int a_stride = from_to(m, 1, 3), c_stride = from_to(m, 1, 3),
              shift = below(m, 2) ? 0 : below(m, 12);
    const int rows = from_to(m, 1, 16), cols = from_to(m, 1, 16), n = from_to(m, 1, 4);
    const struct target c = random_target(m, rows, cols, c_stride, is_relu);
    struct view d = random_view(m, rows, cols, 1, false);
    int64_t values[16][16];
    d.is_none = below(m, 2);
    set_values(m, &d, values);
    config_ex(m, false, a_transpose, b_transpose, is_relu, shift, a_stride, c_stride);
    for (int i = 0; i < n; i++) {
        const int k = from_to(m, 1, 16);
        const struct view a = random_view(m, rows, k, a_stride, a_transpose);
        const struct view b = random_view(m, k, cols, 1, b_transpose);
        const struct view none = {.is_none = true, .rows = 16, .cols = 16};
        add(m, CT_GEM_PRELOAD_FUNCT, view_block(i == 0 ? &d : &none),
            i + 1 == n ? target_block(&c) : view_block(&none));
        add(m, i == 0 ? CT_GEM_COMPUTE_PRELOADED_FUNCT : CT_GEM_COMPUTE_ACCUMULATED_FUNCT,
            view_block(&a), view_block(&b));
        add_product(m, &a, &b, values);
    }
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            values[i][j] = clamp(shifted(values[i][j], shift), 20);
    put_target(m, &c, values);
}

/* LayerNorm and softmax of a row. False: its sums would wrap. */
static bool layernorm(const int32_t *x, int n, float scale, int *out)
{
    int64_t sum = 0, squares = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    const int64_t mean = sum / n;
    for (int i = 0; i < n; i++) {
        if (llabs(x[i] - mean) > INT16_MAX)
            return false;
        squares += (x[i] - mean) * (x[i] - mean);
    }
    if (squares > INT32_MAX)
        return false;
    int64_t root = (int64_t)sqrt((double)(squares / n));
    const float inverse = 1.0F / (float)(root > 0 ? root : 1);
    for (int i = 0; i < n; i++)
        out[i] = scaled(x[i] - mean, inverse * scale);
    return true;
}

struct exponential {
    int ln2, inverse, qb, qc;
};

static bool softmax(const int32_t *x, int n, const struct exponential *e, float scale, int *out)
{
    int64_t sum = 0, max = x[0], exps[64];
    for (int i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int i = 0; i < n; i++) {
        const int64_t q = x[i] - max, z = -q * e->inverse >> 16, p = q + z * e->ln2 + e->qb;
        if (-q * e->inverse > INT32_MAX || p > 40000)
            return false;
        const int64_t poly = p * p + e->qc;
        exps[i] = z < 32 ? poly >> z : 0;
        sum += exps[i];
    }
    const float inverse = 127.0F / (float)sum;
    for (int i = 0; i < n; i++)
        out[i] = scaled(exps[i], inverse * scale);
    return sum <= INT32_MAX;
}

/* The three passes over a row of the accumulator, its blocks 16 rows apart. */
static void normalise(struct model *m)
{
    const bool is_softmax = below(m, 2);
    const int cols = from_to(m, 1, 64), row = below(m, ACC_ROWS - (cols - 1) / 16 * 16);
    const int to = RESULTS + below(m, 8000), stat = below(m, m->config.norm_stat_ids);
    const int passes[2][3] = {{CT_GEM_NORM_MEAN, CT_GEM_NORM_INV_STDDEV, CT_GEM_NORM_RESET},
                              {CT_GEM_NORM_MAX, CT_GEM_NORM_INV_SUM_EXP, CT_GEM_NORM_RESET}};
    const int ln2 = from_to(m, 10, 200);
    const struct exponential e = {ln2, 65536 / ln2, 2 * ln2, from_to(m, 0, 2 * ln2 * ln2)};
    const float scale = is_softmax ? 1 : 30;
    int32_t x[64];
    int out[64];
    for (int j = 0; j < cols; j++)
        x[j] = m->acc[row + j / 16 * 16][j % 16];
    if (!(is_softmax ? softmax(x, cols, &e, scale, out) : layernorm(x, cols, scale, out)))
        return;
    config_st(m, 64, is_softmax ? 0 : CT_GEM_ACT_LAYERNORM, scale);
    for (unsigned inverse = 0; inverse < 2; inverse++)
        add(m, CT_GEM_CONFIG_NORM_FUNCT,
            3 | CT_GEM_PUT(CONFIG_NORM, STAT, stat) | CT_GEM_PUT(CONFIG_NORM, SOFTMAX, is_softmax) |
                CT_GEM_PUT(CONFIG_NORM, IS_INVERSE, inverse) |
                CT_GEM_PUT(CONFIG_NORM, LN2, inverse ? e.inverse : e.ln2),
            CT_GEM_PUT(CONFIG_NORM, QB, e.qb) | CT_GEM_PUT(CONFIG_NORM, QC, e.qc));
    for (int pass = 0; pass < 3; pass++)
        add(m, CT_GEM_MVOUT_FUNCT, (uint64_t)(BASE + to),
            block((uint32_t)row | CT_GEM_LOCAL_ACCUMULATOR |
                      (uint32_t)passes[is_softmax][pass] << CT_GEM_LOCAL_NORM_SHIFT,
                  1, cols));
    for (int j = 0; j < cols; j++)
        m->memory[to + j] = (uint8_t)out[j];
}

/* The scratchpad full of bytes from memory. */
static void fill(struct model *m)
{
    config_ld(m, 0, 64, 16, 1, false);
    for (int row = 0; row < SPAD_ROWS; row += 64)
        mvin(m, 0, (uint64_t)(BASE + row * 16), (uint32_t)row, 16, 64);
    for (int row = 0; row < SPAD_ROWS; row++)
        for (int j = 0; j < 16; j++)
            m->spad[row][j] =
                (int8_t)m->memory[row / 64 * 1024 + row % 16 * 64 + row % 64 / 16 * 16 + j];
}

/* Zeros in all of both memories. */
static void wipe(struct model *m)
{
    config_ld(m, 0, 64, 16, 1, true);
    for (int row = 0; row < SPAD_ROWS; row += 64)
        mvin(m, 0, 0, (uint32_t)row, 16, 64);
    for (int row = 0; row < ACC_ROWS; row += 64)
        mvin(m, 0, 0, (uint32_t)row | CT_GEM_LOCAL_ACCUMULATOR, 16, 64);
    memset(m->spad, 0, sizeof m->spad);
    memset(m->acc, 0, sizeof m->acc);
}

static void add_loop(struct model *m, int rows, int cols, int depth, uint64_t d, uint64_t d_stride,
                     const int *operands, uint64_t rs1, uint64_t rs2)
{
    const int i = (rows + 15) / 16, j = (cols + 15) / 16, k = (depth + 15) / 16;
    add(m, CT_GEM_LOOP_BOUNDS_FUNCT,
        CT_GEM_PUT(LOOP_BOUNDS, PAD_I, 16 * i - rows) |
            CT_GEM_PUT(LOOP_BOUNDS, PAD_J, 16 * j - cols) |
            CT_GEM_PUT(LOOP_BOUNDS, PAD_K, 16 * k - depth),
        CT_GEM_PUT(LOOP_BOUNDS, I, i) | CT_GEM_PUT(LOOP_BOUNDS, J, j) |
            CT_GEM_PUT(LOOP_BOUNDS, K, k));
    add(m, CT_GEM_LOOP_ADDRS_AB_FUNCT, (uint64_t)(BASE + operands[0]),
        (uint64_t)(BASE + operands[2]));
    add(m, CT_GEM_LOOP_ADDRS_DC_FUNCT, d, (uint64_t)(BASE + operands[4]));
    add(m, CT_GEM_LOOP_STRIDES_AB_FUNCT, (uint64_t)operands[1], (uint64_t)operands[3]);
    add(m, CT_GEM_LOOP_STRIDES_DC_FUNCT, d_stride, (uint64_t)operands[5]);
    add(m, CT_GEM_LOOP_WS_FUNCT, rs1, rs2);
}

/* C = act(A B + D) scaled, or as int32, all in memory. Leaves nothing in the machine that is known. */
static void loop(struct model *m)
{
    static const int extents[][3] = {{4, 1, 3}, {1, 4, 3}, {2, 2, 4},
                                     {1, 1, 8}, {1, 2, 5}, {3, 1, 2}};
    const int *most = extents[below(m, 6)];
    const int rows = from_to(m, 1, 16 * most[0]), cols = from_to(m, 1, 16 * most[1]),
              depth = from_to(m, 1, 16 * most[2]);
    const bool a_transpose = below(m, 3) == 0, b_transpose = !a_transpose && below(m, 2);
    const bool has_d = below(m, 2), is_full = below(m, 3) == 0, is_relu = !is_full && below(m, 2);
    const int a_stride = (a_transpose ? rows : depth) + below(m, 40);
    const int b_stride = (b_transpose ? depth : cols) + below(m, 40);
    const int c_stride = cols + below(m, 20), d_stride = below(m, 2) ? 0 : cols;
    const int a = below(m, 8000), b = below(m, 8000), c = RESULTS + below(m, 400) * 4, d = SMALL;
    const float scale = is_full ? 1 : random_scale(m);
    config_ex(m, true, a_transpose, b_transpose, false, 0, 1, 1);
    config_ld(m, 0, a_stride, 16, 1, false);
    config_ld(m, 1, b_stride, 16, 1, false);
    config_ld(m, 2, d_stride * 4, 16, 1, false);
    config_st(m, c_stride * (is_full ? 4 : 1), is_relu, scale);
    add_loop(m, rows, cols, depth, has_d ? (uint64_t)(BASE + d) : 0, (uint64_t)d_stride,
             (const int[]){a, a_stride, b, b_stride, c, c_stride},
             CT_GEM_PUT(LOOP_WS, ACCUMULATE, has_d) | CT_GEM_PUT(LOOP_WS, FULL_C, is_full) |
                 CT_GEM_PUT(LOOP_WS, ACT, is_relu),
             CT_GEM_PUT(LOOP_WS, A_TRANSPOSE, a_transpose) |
                 CT_GEM_PUT(LOOP_WS, B_TRANSPOSE, b_transpose));
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            int32_t sum = has_d ? memory_int32(m, d + 4 * (i * d_stride + j)) : 0;
            for (int k = 0; k < depth; k++)
                sum +=
                    (int8_t)m->memory[a_transpose ? a + k * a_stride + i : a + i * a_stride + k] *
                    (int8_t)m->memory[b_transpose ? b + j * b_stride + k : b + k * b_stride + j];
            const int narrow = scaled(sum, scale);
            if (is_full)
                memcpy(m->memory + c + 4 * (i * c_stride + j), &sum, 4);
            else
                m->memory[c + i * c_stride + j] = (uint8_t)(is_relu && narrow < 0 ? 0 : narrow);
        }
    wipe(m);
}

/* C = act(A x its scale + B x its scale) scaled, all in memory. */
static void loop_add(struct model *m)
{
    const int rows = from_to(m, 1, 32), cols = from_to(m, 1, 32);
    const int a = below(m, 8000), b = below(m, 8000), c = RESULTS + below(m, 4000);
    const int a_stride = cols + below(m, 40), b_stride = cols + below(m, 40),
              c_stride = cols + below(m, 40);
    const float a_scale = random_scale(m), b_scale = random_scale(m), scale = random_scale(m);
    const bool is_relu = below(m, 2);
    config_ld(m, 0, a_stride, 16, a_scale, true);
    config_ld(m, 1, b_stride, 16, b_scale, true);
    config_st(m, c_stride, is_relu, scale);
    add_loop(m, rows, cols, 0, 0, 0, (const int[]){a, a_stride, b, b_stride, c, c_stride},
             CT_GEM_PUT(LOOP_WS, ACT, is_relu), CT_GEM_PUT(LOOP_WS, RESADD, 1));
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            const int sum = scaled((int8_t)m->memory[a + i * a_stride + j], a_scale) +
                            scaled((int8_t)m->memory[b + i * b_stride + j], b_scale);
            const int narrow = scaled(sum, scale);
            m->memory[c + i * c_stride + j] = (uint8_t)(is_relu && narrow < 0 ? 0 : narrow);
        }
    wipe(m);
}

/* All that the machine holds, to the end of memory. */
static void dump(struct model *m)
{
    int at = DUMP;
    config_st(m, 16, 0, 1);
    for (int row = 0; row < SPAD_ROWS; row += 16, at += 256)
        add(m, CT_GEM_MVOUT_FUNCT, (uint64_t)(BASE + at), block((uint32_t)row, 16, 16));
    config_st(m, 64, 0, 1);
    for (int row = 0; row < ACC_ROWS; row += 16, at += 1024)
        add(m, CT_GEM_MVOUT_FUNCT, (uint64_t)(BASE + at),
            block((uint32_t)row | CT_GEM_LOCAL_ACCUMULATOR | CT_GEM_LOCAL_FULL, 16, 16));
    add(m, CT_GEM_FENCE_FUNCT, 0, 0);
    for (int row = 0; row < SPAD_ROWS; row++)
        for (int j = 0; j < 16; j++)
            m->memory[DUMP + row * 16 + j] = (uint8_t)m->spad[row][j];
    memcpy(m->memory + DUMP + SPAD_ROWS * 16, m->acc, sizeof m->acc);
}

static void check_program(struct model *m, uint64_t seed)
{
    static void (*const operators[])(struct model *) = {
        load,        load,        load,      store, store,   multiply_ws,
        multiply_ws, multiply_os, normalise, loop,  loop_add};
    static uint8_t memory[MEMORY];
    const struct ct_gem_segment segment = {BASE, MEMORY, memory};
    struct ct_gem_machine *machine;
    struct ct_error err;
    memset(m, 0, sizeof *m);
    ct_rng_init(&m->rng, seed);
    assert_int_equal(ct_gem_config_preset("default", &m->config, &err), CT_OK);
    m->config.spad_kb = m->config.acc_kb = 8;
    m->config.norm_stat_ids = from_to(m, 1, 4);
    const int low = below(m, 4) == 0 ? 96 : -128; /* large sums, now and then */
    for (int i = 0; i < RESULTS; i++)
        m->memory[i] = (uint8_t)from_to(m, low, 127);
    for (int at = SMALL; at < RESULTS; at += 4) {
        const int32_t value = from_to(m, -3000, 3000);
        memcpy(m->memory + at, &value, 4);
    }
    memcpy(memory, m->memory, MEMORY);
    fill(m);
    for (int n = from_to(m, 1, 24); n > 0; n--)
        operators[below(m, sizeof operators / sizeof operators[0])](m);
    dump(m);
    assert_int_equal(ct_gem_machine_open(&m->config, &segment, 1, &machine, &err), CT_OK);
    if (ct_gem_machine_run(machine, m->commands, m->n_commands, &err) != CT_OK)
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.message);
    ct_gem_machine_close(machine);
    for (int i = 0; i < MEMORY; i++)
        if (memory[i] != m->memory[i])
            fail_msg("seed %llu: byte 0x%x is %d, not %d", (unsigned long long)seed, i, memory[i],
                     m->memory[i]);
}

static void programs_leave_what_plain_loops_do(void **state)
{
    (void)state;
    const char *first = getenv("CENTROID_TEST_SEED");
    const uint64_t seed = first != NULL ? strtoull(first, NULL, 10) : 1;
    struct model *m = malloc(sizeof *m);
    assert_non_null(m);
    print_message("seeds %llu to %llu (CENTROID_TEST_SEED)\n", (unsigned long long)seed,
                  (unsigned long long)seed + PROGRAMS - 1);
    for (uint64_t i = 0; i < PROGRAMS; i++)
        check_program(m, seed + i);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_leave_what_plain_loops_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
