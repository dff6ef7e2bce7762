#include "engine/backend/gemmini/gem_schedule.h"

#include <stdlib.h>
#include <string.h>

enum host_op {
    NO_HOST_OP = -1,
#define CT_GEM_HOST_OP(name, text, instructions, cycles) HOST_##name,
#define CT_GEM_HOST_CODE(softmax, layernorm, gelu)
#include "engine/backend/gemmini/host_ops.def"
#undef CT_GEM_HOST_OP
#undef CT_GEM_HOST_CODE
};

static const struct {
    const char *name;
    double instructions, cycles; /* an element */
} host_ops[] = {
#define CT_GEM_HOST_OP(name, text, instructions, cycles) {text, instructions, cycles},
#define CT_GEM_HOST_CODE(softmax, layernorm, gelu)
#include "engine/backend/gemmini/host_ops.def"
#undef CT_GEM_HOST_OP
#undef CT_GEM_HOST_CODE
};

static const struct {
    enum host_op softmax, layernorm, gelu;
} host_codes[] = {
#define CT_GEM_HOST_OP(name, text, instructions, cycles)
#define CT_GEM_HOST_CODE(softmax, layernorm, gelu) {HOST_##softmax, HOST_##layernorm, HOST_##gelu},
#include "engine/backend/gemmini/host_ops.def"
#undef CT_GEM_HOST_OP
#undef CT_GEM_HOST_CODE
};

static enum host_op host_op_of(const struct ct_gem_config *config, enum ct_gem_op_kind kind)
{
    switch (kind) {
    case CT_GEM_OP_SOFTMAX:
        return host_codes[config->host_table].softmax;
    case CT_GEM_OP_LAYERNORM:
        return host_codes[config->host_table].layernorm;
    case CT_GEM_OP_GELU:
        return host_codes[config->host_table].gelu;
    case CT_GEM_OP_REQUANTISE:
        return HOST_REQUANTISE;
    case CT_GEM_OP_RMSNORM:
        return HOST_RMSNORM_FP32;
    case CT_GEM_OP_GATE:
        return HOST_GATE_FP32;
    case CT_GEM_OP_ROTARY:
        return HOST_ROTARY_FP32;
    case CT_GEM_OP_RESIDUAL:
        return HOST_RESIDUAL_FP32;
    default:
        return NO_HOST_OP;
    }
}

const char *ct_gem_host_code(const struct ct_gem_config *config, enum ct_gem_op_kind kind)
{
    const enum host_op op = host_op_of(config, kind);
    return op != NO_HOST_OP ? host_ops[op].name : NULL;
}

static enum ct_gem_activation activation_of(enum ct_gem_op_kind kind)
{
    switch (kind) {
    case CT_GEM_OP_SOFTMAX:
        return CT_GEM_ACT_SOFTMAX;
    case CT_GEM_OP_LAYERNORM:
        return CT_GEM_ACT_LAYERNORM;
    case CT_GEM_OP_GELU:
        return CT_GEM_ACT_IGELU;
    default:
        return CT_GEM_ACT_NONE;
    }
}

/* Programs are timed at addresses of their own: operands one after the other, each at a multiple of 64. */
static const uint64_t dram = 0x80000000;
static const float act_scale = 0.02F; /* no time depends on it */

static uint64_t place(uint64_t *next, uint64_t n_bytes)
{
    const uint64_t address = *next;
    *next += (n_bytes + 63) / 64 * 64;
    return address;
}

/* The [product] section about op, or NULL. */
static const struct ct_gem_rule *rule_of(const struct ct_gem_config *config,
                                         const struct ct_gem_op *op)
{
    return ct_gem_rule_find(config, op->role, op->m, op->n, op->k);
}

