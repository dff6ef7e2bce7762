/* One-dimensional weighted K-means: the centroids c that minimise sum w (x - nearest c)^2.
 *
 * In one dimension clusters are intervals, so points are sorted once and prefix sums give the
 * weight and the mean of any interval: one round of Lloyd's iteration costs K binary searches,
 * whatever the number of points. It starts from the quantiles of density^(1/3), which is where the
 * centroids of a smooth density lie when there are many (Panter and Dite 1951; Gray and Neuhoff,
 * "Quantization", 1998, eq. 23), and from a few starts more, drawn from the seed; the best result
 * stays.
 *
 * The exact method is dynamic programming over the points: the best K clusters of the first j
 * points end with a cluster [i, j), and the best i never moves left as j grows, so divide and
 * conquer finds a layer in O(n log n) (Wang and Song, "Ckmeans.1d.dp", 2011; Gronlund et al.,
 * arXiv:1701.07204).
 *
 * Integer centroids are not rounded one by one, which costs a percent or two of error with 64 of
 * them among 255 integers: a second dynamic programme chooses the best K integers, either near the
 * centroids found before (lloyd) or among all of them (exact).
 *
 * Pure functions of their arguments; any thread. */
#ifndef CT_COMPRESS_KMEANS_H
#define CT_COMPRESS_KMEANS_H

#include "engine/base/status.h"
#include "engine/compress/histogram.h"

#include <stdbool.h>
#include <stdint.h>

enum { CT_MAX_CLUSTERS = 256 };

enum ct_kmeans_method { CT_KMEANS_LLOYD, CT_KMEANS_EXACT };

struct ct_kmeans {
    int n_clusters; /* 1..CT_MAX_CLUSTERS */
    enum ct_kmeans_method method;
    int n_starts;        /* LLOYD: 1 is the quantiles alone */
    uint64_t seed;       /* of the starts after the first */
    const double *start; /* [n_clusters] ascending, in place of the first start; or NULL */
    int largest;         /* integers: the largest magnitude, 1..127 */
    bool has_magnitudes; /* integers: from 0 up alone, for points >= 0 */
};

/* Centroids [n_clusters], ascending. With fewer points than clusters the last ones repeat; with
 * none all are 0. CT_MEMORY (EXACT only). */
CT_MUST_CHECK enum ct_status ct_kmeans_solve(const struct ct_points *points,
                                             const struct ct_kmeans *options, double *centroids);

/* The same with integer centroids in -largest..largest (or 0..largest), ascending and different from
 * each other (with more clusters than integers the last repeats). CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_kmeans_solve_i8(const struct ct_points *points,
                                                const struct ct_kmeans *options, int8_t *centroids);

/* sum w (x - nearest centroid)^2 for ascending centroids. */
double ct_kmeans_cost(const struct ct_points *points, const double *centroids, int n_clusters);

#endif
