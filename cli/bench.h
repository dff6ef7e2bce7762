/* What the parts of `centroid bench` share: the settings, and the points that they measure.
 *
 *   bench.c          the command line, and the order of things
 *   bench_model.c    a model's prompt processing and generation
 *   bench_kernels.c  the matrix and attention kernels alone
 *   bench_report.c   points as a table or as JSON
 *   roofline.c       points as a plot */
#ifndef CT_CLI_BENCH_H
#define CT_CLI_BENCH_H

#include "cli/cli.h"
#include "cli/roofs.h"

#include <stdbool.h>
#include <stdio.h>

enum ct_bench_kind {
    CT_BENCH_PROMPT,
    CT_BENCH_GENERATION,
    CT_BENCH_IMAGE,
    CT_BENCH_LINEAR,
    CT_BENCH_ATTENTION
};

/* One test on one number of threads. The unit of work is a token, an image, or a pass of a kernel. */
struct ct_bench_point {
    enum ct_bench_kind kind;
    enum ct_isa isa;
    int n_threads;
    int size;               /* tokens, also of an image; rows of activations; keys */
    int depth;              /* PROMPT, GENERATION: tokens before */
    int bits;               /* LINEAR */
    double rate, low, high; /* units/s: the median, lowest and highest; the best of a kernel */
    double ops, bytes;      /* of a unit: 2 a product, and what is read from memory */
};

struct ct_bench {
    struct ct_cli_list threads, prompts, generations, depths, bits, rows;
    int n_sets;
    enum ct_isa sets[CT_N_ISA];
    int64_t n_columns;
    int64_t n_repeat;
    int64_t batch; /* sequences of an encoder, or images, at once */
    int activations;
    int kv;
    bool is_json;
    struct ct_roofs *roofs;
    struct ct_bench_point *points; /* [n_points] */
    int n_points, capacity;
};

/* "tg128", "pp512@2048", "image", "linear_i8" or "attention". */
enum { CT_BENCH_NAME = 32 };
void ct_bench_name(const struct ct_bench_point *point, char name[CT_BENCH_NAME]);
static inline bool ct_bench_is_kernel(const struct ct_bench_point *point)
{
    return point->kind == CT_BENCH_LINEAR || point->kind == CT_BENCH_ATTENTION;
}

/* Keeps a point and, unless JSON is wanted, prints its line. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_bench_add(struct ct_bench *bench,
                                          const struct ct_bench_point *point, struct ct_error *err);

/* Each runs its tests on one number of threads and adds a point for each. pool has that number of
 * workers, for the roofs and the kernels. CT_MEMORY, CT_CONTEXT, and what ct_engine_open and
 * ct_engine_step say. */
CT_MUST_CHECK enum ct_status ct_bench_model(struct ct_bench *bench, const char *model,
                                            struct ct_pool *pool, struct ct_error *err);
CT_MUST_CHECK enum ct_status ct_bench_kernels(struct ct_bench *bench, struct ct_pool *pool,
                                              struct ct_error *err);

void ct_bench_print_roof(const struct ct_bench *bench, int n_threads);
void ct_bench_print_json(const struct ct_bench *bench);

/* A roofline plot: operations a byte across, GOPS up, the roofs of each number of threads, and the
 * points of the largest. */
void ct_bench_plot(const struct ct_bench *bench, FILE *file);

#endif
