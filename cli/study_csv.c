/* The study's tables as CSV. sweep.csv grows point by point, so that a run that was ended goes on where it
 * was: settings.txt beside it says what the points were measured with. */
#include "cli/study.h"

#include "engine/base/file.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The numbers of a point after its series and clusters. */
static const struct column {
    const char *name;
    size_t offset;
} columns[] = {
#define COLUMN(field)                                                                              \
    {                                                                                              \
#field, offsetof(struct ct_study_point, field)                                             \
    }
    COLUMN(index_bits),    COLUMN(score),          COLUMN(score_top5),
    COLUMN(loss),          COLUMN(loss_top5),      COLUMN(mse),
    COLUMN(error),         COLUMN(weight_bytes),   COLUMN(compression),
    COLUMN(request_bytes), COLUMN(latency_ms),     COLUMN(speedup),
    COLUMN(energy_mj),     COLUMN(published_deit), COLUMN(published_vit),
#undef COLUMN
};
enum { N_COLUMNS = sizeof columns / sizeof columns[0], MAX_LINE = 1024 };

static double *field_of(struct ct_study_point *point, int column)
{
    return (double *)(void *)((char *)point + columns[column].offset);
}

static enum ct_status open_file(const struct ct_study *study, const char *name, const char *mode,
                                FILE **file, struct ct_error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", study->out, name);
    *file = fopen(path, mode);
    return *file != NULL ? CT_OK : ct_error_set(err, CT_IO, "%s: %s", path, strerror(errno));
}

enum ct_status ct_study_create(const struct ct_study *study, const char *name, FILE **file,
                               struct ct_error *err)
{
    return open_file(study, name, "w", file, err);
}

enum ct_status ct_study_close_file(FILE *file, const char *name, struct ct_error *err)
{
    const bool has_failed = ferror(file);
    if (fclose(file) != 0 || has_failed)
        return ct_error_set(err, CT_IO, "%s: cannot be written", name);
    return CT_OK;
}

/* ---- points ---- */

static void write_settings(const struct ct_study *study, FILE *file)
{
    fprintf(file, "model %s\ntask %s\nlimit %lld\ntokens %lld\nrounds %lld\nthreads %lld\n",
            study->model, study->task_path != NULL ? study->task_path : "-",
            (long long)study->n_limit, (long long)study->n_tok, (long long)study->n_rounds,
            (long long)study->n_threads);
}

/* Whether OUT/settings.txt holds these settings. */
static bool has_same_settings(const struct ct_study *study)
{
    char path[PATH_MAX], *text = NULL, *ours = NULL;
    size_t n_text, n_ours;
    struct ct_error err;
    snprintf(path, sizeof path, "%s/settings.txt", study->out);
    FILE *memory = open_memstream(&ours, &n_ours);
    if (memory == NULL)
        return false;
    write_settings(study, memory);
    fclose(memory);
    const bool is_same = ct_file_read(path, &text, &n_text, &err) == CT_OK && ours != NULL &&
                         strcmp(text, ours) == 0;
    free(text);
    free(ours);
    return is_same;
}

static void write_head(FILE *file)
{
    fputs("scope,centroids,scale,clusters", file);
    for (int i = 0; i < N_COLUMNS; i++)
        fprintf(file, ",%s", columns[i].name);
    fputs(",energy_source\n", file);
}

/* A line that write_point made; false for any other. */
static bool read_point(const char *line, struct ct_study_point *point)
{
    char key[96];
    *point = (struct ct_study_point){0};
    for (int s = 0; s < CT_STUDY_N_SERIES; s++) {
        const struct ct_study_series *series = &ct_study_series[s];
        const int n =
            snprintf(key, sizeof key, "%s,%s,%s,", series->scope, series->centroids, series->scale);
        if (strncmp(line, key, (size_t)n) != 0)
            continue;
        char *at;
        point->series = s;
        point->n_clusters = (int)strtol(line + n, &at, 10);
        for (int i = 0; i < N_COLUMNS; i++) {
            if (*at++ != ',')
                return false;
            const char *begin = at;
            const double value = strtod(begin, &at);
            *field_of(point, i) = at == begin ? NAN : value;
        }
        return *at == ',' && strchr(at, '\n') != NULL;
    }
    return false;
}

