#include "engine/compress/histogram.h"

#include <stdlib.h>
#include <string.h>

enum ct_status ct_histogram_init(struct ct_histogram *h)
{
    *h = (struct ct_histogram){.bins = calloc(CT_HISTOGRAM_BINS, sizeof *h->bins)};
    return h->bins != NULL ? CT_OK : CT_MEMORY;
}

void ct_histogram_deinit(struct ct_histogram *h)
{
    free(h->bins);
    *h = (struct ct_histogram){0};
}

void ct_histogram_reset(struct ct_histogram *h, double low, double high, double max_weight)
{
    h->low = low;
    h->bins_per_unit = CT_HISTOGRAM_BINS / (high - low);
    h->counts_per_weight = max_weight > 0 ? 0x1p30 / max_weight : 0;
    memset(h->bins, 0, CT_HISTOGRAM_BINS * sizeof *h->bins);
}

void ct_histogram_merge(struct ct_histogram *into, const struct ct_histogram *from)
{
    for (int i = 0; i < CT_HISTOGRAM_BINS; i++) {
        into->bins[i].weight += from->bins[i].weight;
        into->bins[i].place += from->bins[i].place;
    }
}

enum ct_status ct_points_init(struct ct_points *points, int capacity)
{
    size_t n = (size_t)capacity;
    *points = (struct ct_points){.capacity = capacity};
    points->x = malloc(n * sizeof *points->x);
    points->w = malloc((n + 1) * sizeof *points->w);
    points->wx = malloc((n + 1) * sizeof *points->wx);
    if (points->x == NULL || points->w == NULL || points->wx == NULL) {
        ct_points_deinit(points);
        return CT_MEMORY;
    }
    return CT_OK;
}

void ct_points_deinit(struct ct_points *points)
{
    free(points->x);
    free(points->w);
    free(points->wx);
    *points = (struct ct_points){0};
}

static void points_clear(struct ct_points *points)
{
    points->n = 0;
    points->w[0] = 0;
    points->wx[0] = 0;
    points->wxx = 0;
}

static void points_push(struct ct_points *points, double x, double weight)
{
    int n = points->n++;
    points->x[n] = x;
    points->w[n + 1] = points->w[n] + weight;
    points->wx[n + 1] = points->wx[n] + weight * x;
    points->wxx += weight * x * x;
}

void ct_points_from_histogram(struct ct_points *points, const struct ct_histogram *h)
{
    points_clear(points);
    for (int i = 0; i < CT_HISTOGRAM_BINS; i++) {
        const struct ct_bin *bin = &h->bins[i];
        if (bin->weight == 0)
            continue;
        double place = (double)bin->place / (double)bin->weight;
        points_push(points, h->low + (i + place) / h->bins_per_unit,
                    (double)bin->weight / h->counts_per_weight);
    }
}

/* One pass of a radix sort by 8 bits of the bin; stable. */
static void radix_pass(const struct ct_point_key *from, struct ct_point_key *to, int n, int shift)
{
    int start[257] = {0};
    for (int i = 0; i < n; i++)
        start[(from[i].bin >> shift & 255) + 1]++;
    for (int d = 0; d < 256; d++)
        start[d + 1] += start[d];
    for (int i = 0; i < n; i++)
        to[start[from[i].bin >> shift & 255]++] = from[i];
}

void ct_points_from_values(struct ct_points *points, const float *x, const float *weights, int n,
                           double low, double high, struct ct_point_key *scratch)
{
    struct ct_point_key *keys = scratch, *sorted = scratch + n;
    double bins_per_unit = CT_HISTOGRAM_BINS / (high - low);
    for (int i = 0; i < n; i++) {
        double at = (x[i] - low) * bins_per_unit;
        at = at < 0 ? 0 : at > CT_HISTOGRAM_BINS - 1 ? CT_HISTOGRAM_BINS - 1 : at;
        keys[i] = (struct ct_point_key){(uint32_t)at, (uint32_t)i};
    }
    radix_pass(keys, sorted, n, 0);
    radix_pass(sorted, keys, n, 8);

    points_clear(points);
    for (int i = 0; i < n;) {
        double weight = 0, moment = 0;
        uint32_t bin = keys[i].bin;
        for (; i < n && keys[i].bin == bin; i++) {
            double one = weights != NULL ? weights[keys[i].item] : 1;
            weight += one;
            moment += one * x[keys[i].item];
        }
        if (weight > 0)
            points_push(points, moment / weight, weight);
    }
}

void ct_points_scale(struct ct_points *points, double factor)
{
    for (int i = 0; i < points->n; i++)
        points->x[i] *= factor;
    for (int i = 0; i <= points->n; i++)
        points->wx[i] *= factor;
    points->wxx *= factor * factor;
}

int ct_points_below(const struct ct_points *points, double x)
{
    int low = 0, high = points->n;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (points->x[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
