/* Opening and closing an engine: file -> graph -> plan -> weights -> threads -> backend -> pages. */
#include "engine/engine.h"

#include "engine/backend/cpu/cpu.h"
#include "engine/base/log.h"
#include "engine/base/path.h"
#include "engine/base/processors.h"
#include "engine/graph/family.h"
#include "engine/runtime/engine_internal.h"
#include "engine/runtime/ibert.h"
#include "engine/runtime/peaks.h"
#include "engine/runtime/view.h"
#include "engine/runtime/w8a8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_SESSIONS = 64, DEFAULT_STEP_TOK = 512 };

static void fill_info(struct ct_engine *engine, const struct ct_engine_options *options)
{
    struct ct_engine_info *info = &engine->info;
    const struct ct_hparams *hparams = ct_model_file_hparams(engine->file);
    const bool is_vision = hparams->vision.n_channels > 0;
    const bool is_shorter =
        !is_vision && options->context_tok > 0 && options->context_tok < hparams->context_tok;
    info->name = engine->name;
    info->family = hparams->family;
    info->n_vocab = hparams->n_vocab;
    info->bos_id = engine->text.wants_bos ? engine->text.bos_id : -1;
    info->context_tok = is_shorter ? options->context_tok : hparams->context_tok;
    info->max_sessions = options->max_sessions > 0 ? options->max_sessions : DEFAULT_SESSIONS;
    info->max_step_tok = options->max_step_tok > 0 ? options->max_step_tok : DEFAULT_STEP_TOK;
    info->is_encoder = hparams->is_encoder;
    info->image = (struct ct_image_shape){hparams->vision.n_channels, hparams->vision.height,
                                          hparams->vision.width};
    info->task = hparams->task;
    info->n_labels = hparams->n_labels;
    info->is_multi_label = hparams->is_multi_label;
    if (info->is_encoder && (options->max_step_tok == 0 || is_vision) &&
        info->context_tok > info->max_step_tok)
        info->max_step_tok = info->context_tok;
    if (info->is_encoder && info->context_tok > info->max_step_tok) /* a step takes it whole */
        info->context_tok = info->max_step_tok;
    info->max_step_logits =
        options->max_step_logits > 0 ? options->max_step_logits : info->max_sessions;
    info->has_chat_template = engine->text.chat_template != NULL;
    info->sampling = (struct ct_sampling){.temperature = hparams->sampling.temperature,
                                          .top_k = hparams->sampling.top_k,
                                          .top_p = hparams->sampling.top_p,
                                          .min_p = hparams->sampling.min_p};
    if (hparams->not_applied[0] != '\0')
        ct_log(CT_LOG_WARN, "%s: the model asks for %s, which is not applied", engine->name,
               hparams->not_applied);
}

static enum ct_status build_graph(struct ct_engine *engine, struct ct_error *err)
{
    const struct ct_hparams *hparams = ct_model_file_hparams(engine->file);
    const struct ct_family *family = ct_family_find(hparams->family);
    if (family == NULL)
        return ct_error_set(err, CT_UNSUPPORTED, "model_type %s: no such family here",
                            hparams->family);
    enum ct_status status = family->build(hparams, &engine->graph, err);
    if (status != CT_OK)
        return status;
    const struct ct_node *last = &engine->graph.nodes[engine->graph.n_nodes - 1];
    engine->info.n_outputs = (int)engine->graph.values[last->out].width;
    return CT_OK;
}

/* Weights and graph as the activations ask for. */
static enum ct_status adapt(struct ct_engine *engine, enum ct_activations activations,
                            struct ct_error *err)
{
    const bool is_ibert = activations == CT_ACTIVATIONS_IBERT;
    struct ct_scales scales = {NULL};
    enum ct_status status = CT_OK;
    if (is_ibert)
        status = ct_scales_init(&scales, ct_model_file_path(engine->file), err);
    if (status == CT_OK && is_ibert && engine->graph.is_encoder)
        status = ct_ibert_bind(&engine->graph, &engine->binding, &scales,
                               ct_model_file_hparams(engine->file)->context_tok, engine->pool, err);
    else if (status == CT_OK && (is_ibert || activations == CT_ACTIVATIONS_W8A8))
        status = ct_w8a8_bind(&engine->binding, &engine->graph, engine->pool, err);
    if (status == CT_OK && is_ibert && !engine->graph.is_encoder)
        status = ct_ibert_bind_generator(&engine->graph, &scales, err);
    ct_scales_deinit(&scales);
    return status;
}

