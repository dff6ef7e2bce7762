/* What holds for the cost of any operator on any machine: energy is the sum of its parts, no operator is
 * faster than its array or its memory, every operand moves at least once, more of a resource costs no
 * time. Random operators on random machines; each prints its seed. */
#include "engine/backend/gemmini/gem_schedule.h"
#include "engine/base/rng.h"
#include "tests/support/gem_cost.h"

#include <math.h>
#include <string.h>

enum { CASES = 300 };

static int pick(struct ct_rng *rng, const int *choices, size_t n)
{
    return choices[ct_rng_below(rng, n)];
}
#define PICK(rng, ...)                                                                             \
    pick(rng, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static struct ct_gem_config random_machine(struct ct_rng *rng)
{
    static const char *const presets[] = {"default", "ibert", "survey_fusion_256", "lpddr4"};
    struct ct_gem_config config;
    struct ct_error err;
    assert_int_equal(ct_gem_config_preset(presets[ct_rng_below(rng, 4)], &config, &err), CT_OK);
    config.mem_latency = PICK(rng, 1, 10, 40, 110, 300);
    config.mem_bytes_per_cycle = PICK(rng, 1, 4, 8, 16, 64);
    config.dma_in_flight = PICK(rng, 1, 4, 16, 64);
    config.dma_bus_bytes = PICK(rng, 8, 16, 64);
    config.rob_ld = PICK(rng, 4, 8, 32);
    config.rob_loops_in_flight = PICK(rng, 1, 2);
    config.tlb_miss_cycles = PICK(rng, 0, 0, 30);
    config.norm_stat_ids = PICK(rng, 1, 2, 4);
    config.host_issue_interval = PICK(rng, 1, 4);
    config.energy_table = (int)ct_rng_below(rng, 7);
    config.energy_dram = (int)ct_rng_below(rng, 4);
    config.sw_mvin_lut = PICK(rng, 0, 1);
    config.sw_host_decode = !config.sw_mvin_lut && PICK(rng, 0, 1);
    return config;
}

static struct ct_gem_op random_op(struct ct_rng *rng)
{
    struct ct_gem_op op = {.count = 1,
                           .m = 1 + ct_rng_below(rng, 200),
                           .n = 1 + ct_rng_below(rng, 400),
                           .k = 1 + ct_rng_below(rng, 400)};
    switch (ct_rng_below(rng, 6)) {
    case 0:
        op.kind = CT_GEM_OP_RESADD;
        break;
    case 1:
        op.kind = PICK(rng, CT_GEM_OP_SOFTMAX, CT_GEM_OP_LAYERNORM);
        break;
    case 2:
        op.kind = CT_GEM_OP_GELU;
        op.is_on_host = true;
        break;
    default:
        op.has_bias = PICK(rng, 0, 1);
        op.b_transpose = PICK(rng, 0, 0, 1);
        op.is_full_c = PICK(rng, 0, 1);
        op.index_bits = PICK(rng, 0, 0, 4, 6);
    }
    return op;
}

/* A case: a machine and an operator, and what it costs. */
struct sample {
    uint64_t seed;
    struct ct_gem_config config;
    struct ct_gem_op op;
    struct ct_gem_cost cost;
};

static struct sample sample_of(uint64_t seed)
{
    struct ct_rng rng;
    struct sample s = {.seed = seed};
    ct_rng_init(&rng, seed);
    s.config = random_machine(&rng);
    s.op = random_op(&rng);
    s.cost = gem_cost_of(&s.config, &s.op);
    return s;
}

static void check(const struct sample *s, bool holds, const char *what, double a, double b)
{
    if (!holds)
        fail_msg("seed %llu, operator %d of %zu x %zu x %zu: %s: %.17g and %.17g",
                 (unsigned long long)s->seed, s->op.kind, s->op.m, s->op.n, s->op.k, what, a, b);
}

static void energy_is_the_sum_of_its_parts(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        const struct sample s = sample_of(seed);
        struct ct_gem_energy energy, thrice;
        struct ct_gem_cost sum = {0};
        double parts = 0;
        ct_gem_cost_energy(&s.config, &s.cost, &energy);
        for (int part = 0; part < CT_GEM_ENERGY_PARTS; part++) {
            check(&s, energy.pj[part] >= 0, "a part of the energy", energy.pj[part], 0);
            parts += energy.pj[part];
        }
        check(&s, fabs(parts - energy.total_pj) <= 1e-9 * parts, "energy", parts, energy.total_pj);
        check(&s, energy.pj[CT_GEM_ENERGY_DRAM] > 0, "DRAM", energy.pj[CT_GEM_ENERGY_DRAM], 0);
        ct_gem_cost_add(&sum, &s.cost, 3);
        ct_gem_cost_energy(&s.config, &sum, &thrice);
        check(&s, fabs(thrice.total_pj - 3 * parts) <= 1e-9 * thrice.total_pj, "three times",
              thrice.total_pj, 3 * parts);
    }
}

