#include "engine/compress/coder.h"

#include "engine/base/f16.h"

#include <math.h>
#include <string.h>

/* Where the search begins: the extreme at `unit` times each of these. Beyond the codebook's end it
 * is clipped, which often costs less than a coarser scale does. */
static const double start_factors[] = {1, 0.7, 0.76, 0.81, 0.86, 0.91, 0.95, 1.05};
enum {
    N_STARTS = sizeof start_factors / sizeof start_factors[0],
    N_ROUNDS = 2,
};

#define F16_MAX 65504.0f

/* Ascending; by insertion, as most codebooks are in order. */
static void sort_codes(struct ct_coder *coder, const float *codes)
{
    float *sorted = coder->code;
    for (int i = 0; i < coder->n_clusters; i++) {
        int at = i;
        for (; at > 0 && sorted[at - 1] > codes[i]; at--) {
            sorted[at] = sorted[at - 1];
            coder->index[at] = coder->index[at - 1];
        }
        sorted[at] = codes[i];
        coder->index[at] = (uint8_t)i;
    }
}

void ct_coder_init(struct ct_coder *coder, const float *codes, int n_clusters, float unit)
{
    const float *code = coder->code;
    coder->n_clusters = n_clusters;
    coder->unit = unit;
    sort_codes(coder, codes);
    for (int i = 0; i + 1 < n_clusters; i++)
        coder->boundary[i] = 0.5f * (code[i] + code[i + 1]);
    coder->boundary[n_clusters - 1] = INFINITY;

    /* The first and the last cell hold what lies beyond the outer boundaries. */
    float range = n_clusters > 2 ? coder->boundary[n_clusters - 2] - coder->boundary[0] : 0;
    float width = range > 0 ? range / (CT_CODER_CELLS - 2) : 1;
    coder->low = coder->boundary[0] - width;
    coder->cells_per_unit = 1 / width;
    for (int cell = 0, i = 0; cell < CT_CODER_CELLS; cell++) {
        float begin = coder->low + (float)cell * width, middle = begin + 0.5f * width;
        while (i < n_clusters - 1 && coder->boundary[i] < begin)
            i++;
        coder->cell[cell] = (uint8_t)(cell == 0 ? 0 : i);
        coder->cell_code[cell] = code[i + (middle > coder->boundary[i])];
    }
}

int ct_coder_nearest(const struct ct_coder *coder, float u)
{
    float at = (u - coder->low) * coder->cells_per_unit;
    at = at > 0 ? at : 0;
    at = at < CT_CODER_CELLS - 1 ? at : CT_CODER_CELLS - 1;
    int i = coder->cell[(int)at];
    while (u > coder->boundary[i])
        i++;
    return i;
}

static uint16_t f16_finite(float x)
{
    x = x > F16_MAX ? F16_MAX : x < -F16_MAX ? -F16_MAX : x;
    return ct_f16_from_f32(x);
}

/* Of unrounded scale and offset. */
struct line {
    double scale, offset;
};

static struct line start_line(const float *w, int n, bool has_offset, float unit)
{
    float low = w[0], high = w[0];
    for (int j = 1; j < n; j++) {
        low = w[j] < low ? w[j] : low;
        high = w[j] > high ? w[j] : high;
    }
    if (has_offset)
        return (struct line){0.5 * ((double)high - low) / unit, 0.5 * ((double)high + low)};
    return (struct line){(double)(-low > high ? low : high) / unit, 0};
}

struct ct_fit ct_fit_start(const float *w, int n, bool has_offset, float unit)
{
    struct line line = start_line(w, n, has_offset, unit);
    return (struct ct_fit){f16_finite((float)line.scale), f16_finite((float)line.offset)};
}

void ct_coder_assign(const struct ct_coder *coder, const float *w, int n, struct ct_fit fit,
                     uint8_t *index)
{
    float scale = ct_f16_to_f32(fit.scale), offset = ct_f16_to_f32(fit.offset);
    float inverse = scale != 0 ? 1 / scale : 0;
    for (int j = 0; j < n; j++)
        index[j] = coder->index[ct_coder_nearest(coder, (w[j] - offset) * inverse)];
}

/* Weighted sums over a group: of 1, w and w^2, which its fits share, and of the centroids chosen.
 */
struct group_sums {
    double h, w, ww;
};

struct code_sums {
    double c, cc, wc;
};

static struct group_sums sum_group(const float *w, const float *h, int n)
{
    struct group_sums s = {0};
    for (int j = 0; j < n; j++) {
        double weight = h != NULL ? h[j] : 1;
        s.h += weight;
        s.w += weight * w[j];
        s.ww += weight * w[j] * w[j];
    }
    return s;
}

enum { BLOCK = 32 };

/* The sum of a block, by halves; x is used up. */
static inline float sum_block(float x[BLOCK])
{
    for (int j = 0; j < 16; j++)
        x[j] += x[j + 16];
    for (int j = 0; j < 8; j++)
        x[j] += x[j + 8];
    for (int j = 0; j < 4; j++)
        x[j] += x[j + 4];
    return (x[0] + x[2]) + (x[1] + x[3]);
}

