/* LOOP_WS: its commands, where it puts blocks, and that every order which its readiness allows
 * gives the same results. */
#include "engine/backend/gemmini/isa.h"
#include "engine/backend/gemmini/loop.h"
#include "engine/base/rng.h"
#include "tests/support/unit.h"

#include <stdlib.h>
#include <string.h>

static struct ct_gem_config default_config(void)
{
    struct ct_gem_config config;
    struct ct_error err;
    assert_int_equal(ct_gem_config_preset("default", &config, &err), CT_OK);
    return config;
}

static struct ct_gem_loop start(const struct ct_gem_loop_registers *registers, uint64_t rs1,
                                uint64_t rs2, bool is_padded_b, struct ct_gem_loop_turn *turn)
{
    const struct ct_gem_config config = default_config();
    const struct ct_gem_command command = {CT_GEM_LOOP_WS_FUNCT, rs1, rs2};
    struct ct_gem_loop loop;
    struct ct_error err;
    if (ct_gem_loop_start(&config, registers, &command, is_padded_b, turn, &loop, &err) != CT_OK)
        fail_msg("%s", err.message);
    return loop;
}

/* 17 x 40 x 24: 2 x 3 x 2 blocks. */
static const struct ct_gem_loop_registers small = {
    .i = 2,
    .j = 3,
    .k = 2,
    .pad_i = 15,
    .pad_j = 8,
    .pad_k = 8,
    .a = 0x10000,
    .b = 0x20000,
    .d = 0x30000,
    .c = 0x40000,
    .a_stride = 24,
    .b_stride = 40,
    .d_stride = 40,
    .c_stride = 40,
};

static void expect(struct ct_gem_loop *loop, enum ct_gem_loop_class which, uint8_t funct,
                   uint64_t rs1, uint64_t rs2)
{
    struct ct_gem_command command;
    assert_true(ct_gem_loop_next(loop, which, &command));
    assert_int_equal(command.funct, funct);
    assert_int_equal(command.rs1, rs1);
    assert_int_equal(command.rs2, rs2);
}

static void commands_are_those_of_the_hardware(void **state)
{
    (void)state;
    struct ct_gem_loop_turn turn = {0};
    struct ct_gem_loop loop = start(&small, 0, 0, false, &turn);
    struct ct_gem_command command;
    /* A: both blocks of columns at once; i inside. */
    expect(&loop, CT_GEM_LOOP_LD_A, 2, 0x10000, ct_gem_block_encode(0, 16, 24));
    expect(&loop, CT_GEM_LOOP_LD_A, 2, 0x10000 + 24 * 16, ct_gem_block_encode(32, 1, 24));
    assert_false(ct_gem_loop_peek(&loop, CT_GEM_LOOP_LD_A, &command));
    /* B lies against the end of the half. */
    expect(&loop, CT_GEM_LOOP_LD_B, 1, 0x20000, ct_gem_block_encode(8192 - 96, 16, 40));
    expect(&loop, CT_GEM_LOOP_LD_B, 1, 0x20000 + 640, ct_gem_block_encode(8192 - 48, 8, 40));
    /* D: a block of int32 at a time. */
    expect(&loop, CT_GEM_LOOP_LD_D, 14, 0x30000, ct_gem_block_encode(1u << 31, 16, 16));
    expect(&loop, CT_GEM_LOOP_LD_D, 14, 0x30000 + 2560, ct_gem_block_encode(1u << 31 | 48, 1, 16));
    expect(&loop, CT_GEM_LOOP_LD_D, 14, 0x30000 + 64, ct_gem_block_encode(1u << 31 | 16, 16, 16));
    /* The first k overwrites; weights stay for the next i. */
    expect(&loop, CT_GEM_LOOP_EX, 6, ct_gem_block_encode(8192 - 96, 16, 16),
           ct_gem_block_encode(1u << 31, 16, 16));
    expect(&loop, CT_GEM_LOOP_EX, 4, ct_gem_block_encode(0, 16, 16),
           ct_gem_block_encode(UINT32_MAX, 16, 16));
    expect(&loop, CT_GEM_LOOP_EX, 6, ct_gem_block_encode(UINT32_MAX, 16, 16),
           ct_gem_block_encode(1u << 31 | 48, 1, 16));
    expect(&loop, CT_GEM_LOOP_EX, 5, ct_gem_block_encode(32, 1, 16),
           ct_gem_block_encode(UINT32_MAX, 16, 16));
    /* C: a row of blocks at once. */
    expect(&loop, CT_GEM_LOOP_ST_C, 3, 0x40000, ct_gem_block_encode(1u << 31, 16, 40));
    expect(&loop, CT_GEM_LOOP_ST_C, 3, 0x40000 + 640, ct_gem_block_encode(1u << 31 | 48, 1, 40));
    assert_true(loop.at[CT_GEM_LOOP_ST_C].is_done);
}