/* The caller's, or one of its own. */
static enum ct_status open_pool(struct ct_engine *engine, const struct ct_engine_options *options,
                                struct ct_error *err)
{
    const int n_threads = options->n_threads > 0 ? options->n_threads : ct_processors();
    if (options->pool == NULL && ct_pool_open(n_threads, &engine->own_pool) != CT_OK)
        return ct_error_set(err, CT_MEMORY, "%d threads cannot be started", n_threads);
    engine->pool = options->pool != NULL ? options->pool : engine->own_pool;
    engine->info.n_threads = ct_pool_n_workers(engine->pool);
    return CT_OK;
}

static bool has_int8_kv(const struct ct_engine_options *options)
{
    return options->kv == CT_KV_INT8 || options->activations == CT_ACTIVATIONS_IBERT;
}

/* As stored, whatever the binding made of the weights. */
static enum ct_status note_index_bits(struct ct_engine *engine, struct ct_error *err)
{
    struct ct_clustered stored;
    engine->index_bits = calloc((size_t)engine->graph.n_slots + 1, sizeof *engine->index_bits);
    if (engine->index_bits == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %d weights", engine->graph.n_slots);
    for (int i = 0; i < engine->graph.n_slots; i++)
        if (ct_model_file_clustered(engine->file, engine->graph.slots[i].name, &stored, NULL) ==
            CT_OK)
            engine->index_bits[i] = stored.bits;
    return CT_OK;
}

/* The backend that is asked for, on the CPU's; or that alone. */
static enum ct_status open_on_top(struct ct_engine *engine, const struct ct_engine_options *options,
                                  struct ct_error *err)
{
    struct ct_engine_info *info = &engine->info;
    const struct ct_backend_type *type = options->backend;
    const struct ct_backend_setup setup = {.graph = &engine->graph,
                                           .matrices = engine->binding.matrices,
                                           .index_bits = engine->index_bits,
                                           .host = engine->host,
                                           .preset = options->machine_preset,
                                           .config_path = options->machine_file};
    engine->backend = engine->host;
    if (type != NULL && type->open != NULL) {
        enum ct_status status = type->open(&setup, &engine->backend, err);
        if (status != CT_OK) {
            engine->backend = NULL;
            return status;
        }
    }
    info->backend = engine->backend->ops->name(engine->backend);
    if (type != NULL && type->is_simulated) {
        info->simulated = info->backend;
        info->simulated_ghz = type->ghz(engine->backend);
        info->backend = engine->host->ops->name(engine->host);
    }
    return CT_OK;
}

static enum ct_status open_backend(struct ct_engine *engine,
                                   const struct ct_engine_options *options, struct ct_error *err)
{
    const struct ct_cpu_options cpu = {
        .pool = engine->pool,
        .max_tokens = engine->info.max_step_tok,
        .max_logits = engine->info.max_step_logits,
        .context_tok = engine->info.context_tok,
        .is_float = options->activations == CT_ACTIVATIONS_FLOAT,
        .is_token_i8 = options->activations == CT_ACTIVATIONS_W8A8 ||
                       options->activations == CT_ACTIVATIONS_IBERT,
        .is_kv_i8 = has_int8_kv(options),
    };
    enum ct_status status = adapt(engine, options->activations, err);
    if (status == CT_OK)
        status = note_index_bits(engine, err);
    if (status == CT_OK && ct_graph_plan(&engine->graph, engine->info.max_step_tok,
                                         engine->info.max_step_logits) != CT_OK)
        status = ct_error_set(err, CT_MEMORY, "no memory for the plan");
    if (status == CT_OK)
        status = ct_cpu_open(&engine->graph, engine->binding.matrices, &cpu, &engine->host, err);
    if (status == CT_OK)
        status = open_on_top(engine, options, err);
    if (status == CT_OK)
        status = ct_energy_meter_open(NULL, NULL, &engine->meter, err);
    if (status != CT_OK)
        return status;
    engine->info.energy_source = ct_energy_meter_name(engine->meter);
    engine->info.n_parameters = engine->binding.n_parameters;
    engine->info.n_weight_bytes = engine->binding.n_bytes;
    return CT_OK;
}

static int pages_of(int64_t n_tok)
{
    return (int)((n_tok + CT_PAGE_TOK - 1) / CT_PAGE_TOK);
}

/* Pages: what the limit allows, at least one whole context, at most what all sessions can hold. */
static enum ct_status open_pages(struct ct_engine *engine, const struct ct_engine_options *options,
                                 struct ct_error *err)
{
    struct ct_engine_info *info = &engine->info;
    const size_t page_elements = ct_page_elements(&engine->graph, has_int8_kv(options));
    const int64_t page_bytes = (int64_t)(page_elements * sizeof(uint16_t));
    const int64_t limit =
        options->memory_bytes > 0 ? options->memory_bytes : ct_machine_memory() / 2;
    const int64_t context_pages = pages_of(info->context_tok);
    const int64_t most = context_pages * info->max_sessions;
    const int64_t n_pages = limit / page_bytes < most ? limit / page_bytes : most;
    if (n_pages < context_pages)
        return ct_error_set(
            err, CT_INVALID,
            "memory of %lld bytes holds keys and values of %lld tokens, less than the "
            "context of %d (%lld bytes); give more memory or a shorter context",
            (long long)limit, (long long)(n_pages * CT_PAGE_TOK), info->context_tok,
            (long long)(context_pages * page_bytes));
    if (n_pages > INT32_MAX / 2)
        return ct_error_set(err, CT_INVALID, "%lld pages of keys and values are more than %d",
                            (long long)n_pages, INT32_MAX / 2);
    info->n_kv_bytes_tok = page_bytes / CT_PAGE_TOK;
    info->page_tok = CT_PAGE_TOK;
    info->n_kv_pages = (int)n_pages;
    info->has_prefix_cache = options->has_prefix_cache && !info->is_encoder;
    if (ct_kv_init(&engine->kv, (int32_t)n_pages, page_elements, CT_PAGE_TOK,
                   info->has_prefix_cache) != CT_OK)
        return ct_error_set(err, CT_MEMORY, "no memory for %lld pages of keys and values",
                            (long long)n_pages);
    engine->sessions = calloc((size_t)info->max_sessions, sizeof *engine->sessions);
    engine->session_page_ids = calloc((size_t)most, sizeof *engine->session_page_ids);
    engine->session_pages = calloc((size_t)most, sizeof *engine->session_pages);
    engine->tokens = calloc((size_t)info->max_step_tok, sizeof *engine->tokens);
    engine->types = calloc((size_t)info->max_step_tok, sizeof *engine->types);
    engine->positions = calloc((size_t)info->max_step_tok, sizeof *engine->positions);
    engine->lengths = calloc((size_t)info->max_step_tok, sizeof *engine->lengths);
    engine->logit_rows = calloc((size_t)info->max_step_logits, sizeof *engine->logit_rows);
    engine->row_pages = calloc((size_t)info->max_step_tok, sizeof *engine->row_pages);
    engine->row_pixels = calloc((size_t)info->max_step_tok, sizeof *engine->row_pixels);
    engine->parts = calloc((size_t)info->max_sessions, sizeof *engine->parts);
    engine->costs = calloc((size_t)info->max_sessions, sizeof *engine->costs);
    engine->sampling = calloc(2 * (size_t)info->n_vocab + 1, sizeof *engine->sampling);
    engine->sampling_ids = calloc((size_t)info->n_vocab + 1, sizeof *engine->sampling_ids);
    if (engine->sessions == NULL || engine->session_page_ids == NULL ||
        engine->session_pages == NULL || engine->tokens == NULL || engine->types == NULL ||
        engine->positions == NULL || engine->lengths == NULL || engine->logit_rows == NULL ||
        engine->row_pages == NULL || engine->row_pixels == NULL || engine->parts == NULL ||
        engine->costs == NULL || engine->sampling == NULL || engine->sampling_ids == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %d sessions", info->max_sessions);
    for (int i = 0; i < info->max_sessions; i++)
        engine->sessions[i] =
            (struct ct_session){.engine = engine,
                                .page_ids = engine->session_page_ids + i * context_pages,
                                .pages = engine->session_pages + i * context_pages};
    return CT_OK;
}

static enum ct_status check_options(const struct ct_engine_options *o, struct ct_error *err)
{
    const struct {
        const char *name;
        int64_t value, max;
    } limits[] = {
        {"threads", o->n_threads, 256},           {"context", o->context_tok, 1 << 24},
        {"memory", o->memory_bytes, INT64_MAX},   {"max_sessions", o->max_sessions, 4096},
        {"max_step_tok", o->max_step_tok, 65536}, {"max_step_logits", o->max_step_logits, 65536},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (limits[i].value < 0 || limits[i].value > limits[i].max)
            return ct_error_set(err, CT_INVALID, "%s: %lld is outside 0..%lld", limits[i].name,
                                (long long)limits[i].value, (long long)limits[i].max);
    return CT_OK;
}

/* What is asked for, with what the backend brings. */
static enum ct_status complete_options(const struct ct_engine_options *asked,
                                       struct ct_engine_options *options, struct ct_error *err)
{
    *options = *asked;
    if (asked->backend != NULL && (asked->backend->is_w8a8 || asked->backend->is_ibert)) {
        if (asked->activations == CT_ACTIVATIONS_FLOAT)
            return ct_error_set(err, CT_INVALID,
                                "backend %s multiplies int8, not float activations",
                                asked->backend->name);
        options->activations =
            asked->backend->is_ibert ? CT_ACTIVATIONS_IBERT : CT_ACTIVATIONS_W8A8;
        options->kv = CT_KV_INT8;
    }
    if ((asked->machine_preset != NULL || asked->machine_file != NULL) &&
        (asked->backend == NULL || !asked->backend->is_simulated))
        return ct_error_set(err, CT_INVALID, "a preset or configuration is a simulated backend's");
    return check_options(options, err);
}

enum ct_status ct_engine_open(const char *path, const struct ct_engine_options *asked,
                              struct ct_engine **out, struct ct_error *err)
{
    struct ct_engine_options completed;
    const struct ct_engine_options *options = &completed;
    *out = NULL;
    enum ct_status status = complete_options(asked, &completed, err);
    if (status != CT_OK)
        return status;
    struct ct_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for an engine");
    ct_graph_init(&engine->graph);
    size_t n_name, name_at = ct_path_model_name(path, &n_name);
    snprintf(engine->name, sizeof engine->name, "%.*s", (int)n_name, path + name_at);
    status = ct_model_file_open(path, ct_family_foreign_names(), &engine->file, err);
    if (status == CT_OK)
        status = ct_text_init(&engine->text, engine->file, err);
    if (status == CT_OK) {
        fill_info(engine, options);
        status = build_graph(engine, err);
    }
    if (status == CT_OK)
        status = ct_binding_init(&engine->binding, &engine->graph, engine->file, err);
    if (status == CT_OK)
        status = open_pool(engine, options, err);
    if (status == CT_OK)
        status = open_backend(engine, options, err);
    if (status == CT_OK)
        status = open_pages(engine, options, err);
    if (status != CT_OK) {
        ct_engine_close(engine);
        return status;
    }
    *out = engine;
    return CT_OK;
}

void ct_engine_close(struct ct_engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->backend != NULL && engine->backend != engine->host)
        engine->backend->ops->close(engine->backend);
    if (engine->host != NULL)
        engine->host->ops->close(engine->host);
    ct_pool_close(engine->own_pool);
    ct_energy_meter_close(engine->meter);
    ct_kv_deinit(&engine->kv);
    ct_peaks_close(engine->peaks);
    ct_binding_deinit(&engine->binding);
    ct_graph_deinit(&engine->graph);
    ct_text_deinit(&engine->text);
    ct_model_file_close(engine->file);
    free(engine->sessions);
    free(engine->session_page_ids);
    free(engine->session_pages);
    free(engine->tokens);
    free(engine->types);
    free(engine->positions);
    free(engine->lengths);
    free(engine->logit_rows);
    free(engine->row_pages);
    free(engine->row_pixels);
    free(engine->parts);
    free(engine->costs);
    free(engine->index_bits);
    free(engine->sampling);
    free(engine->sampling_ids);
    free(engine);
}

const struct ct_engine_info *ct_engine_info(const struct ct_engine *engine)
{
    return &engine->info;
}

struct ct_engine_view ct_engine_view(const struct ct_engine *engine)
{
    return (struct ct_engine_view){&engine->graph, engine->index_bits, engine->backend};
}

const char *ct_engine_label(const struct ct_engine *engine, int i)
{
    return ct_model_file_label(engine->file, i);
}
