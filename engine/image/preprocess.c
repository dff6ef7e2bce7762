#include "engine/image/preprocess.h"

#include "engine/base/arena.h"
#include "engine/image/resize.h"

#include <assert.h>
#include <inttypes.h>

/* ---- sizes ---- */

/* The whole resized image, of which a crop leaves a part. */
static enum ct_status resized_size(const struct ct_image_options *options, int width, int height,
                                   int *out_width, int *out_height, struct ct_error *err)
{
    const struct ct_image_size *size = &options->size;
    *out_width = options->do_resize ? size->width : width;
    *out_height = options->do_resize ? size->height : height;
    if (!options->do_resize || size->shortest_edge == 0)
        return CT_OK;
    int shorter = width <= height ? width : height, longer = width <= height ? height : width;
    double edge = (double)((int64_t)size->shortest_edge * longer) / shorter;
    if (edge > INT32_MAX)
        return ct_error_set(err, CT_INVALID,
                            "an image of %d x %d pixels, resized to a shortest edge of %d, has a "
                            "longest edge of %.0f",
                            width, height, size->shortest_edge, edge);
    *out_width = width <= height ? size->shortest_edge : (int)edge;
    *out_height = width <= height ? (int)edge : size->shortest_edge;
    return CT_OK;
}

enum ct_status ct_image_output_size(const struct ct_image_options *options, int width, int height,
                                    int *out_width, int *out_height, struct ct_error *err)
{
    enum ct_status status = resized_size(options, width, height, out_width, out_height, err);
    if (status != CT_OK)
        return status;
    if (options->do_center_crop) {
        *out_width = options->crop_size.width;
        *out_height = options->crop_size.height;
    }
    if ((int64_t)*out_width * *out_height > CT_IMAGE_OUTPUT_PIXELS)
        return ct_error_set(err, CT_INVALID,
                            "an image of %d x %d pixels becomes %d x %d, at most %d in all are "
                            "made",
                            width, height, *out_width, *out_height, CT_IMAGE_OUTPUT_PIXELS);
    return CT_OK;
}

/* ---- one axis of the crop ---- */

/* A part of n places, from begin of the resized length to at of the output's. */
struct part {
    int begin, at, n;
};

/* From the middle, rounded down; an output that is larger has a border instead, where the rounding
 * is the same. */
static struct part middle(int n_resized, int n_out)
{
    int left = n_resized - n_out; /* over on both sides */
    if (left >= 0)
        return (struct part){.begin = left / 2, .n = n_out};
    return (struct part){.at = (1 - left) / 2, .n = n_resized};
}

/* ---- values ---- */

/* The 256 values of each channel, as the reference computes them: the product in double, the rest
 * in float. */
static void make_levels(const struct ct_image_options *options,
                        float levels[CT_IMAGE_CHANNELS][256])
{
    for (int c = 0; c < options->n_channels; c++)
        for (int v = 0; v < 256; v++) {
            float value = options->do_rescale ? (float)(v * options->rescale_factor) : (float)v;
            if (options->do_normalize)
                value = (value - options->image_mean[c]) / options->image_std[c];
            levels[c][v] = value;
        }
}

static void fill(float *planes, const struct ct_image_options *options, size_t n_plane,
                 float levels[CT_IMAGE_CHANNELS][256])
{
    for (int c = 0; c < options->n_channels; c++)
        for (size_t i = 0; i < n_plane; i++)
            *planes++ = levels[c][0];
}

/* ---- the whole ---- */

/* Rows first keeps the used rows of the image, as wide as the result; columns first goes from the
 * image to one row of the result at a time. */
struct work {
    bool is_columns_first;
    struct ct_resize_axis x, y;
    int first_row, n_rows, first_column, n_columns; /* of the image, used */
    uint8_t *between; /* rows first: [n_rows, x.n, n_channels]; else [image width, n_channels] */
    uint8_t *row;     /* of the result: [x.n, n_channels] */
    int32_t *sums;    /* a row of what columns are summed from */
};

/* The input pixels that an axis uses, from *first on; returns how many. */
static int used(const struct ct_resize_axis *axis, int *first)
{
    *first = axis->first[0];
    return axis->first[axis->n - 1] + axis->count[axis->n - 1] - *first;
}

