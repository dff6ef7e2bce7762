/* centroid eval sts: how well a sentence encoder's cosines order pairs of sentences, as people scored
 * them (STS-B and its like): Spearman's rank correlation, ties at their mean rank. Of a cross-encoder, how
 * well its scores of the pairs do.
 *
 * The file is CSV: sentence, sentence, score. Sentences are packed into steps as full as they get. */
#include "cli/eval_sts.h"

#include "cli/cli.h"
#include "engine/base/file.h"
#include "engine/base/scores.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    const char *texts[2];
    double score;
};

struct pairs {
    char *bytes; /* the file, fields cut and unquoted in place */
    struct pair *items;
    int n;
};

/* Cuts the field at *at off, in place, and moves *at behind what ends it; returns its text. *is_last:
 * a line or the file ended. */
static char *cut_field(char **at, bool *is_last)
{
    char *text = *at, *in = *at, *out = *at;
    bool is_quoted = *in == '"';
    in += is_quoted;
    for (; *in != '\0' && (is_quoted || (*in != ',' && *in != '\n')); in++) {
        if (is_quoted && *in == '"' && in[1] != '"') {
            is_quoted = false;
            continue;
        }
        in += is_quoted && *in == '"'; /* "" is a quote */
        *out++ = *in;
    }
    *is_last = *in != ',';
    *at = in + (*in != '\0');
    if (out > text && out[-1] == '\r')
        out--;
    *out = '\0';
    return text;
}

static enum ct_status read_pair(struct pairs *pairs, char **at, int line, struct ct_error *err)
{
    struct pair *pair = &pairs->items[pairs->n];
    char *score = NULL, *end = NULL;
    bool is_last = false;
    int n_fields = 0;
    for (; !is_last; n_fields++) {
        char *field = cut_field(at, &is_last);
        if (n_fields < 2)
            pair->texts[n_fields] = field;
        score = field;
    }
    if (n_fields != 3)
        return ct_error_set(err, CT_FORMAT, "record %d has %d fields, expected 3", line, n_fields);
    pair->score = strtod(score, &end);
    if (end != score && *end == '\0' && isfinite(pair->score)) {
        pairs->n++;
        return CT_OK;
    }
    if (line == 1) /* the columns' names */
        return CT_OK;
    return ct_error_set(err, CT_FORMAT, "record %d: the score \"%.32s\" is not a number", line,
                        score);
}

