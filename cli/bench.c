/* centroid bench: prompt processing (pp) and generation (tg) speed, beside what memory allows.
 *
 * For each number of threads, rounds of each test are run in turn, with the machine's streaming
 * bandwidth measured between them, so that a change of the machine's pace meets all alike. */
#include "cli/bandwidth.h"
#include "cli/cli.h"
#include "engine/base/clock.h"
#include "engine/base/rng.h"
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REPEAT = 1000, MAX_THREAD_COUNTS = 16 };

struct bench {
    const char *threads;
    int64_t n_prompt;
    int64_t n_generate;
    int64_t n_repeat;
    int64_t depth;
    int activations;
    bool is_json;
    bool wants_help;
};

struct row {
    char test[24];
    int n_threads;
    double rates[MAX_REPEAT]; /* tokens/s */
    int n_rates;
    double bytes_per_token;
    double limit_gb_per_s;
};

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* One round: n tokens of which step_tok go in one step; adds a rate to the row. */
static enum ct_status run_round(struct ct_engine *engine, struct row *row, int depth, int n,
                                int step_tok, struct ct_error *err)
{
    struct ct_session *session = NULL;
    enum ct_status status = ct_session_open(engine, depth + n, &session);
    if (status != CT_OK)
        return ct_error_set(err, status, "a session of %d tokens: %s", depth + n,
                            ct_status_text(status));
    struct ct_rng rng;
    ct_rng_init(&rng, 1);
    const struct ct_engine_info *info = ct_engine_info(engine);
    int32_t *tokens = malloc((size_t)(depth + n) * sizeof *tokens);
    if (tokens == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for %d tokens", depth + n);
    for (int i = 0; tokens != NULL && i < depth + n; i++)
        tokens[i] = (int32_t)ct_rng_below(&rng, (uint64_t)info->n_vocab);

    uint64_t start_ns = ct_clock_ns();
    double n_bytes = 0;
    for (int i = 0; status == CT_OK && i < depth + n;) {
        const int limit = i < depth ? info->max_step_tok : step_tok;
        const int left = i < depth ? depth - i : depth + n - i;
        struct ct_slice slice = {.session = session,
                                 .tokens = tokens + i,
                                 .n_tokens = left < limit ? left : limit,
                                 .n_logits = i >= depth && (step_tok == 1 || left <= limit)};
        if (i == depth)
            start_ns = ct_clock_ns();
        status = ct_engine_step(engine, &slice, 1, err);
        n_bytes += i >= depth ? (double)slice.cost.bytes_dram : 0;
        i += slice.n_tokens;
    }
    const double s = (double)(ct_clock_ns() - start_ns) * 1e-9;
    if (status == CT_OK) {
        row->rates[row->n_rates++] = n / s;
        row->bytes_per_token = n_bytes / n;
    }
    free(tokens);
    ct_session_close(session);
    return status;
}

static void print_row(const struct bench *bench, struct row *row, bool is_first)
{
    const double mid = median(row->rates, row->n_rates);
    const double low = row->rates[0], high = row->rates[row->n_rates - 1];
    const double gb_per_s = mid * row->bytes_per_token * 1e-9;
    if (bench->is_json)
        printf("%s\n  {\"test\": \"%s\", \"threads\": %d, \"tokens_per_s\": {\"median\": %.2f, "
               "\"min\": %.2f, \"max\": %.2f}, \"bytes_per_token\": %.0f, \"gb_per_s\": %.2f, "
               "\"limit_gb_per_s\": %.2f}",
               is_first ? "[" : ",", row->test, row->n_threads, mid, low, high,
               row->bytes_per_token, gb_per_s, row->limit_gb_per_s);
    else
        printf("%-8s %7d %12.1f %9.1f %9.1f %12.1f %8.1f %8.1f %5.0f %%\n", row->test,
               row->n_threads, mid, low, high, row->bytes_per_token * 1e-6, gb_per_s,
               row->limit_gb_per_s, 100 * gb_per_s / row->limit_gb_per_s);
    fflush(stdout);
}

static enum ct_status bench_threads(const struct bench *bench, const char *model, int n_threads,
                                    struct ct_bandwidth *bandwidth, bool is_first,
                                    struct ct_error *err)
{
    const struct ct_engine_options options = {
        .n_threads = n_threads,
        .context_tok =
            (int)(bench->depth +
                  (bench->n_prompt > bench->n_generate ? bench->n_prompt : bench->n_generate)),
        .max_sessions = 1,
        .activations = (enum ct_activations)bench->activations,
    };
    struct ct_engine *engine = NULL;
    struct ct_pool *pool = NULL;
    struct row *rows = calloc(2, sizeof *rows);
    const int sizes[2] = {(int)bench->n_prompt, (int)bench->n_generate};
    enum ct_status status =
        rows != NULL && ct_pool_open(n_threads, &pool) == CT_OK
            ? CT_OK
            : ct_error_set(err, CT_MEMORY, "no memory for %d threads", n_threads);
    if (status == CT_OK)
        status = ct_engine_open(model, &options, &engine, err);
    if (status == CT_OK && ct_engine_info(engine)->context_tok < options.context_tok)
        status = ct_error_set(err, CT_CONTEXT, "%d tokens are more than the model's context of %d",
                              options.context_tok, ct_engine_info(engine)->context_tok);
    for (int i = -1; status == CT_OK && i < bench->n_repeat; i++) {
        for (int j = 0; status == CT_OK && j < 2; j++) {
            if (sizes[j] == 0)
                continue;
            struct row *row = &rows[j];
            snprintf(row->test, sizeof row->test, "%s%d", j == 0 ? "pp" : "tg", sizes[j]);
            row->n_threads = n_threads;
            row->limit_gb_per_s = ct_bandwidth_measure(bandwidth, pool);
            status = run_round(engine, row, (int)bench->depth, sizes[j],
                               j == 0 ? ct_engine_info(engine)->max_step_tok : 1, err);
            if (i < 0) /* the first round warms caches up */
                row->n_rates = 0;
        }
    }
    for (int j = 0; status == CT_OK && j < 2; j++)
        if (sizes[j] > 0) {
            rows[j].limit_gb_per_s = ct_bandwidth_measure(bandwidth, pool);
            print_row(bench, &rows[j], is_first);
            is_first = false;
        }
    ct_engine_close(engine);
    ct_pool_close(pool);
    free(rows);
    return status;
}

/* "1,2" -> counts; 0 when the list is malformed. */
static int parse_threads(const char *text, int *counts)
{
    int n = 0;
    for (const char *p = text; n < MAX_THREAD_COUNTS;) {
        char *end;
        long x = strtol(p, &end, 10);
        if (end == p || x < 1 || x > 256)
            return 0;
        counts[n++] = (int)x;
        if (*end == '\0')
            return n;
        if (*end != ',')
            return 0;
        p = end + 1;
    }
    return 0;
}

int ct_cli_bench(int argc, char **argv)
{
    struct bench bench = {.threads = "1,2", .n_prompt = 512, .n_generate = 128, .n_repeat = 5};
    const struct ct_option options[] = {
        {"prompt-tokens", "N", "length of the prompt test; 0 leaves it out (512)", CT_OPTION_INT,
         &bench.n_prompt, 0, 65536, NULL},
        {"generate-tokens", "N", "length of the generation test; 0 leaves it out (128)",
         CT_OPTION_INT, &bench.n_generate, 0, 65536, NULL},
        {"depth", "N", "tokens in the session before each test begins (0)", CT_OPTION_INT,
         &bench.depth, 0, 65536, NULL},
        {"threads", "LIST", "numbers of threads, such as 1,2 (1,2)", CT_OPTION_TEXT, &bench.threads,
         0, 0, NULL},
        {"repeat", "N", "rounds of each test, after one to warm up (5)", CT_OPTION_INT,
         &bench.n_repeat, 1, MAX_REPEAT - 1, NULL},
        {"activations", "MODE", "int8, fast, or float (int8)", CT_OPTION_CHOICE, &bench.activations,
         0, 0, "int8|float"},
        {"json", NULL, "print a JSON array, a row for each test", CT_OPTION_FLAG, &bench.is_json, 0,
         0, NULL},
        {"help", NULL, "print this", CT_OPTION_FLAG, &bench.wants_help, 0, 0, NULL},
        {0},
    };
    const struct ct_cli_usage usage = {
        "bench MODEL [OPTION...]",
        "Measures tokens a second: ppN is a prompt of N tokens, tgN the generation of N. The "
        "limit\n"
        "is this machine's streaming bandwidth, measured in the same run.",
        1, "MODEL"};
    const char *positional[1];
    int n_positional, exit_code, counts[MAX_THREAD_COUNTS];
    if (!ct_cli_parse(&usage, options, argc, argv, &bench.wants_help, positional, 1, &n_positional,
                      &exit_code))
        return exit_code;
    const int n_counts = parse_threads(bench.threads, counts);
    if (n_counts == 0) {
        fprintf(stderr, "centroid bench: --threads: '%s' is not a list of 1..256 such as 1,2\n",
                bench.threads);
        return CT_EXIT_USAGE;
    }
    struct ct_error err;
    struct ct_bandwidth *bandwidth = NULL;
    enum ct_status status = ct_bandwidth_open(&bandwidth);
    if (status != CT_OK)
        ct_error_set(&err, status, "no memory to measure the bandwidth");
    else if (!bench.is_json)
        printf("%-8s %7s %12s %9s %9s %12s %8s %8s %7s\n", "test", "threads", "tokens/s", "min",
               "max", "MB/token", "GB/s", "limit", "share");
    for (int i = 0; status == CT_OK && i < n_counts; i++)
        status = bench_threads(&bench, positional[0], counts[i], bandwidth, i == 0, &err);
    if (status == CT_OK && bench.is_json)
        puts("\n]");
    ct_bandwidth_close(bandwidth);
    return status == CT_OK ? CT_EXIT_OK : ct_cli_fail("bench", &err);
}
