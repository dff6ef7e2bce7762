/* A model run over a text, or images, product by product, for calibration: before each product, its input
 * rows for the whole text are at hand, and its weights may still be changed.
 *
 *   text -> [embed .. ] | q,k,v | [rotate, attend] | o | [norm] | gate,up | [swiglu] | down | ...
 *                       ^ seek stops in front of a product; its input is there, and its weights
 *
 * Between two stops, window after window of the text, or image after image, runs through the nodes between; what later
 * nodes still read is kept for all rows. So the text passes through the model once, each weight is
 * in memory as f32 only while its product is next, and whatever was changed is seen by all that
 * follows. Activations are floats. One thread owns it. */
#ifndef CT_RUNTIME_LAYERWISE_H
#define CT_RUNTIME_LAYERWISE_H

#include "engine/base/pool.h"
#include "engine/base/status.h"
#include "engine/format/model_file.h"

#include <stdint.h>

struct ct_layerwise;

/* What the model runs over; all the caller's, and not used after the call. */
struct ct_layerwise_text {
    /* Cut into windows of window_tok (or of the model's context, or of all, if that is less), each a
     * context of its own; what is left at the end is not run. */
    const int32_t *tokens; /* [n_tokens >= 1] */
    int64_t n_tokens;
    int window_tok;
    /* Of a vision model instead: [n_images >= 1, channels, height, width], each a window. */
    const float *images;
    int n_images;
};

/* The file and the pool outlive it. What a family's build says; CT_UNSUPPORTED: it is clustered;
 * CT_FORMAT names a weight that is missing or has another shape; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_layerwise_open(const struct ct_model_file *file,
                                               const struct ct_layerwise_text *text,
                                               struct ct_pool *pool, struct ct_layerwise **out,
                                               struct ct_error *err);
void ct_layerwise_close(struct ct_layerwise *run);

/* The place of the product that reads matrix `name`, in the order in which they run; or -1. */
int ct_layerwise_place(const struct ct_layerwise *run, const char *name);

/* Runs up to that product. CT_INTERNAL: it has run already; CT_FORMAT and CT_MEMORY as above. */
CT_MUST_CHECK enum ct_status ct_layerwise_seek(struct ct_layerwise *run, int place,
                                               struct ct_error *err);

/* The input of the next product: [*n_rows, k]. */
const float *ct_layerwise_input(const struct ct_layerwise *run, int64_t *n_rows);

/* Its matrix `name` as it will run, [n, k], to be changed at will; NULL: it will not run, as
 * nothing follows. */
float *ct_layerwise_weight(struct ct_layerwise *run, const char *name);

#endif
