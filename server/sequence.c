#include "server/sequence.h"

#include "engine/base/clock.h"

#include <math.h>

enum ct_status ct_sequence_admit(struct ct_sequence *sequence, struct ct_engine *engine)
{
    struct ct_sampling sampling = sequence->request->sampling;
    sampling.seed = sequence->seed;
    enum ct_status status =
        ct_session_open(engine, sequence->n_prompt + sequence->max_tokens, &sequence->session);
    if (status != CT_OK) {
        ct_error_set(&sequence->error, status, "%s", ct_status_text(status));
        return status;
    }
    sequence->admitted_ns = ct_clock_ns();
    sequence->error.status = CT_OK;
    status = ct_sampler_open(engine, &sampling, &sequence->sampler, &sequence->error);
    if (status == CT_OK)
        sequence->phase = CT_PHASE_PREFILL;
    return status;
}

bool ct_sequence_has_room(struct ct_sequence *sequence)
{
    if (ct_ring_room(&sequence->ring) >= sequence->reserve)
        return true;
    /* Say so first and look again: the reader looks at the flag after it has made room. */
    atomic_store(&sequence->is_stalled, true);
    return ct_ring_room(&sequence->ring) >= sequence->reserve;
}

struct ct_slice ct_sequence_slice(const struct ct_sequence *sequence, int n_tokens)
{
    struct ct_slice slice = {.session = sequence->session, .n_tokens = n_tokens};
    if (sequence->phase == CT_PHASE_PREFILL) {
        slice.tokens = sequence->prompt + sequence->n_evaluated;
        slice.n_logits = sequence->n_evaluated + n_tokens == sequence->n_prompt;
    } else {
        slice.tokens = &sequence->last_token;
        slice.n_logits = 1;
    }
    return slice;
}

/* The n likeliest tokens, likeliest first, by insertion: n is at most 20. Returns how many. */
static int rank(const float *logits, int n_vocab, int n, struct ct_logprob *top)
{
    int n_top = 0;
    for (int id = 0; id < n_vocab && n > 0; id++) {
        if (n_top == n && logits[id] <= top[n - 1].logprob)
            continue;
        int at = n_top < n ? n_top++ : n - 1;
        for (; at > 0 && top[at - 1].logprob < logits[id]; at--)
            top[at] = top[at - 1];
        top[at] = (struct ct_logprob){.token = id, .logprob = logits[id]};
    }
    return n_top;
}

/* The natural log of the sum of e^logit, without overflow. */
static double log_sum_exp(const float *logits, int n_vocab)
{
    float max = logits[0];
    for (int id = 1; id < n_vocab; id++)
        max = logits[id] > max ? logits[id] : max;
    double sum = 0;
    for (int id = 0; id < n_vocab; id++)
        sum += expf(logits[id] - max);
    return max + log(sum);
}

/* One record for token (-1: none) with the text at the front of the stop buffer. Logprobs are those
 * of the model's own distribution, before temperature, penalties and cuts. */
static bool write_record(struct ct_sequence *sequence, int32_t token, size_t n_text,
                         const float *logits, int n_vocab)
{
    struct ct_request *request = sequence->request;
    struct ct_record record = {.n_text = (uint32_t)n_text, .chosen = {.token = -1}};
    struct ct_logprob top[CT_MAX_TOP_LOGPROBS];
    if (request->has_logprobs && token >= 0) {
        double total = log_sum_exp(logits, n_vocab);
        record.n_top = rank(logits, n_vocab, request->n_top_logprobs, top);
        record.chosen = (struct ct_logprob){token, (float)(logits[token] - total)};
        for (int i = 0; i < record.n_top; i++)
            top[i].logprob = (float)(top[i].logprob - total);
    } else if (n_text == 0) {
        return false;
    }
    ct_ring_put(&sequence->ring, &record, sizeof record);
    ct_ring_put(&sequence->ring, top, (size_t)record.n_top * sizeof *top);
    ct_ring_put(&sequence->ring, sequence->stop.held, n_text);
    ct_ring_publish(&sequence->ring);
    ct_stop_release(&sequence->stop, n_text);
    return true;
}

/* The end of the text: an unfinished character, and what was held for a stop string that did not
 * come. */
static bool flush(struct ct_sequence *sequence)
{
    struct ct_stop *stop = &sequence->stop;
    size_t n = ct_detokenizer_finish(&sequence->detokenizer, stop->held + stop->n_held);
    bool is_hit = false;
    size_t n_text = ct_stop_push(stop, n, &is_hit);
    return write_record(sequence, -1, is_hit ? n_text : stop->n_held, NULL, 0);
}

static bool take_token(struct ct_sequence *sequence, const struct ct_engine *engine,
                       const float *logits)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    struct ct_stop *stop = &sequence->stop;
    int32_t token = ct_sampler_next(sequence->sampler, logits, NULL);
    sequence->last_token = token;
    sequence->n_generated++;
    if (ct_engine_is_eos(engine, token)) {
        sequence->finish = CT_FINISH_STOP;
        return flush(sequence);
    }
    size_t n_bytes = 0;
    const char *bytes = ct_engine_token_bytes(engine, token, &n_bytes);
    size_t n_new =
        ct_detokenizer_push(&sequence->detokenizer, bytes, n_bytes, stop->held + stop->n_held);
    bool is_hit = false;
    size_t n_text = ct_stop_push(stop, n_new, &is_hit);
    bool is_news = write_record(sequence, token, n_text, logits, info->n_vocab);
    if (is_hit) {
        sequence->finish = CT_FINISH_STOP;
    } else if (sequence->n_generated == sequence->max_tokens) {
        sequence->finish = CT_FINISH_LENGTH;
        is_news |= flush(sequence);
    }
    return is_news;
}

bool ct_sequence_advance(struct ct_sequence *sequence, const struct ct_engine *engine,
                         const struct ct_slice *slice)
{
    if (sequence->phase == CT_PHASE_DECODE) {
        ct_cost_add(&sequence->decode, &slice->cost);
        return take_token(sequence, engine, slice->logits);
    }
    ct_cost_add(&sequence->prefill, &slice->cost);
    sequence->n_evaluated += slice->n_tokens;
    if (sequence->n_evaluated < sequence->n_prompt)
        return false;
    sequence->phase = CT_PHASE_DECODE;
    bool is_news = take_token(sequence, engine, slice->logits);
    sequence->first_ns = ct_clock_ns();
    return is_news;
}

void ct_sequence_finish(struct ct_sequence *sequence)
{
    ct_session_close(sequence->session);
    ct_sampler_close(sequence->sampler);
    sequence->session = NULL;
    sequence->sampler = NULL;
    sequence->phase = CT_PHASE_DONE;
    sequence->done_ns = ct_clock_ns();
}
