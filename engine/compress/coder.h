/* One group of weights against a given codebook: nearest centroids, and the scale (and offset) that
 * make them fit best.
 *
 *   w[j] ~ scale * code[index[j]] (+ offset)
 *
 * For fixed indices the best scale and offset are a weighted linear regression of w on the
 * centroids; for a fixed scale the best indices are the nearest centroids. A search tries several
 * scales around the one that maps the group's extreme to the codebook's end, takes the regression
 * of each, and lets the best of them alternate twice. This lowers the error by 8-10 % against the
 * extreme alone. Without an offset the scale carries the extreme's sign, so that the extreme always
 * lies at the same end of the codebook, which then need not be symmetric. Scales and offsets are
 * rounded to f16 before the indices are chosen.
 *
 * A coder is immutable once made; any thread. */
#ifndef CT_COMPRESS_CODER_H
#define CT_COMPRESS_CODER_H

#include "engine/compress/kmeans.h"

#include <stdbool.h>
#include <stdint.h>

enum { CT_CODER_CELLS = 4096 };

struct ct_coder {
    int n_clusters;
    float unit;                      /* the codebook's end: where an extreme starts (63, 127 or 1) */
    float code[CT_MAX_CLUSTERS];     /* ascending */
    uint8_t index[CT_MAX_CLUSTERS];  /* of code[i] in the codebook */
    float boundary[CT_MAX_CLUSTERS]; /* boundary[i]: where centroid i ends; the last is infinite */
    float low, cells_per_unit; /* cells divide what lies between the first and the last boundary */
    float cell_code[CT_CODER_CELLS]; /* the centroid nearest to the cell's middle */
    uint8_t cell[CT_CODER_CELLS]; /* the lowest of the order that a value of this cell may have */
};

/* codes [n_clusters], in any order. */
void ct_coder_init(struct ct_coder *coder, const float *codes, int n_clusters, float unit);

/* The scale and offset of one group, as stored. */
struct ct_fit {
    uint16_t scale, offset; /* f16 bits; offset is 0 where there is none */
};

/* The fit that maps the group's extreme to `unit`: by absolute value, or from the middle of the
 * range. */
struct ct_fit ct_fit_start(const float *w, int n, bool has_offset, float unit);

/* The best fit found for this codebook. h: the importance of each weight [n], or NULL for 1. */
struct ct_fit ct_coder_fit(const struct ct_coder *coder, const float *w, const float *h, int n,
                           bool has_offset);

/* The nearest centroid: its place in the ascending order. */
int ct_coder_nearest(const struct ct_coder *coder, float u);

/* The nearest centroids under a fit. index: [n]. */
void ct_coder_assign(const struct ct_coder *coder, const float *w, int n, struct ct_fit fit,
                     uint8_t *index);

#endif
