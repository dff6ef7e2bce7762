/* centroid compress: a model in, the same model with clustered weights out. */
#include "cli/cli.h"

#include "cli/calibrate.h"
#include "cli/progress.h"
#include "engine/base/pool.h"
#include "engine/base/processors.h"
#include "engine/compress/recipe.h"
#include "engine/graph/family.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { METHOD_AUTO, METHOD_LLOYD, METHOD_EXACT };

struct settings {
    int64_t bits, n_clusters, seed, n_threads;
    int scope, centroids, method;
    const char *scale, *report_dir, *calibration_text;
    bool has_offset, keeps_blocks, has_json, is_quiet, wants_help;
};

static const struct ct_cli_usage usage = {
    .line = "compress IN OUT [OPTION...]",
    .text = "Clusters the weights of a model. IN is a GGUF file or a Hugging Face directory with\n"
            "float weights; OUT becomes a directory that 'centroid serve' and any safetensors\n"
            "reader can open. It appears whole or not at all; an older one there is replaced.\n"
            "Prints a table of sizes and errors.",
    .min_positional = 2,
    .missing = "IN or OUT",
};

/* ---- cancelling ---- */

static volatile sig_atomic_t is_cancelled;

static void on_signal(int number)
{
    (void)number;
    is_cancelled = 1;
}

/* The first signal lets the work end tidily, so that no half of a directory stays; a second kills.
 */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool on_progress(void *context, const char *name, double done)
{
    ct_progress_update(context, name, done);
    return !is_cancelled;
}

/* ---- the report ---- */

typedef enum ct_status write_fn(const struct ct_report *report, FILE *file);

static enum ct_status write_json(const struct ct_report *report, FILE *file)
{
    char *text = ct_report_json(report);
    if (text == NULL)
        return CT_MEMORY;
    fprintf(file, "%s\n", text);
    free(text);
    return CT_OK;
}

static enum ct_status write_table(const struct ct_report *report, FILE *file)
{
    ct_report_print(report, file);
    return CT_OK;
}

static enum ct_status write_file(const struct ct_report *report, const char *dir, const char *name,
                                 write_fn *write, struct ct_error *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return ct_error_set(err, CT_INVALID, "--report %s: the path is too long", dir);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return ct_error_set(err, CT_IO, "%s: %s", path, strerror(errno));
    enum ct_status status = write(report, file);
    bool has_failed = ferror(file);
    if ((fclose(file) != 0 || has_failed) && status == CT_OK)
        status = CT_IO;
    return status == CT_OK ? CT_OK : ct_error_set(err, status, "%s: cannot be written", path);
}

static enum ct_status write_report(const struct ct_report *report, const char *dir,
                                   struct ct_error *err)
{
    static const struct {
        const char *name;
        write_fn *write;
    } files[] = {{"report.txt", write_table},
                 {"report.json", write_json},
                 {"error.svg", ct_report_plot_errors},
                 {"bits.svg", ct_report_plot_bits}};
    enum ct_status status = CT_OK;
    for (size_t i = 0; i < sizeof files / sizeof files[0] && status == CT_OK; i++)
        status = write_file(report, dir, files[i].name, files[i].write, err);
    return status;
}

/* ---- options ---- */

static enum ct_status parse_scale(const char *text, int *group, struct ct_error *err)
{
    static const struct {
        const char *text;
        int group;
    } scales[] = {{"none", CT_GROUP_NONE},
                  {"row", CT_GROUP_ROW},
                  {"group:32", 32},
                  {"group:64", 64},
                  {"group:128", 128}};
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
        if (strcmp(scales[i].text, text) == 0) {
            *group = scales[i].group;
            return CT_OK;
        }
    return ct_error_set(err, CT_INVALID,
                        "--scale is %s, expected none, row, group:32, group:64 or group:128", text);
}

