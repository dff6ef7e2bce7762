/* The timing model: lone commands take what they take on the hardware, programs no less than their
 * bounds, and skipping repetitions changes nothing. */
#include "engine/backend/gemmini/isa.h"
#include "engine/backend/gemmini/timing.h"
#include "tests/support/unit.h"

#include <string.h>

enum { MAX_COMMANDS = 4096 };

struct program {
    struct ct_gem_command commands[MAX_COMMANDS];
    size_t n;
};

static void add(struct program *p, int funct, uint64_t rs1, uint64_t rs2)
{
    assert_true(p->n < MAX_COMMANDS);
    p->commands[p->n++] = (struct ct_gem_command){(uint8_t)funct, rs1, rs2};
}

static void config_ex(struct program *p, bool is_ws, bool b_transpose)
{
    add(p, CT_GEM_CONFIG_EX_FUNCT,
        CT_GEM_PUT(CONFIG_EX, WS, is_ws) | CT_GEM_PUT(CONFIG_EX, B_TRANSPOSE, b_transpose) |
            CT_GEM_PUT(CONFIG_EX, A_STRIDE, 1) | UINT64_C(0x3f800000) << 32,
        CT_GEM_PUT(CONFIG_EX, C_STRIDE, 1));
}

static void config_ld(struct program *p, int id, uint64_t stride, float scale)
{
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    add(p, CT_GEM_CONFIG_LD_FUNCT,
        1 | CT_GEM_PUT(CONFIG_LD, ID, id) | CT_GEM_PUT(CONFIG_LD, BLOCK_STRIDE, 16) |
            CT_GEM_PUT(CONFIG_LD, SCALE, bits),
        stride);
}

static void config_st(struct program *p, uint64_t stride)
{
    add(p, CT_GEM_CONFIG_ST_FUNCT, 2,
        CT_GEM_PUT(CONFIG_ST, STRIDE, stride) | UINT64_C(0x3f800000) << 32);
}

static void mvin(struct program *p, uint64_t address, uint32_t local, unsigned rows, unsigned cols)
{
    add(p, CT_GEM_MVIN_FUNCT, address, ct_gem_block_encode(local, rows, cols));
}

static void mvout(struct program *p, uint64_t address, uint32_t local, unsigned rows, unsigned cols)
{
    add(p, CT_GEM_MVOUT_FUNCT, address, ct_gem_block_encode(local, rows, cols));
}

static void product(struct program *p, uint32_t b, uint32_t a, uint32_t c)
{
    add(p, CT_GEM_PRELOAD_FUNCT, ct_gem_block_encode(b, 16, 16), ct_gem_block_encode(c, 16, 16));
    add(p, CT_GEM_COMPUTE_PRELOADED_FUNCT, ct_gem_block_encode(a, 16, 16),
        ct_gem_block_encode(CT_GEM_LOCAL_NONE, 16, 16));
}

static struct ct_gem_config default_config(void)
{
    struct ct_gem_config config;
    assert_int_equal(ct_gem_config_preset("default", &config, NULL), CT_OK);
    config.norm_enabled = 0;
    return config;
}

static struct ct_gem_timing time_with(const struct ct_gem_config *config, const struct program *p)
{
    struct ct_gem_timing timing;
    struct ct_error err = {0};
    if (ct_gem_time(config, p->commands, p->n, &timing, &err) != CT_OK)
        fail_msg("%s", err.message);
    return timing;
}

static uint64_t cycles_of(const struct program *p)
{
    const struct ct_gem_config config = default_config();
    return time_with(&config, p).cycles;
}

/* As measured on the RTL with a memory of 40 cycles: a flush and a fence around. */
static void lone_commands_take_what_they_take_on_the_hardware(void **state)
{
    (void)state;
    struct program p = {0};
    add(&p, CT_GEM_FLUSH_FUNCT, 0, 0);
    assert_int_equal(cycles_of(&p), 5);
    config_ex(&p, true, false);
    assert_int_equal(cycles_of(&p), 9);
    product(&p, 0x2000, 0, UINT32_C(3) << 30);
    assert_int_equal(cycles_of(&p), 77);

    p.n = 1;
    config_ld(&p, 0, 768, 1);
    mvin(&p, 0x80000000, 0, 16, 64);
    assert_int_equal(cycles_of(&p), 126);
    p.n = 2;
    mvin(&p, 0x80000000, 0, 16, 16);
    assert_int_equal(cycles_of(&p), 78);

    p.n = 1;
    config_st(&p, 768);
    mvout(&p, 0x80100000, CT_GEM_LOCAL_ACCUMULATOR, 16, 16);
    assert_int_equal(cycles_of(&p), 91);
    p.n = 2;
    mvout(&p, 0x80100000, 0, 16, 16);
    assert_int_equal(cycles_of(&p), 75);
}

