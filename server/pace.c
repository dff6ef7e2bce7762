#include "server/pace.h"

#include <math.h>

/* How far a step moves the knots beside it, and all the rest, towards what was seen. */
static const double near_rate = 0.2, far_rate = 0.02;

/* The measurement: knots up to 32 rows, and the rest of them by extension; it stops at a step that
 * takes too long. */
enum { PROBE_KNOTS = 6, PLAIN_TOK = 64, DEEP_TOK = 32, DEPTH = 256 };
static const double longest_probe_ns = 2e8;

void ct_pace_init(struct ct_pace *pace)
{
    *pace = (struct ct_pace){.time_ns.plain_rows = 1, .energy_pj.plain_rows = 1};
}

/* ---- curves ---- */

/* The knot at or before rows, and how far the way to the next one is. */
static int knot_before(double rows, double *part)
{
    int i = 0;
    while (i < CT_PACE_KNOTS - 2 && ldexp(1, i + 1) <= rows)
        i++;
    *part = rows > 1 ? rows / ldexp(1, i) - 1 : 0;
    return i;
}

static double rows_of(const struct ct_curve *curve, const struct ct_work *work)
{
    return work->n_logits + curve->plain_rows * (work->n_tok - work->n_logits);
}

static double curve_at(const struct ct_curve *curve, const struct ct_work *work)
{
    double part;
    const int i = knot_before(rows_of(curve, work), &part);
    return curve->knots[i] + part * (curve->knots[i + 1] - curve->knots[i]) +
           work->n_keys * curve->key;
}

/* Where the curve without keys reaches a value. */
static double rows_at(const struct ct_curve *curve, double value)
{
    for (int i = 0; i + 1 < CT_PACE_KNOTS; i++) {
        const double a = curve->knots[i], b = curve->knots[i + 1];
        if (value <= b && b > a)
            return ldexp(value > a ? 1 + (value - a) / (b - a) : 1, i);
    }
    return 1;
}

/* Knots after the first n go on as the last two measured ones do. */
static void extend(struct ct_curve *curve, int n)
{
    for (int i = n; i < CT_PACE_KNOTS; i++) {
        const double slope = i > 1 ? (curve->knots[i - 1] - curve->knots[i - 2]) / ldexp(1, i - 2)
                                   : curve->knots[0] / 4;
        curve->knots[i] = curve->knots[i - 1] + slope * ldexp(1, i - 1);
    }
}

static void keep_rising(struct ct_curve *curve)
{
    for (int i = 1; i < CT_PACE_KNOTS; i++)
        if (curve->knots[i] < curve->knots[i - 1])
            curve->knots[i] = curve->knots[i - 1];
}

static void curve_learn(struct ct_curve *curve, const struct ct_work *work, double seen)
{
    const double expected = curve_at(curve, work);
    double ratio = expected > 0 ? seen / expected : 1, part;
    ratio = ratio > 4 ? 4 : ratio < 0.25 ? 0.25 : ratio; /* a step may have been held up */
    const int near = knot_before(rows_of(curve, work), &part);
    for (int i = 0; i < CT_PACE_KNOTS; i++) {
        const double weight = i == near ? 1 - part : i == near + 1 ? part : 0;
        curve->knots[i] *= 1 + (far_rate + near_rate * weight) * (ratio - 1);
    }
    curve->key *= 1 + far_rate * (ratio - 1);
    keep_rising(curve);
}

/* The first thing that is ever seen: a tenth of it is taken to be there whatever the rows. */
static void curve_begin(struct ct_curve *curve, double rows, double seen)
{
    for (int i = 0; i < CT_PACE_KNOTS; i++)
        curve->knots[i] = seen * (0.1 + 0.9 * ldexp(1, i) / rows);
}

/* ---- measurement ---- */

/* 0 warms up; then one for each of the first knots, one for tokens without logits, one for keys. */
enum { PLAIN_PROBE = PROBE_KNOTS + 1, DEEP_PROBE, N_PROBES };

