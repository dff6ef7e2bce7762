/* centroid bench: how fast a model and the kernels are, beside what this machine allows. */
#include "cli/bench.h"

#include "engine/base/processors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    const char *threads, *prompts, *generations, *depths, *bits, *rows, *sets, *plot;
    bool has_kernels;
    bool wants_help;
};

static enum ct_status parse_sets(const char *text, struct ct_bench *bench, struct ct_error *err)
{
    bench->n_sets = 0;
    if (text == NULL) {
        bench->sets[bench->n_sets++] = ct_isa_current();
        return CT_OK;
    }
    for (const char *p = text;; p++) {
        const size_t n = strcspn(p, ",");
        int isa = 0;
        while (isa < CT_N_ISA && (strlen(ct_isa_name((enum ct_isa)isa)) != n ||
                                  strncmp(ct_isa_name((enum ct_isa)isa), p, n) != 0))
            isa++;
        if (isa == CT_N_ISA || bench->n_sets == CT_N_ISA || !ct_isa_is_usable((enum ct_isa)isa))
            return ct_error_set(err, CT_INVALID,
                                "--sets: '%s' is not a list of instruction sets that this "
                                "processor has, such as %s",
                                text, ct_isa_name(ct_isa_current()));
        bench->sets[bench->n_sets++] = (enum ct_isa)isa;
        p += n;
        if (*p == '\0')
            return CT_OK;
    }
}

static enum ct_status parse(const struct settings *s, struct ct_bench *bench, struct ct_error *err)
{
    char threads[32];
    const int n = ct_processors();
    snprintf(threads, sizeof threads, n > 1 ? "1,%d" : "1", n);
    enum ct_status status = ct_cli_parse_list("threads", s->threads != NULL ? s->threads : threads,
                                              1, CT_MAX_WORKERS, &bench->threads, err);
    if (status == CT_OK)
        status = ct_cli_parse_list("prompt-tokens", s->prompts, 0, 65536, &bench->prompts, err);
    if (status == CT_OK)
        status = ct_cli_parse_list("generate-tokens", s->generations, 0, 65536, &bench->generations,
                                   err);
    if (status == CT_OK)
        status = ct_cli_parse_list("depth", s->depths, 0, 65536, &bench->depths, err);
    if (status == CT_OK)
        status = ct_cli_parse_list("bits", s->bits, 2, 8, &bench->bits, err);
    if (status == CT_OK)
        status = ct_cli_parse_list("rows", s->rows, 1, 4096, &bench->rows, err);
    if (status == CT_OK && bench->n_columns % 64 != 0)
        status = ct_error_set(err, CT_INVALID, "--columns: %d is not a multiple of 64",
                              (int)bench->n_columns);
    return status == CT_OK ? parse_sets(s->sets, bench, err) : status;
}

static enum ct_status run_threads(struct ct_bench *bench, const char *model, bool has_kernels,
                                  int n_threads, struct ct_error *err)
{
    struct ct_pool *pool = NULL;
    enum ct_status status = ct_pool_open(n_threads, &pool);
    if (status != CT_OK)
        return ct_error_set(err, status, "%d threads cannot be started", n_threads);
    if (model != NULL)
        status = ct_bench_model(bench, model, pool, err);
    if (status == CT_OK && has_kernels)
        status = ct_bench_kernels(bench, pool, err);
    if (status == CT_OK && !bench->is_json)
        ct_bench_print_roof(bench, n_threads);
    ct_pool_close(pool);
    return status;
}

static enum ct_status write_plot(const struct ct_bench *bench, const char *path,
                                 struct ct_error *err)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return ct_error_set(err, CT_IO, "--plot %s: %s", path, strerror(errno));
    ct_bench_plot(bench, file);
    const bool has_failed = ferror(file);
    if (fclose(file) != 0 || has_failed)
        return ct_error_set(err, CT_IO, "--plot %s: cannot be written", path);
    return CT_OK;
}

static enum ct_status run(struct ct_bench *bench, const char *model, const struct settings *s,
                          struct ct_error *err)
{
    enum ct_status status = ct_roofs_open(&bench->roofs);
    if (status != CT_OK)
        ct_error_set(err, status, "no memory to measure the machine");
    for (int i = 0; status == CT_OK && i < bench->threads.n; i++)
        status = run_threads(bench, model, s->has_kernels, bench->threads.values[i], err);
    if (status == CT_OK && bench->is_json)
        ct_bench_print_json(bench);
    if (status == CT_OK && s->plot != NULL)
        status = write_plot(bench, s->plot, err);
    ct_roofs_close(bench->roofs);
    free(bench->points);
    return status;
}

