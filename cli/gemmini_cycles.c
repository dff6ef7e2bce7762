/* centroid gemmini check --cycles: golden programs through the timing model, against measured cycles. */
#include "cli/gemmini_check.h"

#include "engine/backend/gemmini/timing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_CYCLES = 1 << 30 };

/* The machine and the memory of a row. The measured design's exponential was not finished, and its sums
 * divide at once, but for the build where it was restored. Builds not named for a normaliser have none. */
static enum ct_status read_setup(const json_t *row, const char *build, struct ct_gem_config *config,
                                 struct ct_error *err)
{
    const json_t *bandwidth = json_object_get(row, "bytes_per_cycle");
    uint64_t latency = 0, interval = 0;
    ct_gemmini_build(build, config);
    config->norm_enabled = !ct_gemmini_same_build(build, "default");
    config->norm_exp_divide = strstr(build, "restored") != NULL ? config->norm_exp_divide : 4;
    enum ct_status status = ct_gemmini_number(row, "mem_latency", MAX_CYCLES, &latency, err);
    if (status == CT_OK)
        status = ct_gemmini_number(row, "host_interval", MAX_CYCLES, &interval, err);
    if (status == CT_OK && !json_is_number(bandwidth))
        status = ct_error_set(err, CT_FORMAT, "'bytes_per_cycle' is no number");
    if (status != CT_OK)
        return status;
    config->mem_latency = (int)latency;
    config->host_issue_interval = (int)interval;
    config->mem_bytes_per_cycle = json_number_value(bandwidth);
    return ct_gem_config_check(config, err);
}

static enum ct_status check_row(struct ct_gemmini_check *check, const json_t *row,
                                struct ct_error *err)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    const char *build = json_string_value(json_object_get(row, "config"));
    struct ct_gem_config config;
    struct ct_gem_timing timing;
    struct ct_gemmini_case c;
    uint64_t measured = 0;
    if (name == NULL || build == NULL)
        return ct_error_set(err, CT_FORMAT, "no 'name' or no 'config'");
    enum ct_status status = ct_gemmini_number(row, "cycles", INT64_MAX, &measured, err);
    if (status == CT_OK)
        status = read_setup(row, build, &config, err);
    const json_t *object = ct_gemmini_find(check, build, name);
    if (status != CT_OK || object == NULL || measured == 0)
        return status; /* programs are often measured in more setups than files at hand hold */
    struct ct_gemmini_family *family = ct_gemmini_family_of(check, name);
    if (family == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for families");
    status = ct_gemmini_case_init(object, &c, err);
    if (status == CT_OK)
        status = ct_gem_time(&config, c.trace.commands, c.trace.n_commands, &timing, err);
    if (status == CT_OK) {
        const double error = fabs((double)timing.cycles / (double)measured - 1);
        family->cycle_cases++;
        family->sum_error += error;
        family->worst_error = fmax(family->worst_error, error);
    }
    ct_gemmini_case_deinit(&c);
    return status == CT_OK ? CT_OK : ct_error_prefix(err, "%.100s", name);
}

enum ct_status ct_gemmini_check_cycles(struct ct_gemmini_check *check, struct ct_error *err)
{
    for (int i = 0; i < check->n_files; i++) {
        const struct ct_gemmini_file *file = &check->files[i];
        for (size_t k = 0; file->kind == CT_GEMMINI_CYCLES && k < json_array_size(file->rows);
             k++) {
            const enum ct_status status = check_row(check, json_array_get(file->rows, k), err);
            if (status != CT_OK)
                return ct_error_prefix(err, "%s: row %zu", file->path, k);
        }
    }
    return CT_OK;
}
