/* centroid eval: how well a model predicts a text, how far it is from another, (eval_sts.c) how well a
 * sentence encoder tells which sentences are alike, and (eval_images.c) how often an image classifier is
 * right.
 *
 * The text's tokens are cut into windows of --context tokens that do not overlap; in each, the
 * second half is scored, as llama.cpp's perplexity tool does, so that figures compare: the first
 * token of a window is replaced by the bos token where the model wants one, and of a window of n
 * tokens the predictions of tokens n/2 + 1 .. n - 1 count.
 *
 * "perplexity" runs one model. "divergence" runs a reference beside it, with float activations, row
 * by row over the same tokens: the mean Kullback-Leibler divergence KL(reference || model), how
 * often both hold the same token likeliest, and both perplexities. */
#include "cli/cli.h"
#include "cli/eval_images.h"
#include "cli/eval_sts.h"
#include "engine/base/clock.h"
#include "engine/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MODEL, REFERENCE, MAX_ENGINES };

struct eval {
    enum measure { PERPLEXITY, DIVERGENCE, STS, IMAGES, N_MEASURES } measure;
    const char *text;
    const char *images;
    const char *reference; /* divergence: a model; NULL: the model itself */
    int64_t context_tok;
    int64_t n_chunks; /* 0: all */
    int64_t n_images; /* 0: all */
    int64_t n_threads;
    int activations;
    int kv;
    bool is_json;
    bool wants_help;
    struct ct_engine *engines[MAX_ENGINES]; /* the reference is NULL for perplexity */
};

struct score {
    int64_t n_tok;
    double nll[MAX_ENGINES], nll_squares[MAX_ENGINES]; /* sums of negative log-likelihoods */
    double kl, kl_squares, max_kl;
    int64_t n_same_top;
};

/* log of the sum of exp(logits), and the place of the highest. */
static double log_sum(const float *logits, int n, int *top)
{
    *top = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > logits[*top])
            *top = i;
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)logits[i] - logits[*top]);
    return log(sum) + logits[*top];
}

/* Adds one row: each engine's logits [n] and the token that came next. */
static void add_row(struct score *score, const float *const *logits, int n, int32_t next)
{
    double log_sums[MAX_ENGINES];
    int tops[MAX_ENGINES];
    for (int e = 0; e < MAX_ENGINES && logits[e] != NULL; e++) {
        log_sums[e] = log_sum(logits[e], n, &tops[e]);
        const double x = log_sums[e] - logits[e][next];
        score->nll[e] += x;
        score->nll_squares[e] += x * x;
    }
    score->n_tok++;
    if (logits[REFERENCE] == NULL)
        return;
    double kl = 0;
    for (int i = 0; i < n; i++) {
        const double log_p = logits[REFERENCE][i] - log_sums[REFERENCE];
        kl += exp(log_p) * (log_p - (logits[MODEL][i] - log_sums[MODEL]));
    }
    score->kl += kl;
    score->kl_squares += kl * kl;
    score->max_kl = kl > score->max_kl ? kl : score->max_kl;
    score->n_same_top += tops[MODEL] == tops[REFERENCE];
}

/* Tokens [begin, end) of a window of n: one step of each engine; rows of the second half are
 * scored. */
static enum ct_status score_step(const struct eval *eval, struct ct_session **sessions,
                                 const int32_t *tokens, int begin, int end, int n,
                                 struct score *score, struct ct_error *err)
{
    const int first = begin > n / 2 ? begin : n / 2;
    const int n_logits = end > first ? end - first : 0;
    struct ct_slice slices[MAX_ENGINES] = {{0}};
    for (int e = 0; e < MAX_ENGINES && eval->engines[e] != NULL; e++) {
        slices[e] = (struct ct_slice){.session = sessions[e],
                                      .tokens = tokens + begin,
                                      .n_tokens = end - begin,
                                      .n_logits = n_logits};
        enum ct_status status = ct_engine_step(eval->engines[e], &slices[e], 1, err);
        if (status != CT_OK)
            return status;
    }
    /* Row i predicts token i + 1; the window's last row predicts nothing here. */
    for (int i = 0; i < n_logits && end - n_logits + i + 1 < n; i++) {
        const float *rows[MAX_ENGINES] = {NULL};
        for (int e = 0; e < MAX_ENGINES && eval->engines[e] != NULL; e++)
            rows[e] = slices[e].logits + i * slices[e].ld_logits;
        add_row(score, rows, ct_engine_info(eval->engines[MODEL])->n_vocab,
                tokens[end - n_logits + i + 1]);
    }
    return CT_OK;
}

