#include "server/forecast.h"

#include <math.h>
#include <stddef.h>

int ct_prompt_budget(const struct ct_pace *pace, const struct ct_outlook_limits *limits,
                     const struct ct_work *decodes, int n_before)
{
    const int room = limits->max_tok - decodes->n_tok;
    const int least = limits->min_chunk_tok < room ? limits->min_chunk_tok : room;
    int budget = decodes->n_tok > 0 ? limits->max_tok / 4 : limits->max_tok;
    if (pace->is_known) {
        const double limit_ns = decodes->n_tok == 0
                                    ? limits->prompt_ns
                                    : fmax(limits->token_ns, 2 * ct_pace_ns(pace, decodes));
        budget = ct_pace_fit(pace, decodes, n_before, room, limit_ns);
    }
    budget = budget < room ? budget : room;
    return budget > least ? budget : least;
}

/* A moment of the play. */
struct moment {
    struct ct_outlook_item *items;
    int n_running, n;
    double now_ns;
    int n_open; /* of what is asked for: not yet ended */
};

static bool is_over(const struct ct_outlook_item *item)
{
    return item->n_prompt <= 0 && item->n_answer <= 0;
}

/* Ended items go, waiting ones get their sessions. */
static void rotate(struct moment *m, int max_sessions, struct ct_outlook *out)
{
    int n_kept = 0;
    for (int i = 0; i < m->n_running; i++) {
        if (!is_over(&m->items[i])) {
            m->items[n_kept++] = m->items[i];
            continue;
        }
        if (out->first_end_ns == 0)
            out->first_end_ns = m->now_ns;
        if (m->items[i].is_asked) {
            m->n_open--;
            out->done_ns = m->now_ns;
        }
    }
    const int n_gone = m->n_running - n_kept;
    for (int i = m->n_running; n_gone > 0 && i < m->n; i++)
        m->items[i - n_gone] = m->items[i];
    m->n -= n_gone;
    m->n_running = n_kept;
    for (; m->n_running < m->n && m->n_running < max_sessions; m->n_running++)
        if (m->items[m->n_running].is_asked && out->admitted_ns < 0)
            out->admitted_ns = m->now_ns;
}

/* From one event to the next. Prompts are read one after the other, but share steps: where there is
 * another behind it, a short one takes a part of a step only. */
static void advance(struct moment *m, const struct ct_pace *pace,
                    const struct ct_outlook_limits *limits, struct ct_outlook *out)
{
    struct ct_outlook_item *prompt = NULL;
    struct ct_work work = {0};
    double n_steps = INFINITY, n_to_read = 0, n_read = 0;
    for (int i = 0; i < m->n_running; i++) {
        struct ct_outlook_item *item = &m->items[i];
        n_to_read += item->n_prompt;
        if (item->n_prompt > 0) {
            prompt = prompt != NULL ? prompt : item;
            continue;
        }
        work.n_tok++;
        work.n_logits++;
        work.n_keys += item->n_context;
        n_steps = fmin(n_steps, item->n_answer);
    }
    if (prompt != NULL) {
        n_read = ct_prompt_budget(pace, limits, &work, (int)prompt->n_context);
        n_read = fmax(1, fmin(n_read, ceil(n_to_read)));
        n_steps = fmin(n_steps, prompt->n_prompt / n_read);
        work.n_tok += (int)n_read;
        work.n_keys += n_read * (prompt->n_context + n_read / 2);
    }
    work.n_keys += work.n_logits * n_steps / 2; /* contexts grow */
    const double ns = n_steps * ct_pace_ns(pace, &work);
    const double pj = n_steps * ct_pace_pj(pace, &work) / work.n_tok;
    m->now_ns += ns;
    for (int i = 0; i < m->n_running; i++) {
        struct ct_outlook_item *item = &m->items[i];
        if (item == prompt) {
            out->prefill_pj += item->is_asked ? pj * n_read : 0;
            item->n_context += n_steps * n_read;
            item->n_prompt -= n_steps * n_read;
            if (item->n_prompt > 1e-6)
                continue;
            item->n_prompt = 0;
            item->n_answer -= 1; /* the last row of a prompt brings the first token */
            if (item->is_asked)
                out->first_ns = m->now_ns;
        } else if (item->n_prompt <= 0) {
            out->decode_pj += item->is_asked ? pj : 0;
            item->n_context += n_steps;
            item->n_answer -= n_steps;
            if (item->n_answer < 1e-6)
                item->n_answer = 0;
        }
    }
}

void ct_forecast(const struct ct_pace *pace, const struct ct_outlook_limits *limits,
                 struct ct_outlook_item *items, int n_running, int n, struct ct_outlook *out)
{
    struct moment m = {.items = items, .n_running = n_running, .n = n};
    *out = (struct ct_outlook){.admitted_ns = -1};
    for (int i = 0; i < n; i++)
        m.n_open += items[i].is_asked;
    const bool is_asked = m.n_open > 0;
    while (pace->is_known && m.n > 0) {
        rotate(&m, limits->max_sessions, out);
        if (m.n == 0 || (is_asked ? m.n_open == 0 : out->first_end_ns > 0))
            break;
        advance(&m, pace, limits, out);
    }
    if (out->admitted_ns < 0)
        out->admitted_ns = 0;
}