static enum ct_status plan(struct ct_arena *arena, const struct ct_image *image,
                           enum ct_image_filter filter, int width, int height, const struct part *x,
                           const struct part *y, struct work *work)
{
    enum ct_status status =
        ct_resize_plan(arena, filter, image->width, width, x->begin, x->n, &work->x);
    if (status == CT_OK)
        status = ct_resize_plan(arena, filter, image->height, height, y->begin, y->n, &work->y);
    if (status != CT_OK)
        return status;
    work->is_columns_first = ct_resize_columns_first(image->width, image->height, width, height);
    work->n_columns = used(&work->x, &work->first_column);
    work->n_rows = used(&work->y, &work->first_row);
    size_t n_channels = (size_t)image->n_channels, n_row = (size_t)x->n * n_channels;
    size_t n_wide = (size_t)image->width * n_channels;
    work->between =
        ct_arena_alloc(arena, work->is_columns_first ? n_wide : (size_t)work->n_rows * n_row);
    work->row = ct_arena_alloc(arena, n_row);
    work->sums = ct_arena_alloc(arena, (n_wide > n_row ? n_wide : n_row) * sizeof *work->sums);
    return work->between && work->row && work->sums ? CT_OK : CT_MEMORY;
}

static void resize_all_rows(const struct ct_image *image, const struct work *work)
{
    ptrdiff_t stride = (ptrdiff_t)image->width * image->n_channels;
    for (int y = 0; y < work->n_rows; y++)
        ct_resize_row(&work->x, image->pixels + (work->first_row + y) * stride, image->n_channels,
                      work->between + (ptrdiff_t)y * work->x.n * image->n_channels);
}

/* Row y of the result, into work->row. */
static void make_row(const struct ct_image *image, const struct work *work, int y)
{
    int n_channels = image->n_channels, n_row = work->x.n * n_channels;
    if (work->is_columns_first) {
        ptrdiff_t stride = (ptrdiff_t)image->width * n_channels;
        ptrdiff_t at = (ptrdiff_t)work->first_column * n_channels;
        ct_resize_column(&work->y, y, image->pixels + work->y.first[y] * stride + at, stride,
                         work->n_columns * n_channels, work->sums, work->between + at);
        ct_resize_row(&work->x, work->between, n_channels, work->row);
    } else {
        ptrdiff_t first = work->y.first[y] - work->first_row;
        ct_resize_column(&work->y, y, work->between + first * n_row, n_row, n_row, work->sums,
                         work->row);
    }
}

/* planes points to the part's first place; a row of the output is stride long. */
static void run(const struct ct_image *image, const struct work *work,
                float levels[CT_IMAGE_CHANNELS][256], float *planes, int stride, size_t n_plane)
{
    int n_channels = image->n_channels;
    if (!work->is_columns_first)
        resize_all_rows(image, work);
    for (int y = 0; y < work->y.n; y++, planes += stride) {
        make_row(image, work, y);
        for (int c = 0; c < n_channels; c++)
            for (int x = 0; x < work->x.n; x++)
                planes[(size_t)c * n_plane + (size_t)x] = levels[c][work->row[x * n_channels + c]];
    }
}

enum ct_status ct_image_preprocess(const struct ct_image *image,
                                   const struct ct_image_options *options, float *planes,
                                   struct ct_error *err)
{
    assert(image->n_channels == options->n_channels && image->width > 0 && image->height > 0);
    int width, height, out_width, out_height;
    enum ct_status status =
        ct_image_output_size(options, image->width, image->height, &out_width, &out_height, err);
    if (status == CT_OK)
        status = resized_size(options, image->width, image->height, &width, &height, err);
    if (status != CT_OK)
        return status;
    struct part x = middle(width, out_width), y = middle(height, out_height);
    size_t n_plane = (size_t)out_width * (size_t)out_height;
    float levels[CT_IMAGE_CHANNELS][256];
    make_levels(options, levels);
    if (x.n < out_width || y.n < out_height)
        fill(planes, options, n_plane, levels);

    struct ct_arena arena;
    struct work work;
    ct_arena_init(&arena);
    enum ct_image_filter filter = options->do_resize ? options->resample : CT_IMAGE_NEAREST;
    status = plan(&arena, image, filter, width, height, &x, &y, &work);
    if (status == CT_OK)
        run(image, &work, levels, planes + (ptrdiff_t)y.at * out_width + x.at, out_width, n_plane);
    else
        ct_error_set(err, status, "no memory to resize an image of %d x %d pixels to %d x %d",
                     image->width, image->height, width, height);
    ct_arena_deinit(&arena);
    return status;
}