static enum ct_status score_window(const struct eval *eval, const int32_t *tokens, int n,
                                   struct score *score, struct ct_error *err)
{
    const int max_step = ct_engine_info(eval->engines[MODEL])->max_step_logits;
    struct ct_session *sessions[MAX_ENGINES] = {NULL};
    enum ct_status status = CT_OK;
    for (int e = 0; status == CT_OK && e < MAX_ENGINES && eval->engines[e] != NULL; e++)
        if ((status = ct_session_open(eval->engines[e], n, &sessions[e])) != CT_OK)
            ct_error_set(err, status, "a session of %d tokens: %s", n, ct_status_text(status));
    for (int begin = 0; status == CT_OK && begin < n; begin += max_step)
        status = score_step(eval, sessions, tokens, begin,
                            begin + max_step < n ? begin + max_step : n, n, score, err);
    for (int e = 0; e < MAX_ENGINES; e++)
        ct_session_close(sessions[e]);
    return status;
}

static void print_progress(int64_t i, int64_t n, const struct score *score, uint64_t start_ns)
{
    if (!isatty(STDERR_FILENO))
        return;
    double left_s = (double)(ct_clock_ns() - start_ns) * 1e-9 / (double)i * (double)(n - i);
    fprintf(stderr, "\r%lld/%lld windows, perplexity %.3f, %.0f s left   ", (long long)i,
            (long long)n, exp(score->nll[MODEL] / (double)score->n_tok), left_s);
    if (i == n)
        fputc('\n', stderr);
}

/* The mean of n values and its standard error, from their sum and the sum of their squares. */
static double mean_of(double sum, double squares, int64_t n, double *standard_error)
{
    const double mean = sum / (double)n;
    const double variance = (squares / (double)n - mean * mean) / (double)(n > 1 ? n - 1 : 1);
    *standard_error = sqrt(variance > 0 ? variance : 0);
    return mean;
}

static void print_perplexity(const struct eval *eval, const struct score *score, int64_t n_windows)
{
    double error;
    const double mean = mean_of(score->nll[MODEL], score->nll_squares[MODEL], score->n_tok, &error);
    printf(eval->is_json ? "{\"perplexity\": %.6f, \"standard_error\": %.6f, \"tokens\": %lld, "
                           "\"windows\": %lld, \"context\": %lld}\n"
                         : "perplexity %.4f +- %.4f over %lld tokens (%lld windows of %lld)\n",
           exp(mean), exp(mean) * error, (long long)score->n_tok, (long long)n_windows,
           (long long)eval->context_tok);
}

static void print_divergence(const struct eval *eval, const struct score *score)
{
    double error;
    const double n = (double)score->n_tok;
    const double kl = mean_of(score->kl, score->kl_squares, score->n_tok, &error);
    printf(
        eval->is_json
            ? "{\"mean_kl\": %.8f, \"standard_error\": %.8f, \"max_kl\": %.6f, "
              "\"top1_agreement\": %.6f, \"perplexity\": %.6f, \"reference_perplexity\": %.6f, "
              "\"tokens\": %lld}\n"
            : "mean KL divergence %.6f +- %.6f (at most %.4f), the same likeliest token in %.4f, "
              "perplexity %.4f, the reference's %.4f, over %lld tokens\n",
        kl, error, score->max_kl, (double)score->n_same_top / n, exp(score->nll[MODEL] / n),
        exp(score->nll[REFERENCE] / n), (long long)score->n_tok);
}

