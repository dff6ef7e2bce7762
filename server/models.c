#include "server/models.h"

#include "engine/base/log.h"
#include "engine/base/processors.h"
#include "server/batcher.h"

#include <string.h>
#include <time.h>

static size_t longest_token(const struct ct_engine *engine, int n_vocab)
{
    size_t n_most = 0;
    for (int id = 0; id < n_vocab; id++) {
        size_t n_bytes = 0;
        ct_engine_token_bytes(engine, id, &n_bytes);
        n_most = n_bytes > n_most ? n_bytes : n_most;
    }
    return n_most;
}

/* memory_bytes: for its keys and values. */
static enum ct_status open_model(struct ct_models *models, const struct ct_config *config,
                                 int64_t memory_bytes, struct ct_error *err)
{
    const int i = models->n_open;
    const struct ct_model_place *place = &config->list.places[i];
    struct ct_model *model = &models->all[i];
    struct ct_engine_options options = {
        .pool = models->pool,
        .context_tok = (int)config->context_tok,
        .memory_bytes = memory_bytes,
        .max_sessions = (int)config->n_sessions,
        .has_prefix_cache = config->prefix_cache == 0,
        .activations = (enum ct_activations)config->activations,
        .kv = config->kv == 0 ? CT_KV_F16 : CT_KV_INT8,
    };
    if (strcmp(place->backend, "cpu") != 0) {
        options.backend = ct_backend_find(place->backend, err);
        options.machine_preset = config->gemmini_preset;
        options.machine_file = config->gemmini_config;
    }
    ct_log(CT_LOG_INFO, "loading %s from %s (%d of %d)", place->name, place->path, i + 1,
           config->list.n);
    const enum ct_status status = ct_engine_open(place->path, &options, &model->engine, err);
    if (status != CT_OK)
        return ct_error_prefix(err, "%s", place->name);
    models->n_open++;
    model->name = place->name;
    model->index = i;
    model->info = ct_engine_info(model->engine);
    model->max_in_flight = model->info->max_sessions + (int)config->n_queue;
    model->max_token_bytes = longest_token(model->engine, model->info->n_vocab);
    model->created_s = (int64_t)time(NULL);
    return CT_OK;
}

/* The memory for keys and values is one limit for all: each takes an even share of what is left, or
 * less where it has no use for it. */
enum ct_status ct_models_open(struct ct_models *models, const struct ct_config *config,
                              struct ct_error *err)
{
    const int n_threads = config->n_threads > 0 ? (int)config->n_threads : ct_processors();
    int64_t left_bytes = config->memory_bytes > 0 ? config->memory_bytes : ct_machine_memory() / 2;
    enum ct_status status = ct_pool_open(n_threads, &models->pool);
    if (status != CT_OK)
        return ct_error_set(err, status, "--threads: %d threads cannot be started", n_threads);
    while (models->n_open < config->list.n) {
        const struct ct_model *model = &models->all[models->n_open];
        status = open_model(models, config, left_bytes / (config->list.n - models->n_open), err);
        if (status != CT_OK)
            return status;
        left_bytes -=
            (int64_t)model->info->n_kv_pages * model->info->page_tok * model->info->n_kv_bytes_tok;
    }
    return CT_OK;
}

enum ct_status ct_models_start(struct ct_models *models, const struct ct_config *config,
                               void (*wake)(void *context), void *context, struct ct_error *err)
{
    for (int i = 0; i < models->n_open; i++) {
        struct ct_model *model = &models->all[i];
        const struct ct_batcher_options options = {.max_in_flight = model->max_in_flight,
                                                   .token_ns = (double)config->token_ms * 1e6};
        const enum ct_status status =
            ct_batcher_open(model->engine, &options, wake, context, &model->batcher);
        if (status != CT_OK)
            return ct_error_set(err, status, "%s: cannot start the engine's thread", model->name);
    }
    models->n = models->n_open;
    return CT_OK;
}

void ct_models_stop(struct ct_models *models)
{
    for (int i = 0; i < models->n_open; i++)
        if (models->all[i].batcher != NULL)
            ct_batcher_stop(models->all[i].batcher);
}

void ct_models_close(struct ct_models *models)
{
    for (int i = 0; i < models->n_open; i++) {
        ct_batcher_free(models->all[i].batcher);
        ct_engine_close(models->all[i].engine);
    }
    ct_pool_close(models->pool);
}

bool ct_models_see_images(const struct ct_models *models)
{
    for (int i = 0; i < models->n; i++)
        if (models->all[i].info->image.n_channels > 0)
            return true;
    return false;
}

const struct ct_model *ct_models_find(const struct ct_models *models, const char *name)
{
    for (int i = 0; i < models->n; i++)
        if (strcmp(models->all[i].name, name) == 0)
            return &models->all[i];
    return NULL;
}