static void nothing_is_faster_than_array_and_memory(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        const struct sample s = sample_of(seed);
        const struct ct_gem_timing *work = &s.cost.work;
        /* The host's bytes come in its own time. The last write is acknowledged as memory begins it. */
        if (s.op.is_on_host || s.cost.host_cycles > 0)
            continue;
        const double cycles = (double)work->cycles, bus = s.config.dma_bus_bytes,
                     memory =
                         s.config.mem_bytes_per_cycle < bus ? s.config.mem_bytes_per_cycle : bus,
                     last = s.config.dma_max_bytes,
                     bytes = (double)(work->read_bytes + work->write_bytes) - last;
        check(&s, cycles * 256 >= (double)work->macs, "multiplications", cycles,
              (double)work->macs);
        check(&s, work->utilisation <= 1, "use of the array", work->utilisation, 1);
        check(&s, cycles * memory >= bytes, "memory's bytes", cycles * memory, bytes);
        for (int unit = 0; unit < CT_GEM_UNITS; unit++)
            check(&s, work->busy_cycles[unit] <= work->cycles, "a unit's time",
                  (double)work->busy_cycles[unit], cycles);
    }
}

static void operands_and_results_move(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        const struct sample s = sample_of(seed);
        const struct ct_gem_op *op = &s.op;
        const size_t m = op->m, n = op->n, k = op->k;
        const bool is_packed = op->index_bits > 0 && s.config.sw_mvin_lut;
        size_t in = 0, out = m * n;
        if (op->is_on_host || s.cost.host_cycles > 0)
            continue;
        switch (op->kind) {
        case CT_GEM_OP_MATMUL:
            in = m * k + (is_packed ? k * n * (size_t)op->index_bits / 8 : k * n) +
                 (op->has_bias ? 4 * n : 0);
            out *= op->is_full_c ? 4 : 1;
            check(&s, s.cost.work.macs >= m * n * k, "multiplications", (double)s.cost.work.macs,
                  (double)(m * n * k));
            break;
        case CT_GEM_OP_RESADD:
            in = 2 * m * n;
            break;
        default:
            in = 4 * m * n;
        }
        check(&s, s.cost.work.read_bytes >= in, "read bytes", (double)s.cost.work.read_bytes,
              (double)in);
        check(&s, s.cost.work.write_bytes == out, "written bytes", (double)s.cost.work.write_bytes,
              (double)out);
    }
}

/* The machine with more of one resource. */
enum resource { BANDWIDTH, LATENCY, IN_FLIGHT, N_RESOURCES };

static struct ct_gem_config with_more(const struct ct_gem_config *config, int resource)
{
    struct ct_gem_config more = *config;
    if (resource == BANDWIDTH)
        more.mem_bytes_per_cycle *= 2;
    else if (resource == LATENCY)
        more.mem_latency = (more.mem_latency + 1) / 2;
    else
        more.dma_in_flight *= 2;
    return more;
}

struct program {
    struct ct_gem_command commands[128];
    size_t n;
};

static void add(struct program *program, uint8_t funct, uint64_t rs1, uint64_t rs2)
{
    assert_true(program->n < 128);
    program->commands[program->n++] = (struct ct_gem_command){funct, rs1, rs2};
}

