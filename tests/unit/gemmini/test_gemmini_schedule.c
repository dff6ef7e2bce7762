/* What is fused and placed where, and what it costs. */
#include "engine/backend/gemmini/gem_schedule.h"
#include "tests/support/gem_cost.h"

#include <stdlib.h>
#include <string.h>

static struct ct_gem_config config_of(const char *preset)
{
    struct ct_gem_config config;
    struct ct_error err;
    assert_int_equal(ct_gem_config_preset(preset, &config, &err), CT_OK);
    return config;
}

static struct ct_gem_op product(enum ct_gem_role role, size_t m, size_t n, size_t k)
{
    return (struct ct_gem_op){.role = role, .count = 1, .m = m, .n = n, .k = k};
}

static struct ct_gem_op by_row(enum ct_gem_op_kind kind, size_t m, size_t n)
{
    return (struct ct_gem_op){.kind = kind, .count = 1, .m = m, .n = n};
}

static void softmax_joins_where_asked(void **state)
{
    (void)state;
    struct ct_gem_config config = config_of("default");
    struct ct_gem_op ops[] = {product(CT_GEM_ROLE_QK, 128, 128, 64),
                              by_row(CT_GEM_OP_SOFTMAX, 128, 128)};
    assert_int_equal(ct_gem_schedule(&config, ops, 2), 1);
    assert_int_equal(ops[0].act, CT_GEM_ACT_SOFTMAX);
    assert_false(ops[0].is_full_c);

    config.sw_fuse_qk_softmax = 0;
    ops[0] = product(CT_GEM_ROLE_QK, 128, 128, 64);
    ops[1] = by_row(CT_GEM_OP_SOFTMAX, 128, 128);
    assert_int_equal(ct_gem_schedule(&config, ops, 2), 2);
    assert_int_equal(ops[0].act, CT_GEM_ACT_NONE);
    assert_true(ops[0].is_full_c);
    assert_false(ops[1].is_on_host);

    config.norm_enabled = 0;
    ops[0] = product(CT_GEM_ROLE_QK, 128, 128, 64);
    assert_int_equal(ct_gem_schedule(&config, ops, 2), 2);
    assert_false(ops[0].is_full_c);
    assert_true(ops[1].is_on_host);
}

static void layernorm_joins_where_a_row_fits(void **state)
{
    (void)state;
    struct ct_gem_config config = config_of("default");
    config.sw_fuse_wout_ln = 1;
    /* A half of 64 KB holds 512 columns of 16 rows, all of it 1024. */
    for (size_t n = 512; n <= 1040; n += 16) {
        struct ct_gem_op ops[] = {product(CT_GEM_ROLE_WOUT, 128, n, 64),
                                  by_row(CT_GEM_OP_LAYERNORM, 128, n)};
        assert_int_equal(ct_gem_schedule(&config, ops, 2), n <= 512 ? 1 : 2);
        assert_int_equal(ops[1].is_on_host, n > 1024);
        assert_int_equal(ops[0].is_full_c, n > 512 && n <= 1024);
    }
    struct ct_gem_op ops[] = {product(CT_GEM_ROLE_W2, 128, 256, 64),
                              by_row(CT_GEM_OP_LAYERNORM, 128, 256)};
    assert_int_equal(ct_gem_schedule(&config, ops, 2), 2);
}

static void gelu_joins_its_product(void **state)
{
    (void)state;
    struct ct_gem_config config = config_of("default");
    struct ct_gem_op ops[] = {product(CT_GEM_ROLE_NONE, 64, 128, 32),
                              by_row(CT_GEM_OP_GELU, 64, 128), by_row(CT_GEM_OP_GELU, 64, 128),
                              by_row(CT_GEM_OP_RESADD, 64, 128)};
    assert_int_equal(ct_gem_schedule(&config, ops, 4), 3);
    assert_int_equal(ops[0].act, CT_GEM_ACT_IGELU);
    assert_int_equal(ops[1].kind, CT_GEM_OP_GELU);
    assert_true(ops[1].is_on_host);
    assert_int_equal(ops[2].kind, CT_GEM_OP_RESADD);
    assert_false(ops[2].is_on_host);
}

