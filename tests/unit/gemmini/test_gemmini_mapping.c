/* Programs of whole operators: the functional machine runs them, and finds what plain loops find. */
#include "engine/backend/gemmini/gem_mapping.h"
#include "engine/backend/gemmini/isa.h"
#include "engine/backend/gemmini/loop.h"
#include "engine/backend/gemmini/norm.h"
#include "engine/base/rng.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

enum { BASE = 0x1000, MEMORY = 1 << 20, MAX_COLS = 512 };

/* A machine with its memory, and the loops of its program unrolled beside it to count stores. */
struct rig {
    struct ct_gem_config config;
    struct ct_gem_machine *machine;
    struct ct_gem_segment segment;
    uint64_t next;
    struct ct_gem_loop_registers registers;
    struct ct_gem_loop_turn turn;
    uint32_t store_stride;
    uint8_t *n_stores; /* of each byte */
    size_t n_commands, n_fences;
    struct ct_rng rng;
};

static void rig_init(struct rig *rig, const char *preset, uint64_t seed)
{
    struct ct_error err;
    *rig = (struct rig){.next = BASE};
    assert_int_equal(ct_gem_config_preset(preset, &rig->config, &err), CT_OK);
    rig->segment = (struct ct_gem_segment){BASE, MEMORY, calloc(1, MEMORY)};
    rig->n_stores = calloc(1, MEMORY);
    ct_rng_init(&rig->rng, seed);
}

static void rig_start(struct rig *rig)
{
    struct ct_error err;
    assert_int_equal(ct_gem_machine_open(&rig->config, &rig->segment, 1, &rig->machine, &err),
                     CT_OK);
}

static void rig_deinit(struct rig *rig)
{
    ct_gem_machine_close(rig->machine);
    free(rig->segment.bytes);
    free(rig->n_stores);
}

static uint8_t *bytes_at(const struct rig *rig, uint64_t address)
{
    return rig->segment.bytes + (address - BASE);
}

/* A matrix of rows x cols with some room behind its rows. */
static struct ct_gem_matrix place(struct rig *rig, size_t rows, size_t cols, size_t bytes)
{
    const struct ct_gem_matrix m = {rig->next, cols + ct_rng_below(&rig->rng, 3) * 16};
    rig->next += (rows * m.stride * bytes + 63) / 64 * 64;
    assert_true(rig->next < BASE + MEMORY);
    return m;
}

static void fill_int8(struct rig *rig, uint64_t address, size_t n, int limit)
{
    for (size_t i = 0; i < n; i++)
        bytes_at(rig, address)[i] =
            (uint8_t)((int)ct_rng_below(&rig->rng, (uint64_t)(2 * limit + 1)) - limit);
}

static void fill_int32(struct rig *rig, uint64_t address, size_t n, int limit)
{
    for (size_t i = 0; i < n; i++) {
        const int32_t value = (int)ct_rng_below(&rig->rng, (uint64_t)(2 * limit + 1)) - limit;
        memcpy(bytes_at(rig, address) + 4 * i, &value, 4);
    }
}

static int32_t int8_at(const struct rig *rig, const struct ct_gem_matrix *m, size_t row, size_t col)
{
    return (int8_t)*bytes_at(rig, m->address + row * m->stride + col);
}

static int32_t int32_at(const struct rig *rig, const struct ct_gem_matrix *m, size_t row,
                        size_t col)
{
    int32_t value;
    memcpy(&value, bytes_at(rig, m->address + 4 * (row * m->stride + col)), 4);
    return value;
}

static void count_store(struct rig *rig, const struct ct_gem_command *command)
{
    const struct ct_gem_block block = ct_gem_block_decode(command->rs2);
    const size_t bytes = block.local.is_full ? 4 : 1;
    if (block.local.norm != CT_GEM_NORM_RESET)
        return;
    for (size_t row = 0; row < block.rows; row++)
        for (size_t i = 0; i < block.cols * bytes; i++)
            rig->n_stores[command->rs1 + row * rig->store_stride + i - BASE]++;
}

