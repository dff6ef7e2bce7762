#include "cli/gemmini_model.h"

#include "cli/gemmini_html.h"
#include "engine/backend/gemmini/gem_graph.h"
#include "engine/base/path.h"
#include "engine/graph/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model {
    struct ct_model_file *file;
    struct ct_graph graph;
    int *index_bits;
};

/* A step's operators in their order, and what they cost, those of one shape together. */
struct priced {
    struct ct_gem_op *ops; /* [n_ops] */
    size_t n_ops;
    struct ct_gemmini_report report;
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
    if (m->index_bits == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the model's weights");
    for (int i = 0; i < m->graph.n_slots; i++) {
        struct ct_clustered clustered;
        if (ct_model_file_clustered(m->file, m->graph.slots[i].name, &clustered, NULL) == CT_OK)
            m->index_bits[i] = clustered.bits;
    }
    return CT_OK;
}

static void close_model(struct model *m)
{
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
    *step = (struct ct_gem_step){(size_t)n_tokens, (size_t)(n_tokens + asked->depth), 1,
                                 asked->is_dynamic};
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

/* The caller closes it, also after an error. */
static enum ct_status price(const struct ct_gem_config *config, const struct ct_gem_step *step,
                            const struct model *m, struct priced *out, struct ct_error *err)
{
    const size_t max = ct_gem_max_ops(&m->graph);
    *out = (struct priced){.ops = calloc(max, sizeof *out->ops)};
    struct ct_gem_op *merged = calloc(max, sizeof *merged);
    struct ct_gemmini_report *report = &out->report;
    report->rows = calloc(max, sizeof *report->rows);
    if (out->ops == NULL || merged == NULL || report->rows == NULL) {
        free(merged);
        return ct_error_set(err, CT_MEMORY, "no memory for the model's operators");
    }
    out->n_ops = ct_gem_schedule(config, out->ops,
                                 ct_gem_list_ops(&m->graph, step, m->index_bits, out->ops));
    memcpy(merged, out->ops, out->n_ops * sizeof *merged);
    report->n = ct_gem_merge_ops(merged, out->n_ops);
    for (size_t i = 0; i < report->n; i++) {
        report->rows[i] = (struct ct_gemmini_row){.op = merged[i]};
        name_row(&report->rows[i]);
    }
    free(merged);
    return ct_gemmini_report_cost(config, report, err);
}

static void close_priced(struct priced *p)
{
    free(p->report.rows);
    free(p->ops);
}

static void name_step(const struct model *m, const struct ct_gem_step *step, char *name,
                      size_t n_bytes)
{
    const size_t depth = step->n_keys - step->n_rows;
    if (m->graph.patches.n_channels > 0)
        snprintf(name, n_bytes, "an image of %zu tokens", step->n_rows);
    else if (m->graph.is_encoder)
        snprintf(name, n_bytes, "a text of %zu tokens", step->n_rows);
    else if (depth == 0)
        snprintf(name, n_bytes, "prefill of %zu tokens", step->n_rows);
    else if (step->n_rows == 1)
        snprintf(name, n_bytes, "decode of a token at depth %zu", depth);
    else
        snprintf(name, n_bytes, "%zu tokens at depth %zu", step->n_rows, depth);
}

static struct ct_gemmini_phase phase_of(const struct model *m, const struct ct_gem_step *step,
                                        const struct priced *priced, const char *name)
{
    const bool is_image = m->graph.patches.n_channels > 0;
    return (struct ct_gemmini_phase){.name = name,
                                     .unit = is_image ? "image" : "token",
                                     .n_units = is_image ? 1 : (double)step->n_rows,
                                     .n_steps = 1,
                                     .sum = priced->report.sum,
                                     .shown = &priced->report,
                                     .ops = priced->ops,
                                     .n_ops = priced->n_ops};
}

/* The step that was asked for, and the token after it where there is one. */
static enum ct_status write_page(const struct ct_gemmini_model *asked,
                                 const struct ct_gem_config *config, const struct model *m,
                                 const struct ct_gem_step *step, const struct priced *priced,
                                 struct ct_error *err)
{
    const struct ct_gem_step next = {1, step->n_keys + 1, 1, step->is_dynamic};
    const bool has_next = !m->graph.is_encoder && step->n_rows > 1 &&
                          next.n_keys <= (size_t)ct_model_file_hparams(m->file)->context_tok;
    char title[256], names[2][64];
    size_t n_title;
    const size_t begin = ct_path_model_name(asked->path, &n_title);
    snprintf(title, sizeof title, "%.*s", (int)n_title, asked->path + begin);
    name_step(m, step, names[0], sizeof names[0]);
    name_step(m, &next, names[1], sizeof names[1]);
    struct ct_gemmini_phase phases[2] = {phase_of(m, step, priced, names[0])};
    struct priced after = {0};
    enum ct_status status = has_next ? price(config, &next, m, &after, err) : CT_OK;
    if (has_next)
        phases[1] = phase_of(m, &next, &after, names[1]);
    const struct ct_gemmini_page page = {title, config, phases, has_next ? 2 : 1};
    if (status == CT_OK)
        status = ct_gemmini_html_write(&page, asked->page, err);
    close_priced(&after);
    return status;
}

enum ct_status ct_gemmini_model_print(const struct ct_gemmini_model *asked,
                                      const struct ct_gem_config *config, bool is_json,
                                      struct ct_error *err)
{
    struct model m = {0};
    struct ct_gem_step step;
    struct ct_gem_config without = *config;
    if (asked->is_dynamic)
        config = &without;
    struct priced whole = {0}, host = {0};
    without.norm_enabled = 0;
    ct_graph_init(&m.graph);
    enum ct_status status = open_model(asked->path, &m, err);
    if (status == CT_OK)
        status = find_step(asked, &m, &step, err);
    if (status == CT_OK)
        status = price(&without, &step, &m, &host, err);
    if (status == CT_OK)
        status = price(config, &step, &m, &whole, err);
    if (status == CT_OK && asked->page != NULL)
        status = write_page(asked, config, &m, &step, &whole, err);
    if (status == CT_OK)
        status = ct_gemmini_report_print(config, &whole.report, host.report.cycles, is_json, err);
    close_priced(&whole);
    close_priced(&host);
    close_model(&m);
    return status;
}
