#include "engine/image/resize.h"

#include <math.h>

/* Fixed point: a sum of weighted bytes stays inside 32 bits, also with a cubic's overshoot. */
enum { WEIGHT_BITS = 32 - 8 - 2, HALF = 1 << (WEIGHT_BITS - 1) };

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* Keys' cubic convolution with a = -1/2. The order of the operations is Pillow's, to the bit. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static const struct {
    double (*weight)(double x);
    double support; /* it is 0 from there on */
} filters[] = {
    [CT_IMAGE_BILINEAR] = {bilinear, 1},
    [CT_IMAGE_BICUBIC] = {bicubic, 2},
};

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* Steps through all places from the beginning, as Pillow does: the sum rounds differently from a
 * product. */
static void plan_nearest(struct ct_resize_axis *axis, int n_in, int n_resized, int begin)
{
    double scale = (double)n_in / n_resized, center = scale * 0.5;
    for (int i = 0; i < begin; i++)
        center += scale;
    for (int i = 0; i < axis->n; i++, center += scale) {
        axis->first[i] = clamp((int)center, 0, n_in - 1);
        axis->count[i] = 1;
        axis->weights[i] = 1 << WEIGHT_BITS;
    }
}

static void plan_filter(struct ct_resize_axis *axis, enum ct_image_filter filter, int n_in,
                        int n_resized, int begin, double *weights)
{
    double scale = (double)n_in / n_resized, stretch = scale < 1 ? 1 : scale;
    double support = filters[filter].support * stretch;
    for (int i = 0; i < axis->n; i++) {
        double center = (begin + i + 0.5) * scale, total = 0;
        int first = clamp((int)(center - support + 0.5), 0, n_in);
        int count = clamp((int)(center + support + 0.5), 0, n_in) - first;
        for (int t = 0; t < count; t++) {
            weights[t] = filters[filter].weight((t + first - center + 0.5) * (1 / stretch));
            total += weights[t];
        }
        for (int t = 0; t < count; t++) {
            double w = (total != 0 ? weights[t] / total : weights[t]) * (1 << WEIGHT_BITS);
            axis->weights[(size_t)i * (size_t)axis->n_taps + (size_t)t] =
                (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
        }
        axis->first[i] = first;
        axis->count[i] = count;
    }
}

enum ct_status ct_resize_plan(struct ct_arena *arena, enum ct_image_filter filter, int n_in,
                              int n_resized, int begin, int n, struct ct_resize_axis *axis)
{
    *axis = (struct ct_resize_axis){.n = n, .n_taps = 1};
    if (filter != CT_IMAGE_NEAREST) {
        double scale = (double)n_in / n_resized;
        axis->n_taps = (int)ceil(filters[filter].support * (scale < 1 ? 1 : scale)) * 2 + 1;
    }
    size_t n_places = (size_t)n, n_taps = (size_t)axis->n_taps;
    axis->first = ct_arena_alloc(arena, n_places * sizeof *axis->first);
    axis->count = ct_arena_alloc(arena, n_places * sizeof *axis->count);
    axis->weights = ct_arena_alloc(arena, n_places * n_taps * sizeof *axis->weights);
    double *weights = ct_arena_alloc(arena, n_taps * sizeof *weights);
    if (axis->first == NULL || axis->count == NULL || axis->weights == NULL || weights == NULL)
        return CT_MEMORY;
    if (filter == CT_IMAGE_NEAREST)
        plan_nearest(axis, n_in, n_resized, begin);
    else
        plan_filter(axis, filter, n_in, n_resized, begin, weights);
    return CT_OK;
}

static uint8_t to_byte(int32_t sum)
{
    return (uint8_t)clamp(sum >> WEIGHT_BITS, 0, 255);
}

/* Inlined with n_channels known, so that a pixel's sums stay in registers. */
static inline void resize_row(const struct ct_resize_axis *axis, const uint8_t *row,
                              const int n_channels, uint8_t *out)
{
    const int32_t *weights = axis->weights;
    for (int i = 0; i < axis->n; i++, weights += axis->n_taps, out += n_channels) {
        const uint8_t *pixel = row + (ptrdiff_t)axis->first[i] * n_channels;
        int32_t sums[CT_IMAGE_CHANNELS] = {HALF, HALF, HALF};
        for (int t = 0; t < axis->count[i]; t++, pixel += n_channels)
            for (int c = 0; c < n_channels; c++)
                sums[c] += pixel[c] * weights[t];
        for (int c = 0; c < n_channels; c++)
            out[c] = to_byte(sums[c]);
    }
}

void ct_resize_row(const struct ct_resize_axis *axis, const uint8_t *row, int n_channels,
                   uint8_t *out)
{
    if (n_channels == 3)
        resize_row(axis, row, 3, out);
    else
        resize_row(axis, row, 1, out);
}

void ct_resize_column(const struct ct_resize_axis *axis, int i, const uint8_t *rows,
                      ptrdiff_t stride, int n_samples, int32_t *sums, uint8_t *out)
{
    const int32_t *weights = axis->weights + (ptrdiff_t)i * axis->n_taps;
    for (int s = 0; s < n_samples; s++)
        sums[s] = HALF;
    for (int t = 0; t < axis->count[i]; t++, rows += stride)
        for (int s = 0; s < n_samples; s++)
            sums[s] += rows[s] * weights[t];
    for (int s = 0; s < n_samples; s++)
        out[s] = to_byte(sums[s]);
}

bool ct_resize_columns_first(int width, int height, int out_width, int out_height)
{
    return height > out_height && (int64_t)height - out_height > 2 * ((int64_t)width - out_width);
}
