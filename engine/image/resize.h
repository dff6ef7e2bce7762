/* Pillow's resize, for a part of the result.
 *
 * A resized row (or column) is a weighted sum of input pixels at each place: a filter's weights,
 * stretched where the image shrinks so that every input pixel counts, in 22-bit fixed point. After
 * the first of the two axes the values are rounded to bytes. Nearest is the case of one weight, and
 * no resize that of nearest to the same size. Checked against Pillow 13.0.0. */
#ifndef CT_IMAGE_RESIZE_H
#define CT_IMAGE_RESIZE_H

#include "engine/base/arena.h"
#include "engine/base/status.h"
#include "engine/image/preprocess.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One axis: the places [begin, begin + n) of the resized length. */
struct ct_resize_axis {
    int n;
    int n_taps;       /* most input pixels that a place sums */
    int *first;       /* [n]: the first of them */
    int *count;       /* [n]: how many */
    int32_t *weights; /* [n, n_taps] */
};

/* Plans an axis from n_in pixels to n_resized; the arrays are the arena's. CT_MEMORY, without a
 * message. */
CT_MUST_CHECK enum ct_status ct_resize_plan(struct ct_arena *arena, enum ct_image_filter filter,
                                            int n_in, int n_resized, int begin, int n,
                                            struct ct_resize_axis *axis);

/* row [n_in, n_channels] -> out [axis->n, n_channels]; n_channels is 1 or 3. */
void ct_resize_row(const struct ct_resize_axis *axis, const uint8_t *row, int n_channels,
                   uint8_t *out);

/* Sums the rows of place i, the first of which begins at rows, the next one stride bytes on, over
 * n_samples -> out [n_samples]; sums [n_samples] is room to work in. */
void ct_resize_column(const struct ct_resize_axis *axis, int i, const uint8_t *rows,
                      ptrdiff_t stride, int n_samples, int32_t *sums, uint8_t *out);

/* Which axis goes first, as Pillow decides from version 13 on: columns where the height loses more
 * than twice what the width does. Each order rounds in its own way. */
bool ct_resize_columns_first(int width, int height, int out_width, int out_height);

#endif