static void count_stores(struct rig *rig, const struct ct_gem_command *command)
{
    struct ct_error err;
    struct ct_gem_loop loop;
    struct ct_gem_command next;
    switch (ct_gem_command_instruction(command)) {
    case CT_GEM_CONFIG_ST:
        rig->store_stride = (uint32_t)CT_GEM_GET(*command, CONFIG_ST, STRIDE);
        break;
    case CT_GEM_MVOUT:
        count_store(rig, command);
        break;
    case CT_GEM_LOOP_WS:
        assert_int_equal(ct_gem_loop_start(&rig->config, &rig->registers, command, false,
                                           &rig->turn, &loop, &err),
                         CT_OK);
        while (ct_gem_loop_next(&loop, CT_GEM_LOOP_ST_C, &next))
            if (ct_gem_command_instruction(&next) == CT_GEM_MVOUT)
                count_store(rig, &next);
        break;
    default:
        ct_gem_loop_configure(&rig->registers, command);
    }
}

static void run(void *context, const struct ct_gem_command *command)
{
    struct rig *rig = context;
    struct ct_error err;
    if (ct_gem_machine_run(rig->machine, command, 1, &err) != CT_OK)
        fail_msg("%s", err.message);
    rig->n_commands++;
    rig->n_fences += ct_gem_command_instruction(command) == CT_GEM_FENCE;
    count_stores(rig, command);
}

/* Each byte of the matrix was stored once, and no other. */
static void check_stores(const struct rig *rig, const struct ct_gem_matrix *m, size_t rows,
                         size_t cols, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < MEMORY; i++)
        n += rig->n_stores[i];
    assert_int_equal(n, rows * cols * bytes);
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < cols * bytes; i++)
            assert_int_equal(rig->n_stores[m->address + row * m->stride * bytes + i - BASE], 1);
    assert_int_equal(rig->n_fences, 1);
}

/* Softmax or LayerNorm of a row: three passes over its blocks. */
static void normalise(const struct ct_gem_scaling *scaling, const int32_t *row, size_t n,
                      int8_t *out)
{
    const bool is_softmax = scaling->act == CT_GEM_ACT_SOFTMAX;
    struct ct_gem_stat stat = {.is_fresh = true};
    for (int pass = 0; pass < CT_GEM_NORM_PASSES - 1; pass++)
        for (size_t col = 0; col < n; col += 16)
            ct_gem_norm_step(&stat, scaling, ct_gem_norm_steps[is_softmax][pass][col + 16 >= n],
                             row + col, (unsigned)(n - col < 16 ? n - col : 16));
    for (size_t col = 0; col < n; col += 16)
        ct_gem_norm_narrow(&stat, scaling, row + col, (unsigned)(n - col < 16 ? n - col : 16),
                           out + col);
}

static struct ct_gem_scaling scaling_of(enum ct_gem_activation act, float scale, float act_scale)
{
    struct ct_gem_scaling scaling = {.act = act, .scale = scale};
    if (act == CT_GEM_ACT_IGELU)
        ct_gem_igelu_constants(act_scale, &scaling.igelu_qb, &scaling.igelu_qc);
    if (act == CT_GEM_ACT_SOFTMAX)
        scaling.iexp = ct_gem_iexp_constants(act_scale);
    return scaling;
}

static void finish_row(const struct ct_gem_matmul *op, const int32_t *row, int8_t *out)
{
    const struct ct_gem_scaling scaling = scaling_of(op->act, op->scale, op->act_scale);
    const struct ct_gem_stat none = {0};
    if (op->act == CT_GEM_ACT_LAYERNORM || op->act == CT_GEM_ACT_SOFTMAX)
        normalise(&scaling, row, op->n, out);
    else
        ct_gem_norm_narrow(&none, &scaling, row, (unsigned)op->n, out);
}

static void check_matmul(const struct rig *rig, const struct ct_gem_matmul *op)
{
    for (size_t i = 0; i < op->m; i++) {
        int32_t row[MAX_COLS];
        int8_t out[MAX_COLS];
        for (size_t j = 0; j < op->n; j++) {
            row[j] = op->d.address != 0 ? int32_at(rig, &op->d, i, j) : 0;
            for (size_t k = 0; k < op->k; k++)
                row[j] +=
                    (op->a_transpose ? int8_at(rig, &op->a, k, i) : int8_at(rig, &op->a, i, k)) *
                    (op->b_transpose ? int8_at(rig, &op->b, j, k) : int8_at(rig, &op->b, k, j));
        }
        finish_row(op, row, out);
        for (size_t j = 0; j < op->n; j++)
            assert_int_equal(op->is_full_c ? int32_at(rig, &op->c, i, j)
                                           : int8_at(rig, &op->c, i, j),
                             op->is_full_c ? row[j] : out[j]);
    }
}

