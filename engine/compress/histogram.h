/* A weighted histogram of one-dimensional values, and the sorted points that K-means works on.
 *
 * The sums of a bin are integers (fixed point), so that adding values in any order, on any number
 * of threads, gives the same histogram to the last bit. Besides its weight a bin keeps the weighted
 * place of its values inside it: a point stands at the mean of its bin, not at the bin's middle.
 *
 * A histogram or a set of points belongs to one thread at a time. */
#ifndef CT_COMPRESS_HISTOGRAM_H
#define CT_COMPRESS_HISTOGRAM_H

#include "engine/base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { CT_HISTOGRAM_BINS = 1 << 16 };

/* One weight is counted in units of max_weight / 2^30: 2^32 values of the largest weight fit. */
struct ct_histogram {
    double low, bins_per_unit; /* bin i begins at low + i / bins_per_unit */
    double counts_per_weight;
    struct ct_bin {
        int64_t weight; /* in counts */
        int64_t place;  /* counts * (place in the bin, 0..1) */
    } * bins;           /* [CT_HISTOGRAM_BINS] */
};

/* CT_MEMORY. The histogram is empty; set its range before the first add. */
CT_MUST_CHECK enum ct_status ct_histogram_init(struct ct_histogram *h);
void ct_histogram_deinit(struct ct_histogram *h);

/* Empties it and sets the range [low, high) and the largest weight to come (0 is allowed). */
void ct_histogram_reset(struct ct_histogram *h, double low, double high, double max_weight);

/* Adds the counts of another histogram of the same range. */
void ct_histogram_merge(struct ct_histogram *into, const struct ct_histogram *from);

/* Adds a value; one outside the range counts in the bin at its end. */
static inline void ct_histogram_add(struct ct_histogram *h, double x, double weight)
{
    double at = (x - h->low) * h->bins_per_unit;
    at = at < 0 ? 0 : at > CT_HISTOGRAM_BINS - 1e-6 ? CT_HISTOGRAM_BINS - 1e-6 : at;
    int bin = (int)at;
    int64_t count = (int64_t)(weight * h->counts_per_weight + 0.5);
    h->bins[bin].weight += count;
    h->bins[bin].place += (int64_t)((double)count * (at - bin) + 0.5);
}

/* Points in ascending order with prefix sums: the weight of points i..j-1 is w[j] - w[i]. */
struct ct_points {
    int n;
    int capacity;
    double *x;  /* [n] */
    double *w;  /* [n + 1] */
    double *wx; /* [n + 1]: of weight * x */
    double wxx; /* the whole sum of weight * x^2 */
};

/* Room for capacity points. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_points_init(struct ct_points *points, int capacity);
void ct_points_deinit(struct ct_points *points);

/* The occupied bins; points has room for CT_HISTOGRAM_BINS. */
void ct_points_from_histogram(struct ct_points *points, const struct ct_histogram *h);

/* The same for a few values (a row), without going through the bins: values that fall into one bin
 * of [low, high) become one point. scratch: [2 n]. weights [n], or NULL for 1. n is within the
 * capacity. */
struct ct_point_key {
    uint32_t bin;
    uint32_t item;
};
void ct_points_from_values(struct ct_points *points, const float *x, const float *weights, int n,
                           double low, double high, struct ct_point_key *scratch);

/* Multiplies every x by factor > 0. */
void ct_points_scale(struct ct_points *points, double factor);

/* The number of points below x: binary search. */
int ct_points_below(const struct ct_points *points, double x);

#endif
