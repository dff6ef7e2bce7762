/* Sampling: logits -> penalties and bias -> temperature -> top_k -> top_p -> min_p -> a token.
 *
 * Temperature 0 is greedy: the highest logit, the lowest id among equals. Otherwise candidates
 * leave a heap in order of falling probability (ties: the lower id first) until a cut is met, and
 * one of them is drawn by the request's own seed: the same logits and seed give the same token
 * anywhere. The engine thread; scratch is the engine's. */
#include "engine/base/rng.h"
#include "engine/kernels/kernels.h"
#include "engine/runtime/engine_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ct_sampler {
    const struct ct_engine *engine;
    struct ct_sampling how;
    struct ct_rng rng;
    uint16_t *counts; /* [n_vocab]: how often each was generated; NULL without penalties */
};

static enum ct_status check(const struct ct_engine *engine, const struct ct_sampling *s,
                            struct ct_error *err)
{
    const struct {
        const char *name;
        double value, min, max;
    } limits[] = {
        {"temperature", s->temperature, 0, 100},
        {"top_k", s->top_k, 0, INT32_MAX},
        {"top_p", s->top_p, 0, 1},
        {"min_p", s->min_p, 0, 1},
        {"presence_penalty", s->presence_penalty, -2, 2},
        {"frequency_penalty", s->frequency_penalty, -2, 2},
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (!(limits[i].value >= limits[i].min && limits[i].value <= limits[i].max))
            return ct_error_set(err, CT_INVALID, "%s: %g is outside %g..%g", limits[i].name,
                                limits[i].value, limits[i].min, limits[i].max);
    for (int i = 0; i < s->n_bias; i++)
        if (s->bias_ids[i] < 0 || s->bias_ids[i] >= engine->info.n_vocab)
            return ct_error_set(err, CT_INVALID, "logit_bias: token %d is outside 0..%d",
                                (int)s->bias_ids[i], engine->info.n_vocab - 1);
    return CT_OK;
}

enum ct_status ct_sampler_open(const struct ct_engine *engine, const struct ct_sampling *sampling,
                               struct ct_sampler **out, struct ct_error *err)
{
    *out = NULL;
    enum ct_status status = check(engine, sampling, err);
    if (status != CT_OK)
        return status;
    struct ct_sampler *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for a sampler");
    s->engine = engine;
    s->how = *sampling;
    ct_rng_init(&s->rng, sampling->seed);
    if (sampling->presence_penalty != 0 || sampling->frequency_penalty != 0) {
        s->counts = calloc((size_t)engine->info.n_vocab, sizeof *s->counts);
        if (s->counts == NULL) {
            free(s);
            return ct_error_set(err, CT_MEMORY, "no memory for a sampler");
        }
    }
    *out = s;
    return CT_OK;
}

void ct_sampler_close(struct ct_sampler *sampler)
{
    if (sampler == NULL)
        return;
    free(sampler->counts);
    free(sampler);
}

/* The logits as this request changes them, in the engine's scratch; or as they are. */
static const float *adjust(const struct ct_sampler *s, const float *logits)
{
    const int n = s->engine->info.n_vocab;
    if (s->counts == NULL && s->how.n_bias == 0)
        return logits;
    float *changed = s->engine->sampling;
    memcpy(changed, logits, (size_t)n * sizeof *changed);
    for (int i = 0; s->counts != NULL && i < n; i++)
        if (s->counts[i] > 0)
            changed[i] -=
                (float)(s->how.presence_penalty + s->how.frequency_penalty * s->counts[i]);
    for (int i = 0; i < s->how.n_bias; i++)
        changed[s->how.bias_ids[i]] += s->how.bias[i];
    return changed;
}

/* The highest of n, the first among equals. The lanes let the compiler use vectors. */
static int highest(const float *logits, int n)
{
    enum { LANES = 32 };
    float peaks[LANES];
    for (int j = 0; j < LANES; j++)
        peaks[j] = logits[0];
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            peaks[j] = logits[i + j] > peaks[j] ? logits[i + j] : peaks[j];
    for (; i < n; i++)
        peaks[0] = logits[i] > peaks[0] ? logits[i] : peaks[0];
    for (int j = 1; j < LANES; j++)
        peaks[0] = peaks[j] > peaks[0] ? peaks[j] : peaks[0];
    for (i = 0; i < n && logits[i] != peaks[0]; i++)
        ;
    return i < n ? i : 0;
}

/* A max-heap of ids by weight; among equals the lower id is above. */
static bool is_above(const float *weight, int32_t a, int32_t b)
{
    return weight[a] > weight[b] || (weight[a] == weight[b] && a < b);
}

static void sift_down(int32_t *heap, int n, int i, const float *weight)
{
    if (n == 0)
        return;
    const int32_t id = heap[i];
    for (int child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && is_above(weight, heap[child + 1], heap[child]))
            child++;
        if (!is_above(weight, heap[child], id))
            break;
        heap[i] = heap[child];
    }
    heap[i] = id;
}