static struct ct_gem_matmul random_matmul(struct rig *rig)
{
    struct ct_rng *rng = &rig->rng;
    struct ct_gem_matmul op = {.m = 1 + ct_rng_below(rng, 140),
                               .n = 1 + ct_rng_below(rng, 300),
                               .k = 1 + ct_rng_below(rng, 300),
                               .scale = 0.004F,
                               .act_scale = 0.02F};
    op.is_os = ct_rng_below(rng, 3) == 0;
    op.a_transpose = ct_rng_below(rng, 4) == 0;
    op.b_transpose = op.a_transpose == op.is_os && ct_rng_below(rng, 2) == 0;
    op.act = (enum ct_gem_activation)ct_rng_below(rng, op.is_os ? 2 : 5);
    op.is_full_c = op.act == CT_GEM_ACT_NONE && ct_rng_below(rng, 2) == 0;
    if (op.act == CT_GEM_ACT_LAYERNORM)
        op.scale = 30;
    if (op.act == CT_GEM_ACT_SOFTMAX)
        op.scale = 1;
    if (op.act == CT_GEM_ACT_IGELU)
        op.scale = 1e-5F;
    op.a = op.a_transpose ? place(rig, op.k, op.m, 1) : place(rig, op.m, op.k, 1);
    op.b = op.b_transpose ? place(rig, op.n, op.k, 1) : place(rig, op.k, op.n, 1);
    const uint64_t bias = ct_rng_below(rng, 3);
    if (bias > 0)
        op.d = place(rig, bias == 1 ? 1 : op.m, op.n, 4);
    fill_int8(rig, BASE, op.d.address != 0 ? op.d.address - BASE : rig->next - BASE, 8);
    if (bias > 0)
        fill_int32(rig, op.d.address, (rig->next - op.d.address) / 4, 500);
    if (bias == 1)
        op.d.stride = 0;
    op.c = place(rig, op.m, op.n, op.is_full_c ? 4 : 1);
    return op;
}

static void check_product(struct rig *rig, const struct ct_gem_matmul *op)
{
    struct ct_error err;
    rig_start(rig);
    if (ct_gem_map_matmul(&rig->config, op, run, rig, &err) != CT_OK)
        fail_msg("%s", err.message);
    check_matmul(rig, op);
    check_stores(rig, &op->c, op->m, op->n, op->is_full_c ? 4 : 1);
}

static void products_are_those_of_plain_loops(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig rig;
        print_message("seed %llu\n", (unsigned long long)seed);
        rig_init(&rig, seed % 2 == 0 ? "default" : "ibert", seed);
        if (seed % 3 != 0) { /* so small that products need many tiles */
            rig.config.spad_kb = 16;
            rig.config.acc_kb = 64;
        }
        const struct ct_gem_matmul op = random_matmul(&rig);
        check_product(&rig, &op);
        rig_deinit(&rig);
    }
}

/* A random tile that fits, also larger than the product; all columns where they are normalised. */
static struct ct_gem_tiles random_tile(struct rig *rig, const struct ct_gem_matmul *op)
{
    struct ct_rng *rng = &rig->rng;
    const size_t spad = ct_gem_config_spad_blocks(&rig->config, op->is_os);
    const size_t acc = ct_gem_config_acc_blocks(&rig->config, op->is_os);
    struct ct_gem_tiles t = {.j = 1 + ct_rng_below(rng, acc)};
    if (op->act == CT_GEM_ACT_LAYERNORM || op->act == CT_GEM_ACT_SOFTMAX)
        t.j = (op->n + 15) / 16;
    t.i = 1 + ct_rng_below(rng, acc / t.j);
    t.k = 1 + ct_rng_below(rng, spad / (t.i + t.j));
    return t;
}

static void products_are_the_same_by_any_mapping(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 80; seed++) {
        struct rig rig;
        print_message("seed %llu\n", (unsigned long long)seed);
        rig_init(&rig, "ibert", seed);
        if (seed % 2 == 0) {
            rig.config.spad_kb = 32;
            rig.config.acc_kb = 64;
        }
        rig.config.rob_loops_in_flight = seed % 5 == 0 ? 1 : 2;
        struct ct_gem_matmul op = random_matmul(&rig);
        op.tile = random_tile(&rig, &op);
        op.order = (enum ct_gem_order)ct_rng_below(&rig.rng, 3);
        check_product(&rig, &op);
        rig_deinit(&rig);
    }
}

