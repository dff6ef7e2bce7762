/* The models that are served, each with its own engine, queue and limits.
 *
 *   open (engines, one after the other) --> start (batchers) --> stop --> close
 *
 * All engines compute with one pool of threads, whose steps take turns (pool.h): models that are
 * busy share the processors step by step, and one that is idle takes nothing. From start to stop
 * everything here is immutable, for the loop thread and for its workers. */
#ifndef CT_SERVER_MODELS_H
#define CT_SERVER_MODELS_H

#include "engine/base/pool.h"
#include "engine/engine.h"
#include "server/config.h"

struct ct_batcher;

struct ct_model {
    const char *name; /* what clients call it */
    int index;        /* among all */
    struct ct_engine *engine;
    const struct ct_engine_info *info;
    struct ct_batcher *batcher; /* once started */
    int max_in_flight;          /* sequences running and waiting */
    size_t max_token_bytes;     /* the longest token's text */
    int64_t created_s;          /* since 1970 */
};

struct ct_models {
    int n;      /* that can be asked: 0 until all can */
    int n_open; /* that have an engine */
    struct ct_pool *pool;
    struct ct_model all[CT_MAX_MODELS];
};

/* Loads the models of config->list, which is kept by the caller. Any thread, as long as nobody else
 * looks. As ct_engine_open; what is open is left to ct_models_close. */
CT_MUST_CHECK enum ct_status ct_models_open(struct ct_models *models,
                                            const struct ct_config *config, struct ct_error *err);

/* Starts their batchers, which call wake from their threads. CT_MEMORY, CT_INTERNAL: those that run
 * are left to ct_models_stop. */
CT_MUST_CHECK enum ct_status ct_models_start(struct ct_models *models,
                                             const struct ct_config *config,
                                             void (*wake)(void *context), void *context,
                                             struct ct_error *err);

/* As ct_batcher_stop; and the rest. */
void ct_models_stop(struct ct_models *models);
void ct_models_close(struct ct_models *models);

/* Whether any of them takes images. */
bool ct_models_see_images(const struct ct_models *models);

/* NULL: there is none. */
const struct ct_model *ct_models_find(const struct ct_models *models, const char *name);

#endif
