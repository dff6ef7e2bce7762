/* centroid study: the clustering study's tables and figures, on the user's own model. */
#include "cli/study.h"

#include "cli/cli.h"
#include "engine/base/processors.h"
#include "engine/graph/family.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static enum ct_status parse_task(const char *text, struct ct_study *study, struct ct_error *err)
{
    static const struct {
        const char *name;
        enum ct_study_task task;
    } tasks[] = {{"sts:", CT_STUDY_STS}, {"images:", CT_STUDY_IMAGES}};
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0] && text != NULL; i++) {
        const size_t n = strlen(tasks[i].name);
        if (strncmp(text, tasks[i].name, n) != 0 || text[n] == '\0')
            continue;
        study->task = tasks[i].task;
        study->task_path = text + n;
        return CT_OK;
    }
    return text == NULL
               ? CT_OK
               : ct_error_set(err, CT_INVALID, "--task: '%s' is not sts:FILE or images:DIR", text);
}

static enum ct_status write_file(const struct ct_study *study, const char *name,
                                 ct_study_write_fn *write, struct ct_error *err)
{
    FILE *file;
    enum ct_status status = ct_study_create(study, name, &file, err);
    if (status != CT_OK)
        return status;
    write(study, file);
    return ct_study_close_file(file, name, err);
}

static enum ct_status write_files(const struct ct_study *study, struct ct_error *err)
{
    static const struct {
        const char *name;
        ct_study_write_fn *write;
        bool needs_task;
    } files[] = {
        {"figures.csv", ct_study_write_figures, false},
        {"breakdown.csv", ct_study_write_breakdown, false},
        {"platforms.csv", ct_study_write_platforms, false},
        {"score.svg", ct_study_plot_scores, true},
        {"error.svg", ct_study_plot_errors, false},
        {"breakdown.svg", ct_study_plot_breakdown, false},
        {"platforms.svg", ct_study_plot_platforms, false},
    };
    enum ct_status status = CT_OK;
    for (size_t i = 0; i < sizeof files / sizeof files[0] && status == CT_OK; i++)
        if (!files[i].needs_task || study->task != CT_STUDY_NO_TASK)
            status = write_file(study, files[i].name, files[i].write, err);
    return status;
}

static enum ct_status run(struct ct_study *study, struct ct_error *err)
{
    if (study->n_threads == 0)
        study->n_threads = ct_processors();
    if (mkdir(study->out, 0777) != 0 && errno != EEXIST)
        return ct_error_set(err, CT_IO, "--out %s: %s", study->out, strerror(errno));
    enum ct_status status =
        ct_model_file_open(study->model, ct_family_foreign_names(), &study->file, err);
    if (status == CT_OK && ct_pool_open((int)study->n_threads, &study->pool) != CT_OK)
        status =
            ct_error_set(err, CT_MEMORY, "cannot start %lld threads", (long long)study->n_threads);
    if (status == CT_OK)
        status = ct_study_sweep(study, err);
    if (status == CT_OK)
        status = ct_study_break_down(study, err);
    if (status == CT_OK)
        status = write_files(study, err);
    if (status == CT_OK)
        printf("tables and figures are in %s\n", study->out);
    ct_engine_close(study->engine);
    ct_pool_close(study->pool);
    ct_model_file_close(study->file);
    free(study->points);
    return status;
}

static const struct ct_cli_usage usage = {
    .line = "study clustering MODEL [OPTION...]",
    .text =
        "Repeats the published clustering study (Tabani et al., 2021) on MODEL, a directory or a "
        "GGUF "
        "file\nwith float weights: each number of clusters, with one table of centroids or one for "
        "each "
        "layer,\nfloat or int8, scored, timed beside the float model and counted. Writes tables "
        "and "
        "figures with the\npublished ones beside them; a run that was ended goes on where it was.",
    .min_positional = 2,
    .missing = "clustering or MODEL",
};

int ct_cli_study(int argc, char **argv)
{
    struct ct_study study = {.out = "study", .n_tok = 32, .n_rounds = 15};
    const char *task = NULL, *clusters = "8,16,32,64,128,256", *positional[2];
    bool wants_help = false;
    int n_positional, exit_code;
    struct ct_error err;
    const struct ct_option options[] = {
        {"task", "WHAT",
         "sts:FILE scores a sentence encoder and images:DIR an image classifier, as `centroid eval "
         "sts` and `eval images` do. Without it nothing is scored.",
         CT_OPTION_TEXT, &task, 0, 0, NULL},
        {"limit", "N", "Score the first N pairs, or N images spread evenly (all).", CT_OPTION_INT,
         &study.n_limit, 2, 1e9, NULL},
        {"clusters", "LIST", "Numbers of clusters, even ones (8,16,32,64,128,256).", CT_OPTION_TEXT,
         &clusters, 0, 0, NULL},
        {"tokens", "N",
         "Tokens of the request that is timed and counted (32); an image has its own.",
         CT_OPTION_INT, &study.n_tok, 1, 65536, NULL},
        {"rounds", "N", "Requests that are timed for each median (15).", CT_OPTION_INT,
         &study.n_rounds, 1, CT_STUDY_MAX_ROUNDS, NULL},
        {"threads", "N", "Threads (all processors).", CT_OPTION_INT, &study.n_threads, 1,
         CT_MAX_WORKERS, NULL},
        {"out", "DIR", "Where tables, figures and the point in work go (study).", CT_OPTION_TEXT,
         &study.out, 0, 0, NULL},
        {"quiet", NULL, "No progress bar.", CT_OPTION_FLAG, &study.is_quiet, 0, 0, NULL},
        {"help", NULL, "Print this.", CT_OPTION_FLAG, &wants_help, 0, 0, NULL},
        {0},
    };
    if (!ct_cli_parse(&usage, options, argc, argv, &wants_help, positional, 2, &n_positional,
                      &exit_code))
        return exit_code;
    enum ct_status status = ct_cli_parse_list("clusters", clusters, 2, 256, &study.clusters, &err);
    for (int i = 0; i < study.clusters.n && status == CT_OK; i++)
        if (study.clusters.values[i] % 2 != 0)
            status = ct_error_set(&err, CT_INVALID,
                                  "--clusters: %d is odd, but int8 centroids come in pairs",
                                  study.clusters.values[i]);
    if (status == CT_OK)
        status = parse_task(task, &study, &err);
    if (status == CT_OK && strcmp(positional[0], "clustering") != 0)
        status =
            ct_error_set(&err, CT_INVALID, "the study is 'clustering', not '%s'", positional[0]);
    if (status != CT_OK) {
        ct_cli_fail("study", &err);
        return CT_EXIT_USAGE;
    }
    study.model = positional[1];
    return run(&study, &err) == CT_OK ? CT_EXIT_OK : ct_cli_fail("study", &err);
}