static enum ct_status make_recipe(const struct settings *s, struct ct_recipe *recipe,
                                  struct ct_error *err)
{
    static const enum ct_scope scopes[] = {CT_SCOPE_TENSOR, CT_SCOPE_MODEL, CT_SCOPE_ROW};
    *recipe = (struct ct_recipe){
        .quantize = {.bits = (int)s->bits,
                     .n_clusters = (int)s->n_clusters,
                     .scope = scopes[s->scope],
                     .has_offset = s->has_offset,
                     .has_float_centroids = s->centroids == 1,
                     .seed = (uint64_t)s->seed},
        .keeps_blocks = s->keeps_blocks,
    };
    /* Among integers, and once for a whole tensor, the best choice is also the fastest. */
    bool is_exact_cheap = s->centroids != 1 && scopes[s->scope] != CT_SCOPE_ROW;
    bool is_exact = s->method == METHOD_AUTO ? is_exact_cheap : s->method == METHOD_EXACT;
    recipe->quantize.method = is_exact ? CT_KMEANS_EXACT : CT_KMEANS_LLOYD;
    enum ct_status status = parse_scale(s->scale, &recipe->quantize.group, err);
    if (status == CT_OK && s->has_offset && recipe->quantize.group == CT_GROUP_NONE)
        status = ct_error_set(err, CT_INVALID, "--offset needs a scale, but --scale is none");
    if (status == CT_OK && s->n_clusters > 1 << s->bits)
        status = ct_error_set(err, CT_INVALID,
                              "--clusters: %lld are more than --bits %lld can tell apart",
                              (long long)s->n_clusters, (long long)s->bits);
    if (status == CT_OK && s->centroids != 1 && s->n_clusters % 2 != 0)
        status = ct_error_set(err, CT_INVALID,
                              "--clusters: %lld is odd, but int8 centroids come in pairs",
                              (long long)s->n_clusters);
    return status;
}

/* ---- the command ---- */

static enum ct_status compress(const struct settings *s, struct ct_recipe *recipe, const char *in,
                               const char *out, struct ct_error *err)
{
    struct ct_model_file *model = NULL;
    struct ct_pool *pool = NULL;
    struct ct_report report;
    struct ct_progress progress;
    int n_threads = s->n_threads > 0 ? (int)s->n_threads : ct_processors();
    /* The report's place is tried before the work, not after it. */
    if (s->report_dir != NULL && mkdir(s->report_dir, 0777) != 0 && errno != EEXIST)
        return ct_error_set(err, CT_IO, "--report %s: %s", s->report_dir, strerror(errno));
    struct ct_calibration *calibration = NULL;
    ct_progress_init(&progress, s->is_quiet);
    enum ct_status status = ct_model_file_open(in, ct_family_foreign_names(), &model, err);
    if (status == CT_OK && (status = ct_pool_open(n_threads, &pool)) != CT_OK)
        ct_error_set(err, status, "cannot start %d threads", n_threads);
    if (status == CT_OK && s->calibration_text != NULL) {
        status = ct_calibration_open(model, s->calibration_text, pool, &calibration, err);
        if (status == CT_OK)
            recipe->calibrator = ct_calibration_calibrator(calibration);
    }
    if (status == CT_OK) {
        recipe->progress = on_progress;
        recipe->progress_context = &progress;
        status = ct_recipe_run(recipe, model, pool, out, &report, err);
    }
    ct_progress_finish(&progress);
    ct_calibration_close(calibration);
    ct_pool_close(pool);
    ct_model_file_close(model);
    if (status != CT_OK)
        return status;
    if (s->report_dir != NULL)
        status = write_report(&report, s->report_dir, err);
    if (status == CT_OK && (s->has_json ? write_json : write_table)(&report, stdout) != CT_OK)
        status = ct_error_set(err, CT_MEMORY, "no memory for the report");
    ct_report_deinit(&report);
    return status;
}

static struct settings settings = {.bits = 6, .seed = 1, .scale = "group:64"};

