/* When a request will be through: what is at work is played forward, from one event to the next (a
 * prompt is read, an answer ends, a session is free), at the pace that the model of costs expects.
 * What may still arrive, and what memory is short of, is left out. A pure function. */
#ifndef CT_SERVER_FORECAST_H
#define CT_SERVER_FORECAST_H

#include "server/pace.h"

/* A sequence, with what is left of it; tokens are spread evenly over time, so that parts of one
 * occur. */
struct ct_outlook_item {
    double n_prompt;  /* to be read */
    double n_answer;  /* to be generated, as far as can be expected */
    double n_context; /* evaluated */
    bool is_asked;    /* whose times are asked for */
};

/* How steps are made up. */
struct ct_outlook_limits {
    int max_sessions, max_tok, min_chunk_tok;
    double token_ns,
        prompt_ns; /* how long a step may take, beside sequences that decode or without */
};

/* From now: until the first of what is asked for has a session, until the last of it has its first
 * token, and until the last of it ends; with the energy of its part in the steps. */
struct ct_outlook {
    double admitted_ns, first_ns, done_ns;
    double prefill_pj, decode_pj;
    double first_end_ns; /* until anything ends */
};

/* items [n] in the order in which they get sessions, of which the first n_running have one. They
 * are used up. Without an item that is asked for, only first_end_ns is found. All 0 as long as
 * nothing is known of the pace. */
void ct_forecast(const struct ct_pace *pace, const struct ct_outlook_limits *limits,
                 struct ct_outlook_item *items, int n_running, int n, struct ct_outlook *out);

/* The tokens of a step's prompts beside its decodes: what token_ns leaves room for, or what takes as
 * long as the decodes, if that is more, or everybody would wait for a first token when many decode.
 * The roster's steps follow the same rule. n_before tokens of the first prompt are evaluated. */
int ct_prompt_budget(const struct ct_pace *pace, const struct ct_outlook_limits *limits,
                     const struct ct_work *decodes, int n_before);

#endif