static void b_is_padded_where_asked(void **state)
{
    (void)state;
    struct ct_gem_loop_turn turn = {0};
    struct ct_gem_loop loop = start(&small, 0, 0, true, &turn);
    expect(&loop, CT_GEM_LOOP_LD_B, 1, 0x20000, ct_gem_block_encode(8192 - 96, 16, 40));
    expect(&loop, CT_GEM_LOOP_LD_B, 1, 0x20000 + 640, ct_gem_block_encode(8192 - 48, 16, 40));
}

static void loops_take_turns(void **state)
{
    (void)state;
    struct ct_gem_loop_registers registers = small;
    struct ct_gem_loop_turn turn = {0};
    struct ct_gem_loop first = start(&registers, 0, 0, false, &turn);
    registers.c = 0; /* keeps its half of the accumulator for the next */
    struct ct_gem_loop second = start(&registers, 0, 0, false, &turn);
    struct ct_gem_loop third = start(&registers, 0, 0, false, &turn);
    assert_int_equal(first.a_row, 0);
    assert_int_equal(first.c_row, 0);
    assert_int_equal(second.a_row, 8192);
    assert_int_equal(second.b_row, 16384 - 96);
    assert_int_equal(second.c_row, 512);
    assert_int_equal(third.a_row, 0);
    assert_int_equal(third.c_row, 512);
    /* Shares by number: A in the second, B in the first. */
    struct ct_gem_loop named = start(&registers, 2 << 18 | 1 << 16, 0, false, &turn);
    assert_int_equal(named.a_row, 8192);
    assert_int_equal(named.b_row, 8192 - 96);
}

static void softmax_goes_row_by_row(void **state)
{
    (void)state;
    struct ct_gem_loop_turn turn = {0};
    struct ct_gem_loop loop =
        start(&small, CT_GEM_PUT(LOOP_WS, ACT, CT_GEM_ACT_SOFTMAX), 0, false, &turn);
    struct ct_gem_command command;
    int n_configs = 0, n_stores = 0, n_written = 0;
    assert_false(ct_gem_loop_is_ready(&loop, CT_GEM_LOOP_ST_C));
    while (ct_gem_loop_next(&loop, CT_GEM_LOOP_ST_C, &command)) {
        if (command.funct == CT_GEM_CONFIG_NORM_FUNCT) {
            n_configs++;
            continue;
        }
        const struct ct_gem_block block = ct_gem_block_decode(command.rs2);
        assert_int_equal(block.rows, 1);
        assert_int_equal(block.cols, 40);
        n_stores++;
        if (block.local.norm == CT_GEM_NORM_RESET)
            assert_int_equal(command.rs1, 0x40000 + 40 * n_written++);
    }
    assert_int_equal(n_configs, 3 * 17);
    assert_int_equal(n_stores, 3 * 17);
    assert_int_equal(n_written, 17);
}

