/* centroid gemmini: the simulated accelerator by itself. */
#include "cli/cli.h"
#include "cli/gemmini_check.h"
#include "cli/gemmini_layer.h"
#include "cli/gemmini_model.h"
#include "cli/gemmini_time.h"
#include "engine/base/file.h"
#include "engine/base/json_text.h"

#include <stdlib.h>
#include <string.h>

/* What the command line says. */
struct gemmini {
    const char *config_path, *mapping_path, *preset, *cycles_path;
    bool is_json, is_dynamic;
    struct ct_gemmini_layer layer; /* its tokens and page are a model's, too */
    int64_t depth;
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
    return ct_cli_print_json(all, !has_failed, JSON_INDENT(2) | JSON_REAL_PRECISION(9),
                             "the report", err);
}

/* CT_INVALID where results differ, with the families. */
static enum ct_status judge(const struct ct_gemmini_check *check, struct ct_error *err)
{
    char text[sizeof err->message] = "";
    for (size_t i = 0; i < check->n_families; i++) {
        const struct ct_gemmini_family *f = &check->families[i];
        const size_t n = strlen(text);
        if (f->wrong > 0)
            snprintf(text + n, sizeof text - n, "%s%ld of %ld cases of %s differ",
                     n > 0 ? ", " : "", f->wrong, f->cases, f->name);
    }
    return text[0] == '\0' ? CT_OK : ct_error_set(err, CT_INVALID, "%s", text);
}

static enum ct_status check(const struct gemmini *options, struct ct_error *err)
{
    struct ct_gemmini_check all = {0};
    enum ct_status status = CT_OK;
    for (int i = 0; i < options->n_paths && status == CT_OK; i++) {
        status = ct_gemmini_file_open(options->paths[i], &all.files[i], err);
        all.n_files += status == CT_OK;
    }
    if (status == CT_OK && options->cycles_path != NULL) {
        status = ct_gemmini_file_open(options->cycles_path, &all.files[all.n_files], err);
        all.n_files += status == CT_OK;
    }
    if (status == CT_OK)
        status = ct_gemmini_check_results(&all, err);
    if (status == CT_OK)
        status = ct_gemmini_check_cycles(&all, err);
    if (status == CT_OK && options->is_json)
        status = print_json(&all, err);
    else if (status == CT_OK)
        print_table(&all);
    if (status == CT_OK)
        status = judge(&all, err);
    for (int i = 0; i < all.n_files; i++)
        ct_gemmini_file_close(&all.files[i]);
    for (size_t i = 0; i < all.n_families; i++)
        free(all.families[i].name);
    free(all.families);
    return status;
}

/* The configuration that --preset, --config and --mapping ask for. */
static enum ct_status configure(const struct gemmini *options, struct ct_gem_config *config,
                                struct ct_error *err)
{
    enum ct_status status = ct_gem_config_preset(options->preset, config, err);
    if (status == CT_OK && options->config_path != NULL)
        status = ct_gem_config_lay(options->config_path, config, err);
    if (status == CT_OK && options->mapping_path != NULL)
        status = ct_gem_config_lay(options->mapping_path, config, err);
    return status;
}

static enum ct_status read_trace(const char *path, struct ct_gem_trace *trace, struct ct_error *err)
{
    char *text;
    size_t n_bytes;
    enum ct_status status = ct_file_read(path, &text, &n_bytes, err);
    if (status != CT_OK)
        return status;
    status = ct_gem_trace_read(path, text, n_bytes, trace, err);
    free(text);
    return status;
}

static enum ct_status run(const struct gemmini *options, struct ct_error *err)
{
    struct ct_gem_config config;
    struct ct_gem_trace trace = {0};
    struct ct_gem_segment memory = {0};
    struct ct_gem_machine *machine = NULL;
    enum ct_status status = configure(options, &config, err);
    if (status == CT_OK)
        status = read_trace(options->paths[0], &trace, err);
    if (status == CT_OK)
        status = ct_gem_trace_memory(&trace, &memory, err);
    if (status == CT_OK)
        status = ct_gem_machine_open(&config, &memory, 1, &machine, err);
    if (status == CT_OK)
        status = ct_gem_machine_run(machine, trace.commands, trace.n_commands, err);
    for (size_t i = 0; i < trace.n_prints && status == CT_OK; i++)
        ct_gem_print_write(&trace.prints[i], &memory, stdout);
    if (status == CT_OK)
        fprintf(stderr, "%zu commands, %llu multiply-accumulates\n", trace.n_commands,
                (unsigned long long)ct_gem_machine_macs(machine));
    ct_gem_machine_close(machine);
    free(memory.bytes);
    ct_gem_trace_deinit(&trace);
    return status;
}

