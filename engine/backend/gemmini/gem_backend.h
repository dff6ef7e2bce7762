/* The backends `gemmini` and `gemmini:ibert`: a simulated accelerator that says what a step would cost on it.
 *
 * The values are the CPU backend's, in W8A8 or in integers throughout, which are the machine's to the bit
 * (tests hold the kernels to isa.h); the costs are gem_schedule's for the graph's operators. In W8A8 scales
 * are dynamic, one a token, so that all between products is the host's work, in floats, whatever
 * norm.enabled says; integers throughout need it on: gem_graph.h.
 *
 *   step: parts -> tokens' operators, all parts together    -> shared by rows
 *               -> logits' operators, all parts together    -> shared by rows of logits
 *               -> each part's attention                    -> its own
 *
 * Keys count in whole blocks of 16, as they lie in pages: so a session that grows meets a new shape every
 * 16 tokens. Engine thread. */
#ifndef CT_BACKEND_GEMMINI_GEM_BACKEND_H
#define CT_BACKEND_GEMMINI_GEM_BACKEND_H

#include "engine/backend/backend.h"
#include "engine/backend/gemmini/gem_graph.h"

/* Open with what ct_gem_config_lay and ct_gem_op_cost say. Where preset is NULL: "default" and "ibert".
 * CT_INVALID: integers throughout without norm.enabled. */
extern const struct ct_backend_type ct_gemmini_type, ct_gemmini_ibert_type;

/* The machine of a backend of these types. */
const struct ct_gem_config *ct_gemmini_config(const struct ct_backend *backend);

/* One sequence's step as these backends price it: rows, behind others, and rows of the answer. */
struct ct_gem_step ct_gemmini_step(const struct ct_graph *graph, int n_rows, int n_before,
                                   int n_logits);

#endif
