/* Steps that note how large activations get: calibration for integers (scales.h, ibert.h).
 *
 * Once an engine of float activations is observed, its steps run node by node, and what goes into and
 * comes out of products and norms is looked at. For the engine's thread. */
#ifndef CT_RUNTIME_PEAKS_H
#define CT_RUNTIME_PEAKS_H

#include "engine/backend/backend.h"
#include "engine/engine.h"

struct ct_peaks;

/* From the next step on, until the engine closes. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_peaks_open(struct ct_engine *engine, struct ct_error *err);

/* What was seen so far, as dir/activation_scales.json. As ct_scales_write. */
CT_MUST_CHECK enum ct_status ct_peaks_write(const struct ct_engine *engine, const char *dir,
                                            struct ct_error *err);

/* The engine's own: a step of an observed engine, and the end. */
void ct_peaks_run(struct ct_engine *engine, const struct ct_batch *batch);
void ct_peaks_close(struct ct_peaks *peaks);

#endif
