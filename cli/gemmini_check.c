/* centroid gemmini check: golden programs through the functional machine. */
#include "cli/gemmini_check.h"

#include "engine/backend/gemmini/isa.h"
#include "engine/backend/gemmini/norm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The names that measurements have for the builds of the hardware they were made on, the longer
 * first where one begins with another. */
static const struct {
    const char *name, *preset;
} builds[] = {
    {"ibert", "ibert"},
    {"sp64acc256", "survey_nas"},
    {"sp64acc128", "survey_fusion_128"},
    {"default", "default"},
};
enum { N_BUILDS = sizeof builds / sizeof builds[0] };

static const char *preset_of(const char *name)
{
    for (int i = 0; i < N_BUILDS; i++)
        if (strstr(name, builds[i].name) != NULL)
            return builds[i].preset;
    return "default";
}

void ct_gemmini_build(const char *name, struct ct_gem_config *config)
{
    if (ct_gem_config_preset(preset_of(name), config, NULL) != CT_OK)
        abort(); /* the names are our own */
}

bool ct_gemmini_same_build(const char *name, const char *other)
{
    return strcmp(preset_of(name), preset_of(other)) == 0;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

struct ct_gemmini_family *ct_gemmini_family_of(struct ct_gemmini_check *check,
                                               const char *case_name)
{
    char *name = malloc(strlen(case_name) + 1);
    if (name == NULL)
        return NULL;
    ct_gemmini_family(case_name, name);
    for (size_t i = 0; i < check->n_families; i++)
        if (strcmp(check->families[i].name, name) == 0) {
            free(name);
            return &check->families[i];
        }
    struct ct_gemmini_family *larger =
        realloc(check->families, (check->n_families + 1) * sizeof *larger);
    if (larger == NULL) {
        free(name);
        return NULL;
    }
    check->families = larger;
    larger[check->n_families] = (struct ct_gemmini_family){.name = name};
    return &larger[check->n_families++];
}

static const json_t *find_in(const struct ct_gemmini_file *file, const char *name)
{
    size_t i;
    const json_t *object;
    json_array_foreach(file->rows, i, object)
    {
        const char *other = json_string_value(json_object_get(object, "name"));
        if (other != NULL && strcmp(other, name) == 0)
            return object;
    }
    return NULL;
}

const json_t *ct_gemmini_find(const struct ct_gemmini_check *check, const char *build,
                              const char *name)
{
    const json_t *found = NULL;
    for (int i = 0; i < check->n_files; i++) {
        const struct ct_gemmini_file *file = &check->files[i];
        if (file->kind != CT_GEMMINI_CASES)
            continue;
        const bool is_same = ct_gemmini_same_build(file_name(file->path), build);
        const json_t *object = is_same || found == NULL ? find_in(file, name) : NULL;
        if (object != NULL && is_same)
            return object;
        found = object != NULL ? object : found;
    }
    return found;
}

/* Runs a case's program over memory. Whether it ended: the machine's own complaint about a program
 * is a difference and said on stderr, but no error of the check. */
static enum ct_status run_case(const struct ct_gemmini_case *c, const struct ct_gem_config *config,
                               struct ct_gem_segment *memory, bool *has_ended, struct ct_error *err)
{
    struct ct_gem_machine *machine = NULL;
    *has_ended = false;
    enum ct_status status = ct_gem_trace_memory(&c->trace, memory, err);
    if (status == CT_OK)
        status = ct_gem_machine_open(config, memory, 1, &machine, err);
    if (status == CT_OK) {
        struct ct_error problem;
        *has_ended =
            ct_gem_machine_run(machine, c->trace.commands, c->trace.n_commands, &problem) == CT_OK;
        if (!*has_ended)
            fprintf(stderr, "%s: %s\n", c->name, problem.message);
    }
    ct_gem_machine_close(machine);
    return status;
}

/* hashes [n_prints], or NULL for the case's own. */
static enum ct_status check_case(struct ct_gemmini_check *check, const json_t *object,
                                 const struct ct_gem_config *config, const uint64_t *hashes,
                                 struct ct_error *err)
{
    struct ct_gemmini_case c;
    struct ct_gem_segment memory = {0};
    struct ct_gemmini_family *family = NULL;
    bool is_exact = false;
    enum ct_status status = ct_gemmini_case_init(object, &c, err);
    if (status != CT_OK || c.trace.n_prints == 0)
        goto out;
    family = ct_gemmini_family_of(check, c.name);
    status = family != NULL ? run_case(&c, config, &memory, &is_exact, err)
                            : ct_error_set(err, CT_MEMORY, "no memory for families");
    if (status != CT_OK)
        goto out;
    for (size_t i = 0; i < c.trace.n_prints && is_exact; i++) {
        const uint64_t hash = hashes != NULL ? hashes[i] : c.hashes[i];
        is_exact = ct_gemmini_hash(&c.trace.prints[i], &memory) == hash;
        if (!is_exact)
            fprintf(stderr, "%s: result %zu differs\n", c.name, i);
    }
    family->cases++;
    family->exact += is_exact;
    family->wrong += !is_exact && !c.is_unverified;
out:
    free(memory.bytes);
    ct_gemmini_case_deinit(&c);
    return status;
}

/* Results of programs were made by the functional model and, where both agree, seen on the
 * hardware. */
static enum ct_status check_cases(struct ct_gemmini_check *check,
                                  const struct ct_gemmini_file *file, struct ct_error *err)
{
    struct ct_gem_config config;
    enum ct_status status = CT_OK;
    ct_gemmini_build(file_name(file->path), &config);
    config.norm_rounding = CT_GEM_ROUND_TWICE;
    for (size_t i = 0; i < json_array_size(file->rows) && status == CT_OK; i++)
        status = check_case(check, json_array_get(file->rows, i), &config, NULL, err);
    return status;
}

/* Opens the file of programs that a file of norms belongs to, X-norm_rtl and
 * X-kernels_ibert_acc128k in one folder, for when it was not given. False: there is none. */
static bool open_programs(const char *path, struct ct_gemmini_file *out)
{
    static const char *const from = "norm_rtl", *const to = "kernels_ibert_acc128k";
    char other[4096];
    const char *at = strstr(file_name(path), from);
    if (at == NULL)
        return false;
    const int n =
        snprintf(other, sizeof other, "%.*s%s%s", (int)(at - path), path, to, at + strlen(from));
    struct ct_error err;
    if (n < 0 || (size_t)n >= sizeof other || ct_gemmini_file_open(other, out, &err) != CT_OK)
        return false;
    out->path = path; /* other ends here; nobody asks for this file's name */
    return true;
}

static enum ct_status check_norm(struct ct_gemmini_check *check, const json_t *row,
                                 const struct ct_gemmini_file *programs,
                                 const struct ct_gem_config *config, struct ct_error *err)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    const char *text = json_string_value(json_object_get(row, "fnv1a64"));
    if (name == NULL || text == NULL)
        return ct_error_set(err, CT_FORMAT, "a row without 'name' or 'fnv1a64'");
    const uint64_t hash = strtoull(text, NULL, 16);
    const json_t *object = ct_gemmini_find(check, "ibert", name);
    if (object == NULL)
        object = find_in(programs, name);
    if (json_array_size(json_object_get(object, "expect")) == 1)
        return check_case(check, object, config, &hash, err);
    fprintf(stderr, "%s: no file has its program\n", name);
    return CT_OK;
}