/* Adds a block of BLOCK weights, each with the centroid of its cell's middle, which is all that the
 * search needs. This runs a few tens of times for every weight of a model: the loops have fixed
 * lengths and the sums lanes, so that compilers make vectors of them. */
static void add_block(const struct ct_coder *coder, const float *w, const float *h, float inverse,
                      float offset, struct code_sums *sums)
{
    int32_t cells[BLOCK];
    float code[BLOCK], weighted[BLOCK], cc[BLOCK], wc[BLOCK];
    for (int j = 0; j < BLOCK; j++) {
        float at = ((w[j] - offset) * inverse - coder->low) * coder->cells_per_unit;
        at = at > 0 ? at : 0;
        at = at < CT_CODER_CELLS - 1 ? at : CT_CODER_CELLS - 1;
        cells[j] = (int32_t)at;
    }
    for (int j = 0; j < BLOCK; j++)
        code[j] = coder->cell_code[cells[j]];
    for (int j = 0; j < BLOCK; j++)
        weighted[j] = h[j] * code[j];
    for (int j = 0; j < BLOCK; j++) {
        cc[j] = weighted[j] * code[j];
        wc[j] = weighted[j] * w[j];
    }
    sums->c += sum_block(weighted);
    sums->cc += sum_block(cc);
    sums->wc += sum_block(wc);
}

static struct code_sums sum_codes(const struct ct_coder *coder, const float *w, const float *h,
                                  int n, struct line line)
{
    static const float ones[BLOCK] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                      1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    float scale = (float)line.scale, offset = (float)line.offset;
    float inverse = scale != 0 ? 1 / scale : 0;
    struct code_sums sums = {0};
    int j = 0;
    for (; j + BLOCK <= n; j += BLOCK)
        add_block(coder, w + j, h != NULL ? h + j : ones, inverse, offset, &sums);
    if (j < n) {
        float last_w[BLOCK] = {0}, last_h[BLOCK] = {0};
        size_t n_bytes = (size_t)(n - j) * sizeof *w;
        memcpy(last_w, w + j, n_bytes);
        memcpy(last_h, h != NULL ? h + j : ones, n_bytes);
        add_block(coder, last_w, last_h, inverse, offset, &sums);
    }
    return sums;
}

/* The weighted error of the codes that gave the sums, under any line. */
static double error_of(const struct group_sums *g, const struct code_sums *s, struct line line)
{
    return g->ww - 2 * line.scale * s->wc - 2 * line.offset * g->w +
           line.scale * line.scale * s->cc + 2 * line.scale * line.offset * s->c +
           line.offset * line.offset * g->h;
}

/* The best line for the codes that gave the sums; `line` where they determine none. */
static struct line regress(const struct group_sums *g, const struct code_sums *s, bool has_offset,
                           struct line line)
{
    if (!has_offset)
        return s->cc > 0 ? (struct line){s->wc / s->cc, 0} : line;
    float scatter = g->h * s->cc - s->c * s->c;
    if (!(scatter > 1e-9 * g->h * s->cc))
        return line;
    double scale = (g->h * s->wc - g->w * s->c) / scatter;
    return (struct line){scale, (g->w - scale * s->c) / g->h};
}

/* Rounds to f16: the scale first, then the offset that is best beside the rounded scale. */
static struct ct_fit round_line(const struct group_sums *g, const struct code_sums *s,
                                bool has_offset, struct line *line)
{
    struct ct_fit fit = {f16_finite((float)line->scale), 0};
    line->scale = ct_f16_to_f32(fit.scale);
    if (has_offset) {
        if (g->h > 0)
            line->offset = (g->w - line->scale * s->c) / g->h;
        fit.offset = f16_finite((float)line->offset);
        line->offset = ct_f16_to_f32(fit.offset);
    }
    return fit;
}

struct ct_fit ct_coder_fit(const struct ct_coder *coder, const float *w, const float *h, int n,
                           bool has_offset)
{
    struct group_sums group = sum_group(w, h, n);
    struct line start = start_line(w, n, has_offset, coder->unit), best = start;
    struct code_sums best_sums = {0};
    double best_error = INFINITY;
    for (int i = 0; i < N_STARTS; i++) {
        struct line line = {start.scale * start_factors[i], start.offset};
        struct code_sums sums = sum_codes(coder, w, h, n, line);
        line = regress(&group, &sums, has_offset, line);
        double error = error_of(&group, &sums, line);
        if (error < best_error) {
            best_error = error;
            best = line;
            best_sums = sums;
        }
    }
    struct ct_fit best_fit = {0};
    best_error = INFINITY;
    for (int round = 0; round < N_ROUNDS; round++) {
        struct ct_fit fit = round_line(&group, &best_sums, has_offset, &best);
        struct code_sums sums = sum_codes(coder, w, h, n, best);
        double error = error_of(&group, &sums, best);
        if (error < best_error) {
            best_error = error;
            best_fit = fit;
        }
        best_sums = sums;
        best = regress(&group, &sums, has_offset, best);
    }
    return best_fit;
}
