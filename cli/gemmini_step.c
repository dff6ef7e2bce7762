#include "cli/gemmini_step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void name_row(struct ct_gemmini_row *row)
{
    static const char *const names[] = {
        [CT_GEM_OP_SOFTMAX] = "softmax",
        [CT_GEM_OP_LAYERNORM] = "layernorm",
        [CT_GEM_OP_GELU] = "gelu",
        [CT_GEM_OP_RESADD] = "residual",
        [CT_GEM_OP_REQUANTISE] = "requantise",
        [CT_GEM_OP_RMSNORM] = "rmsnorm",
        [CT_GEM_OP_GATE] = "gate",
        [CT_GEM_OP_ROTARY] = "rotary",
        [CT_GEM_OP_RESIDUAL] = "residual",
    };
    const struct ct_gem_op *op = &row->op;
    if (op->kind == CT_GEM_OP_MATMUL)
        snprintf(row->name, sizeof row->name, "%zux%zu%s", op->k, op->n,
                 op->act == CT_GEM_ACT_SOFTMAX     ? "+softmax"
                 : op->act == CT_GEM_ACT_IGELU     ? "+gelu"
                 : op->act == CT_GEM_ACT_LAYERNORM ? "+layernorm"
                                                   : "");
    else
        snprintf(row->name, sizeof row->name, "%s", names[op->kind]);
}

enum ct_status ct_gemmini_price(const struct ct_gem_config *config, const struct ct_graph *graph,
                                const int *index_bits, const struct ct_gem_step *step,
                                struct ct_gemmini_priced *out, struct ct_error *err)
{
    const size_t max = ct_gem_max_ops(graph);
    *out = (struct ct_gemmini_priced){.ops = calloc(max, sizeof *out->ops)};
    struct ct_gem_op *merged = calloc(max, sizeof *merged);
    struct ct_gemmini_report *report = &out->report;
    report->rows = calloc(max, sizeof *report->rows);
    if (out->ops == NULL || merged == NULL || report->rows == NULL) {
        free(merged);
        return ct_error_set(err, CT_MEMORY, "no memory for the model's operators");
    }
    out->n_ops =
        ct_gem_schedule(config, out->ops, ct_gem_list_ops(graph, step, index_bits, out->ops));
    memcpy(merged, out->ops, out->n_ops * sizeof *merged);
    report->n = ct_gem_merge_ops(merged, out->n_ops);
    for (size_t i = 0; i < report->n; i++) {
        report->rows[i] = (struct ct_gemmini_row){.op = merged[i]};
        name_row(&report->rows[i]);
    }
    free(merged);
    return ct_gemmini_report_cost(config, report, err);
}

void ct_gemmini_priced_close(struct ct_gemmini_priced *p)
{
    free(p->report.rows);
    free(p->ops);
}