/* Moves of one direction, here and there, of any size and alignment. */
static void random_moves(struct program *program, struct ct_rng *rng, bool is_load)
{
    const uint64_t one = 0x3f800000;
    program->n = 0;
    if (is_load)
        add(program, CT_GEM_CONFIG_LD_FUNCT,
            1 | CT_GEM_PUT(CONFIG_LD, SCALE, one) | CT_GEM_PUT(CONFIG_LD, PIXELS, 1) |
                CT_GEM_PUT(CONFIG_LD, BLOCK_STRIDE, 16),
            64 + ct_rng_below(rng, 100));
    else
        add(program, CT_GEM_CONFIG_ST_FUNCT, 2,
            CT_GEM_PUT(CONFIG_ST, STRIDE, 64 + ct_rng_below(rng, 100)) |
                CT_GEM_PUT(CONFIG_ST, ACC_SCALE, one));
    for (size_t n = 1 + ct_rng_below(rng, 100); n > 0; n--) {
        const uint32_t accumulator = is_load ? 0 : CT_GEM_LOCAL_ACCUMULATOR;
        add(program, is_load ? CT_GEM_MVIN_FUNCT : CT_GEM_MVOUT_FUNCT,
            0x80000000 + ct_rng_below(rng, 100000),
            ct_gem_block_encode((uint32_t)ct_rng_below(rng, 30) * 16 | accumulator,
                                1 + (unsigned)ct_rng_below(rng, 16),
                                1 + (unsigned)ct_rng_below(rng, 64)));
    }
    add(program, CT_GEM_FENCE_FUNCT, 0, 0);
}

static uint64_t cycles_of(const struct ct_gem_config *config, const struct program *program)
{
    struct ct_gem_timing timing;
    struct ct_error err;
    if (ct_gem_time(config, program->commands, program->n, &timing, &err) != CT_OK)
        fail_msg("%s", err.message);
    return timing.cycles;
}

/* Loads alone and stores alone wait for nothing but what they ask for: no exception. */
static void moves_alone_gain_by_every_resource(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        struct ct_rng rng;
        struct program program;
        ct_rng_init(&rng, seed);
        const struct ct_gem_config config = random_machine(&rng);
        random_moves(&program, &rng, seed % 2 == 0);
        const uint64_t before = cycles_of(&config, &program);
        for (int resource = 0; resource < N_RESOURCES; resource++) {
            const struct ct_gem_config more = with_more(&config, resource);
            const uint64_t after = cycles_of(&more, &program);
            if (after > before)
                fail_msg("seed %llu: more of resource %d takes %llu cycles, not %llu",
                         (unsigned long long)seed, resource, (unsigned long long)after,
                         (unsigned long long)before);
        }
    }
}

/* Whole operators may lose a little, as machines with queues do (Graham's anomalies): rows that come
 * earlier keep the array out of their bank at a worse moment, and writes wait behind more reads that were
 * asked for earlier. That is rare, and small. */
static void operators_hardly_ever_lose_by_a_resource(void **state)
{
    (void)state;
    double sum_before[N_RESOURCES] = {0}, sum_after[N_RESOURCES] = {0};
    size_t n_slower[N_RESOURCES] = {0}, n = 0;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        const struct sample s = sample_of(seed);
        if (s.op.is_on_host)
            continue;
        n++;
        for (int resource = 0; resource < N_RESOURCES; resource++) {
            const struct ct_gem_config more = with_more(&s.config, resource);
            const double before = (double)s.cost.work.cycles,
                         after = (double)gem_cost_of(&more, &s.op).work.cycles;
            check(&s, after <= 1.08 * before, "cycles with more and less of a resource", after,
                  before);
            n_slower[resource] += after > before;
            sum_before[resource] += before;
            sum_after[resource] += after;
        }
    }
    for (int resource = 0; resource < N_RESOURCES; resource++) {
        print_message("resource %d: %zu of %zu are slower with more, all of them take %.3f\n",
                      resource, n_slower[resource], n, sum_after[resource] / sum_before[resource]);
        assert_true(n_slower[resource] <= n / 12);
        assert_true(sum_after[resource] < sum_before[resource]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(energy_is_the_sum_of_its_parts),
        cmocka_unit_test(nothing_is_faster_than_array_and_memory),
        cmocka_unit_test(operands_and_results_move),
        cmocka_unit_test(moves_alone_gain_by_every_resource),
        cmocka_unit_test(operators_hardly_ever_lose_by_a_resource),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