struct program {
    struct ct_gem_command commands[4096];
    size_t n;
};

static void take(void *context, const struct ct_gem_command *command)
{
    struct program *program = context;
    assert_true(program->n < 4096);
    program->commands[program->n++] = *command;
}

static void costs_are_those_of_the_commands(void **state)
{
    (void)state;
    const struct ct_gem_config config = config_of("default");
    const struct ct_gem_op ops[] = {product(CT_GEM_ROLE_NONE, 100, 200, 300),
                                    by_row(CT_GEM_OP_SOFTMAX, 20, 100),
                                    by_row(CT_GEM_OP_RESADD, 64, 100)};
    for (size_t i = 0; i < 3; i++) {
        struct program *program = calloc(1, sizeof *program);
        struct ct_gem_timing timing;
        struct ct_error err;
        assert_non_null(program);
        assert_int_equal(ct_gem_op_commands(&config, &ops[i], take, program, &err), CT_OK);
        assert_int_equal(ct_gem_time(&config, program->commands, program->n, &timing, &err), CT_OK);
        struct ct_gem_op thrice = ops[i];
        thrice.count = 3;
        const struct ct_gem_cost cost = gem_cost_of(&config, &thrice);
        assert_int_equal(cost.work.cycles, 3 * timing.cycles);
        assert_int_equal(cost.work.read_bytes, 3 * timing.read_bytes);
        assert_int_equal(cost.work.macs, 3 * timing.macs);
        assert_int_equal(cost.host_cycles, 0);
        free(program);
    }
}

static void the_host_costs_by_the_code_that_is_chosen(void **state)
{
    (void)state;
    struct ct_gem_config config = config_of("default");
    struct ct_gem_op op = by_row(CT_GEM_OP_SOFTMAX, 10, 100);
    op.is_on_host = true;
    config.host_ghz = 2;
    struct ct_gem_cost cost = gem_cost_of(&config, &op);
    assert_int_equal(cost.host_cycles, 102770);
    assert_int_equal(cost.work.host_instructions, 77150);
    assert_int_equal(cost.work.cycles, 0);
    assert_true(ct_gem_cost_cycles(&config, &cost) == 51385);
    assert_string_equal(ct_gem_host_code(&config, CT_GEM_OP_SOFTMAX), "softmax_fp32");
    config.host_table = 4;
    assert_int_equal(gem_cost_of(&config, &op).host_cycles, 69450);
    assert_string_equal(ct_gem_host_code(&config, CT_GEM_OP_GELU), "igelu");
    assert_null(ct_gem_host_code(&config, CT_GEM_OP_MATMUL));
    op.kind = CT_GEM_OP_REQUANTISE;
    assert_int_equal(gem_cost_of(&config, &op).host_cycles, 36740);

    /* A decoder's own operators are the host's whatever it is asked. */
    struct ct_gem_op ops[] = {by_row(CT_GEM_OP_RMSNORM, 10, 100), by_row(CT_GEM_OP_GATE, 10, 100),
                              by_row(CT_GEM_OP_ROTARY, 10, 100)};
    const uint64_t cycles[] = {49280, 117930, 40070};
    assert_int_equal(ct_gem_schedule(&config, ops, 3), 3);
    for (int i = 0; i < 3; i++) {
        assert_true(ops[i].is_on_host);
        assert_int_equal(gem_cost_of(&config, &ops[i]).host_cycles, cycles[i]);
    }
}

