/* The sweep: each point is compressed into a folder of the output, scored, timed in turn with the float
 * model, written to sweep.csv and deleted.
 *
 * Float centroids are the published method to the letter: indices of 8 bits whatever the number of clusters,
 * no scale, float activations. K-means is solved to its optimum, which Lloyd's iterations may miss: a model's
 * 16 centroids by 13 % of error. int8 centroids are what Centroid serves: indices as narrow as the clusters
 * allow, int8 activations; also with the scale for each 64 weights that `centroid compress` chooses. */
#include "cli/eval_images.h"
#include "cli/eval_sts.h"
#include "cli/progress.h"
#include "cli/study.h"
#include "engine/compress/recipe.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

enum { PUBLISHED_INDEX_BITS = 8 };

const struct ct_study_series ct_study_series[] = {
    {.scope = "-", .centroids = "-", .scale = "-", .title = "float weights"},
    {"model", "float", "none", "one table, float (published)", CT_SCOPE_MODEL, true, 0},
    {"tensor", "float", "none", "table a layer, float (published)", CT_SCOPE_TENSOR, true, 0},
    {"model", "int8", "none", "one table, int8", CT_SCOPE_MODEL, false, 0},
    {"tensor", "int8", "none", "table a layer, int8", CT_SCOPE_TENSOR, false, 0},
    {"tensor", "int8", "group:64", "table a layer, int8, scales of 64", CT_SCOPE_TENSOR, false, 64},
};

const struct ct_study_point *ct_study_find(const struct ct_study *study, int series, int n_clusters)
{
    for (int i = 0; i < study->n_points; i++)
        if (study->points[i].series == series && study->points[i].n_clusters == n_clusters)
            return &study->points[i];
    return NULL;
}

/* ---- a point's model ---- */

static void point_path(const struct ct_study *study, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/point", study->out);
}

static int bits_of(int n_clusters)
{
    int bits = 2;
    while (1 << bits < n_clusters)
        bits++;
    return bits;
}

static struct ct_quantize quantize_of(const struct ct_study_point *point)
{
    const struct ct_study_series *series = &ct_study_series[point->series];
    return (struct ct_quantize){
        .bits = series->is_float ? PUBLISHED_INDEX_BITS : bits_of(point->n_clusters),
        .n_clusters = point->n_clusters,
        .scope = series->codebook,
        .group = series->group,
        .has_float_centroids = series->is_float,
        .method = CT_KMEANS_EXACT,
    };
}

static void note_report(const struct ct_report *report, struct ct_study_point *point)
{
    double n = 0, bytes = (double)report->shared_bytes, square = 0, error = 0;
    for (int i = 0; i < report->n; i++) {
        const struct ct_report_row *row = &report->rows[i];
        if (row->treatment != CT_CLUSTERED)
            continue;
        n += (double)row->n_weights;
        bytes += (double)row->bytes_after;
        square += row->sum_square;
        error += row->sum_error;
    }
    point->weight_bytes = bytes;
    point->compression = sizeof(float) * n / bytes;
    point->mse = error / n;
    point->error = 100 * ct_report_error(square, error);
}

static enum ct_status open_engine(const struct ct_study *study, const char *path, bool is_float,
                                  struct ct_engine **engine, struct ct_error *err)
{
    const struct ct_engine_options options = {
        .pool = study->pool,
        .activations = is_float ? CT_ACTIVATIONS_FLOAT : CT_ACTIVATIONS_INT8,
    };
    return ct_engine_open(path, &options, engine, err);
}

enum ct_status ct_study_open_point(const struct ct_study *study, struct ct_study_point *point,
                                   struct ct_engine **engine, struct ct_error *err)
{
    char path[PATH_MAX];
    struct ct_report report;
    const struct ct_recipe recipe = {.quantize = quantize_of(point)};
    point_path(study, path);
    point->index_bits = recipe.quantize.bits;
    *engine = NULL;
    enum ct_status status = ct_recipe_run(&recipe, study->file, study->pool, path, &report, err);
    if (status != CT_OK)
        return status;
    note_report(&report, point);
    ct_report_deinit(&report);
    return open_engine(study, path, recipe.quantize.has_float_centroids, engine, err);
}

