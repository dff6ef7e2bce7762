#include "server/request.h"

#include "engine/base/clock.h"
#include "engine/base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* Identifiers only have to be different from each other, so that one seed at the first use is
 * enough. */
void ct_random_hex(char *out, int n_hex)
{
    static struct ct_rng rng;
    static bool is_seeded;
    if (!is_seeded) {
        uint64_t seed = 0;
        if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
            seed = ct_clock_ns();
        ct_rng_init(&rng, seed);
        is_seeded = true;
    }
    uint64_t bits = 0;
    for (int i = 0; i < n_hex; i++) {
        if (i % 16 == 0)
            bits = ct_rng_next(&rng);
        out[i] = "0123456789abcdef"[bits & 15];
        bits >>= 4;
    }
    out[n_hex] = '\0';
}

bool ct_model_answers(const struct ct_model *model, enum ct_request_kind kind)
{
    const struct ct_engine_info *info = model->info;
    switch (kind) {
    case CT_REQUEST_COMPLETION:
    case CT_REQUEST_CHAT:
        return info->task == CT_TASK_GENERATE;
    case CT_REQUEST_EMBEDDING:
        return info->task == CT_TASK_EMBED;
    case CT_REQUEST_CLASSIFY:
        return info->task == CT_TASK_CLASSIFY;
    case CT_REQUEST_RERANK:
        return info->image.n_channels == 0 && (info->task == CT_TASK_EMBED || info->n_labels == 1);
    case CT_N_REQUEST_KINDS:
        break;
    }
    return false;
}

struct ct_request *ct_request_open(enum ct_request_kind kind)
{
    struct ct_request *request = calloc(1, sizeof *request);
    if (request == NULL)
        return NULL;
    ct_arena_init(&request->arena);
    request->kind = kind;
    char digits[25];
    ct_random_hex(digits, 24);
    static const char *const prefixes[] = {"cmpl", "chatcmpl", "embd", "class", "rerank"};
    snprintf(request->id, sizeof request->id, "%s-%s", prefixes[kind], digits);
    request->created_s = (int64_t)time(NULL);
    request->received_ns = ct_clock_ns();
    request->n_choices = 1;
    atomic_init(&request->stop_status, CT_OK);
    /* "No seed" means a different answer each time. */
    if (getrandom(&request->sampling.seed, sizeof request->sampling.seed, 0) < 0)
        request->sampling.seed = request->received_ns;
    return request;
}

void ct_request_close(struct ct_request *request)
{
    if (request == NULL)
        return;
    ct_arena_deinit(&request->arena);
    free(request);
}

enum ct_status ct_request_arm(struct ct_request *request)
{
    const struct ct_model *model = request->model;
    /* OpenAI's: 16 for a completion, whatever fits for a chat. */
    int default_tokens = request->kind == CT_REQUEST_CHAT ? model->info->context_tok : 16;
    const bool is_text = ct_request_is_text(request);
    size_t longest_stop = 0;
    for (int i = 0; i < request->n_stops; i++)
        if (request->stops[i].n_bytes > longest_stop)
            longest_stop = request->stops[i].n_bytes;
    size_t n_piece = 3 * model->max_token_bytes + CT_DETOKENIZER_SLACK;
    size_t n_held = longest_stop + n_piece;
    /* A step writes one record; the end of a sequence may write one more, for the text still
     * held. */
    size_t reserve = 2 * (sizeof(struct ct_record) + n_held) +
                     (size_t)request->n_top_logprobs * sizeof(struct ct_logprob);
    size_t capacity = 8192;
    while (capacity < 4 * reserve)
        capacity *= 2;

    request->n_sequences = request->n_prompts * request->n_choices;
    request->sequences =
        ct_arena_alloc(&request->arena, (size_t)request->n_sequences * sizeof *request->sequences);
    if (request->sequences == NULL)
        return CT_MEMORY;
    for (int i = 0; i < request->n_sequences; i++) {
        struct ct_sequence *sequence = &request->sequences[i];
        int p = i / request->n_choices;
        sequence->request = request;
        sequence->prompt = &request->prompts[p];
        sequence->max_tokens = request->max_tokens > 0 ? request->max_tokens : default_tokens;
        if (sequence->max_tokens > model->info->context_tok - sequence->prompt->n_tok)
            sequence->max_tokens = model->info->context_tok - sequence->prompt->n_tok;
        sequence->seed = request->sampling.seed + (uint64_t)(i % request->n_choices);
        sequence->leader =
            i % request->n_choices > 0 ? &request->sequences[p * request->n_choices] : NULL;
        sequence->turn.n_tok = sequence->prompt->n_tok;
        sequence->turn.priority = request->priority;
        sequence->turn.is_whole = !is_text;
        if (!is_text)
            sequence->max_tokens = 0;
        if (request->is_estimate)
            continue;
        if (!is_text) {
            sequence->row =
                ct_arena_alloc(&request->arena, (size_t)model->info->n_outputs * sizeof(float));
            if (sequence->row == NULL)
                return CT_MEMORY;
            continue;
        }
        sequence->stop.texts = request->stops;
        sequence->stop.n_texts = request->n_stops;
        sequence->stop.held = ct_arena_alloc(&request->arena, n_held);
        sequence->reserve = reserve;
        char *bytes = ct_arena_alloc(&request->arena, capacity);
        if (sequence->stop.held == NULL || bytes == NULL)
            return CT_MEMORY;
        ct_ring_init(&sequence->ring, bytes, capacity);
        atomic_init(&sequence->is_stalled, false);
    }
    return CT_OK;
}

void ct_request_ledger(const struct ct_request *request, struct ct_ledger *ledger)
{
    uint64_t admitted = 0, first = 0, done = 0;
    *ledger = (struct ct_ledger){0};
    for (int i = 0; i < request->n_sequences; i++) {
        const struct ct_sequence *s = &request->sequences[i];
        ct_cost_add(&ledger->prefill, &s->prefill);
        ct_cost_add(&ledger->decode, &s->decode);
        ledger->n_generated_tok += s->n_generated;
        if (s->admitted_ns > 0 && (admitted == 0 || s->admitted_ns < admitted))
            admitted = s->admitted_ns;
        if (s->first_ns > first)
            first = s->first_ns;
        if (s->done_ns > done)
            done = s->done_ns;
    }
    for (int p = 0; p < request->n_prompts; p++) { /* OpenAI counts each prompt once */
        ledger->n_prompt_tok += request->prompts[p].n_tok;
        ledger->n_cached_tok += request->sequences[p * request->n_choices].n_cached;
    }
    if (admitted == 0)
        admitted = done;
    if (first == 0)
        first = done;
    ledger->queue_ns = admitted - request->received_ns;
    ledger->prefill_ns = first > admitted ? first - admitted : 0;
    ledger->decode_ns = done > first ? done - first : 0;
}
