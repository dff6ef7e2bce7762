#include "cli/gemmini_model.h"

#include "cli/gemmini_report.h"
#include "engine/backend/gemmini/gem_graph.h"
#include "engine/graph/family.h"

#include <stdio.h>
#include <stdlib.h>

/* An open model, and room for its operators and their report. */
struct model {
    struct ct_model_file *file;
    struct ct_graph graph;
    int *index_bits;
    struct ct_gem_op *ops;
    struct ct_gemmini_row *rows;
};

static enum ct_status open_model(const char *path, struct model *m, struct ct_error *err)
{
    enum ct_status status = ct_model_file_open(path, ct_family_foreign_names(), &m->file, err);
    if (status != CT_OK)
        return status;
    const struct ct_hparams *hparams = ct_model_file_hparams(m->file);
    const struct ct_family *family = ct_family_find(hparams->family);
    if (family == NULL)
        return ct_error_set(err, CT_UNSUPPORTED, "model_type %s: no such family here",
                            hparams->family);
    status = family->build(hparams, &m->graph, err);
    if (status != CT_OK)
        return status;
    m->index_bits = calloc((size_t)m->graph.n_slots + 1, sizeof *m->index_bits);
    m->ops = calloc(ct_gem_max_ops(&m->graph), sizeof *m->ops);
    m->rows = calloc(ct_gem_max_ops(&m->graph), sizeof *m->rows);
    if (m->index_bits == NULL || m->ops == NULL || m->rows == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the model's operators");
    for (int i = 0; i < m->graph.n_slots; i++) {
        struct ct_clustered clustered;
        if (ct_model_file_clustered(m->file, m->graph.slots[i].name, &clustered, NULL) == CT_OK)
            m->index_bits[i] = clustered.bits;
    }
    return CT_OK;
}

static void close_model(struct model *m)
{
    free(m->rows);
    free(m->ops);
    free(m->index_bits);
    ct_graph_deinit(&m->graph);
    ct_model_file_close(m->file);
}

static enum ct_status find_step(const struct ct_gemmini_model *asked, const struct model *m,
                                struct ct_gem_step *step, struct ct_error *err)
{
    const struct ct_hparams *hparams = ct_model_file_hparams(m->file);
    const struct ct_patches *patches = &m->graph.patches;
    int64_t n_tokens = asked->n_tokens;
    if (patches->n_channels > 0)
        n_tokens = patches->n_prefix + ct_patch_lines(patches) * ct_patch_columns(patches);
    if (m->graph.is_encoder && asked->depth > 0)
        return ct_error_set(err, CT_INVALID, "--depth %lld: an encoder reads all tokens at once",
                            (long long)asked->depth);
    if (n_tokens + asked->depth > hparams->context_tok)
        return ct_error_set(err, CT_INVALID, "%lld tokens are more than the context of %d",
                            (long long)(n_tokens + asked->depth), hparams->context_tok);
    *step = (struct ct_gem_step){(size_t)n_tokens, (size_t)(n_tokens + asked->depth), 1};
    return CT_OK;
}

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

static enum ct_status measure(const struct ct_gem_config *config, const struct ct_gem_step *step,
                              const struct model *m, struct ct_gemmini_report *report,
                              struct ct_error *err)
{
    size_t n = ct_gem_list_ops(&m->graph, step, m->index_bits, m->ops);
    n = ct_gem_merge_ops(m->ops, ct_gem_schedule(config, m->ops, n));
    *report = (struct ct_gemmini_report){.rows = m->rows, .n = n};
    for (size_t i = 0; i < n; i++) {
        m->rows[i] = (struct ct_gemmini_row){.op = m->ops[i]};
        name_row(&m->rows[i]);
    }
    return ct_gemmini_report_cost(config, report, err);
}

enum ct_status ct_gemmini_model_print(const struct ct_gemmini_model *asked,
                                      const struct ct_gem_config *config, bool is_json,
                                      struct ct_error *err)
{
    struct model m = {0};
    struct ct_gem_step step;
    struct ct_gem_config without = *config;
    struct ct_gemmini_report report;
    double host_cycles = 0;
    without.norm_enabled = 0;
    ct_graph_init(&m.graph);
    enum ct_status status = open_model(asked->path, &m, err);
    if (status == CT_OK)
        status = find_step(asked, &m, &step, err);
    if (status == CT_OK)
        status = measure(&without, &step, &m, &report, err);
    if (status == CT_OK) {
        host_cycles = report.cycles;
        status = measure(config, &step, &m, &report, err);
    }
    if (status == CT_OK)
        status = ct_gemmini_report_print(config, &report, host_cycles, is_json, err);
    close_model(&m);
    return status;
}