static struct ct_gem_matmul matmul_of(const struct ct_gem_config *config,
                                      const struct ct_gem_op *op)
{
    const struct ct_gem_rule *rule = rule_of(config, op);
    uint64_t next = dram;
    struct ct_gem_matmul out = {.m = op->m, .n = op->n, .k = op->k};
    out.a = (struct ct_gem_matrix){place(&next, op->m * op->k), op->k};
    out.b = (struct ct_gem_matrix){place(&next, op->k * op->n), op->b_transpose ? op->k : op->n};
    if (op->has_bias || op->has_addend)
        out.d.address = place(&next, (op->has_addend ? op->m : 1) * op->n * 4);
    out.d.stride = op->has_addend ? op->n : 0;
    out.c = (struct ct_gem_matrix){place(&next, op->m * op->n * 4), op->n};
    out.is_os = ct_gem_rule_is_os(config, rule);
    if (rule != NULL) {
        out.tile = rule->tile;
        out.order = (enum ct_gem_order)rule->order;
    }
    out.b_transpose = op->b_transpose;
    out.is_full_c = op->is_full_c;
    out.act = op->act;
    out.scale = 1;
    out.act_scale = act_scale;
    return out;
}

enum ct_status ct_gem_op_commands(const struct ct_gem_config *config, const struct ct_gem_op *op,
                                  ct_gem_sink_fn *sink, void *context, struct ct_error *err)
{
    uint64_t next = dram;
    if (op->is_on_host)
        return CT_OK;
    if (op->kind == CT_GEM_OP_MATMUL) {
        const struct ct_gem_rule *rule = rule_of(config, op);
        const struct ct_gem_matmul matmul = matmul_of(config, op);
        const enum ct_status status = ct_gem_map_matmul(config, &matmul, sink, context, err);
        return status == CT_OK || rule == NULL
                   ? status
                   : ct_error_prefix(err, "[product] of line %d", rule->line);
    }
    const struct ct_gem_matrix first = {
        place(&next, op->m * op->n * (op->kind == CT_GEM_OP_RESADD ? 1 : 4)), op->n};
    const struct ct_gem_matrix second = {place(&next, op->m * op->n), op->n};
    if (op->kind == CT_GEM_OP_RESADD) {
        const struct ct_gem_matrix third = {place(&next, op->m * op->n), op->n};
        const struct ct_gem_resadd add = {op->m, op->n, first, second, third, false, 1, 1, 1};
        return ct_gem_map_resadd(config, &add, sink, context, err);
    }
    if (op->kind == CT_GEM_OP_SOFTMAX || op->kind == CT_GEM_OP_LAYERNORM) {
        const struct ct_gem_normalise normalise = {
            op->m, op->n, first, second, activation_of(op->kind), 1, act_scale};
        return ct_gem_map_normalise(config, &normalise, sink, context, err);
    }
    return ct_error_set(err, CT_UNSUPPORTED, "the accelerator has no operator %d by itself",
                        op->kind);
}

static bool is_on_host(const struct ct_gem_config *config, const struct ct_gem_op *op)
{
    switch (op->kind) {
    case CT_GEM_OP_MATMUL:
    case CT_GEM_OP_RESADD:
        return false;
    case CT_GEM_OP_SOFTMAX:
    case CT_GEM_OP_LAYERNORM:
        return op->is_float || !config->norm_enabled || op->n > ct_gem_config_acc_rows(config);
    default:
        return true;
    }
}

static bool may_fuse(const struct ct_gem_config *config, const struct ct_gem_op *op,
                     enum ct_gem_activation act)
{
    const struct ct_gem_rule *rule = rule_of(config, op);
    if (rule != NULL && rule->fuse != CT_GEM_FUSE_AUTO)
        return rule->fuse == CT_GEM_FUSE_YES;
    return act == CT_GEM_ACT_IGELU ||
           (act == CT_GEM_ACT_SOFTMAX && op->role == CT_GEM_ROLE_QK &&
            config->sw_fuse_qk_softmax) ||
           (act == CT_GEM_ACT_LAYERNORM && op->role == CT_GEM_ROLE_WOUT &&
            config->sw_fuse_wout_ln) ||
           (act == CT_GEM_ACT_LAYERNORM && op->role == CT_GEM_ROLE_W2 && config->sw_fuse_w2_ln);
}