/* One row of activations: every weight is loaded once. */
static void clustered_weights_save_traffic(void **state)
{
    (void)state;
    struct ct_gem_config config = config_of("lpddr4");
    struct ct_gem_op op = product(CT_GEM_ROLE_NONE, 1, 768, 768);
    const struct ct_gem_cost plain = gem_cost_of(&config, &op);
    op.index_bits = 4;
    struct ct_gem_cost cost = gem_cost_of(&config, &op);
    assert_memory_equal(&cost, &plain, sizeof cost); /* decoded when they were loaded */

    config.sw_mvin_lut = 1;
    cost = gem_cost_of(&config, &op);
    const uint64_t scales = 2 * (768 / 64) * 768;
    assert_int_equal(plain.work.read_bytes - cost.work.read_bytes, 768 * 768 / 2 - scales - 16);
    assert_int_equal(cost.table_reads, 768 * 768 / 16);
    config.sw_scale_group = 0;
    assert_int_equal(cost.work.read_bytes - gem_cost_of(&config, &op).work.read_bytes, scales);
    assert_true(cost.work.cycles < plain.work.cycles);
    struct ct_gem_energy before, after;
    ct_gem_cost_energy(&config, &plain, &before);
    ct_gem_cost_energy(&config, &cost, &after);
    assert_true(after.total_pj < before.total_pj);
    assert_true(after.pj[CT_GEM_ENERGY_REGISTERS] > before.pj[CT_GEM_ENERGY_REGISTERS]);
    double sum = 0;
    for (int part = 0; part < CT_GEM_ENERGY_PARTS; part++)
        sum += after.pj[part];
    assert_true(sum > 0.999999 * after.total_pj && sum < 1.000001 * after.total_pj);

    config.sw_mvin_lut = 0;
    config.sw_host_decode = 1;
    cost = gem_cost_of(&config, &op);
    assert_int_equal(cost.work.cycles, plain.work.cycles);
    assert_true(cost.host_cycles > 768 * 768 * 10);
    assert_int_equal(cost.work.write_bytes - plain.work.write_bytes, 768 * 768);
}

static void lay_over(struct ct_gem_config *config, const char *text)
{
    struct ct_error err;
    if (ct_gem_config_parse("mapping", text, strlen(text), config, &err) != CT_OK)
        fail_msg("%s", err.message);
}

/* 8 x 48 x 48 blocks: A is 98,304 bytes, B 589,824. */
static void a_mapping_decides_what_is_loaded_again(void **state)
{
    (void)state;
    const uint64_t a = 128 * 768, b = 768 * 768;
    struct ct_gem_config config = config_of("default");
    const struct ct_gem_op op = product(CT_GEM_ROLE_NONE, 128, 768, 768);
    struct {
        const char *text;
        uint64_t read_bytes;
    } mappings[] = {
        {"[product]\ntile = 4x8x24\n", 6 * a + 2 * b},
        {"[product]\ntile = 2x4x48\norder = ijk\n", a + 4 * b},
        {"[product]\ntile = 2x4x48\norder = jik\n", 12 * a + b},
        {"[product]\ntile = 2x4x48\norder = jik\ndataflow = os\n", 12 * a + b},
        {"[product]\ntile = 8x8x48\norder = ijk\ndataflow = os\n", a + b},
        {"[product]\nm = 129..1000\ntile = 1x1x1\n[product]\nk = 768\ntile = 8x4x24\n", a + b},
    };
    for (size_t i = 0; i < sizeof mappings / sizeof mappings[0]; i++) {
        struct ct_gem_config mapped = config;
        lay_over(&mapped, mappings[i].text);
        const struct ct_gem_cost cost = gem_cost_of(&mapped, &op);
        print_message("%zu: %llu bytes, %llu cycles\n", i, (unsigned long long)cost.work.read_bytes,
                      (unsigned long long)cost.work.cycles);
        assert_int_equal(cost.work.read_bytes, mappings[i].read_bytes);
        assert_int_equal(cost.work.macs, 128 * 768 * 768);
    }
}

static void costs_of_roles_are_kept_apart(void **state)
{
    (void)state;
    struct ct_gem_config config = config_of("default");
    struct ct_gem_costs *costs;
    struct ct_gem_cost plain, mapped, again;
    struct ct_error err;
    lay_over(&config, "[product]\nrole = av\ntile = 1x1x1\n");
    const struct ct_gem_op op = product(CT_GEM_ROLE_NONE, 64, 64, 64),
                           av = product(CT_GEM_ROLE_AV, 64, 64, 64);
    assert_int_equal(ct_gem_costs_open(&config, &costs, &err), CT_OK);
    assert_int_equal(ct_gem_op_cost(costs, &op, &plain, &err), CT_OK);
    assert_int_equal(ct_gem_op_cost(costs, &av, &mapped, &err), CT_OK);
    assert_int_equal(ct_gem_op_cost(costs, &op, &again, &err), CT_OK);
    ct_gem_costs_close(costs);
    assert_true(mapped.work.cycles > plain.work.cycles);
    assert_memory_equal(&plain, &again, sizeof plain);
}

