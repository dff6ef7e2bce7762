/* A model's speed: ppN is a prompt of N tokens, tgN the generation of N, each after `depth` tokens. Of an
 * encoder, ppN is sequences of N tokens, --batch of them at once, and of a vision model "image" is images.
 *
 * Rounds of each test are run in turn, with the machine's roofs measured between them, so that a
 * change of the machine's pace meets all alike. */
#include "cli/bench.h"

#include "engine/base/clock.h"
#include "engine/base/rng.h"
#include "engine/engine.h"
#include "engine/format/model_file.h"
#include "engine/graph/family.h"

#include <stdlib.h>

static const double BATCH_SECONDS = 0.2;

struct test {
    struct ct_bench_point point;
    double *rates; /* [n_repeat] */
    int n_rates;
};

static void summarise(struct test *test)
{
    const int n = test->n_rates;
    test->point.rate = ct_cli_median(test->rates, n);
    test->point.low = test->rates[0];
    test->point.high = test->rates[n - 1];
}

/* The tokens of one round, in steps; the clock starts after the first `depth`. */
static enum ct_status run_steps(struct ct_engine *engine, struct ct_session *session,
                                const int32_t *tokens, struct test *test, struct ct_error *err)
{
    const int depth = test->point.depth, end = depth + test->point.size;
    const int max_step = ct_engine_info(engine)->max_step_tok;
    const int step = test->point.kind == CT_BENCH_GENERATION ? 1 : max_step;
    uint64_t start_ns = 0;
    struct ct_cost cost = {0};
    for (int i = 0; i < end;) {
        const bool is_timed = i >= depth;
        const int left = is_timed ? end - i : depth - i, limit = is_timed ? step : max_step;
        struct ct_slice slice = {.session = session,
                                 .tokens = tokens + i,
                                 .n_tokens = left < limit ? left : limit,
                                 .n_logits = is_timed && (step == 1 || left <= limit)};
        if (i == depth)
            start_ns = ct_clock_ns();
        enum ct_status status = ct_engine_step(engine, &slice, 1, err);
        if (status != CT_OK)
            return status;
        if (is_timed)
            ct_cost_add(&cost, &slice.cost);
        i += slice.n_tokens;
    }
    const int n = test->point.size;
    test->rates[test->n_rates++] = n / ((double)(ct_clock_ns() - start_ns) * 1e-9);
    test->point.bytes = (double)cost.bytes_dram / n;
    test->point.ops = 2 * (double)(cost.macs_i8 + cost.macs_f32) / n;
    return CT_OK;
}

/* The same n tokens each time, to be freed; NULL when memory is short. */
static int32_t *make_tokens(const struct ct_engine *engine, int n, struct ct_error *err)
{
    struct ct_rng rng;
    int32_t *tokens = malloc((size_t)n * sizeof *tokens);
    if (tokens == NULL)
        ct_error_set(err, CT_MEMORY, "no memory for %d tokens", n);
    ct_rng_init(&rng, 1);
    for (int i = 0; tokens != NULL && i < n; i++)
        tokens[i] = (int32_t)ct_rng_below(&rng, (uint64_t)ct_engine_info(engine)->n_vocab);
    return tokens;
}

static enum ct_status run_round(struct ct_engine *engine, struct test *test, struct ct_error *err)
{
    const int n = test->point.depth + test->point.size;
    struct ct_session *session = NULL;
    int32_t *tokens = make_tokens(engine, n, err);
    if (tokens == NULL)
        return CT_MEMORY;
    enum ct_status status = ct_session_open(engine, n, &session);
    if (status == CT_OK)
        status = run_steps(engine, session, tokens, test, err);
    else
        ct_error_set(err, status, "a session of %d tokens: %s", n, ct_status_text(status));
    ct_session_close(session);
    free(tokens);
    return status;
}

