/* What the parts of `centroid study clustering` share.
 *
 *   study.c            the command line, and the order of things
 *   study_sweep.c      a point for each number of clusters, scope and kind of centroid
 *   study_breakdown.c  time and memory by function
 *   study_platforms.c  speed-up and energy on the published study's three platforms
 *   study_csv.c        tables as files, and points read back to go on where a run ended
 *   study_plot.c       figures
 *   study_figures.c    the published figures, and ours beside them
 *   study_forms.c      the closed forms
 *
 * One thread; the engines have their own. */
#ifndef CT_CLI_STUDY_H
#define CT_CLI_STUDY_H

#include "cli/cli.h"
#include "engine/base/pool.h"
#include "engine/compress/quantize.h"
#include "engine/engine.h"
#include "engine/format/model_file.h"

#include <math.h>
#include <stdio.h>

enum ct_study_task { CT_STUDY_NO_TASK, CT_STUDY_STS, CT_STUDY_IMAGES };

/* How weights are clustered; the float model is one of them, so that it is a line like the others. */
struct ct_study_series {
    const char *scope, *centroids, *scale; /* as `centroid compress` calls them */
    const char *title;
    enum ct_scope codebook; /* the same for the quantizer */
    bool is_float;
    int group; /* CT_GROUP_NONE or weights */
};
enum { CT_STUDY_FLOAT, CT_STUDY_N_SERIES = 6, CT_STUDY_MAX_POINTS = 1 + 5 * 255 };
extern const struct ct_study_series ct_study_series[CT_STUDY_N_SERIES];

/* NaN where something was not measured. */
struct ct_study_point {
    int series;     /* of ct_study_series */
    int n_clusters; /* 0 for the float model */
    double index_bits;
    double score;      /* of the task, 0..1: Spearman's correlation, or top-1 accuracy */
    double score_top5; /* of images */
    double loss;       /* points: 100 (score of the float model - score) */
    double loss_top5;
    double mse;            /* of the clustered weights */
    double error;          /* %, sqrt(sum (w - w')^2 / sum w^2) */
    double weight_bytes;   /* of the clustered matrices, with tables and scales */
    double compression;    /* the same as f32 over weight_bytes */
    double request_bytes;  /* from memory, of one request */
    double latency_ms;     /* median of one request alone */
    double speedup;        /* median of the float model's over it, run in turn */
    double energy_mj;      /* of one request: the mean */
    double published_deit; /* points of top-1 accuracy that the study lost */
    double published_vit;
};

/* Time and memory of one function of the model. */
struct ct_study_function {
    const char *name;
    double float_ms, clustered_ms; /* medians */
    double parameter_bytes;        /* f32 */
    double activation_bytes; /* f32, written in a request; attention's scores as if they were */
};
enum { CT_STUDY_N_FUNCTIONS = 6, CT_STUDY_MAX_ROUNDS = 99 };

/* One request, as the platforms see it. */
struct ct_study_request {
    double macs;
    double n_weights; /* of the matrix products */
};

struct ct_study {
    const char *model, *task_path, *out;
    enum ct_study_task task;
    struct ct_cli_list clusters;
    int64_t n_limit, n_tok, n_rounds, n_threads;
    bool is_quiet;

    struct ct_model_file *file;
    struct ct_pool *pool;
    struct ct_engine *engine;      /* the float model */
    struct ct_study_point *points; /* [n_points] of CT_STUDY_MAX_POINTS; the float model's first */
    int n_points;
    struct ct_study_function functions[CT_STUDY_N_FUNCTIONS];
    struct ct_study_request request;
};

/* Opens the clustered model of a point in a folder of study->out, to be closed and deleted by
 * ct_study_close_point. What compressing and opening say. */
CT_MUST_CHECK enum ct_status ct_study_open_point(const struct ct_study *study,
                                                 struct ct_study_point *point,
                                                 struct ct_engine **engine, struct ct_error *err);
void ct_study_close_point(const struct ct_study *study, struct ct_engine *engine);

/* Measures every point that is not there yet, prints a line for each and keeps it in sweep.csv. */
CT_MUST_CHECK enum ct_status ct_study_sweep(struct ct_study *study, struct ct_error *err);

/* A request of study->n_tok tokens. CT_CONTEXT and what ct_engine_measure says. */
CT_MUST_CHECK enum ct_status ct_study_measure(const struct ct_study *study,
                                              struct ct_engine *engine, struct ct_cost *cost,
                                              struct ct_error *err);

/* Fills in functions and request. */
CT_MUST_CHECK enum ct_status ct_study_break_down(struct ct_study *study, struct ct_error *err);

/* The point of a series with n clusters, or NULL. */
const struct ct_study_point *ct_study_find(const struct ct_study *study, int series,
                                           int n_clusters);

/* ---- the published figures ---- */

struct ct_study_published {
    const char *id, *relation;
    double value;
    const char *unit, *section, *verdict, *what;
};
/* [ct_study_n_published] */
extern const struct ct_study_published ct_study_published[];
extern const int ct_study_n_published;
/* By its id, which is there. */
double ct_study_published_value(const char *id);

/* ---- platforms ---- */

struct ct_study_platform {
    const char *id, *title;
    double gb_per_s, gflops, byte_pj;
};
enum { CT_STUDY_N_PLATFORMS = 3 };
extern const struct ct_study_platform ct_study_platforms[CT_STUDY_N_PLATFORMS];

/* How much of a platform's bandwidth others leave. */
enum { CT_STUDY_N_BANDWIDTHS = 4 };
extern const double ct_study_bandwidths[CT_STUDY_N_BANDWIDTHS];

struct ct_study_estimate {
    double compute_ms, weight_ms;
    double speedup;             /* %, by indices of 8 bits */
    double saving_45, saving_7; /* %, of energy, with arithmetic of 45 and of 7 nm */
    double look_up;             /* %, of the energy that memory no longer takes */
};
struct ct_study_estimate ct_study_estimate(const struct ct_study_platform *platform,
                                           const struct ct_study_request *request,
                                           double bandwidth);

/* ---- files ---- */

/* Opens OUT/name to be written. CT_IO. */
CT_MUST_CHECK enum ct_status ct_study_create(const struct ct_study *study, const char *name,
                                             FILE **file, struct ct_error *err);
/* Closes it. CT_IO when anything could not be written. */
CT_MUST_CHECK enum ct_status ct_study_close_file(FILE *file, const char *name,
                                                 struct ct_error *err);

/* Takes over the points of an earlier run with the same settings, if there was one. CT_IO. */
CT_MUST_CHECK enum ct_status ct_study_resume(struct ct_study *study, struct ct_error *err);
/* Appends a point to sweep.csv. CT_IO. */
CT_MUST_CHECK enum ct_status ct_study_keep(const struct ct_study *study,
                                           const struct ct_study_point *point,
                                           struct ct_error *err);

typedef void ct_study_write_fn(const struct ct_study *study, FILE *file);
ct_study_write_fn ct_study_write_figures, ct_study_write_breakdown, ct_study_write_platforms;
ct_study_write_fn ct_study_plot_scores, ct_study_plot_errors, ct_study_plot_breakdown,
    ct_study_plot_platforms;

#endif