static void a_mapping_decides_what_is_fused(void **state)
{
    (void)state;
    struct ct_gem_config config = config_of("default");
    lay_over(&config,
             "[product]\nrole = qk\nfuse = 0\n[product]\nrole = w2\nfuse = 1\n"
             "[product]\nrole = wout\nfuse = 1\ntile = 1x8x8\n[product]\nn = 99\nfuse = 0\n");
    struct ct_gem_op qk[] = {product(CT_GEM_ROLE_QK, 128, 128, 64),
                             by_row(CT_GEM_OP_SOFTMAX, 128, 128)};
    assert_int_equal(ct_gem_schedule(&config, qk, 2), 2);
    assert_true(qk[0].is_full_c);
    struct ct_gem_op w2[] = {product(CT_GEM_ROLE_W2, 128, 256, 64),
                             by_row(CT_GEM_OP_LAYERNORM, 128, 256)};
    assert_int_equal(ct_gem_schedule(&config, w2, 2), 1);
    /* 16 blocks of a row do not lie in a tile of 8. */
    struct ct_gem_op wout[] = {product(CT_GEM_ROLE_WOUT, 128, 256, 64),
                               by_row(CT_GEM_OP_LAYERNORM, 128, 256)};
    assert_int_equal(ct_gem_schedule(&config, wout, 2), 2);
    struct ct_gem_op gelu[] = {product(CT_GEM_ROLE_NONE, 16, 99, 16),
                               by_row(CT_GEM_OP_GELU, 16, 99)};
    assert_int_equal(ct_gem_schedule(&config, gelu, 2), 2);
    assert_true(gelu[1].is_on_host);
}

static void a_mapping_that_cannot_be_done_is_named(void **state)
{
    (void)state;
    struct ct_gem_config config = config_of("default");
    struct ct_gem_costs *costs;
    struct ct_gem_cost cost;
    struct ct_error err;
    lay_over(&config, "# all\n[product]\ndataflow = os\n");
    struct ct_gem_op op = product(CT_GEM_ROLE_QK, 128, 128, 64);
    op.b_transpose = true;
    assert_int_equal(ct_gem_costs_open(&config, &costs, &err), CT_OK);
    assert_int_equal(ct_gem_op_cost(costs, &op, &cost, &err), CT_UNSUPPORTED);
    assert_string_equal(err.message, "[product] of line 2: output stationary, B is not transposed "
                                     "without A");
    ct_gem_costs_close(costs);
}

/* More shapes than the table has places, twice. */
static void the_table_forgets_but_does_not_mix_up(void **state)
{
    (void)state;
    const struct ct_gem_config config = config_of("default");
    enum { SHAPES = 3000 };
    uint64_t *cycles = calloc(SHAPES, sizeof *cycles);
    struct ct_gem_costs *costs;
    struct ct_error err;
    assert_int_equal(ct_gem_costs_open(&config, &costs, &err), CT_OK);
    for (size_t i = 0; i < 2 * SHAPES; i++) {
        const size_t shape = i % SHAPES;
        struct ct_gem_op op = by_row(CT_GEM_OP_GELU, 1 + shape % 60, 1 + shape / 60);
        struct ct_gem_cost cost;
        op.is_on_host = true;
        assert_int_equal(ct_gem_op_cost(costs, &op, &cost, &err), CT_OK);
        if (i < SHAPES)
            cycles[shape] = cost.host_cycles;
        assert_int_equal(cost.host_cycles, cycles[shape]);
        assert_true(cost.host_cycles == (uint64_t)(247.85 * (double)(op.m * op.n) + 0.5));
    }
    ct_gem_costs_close(costs);
    free(cycles);
}