/* The hardware's own results for normalising programs that the files of cases hold. */
static enum ct_status check_norms(struct ct_gemmini_check *check,
                                  const struct ct_gemmini_file *file, struct ct_error *err)
{
    struct ct_gem_config config;
    struct ct_gemmini_file programs = {0};
    enum ct_status status = CT_OK;
    ct_gemmini_build("ibert", &config);
    config.norm_rounding = CT_GEM_ROUND_ONCE;
    const bool has_programs = open_programs(file->path, &programs);
    for (size_t i = 0; i < json_array_size(file->rows) && status == CT_OK; i++)
        status = check_norm(check, json_array_get(file->rows, i), &programs, &config, err);
    if (has_programs)
        ct_gemmini_file_close(&programs);
    return status;
}

enum ct_status ct_gemmini_check_results(struct ct_gemmini_check *check, struct ct_error *err)
{
    enum ct_status status = CT_OK;
    for (int i = 0; i < check->n_files && status == CT_OK; i++) {
        const struct ct_gemmini_file *file = &check->files[i];
        if (file->kind == CT_GEMMINI_CASES)
            status = check_cases(check, file, err);
        else if (file->kind == CT_GEMMINI_SCALARS)
            status = ct_gemmini_check_scalars(check, file->root, err);
        else if (file->kind == CT_GEMMINI_NORMS)
            status = check_norms(check, file, err);
        if (status != CT_OK)
            ct_error_prefix(err, "%s", file->path);
    }
    return status;
}
