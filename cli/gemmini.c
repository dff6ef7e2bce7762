/* centroid gemmini: the simulated accelerator by itself. */
#include "cli/cli.h"
#include "cli/gemmini_check.h"
#include "engine/base/json_text.h"

#include <stdlib.h>
#include <string.h>

/* What the command line says. */
struct gemmini {
    const char *config_path, *preset, *cycles_path;
    bool is_json;
    const char **paths;
    int n_paths;
};

static void print_table(const struct ct_gemmini_check *check)
{
    printf("%-28s %7s %7s %7s %8s %8s\n", "family", "cases", "exact", "timed", "mean", "worst");
    for (size_t i = 0; i < check->n_families; i++) {
        const struct ct_gemmini_family *f = &check->families[i];
        printf("%-28s %7ld %7ld %7ld", f->name, f->cases, f->exact, f->cycle_cases);
        if (f->cycle_cases > 0)
            printf(" %7.2f%% %7.2f%%", 100 * f->sum_error / (double)f->cycle_cases,
                   100 * f->worst_error);
        putchar('\n');
    }
}

static enum ct_status print_json(const struct ct_gemmini_check *check, struct ct_error *err)
{
    json_t *families = json_object();
    bool has_failed = families == NULL;
    for (size_t i = 0; i < check->n_families && !has_failed; i++) {
        const struct ct_gemmini_family *f = &check->families[i];
        const double mean = f->cycle_cases > 0 ? f->sum_error / (double)f->cycle_cases : 0;
        json_t *object =
            json_pack("{s:I, s:I, s:I, s:f, s:f}", "cases", (json_int_t)f->cases, "exact",
                      (json_int_t)f->exact, "cycle_cases", (json_int_t)f->cycle_cases, "mean_error",
                      mean, "worst_error", f->worst_error);
        has_failed = json_object_set_new(families, f->name, object) != 0;
    }
    json_t *all = json_pack("{s:o}", "families", families);
    char *text = has_failed ? NULL : ct_json_dump(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(all);
    if (text == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the report");
    puts(text);
    free(text);
    return CT_OK;
}

static enum ct_status check(const struct gemmini *options, struct ct_error *err)
{
    struct ct_gemmini_check all = {0};
    enum ct_status status = CT_OK;
    if (options->n_paths > CT_GEMMINI_MAX_FILES)
        return ct_error_set(err, CT_INVALID, "%d files of at most %d", options->n_paths,
                            CT_GEMMINI_MAX_FILES);
    for (int i = 0; i < options->n_paths && status == CT_OK; i++) {
        status = ct_gemmini_file_open(options->paths[i], &all.files[i], err);
        all.n_files += status == CT_OK;
    }
    if (status == CT_OK)
        status = ct_gemmini_check_results(&all, err);
    if (status == CT_OK && options->is_json)
        status = print_json(&all, err);
    else if (status == CT_OK)
        print_table(&all);
    for (int i = 0; i < all.n_files; i++)
        ct_gemmini_file_close(&all.files[i]);
    for (size_t i = 0; i < all.n_families; i++)
        free(all.families[i].name);
    free(all.families);
    return status;
}

static const struct ct_cli_usage usage = {
    .line = "gemmini run|disasm|check FILE... [OPTION...]",
    .text = "The simulated Gemmini by itself.",
    .min_positional = 2,
    .missing = "run, disasm or check, or FILE",
};

int ct_cli_gemmini(int argc, char **argv)
{
    enum { MAX_POSITIONAL = CT_GEMMINI_MAX_FILES + 2 };
    struct gemmini options = {0};
    const char *positional[MAX_POSITIONAL];
    bool wants_help = false;
    int n_positional, exit_code;
    struct ct_error err;
    const struct ct_option table[] = {
        {"json", NULL, "check: print JSON.", CT_OPTION_FLAG, &options.is_json, 0, 0, NULL},
        {"help", NULL, "Print this.", CT_OPTION_FLAG, &wants_help, 0, 0, NULL},
        {0},
    };
    if (!ct_cli_parse(&usage, table, argc, argv, &wants_help, positional, MAX_POSITIONAL,
                      &n_positional, &exit_code))
        return exit_code;
    options.paths = positional + 1;
    options.n_paths = n_positional - 1;
    return check(&options, &err) == CT_OK ? CT_EXIT_OK : ct_cli_fail("gemmini", &err);
}