/* Takes next into op where that is asked for and possible. A pass that normalises reads int32. */
static bool fuse(const struct ct_gem_config *config, struct ct_gem_op *op,
                 const struct ct_gem_op *next)
{
    const enum ct_gem_activation act = activation_of(next->kind);
    struct ct_gem_tiles tiles;
    struct ct_error err;
    if (!config->norm_enabled || next->is_float || op->kind != CT_GEM_OP_MATMUL ||
        op->act != CT_GEM_ACT_NONE || act == CT_GEM_ACT_NONE ||
        next->m * next->count != op->m * op->count || next->n != op->n)
        return false;
    struct ct_gem_op fused = *op;
    fused.act = act;
    const struct ct_gem_matmul matmul = matmul_of(config, &fused);
    if (may_fuse(config, op, act) && ct_gem_matmul_tiles(config, &matmul, &tiles, &err) == CT_OK) {
        *op = fused;
        return true;
    }
    op->is_full_c = !is_on_host(config, next);
    return false;
}

bool ct_gem_op_is_alike(const struct ct_gem_op *a, const struct ct_gem_op *b)
{
    return a->kind == b->kind && a->role == b->role && a->m == b->m && a->n == b->n &&
           a->k == b->k && a->index_bits == b->index_bits && a->b_transpose == b->b_transpose &&
           a->has_bias == b->has_bias && a->has_addend == b->has_addend && a->act == b->act &&
           a->is_on_host == b->is_on_host && a->is_full_c == b->is_full_c;
}

size_t ct_gem_schedule(const struct ct_gem_config *config, struct ct_gem_op *ops, size_t n)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        if (n_out > 0 && fuse(config, &ops[n_out - 1], &ops[i]))
            continue;
        ops[n_out] = ops[i];
        ops[n_out].is_on_host = is_on_host(config, &ops[i]);
        n_out++;
    }
    return n_out;
}

void ct_gem_cost_add(struct ct_gem_cost *sum, const struct ct_gem_cost *part, size_t count)
{
    struct ct_gem_timing *s = &sum->work;
    const struct ct_gem_timing *p = &part->work;
    s->cycles += p->cycles * count;
    for (int i = 0; i < CT_GEM_UNITS; i++)
        s->busy_cycles[i] += p->busy_cycles[i] * count;
    s->read_requests += p->read_requests * count;
    s->read_bytes += p->read_bytes * count;
    s->write_requests += p->write_requests * count;
    s->write_bytes += p->write_bytes * count;
    s->macs += p->macs * count;
    s->spad_rows_read += p->spad_rows_read * count;
    s->spad_rows_written += p->spad_rows_written * count;
    s->acc_rows_read += p->acc_rows_read * count;
    s->acc_rows_written += p->acc_rows_written * count;
    s->norm_lanes += p->norm_lanes * count;
    s->host_instructions += p->host_instructions * count;
    s->tlb_misses += p->tlb_misses * count;
    s->utilisation =
        s->cycles > 0 ? (double)s->macs / ((double)s->cycles * CT_GEM_DIM * CT_GEM_DIM) : 0;
    sum->host_cycles += part->host_cycles * count;
    sum->table_reads += part->table_reads * count;
}

double ct_gem_cost_cycles(const struct ct_gem_config *config, const struct ct_gem_cost *cost)
{
    return (double)cost->work.cycles +
           (double)cost->host_cycles * config->clock_ghz / config->host_ghz;
}

void ct_gem_cost_energy(const struct ct_gem_config *config, const struct ct_gem_cost *cost,
                        struct ct_gem_energy *energy)
{
    /* A byte of a register file: DOSA's fit at 40 nm (Hong et al., MICRO 2023). */
    const double lookup_pj = 0.49, pj = (double)cost->table_reads * CT_GEM_DIM * lookup_pj;
    ct_gem_energy(config, &cost->work, energy);
    energy->pj[CT_GEM_ENERGY_REGISTERS] += pj;
    energy->total_pj += pj;
}

/* Commands as ct_gem_time wants them. */
struct program {
    struct ct_gem_command *commands;
    size_t n, capacity;
    bool has_failed;
};