/* Draws from the candidates that pass the cuts. weight [n] are probabilities; total is
 * their sum. */
static int draw_cut(struct ct_sampler *s, const float *weight, double total)
{
    const int n = s->engine->info.n_vocab;
    const bool has_top_k = s->how.top_k > 0 && s->how.top_k < n;
    const int max_taken = has_top_k ? s->how.top_k : n;
    int32_t *heap = s->engine->sampling_ids;
    for (int i = 0; i < n; i++)
        heap[i] = i;
    for (int i = n / 2 - 1; i >= 0; i--)
        sift_down(heap, n, i, weight);

    /* The heap shrinks from its end, where what was taken gathers: heap[n - 1] was taken first. */
    int first = n;
    double sum = 0;
    while (n - first < max_taken && (has_top_k || sum < s->how.top_p * total || first == n)) {
        const int32_t id = heap[0];
        heap[0] = heap[--first];
        heap[first] = id;
        sift_down(heap, first, 0, weight);
        sum += weight[id];
    }
    /* top_p is of what top_k left, and min_p of what both left. */
    const double kept = has_top_k ? s->how.top_p * sum : INFINITY;
    int end = n;
    sum = 0;
    while (end > first && sum < kept && (end == n || weight[heap[end - 1]] >= s->how.min_p * weight[heap[n - 1]]))
        sum += weight[heap[--end]];

    double target = ct_rng_uniform(&s->rng) * sum;
    for (int i = n - 1; i > end; i--) {
        target -= weight[heap[i]];
        if (target < 0)
            return heap[i];
    }
    return heap[end];
}

static int draw_any(struct ct_sampler *s, const float *weight, double total)
{
    const int n = s->engine->info.n_vocab;
    double target = ct_rng_uniform(&s->rng) * total;
    int last = 0;
    for (int i = 0; i < n; i++) {
        if (weight[i] <= 0)
            continue;
        target -= weight[i];
        last = i;
        if (target < 0)
            break;
    }
    return last;
}

static int draw(struct ct_sampler *s, const float *logits)
{
    const int n = s->engine->info.n_vocab;
    float *weight = s->engine->sampling + n;
    const float inverse = (float)(1 / s->how.temperature);
    for (int i = 0; i < n; i++)
        weight[i] = logits[i] * inverse;
    ct_kernels()->softmax(weight, n);
    double total = 0;
    for (int i = 0; i < n; i++)
        total += weight[i];
    const bool is_cut =
        (s->how.top_k > 0 && s->how.top_k < n) || s->how.top_p < 1 || s->how.min_p > 0;
    return is_cut ? draw_cut(s, weight, total) : draw_any(s, weight, total);
}

static float log_probability(const float *logits, int n, int id)
{
    const float peak = logits[highest(logits, n)];
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)logits[i] - peak);
    return (float)(logits[id] - peak - log(sum));
}

int ct_sampler_next(struct ct_sampler *s, const float *logits, float *logprob)
{
    const int n = s->engine->info.n_vocab;
    const float *adjusted = adjust(s, logits);
    const int id = s->how.temperature == 0 ? highest(adjusted, n) : draw(s, adjusted);
    if (logprob != NULL)
        *logprob = log_probability(logits, n, id);
    if (s->counts != NULL && s->counts[id] < UINT16_MAX)
        s->counts[id]++;
    return id;
}
