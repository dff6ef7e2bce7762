/* What a step costs: a model that is measured when the engine is idle after its start, and learns
 * from every step.
 *
 *   cost(step) = f(rows) + keys * c
 *
 * rows: tokens whose logits are wanted, and the others at their share of one; keys: what the tokens
 * attend to, summed over them.
 *
 * f is a line from knot to knot at 1, 2, 4, 8 ... rows: flat where the weights' memory binds,
 * rising where arithmetic does. Time and energy have one such curve each. A step moves the knots
 * beside it a fifth of the way to what was seen, and everything else a little: a machine that
 * slows down does so for all steps. Pure functions of their arguments. */
#ifndef CT_SERVER_PACE_H
#define CT_SERVER_PACE_H

#include <stdbool.h>

enum { CT_PACE_KNOTS = 18 }; /* up to 131,072 rows */

/* What is in a step. */
struct ct_work {
    int n_tok, n_logits;
    double n_keys;
};

/* The keys that n tokens attend to, after n_before others. */
static inline double ct_work_keys(int n_before, int n)
{
    return (double)n * (n_before + (n + 1) / 2.0);
}

struct ct_curve {
    double knots[CT_PACE_KNOTS]; /* at 2^i rows; never falling */
    double key;
    double plain_rows; /* what a token without logits costs, in rows */
};

struct ct_pace {
    struct ct_curve time_ns, energy_pj;
    int n_probes;  /* of the measurement, done */
    bool is_known; /* anything was measured or learnt */
};

void ct_pace_init(struct ct_pace *pace);

/* One step of the measurement: n_tok tokens after depth others, with logits for the last n_logits.
 * */
struct ct_probe {
    int number;
    int n_tok, n_logits, depth;
};

/* The next step to measure; false once there is none. */
bool ct_pace_probe(const struct ct_pace *pace, int max_tok, int max_logits, int context_tok,
                   struct ct_probe *probe);
void ct_pace_probed(struct ct_pace *pace, const struct ct_probe *probe, double ns, double pj);
void ct_pace_skip(struct ct_pace *pace, const struct ct_probe *probe); /* it could not be done */

/* A real step took this much. */
void ct_pace_learn(struct ct_pace *pace, const struct ct_work *work, double ns, double pj);

/* What a step will take; 0 as long as nothing is known. */
double ct_pace_ns(const struct ct_pace *pace, const struct ct_work *work);
double ct_pace_pj(const struct ct_pace *pace, const struct ct_work *work);

/* The most tokens of a prompt, up to max, that a step can take on beside work within ns, when
 * n_before tokens of the prompt are evaluated. */
int ct_pace_fit(const struct ct_pace *pace, const struct ct_work *work, int n_before, int max,
                double ns);

#endif
