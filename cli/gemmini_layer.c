#include "cli/gemmini_layer.h"
#include "engine/backend/gemmini/gem_schedule.h"
#include "engine/base/json_text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPS = 14 };

/* A layer as it was scheduled. An operator's name is that of its product, or of itself. */
struct report {
    size_t n;
    const char *names[MAX_OPS];
    struct ct_gem_op ops[MAX_OPS];
    struct ct_gem_cost costs[MAX_OPS], sum;
    double cycles; /* of the accelerator's clock, the host's work included */
};

/* Of weights, with a bias. */
static struct ct_gem_op linear(const struct ct_gemmini_layer *layer, enum ct_gem_role role,
                               size_t n, size_t k)
{
    return (struct ct_gem_op){.kind = CT_GEM_OP_MATMUL,
                              .role = role,
                              .count = 1,
                              .m = (size_t)layer->n_tokens,
                              .n = n,
                              .k = k,
                              .index_bits = (int)layer->bits,
                              .has_bias = true};
}

static struct ct_gem_op by_row(enum ct_gem_op_kind kind, size_t count, size_t m, size_t n)
{
    return (struct ct_gem_op){.kind = kind, .count = count, .m = m, .n = n};
}

/* T tokens, E columns, H heads of D = E / H, F inside the feed-forward part. A normalisation comes right
 * behind its product and the residual add after it, as in the reference software's Transformer: the other
 * order costs the same but leaves nothing to fuse. */
static void list_operators(const struct ct_gemmini_layer *layer, struct report *report)
{
    const size_t t = (size_t)layer->n_tokens, e = (size_t)layer->d_model, f = (size_t)layer->d_ff;
    const size_t h = (size_t)layer->n_heads, d = e / h;
    const struct {
        const char *name;
        struct ct_gem_op op;
    } all[] = {
        {"q", linear(layer, CT_GEM_ROLE_NONE, e, e)},
        {"k", linear(layer, CT_GEM_ROLE_NONE, e, e)},
        {"v", linear(layer, CT_GEM_ROLE_NONE, e, e)},
        {"qk", {.role = CT_GEM_ROLE_QK, .count = h, .m = t, .n = t, .k = d, .b_transpose = true}},
        {"softmax", by_row(CT_GEM_OP_SOFTMAX, h, t, t)},
        {"av", {.count = h, .m = t, .n = d, .k = t}},
        {"wout", linear(layer, CT_GEM_ROLE_WOUT, e, e)},
        {"layernorm", by_row(CT_GEM_OP_LAYERNORM, 1, t, e)},
        {"residual", by_row(CT_GEM_OP_RESADD, 1, t, e)},
        {"w1", linear(layer, CT_GEM_ROLE_NONE, f, e)},
        {"gelu", by_row(CT_GEM_OP_GELU, 1, t, f)},
        {"w2", linear(layer, CT_GEM_ROLE_W2, e, f)},
        {"layernorm", by_row(CT_GEM_OP_LAYERNORM, 1, t, e)},
        {"residual", by_row(CT_GEM_OP_RESADD, 1, t, e)},
    };
    static_assert(sizeof all / sizeof all[0] == MAX_OPS, "a report holds all operators");
    for (size_t i = 0; i < MAX_OPS; i++) {
        report->names[i] = all[i].name;
        report->ops[i] = all[i].op;
    }
    report->n = MAX_OPS;
}

static const char *name_of(const struct ct_gem_op *op, const char *name)
{
    switch (op->act) {
    case CT_GEM_ACT_SOFTMAX:
        return "qk+softmax";
    case CT_GEM_ACT_LAYERNORM:
        return op->role == CT_GEM_ROLE_WOUT ? "wout+layernorm" : "w2+layernorm";
    case CT_GEM_ACT_IGELU:
        return "w1+gelu";
    default:
        return name;
    }
}

/* Fused operators are gone from ops; the names of those that stay move up with them. */
static void schedule(const struct ct_gem_config *config, struct report *report)
{
    struct ct_gem_op before[MAX_OPS];
    size_t n = 0;
    memcpy(before, report->ops, sizeof before);
    report->n = ct_gem_schedule(config, report->ops, report->n);
    for (size_t i = 0; i < MAX_OPS && n < report->n; i++) {
        if (before[i].kind != report->ops[n].kind)
            continue;
        report->names[n] = name_of(&report->ops[n], report->names[i]);
        n++;
    }
}

static enum ct_status measure(const struct ct_gemmini_layer *layer,
                              const struct ct_gem_config *config, struct report *report,
                              struct ct_error *err)
{
    struct ct_gem_costs *costs;
    *report = (struct report){0};
    list_operators(layer, report);
    schedule(config, report);
    enum ct_status status = ct_gem_costs_open(config, &costs, err);
    for (size_t i = 0; i < report->n && status == CT_OK; i++) {
        status = ct_gem_op_cost(costs, &report->ops[i], &report->costs[i], err);
        if (status == CT_OK)
            ct_gem_cost_add(&report->sum, &report->costs[i], 1);
        else
            ct_error_prefix(err, "%s", report->names[i]);
    }
    ct_gem_costs_close(costs);
    report->cycles = ct_gem_cost_cycles(config, &report->sum);
    return status;
}

static double joules(double pj)
{
    return pj * 1e-12;
}