static void read_points(struct ct_study *study, FILE *file)
{
    char line[MAX_LINE];
    while (study->n_points < CT_STUDY_MAX_POINTS && fgets(line, sizeof line, file) != NULL)
        study->n_points += read_point(line, &study->points[study->n_points]);
}

/* Anew, with the points there are: a line that was cut short by a kill goes. */
enum ct_status ct_study_resume(struct ct_study *study, struct ct_error *err)
{
    FILE *file;
    enum ct_status status;
    if (has_same_settings(study) && open_file(study, "sweep.csv", "r", &file, err) == CT_OK) {
        read_points(study, file);
        fclose(file);
    }
    if ((status = ct_study_create(study, "sweep.csv", &file, err)) != CT_OK)
        return status;
    write_head(file);
    status = ct_study_close_file(file, "sweep.csv", err);
    for (int i = 0; i < study->n_points && status == CT_OK; i++)
        status = ct_study_keep(study, &study->points[i], err);
    if (status == CT_OK)
        status = ct_study_create(study, "settings.txt", &file, err);
    if (status != CT_OK)
        return status;
    write_settings(study, file);
    return ct_study_close_file(file, "settings.txt", err);
}

enum ct_status ct_study_keep(const struct ct_study *study, const struct ct_study_point *point,
                             struct ct_error *err)
{
    FILE *file;
    struct ct_study_point copy = *point;
    const struct ct_study_series *series = &ct_study_series[point->series];
    enum ct_status status = open_file(study, "sweep.csv", "a", &file, err);
    if (status != CT_OK)
        return status;
    fprintf(file, "%s,%s,%s,%d", series->scope, series->centroids, series->scale,
            point->n_clusters);
    for (int i = 0; i < N_COLUMNS; i++)
        if (isnan(*field_of(&copy, i)))
            fputc(',', file);
        else
            fprintf(file, ",%.9g", *field_of(&copy, i));
    fprintf(file, ",%s\n", ct_engine_info(study->engine)->energy_source);
    return ct_study_close_file(file, "sweep.csv", err);
}

/* ---- the other tables ---- */

void ct_study_write_breakdown(const struct ct_study *study, FILE *file)
{
    double float_ms = 0, clustered_ms = 0, bytes = 0;
    for (int i = 0; i < CT_STUDY_N_FUNCTIONS; i++) {
        float_ms += study->functions[i].float_ms;
        clustered_ms += study->functions[i].clustered_ms;
        bytes += study->functions[i].parameter_bytes + study->functions[i].activation_bytes;
    }
    fputs("function,float_ms,float_share,clustered_ms,clustered_share,parameter_bytes,"
          "activation_bytes,parameter_share,memory_share\n",
          file);
    for (int i = 0; i < CT_STUDY_N_FUNCTIONS; i++) {
        const struct ct_study_function *f = &study->functions[i];
        fprintf(file, "%s,%.6g,%.4f,%.6g,%.4f,%.0f,%.0f,%.4f,%.4f\n", f->name, f->float_ms,
                f->float_ms / float_ms, f->clustered_ms, f->clustered_ms / clustered_ms,
                f->parameter_bytes, f->activation_bytes, f->parameter_bytes / bytes,
                (f->parameter_bytes + f->activation_bytes) / bytes);
    }
}

void ct_study_write_platforms(const struct ct_study *study, FILE *file)
{
    fputs("platform,bandwidth,gb_per_s,compute_ms,weight_ms,speedup_percent,saving_45nm_percent,"
          "saving_7nm_percent,look_up_percent,published_saving_percent\n",
          file);
    for (int p = 0; p < CT_STUDY_N_PLATFORMS; p++)
        for (int b = 0; b < CT_STUDY_N_BANDWIDTHS; b++) {
            const struct ct_study_platform *platform = &ct_study_platforms[p];
            const double bandwidth = ct_study_bandwidths[b];
            const struct ct_study_estimate e =
                ct_study_estimate(platform, &study->request, bandwidth);
            char id[32];
            snprintf(id, sizeof id, "energy_%s", platform->id);
            fprintf(file, "%s,%g,%.4g,%.6g,%.6g,%.2f,%.2f,%.2f,%.2f,%g\n", platform->id, bandwidth,
                    platform->gb_per_s * bandwidth, e.compute_ms, e.weight_ms, e.speedup,
                    e.saving_45, e.saving_7, e.look_up, ct_study_published_value(id));
        }
}
