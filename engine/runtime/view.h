/* A look into an engine, for reports: its graph as it runs, and the backend on top. All of it the engine's,
 * which never changes it. */
#ifndef CT_RUNTIME_VIEW_H
#define CT_RUNTIME_VIEW_H

#include "engine/backend/backend.h"
#include "engine/engine.h"

struct ct_engine_view {
    const struct ct_graph *graph;
    const int *index_bits; /* [n_slots]: see struct ct_backend_setup */
    const struct ct_backend *backend;
};
struct ct_engine_view ct_engine_view(const struct ct_engine *engine);

#endif