/* The same image each time, to be freed; of a model without images one value. */
static float *make_pixels(const struct ct_engine *engine, struct ct_error *err)
{
    const size_t n = ct_image_floats(&ct_engine_info(engine)->image);
    struct ct_rng rng;
    float *pixels = malloc((n + 1) * sizeof *pixels);
    if (pixels == NULL)
        ct_error_set(err, CT_MEMORY, "no memory for an image");
    ct_rng_init(&rng, 1);
    for (size_t i = 0; pixels != NULL && i < n; i++)
        pixels[i] = (float)(2 * ct_rng_uniform(&rng) - 1);
    return pixels;
}

/* Sequences of an encoder, `batch` at a time, for BATCH_SECONDS. */
static enum ct_status run_batches(struct ct_engine *engine, int batch, struct test *test,
                                  struct ct_error *err)
{
    const bool is_image = test->point.kind == CT_BENCH_IMAGE;
    const int n = test->point.size, n_units = is_image ? 1 : n;
    struct ct_slice *slices = calloc((size_t)batch, sizeof *slices);
    int32_t *tokens = is_image ? NULL : make_tokens(engine, n, err);
    float *pixels = is_image ? make_pixels(engine, err) : NULL;
    enum ct_status status = tokens != NULL || pixels != NULL ? CT_OK : CT_MEMORY;
    if (slices == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for %d sequences", batch);
    int64_t n_done = 0;
    double seconds = 0;
    const uint64_t start_ns = ct_clock_ns();
    while (status == CT_OK && seconds < BATCH_SECONDS) {
        for (int i = 0; i < batch && status == CT_OK; i++) {
            slices[i] =
                (struct ct_slice){.tokens = tokens, .pixels = pixels, .n_tokens = n, .n_logits = 1};
            status = ct_session_open(engine, n, &slices[i].session);
            if (status != CT_OK)
                ct_error_set(err, status, "%d sequences of %d tokens: %s", batch, n,
                             ct_status_text(status));
        }
        if (status == CT_OK)
            status = ct_engine_step(engine, slices, batch, err);
        for (int i = 0; i < batch; i++) {
            ct_session_close(slices[i].session);
            slices[i].session = NULL;
        }
        n_done += batch;
        seconds = (double)(ct_clock_ns() - start_ns) * 1e-9;
    }
    if (status == CT_OK) {
        const struct ct_cost *cost = &slices[0].cost;
        test->rates[test->n_rates++] = (double)(n_done * n_units) / seconds;
        test->point.bytes = (double)cost->bytes_dram / n_units;
        test->point.ops = 2 * (double)(cost->macs_i8 + cost->macs_f32) / n_units;
    }
    free(slices);
    free(tokens);
    free(pixels);
    return status;
}

/* The tests that the settings ask for, their sizes of 0 left out; returns how many. */
static int list_tests(const struct ct_bench *bench, int n_threads, struct test *tests,
                      double *rates)
{
    int n = 0;
    for (int d = 0; d < bench->depths.n; d++)
        for (int kind = CT_BENCH_PROMPT; kind <= CT_BENCH_GENERATION; kind++) {
            const struct ct_cli_list *sizes =
                kind == CT_BENCH_PROMPT ? &bench->prompts : &bench->generations;
            for (int i = 0; i < sizes->n; i++) {
                if (sizes->values[i] == 0)
                    continue;
                tests[n] = (struct test){.point = {.kind = (enum ct_bench_kind)kind,
                                                   .isa = ct_isa_current(),
                                                   .n_threads = n_threads,
                                                   .size = sizes->values[i],
                                                   .depth = bench->depths.values[d]},
                                         .rates = rates + n * bench->n_repeat};
                n++;
            }
        }
    return n;
}

static int longest(const struct test *tests, int n)
{
    int tok = 0;
    for (int i = 0; i < n; i++) {
        const int own = tests[i].point.depth + tests[i].point.size;
        tok = own > tok ? own : tok;
    }
    return tok;
}

/* An encoder generates nothing, and nothing comes before a sequence; an image has image_tok tokens and
 * is a test of its own. */
static int keep_whole(struct test *tests, int n, int image_tok)
{
    int n_kept = 0;
    for (int i = 0; i < n; i++)
        if (tests[i].point.kind == CT_BENCH_PROMPT && tests[i].point.depth == 0)
            tests[n_kept++] = tests[i];
    if (image_tok > 0 && n_kept > 0) {
        tests[0].point.kind = CT_BENCH_IMAGE;
        tests[0].point.size = image_tok;
        return 1;
    }
    return n_kept;
}

/* What the model's files say of it, before it is opened for steps of a size. */
static enum ct_status read_shape(const char *model, bool *is_encoder, int *image_tok,
                                 struct ct_error *err)
{
    struct ct_model_file *file;
    enum ct_status status = ct_model_file_open(model, ct_family_foreign_names(), &file, err);
    if (status != CT_OK)
        return status;
    const struct ct_hparams *hparams = ct_model_file_hparams(file);
    *is_encoder = hparams->is_encoder;
    *image_tok = hparams->vision.n_channels > 0 ? hparams->context_tok : 0;
    ct_model_file_close(file);
    return CT_OK;
}

static enum ct_status run_tests(struct ct_bench *bench, struct ct_engine *engine,
                                struct ct_pool *pool, struct test *tests, int n_tests,
                                struct ct_error *err)
{
    enum ct_status status = CT_OK;
    for (int round = -1; round < bench->n_repeat; round++)
        for (int i = 0; i < n_tests && status == CT_OK; i++) {
            ct_roofs_measure(bench->roofs, pool);
            status = ct_engine_info(engine)->is_encoder
                         ? run_batches(engine, (int)bench->batch, &tests[i], err)
                         : run_round(engine, &tests[i], err);
            if (round < 0) /* warms caches up */
                tests[i].n_rates = 0;
        }
    for (int i = 0; i < n_tests && status == CT_OK; i++) {
        summarise(&tests[i]);
        status = ct_bench_add(bench, &tests[i].point, err);
    }
    return status;
}

enum ct_status ct_bench_model(struct ct_bench *bench, const char *model, struct ct_pool *pool,
                              struct ct_error *err)
{
    const int n_threads = ct_pool_n_workers(pool);
    const int max_tests = bench->depths.n * (bench->prompts.n + bench->generations.n);
    struct ct_engine *engine = NULL;
    struct test *tests = calloc((size_t)max_tests, sizeof *tests);
    double *rates = calloc((size_t)(max_tests * bench->n_repeat), sizeof *rates);
    enum ct_status status = CT_OK;
    if (tests == NULL || rates == NULL) {
        status = ct_error_set(err, CT_MEMORY, "no memory for %d tests", max_tests);
        goto out;
    }
    bool is_encoder = false;
    int image_tok = 0, n_tests = list_tests(bench, n_threads, tests, rates);
    status = read_shape(model, &is_encoder, &image_tok, err);
    if (status != CT_OK)
        goto out;
    if (is_encoder)
        n_tests = keep_whole(tests, n_tests, image_tok);
    const struct ct_engine_options options = {
        .n_threads = n_threads,
        .context_tok = longest(tests, n_tests),
        .max_sessions = (int)bench->batch,
        .max_step_tok = bench->batch > 1 ? (int)bench->batch * longest(tests, n_tests) : 0,
        .activations = (enum ct_activations)bench->activations,
        .kv = (enum ct_kv_type)bench->kv,
    };
    status = ct_engine_open(model, &options, &engine, err);
    if (status != CT_OK)
        goto out;
    if (bench->batch > 1 && !is_encoder)
        status = ct_error_set(err, CT_INVALID, "--batch: %lld sequences at once are for encoders",
                              (long long)bench->batch);
    else if (ct_engine_info(engine)->context_tok < longest(tests, n_tests))
        status = ct_error_set(err, CT_CONTEXT, "%d tokens are more than the model's context of %d",
                              longest(tests, n_tests), ct_engine_info(engine)->context_tok);
    else
        status = run_tests(bench, engine, pool, tests, n_tests, err);
out:
    ct_engine_close(engine);
    free(rates);
    free(tests);
    return status;
}
