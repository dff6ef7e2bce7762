/* The policy: who goes next, and what a step holds. Numbers in, a choice out: no thread, no clock,
 * no model, no allocation.
 *
 * Who goes next, among those that wait for a session as among prompts that share a step:
 *   1. the lower priority number;
 *   2. the client that has had less of the engine's time. A client that comes back from a pause
 *      starts with as much as the least served of those that are there, so that nobody saves up
 *      time (virtual token counters: Sheng et al., OSDI 2024, algorithm 2, with time in place of
 *      tokens);
 *   3. of those that are left, the one whose prompt would be read first if each were alone from its
 *      arrival on, so that a short prompt does not wait for a long one that came just before it.
 * But one choice in eight goes to whoever came first, so that nobody starves.
 *
 * A step holds a token of every sequence that decodes, as far as there are rows, those first that
 * have waited longest; then parts of prompts, within a budget that keeps the time between two
 * tokens short. (Chunked prefill: Agrawal et al., OSDI 2024, section 4.) */
#ifndef CT_SERVER_SCHEDULE_H
#define CT_SERVER_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* Whose request it is. */
struct ct_client {
    uint64_t id;
    double served_ns; /* of the engine's time */
    int n_turns;      /* its sequences here, waiting or running */
};

/* A sequence, as the policy sees it. */
struct ct_turn {
    struct ct_client *client;
    int priority;       /* lower is earlier */
    uint64_t number;    /* of its arrival */
    uint64_t due_ns;    /* when its prompt would be read, were it alone */
    int n_tok;          /* tokens that are known: the prompt and what was generated */
    int n_done;         /* of these, evaluated */
    bool is_whole;      /* its prompt goes through one step: an encoder's */
    bool is_answering;  /* something was generated */
    bool is_ready;      /* there is room for what a step may bring */
    uint64_t last_step; /* that it was part of */
    int n_step;         /* tokens in the step that is being made */
};

/* Whether the turn's next row brings its next token: only one of the known tokens is left. */
static inline bool ct_turn_is_decoding(const struct ct_turn *turn)
{
    return turn->is_answering && turn->n_tok - turn->n_done == 1;
}

struct ct_schedule {
    struct ct_client *clients; /* [n_clients], the caller's */
    int n_clients;
    uint64_t n_arrived;
    uint64_t n_admissions, n_steps; /* choices so far */
};

/* clients [n_clients]: more than there can be turns at a time. */
void ct_schedule_init(struct ct_schedule *schedule, struct ct_client *clients, int n_clients);

/* A turn arrives, with its priority and due_ns set; and leaves for good. */
void ct_schedule_enter(struct ct_schedule *schedule, struct ct_turn *turn, uint64_t client_id);
void ct_schedule_leave(struct ct_turn *turn);

/* Whether a goes before b. */
bool ct_turn_is_before(const struct ct_turn *a, const struct ct_turn *b);

/* The one of turns [n] that goes next, of those that are ready; -1: there is none. Once the choice
 * is made it is counted. */
int ct_schedule_next(const struct ct_schedule *schedule, struct ct_turn *const *turns, int n);
void ct_schedule_count(struct ct_schedule *schedule);

/* Of turns [n] that run, the one to give its memory up: one that cannot go on, then the highest
 * priority number, then the last to arrive. -1: there is none. */
int ct_schedule_victim(struct ct_turn *const *turns, int n);

/* Gives a token (n_step) to up to max of turns [n] that decode, and none to all others; returns how
 * many it gave. */
int ct_schedule_decodes(struct ct_turn *const *turns, int n, int max);

/* Shares budget tokens (n_step) among the prompts of turns [n] that are being read; returns how
 * many it gave. A prompt that goes whole gets all its tokens, and the first one whatever the budget. */
int ct_schedule_prompts(struct ct_schedule *schedule, struct ct_turn *const *turns, int n,
                        int budget);

#endif