void ct_study_close_point(const struct ct_study *study, struct ct_engine *engine)
{
    char path[PATH_MAX];
    ct_engine_close(engine);
    point_path(study, path);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(path);
}

/* ---- measuring ---- */

enum ct_status ct_study_measure(const struct ct_study *study, struct ct_engine *engine,
                                struct ct_cost *cost, struct ct_error *err)
{
    enum ct_status status = ct_engine_measure(engine, (int)study->n_tok, 1, 0, cost);
    return status == CT_OK ? CT_OK
                           : ct_error_set(err, status, "a request of %lld tokens: %s",
                                          (long long)study->n_tok, ct_status_text(status));
}

/* One request alone, in turn with the float model's. */
static enum ct_status time_point(const struct ct_study *study, struct ct_engine *engine,
                                 struct ct_study_point *point, struct ct_error *err)
{
    double ms[CT_STUDY_MAX_ROUNDS], ratios[CT_STUDY_MAX_ROUNDS], pj = 0;
    struct ct_cost base, cost = {0};
    const int n = (int)study->n_rounds;
    for (int i = -1; i < n; i++) { /* the first round warms caches up */
        enum ct_status status = ct_study_measure(study, study->engine, &base, err);
        if (status == CT_OK)
            status = ct_study_measure(study, engine, &cost, err);
        if (status != CT_OK)
            return status;
        if (i < 0)
            continue;
        ms[i] = (double)cost.ns * 1e-6;
        ratios[i] = (double)base.ns / (double)cost.ns;
        pj += cost.pj;
    }
    point->request_bytes = (double)cost.bytes_dram;
    point->latency_ms = ct_cli_median(ms, n);
    point->speedup = engine == study->engine ? 1 : ct_cli_median(ratios, n);
    point->energy_mj = pj / n * 1e-9;
    return CT_OK;
}

static enum ct_status score_point(const struct ct_study *study, struct ct_engine *engine,
                                  struct ct_study_point *point, struct ct_error *err)
{
    const struct ct_study_point *base = study->n_points > 0 ? &study->points[0] : point;
    struct ct_image_score images;
    int n_pairs;
    enum ct_status status = CT_OK;
    if (study->task == CT_STUDY_STS)
        status = ct_eval_sts_score(engine, study->task_path, study->n_limit, &point->score,
                                   &n_pairs, err);
    if (study->task == CT_STUDY_IMAGES)
        status = ct_score_images(engine, study->task_path, study->n_limit, true, &images, err);
    if (study->task == CT_STUDY_IMAGES && status == CT_OK) {
        point->score = (double)images.n_top1 / (double)images.n_images;
        point->score_top5 = (double)images.n_top5 / (double)images.n_images;
    }
    point->loss = 100 * (base->score - point->score);
    point->loss_top5 = 100 * (base->score_top5 - point->score_top5);
    return status;
}

static enum ct_status run_point(const struct ct_study *study, struct ct_study_point *point,
                                struct ct_error *err)
{
    struct ct_engine *engine = study->engine;
    const bool is_clustered = point->series != CT_STUDY_FLOAT;
    enum ct_status status = CT_OK;
    if (is_clustered)
        status = ct_study_open_point(study, point, &engine, err);
    else
        point->weight_bytes = (double)ct_engine_info(engine)->n_weight_bytes;
    if (status == CT_OK)
        status = score_point(study, engine, point, err);
    if (status == CT_OK)
        status = time_point(study, engine, point, err);
    if (is_clustered)
        ct_study_close_point(study, engine);
    return status;
}

/* ---- all points ---- */