static const struct ct_option options[] = {
    {"bits", "N", "Bits an index, 2 to 8: 2^N centroids. Default 6.", CT_OPTION_INT, &settings.bits,
     2, 8, NULL},
    {"clusters", "K",
     "Fewer centroids than 2^N: --bits 8 --clusters 64 is the published method's index. An even "
     "number where "
     "centroids are int8.",
     CT_OPTION_INT, &settings.n_clusters, 2, 256, NULL},
    {"scope", "WHAT",
     "What shares a codebook: each tensor (the default), the whole model, or nothing but a row, "
     "which is slower to run.",
     CT_OPTION_CHOICE, &settings.scope, 0, 0, "tensor|model|row"},
    {"scale", "WHAT",
     "What shares a scale: group:32, group:64 (the default) or group:128 weights of a row, the "
     "whole row (row), or none.",
     CT_OPTION_TEXT, &settings.scale, 0, 0, NULL},
    {"offset", NULL, "Give each scale an offset too: 16 bits more for a lower error.",
     CT_OPTION_FLAG, &settings.has_offset, 0, 0, NULL},
    {"centroids", "TYPE",
     "int8 (the default) is the fast path; float keeps centroids as K-means finds them.",
     CT_OPTION_CHOICE, &settings.centroids, 0, 0, "int8|float"},
    {"keep-blocks", NULL,
     "Take over Q4_0, Q4_1 and Q8_0 tensors of a GGUF file without loss, as linear codebooks with "
     "the blocks' own scales and offsets. Other matrices are clustered.",
     CT_OPTION_FLAG, &settings.keeps_blocks, 0, 0, NULL},
    {"calibrate", "FILE",
     "Run the model over this text (its first 8192 tokens), or a vision model over the images of "
     "this "
     "folder (as many as have 16384 patches), and fit each matrix to the inputs that it sees "
     "there, "
     "feeding its errors back.",
     CT_OPTION_TEXT, &settings.calibration_text, 0, 0, NULL},
    {"kmeans", "METHOD",
     "lloyd iterates from a good start; exact finds the best clusters by dynamic programming. auto "
     "(the default) is exact for int8 centroids of a tensor or the model, where it takes no "
     "longer, "
     "and lloyd elsewhere.",
     CT_OPTION_CHOICE, &settings.method, 0, 0, "auto|lloyd|exact"},
    {"seed", "N",
     "Seed of Lloyd's further starts. Default 1. With the same seed and options the result is the "
     "same, whatever the number of threads.",
     CT_OPTION_INT, &settings.seed, 0, 9007199254740992.0, NULL},
    {"threads", "N", "Threads, 1 to 256. Default: one for each processor.", CT_OPTION_INT,
     &settings.n_threads, 1, 256, NULL},
    {"report", "DIR", "Write the report there: report.txt, report.json, error.svg, bits.svg.",
     CT_OPTION_TEXT, &settings.report_dir, 0, 0, NULL},
    {"json", NULL, "Print the report as JSON, with every tensor.", CT_OPTION_FLAG,
     &settings.has_json, 0, 0, NULL},
    {"quiet", NULL, "No progress bar.", CT_OPTION_FLAG, &settings.is_quiet, 0, 0, NULL},
    {"help", NULL, "Print this.", CT_OPTION_FLAG, &settings.wants_help, 0, 0, NULL},
    {0},
};

int ct_cli_compress(int argc, char **argv)
{
    const char *paths[2];
    int n_paths, exit_code;
    struct ct_error err = {0};
    struct ct_recipe recipe;
    if (!ct_cli_parse(&usage, options, argc, argv, &settings.wants_help, paths, 2, &n_paths,
                      &exit_code))
        return exit_code;
    if (make_recipe(&settings, &recipe, &err) != CT_OK) {
        ct_cli_fail(argv[0], &err);
        return CT_EXIT_USAGE;
    }
    catch_signals();
    return compress(&settings, &recipe, paths[0], paths[1], &err) == CT_OK
               ? CT_EXIT_OK
               : ct_cli_fail(argv[0], &err);
}