/* 16 requests are in flight, each for the latency and 7 cycles. */
static void loads_are_bound_by_requests_in_flight(void **state)
{
    (void)state;
    static const int latencies[] = {10, 40, 100, 200};
    for (size_t i = 0; i < sizeof latencies / sizeof latencies[0]; i++) {
        struct ct_gem_config config = default_config();
        struct program p = {0};
        config.mem_latency = latencies[i];
        config_ld(&p, 0, 768, 1);
        for (uint32_t k = 0; k < 8; k++)
            mvin(&p, 0x80000000 + k * 64, k * 16, 16, 16);
        const uint64_t few = time_with(&config, &p).cycles;
        for (uint32_t k = 0; k < 8; k++)
            mvin(&p, 0x80000000 + k * 64, k * 16, 16, 16);
        const uint64_t slope = (time_with(&config, &p).cycles - few) / 8;
        assert_in_range(slope, (unsigned)latencies[i] + 7, (unsigned)latencies[i] + 11);
    }
}

/* Cycles of 64 products, with a block of B and A at these rows. */
static uint64_t products(uint32_t b, uint32_t a, bool b_transpose)
{
    struct program p = {0};
    config_ex(&p, true, b_transpose);
    for (uint32_t i = 0; i < 64; i++)
        product(&p, b + i % 8 * 16, a + i % 8 * 16, UINT32_C(3) << 30 | i % 8 * 16);
    return cycles_of(&p);
}

/* Products of operands in bank 0 and weights in bank 1, and what a store of 16 rows from row adds. */
static uint64_t products_and_store(uint32_t row, uint32_t c)
{
    struct program p = {0};
    config_ex(&p, true, false);
    config_st(&p, 64);
    for (uint32_t i = 0; i < 16; i++) {
        product(&p, 0x1000 + 16 * i, 16 * i, c);
        if (i == 1)
            mvout(&p, 0x80000000, row, 16, 64);
    }
    return cycles_of(&p);
}

static void stores_and_results_share_banks_with_operands(void **state)
{
    (void)state;
    const uint32_t acc = CT_GEM_LOCAL_ACCUMULATOR;
    /* The array goes on; the store begins once it has stopped reading the bank. */
    const uint64_t apart = products_and_store(0x2000, acc);
    assert_in_range(products_and_store(0x800, acc) - apart, 64, 16 * 16);
    assert_in_range(products_and_store(0x1800, acc) - apart, 64, 16 * 16);
    /* Results to bank 0 keep 16 rows of A waiting, each time. */
    assert_in_range(products_and_store(0x2000, 0x800) - products_and_store(0x2000, 0x3000), 12 * 16,
                    16 * 16);
}

static void operands_of_one_bank_take_turns(void **state)
{
    (void)state;
    const uint64_t apart = products(0x2000, 0, false);
    assert_in_range(apart, 64 * 16, 64 * 16 + 80);
    assert_in_range(products(0x800, 0, false) - apart, 63 * 16, 65 * 16);
    assert_in_range(products(0x2000, 0, true) - apart, 64 * 16, 65 * 16 + 16);
}

/* A scale other than 1 goes through 4 multipliers for 16 values. */
static void scaling_loads_costs_time(void **state)
{
    (void)state;
    uint64_t cycles[2];
    for (int i = 0; i < 2; i++) {
        struct program p = {0};
        config_ld(&p, 0, 64, i == 0 ? 1.0f : 0.5f);
        for (uint32_t k = 0; k < 16; k++)
            mvin(&p, 0x80000000 + k * 1024, k * 64, 16, 64);
        cycles[i] = cycles_of(&p);
    }
    assert_in_range(cycles[1], 16 * 16 * 4 * 4, 2 * 16 * 16 * 4 * 4);
    assert_true(cycles[0] < cycles[1] / 2);
}