static void refuse(struct ct_gem_op op, enum ct_status expected, const char *text)
{
    const struct ct_gem_config config = config_of("default");
    struct ct_gem_costs *costs;
    struct ct_gem_cost cost;
    struct ct_error err;
    assert_int_equal(ct_gem_costs_open(&config, &costs, &err), CT_OK);
    assert_int_equal(ct_gem_op_cost(costs, &op, &cost, &err), expected);
    assert_non_null(strstr(err.message, text));
    assert_int_equal(cost.work.cycles, 0);
    ct_gem_costs_close(costs);
}

static void what_nobody_does_is_refused(void **state)
{
    (void)state;
    struct ct_gem_op op = product(CT_GEM_ROLE_NONE, 16, 16, 16);
    op.index_bits = 9;
    refuse(op, CT_INVALID, "9 bits");
    refuse(product(CT_GEM_ROLE_NONE, 16, 0, 16), CT_INVALID, "16 x 0 x 16");
    refuse(by_row(CT_GEM_OP_GELU, 16, 16), CT_UNSUPPORTED, "by itself");
    op = product(CT_GEM_ROLE_NONE, 16, 16, 16);
    op.is_on_host = true;
    refuse(op, CT_INVALID, "on the host");
}

struct busy {
    uint64_t until[CT_GEM_UNITS], cycles[CT_GEM_UNITS];
};

static void note(void *context, enum ct_gem_unit unit, uint64_t start, uint64_t end, size_t command)
{
    struct busy *busy = context;
    const uint64_t from = start > busy->until[unit] ? start : busy->until[unit];
    (void)command;
    if (end > from) {
        busy->cycles[unit] += end - from;
        busy->until[unit] = end;
    }
}

static void a_timeline_is_as_busy_as_the_cost_says(void **state)
{
    (void)state;
    struct ct_gem_config config = config_of("lpddr4");
    struct ct_gem_op ops[] = {
        product(CT_GEM_ROLE_NONE, 1, 256, 256), by_row(CT_GEM_OP_RESADD, 64, 128),
        product(CT_GEM_ROLE_NONE, 16, 256, 256), by_row(CT_GEM_OP_RMSNORM, 64, 128)};
    struct ct_error err;
    uint64_t cycles;
    config.sw_mvin_lut = 1; /* weights of the third come faster than the memory gives int8 */
    ops[2].index_bits = 4;
    ops[3].is_on_host = true;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        const struct ct_gem_cost cost = gem_cost_of(&config, &ops[i]);
        struct busy busy = {{0}, {0}};
        ops[i].count = 3; /* told once */
        assert_int_equal(ct_gem_op_timeline(&config, &ops[i], SIZE_MAX, note, &busy, &cycles, &err),
                         CT_OK);
        assert_int_equal(cycles, cost.work.cycles);
        for (int unit = 0; unit < CT_GEM_UNITS; unit++) {
            assert_int_equal(busy.cycles[unit], cost.work.busy_cycles[unit]);
            assert_true(busy.until[unit] <= cost.work.cycles);
        }
        assert_int_equal(ct_gem_op_timeline(&config, &ops[i], 6, NULL, NULL, &cycles, &err), CT_OK);
        assert_true(cycles <= cost.work.cycles);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_joins_where_asked),
        cmocka_unit_test(layernorm_joins_where_a_row_fits),
        cmocka_unit_test(gelu_joins_its_product),
        cmocka_unit_test(costs_are_those_of_the_commands),
        cmocka_unit_test(the_host_costs_by_the_code_that_is_chosen),
        cmocka_unit_test(clustered_weights_save_traffic),
        cmocka_unit_test(a_mapping_decides_what_is_loaded_again),
        cmocka_unit_test(costs_of_roles_are_kept_apart),
        cmocka_unit_test(a_mapping_decides_what_is_fused),
        cmocka_unit_test(a_mapping_that_cannot_be_done_is_named),
        cmocka_unit_test(the_table_forgets_but_does_not_mix_up),
        cmocka_unit_test(what_nobody_does_is_refused),
        cmocka_unit_test(a_timeline_is_as_busy_as_the_cost_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
