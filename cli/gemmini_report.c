#include "cli/gemmini_report.h"

#include "cli/cli.h"
#include "cli/progress.h"
#include "engine/base/json_text.h"

#include <stdlib.h>

enum ct_status ct_gemmini_report_cost(const struct ct_gem_config *config,
                                      struct ct_gemmini_report *report, struct ct_error *err)
{
    struct ct_gem_costs *costs;
    struct ct_progress progress;
    ct_progress_init(&progress, false);
    report->sum = (struct ct_gem_cost){0};
    enum ct_status status = ct_gem_costs_open(config, &costs, err);
    for (size_t i = 0; i < report->n && status == CT_OK; i++) {
        struct ct_gemmini_row *row = &report->rows[i];
        ct_progress_update(&progress, row->name, (double)i / (double)report->n);
        status = ct_gem_op_cost(costs, &row->op, &row->cost, err);
        if (status == CT_OK)
            ct_gem_cost_add(&report->sum, &row->cost, 1);
        else
            ct_error_prefix(err, "%s", row->name);
    }
    ct_progress_finish(&progress);
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

static void print_table(const struct ct_gem_config *config, const struct ct_gemmini_report *report,
                        double host_cycles)
{
    struct ct_gem_energy energy;
    printf("%-15s %-6s %12s %12s %10s %8s", "operator", "", "cycles", "host cycles", "MB", "array");
    for (int part = 0; part < CT_GEM_ENERGY_PARTS; part++)
        printf(" %9s", ct_gem_energy_name((enum ct_gem_energy_part)part));
    printf(" %9s\n", "mJ");
    for (size_t i = 0; i < report->n; i++) {
        const struct ct_gemmini_row *row = &report->rows[i];
        ct_gem_cost_energy(config, &row->cost, &energy);
        print_row(row->name, &row->op, &row->cost, &energy);
    }
    ct_gem_cost_energy(config, &report->sum, &energy);
    print_row("together", NULL, &report->sum, &energy);
    printf("\n%.0f cycles, %.3f ms at %g GHz\n", report->cycles,
           report->cycles / config->clock_ghz * 1e-6, config->clock_ghz);
    if (config->norm_enabled)
        printf("%.1f times as fast as with softmax, LayerNorm and GELU on the host (%s, %s, %s): "
               "%.0f cycles\n",
               host_cycles / report->cycles, ct_gem_host_code(config, CT_GEM_OP_SOFTMAX),
               ct_gem_host_code(config, CT_GEM_OP_LAYERNORM),
               ct_gem_host_code(config, CT_GEM_OP_GELU), host_cycles);
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

static json_t *operators_json(const struct ct_gem_config *config,
                              const struct ct_gemmini_report *report)
{
    json_t *operators = json_array();
    for (size_t i = 0; i < report->n; i++) {
        const struct ct_gemmini_row *row = &report->rows[i];
        json_t *op = cost_json(config, &row->cost);
        if (op == NULL || json_object_set_new(op, "name", json_string(row->name)) != 0 ||
            json_object_set_new(op, "on_host", json_boolean(row->op.is_on_host)) != 0 ||
            json_object_set_new(op, "count", json_integer((json_int_t)row->op.count)) != 0 ||
            json_array_append(operators, op) != 0) {
            json_decref(op);
            json_decref(operators);
            return NULL;
        }
        json_decref(op);
    }
    return operators;
}

static enum ct_status print_json(const struct ct_gem_config *config,
                                 const struct ct_gemmini_report *report, double host_cycles,
                                 struct ct_error *err)
{
    json_t *all = json_pack(
        "{s:f, s:f, s:f, s:{s:s, s:s, s:s}, s:o, s:o}", "cycles", report->cycles, "seconds",
        report->cycles / config->clock_ghz * 1e-9, "cycles_with_host_normalisation", host_cycles,
        "host_code", "softmax", ct_gem_host_code(config, CT_GEM_OP_SOFTMAX), "layernorm",
        ct_gem_host_code(config, CT_GEM_OP_LAYERNORM), "gelu",
        ct_gem_host_code(config, CT_GEM_OP_GELU), "together", cost_json(config, &report->sum),
        "operators", operators_json(config, report));
    return ct_cli_print_json(all, true, JSON_INDENT(2) | JSON_REAL_PRECISION(9), "the report", err);
}

enum ct_status ct_gemmini_report_print(const struct ct_gem_config *config,
                                       const struct ct_gemmini_report *report, double host_cycles,
                                       bool is_json, struct ct_error *err)
{
    if (is_json)
        return print_json(config, report, host_cycles, err);
    print_table(config, report, host_cycles);
    return CT_OK;
}