static void normalised_rows_are_those_of_plain_loops(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rig rig;
        struct ct_error err;
        print_message("seed %llu\n", (unsigned long long)seed);
        rig_init(&rig, "default", seed);
        rig.config.acc_kb = 32; /* 32 blocks */
        rig.config.norm_stat_ids = 1 + (int)(seed % 4);
        const bool is_softmax = seed % 2 == 0;
        struct ct_gem_normalise op = {.rows = 1 + ct_rng_below(&rig.rng, 100),
                                      .cols = 1 + ct_rng_below(&rig.rng, 300),
                                      .act = is_softmax ? CT_GEM_ACT_SOFTMAX : CT_GEM_ACT_LAYERNORM,
                                      .scale = is_softmax ? 1 : 25,
                                      .act_scale = 0.05F};
        op.in = place(&rig, op.rows, op.cols, 4);
        fill_int32(&rig, op.in.address, op.rows * op.in.stride, is_softmax ? 200 : 30000);
        op.out = place(&rig, op.rows, op.cols, 1);
        rig_start(&rig);
        if (ct_gem_map_normalise(&rig.config, &op, run, &rig, &err) != CT_OK)
            fail_msg("%s", err.message);
        const struct ct_gem_scaling scaling = scaling_of(op.act, op.scale, op.act_scale);
        for (size_t i = 0; i < op.rows; i++) {
            int32_t row[MAX_COLS];
            int8_t out[MAX_COLS];
            for (size_t j = 0; j < op.cols; j++)
                row[j] = int32_at(&rig, &op.in, i, j);
            normalise(&scaling, row, op.cols, out);
            for (size_t j = 0; j < op.cols; j++)
                assert_int_equal(int8_at(&rig, &op.out, i, j), out[j]);
        }
        check_stores(&rig, &op.out, op.rows, op.cols, 1);
        rig_deinit(&rig);
    }
}

static void residuals_are_those_of_plain_loops(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct rig rig;
        struct ct_error err;
        print_message("seed %llu\n", (unsigned long long)seed);
        rig_init(&rig, "default", seed);
        rig.config.acc_kb = seed % 2 == 0 ? 16 : 64;
        struct ct_gem_resadd op = {.rows = 1 + ct_rng_below(&rig.rng, 200),
                                   .cols = 1 + ct_rng_below(&rig.rng, 300),
                                   .is_relu = seed % 3 == 0,
                                   .a_scale = 0.5F,
                                   .b_scale = 1,
                                   .scale = 0.7F};
        op.a = place(&rig, op.rows, op.cols, 1);
        op.b = place(&rig, op.rows, op.cols, 1);
        fill_int8(&rig, BASE, rig.next - BASE, 127);
        op.c = place(&rig, op.rows, op.cols, 1);
        rig_start(&rig);
        if (ct_gem_map_resadd(&rig.config, &op, run, &rig, &err) != CT_OK)
            fail_msg("%s", err.message);
        for (size_t i = 0; i < op.rows; i++)
            for (size_t j = 0; j < op.cols; j++) {
                int32_t sum = ct_gem_scale(int8_at(&rig, &op.a, i, j), op.a_scale) +
                              ct_gem_scale(int8_at(&rig, &op.b, i, j), op.b_scale);
                if (op.is_relu && sum < 0)
                    sum = 0;
                assert_int_equal(int8_at(&rig, &op.c, i, j), ct_gem_scale(sum, op.scale));
            }
        check_stores(&rig, &op.c, op.rows, op.cols, 1);
        rig_deinit(&rig);
    }
}

