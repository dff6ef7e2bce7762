/* Clustering matrices: learning a codebook, then encoding into the tiles of
 * engine/format/clustered.h.
 *
 *   learn    rows -> groups -> w / scale -> histogram -> K-means -> codebook, and again with the
 * scales that fit that codebook best (coder.h), until the last round encode   rows -> groups ->
 * scale, indices -> tiles of 16 x 4 -> sink, chunk by chunk
 *
 * A value's weight in the histogram is scale^2 * importance, so that what K-means minimises is the
 * squared error of the weights themselves. Matrices are never held as floats: every pass reads rows
 * anew, a few at a time for each worker. Results do not depend on the number of workers.
 *
 * With a Hessian (hessian.h) encoding feeds errors back, so that what is minimised is the error of
 * the outputs.
 *
 * One thread owns a quantizer; it spreads the work over the pool. Clustering study, section III-B.
 */
#ifndef CT_COMPRESS_QUANTIZE_H
#define CT_COMPRESS_QUANTIZE_H

#include "engine/base/pool.h"
#include "engine/compress/hessian.h"
#include "engine/compress/kmeans.h"
#include "engine/format/clustered.h"
#include "engine/format/model_file.h"

#include <stdbool.h>
#include <stdint.h>

enum ct_scope { CT_SCOPE_TENSOR, CT_SCOPE_MODEL, CT_SCOPE_ROW };

/* Values of ct_quantize.group besides 32, 64 and 128. */
enum { CT_GROUP_NONE = 0, CT_GROUP_ROW = -1 };

struct ct_source;

struct ct_quantize {
    int bits;       /* 2..8, of an index */
    int n_clusters; /* 2..2^bits; 0: 2^bits. Even for int8 codebooks that are symmetric. */
    enum ct_scope scope;
    int group;       /* the columns that share a scale */
    bool has_offset; /* needs a scale */
    bool has_float_centroids;
    enum ct_kmeans_method method;
    uint64_t seed;
    /* Called on the owner's thread when n_weights of a matrix have been passed over; any status but
     * CT_OK ends the work with it. Or NULL. */
    enum ct_status (*progress)(void *context, const struct ct_source *matrix, int64_t n_weights,
                               struct ct_error *err);
    void *progress_context;
};

/* A matrix to cluster; the caller keeps what it points to. */
struct ct_source {
    const struct ct_weight *weight;   /* [n, k], dense or of blocks */
    const float *importance;          /* [k] >= 0, of each input feature; NULL: all alike */
    const struct ct_hessian *hessian; /* factored: errors are fed back; or NULL */
    float *decoded;                   /* out: [n, k] as readers will see it; or NULL */
};

/* Centroids, and the scale that all rows share where groups have none of their own.
 *
 * Ascending, but for int8 codebooks of 5 to 8 bits that a tensor or the model shares. There the
 * index's top bit is the sign: K/2 ascending magnitudes, then the same negated, so that a kernel
 * looks up half as much. It costs 1 to 2 % of error. Fewer centroids are looked up at once anyway,
 * and stay free. With fewer clusters than 2^bits the last centroid (or magnitude) is repeated. */
struct ct_codebook {
    int8_t i8[CT_MAX_CLUSTERS];
    float f32[CT_MAX_CLUSTERS]; /* the same as floats, for both kinds */
    uint16_t scale;             /* f16; used by int8 centroids without group scales */
};

/* The parts that a clustered matrix has, known before anything is computed. */
struct ct_plan {
    int64_t n, k;
    int bits;
    int group;           /* columns; k padded to 4 where a row has one scale or none */
    int64_t n_codebooks; /* 0: the model's; 1; or n padded to 16 */
    bool has_scale, has_offset, has_float_centroids;
    bool is_kept; /* blocks taken over as they are */
};

/* What encoding gives besides the index. */
struct ct_encoded {
    uint16_t *scale;     /* f16 [tiles, groups, 16], or NULL */
    uint16_t *offset;    /* as scale, or NULL */
    int8_t *codebook_i8; /* [n_codebooks, 2^bits]; at most one of the two is there */
    float *codebook_f32;
    double sum_square; /* of the weights */
    double sum_error;  /* of the squared differences */
};

/* Takes n_bytes of the index, in order. Any status but CT_OK ends the encoding. */
typedef enum ct_status ct_index_sink(void *context, const uint8_t *bytes, size_t n_bytes,
                                     struct ct_error *err);

/* How often learning and encoding pass over each weight. */
int ct_quantize_passes(const struct ct_quantize *options);

struct ct_quantizer;

/* max_k: the longest row to come. The pool stays the caller's. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_quantizer_open(const struct ct_quantize *options, int64_t max_k,
                                               struct ct_pool *pool, struct ct_quantizer **out);
void ct_quantizer_close(struct ct_quantizer *quantizer);

/* The codebook that all these matrices share (not for CT_SCOPE_ROW). CT_FORMAT names a matrix that
 * holds a NaN or an infinity; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_quantizer_learn(struct ct_quantizer *quantizer,
                                                const struct ct_source *matrices, int n_matrices,
                                                struct ct_codebook *codebook, struct ct_error *err);

/* What a matrix will become; and when its blocks (Q4_0, Q4_1, Q8_0) are kept, without loss. */
struct ct_plan ct_plan_matrix(const struct ct_quantize *options, const struct ct_weight *weight);
bool ct_can_keep(const struct ct_weight *weight);
struct ct_plan ct_plan_kept(const struct ct_weight *weight);

/* The view of plan and parts that engine/format/clustered.h reads. index and codebook (the model's,
 * when the plan has none) may be NULL where only sizes are wanted. */
struct ct_clustered ct_plan_view(const struct ct_plan *plan);

/* Encodes a matrix: index to the sink, the rest into `out`, to be freed by ct_encoded_deinit (also
 * after an error). codebook is NULL where rows have their own and where blocks are kept. CT_FORMAT
 * as above, CT_MEMORY, and the sink's. */
CT_MUST_CHECK enum ct_status ct_quantizer_encode(struct ct_quantizer *quantizer,
                                                 const struct ct_plan *plan,
                                                 const struct ct_source *matrix,
                                                 const struct ct_codebook *codebook,
                                                 struct ct_encoded *out, ct_index_sink *sink,
                                                 void *context, struct ct_error *err);
void ct_encoded_deinit(struct ct_encoded *encoded);

#endif