bool ct_pace_probe(const struct ct_pace *pace, int max_tok, int max_logits, int context_tok,
                   struct ct_probe *probe)
{
    int most = max_tok < max_logits ? max_tok : max_logits;
    most = most < context_tok ? most : context_tok;
    for (int n = pace->n_probes; n < N_PROBES; n++) {
        const int knot = n > 0 ? n - 1 : 0, room = context_tok - DEEP_TOK;
        *probe = n == PLAIN_PROBE ? (struct ct_probe){n, PLAIN_TOK, 1, 0}
                 : n == DEEP_PROBE
                     ? (struct ct_probe){n, DEEP_TOK, DEEP_TOK, room < DEPTH ? room : DEPTH}
                     : (struct ct_probe){n, 1 << knot, 1 << knot, 0};
        if (probe->n_tok <= most && probe->depth >= 0)
            return true;
    }
    return false;
}

static void take_knot(struct ct_curve *curve, int knot, double seen)
{
    curve->knots[knot] = seen;
    extend(curve, knot + 1);
    keep_rising(curve);
}

static void take_plain(struct ct_curve *curve, const struct ct_probe *probe, double seen)
{
    const double rows = rows_at(curve, seen) - probe->n_logits;
    curve->plain_rows = fmin(fmax(rows / (probe->n_tok - probe->n_logits), 0.1), 1);
}

static void take_keys(struct ct_curve *curve, const struct ct_probe *probe, double seen)
{
    const double least = 1e-6 * curve->knots[0];
    const double more = seen - curve_at(curve, &(struct ct_work){probe->n_tok, probe->n_logits, 0});
    curve->key = more / ct_work_keys(probe->depth, probe->n_tok);
    if (curve->key < least)
        curve->key = least;
}

void ct_pace_probed(struct ct_pace *pace, const struct ct_probe *probe, double ns, double pj)
{
    const int n = probe->number;
    pace->n_probes = n + 1;
    if (n == PLAIN_PROBE) {
        take_plain(&pace->time_ns, probe, ns);
        take_plain(&pace->energy_pj, probe, pj);
    } else if (n == DEEP_PROBE) {
        take_keys(&pace->time_ns, probe, ns);
        take_keys(&pace->energy_pj, probe, pj);
    } else if (n > 0) {
        take_knot(&pace->time_ns, n - 1, ns);
        take_knot(&pace->energy_pj, n - 1, pj);
        pace->is_known = true;
    }
    if (ns > longest_probe_ns && n > 0)
        pace->n_probes = N_PROBES;
}

void ct_pace_skip(struct ct_pace *pace, const struct ct_probe *probe)
{
    pace->n_probes = probe->number + 1;
}

/* ---- use ---- */

void ct_pace_learn(struct ct_pace *pace, const struct ct_work *work, double ns, double pj)
{
    if (!pace->is_known) {
        curve_begin(&pace->time_ns, work->n_tok, ns);
        curve_begin(&pace->energy_pj, work->n_tok, pj);
        pace->is_known = true;
        return;
    }
    curve_learn(&pace->time_ns, work, ns);
    curve_learn(&pace->energy_pj, work, pj);
}

double ct_pace_ns(const struct ct_pace *pace, const struct ct_work *work)
{
    return curve_at(&pace->time_ns, work);
}

double ct_pace_pj(const struct ct_pace *pace, const struct ct_work *work)
{
    return curve_at(&pace->energy_pj, work);
}

int ct_pace_fit(const struct ct_pace *pace, const struct ct_work *work, int n_before, int max,
                double ns)
{
    int fits = 0, too_many = max + 1;
    while (too_many - fits > 1) {
        const int n = fits + (too_many - fits) / 2;
        const struct ct_work all = {work->n_tok + n, work->n_logits,
                                    work->n_keys + ct_work_keys(n_before, n)};
        if (ct_pace_ns(pace, &all) <= ns)
            fits = n;
        else
            too_many = n;
    }
    return fits;
}
