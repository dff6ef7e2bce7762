/* What quantize.c and learn.c share: the workers of a quantizer and its passes over rows. */
#ifndef CT_COMPRESS_QUANTIZER_H
#define CT_COMPRESS_QUANTIZER_H

#include "engine/compress/coder.h"
#include "engine/compress/histogram.h"
#include "engine/compress/quantize.h"

/* What one worker needs. Row-long arrays: [stride], max_k padded to 64. */
struct ct_worker {
    int64_t stride;
    float *w;                 /* [16, stride]: rows of a tile */
    float *value, *weight;    /* a row normalised, and its weights in K-means (rows' codebooks) */
    float *target, *error;    /* [16, stride]: for feedback.c */
    uint8_t *index;           /* [16, stride] */
    struct ct_fit *fits;      /* [groups, 16] */
    uint16_t *scale, *offset; /* of the groups of a kept row */
    struct ct_histogram histogram;
    struct ct_points points;   /* of a row; worker 0: of the histogram */
    struct ct_point_key *keys; /* [2 max_k] */
    struct ct_coder coder;     /* of a row */
    int64_t bad_row;           /* the first with a value that is not finite, or -1 */
    double extreme;            /* largest |w| seen */
    bool has_lowest;           /* a kept row holds -128 */
    enum ct_status status;
};

struct ct_quantizer {
    struct ct_quantize options;
    struct ct_pool *pool;
    int n_workers;
    struct ct_worker *workers;
    struct ct_coder coder; /* of the codebook in use */
};

/* One pass of all workers over the rows of one matrix. */
struct ct_pass {
    struct ct_quantizer *quantizer;
    const struct ct_plan *plan;
    const struct ct_source *matrix;
    const struct ct_coder *coder; /* of the codebook before; NULL: scales by the extremes */
};

/* Whether values are clustered as they are. A row's int8 codebook cannot do without a scale, so
 * that "none" means one a row there. */
bool ct_is_unscaled(const struct ct_quantize *options);

/* Whether the codebook is K/2 magnitudes and the same negated, see struct ct_codebook. */
bool ct_is_symmetric(const struct ct_quantize *options);

/* The largest magnitude of an int8 centroid. Up to 64 clusters find their places within -63..63 as well
 * as within -127..127, and the kernels multiply those by bytes without widening them (x86/linear_i8_avx2.c).
 * More clusters would not, nor would centroids whose scale is the whole tensor's. */
int ct_largest_centroid(const struct ct_quantize *options);

/* Where the extreme of a group lies after its first scaling. */
float ct_quantize_unit(const struct ct_quantize *options);

int64_t ct_plan_groups(const struct ct_plan *plan);
int ct_plan_group_length(const struct ct_plan *plan, int64_t group);

/* The importance of the columns from `column` on, or NULL. */
const float *ct_matrix_importance(const struct ct_source *matrix, int64_t column);

/* Reads a row into w; notes in worker->bad_row when it holds a NaN or an infinity. Returns the
 * largest |w|. */
double ct_worker_read(struct ct_worker *worker, const struct ct_source *matrix, int64_t row,
                      float *w);

/* Reports n_weights; see ct_quantize. */
CT_MUST_CHECK enum ct_status ct_quantizer_progress(const struct ct_quantizer *quantizer,
                                                   const struct ct_source *matrix,
                                                   int64_t n_weights, struct ct_error *err);

void ct_workers_reset(struct ct_quantizer *quantizer);

/* CT_FORMAT with the first bad row, or what a worker failed with. */
CT_MUST_CHECK enum ct_status ct_workers_check(const struct ct_quantizer *quantizer,
                                              const struct ct_source *matrix, struct ct_error *err);

/* The codebook of row w itself, whose largest |w| is extreme, and worker->coder for it. CT_MEMORY.
 */
CT_MUST_CHECK enum ct_status ct_worker_learn(struct ct_worker *worker, const struct ct_pass *pass,
                                             const float *w, double extreme,
                                             struct ct_codebook *codebook);

/* Codes rows [first, first + n_rows) of worker->w with error feedback: fills in their indices and
 * fits. pass has a Hessian; shared is the fit of all groups where they have none of their own, or
 * NULL. */
void ct_worker_feed_back(struct ct_worker *worker, const struct ct_pass *pass,
                         const struct ct_coder *coder, const struct ct_fit *shared, int first,
                         int n_rows);

#endif