static struct ct_study_point new_point(int series, int n_clusters)
{
    struct ct_study_point point = {.series = series, .n_clusters = n_clusters};
    point.index_bits = point.score = point.score_top5 = point.loss = point.loss_top5 = NAN;
    point.mse = point.error = NAN;
    point.weight_bytes = point.compression = point.request_bytes = NAN;
    point.latency_ms = point.speedup = point.energy_mj = NAN;
    point.published_deit = point.published_vit = NAN;
    if (n_clusters == 64) {
        point.published_deit = ct_study_published_value("loss_64_deit_top1");
        point.published_vit = ct_study_published_value("loss_64_vit_top1");
    } else if (n_clusters >= 128) {
        point.published_deit = point.published_vit = ct_study_published_value("loss_128");
    }
    return point;
}

static void print_head(void)
{
    printf("%-36s %8s %5s %8s %8s %8s %7s %6s %9s %9s %9s\n", "weights", "clusters", "bits",
           "score", "loss", "error %", "MB", "f32/", "ms", "speed-up", "mJ");
}

static void print_number(int width, int digits, double x)
{
    if (isnan(x))
        printf(" %*s", width, "-");
    else
        printf(" %*.*f", width, digits, x);
}

static void print_point(const struct ct_study_point *point)
{
    printf("%-36s %8d", ct_study_series[point->series].title, point->n_clusters);
    print_number(5, 0, point->index_bits);
    print_number(8, 4, point->score);
    print_number(8, 2, point->loss);
    print_number(8, 3, point->error);
    print_number(7, 2, point->weight_bytes * 1e-6);
    print_number(6, 2, point->compression);
    print_number(9, 3, point->latency_ms);
    print_number(9, 2, point->speedup);
    print_number(9, 3, point->energy_mj);
    putchar('\n');
    fflush(stdout);
}

static enum ct_status add_point(struct ct_study *study, int series, int n_clusters,
                                struct ct_error *err)
{
    if (ct_study_find(study, series, n_clusters) != NULL)
        return CT_OK;
    struct ct_study_point point = new_point(series, n_clusters);
    enum ct_status status = run_point(study, &point, err);
    if (status == CT_OK)
        status = ct_study_keep(study, &point, err);
    if (status != CT_OK)
        return status;
    study->points[study->n_points++] = point;
    return CT_OK;
}

enum ct_status ct_study_sweep(struct ct_study *study, struct ct_error *err)
{
    const int n = 1 + (CT_STUDY_N_SERIES - 1) * study->clusters.n;
    struct ct_progress progress;
    int n_done = 0;
    study->points = calloc(CT_STUDY_MAX_POINTS, sizeof *study->points);
    if (study->points == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the points");
    enum ct_status status = open_engine(study, study->model, true, &study->engine, err);
    if (status == CT_OK && ct_engine_info(study->engine)->image.n_channels > 0)
        study->n_tok = ct_engine_info(study->engine)->context_tok;
    if (status == CT_OK)
        status = ct_study_resume(study, err);
    ct_progress_init(&progress, study->is_quiet);
    print_head();
    for (int series = CT_STUDY_FLOAT; series < CT_STUDY_N_SERIES && status == CT_OK; series++)
        for (int i = 0; i < (series == CT_STUDY_FLOAT ? 1 : study->clusters.n); i++) {
            const int n_clusters = series == CT_STUDY_FLOAT ? 0 : study->clusters.values[i];
            char what[96];
            snprintf(what, sizeof what, "%d/%d: %s, %d clusters", n_done + 1, n,
                     ct_study_series[series].title, n_clusters);
            ct_progress_update(&progress, what, (double)n_done / n);
            status = add_point(study, series, n_clusters, err);
            if (status != CT_OK)
                break;
            n_done++;
            ct_progress_finish(&progress);
            print_point(ct_study_find(study, series, n_clusters));
        }
    ct_progress_finish(&progress);
    return status;
}
