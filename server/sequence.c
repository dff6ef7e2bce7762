#include "server/sequence.h"

#include "engine/base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a sequence needs once, when it first runs. */
static enum ct_status begin(struct ct_sequence *sequence, struct ct_engine *engine)
{
    struct ct_sampling sampling = sequence->request->sampling;
    const size_t n_tokens = (size_t)sequence->prompt->n_tok + (size_t)sequence->max_tokens;
    sampling.seed = sequence->seed;
    sequence->admitted_ns = ct_clock_ns();
    sequence->tokens = malloc(n_tokens * sizeof *sequence->tokens);
    if (sequence->tokens == NULL)
        return ct_error_set(&sequence->error, CT_MEMORY, "no memory for %zu tokens", n_tokens);
    memcpy(sequence->tokens, sequence->prompt->tokens,
           (size_t)sequence->prompt->n_tok * sizeof(int32_t));
    if (sequence->row != NULL)
        return CT_OK;
    return ct_sampler_open(engine, &sampling, &sequence->sampler, &sequence->error);
}

enum ct_status ct_sequence_admit(struct ct_sequence *sequence, struct ct_engine *engine)
{
    struct ct_turn *turn = &sequence->turn;
    const int32_t *tokens = sequence->tokens != NULL ? sequence->tokens : sequence->prompt->tokens;
    enum ct_status status = ct_session_open(engine, 0, &sequence->session);
    if (status != CT_OK)
        return status;
    turn->n_done = ct_session_reuse(sequence->session, tokens, turn->n_tok);
    status = ct_session_reserve(sequence->session, turn->n_tok);
    if (status == CT_BUSY) {
        ct_sequence_yield(sequence);
        return status;
    }
    if (status != CT_OK)
        ct_error_set(&sequence->error, status, "%s", ct_status_text(status));
    if (status == CT_OK && sequence->tokens == NULL)
        status = begin(sequence, engine);
    if (!turn->is_answering)
        sequence->n_cached = turn->n_done;
    sequence->phase = CT_PHASE_RUNNING;
    return status;
}

void ct_sequence_yield(struct ct_sequence *sequence)
{
    ct_session_close(sequence->session);
    sequence->session = NULL;
    sequence->turn.n_done = 0;
    sequence->phase = CT_PHASE_WAITING;
}

bool ct_sequence_has_room(struct ct_sequence *sequence)
{
    if (ct_ring_room(&sequence->ring) >= sequence->reserve)
        return true;
    /* Say so first and look again: the reader looks at the flag after it has made room. */
    atomic_store(&sequence->is_stalled, true);
    return ct_ring_room(&sequence->ring) >= sequence->reserve;
}

struct ct_slice ct_sequence_slice(const struct ct_sequence *sequence)
{
    const struct ct_turn *turn = &sequence->turn;
    return (struct ct_slice){
        .session = sequence->session,
        .tokens = sequence->tokens + turn->n_done,
        .types = sequence->prompt->types, /* of an encoder, which takes all at once */
        .pixels = sequence->prompt->pixels,
        .n_tokens = turn->n_step,
        .n_logits = turn->n_done + turn->n_step == turn->n_tok,
        .is_simulated = sequence->request->is_simulated,
    };
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
    sequence->tokens[sequence->turn.n_tok++] = token;
    sequence->n_generated++;
    sequence->turn.is_answering = true;
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
    struct ct_turn *turn = &sequence->turn;
    ct_cost_add(turn->is_answering ? &sequence->decode : &sequence->prefill, &slice->cost);
    turn->n_done += slice->n_tokens;
    if (turn->n_done < turn->n_tok)
        return false;
    if (sequence->row != NULL) {
        const size_t n = (size_t)ct_engine_info(engine)->n_outputs;
        memcpy(sequence->row, slice->logits, n * sizeof *slice->logits);
        sequence->finish = CT_FINISH_STOP;
        sequence->first_ns = ct_clock_ns();
        return true;
    }
    const bool is_news = take_token(sequence, engine, slice->logits);
    if (sequence->n_generated == 1)
        sequence->first_ns = ct_clock_ns();
    return is_news;
}

void ct_sequence_finish(struct ct_sequence *sequence)
{
    ct_session_close(sequence->session);
    ct_sampler_close(sequence->sampler);
    sequence->session = NULL;
    sequence->sampler = NULL;
    free(sequence->tokens);
    sequence->tokens = NULL;
    sequence->phase = CT_PHASE_DONE;
    sequence->done_ns = ct_clock_ns();
}