/* C = A B in LOOP_WS of at most 4 x 4 x 8 blocks: sizes are multiples of 64, 64 and 128. */
static void matmul(struct program *p, unsigned m, unsigned n, unsigned k)
{
    config_ex(p, true, false);
    config_st(p, n);
    config_ld(p, 0, k, 1);
    config_ld(p, 1, n, 1);
    config_ld(p, 2, 4 * (uint64_t)n, 1);
    for (uint64_t i = 0; i < m / 16; i += 4)
        for (uint64_t j = 0; j < n / 16; j += 4)
            for (uint64_t l = 0; l < k / 16; l += 8) {
                const bool is_last = l + 8 >= k / 16;
                add(p, CT_GEM_LOOP_BOUNDS_FUNCT, 0, UINT64_C(8) << 32 | 4 << 16 | 4);
                add(p, CT_GEM_LOOP_ADDRS_AB_FUNCT, 0x80000000 + (i * k + l) * 16,
                    0x81000000 + (l * n + j) * 16);
                add(p, CT_GEM_LOOP_ADDRS_DC_FUNCT, 0, is_last ? 0x82000000 + (i * n + j) * 16 : 0);
                add(p, CT_GEM_LOOP_STRIDES_AB_FUNCT, k, n);
                add(p, CT_GEM_LOOP_STRIDES_DC_FUNCT, n, n);
                add(p, CT_GEM_LOOP_WS_FUNCT, l > 0, 0);
            }
    add(p, CT_GEM_FENCE_FUNCT, 0, 0);
}

static void cycles_are_no_less_than_the_bounds(void **state)
{
    (void)state;
    struct ct_gem_config config = default_config();
    struct program p = {0};
    matmul(&p, 128, 128, 256);
    static const double bandwidths[] = {0.5, 2, 4, 8, 16, 32};
    uint64_t before = UINT64_MAX;
    for (size_t i = 0; i < sizeof bandwidths / sizeof bandwidths[0]; i++) {
        config.mem_bytes_per_cycle = bandwidths[i];
        const struct ct_gem_timing t = time_with(&config, &p);
        assert_true(t.cycles >= t.macs / 256);
        assert_true((double)t.cycles * bandwidths[i] >=
                    (double)(t.read_bytes + t.write_bytes) - bandwidths[i]);
        assert_true(t.cycles <= before); /* a single product: more bandwidth never is slower */
        assert_true(t.utilisation > 0 && t.utilisation <= 1);
        for (int unit = 0; unit < CT_GEM_UNITS; unit++)
            assert_true(t.busy_cycles[unit] > 0 && t.busy_cycles[unit] <= t.cycles);
        before = t.cycles;
    }
}

static void work_is_counted(void **state)
{
    (void)state;
    struct ct_gem_config config = default_config();
    struct program p = {0};
    matmul(&p, 128, 64, 256);
    const struct ct_gem_timing t = time_with(&config, &p);
    assert_int_equal(t.macs, 128 * 64 * 256);
    assert_int_equal(t.read_bytes, 128 * 256 + 2 * 256 * 64);
    assert_int_equal(t.write_bytes, 128 * 64);
    assert_int_equal(t.spad_rows_written * 16, t.read_bytes);
    assert_int_equal(t.acc_rows_read, 128 * 64 / 16);
    assert_int_equal(t.acc_rows_written, 128 * 64 / 16 * 256 / 16);
    assert_int_equal(t.host_instructions, p.n);
    assert_int_equal(t.tlb_misses, 0);
}

struct intervals {
    uint64_t last_start[CT_GEM_UNITS], end;
    size_t n, n_commands;
};

static void note(void *context, enum ct_gem_unit unit, uint64_t start, uint64_t end, size_t command)
{
    struct intervals *intervals = context;
    assert_true(start < end && command < intervals->n_commands);
    assert_true(start >= intervals->last_start[unit]);
    intervals->last_start[unit] = start;
    intervals->end = end > intervals->end ? end : intervals->end;
    intervals->n++;
}

/* ct_gem_timeline goes through everything, ct_gem_time skips what repeats itself. */
static void skipping_repetitions_changes_nothing(void **state)
{
    (void)state;
    static const int latencies[] = {10, 40, 150};
    for (size_t i = 0; i < sizeof latencies / sizeof latencies[0]; i++) {
        struct ct_gem_config config = default_config();
        struct program p = {0};
        struct intervals intervals = {0};
        struct ct_gem_timing whole, skipped;
        struct ct_error err;
        config.mem_latency = latencies[i];
        matmul(&p, 256, 256, 512);
        matmul(&p, 64, 512, 128);
        intervals.n_commands = p.n;
        assert_int_equal(ct_gem_timeline(&config, p.commands, p.n, note, &intervals, &whole, &err),
                         CT_OK);
        skipped = time_with(&config, &p);
        assert_memory_equal(&whole, &skipped, sizeof whole);
        assert_true(intervals.end <= whole.cycles + 1);
        assert_true(intervals.n > whole.macs / 4096);
    }
}