static enum ct_status run(const struct eval *eval, struct ct_error *err)
{
    struct ct_engine *engine = eval->engines[MODEL];
    int32_t *ids = NULL;
    size_t n_ids = 0;
    enum ct_status status = ct_cli_read_tokens(engine, eval->text, &ids, &n_ids, err);
    const int n = (int)eval->context_tok;
    int64_t n_windows = (int64_t)(n_ids / (size_t)n);
    if (status == CT_OK && n_windows == 0)
        status = ct_error_set(err, CT_INVALID, "%s: %zu tokens, one window needs %d", eval->text,
                              n_ids, n);
    if (eval->n_chunks > 0 && eval->n_chunks < n_windows)
        n_windows = eval->n_chunks;
    struct score score = {0};
    const uint64_t start_ns = ct_clock_ns();
    for (int64_t i = 0; status == CT_OK && i < n_windows; i++) {
        int32_t *window = ids + i * n;
        if (ct_engine_info(engine)->bos_id >= 0)
            window[0] = ct_engine_info(engine)->bos_id;
        status = score_window(eval, window, n, &score, err);
        if (status == CT_OK)
            print_progress(i + 1, n_windows, &score, start_ns);
    }
    if (status == CT_OK && eval->engines[REFERENCE] != NULL)
        print_divergence(eval, &score);
    else if (status == CT_OK)
        print_perplexity(eval, &score, n_windows);
    free(ids);
    return status;
}

static enum ct_status open_engine(struct eval *eval, int which, const char *path,
                                  enum ct_activations activations, enum ct_kv_type kv,
                                  struct ct_error *err)
{
    struct ct_engine_options options = {
        .n_threads = (int)eval->n_threads, .activations = activations, .kv = kv};
    const bool is_text = eval->measure == PERPLEXITY || eval->measure == DIVERGENCE;
    if (is_text) {
        options.context_tok = (int)eval->context_tok;
        options.max_sessions = 1;
        options.max_step_tok = options.max_step_logits = 256;
    }
    enum ct_status status = ct_engine_open(path, &options, &eval->engines[which], err);
    if (status != CT_OK || !is_text)
        return status;
    if (ct_engine_info(eval->engines[which])->is_encoder)
        return ct_error_set(err, CT_INVALID, "%s is an encoder: it predicts no text", path);
    const struct ct_engine_info *info = ct_engine_info(eval->engines[which]);
    if (info->context_tok < eval->context_tok)
        return ct_error_set(err, CT_CONTEXT, "--context: %lld is more than the context of %s, %d",
                            (long long)eval->context_tok, path, info->context_tok);
    if (info->n_vocab != ct_engine_info(eval->engines[MODEL])->n_vocab)
        return ct_error_set(err, CT_INVALID, "%s has %d tokens, the model %d", path, info->n_vocab,
                            ct_engine_info(eval->engines[MODEL])->n_vocab);
    return CT_OK;
}

static enum ct_status run_images(const struct eval *eval, struct ct_error *err)
{
    struct ct_image_score score;
    enum ct_status status =
        ct_score_images(eval->engines[MODEL], eval->images, eval->n_images, false, &score, err);
    if (status == CT_OK)
        printf(eval->is_json ? "{\"top1\": %.6f, \"top5\": %.6f, \"images\": %lld}\n"
                             : "top-1 %.4f, top-5 %.4f of %lld images\n",
               (double)score.n_top1 / (double)score.n_images,
               (double)score.n_top5 / (double)score.n_images, (long long)score.n_images);
    return status;
}

/* What is wrong with the options of a measure, or NULL. */
static const char *find_mistake(const struct eval *eval)
{
    if (eval->measure == N_MEASURES)
        return "the measure is 'perplexity', 'divergence', 'sts' or 'images'";
    if (eval->measure == IMAGES && eval->images == NULL)
        return "--images is missing";
    if (eval->measure == IMAGES && eval->text != NULL)
        return "--text is not for 'images'";
    if (eval->measure != IMAGES && eval->text == NULL)
        return "--text is missing";
    if (eval->measure != IMAGES && (eval->images != NULL || eval->n_images > 0))
        return "--images and --limit are for 'images'";
    if (eval->measure != DIVERGENCE && eval->reference != NULL)
        return "--reference is for 'divergence'";
    if (eval->measure >= STS && (eval->n_chunks > 0 || eval->context_tok != 512))
        return "--context and --chunks are for texts";
    return NULL;
}

