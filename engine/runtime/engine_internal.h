/* The engine's insides, for engine/runtime alone. */
#ifndef CT_RUNTIME_ENGINE_INTERNAL_H
#define CT_RUNTIME_ENGINE_INTERNAL_H

#include "engine/backend/backend.h"
#include "engine/base/pool.h"
#include "engine/energy/energy.h"
#include "engine/engine.h"
#include "engine/graph/graph.h"
#include "engine/runtime/bind.h"
#include "engine/runtime/kv.h"
#include "engine/runtime/text.h"

/* A timeline. All are made when the engine opens, so that opening one allocates nothing. */
struct ct_session {
    struct ct_engine *engine;
    bool is_open;
    bool is_in_step;
    int n_tok;         /* evaluated */
    int capacity_tok;  /* pages are held for these */
    int n_pages;       /* held */
    int32_t *page_ids; /* [pages of the context] */
    uint16_t **pages;  /* [pages of the context]: their data, for the backend */
};

struct ct_engine {
    struct ct_engine_info info;
    char name[128];
    struct ct_model_file *file;
    struct ct_text text;
    struct ct_graph graph;
    struct ct_binding binding;
    struct ct_pool *pool, *own_pool;   /* own_pool: NULL where it is shared */
    struct ct_backend *host, *backend; /* the CPU's; that, or one that stands on it */
    int *index_bits;                   /* [n_slots]: see struct ct_backend_setup */
    struct ct_energy_meter *meter;
    struct ct_peaks *peaks; /* NULL: steps are not observed; see peaks.h */
    struct ct_kv kv;
    struct ct_session *sessions; /* [max_sessions] */
    int32_t *session_page_ids;   /* [max_sessions, pages of the context] */
    uint16_t **session_pages;    /* the same */
    /* The step's rows: [max_step_tok], [max_step_logits]. */
    int32_t *tokens, *types, *positions, *lengths, *logit_rows;
    uint16_t *const **row_pages;
    const float **row_pixels;
    /* The step's slices, counted: [max_sessions]. */
    struct ct_part *parts;
    struct ct_cost *costs;
    float *sampling;       /* [2 n_vocab]: scratch of ct_sampler_next */
    int32_t *sampling_ids; /* [n_vocab] */
};

#endif