static void pages_are_translated(void **state)
{
    (void)state;
    struct ct_gem_config config = default_config();
    struct program p = {0};
    config_ld(&p, 0, 4096, 1);
    mvin(&p, 0x80000000, 0, 16, 16);
    mvin(&p, 0x80000010, 16, 16, 16);
    const uint64_t without = time_with(&config, &p).cycles;
    config.tlb_miss_cycles = 50;
    struct ct_gem_timing t = time_with(&config, &p);
    assert_int_equal(t.tlb_misses, 32);
    assert_true(t.cycles >= without + 32 * 40);
    config.tlb_entries = 16;
    t = time_with(&config, &p);
    assert_int_equal(t.tlb_misses, 16);
}

static void a_fence_waits_until_all_is_idle(void **state)
{
    (void)state;
    struct program p = {0};
    config_ld(&p, 0, 64, 1);
    mvin(&p, 0x80000000, 0, 16, 64);
    const uint64_t one = cycles_of(&p);
    add(&p, CT_GEM_FENCE_FUNCT, 0, 0);
    assert_int_equal(cycles_of(&p), one);
    mvin(&p, 0x80000000, 0, 16, 64);
    assert_true(cycles_of(&p) >= 2 * one - 10);
    p.n = 0;
    assert_int_equal(cycles_of(&p), 0);
}

/* What the functional machine refuses, this refuses in the same words. */
static void bad_commands_are_refused_as_by_the_functional_machine(void **state)
{
    (void)state;
    static const struct ct_gem_command bad[] = {
        {CT_GEM_MVIN_FUNCT, 0, 0x0010001000000000 | 0x3ff8},
        {CT_GEM_MVIN_FUNCT, 0, 0x0011001000000000},
        {CT_GEM_MVIN_FUNCT, 0, 0x0010004100000000},
        {CT_GEM_MVIN_FUNCT, 0, 0x00100010ffffffff},
        {CT_GEM_MVIN2_FUNCT, 0, 0x0010001080000400},
        {CT_GEM_MVOUT_FUNCT, 0, 0x0010001080000400},
        {CT_GEM_MVOUT_FUNCT, 0, 0x0010001084000000},
        {CT_GEM_CONFIG_EX_FUNCT, 0, 32},
        {CT_GEM_CONFIG_EX_FUNCT, 0x304, 0},
        {CT_GEM_CONFIG_EX_FUNCT, 0x200, 0},
        {CT_GEM_COMPUTE_ACCUMULATED_FUNCT, 0x0011001000000000, 0x00100010ffffffff},
        {CT_GEM_COMPUTE_ACCUMULATED_FUNCT, 0x0010001000003ff8, 0x00100010ffffffff},
        {CT_GEM_CONFIG_LD_FUNCT, 1 | 3 << 3, 0},
        {CT_GEM_CONFIG_LD_FUNCT, 1 | 2 << 8, 0},
        {CT_GEM_CONFIG_NORM_FUNCT, 3 | 2 << 8, 0},
        {CT_GEM_LOOP_WS_FUNCT, 0, 0},
        {15, 0, 0},
        {99, 0, 0},
    };
    const struct ct_gem_config config = default_config();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct program p = {0};
        struct ct_gem_machine *machine;
        struct ct_gem_timing timing;
        struct ct_error err = {0}, other = {0};
        config_ex(&p, true, false);
        config_ld(&p, 0, 0, 1);
        config_ld(&p, 1, 0, 1);
        add(&p, bad[i].funct, bad[i].rs1, bad[i].rs2);
        assert_int_equal(ct_gem_machine_open(&config, NULL, 0, &machine, &err), CT_OK);
        const enum ct_status status = ct_gem_machine_run(machine, p.commands, p.n, &err);
        ct_gem_machine_close(machine);
        assert_int_not_equal(status, CT_OK);
        const enum ct_status refused = ct_gem_time(&config, p.commands, p.n, &timing, &other);
        assert_string_equal(other.message, err.message);
        assert_int_equal(refused, status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lone_commands_take_what_they_take_on_the_hardware),
        cmocka_unit_test(loads_are_bound_by_requests_in_flight),
        cmocka_unit_test(operands_of_one_bank_take_turns),
        cmocka_unit_test(stores_and_results_share_banks_with_operands),
        cmocka_unit_test(scaling_loads_costs_time),
        cmocka_unit_test(cycles_are_no_less_than_the_bounds),
        cmocka_unit_test(work_is_counted),
        cmocka_unit_test(skipping_repetitions_changes_nothing),
        cmocka_unit_test(pages_are_translated),
        cmocka_unit_test(a_fence_waits_until_all_is_idle),
        cmocka_unit_test(bad_commands_are_refused_as_by_the_functional_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