static enum ct_status print_time(const struct gemmini *options, struct ct_error *err)
{
    struct ct_gem_config config;
    struct ct_gem_trace trace = {0};
    enum ct_status status = configure(options, &config, err);
    if (status == CT_OK)
        status = read_trace(options->paths[0], &trace, err);
    if (status == CT_OK)
        status =
            ct_gemmini_print_time(&config, trace.commands, trace.n_commands, options->is_json, err);
    ct_gem_trace_deinit(&trace);
    return status;
}

/* Every case of a golden file, under its name. */
static enum ct_status disassemble_cases(const char *path, struct ct_error *err)
{
    struct ct_gemmini_file file;
    enum ct_status status = ct_gemmini_file_open(path, &file, err);
    if (status != CT_OK)
        return status;
    if (file.kind != CT_GEMMINI_CASES)
        status = ct_error_set(err, CT_FORMAT, "%s: holds no programs", path);
    for (size_t i = 0; status == CT_OK && i < json_array_size(file.rows); i++) {
        struct ct_gemmini_case c;
        status = ct_gemmini_case_init(json_array_get(file.rows, i), &c, err);
        if (status == CT_OK) {
            printf("%s# %s\n", i > 0 ? "\n" : "", c.name);
            ct_gem_trace_write(&c.trace, stdout);
        } else {
            ct_error_prefix(err, "%s", path);
        }
        ct_gemmini_case_deinit(&c);
    }
    ct_gemmini_file_close(&file);
    return status;
}

static bool ends_in(const char *text, const char *end)
{
    const size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

static enum ct_status disasm(const struct gemmini *options, struct ct_error *err)
{
    const char *path = options->paths[0];
    if (ends_in(path, ".json") || ends_in(path, ".json.gz"))
        return disassemble_cases(path, err);
    struct ct_gem_trace trace;
    enum ct_status status = read_trace(path, &trace, err);
    if (status != CT_OK)
        return status;
    ct_gem_trace_write(&trace, stdout);
    ct_gem_trace_deinit(&trace);
    return CT_OK;
}

static enum ct_status print_config(const struct gemmini *options, struct ct_error *err)
{
    struct ct_gem_config config;
    enum ct_status status = configure(options, &config, err);
    if (status == CT_OK)
        ct_gem_config_print(&config, stdout);
    return status;
}

static enum ct_status print_layer(const struct gemmini *options, struct ct_error *err)
{
    struct ct_gem_config config;
    enum ct_status status = configure(options, &config, err);
    if (status == CT_OK)
        status = ct_gemmini_layer_print(&options->layer, &config, options->is_json, err);
    return status;
}

static enum ct_status print_model(const struct gemmini *options, struct ct_error *err)
{
    struct ct_gem_config config;
    const struct ct_gemmini_model model = {options->paths[0], options->layer.n_tokens,
                                           options->depth, options->is_dynamic,
                                           options->layer.page};
    enum ct_status status = configure(options, &config, err);
    if (status == CT_OK)
        status = ct_gemmini_model_print(&model, &config, options->is_json, err);
    return status;
}

static const struct action {
    const char *name;
    enum ct_status (*run)(const struct gemmini *options, struct ct_error *err);
    int min_files, max_files;
} actions[] = {
    {"run", run, 1, 1},
    {"time", print_time, 1, 1},
    {"disasm", disasm, 1, 1},
    {"check", check, 1, CT_GEMMINI_MAX_FILES - 1}, /* and one of cycles */
    {"layer", print_layer, 0, 0},
    {"model", print_model, 1, 1},
    {"config", print_config, 0, 0},
};

/* The action that the command line asks for, with as many files as it takes. */
static const struct action *find_action(const char *name, int n_files, struct ct_error *err)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        const struct action *action = &actions[i];
        if (strcmp(action->name, name) != 0)
            continue;
        if (n_files >= action->min_files && n_files <= action->max_files)
            return action;
        ct_error_set(err, CT_INVALID, "%s takes %s, not %d", name,
                     action->max_files == 0   ? "no file"
                     : action->max_files == 1 ? "one file"
                                              : "1 to 63 files",
                     n_files);
        return NULL;
    }
    ct_error_set(err, CT_INVALID, "'%s' is not run, time, disasm, check, layer, model or config",
                 name);
    return NULL;
}