/* A tile fits into its share of both memories, and no tile that is larger along one extent does. */
static void tiles_fill_their_share(void **state)
{
    (void)state;
    struct ct_rng rng;
    ct_rng_init(&rng, 7);
    for (int n = 0; n < 500; n++) {
        struct ct_gem_config config;
        struct ct_gem_tiles t;
        struct ct_error err;
        assert_int_equal(ct_gem_config_preset("default", &config, &err), CT_OK);
        config.spad_kb = 16 << ct_rng_below(&rng, 6);
        config.acc_kb = 16 << ct_rng_below(&rng, 6);
        const struct ct_gem_matmul op = {.m = 1 + ct_rng_below(&rng, 2000),
                                         .n = 1 + ct_rng_below(&rng, 2000),
                                         .k = 1 + ct_rng_below(&rng, 2000),
                                         .is_os = n % 2 == 0};
        const size_t shares = op.is_os ? 1 : 2;
        const size_t spad = (size_t)config.spad_kb * 4 / shares;
        const size_t acc = (size_t)config.acc_kb / shares;
        assert_int_equal(ct_gem_matmul_tiles(&config, &op, &t, &err), CT_OK);
        assert_true(t.i >= 1 && t.j >= 1 && t.k >= 1);
        assert_true(t.i * t.j <= acc && (t.i + t.j) * t.k <= spad);
        assert_true(t.i >= (op.m + 15) / 16 || (t.i + 1) * t.j > acc ||
                    (t.i + 1 + t.j) * t.k > spad);
        assert_true(t.j >= (op.n + 15) / 16 || t.i * (t.j + 1) > acc ||
                    (t.i + t.j + 1) * t.k > spad);
        assert_true(t.k >= (op.k + 15) / 16 || (t.i + t.j) * (t.k + 1) > spad);
    }
}

static void nothing_take(void *context, const struct ct_gem_command *command)
{
    (void)command;
    ++*(int *)context;
}

static void refuse(const struct ct_gem_config *config, const struct ct_gem_matmul *op,
                   enum ct_status expected, const char *text)
{
    struct ct_error err;
    int n = 0;
    assert_int_equal(ct_gem_map_matmul(config, op, nothing_take, &n, &err), expected);
    assert_non_null(strstr(err.message, text));
    assert_int_equal(n, 0);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct ct_gem_config config;
    struct ct_error err;
    int n = 0;
    assert_int_equal(ct_gem_config_preset("default", &config, &err), CT_OK);
    struct ct_gem_matmul op = {.m = 64, .n = 768, .k = 768, .act = CT_GEM_ACT_LAYERNORM};
    refuse(&config, &op, CT_UNSUPPORTED, "768 columns");
    config.acc_kb = 128;
    assert_int_equal(ct_gem_map_matmul(&config, &op, nothing_take, &n, &err), CT_OK);
    config.norm_enabled = 0;
    refuse(&config, &op, CT_UNSUPPORTED, "norm.enabled");
    config.norm_enabled = 1;
    op.is_os = true;
    refuse(&config, &op, CT_UNSUPPORTED, "output stationary");
    op.act = CT_GEM_ACT_NONE;
    op.b_transpose = true;
    refuse(&config, &op, CT_UNSUPPORTED, "without");
    config.array_dataflow = CT_GEM_DATAFLOW_WS;
    refuse(&config, &op, CT_UNSUPPORTED, "not output stationary");
    op = (struct ct_gem_matmul){.m = 64, .n = 64, .k = 64, .tile = {9, 8, 1}};
    assert_int_equal(ct_gem_map_matmul(&config, &op, nothing_take, &n, &err), CT_OK);
    op = (struct ct_gem_matmul){.m = 640, .n = 640, .k = 64, .tile = {9, 8, 1}};
    refuse(&config, &op, CT_INVALID, "9x8x1 blocks takes 72 blocks of the accumulator, and has 64");
    op.tile = (struct ct_gem_tiles){1, 1, 257};
    op.k = 16 * 257;
    refuse(&config, &op, CT_INVALID, "takes 514 blocks of the scratchpad, and has 512");
    op.tile = (struct ct_gem_tiles){1, 8, 1};
    op.act = CT_GEM_ACT_SOFTMAX;
    refuse(&config, &op, CT_UNSUPPORTED, "640 columns to normalise are 40 blocks, a tile has 8");
    op = (struct ct_gem_matmul){.m = 1, .n = 0, .k = 1};
    refuse(&config, &op, CT_INVALID, "1 x 0 x 1");
    const struct ct_gem_normalise wide = {.rows = 1, .cols = 4096, .act = CT_GEM_ACT_SOFTMAX};
    assert_int_equal(ct_gem_map_normalise(&config, &wide, nothing_take, &n, &err), CT_UNSUPPORTED);
    const struct ct_gem_resadd none = {.rows = 0, .cols = 16};
    assert_int_equal(ct_gem_map_resadd(&config, &none, nothing_take, &n, &err), CT_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_those_of_plain_loops),
        cmocka_unit_test(products_are_the_same_by_any_mapping),
        cmocka_unit_test(normalised_rows_are_those_of_plain_loops),
        cmocka_unit_test(residuals_are_those_of_plain_loops),
        cmocka_unit_test(tiles_fill_their_share),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
