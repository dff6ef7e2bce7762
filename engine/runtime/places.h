/* The table of places of a vision model, for an image of another size than it was trained for.
 *
 * The rows of the prefix tokens stay; those of the patches are an image of k channels, which is
 * resized as torch.nn.functional.interpolate does with mode="bicubic" and align_corners=False: cubic
 * convolution with a = -0.75, pixel centres at halves, the border repeated, nothing smoothed where it
 * shrinks. Any thread. */
#ifndef CT_RUNTIME_PLACES_H
#define CT_RUNTIME_PLACES_H

#include "engine/graph/graph.h"

/* stored: [n_prefix + stored_lines * stored_columns, k]; out: [n_prefix + lines * columns, k]. */
void ct_places_resize(const struct ct_patches *patches, int64_t k, const float *stored, float *out);

#endif