static void take(void *context, const struct ct_gem_command *command)
{
    struct program *p = context;
    if (p->n == p->capacity && !p->has_failed) {
        const size_t capacity = p->capacity > 0 ? 2 * p->capacity : 256;
        struct ct_gem_command *commands = realloc(p->commands, capacity * sizeof *commands);
        p->has_failed = commands == NULL;
        if (!p->has_failed) {
            p->commands = commands;
            p->capacity = capacity;
        }
    }
    if (!p->has_failed)
        p->commands[p->n++] = *command;
}

/* Who is told what the units do, and in how many of the commands. */
struct watch {
    ct_gem_interval_fn *each;
    void *context;
    size_t n_commands;
};
static const struct watch nobody = {.n_commands = SIZE_MAX};

static enum ct_status time_op(const struct ct_gem_config *config, const struct ct_gem_op *op,
                              const struct watch *watch, struct ct_gem_timing *out,
                              struct ct_error *err)
{
    struct program program = {0};
    enum ct_status status = ct_gem_op_commands(config, op, take, &program, err);
    if (status == CT_OK && program.has_failed)
        status = ct_error_set(err, CT_MEMORY, "no memory for %zu commands", program.n + 1);
    const size_t n = program.n < watch->n_commands ? program.n : watch->n_commands;
    if (status == CT_OK)
        status =
            ct_gem_timeline(config, program.commands, n, watch->each, watch->context, out, err);
    free(program.commands);
    return status;
}

/* n elements, of so many bytes in memory together. */
static void add_host(struct ct_gem_cost *cost, enum host_op op, uint64_t n, uint64_t read_bytes,
                     uint64_t write_bytes)
{
    cost->host_cycles += (uint64_t)((double)n * host_ops[op].cycles + 0.5);
    cost->work.host_instructions += (uint64_t)((double)n * host_ops[op].instructions + 0.5);
    cost->work.read_bytes += read_bytes;
    cost->work.write_bytes += write_bytes;
}

/* Bytes of op's weights in memory, packed indices and scales. */
static uint64_t clustered_bytes(const struct ct_gem_config *config, const struct ct_gem_op *op)
{
    const uint64_t group = (uint64_t)config->sw_scale_group;
    const uint64_t n_scales = group > 0 ? (op->k + group - 1) / group * op->n : 0;
    return (uint64_t)op->k * op->n * (uint64_t)op->index_bits / 8 + 2 * n_scales;
}

/* Weights come as indices: memory delivers what their decoded bytes would take at that much more
 * bandwidth, and the bus and the scratchpad's port see the decoded rows, as many as before. */
static enum ct_status cost_of_lut(const struct ct_gem_config *config, const struct ct_gem_op *op,
                                  const struct watch *watch, struct ct_gem_cost *cost,
                                  struct ct_error *err)
{
    const struct ct_gem_matmul matmul = matmul_of(config, op);
    struct ct_gem_config faster = *config;
    struct ct_gem_timing *work = &cost->work;
    uint64_t n;
    enum ct_status status = time_op(config, op, &nobody, work, err);
    if (status == CT_OK)
        status = ct_gem_matmul_b_bytes(config, &matmul, &n, err);
    if (status != CT_OK)
        return status;
    const uint64_t times = n / ((uint64_t)op->k * op->n);
    const uint64_t bytes = work->read_bytes - n + times * clustered_bytes(config, op) +
                           (UINT64_C(1) << op->index_bits);
    faster.mem_bytes_per_cycle *=
        (double)(work->read_bytes + work->write_bytes) / (double)(bytes + work->write_bytes);
    if (faster.mem_bytes_per_cycle > config->dma_bus_bytes)
        faster.mem_bytes_per_cycle = config->dma_bus_bytes;
    if (faster.mem_bytes_per_cycle < config->mem_bytes_per_cycle)
        faster = *config;
    if (watch != &nobody || faster.mem_bytes_per_cycle > config->mem_bytes_per_cycle)
        status = time_op(&faster, op, watch, work, err);
    work->read_bytes = bytes;
    cost->table_reads = n / CT_GEM_DIM;
    return status;
}

