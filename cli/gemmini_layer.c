#include "cli/gemmini_layer.h"
#include "cli/gemmini_html.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { MAX_OPS = 14 };

/* A layer as it was scheduled. An operator's name is that of its product, or of itself. */
struct layer {
    struct ct_gemmini_row rows[MAX_OPS];
    struct ct_gemmini_report report;
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
static size_t list_operators(const struct ct_gemmini_layer *layer, const char **names,
                             struct ct_gem_op *ops)
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
        {"av", {.role = CT_GEM_ROLE_AV, .count = h, .m = t, .n = d, .k = t}},
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
        names[i] = all[i].name;
        ops[i] = all[i].op;
    }
    return MAX_OPS;
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

/* Fused operators are gone from the scheduled ones; the names of those that stay move up with them. */
static enum ct_status measure(const struct ct_gemmini_layer *layer,
                              const struct ct_gem_config *config, struct layer *out,
                              struct ct_error *err)
{
    const char *names[MAX_OPS];
    struct ct_gem_op before[MAX_OPS], ops[MAX_OPS];
    const size_t n_before = list_operators(layer, names, before);
    memcpy(ops, before, sizeof before);
    const size_t n = ct_gem_schedule(config, ops, n_before);
    out->report = (struct ct_gemmini_report){.rows = out->rows};
    for (size_t i = 0; i < n_before && out->report.n < n; i++) {
        const struct ct_gem_op *op = &ops[out->report.n];
        if (before[i].kind != op->kind)
            continue;
        struct ct_gemmini_row *row = &out->rows[out->report.n++];
        *row = (struct ct_gemmini_row){.op = *op};
        snprintf(row->name, sizeof row->name, "%s", name_of(op, names[i]));
    }
    return ct_gemmini_report_cost(config, &out->report, err);
}

static enum ct_status write_page(const struct ct_gemmini_layer *layer,
                                 const struct ct_gem_config *config,
                                 const struct ct_gemmini_report *report, struct ct_error *err)
{
    char title[96], name[64];
    snprintf(title, sizeof title, "A layer of %lld columns, %lld heads, %lld inside",
             (long long)layer->d_model, (long long)layer->n_heads, (long long)layer->d_ff);
    snprintf(name, sizeof name, "a layer over %lld tokens", (long long)layer->n_tokens);
    const struct ct_gemmini_phase phase = {.name = name,
                                           .unit = "token",
                                           .n_units = (double)layer->n_tokens,
                                           .n_steps = 1,
                                           .sum = report->sum,
                                           .shown = report};
    const struct ct_gemmini_page page = {title, config, &phase, 1};
    return ct_gemmini_html_write(&page, layer->page, err);
}

enum ct_status ct_gemmini_layer_print(const struct ct_gemmini_layer *layer,
                                      const struct ct_gem_config *config, bool is_json,
                                      struct ct_error *err)
{
    struct ct_gem_config without = *config;
    struct layer whole, host;
    without.norm_enabled = 0;
    if (layer->d_model % layer->n_heads != 0)
        return ct_error_set(err, CT_INVALID, "--heads %lld does not divide --d-model %lld",
                            (long long)layer->n_heads, (long long)layer->d_model);
    enum ct_status status = measure(layer, config, &whole, err);
    if (status == CT_OK)
        status = measure(layer, &without, &host, err);
    if (status == CT_OK && layer->page != NULL)
        status = write_page(layer, config, &whole.report, err);
    if (status != CT_OK)
        return status;
    return ct_gemmini_report_print(config, &whole.report, host.report.cycles, is_json, err);
}