static const struct ct_cli_usage usage = {
    .line = "gemmini run|time|disasm|check|layer|model|config [FILE...] [OPTION...]",
    .text =
        "The simulated Gemmini accelerator by itself (docs/gemmini.md).\n\n"
        "  run FILE       carries out a program, and prints the matrices that its .print lines "
        "name\n"
        "  time FILE      says how long a program takes, what it moves and the energy of it\n"
        "  disasm FILE    lists a program, or those of a golden file (.json, .json.gz), as text\n"
        "  check FILE...  replays golden files and says, for each family of cases, how many are "
        "exact,\n"
        "                 and, with --cycles, how far their cycles are from measured ones; fails\n"
        "                 where results differ\n"
        "  layer          says what a layer of an encoder costs, operator by operator\n"
        "  model MODEL    says the same of a step of a model, a directory or GGUF file\n"
        "  config         prints a configuration, all keys with their limits",
    .min_positional = 1,
    .missing = "run, time, disasm, check, layer, model or config",
};

int ct_cli_gemmini(int argc, char **argv)
{
    enum { MAX_POSITIONAL = CT_GEMMINI_MAX_FILES + 1 };
    struct gemmini options = {
        .preset = "default",
        .layer = {.d_model = 768, .n_heads = 12, .d_ff = 3072, .n_tokens = 512},
    };
    const char *positional[MAX_POSITIONAL];
    bool wants_help = false;
    int n_positional, exit_code;
    struct ct_error err;
    const struct ct_option table[] = {
        {"preset", "NAME",
         "run, time, layer, model, config: the machine: default, ibert, survey_nas, "
         "survey_fusion_128, "
         "survey_fusion_256 or "
         "lpddr4 (default).",
         CT_OPTION_TEXT, &options.preset, 0, 0, NULL},
        {"config", "FILE",
         "run, time, layer, model, config: an INI file whose settings replace those of the preset.",
         CT_OPTION_TEXT, &options.config_path, 0, 0, NULL},
        {"mapping", "FILE",
         "layer, model, config: an INI file of [product] sections: tiles, dataflow and order of "
         "products.",
         CT_OPTION_TEXT, &options.mapping_path, 0, 0, NULL},
        {"cycles", "FILE", "check: a golden file of measured cycles, to time the programs against.",
         CT_OPTION_TEXT, &options.cycles_path, 0, 0, NULL},
        {"d-model", "N", "layer: columns of the activations (768).", CT_OPTION_INT,
         &options.layer.d_model, 1, 16384, NULL},
        {"heads", "N", "layer: attention heads (12).", CT_OPTION_INT, &options.layer.n_heads, 1,
         1024, NULL},
        {"d-ff", "N", "layer: columns inside the feed-forward part (3072).", CT_OPTION_INT,
         &options.layer.d_ff, 1, 65536, NULL},
        {"depth", "N", "model: tokens in the session before these (0).", CT_OPTION_INT,
         &options.depth, 0, 1 << 20, NULL},
        {"dynamic", NULL,
         "model: activations with one scale a token, and all but products on the host.",
         CT_OPTION_FLAG, &options.is_dynamic, 0, 0, NULL},
        {"tokens", "N", "layer, model: tokens; an image has its own (512).", CT_OPTION_INT,
         &options.layer.n_tokens, 1, 16384, NULL},
        {"bits", "N", "layer: bits of an index of clustered weights; 0 is int8 weights (0).",
         CT_OPTION_INT, &options.layer.bits, 0, 8, NULL},
        {"report", "FILE",
         "layer, model: write a page of HTML with a timeline, the roofline, energy by component "
         "and "
         "the operators; of a decoder also the token after a prompt.",
         CT_OPTION_TEXT, &options.layer.page, 0, 0, NULL},
        {"json", NULL, "time, check, layer, model: print JSON.", CT_OPTION_FLAG, &options.is_json,
         0, 0, NULL},
        {"help", NULL, "Print this.", CT_OPTION_FLAG, &wants_help, 0, 0, NULL},
        {0},
    };
    if (!ct_cli_parse(&usage, table, argc, argv, &wants_help, positional, MAX_POSITIONAL,
                      &n_positional, &exit_code))
        return exit_code;
    options.paths = positional + 1;
    options.n_paths = n_positional - 1;
    const struct action *action = find_action(positional[0], options.n_paths, &err);
    if (action == NULL) {
        ct_cli_fail("gemmini", &err);
        return CT_EXIT_USAGE;
    }
    return action->run(&options, &err) == CT_OK ? CT_EXIT_OK : ct_cli_fail("gemmini", &err);
}
