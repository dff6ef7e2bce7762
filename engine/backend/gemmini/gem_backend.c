#include "engine/backend/gemmini/gem_backend.h"

#include <stdlib.h>

struct gemmini {
    struct ct_backend base;
    const struct ct_backend_type *type;
    struct ct_backend *host;
    const struct ct_graph *graph;
    const int *index_bits;
    struct ct_gem_config config;
    struct ct_gem_costs *costs;
    struct ct_gem_op *ops; /* [ct_gem_max_ops] */
};

/* What ops [n] of g->ops cost together. */
static enum ct_status price(struct gemmini *g, size_t n, struct ct_gem_cost *sum,
                            struct ct_error *err)
{
    *sum = (struct ct_gem_cost){0};
    n = ct_gem_merge_ops(g->ops, ct_gem_schedule(&g->config, g->ops, n));
    for (size_t i = 0; i < n; i++) {
        struct ct_gem_cost cost;
        enum ct_status status = ct_gem_op_cost(g->costs, &g->ops[i], &cost, err);
        if (status != CT_OK)
            return status;
        ct_gem_cost_add(sum, &cost, 1);
    }
    return CT_OK;
}

static enum ct_status price_step(struct gemmini *g, const struct ct_gem_step *step,
                                 struct ct_gem_cost *sum, struct ct_error *err)
{
    return price(g, ct_gem_list_ops(g->graph, step, g->index_bits, g->ops), sum, err);
}

struct ct_gem_step ct_gemmini_step(const struct ct_graph *graph, int n_rows, int n_before,
                                   int n_logits)
{
    size_t n_keys = (size_t)(n_before + n_rows);
    if (!graph->is_encoder)
        n_keys = (n_keys + CT_GEM_DIM - 1) / CT_GEM_DIM * CT_GEM_DIM;
    return (struct ct_gem_step){(size_t)n_rows, n_keys, (size_t)n_logits, true};
}

static enum ct_status price_attention(struct gemmini *g, const struct ct_part *part,
                                      struct ct_gem_cost *sum, struct ct_error *err)
{
    const struct ct_gem_step step = ct_gemmini_step(g->graph, part->n_rows, part->n_before, 0);
    return price(g, ct_gem_list_attention(g->graph, &step, g->ops), sum, err);
}

/* Where the parts of the accelerator's energy count. */
static const enum ct_simulated_part part_of[CT_GEM_ENERGY_PARTS] = {
    [CT_GEM_ENERGY_MAC] = CT_SIMULATED_MAC,   [CT_GEM_ENERGY_REGISTERS] = CT_SIMULATED_MAC,
    [CT_GEM_ENERGY_SPAD] = CT_SIMULATED_SRAM, [CT_GEM_ENERGY_ACC] = CT_SIMULATED_SRAM,
    [CT_GEM_ENERGY_NORM] = CT_SIMULATED_NORM, [CT_GEM_ENERGY_DRAM] = CT_SIMULATED_DRAM,
    [CT_GEM_ENERGY_HOST] = CT_SIMULATED_HOST,
};

/* Adds share of the cost. */
static void add(const struct gemmini *g, const struct ct_gem_cost *cost, double share,
                struct ct_simulated *sum)
{
    const double cycles = ct_gem_cost_cycles(&g->config, cost);
    struct ct_gem_energy energy;
    sum->cycles += share * cycles;
    sum->host_cycles += share * (cycles - (double)cost->work.cycles);
    sum->macs += share * (double)cost->work.macs;
    sum->full_macs += share * cycles * CT_GEM_DIM * CT_GEM_DIM;
    sum->dram_bytes += share * (double)(cost->work.read_bytes + cost->work.write_bytes);
    ct_gem_cost_energy(&g->config, cost, &energy);
    for (int i = 0; i < CT_GEM_ENERGY_PARTS; i++)
        sum->pj[part_of[i]] += share * energy.pj[i];
}