int ct_cli_eval(int argc, char **argv)
{
    struct eval eval = {.context_tok = 512};
    const struct ct_option options[] = {
        {"text", "FILE",
         "the text to score, or for sts a CSV file: sentence,sentence,score (needed)",
         CT_OPTION_TEXT, &eval.text, 0, 0, NULL},
        {"images", "DIR",
         "images: JPEG and PNG files in subfolders named after their classes, or with names that "
         "begin with them (needed)",
         CT_OPTION_TEXT, &eval.images, 0, 0, NULL},
        {"limit", "N", "images: N of them, spread evenly (all)", CT_OPTION_INT, &eval.n_images, 1,
         1e9, NULL},
        {"reference", "MODEL", "divergence: from this model, with float activations (MODEL itself)",
         CT_OPTION_TEXT, &eval.reference, 0, 0, NULL},
        {"context", "N", "tokens in a window; its second half is scored (512)", CT_OPTION_INT,
         &eval.context_tok, 4, 65536, NULL},
        {"chunks", "N", "score the first N windows only (all)", CT_OPTION_INT, &eval.n_chunks, 1,
         1e9, NULL},
        {"threads", "N", "worker threads (all processors)", CT_OPTION_INT, &eval.n_threads, 1, 256,
         NULL},
        {"activations", "MODE",
         "of MODEL: int8, float, w8a8 as int8 accelerators have it, or ibert, integers throughout "
         "(int8)",
         CT_OPTION_CHOICE, &eval.activations, 0, 0, "int8|float|w8a8|ibert"},
        {"kv", "TYPE", "keys and values of MODEL: f16 or int8 (f16)", CT_OPTION_CHOICE, &eval.kv, 0,
         0, "f16|int8"},
        {"json", NULL,
         "print JSON: perplexity, standard_error, tokens; or mean_kl, top1_agreement ...",
         CT_OPTION_FLAG, &eval.is_json, 0, 0, NULL},
        {"help", NULL, "print this", CT_OPTION_FLAG, &eval.wants_help, 0, 0, NULL},
        {0},
    };
    const struct ct_cli_usage usage = {
        "eval perplexity|divergence|sts MODEL --text FILE [OPTION...]\n"
        "       centroid eval images MODEL --images DIR [OPTION...]",
        "perplexity: of a text, in windows that do not overlap, the second half of each scored, "
        "as\n"
        "llama.cpp's tool does. divergence: how far MODEL's predictions are from the reference's:\n"
        "mean KL divergence and top-1 agreement. sts: Spearman's correlation of a sentence "
        "encoder's\n"
        "cosines, or a cross-encoder's scores, with scores of pairs. images: how often an image\n"
        "classifier is right. MODEL is a directory or a GGUF file.",
        2, "perplexity MODEL"};
    const char *positional[2];
    int n_positional, exit_code;
    if (!ct_cli_parse(&usage, options, argc, argv, &eval.wants_help, positional, 2, &n_positional,
                      &exit_code))
        return exit_code;
    static const char *const measures[] = {"perplexity", "divergence", "sts", "images"};
    eval.measure = PERPLEXITY;
    while (eval.measure < N_MEASURES && strcmp(positional[0], measures[eval.measure]) != 0)
        eval.measure++;
    const char *wrong = find_mistake(&eval);
    if (wrong != NULL) {
        fprintf(stderr, "centroid eval: %s\n", wrong);
        return CT_EXIT_USAGE;
    }
    struct ct_error err;
    enum ct_status status =
        open_engine(&eval, MODEL, positional[1], (enum ct_activations)eval.activations,
                    (enum ct_kv_type)eval.kv, &err);
    if (status == CT_OK && eval.measure == DIVERGENCE)
        status =
            open_engine(&eval, REFERENCE, eval.reference != NULL ? eval.reference : positional[1],
                        CT_ACTIVATIONS_FLOAT, CT_KV_F16, &err);
    if (status == CT_OK && eval.measure == STS)
        status = ct_eval_sts(eval.engines[MODEL], eval.text, eval.is_json, &err);
    else if (status == CT_OK && eval.measure == IMAGES)
        status = run_images(&eval, &err);
    else if (status == CT_OK)
        status = run(&eval, &err);
    for (int e = 0; e < MAX_ENGINES; e++)
        ct_engine_close(eval.engines[e]);
    return status == CT_OK ? CT_EXIT_OK : ct_cli_fail("eval", &err);
}
