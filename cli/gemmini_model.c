#include "cli/gemmini_model.h"

#include "cli/gemmini_html.h"
#include "cli/gemmini_step.h"
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
                                        const struct ct_gemmini_priced *priced, const char *name)
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
                                 const struct ct_gem_step *step,
                                 const struct ct_gemmini_priced *priced, struct ct_error *err)
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
    struct ct_gemmini_priced after = {0};
    enum ct_status status =
        has_next ? ct_gemmini_price(config, &m->graph, m->index_bits, &next, &after, err) : CT_OK;
    if (has_next)
        phases[1] = phase_of(m, &next, &after, names[1]);
    const struct ct_gemmini_page page = {title, config, phases, has_next ? 2 : 1};
    if (status == CT_OK)
        status = ct_gemmini_html_write(&page, asked->page, err);
    ct_gemmini_priced_close(&after);
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
    struct ct_gemmini_priced whole = {0}, host = {0};
    without.norm_enabled = 0;
    ct_graph_init(&m.graph);
    enum ct_status status = open_model(asked->path, &m, err);
    if (status == CT_OK)
        status = find_step(asked, &m, &step, err);
    if (status == CT_OK)
        status = ct_gemmini_price(&without, &m.graph, m.index_bits, &step, &host, err);
    if (status == CT_OK)
        status = ct_gemmini_price(config, &m.graph, m.index_bits, &step, &whole, err);
    if (status == CT_OK && asked->page != NULL)
        status = write_page(asked, config, &m, &step, &whole, err);
    if (status == CT_OK)
        status = ct_gemmini_report_print(config, &whole.report, host.report.cycles, is_json, err);
    ct_gemmini_priced_close(&whole);
    ct_gemmini_priced_close(&host);
    close_model(&m);
    return status;
}