static enum ct_status gemmini_cost(struct ct_backend *backend, const struct ct_part *parts, int n,
                                   struct ct_cost *costs, struct ct_error *err)
{
    struct gemmini *g = (struct gemmini *)backend;
    struct ct_gem_step tokens = {.is_dynamic = true}, logits = {.is_dynamic = true};
    struct ct_gem_cost of_tokens, of_logits, of_attention;
    enum ct_status status = g->host->ops->cost(g->host, parts, n, costs, err);
    for (int i = 0; i < n; i++) {
        tokens.n_rows += parts[i].is_simulated ? (size_t)parts[i].n_rows : 0;
        logits.n_logits += parts[i].is_simulated ? (size_t)parts[i].n_logits : 0;
    }
    if (status != CT_OK || tokens.n_rows == 0) /* nobody asks */
        return status;
    status = price_step(g, &tokens, &of_tokens, err);
    if (status == CT_OK)
        status = price_step(g, &logits, &of_logits, err);
    for (int i = 0; i < n && status == CT_OK; i++) {
        const struct ct_part *part = &parts[i];
        struct ct_simulated *simulated = &costs[i].simulated;
        if (!part->is_simulated)
            continue;
        status = price_attention(g, part, &of_attention, err);
        if (status != CT_OK)
            break;
        add(g, &of_attention, 1, simulated);
        add(g, &of_tokens, (double)part->n_rows / (double)tokens.n_rows, simulated);
        if (part->n_logits > 0)
            add(g, &of_logits, (double)part->n_logits / (double)logits.n_logits, simulated);
    }
    return status;
}

static const char *gemmini_name(const struct ct_backend *backend)
{
    return ((const struct gemmini *)backend)->type->name;
}

static void gemmini_run(struct ct_backend *backend, const struct ct_batch *batch, int begin,
                        int end)
{
    struct ct_backend *host = ((struct gemmini *)backend)->host;
    host->ops->run(host, batch, begin, end);
}

static float *gemmini_value(const struct ct_backend *backend, int value, int64_t *ld)
{
    const struct ct_backend *host = ((const struct gemmini *)backend)->host;
    return host->ops->value(host, value, ld);
}

static void gemmini_close(struct ct_backend *backend)
{
    struct gemmini *g = (struct gemmini *)backend;
    ct_gem_costs_close(g->costs);
    free(g->ops);
    free(g);
}

const struct ct_gem_config *ct_gemmini_config(const struct ct_backend *backend)
{
    return &((const struct gemmini *)backend)->config;
}

static double gemmini_ghz(const struct ct_backend *backend)
{
    return ((const struct gemmini *)backend)->config.clock_ghz;
}

static const struct ct_backend_ops gemmini_ops = {
    .name = gemmini_name,
    .run = gemmini_run,
    .value = gemmini_value,
    .cost = gemmini_cost,
    .close = gemmini_close,
};

static enum ct_status open_type(const struct ct_backend_type *type, const char *preset,
                                const struct ct_backend_setup *setup, struct ct_backend **out,
                                struct ct_error *err)
{
    const struct ct_part probe = {1, 0, 1, true};
    struct ct_cost cost;
    struct gemmini *g = calloc(1, sizeof *g);
    if (g == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the backend %s", type->name);
    g->base.ops = &gemmini_ops;
    g->type = type;
    g->host = setup->host;
    g->graph = setup->graph;
    g->index_bits = setup->index_bits;
    enum ct_status status =
        ct_gem_config_preset(setup->preset != NULL ? setup->preset : preset, &g->config, err);
    if (status == CT_OK && setup->config_path != NULL)
        status = ct_gem_config_lay(setup->config_path, &g->config, err);
    if (status == CT_OK && type->is_ibert && !g->config.norm_enabled)
        status =
            ct_error_set(err, CT_INVALID, "norm.enabled: 0, but backend %s normalises", type->name);
    if (status == CT_OK)
        status = ct_gem_costs_open(&g->config, &g->costs, err);
    g->ops = calloc(ct_gem_max_ops(g->graph) + CT_GEM_ATTENTION_OPS, sizeof *g->ops);
    if (status == CT_OK && g->ops == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for the model's operators");
    if (status == CT_OK) /* a machine that cannot run the model is refused now */
        status = gemmini_cost(&g->base, &probe, 1, &cost, err);
    if (status != CT_OK) {
        gemmini_close(&g->base);
        return status;
    }
    *out = &g->base;
    return CT_OK;
}

static enum ct_status open_gemmini(const struct ct_backend_setup *setup, struct ct_backend **out,
                                   struct ct_error *err)
{
    return open_type(&ct_gemmini_type, "default", setup, out, err);
}

static enum ct_status open_ibert(const struct ct_backend_setup *setup, struct ct_backend **out,
                                 struct ct_error *err)
{
    return open_type(&ct_gemmini_ibert_type, "ibert", setup, out, err);
}

const struct ct_backend_type ct_gemmini_type = {
    .name = "gemmini",
    .is_w8a8 = true,
    .is_simulated = true,
    .ghz = gemmini_ghz,
    .open = open_gemmini,
};

const struct ct_backend_type ct_gemmini_ibert_type = {
    .name = "gemmini:ibert",
    .is_ibert = true,
    .is_simulated = true,
    .ghz = gemmini_ghz,
    .open = open_ibert,
};
