/* activation_scales.json: how large a model's activations get, as `centroid calibrate` found them
 * (docs/file-format.md). Each has the name of the weight that it meets:
 *
 *   a matrix      "input", "output"    the largest |x| of what it multiplies, and of what it gives with its
 *                                      bias, before a residual is added
 *   a norm        "input", "output"    the largest deviation of a row, and of |x - mean| / deviation
 *   a LayerScale  "output"             the largest |x| behind it
 *
 * Immutable once read; any thread. */
#ifndef CT_RUNTIME_SCALES_H
#define CT_RUNTIME_SCALES_H

#include "engine/base/status.h"
#include "engine/graph/graph.h"

#include <jansson.h>

#define CT_SCALES_FILE "activation_scales.json"

struct ct_scales {
    json_t *root;
};

/* Of one slot. NAN: not seen. */
struct ct_peak {
    float input, output;
};

/* dir/activation_scales.json. CT_NOT_FOUND says what makes it; CT_FORMAT names what is wrong with it;
 * CT_MEMORY, CT_IO, CT_TOO_LARGE. */
CT_MUST_CHECK enum ct_status ct_scales_init(struct ct_scales *scales, const char *dir,
                                            struct ct_error *err);
/* The file's contents, checked; *out is to be json_decref'ed. */
CT_MUST_CHECK enum ct_status ct_scales_read(const char *text, size_t n_bytes, json_t **out,
                                            struct ct_error *err);
void ct_scales_deinit(struct ct_scales *scales);

/* The peak `side` ("input", "output") of weight `name`; 0 becomes the least there is. CT_FORMAT: the file
 * does not have it. */
CT_MUST_CHECK enum ct_status ct_scales_find(const struct ct_scales *scales, const char *name,
                                            const char *side, float *peak, struct ct_error *err);

/* Writes peaks [graph->n_slots] as dir/activation_scales.json. CT_IO, CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_scales_write(const char *dir, const struct ct_graph *graph,
                                             const struct ct_peak *peaks, struct ct_error *err);

#endif