enum { N_BYTES = 1 << 16, A = 0x1000, B = 0x3000, D = 0x6000, C = 0xa000 };

/* Runs a loop's commands in a random order that its readiness allows. */
static void run_in_any_order(const struct ct_gem_loop_registers *registers, uint64_t rs1,
                             uint64_t rs2, struct ct_rng *rng, uint8_t *bytes)
{
    const struct ct_gem_config config = default_config();
    const struct ct_gem_segment memory = {0, N_BYTES, bytes};
    const struct ct_gem_command setup[] = {
        {0, 0x00010004 | rs2 << 8, UINT64_C(1) << 48},
        {0, UINT64_C(0x3f80000000100001), registers->a_stride},
        {0, UINT64_C(0x3f80000000100009), registers->b_stride},
        {0, UINT64_C(0x3f80000000100011), 4 * registers->d_stride},
        {0, 0x2, UINT64_C(0x3c00000000000000) | registers->c_stride},
    };
    struct ct_gem_machine *machine;
    struct ct_gem_command command;
    struct ct_error err;
    struct ct_gem_loop_turn turn = {0};
    struct ct_gem_loop loop = start(registers, rs1, rs2, false, &turn);
    assert_int_equal(ct_gem_machine_open(&config, &memory, 1, &machine, &err), CT_OK);
    assert_int_equal(ct_gem_machine_run(machine, setup, 5, &err), CT_OK);
    while (!ct_gem_loop_is_done(&loop)) {
        const enum ct_gem_loop_class which =
            (enum ct_gem_loop_class)ct_rng_below(rng, CT_GEM_LOOP_CLASSES);
        if (!ct_gem_loop_is_ready(&loop, which) || !ct_gem_loop_next(&loop, which, &command))
            continue;
        if (ct_gem_machine_run(machine, &command, 1, &err) != CT_OK)
            fail_msg("%s", err.message);
    }
    ct_gem_machine_close(machine);
}

static void every_ready_order_gives_the_same(void **state)
{
    (void)state;
    const uint64_t seed = 99;
    struct ct_rng rng;
    ct_rng_init(&rng, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    uint8_t *start_bytes = malloc(N_BYTES), *one = malloc(N_BYTES), *other = malloc(N_BYTES);
    for (int i = 0; i < N_BYTES; i++)
        start_bytes[i] = (uint8_t)ct_rng_next(&rng);
    for (int round = 0; round < 60; round++) {
        const unsigned transpose = (unsigned)ct_rng_below(&rng, 3);
        const struct ct_gem_loop_registers registers = {
            .i = 1 + (unsigned)ct_rng_below(&rng, 4),
            .j = 1 + (unsigned)ct_rng_below(&rng, 6),
            .k = 1 + (unsigned)ct_rng_below(&rng, 6),
            .pad_i = (unsigned)ct_rng_below(&rng, 16),
            .pad_j = (unsigned)ct_rng_below(&rng, 16),
            .pad_k = (unsigned)ct_rng_below(&rng, 16),
            .a = A,
            .b = B,
            .d = D,
            .c = C,
            .a_stride = 96,
            .b_stride = 96,
            .d_stride = 96,
            .c_stride = 96,
        };
        memcpy(one, start_bytes, N_BYTES);
        memcpy(other, start_bytes, N_BYTES);
        run_in_any_order(&registers, 1, transpose, &rng, one);
        run_in_any_order(&registers, 1, transpose, &rng, other);
        assert_memory_equal(one, other, N_BYTES);
        assert_memory_not_equal(one, start_bytes, N_BYTES);
    }
    free(start_bytes);
    free(one);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_those_of_the_hardware),
        cmocka_unit_test(b_is_padded_where_asked),
        cmocka_unit_test(loops_take_turns),
        cmocka_unit_test(softmax_goes_row_by_row),
        cmocka_unit_test(every_ready_order_gives_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