static void print_row(const char *name, const struct ct_gem_op *op, const struct ct_gem_cost *cost,
                      const struct ct_gem_energy *energy)
{
    char place[8] = "";
    if (op != NULL)
        snprintf(place, sizeof place, "%s%zu", op->is_on_host ? "host " : "x", op->count);
    printf("%-15s %-6s %12llu %12llu %10.2f %7.1f%%", name, place,
           (unsigned long long)cost->work.cycles, (unsigned long long)cost->host_cycles,
           (double)(cost->work.read_bytes + cost->work.write_bytes) / 1e6,
           100 * cost->work.utilisation);
    for (int part = 0; part < CT_GEM_ENERGY_PARTS; part++)
        printf(" %9.3f", 1e3 * joules(energy->pj[part]));
    printf(" %9.3f\n", 1e3 * joules(energy->total_pj));
}

static void print_table(const struct ct_gem_config *config, const struct report *report,
                        const struct report *host)
{
    struct ct_gem_energy energy;
    printf("%-15s %-6s %12s %12s %10s %8s", "operator", "", "cycles", "host cycles", "MB", "array");
    for (int part = 0; part < CT_GEM_ENERGY_PARTS; part++)
        printf(" %9s", ct_gem_energy_name((enum ct_gem_energy_part)part));
    printf(" %9s\n", "mJ");
    for (size_t i = 0; i < report->n; i++) {
        ct_gem_cost_energy(config, &report->costs[i], &energy);
        print_row(report->names[i], &report->ops[i], &report->costs[i], &energy);
    }
    ct_gem_cost_energy(config, &report->sum, &energy);
    print_row("together", NULL, &report->sum, &energy);
    printf("\n%.0f cycles, %.3f ms at %g GHz\n", report->cycles,
           report->cycles / config->clock_ghz * 1e-6, config->clock_ghz);
    if (config->norm_enabled)
        printf("%.1f times as fast as with softmax, LayerNorm and GELU on the host (%s, %s, %s): "
               "%.0f cycles\n",
               host->cycles / report->cycles, ct_gem_host_code(config, CT_GEM_OP_SOFTMAX),
               ct_gem_host_code(config, CT_GEM_OP_LAYERNORM),
               ct_gem_host_code(config, CT_GEM_OP_GELU), host->cycles);
}

/* NULL: no memory. */
static json_t *cost_json(const struct ct_gem_config *config, const struct ct_gem_cost *cost)
{
    struct ct_gem_energy energy;
    ct_gem_cost_energy(config, cost, &energy);
    json_t *parts = json_object();
    for (int part = 0; part < CT_GEM_ENERGY_PARTS; part++)
        if (json_object_set_new(parts, ct_gem_energy_name((enum ct_gem_energy_part)part),
                                json_real(joules(energy.pj[part]))) != 0) {
            json_decref(parts);
            return NULL;
        }
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:I, s:f, s:o}", "cycles",
                     (json_int_t)cost->work.cycles, "host_cycles", (json_int_t)cost->host_cycles,
                     "dram_read_bytes", (json_int_t)cost->work.read_bytes, "dram_write_bytes",
                     (json_int_t)cost->work.write_bytes, "utilisation", cost->work.utilisation,
                     "macs", (json_int_t)cost->work.macs, "energy_joules", joules(energy.total_pj),
                     "energy_joules_by_part", parts);
}

static json_t *operators_json(const struct ct_gem_config *config, const struct report *report)
{
    json_t *operators = json_array();
    for (size_t i = 0; i < report->n; i++) {
        json_t *op = cost_json(config, &report->costs[i]);
        if (op == NULL || json_object_set_new(op, "name", json_string(report->names[i])) != 0 ||
            json_object_set_new(op, "on_host", json_boolean(report->ops[i].is_on_host)) != 0 ||
            json_object_set_new(op, "count", json_integer((json_int_t)report->ops[i].count)) != 0 ||
            json_array_append(operators, op) != 0) {
            json_decref(op);
            json_decref(operators);
            return NULL;
        }
        json_decref(op);
    }
    return operators;
}

static enum ct_status print_json(const struct ct_gem_config *config, const struct report *report,
                                 const struct report *host, struct ct_error *err)
{
    json_t *all = json_pack(
        "{s:f, s:f, s:f, s:{s:s, s:s, s:s}, s:o, s:o}", "cycles", report->cycles, "seconds",
        report->cycles / config->clock_ghz * 1e-9, "cycles_with_host_normalisation", host->cycles,
        "host_code", "softmax", ct_gem_host_code(config, CT_GEM_OP_SOFTMAX), "layernorm",
        ct_gem_host_code(config, CT_GEM_OP_LAYERNORM), "gelu",
        ct_gem_host_code(config, CT_GEM_OP_GELU), "together", cost_json(config, &report->sum),
        "operators", operators_json(config, report));
    char *text = ct_json_dump(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(all);
    if (text == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the report");
    puts(text);
    free(text);
    return CT_OK;
}

enum ct_status ct_gemmini_layer_print(const struct ct_gemmini_layer *layer,
                                      const struct ct_gem_config *config, bool is_json,
                                      struct ct_error *err)
{
    struct ct_gem_config without = *config;
    struct report report, host;
    without.norm_enabled = 0;
    if (layer->d_model % layer->n_heads != 0)
        return ct_error_set(err, CT_INVALID, "--heads %lld does not divide --d-model %lld",
                            (long long)layer->n_heads, (long long)layer->d_model);
    enum ct_status status = measure(layer, config, &report, err);
    if (status == CT_OK)
        status = measure(layer, &without, &host, err);
    if (status != CT_OK)
        return status;
    if (is_json)
        return print_json(config, &report, &host, err);
    print_table(config, &report, &host);
    return CT_OK;
}