static enum ct_status cost_of(const struct ct_gem_config *config, const struct ct_gem_op *op,
                              const struct watch *watch, struct ct_gem_cost *cost,
                              struct ct_error *err)
{
    const uint64_t n = (uint64_t)op->m * op->n;
    *cost = (struct ct_gem_cost){0};
    if (op->index_bits < 0 || op->index_bits > 8)
        return ct_error_set(err, CT_INVALID, "indices of %d bits, not 1 to 8", op->index_bits);
    if (op->is_on_host) {
        const enum host_op host = host_op_of(config, op->kind);
        if (n == 0 || host == NO_HOST_OP)
            return ct_error_set(err, CT_INVALID, "operator %d of %zu x %zu on the host", op->kind,
                                op->m, op->n);
        const bool is_residual = op->kind == CT_GEM_OP_RESIDUAL;
        add_host(cost, host, n,
                 n * (is_residual     ? 8
                      : op->is_full_c ? 4
                                      : 1),
                 n * (is_residual ? 4 : 1));
        return CT_OK;
    }
    if (op->index_bits > 0 && config->sw_mvin_lut)
        return cost_of_lut(config, op, watch, cost, err);
    const enum ct_status status = time_op(config, op, watch, &cost->work, err);
    if (op->index_bits > 0 && config->sw_host_decode) {
        const uint64_t weights = (uint64_t)op->k * op->n;
        add_host(cost, HOST_DECODE, weights, clustered_bytes(config, op), weights);
    }
    return status;
}

enum ct_status ct_gem_op_timeline(const struct ct_gem_config *config, const struct ct_gem_op *op,
                                  size_t n_commands, ct_gem_interval_fn *each, void *context,
                                  uint64_t *cycles, struct ct_error *err)
{
    const struct watch watch = {each, context, n_commands};
    struct ct_gem_cost cost;
    const enum ct_status status = cost_of(config, op, &watch, &cost, err);
    *cycles = cost.work.cycles;
    return status;
}

/* A table of as many operators and shapes as a model has, and more; where two want the same place the
 * later one has it. */
enum { N_SLOTS = 8192 };
struct slot {
    bool is_set;
    struct ct_gem_op op;
    struct ct_gem_cost cost; /* once, whatever op.count is */
};
struct ct_gem_costs {
    struct ct_gem_config config;
    struct slot slots[N_SLOTS];
};

enum ct_status ct_gem_costs_open(const struct ct_gem_config *config, struct ct_gem_costs **out,
                                 struct ct_error *err)
{
    *out = NULL;
    const enum ct_status status = ct_gem_config_check(config, err);
    if (status != CT_OK)
        return status;
    struct ct_gem_costs *costs = calloc(1, sizeof *costs);
    if (costs == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %zu bytes of costs", sizeof *costs);
    costs->config = *config;
    *out = costs;
    return CT_OK;
}

void ct_gem_costs_close(struct ct_gem_costs *costs)
{
    free(costs);
}

static struct slot *slot_of(struct ct_gem_costs *costs, const struct ct_gem_op *op)
{
    const uint64_t key[] = {(uint64_t)op->kind << 8 | (uint64_t)op->role,
                            op->m,
                            op->n,
                            op->k,
                            (uint64_t)op->act,
                            (uint64_t)op->index_bits,
                            (uint64_t)op->is_full_c << 2 | (uint64_t)op->b_transpose << 1 |
                                op->has_bias};
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < sizeof key / sizeof key[0]; i++)
        hash = (hash ^ key[i]) * UINT64_C(1099511628211);
    return &costs->slots[(hash ^ hash >> 32) % N_SLOTS];
}

enum ct_status ct_gem_op_cost(struct ct_gem_costs *costs, const struct ct_gem_op *op,
                              struct ct_gem_cost *cost, struct ct_error *err)
{
    struct slot *slot = slot_of(costs, op);
    *cost = (struct ct_gem_cost){0};
    if (!slot->is_set || !ct_gem_op_is_alike(&slot->op, op)) {
        struct ct_gem_cost one;
        const enum ct_status status = cost_of(&costs->config, op, &nobody, &one, err);
        if (status != CT_OK)
            return status;
        *slot = (struct slot){true, *op, one};
    }
    ct_gem_cost_add(cost, &slot->cost, op->count);
    return CT_OK;
}
