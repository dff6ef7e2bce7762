/* All sequences that wait or run, and the rounds that advance them: the policy (schedule.h) and
 * the model of costs (pace.h, forecast.h) applied to real sessions. The engine thread's alone;
 * batcher.c brings requests and takes the news away.
 *
 *   a round:  admit -> make room -> choose a step -> run it -> book it
 *
 * Pages are taken as sequences grow. When there are none left, the sequence that the policy gives
 * up yields its own and is read again later: its text does not change by that. One that is alone
 * always fits, or was refused when it came; the first in rank never yields; so all of them end. */
#ifndef CT_SERVER_ROSTER_H
#define CT_SERVER_ROSTER_H

#include "server/forecast.h"
#include "server/request.h"

/* As things are, and sums over all rounds. */
struct ct_roster_stats {
    int n_running, n_waiting;
    struct ct_page_counts pages;
    uint64_t n_steps, step_ns;
    uint64_t n_prefill_tok, n_decode_tok; /* evaluated */
    uint64_t n_prompt_tok, n_cached_tok;  /* of the prompts that were begun */
    uint64_t n_yields;
    bool is_measured; /* all that is measured of the pace */
    double
        first_end_ns; /* from the last round on: until a sequence is likely to end; 0: not known */
};

struct ct_roster {
    struct ct_engine *engine;
    const struct ct_engine_info *info;
    struct ct_schedule schedule;
    struct ct_pace pace;
    struct ct_outlook_limits limits;
    struct ct_client *clients; /* [max_turns + 1] */
    struct ct_turn **waiting;  /* [max_turns] */
    struct ct_turn **running;  /* [max_sessions] */
    int n_waiting, n_running;
    struct ct_turn **batch;    /* [max_sessions], of the step */
    struct ct_slice *slices;   /* [max_sessions] */
    struct ct_sequence **news; /* [max_turns], for the loop thread */
    int n_news;
    struct ct_turn **ranked;       /* [max_turns + CT_MAX_SEQUENCES]: scratch of outlooks */
    struct ct_outlook_item *items; /* the same */
    uint64_t n_ended, n_generated; /* answers that ended by themselves; tokens of all answers */
    struct ct_roster_stats stats;
};

/* At most max_turns sequences are here at a time; token_ns: the time between two tokens of an
 * answer that is aimed at while prompts are read. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_roster_init(struct ct_roster *roster, struct ct_engine *engine,
                                            int max_turns, double token_ns);
void ct_roster_deinit(struct ct_roster *roster);

/* A request arrives. One that can never fit into memory, or whose deadline is out of reach, ends
 * at once. */
void ct_roster_add(struct ct_roster *roster, struct ct_request *request, uint64_t now_ns);

/* Ends what was cancelled or is too late, and everything when is_stopping. */
void ct_roster_reap(struct ct_roster *roster, uint64_t now_ns, bool is_stopping);

/* Chooses and prepares a step; false: there is nothing to do. */
bool ct_roster_prepare(struct ct_roster *roster);

/* Runs it. Allocates nothing. */
void ct_roster_step(struct ct_roster *roster);

/* When there is nothing to do: measures a little of the pace; false once all is known. */
bool ct_roster_measure(struct ct_roster *roster);

/* Fills request->estimate. */
void ct_roster_estimate(struct ct_roster *roster, struct ct_request *request, uint64_t now_ns);

#endif