static enum ct_status read_pairs(const char *path, struct pairs *pairs, struct ct_error *err)
{
    size_t n_bytes, n_lines = 1;
    enum ct_status status = ct_file_read(path, &pairs->bytes, &n_bytes, err);
    if (status != CT_OK)
        return status;
    if (memchr(pairs->bytes, '\0', n_bytes) != NULL)
        return ct_error_set(err, CT_FORMAT, "%s: there is a zero byte in it", path);
    for (size_t i = 0; i < n_bytes; i++)
        n_lines += pairs->bytes[i] == '\n';
    pairs->items = calloc(n_lines, sizeof *pairs->items);
    if (pairs->items == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %zu pairs", n_lines);
    char *text = pairs->bytes;
    for (int line = 1; *text != '\0' && status == CT_OK; line++)
        status = read_pair(pairs, &text, line, err);
    if (status != CT_OK)
        return ct_error_prefix(err, "%s", path);
    if (pairs->n < 2)
        return ct_error_set(err, CT_FORMAT, "%s: %d pairs, at least 2 expected", path, pairs->n);
    return CT_OK;
}

/* ---- vectors ---- */

/* Sentences waiting for a step. */
struct packed {
    struct ct_engine *engine;
    struct ct_slice *slices; /* [max_step_logits] */
    float **vectors;         /* [max_step_logits]: where each one's goes */
    int32_t *tokens, *types; /* [max_step_tok] */
    int n, n_tok;
};

static enum ct_status flush(struct packed *p, struct ct_error *err)
{
    const size_t width = (size_t)ct_engine_info(p->engine)->n_outputs;
    enum ct_status status = ct_engine_step(p->engine, p->slices, p->n, err);
    for (int i = 0; i < p->n; i++) {
        if (status == CT_OK)
            memcpy(p->vectors[i], p->slices[i].logits, width * sizeof(float));
        ct_session_close(p->slices[i].session);
    }
    p->n = p->n_tok = 0;
    return status;
}

/* A sentence, or two as a cross-encoder reads them: second is NULL or that one. */
static enum ct_status add(struct packed *p, const char *text, const char *second, float *vector,
                          struct ct_error *err)
{
    const struct ct_engine_info *info = ct_engine_info(p->engine);
    size_t n_ids = 0, room = (size_t)(info->max_step_tok - p->n_tok);
    int32_t *tokens = p->tokens + p->n_tok, *types = p->types + p->n_tok;
    enum ct_status status =
        second == NULL
            ? ct_engine_tokenize(p->engine, text, strlen(text), true, tokens, room, &n_ids)
            : ct_engine_tokenize_pair(p->engine, text, strlen(text), second, strlen(second), tokens,
                                      types, room, &n_ids);
    if (status != CT_OK)
        return ct_error_set(err, status, "%s", ct_status_text(status));
    if (n_ids > (size_t)info->context_tok)
        return ct_error_set(err, CT_CONTEXT, "\"%.40s...\" has %zu tokens, the model takes %d",
                            text, n_ids, info->context_tok);
    if (n_ids > room) {
        status = flush(p, err);
        return status == CT_OK ? add(p, text, second, vector, err) : status;
    }
    struct ct_slice *slice = &p->slices[p->n];
    *slice = (struct ct_slice){.tokens = tokens,
                               .types = second != NULL ? types : NULL,
                               .n_tokens = (int)n_ids,
                               .n_logits = 1};
    status = ct_session_open(p->engine, (int)n_ids, &slice->session);
    if (status != CT_OK)
        return ct_error_set(err, status, "%s", ct_status_text(status));
    p->vectors[p->n++] = vector;
    p->n_tok += (int)n_ids;
    return p->n == info->max_step_logits ? flush(p, err) : CT_OK;
}

/* vectors [2 n, width]; of a cross-encoder, scores [n]. */
static enum ct_status encode(struct ct_engine *engine, const struct pairs *pairs, float *vectors,
                             struct ct_error *err)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    const size_t n_most = (size_t)info->max_step_logits;
    const bool is_paired = info->task == CT_TASK_CLASSIFY;
    struct packed packed = {
        .engine = engine,
        .slices = calloc(n_most, sizeof *packed.slices),
        .vectors = calloc(n_most, sizeof *packed.vectors),
        .tokens = calloc((size_t)info->max_step_tok, sizeof *packed.tokens),
        .types = calloc((size_t)info->max_step_tok, sizeof *packed.types),
    };
    enum ct_status status = CT_OK;
    if (packed.slices == NULL || packed.vectors == NULL || packed.tokens == NULL ||
        packed.types == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for a step");
    for (int i = 0; i < pairs->n && status == CT_OK; i++) {
        const char *const *texts = pairs->items[i].texts;
        float *row = vectors + (size_t)(is_paired ? 1 : 2) * (size_t)i * (size_t)info->n_outputs;
        status = add(&packed, texts[0], is_paired ? texts[1] : NULL, row, err);
        if (status == CT_OK && !is_paired)
            status = add(&packed, texts[1], NULL, row + info->n_outputs, err);
    }
    if (status == CT_OK)
        status = flush(&packed, err);
    free(packed.slices);
    free(packed.vectors);
    free(packed.tokens);
    free(packed.types);
    return status;
}

/* ---- correlation ---- */

struct ranked {
    double value, rank;
    int place;
};

static int by_value(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

static int by_place(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->place - y->place;
}

/* Ranks from 1 up; equal values share the mean of theirs. */
static void rank(struct ranked *items, int n)
{
    qsort(items, (size_t)n, sizeof *items, by_value);
    for (int i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && !(items[end].value > items[i].value); end++)
            ;
        for (int j = i; j < end; j++)
            items[j].rank = (i + 1 + end) / 2.0;
    }
    qsort(items, (size_t)n, sizeof *items, by_place);
}

/* Pearson's correlation of the ranks; NaN where one side is all the same. */
static double spearman(struct ranked *a, struct ranked *b, int n)
{
    const double mean = (n + 1) / 2.0;
    double ab = 0, aa = 0, bb = 0;
    rank(a, n);
    rank(b, n);
    for (int i = 0; i < n; i++) {
        const double x = a[i].rank - mean, y = b[i].rank - mean;
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return ab / sqrt(aa * bb);
}

enum ct_status ct_eval_sts_score(struct ct_engine *engine, const char *path, int64_t n_most,
                                 double *score, int *n_pairs, struct ct_error *err)
{
    const int width = ct_engine_info(engine)->n_outputs;
    struct pairs pairs = {0};
    float *vectors = NULL;
    struct ranked *sides = NULL;
    const bool is_paired = ct_engine_info(engine)->n_labels == 1;
    if (ct_engine_info(engine)->task != CT_TASK_EMBED && !is_paired)
        return ct_error_set(
            err, CT_INVALID, "the model %s; sts needs a sentence encoder or a cross-encoder",
            ct_engine_info(engine)->n_labels > 0 ? "tells classes apart" : "generates text");
    enum ct_status status = read_pairs(path, &pairs, err);
    if (status != CT_OK)
        goto out;
    if (n_most > 0 && n_most < pairs.n)
        pairs.n = (int)n_most;
    const size_t n = (size_t)pairs.n;
    vectors = malloc(2 * n * (size_t)width * sizeof *vectors);
    sides = malloc(2 * n * sizeof *sides);
    if (vectors == NULL || sides == NULL) {
        status = ct_error_set(err, CT_MEMORY, "no memory for %zu vectors", 2 * n);
        goto out;
    }
    status = encode(engine, &pairs, vectors, err);
    if (status != CT_OK)
        goto out;
    for (int i = 0; i < pairs.n; i++) {
        const float *first = vectors + (size_t)i * 2 * (size_t)width;
        const double value =
            is_paired ? (double)vectors[i] : ct_cosine(first, first + width, width);
        sides[i] = (struct ranked){.value = value, .place = i};
        sides[n + (size_t)i] = (struct ranked){.value = pairs.items[i].score, .place = i};
    }
    *score = spearman(sides, sides + n, pairs.n);
    *n_pairs = pairs.n;
out:
    free(pairs.bytes);
    free(pairs.items);
    free(vectors);
    free(sides);
    return status;
}

enum ct_status ct_eval_sts(struct ct_engine *engine, const char *path, bool is_json,
                           struct ct_error *err)
{
    double score;
    int n_pairs;
    enum ct_status status = ct_eval_sts_score(engine, path, 0, &score, &n_pairs, err);
    if (status == CT_OK)
        printf(is_json ? "{\"spearman\": %.6f, \"pairs\": %d}\n" : "Spearman %.4f over %d pairs\n",
               score, n_pairs);
    return status;
}