int ct_cli_bench(int argc, char **argv)
{
    struct settings s = {.prompts = "512",
                         .generations = "128",
                         .depths = "0",
                         .bits = "2,3,4,5,6,7,8",
                         .rows = "1,2,4,8,16,64,512"};
    struct ct_bench bench = {.n_repeat = 5, .batch = 1, .n_columns = 576};
    const struct ct_option options[] = {
        {"prompt-tokens", "LIST", "lengths of the prompt test; 0 leaves it out (512)",
         CT_OPTION_TEXT, &s.prompts, 0, 0, NULL},
        {"generate-tokens", "LIST", "lengths of the generation test; 0 leaves it out (128)",
         CT_OPTION_TEXT, &s.generations, 0, 0, NULL},
        {"depth", "LIST", "tokens in the session before each test begins (0)", CT_OPTION_TEXT,
         &s.depths, 0, 0, NULL},
        {"threads", "LIST", "numbers of threads (1 and all processors)", CT_OPTION_TEXT, &s.threads,
         0, 0, NULL},
        {"batch", "N", "sequences at once, of an encoder (1)", CT_OPTION_INT, &bench.batch, 1, 64,
         NULL},
        {"repeat", "N", "rounds of each test, after one to warm up (5)", CT_OPTION_INT,
         &bench.n_repeat, 1, 1000, NULL},
        {"activations", "MODE",
         "int8, float, w8a8 as int8 accelerators have it, or ibert, integers throughout (int8)",
         CT_OPTION_CHOICE, &bench.activations, 0, 0, "int8|float|w8a8|ibert"},
        {"kv", "TYPE", "how keys and values are kept: f16, or int8 in half of that (f16)",
         CT_OPTION_CHOICE, &bench.kv, 0, 0, "f16|int8"},
        {"kernels", NULL, "the kernels too; without a MODEL, these alone", CT_OPTION_FLAG,
         &s.has_kernels, 0, 0, NULL},
        {"bits", "LIST", "bits an index of the matrix kernel (2,3,4,5,6,7,8)", CT_OPTION_TEXT,
         &s.bits, 0, 0, NULL},
        {"rows", "LIST", "rows of activations (1,2,4,8,16,64,512)", CT_OPTION_TEXT, &s.rows, 0, 0,
         NULL},
        {"columns", "N", "input features of its matrices (576)", CT_OPTION_INT, &bench.n_columns,
         64, 16384, NULL},
        {"sets", "LIST", "instruction sets of the kernels, such as avx2,scalar (the best one)",
         CT_OPTION_TEXT, &s.sets, 0, 0, NULL},
        {"plot", "FILE", "write a roofline plot, as SVG", CT_OPTION_TEXT, &s.plot, 0, 0, NULL},
        {"json", NULL, "print a JSON array, a row for each test and kernel", CT_OPTION_FLAG,
         &bench.is_json, 0, 0, NULL},
        {"help", NULL, "print this", CT_OPTION_FLAG, &s.wants_help, 0, 0, NULL},
        {0},
    };
    const struct ct_cli_usage usage = {
        "bench [MODEL] [OPTION...]",
        "Measures speed beside this machine's limits, streaming bandwidth and int8 products,\n"
        "which are measured in the same run: ppN is a prompt of N tokens, tgN the generation of\n"
        "N, @D after D others. GOPS count a product and its sum as two.",
        0, NULL};
    const char *positional[1];
    int n_positional, exit_code;
    if (!ct_cli_parse(&usage, options, argc, argv, &s.wants_help, positional, 1, &n_positional,
                      &exit_code))
        return exit_code;
    struct ct_error err;
    enum ct_status status = parse(&s, &bench, &err);
    if (status == CT_OK && n_positional == 0 && !s.has_kernels)
        status = ct_error_set(&err, CT_INVALID, "MODEL or --kernels is missing");
    if (status != CT_OK) {
        fprintf(stderr, "centroid bench: %s\n", err.message);
        return CT_EXIT_USAGE;
    }
    status = run(&bench, n_positional > 0 ? positional[0] : NULL, &s, &err);
    return status == CT_OK ? CT_EXIT_OK : ct_cli_fail("bench", &err);
}
