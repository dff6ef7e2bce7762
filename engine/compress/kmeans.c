#include "engine/compress/kmeans.h"

#include "engine/base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_ROUNDS = 1000,
    MAX_QUANTILE_CELLS = 1024,
};

/* The points nearest to centroid i are edges[i]..edges[i + 1] - 1. */
static void find_edges(const struct ct_points *p, const double *c, int k, int *edges)
{
    edges[0] = 0;
    for (int i = 1; i < k; i++)
        edges[i] = ct_points_below(p, 0.5 * (c[i - 1] + c[i]));
    edges[k] = p->n;
}

static double cell_weight(const struct ct_points *p, int begin, int end)
{
    return p->w[end] - p->w[begin];
}

static double cell_mean(const struct ct_points *p, int begin, int end)
{
    double mean = (p->wx[end] - p->wx[begin]) / (p->w[end] - p->w[begin]);
    /* The prefix sums round; the mean of an interval lies inside it. */
    return mean < p->x[begin] ? p->x[begin] : mean > p->x[end - 1] ? p->x[end - 1] : mean;
}

double ct_kmeans_cost(const struct ct_points *p, const double *centroids, int n_clusters)
{
    int edges[CT_MAX_CLUSTERS + 1];
    find_edges(p, centroids, n_clusters, edges);
    double cost = p->wxx;
    for (int i = 0; i < n_clusters; i++) {
        double w = cell_weight(p, edges[i], edges[i + 1]);
        double wx = p->wx[edges[i + 1]] - p->wx[edges[i]];
        cost += centroids[i] * (centroids[i] * w - 2 * wx);
    }
    return cost > 0 ? cost : 0;
}

/* ---- Lloyd's iteration ---- */

/* Centroids at the quantiles (i + 1/2) / K of density^(1/3), or at random places of the same
 * strata. The density is taken constant over cells of equal weight, so that a cell of weight w and
 * width d adds w^(1/3) d^(2/3) to the integral. */
static void start_at_quantiles(const struct ct_points *p, int k, struct ct_rng *rng, double *c)
{
    int n_cells = p->n / 4 < MAX_QUANTILE_CELLS ? p->n / 4 + 1 : MAX_QUANTILE_CELLS;
    int edges[MAX_QUANTILE_CELLS + 1];
    double integral[MAX_QUANTILE_CELLS + 1];
    edges[0] = 0;
    integral[0] = 0;
    for (int i = 1; i <= n_cells; i++) {
        double target = p->w[p->n] * i / n_cells;
        int e = edges[i - 1];
        while (e < p->n - 1 && p->w[e + 1] < target)
            e++;
        edges[i] = e;
        double w = p->w[e] - p->w[edges[i - 1]];
        double width = p->x[e] - p->x[edges[i - 1]];
        integral[i] = integral[i - 1] + cbrt(w * width * width);
    }
    for (int i = 0, cell = 0; i < k; i++) {
        double at = (i + (rng != NULL ? ct_rng_uniform(rng) : 0.5)) / k * integral[n_cells];
        while (cell < n_cells - 1 && integral[cell + 1] < at)
            cell++;
        double size = integral[cell + 1] - integral[cell];
        double place = size > 0 ? (at - integral[cell]) / size : 0;
        double low = p->x[edges[cell]], high = p->x[edges[cell + 1]];
        c[i] = low + place * (high - low);
    }
}

static double cell_cost(const struct ct_points *p, int begin, int end)
{
    double cost = 0, mean = cell_mean(p, begin, end);
    for (int i = begin; i < end; i++)
        cost += (p->w[i + 1] - p->w[i]) * (p->x[i] - mean) * (p->x[i] - mean);
    return cost;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Moves a centroid without points into the cell that has the largest cost. False: there is none
 * such. */
static bool refill_empty_cell(const struct ct_points *p, const int *edges, int k, double *c)
{
    int empty = -1, worst = -1;
    double worst_cost = 0;
    for (int i = 0; i < k; i++)
        if (edges[i] == edges[i + 1])
            empty = i;
    if (empty < 0)
        return false;
    for (int i = 0; i < k; i++) {
        double cost = edges[i + 1] - edges[i] > 1 ? cell_cost(p, edges[i], edges[i + 1]) : 0;
        if (cost > worst_cost) {
            worst_cost = cost;
            worst = i;
        }
    }
    if (worst < 0)
        return false;
    c[worst] = p->x[edges[worst]];
    c[empty] = p->x[edges[worst + 1] - 1];
    qsort(c, (size_t)k, sizeof *c, compare_doubles);
    return true;
}

/* Moves the centroids to the means of their points until no point changes its cell. */
static void iterate(const struct ct_points *p, double *c, int k)
{
    int edges[CT_MAX_CLUSTERS + 1], before[CT_MAX_CLUSTERS + 1];
    find_edges(p, c, k, edges);
    for (int round = 0; round < MAX_ROUNDS; round++) {
        for (int i = 0; i < k; i++)
            if (edges[i] < edges[i + 1])
                c[i] = cell_mean(p, edges[i], edges[i + 1]);
        memcpy(before, edges, sizeof before);
        find_edges(p, c, k, edges);
        bool is_settled = memcmp(before, edges, (size_t)(k + 1) * sizeof *edges) == 0;
        if (is_settled && !refill_empty_cell(p, edges, k, c))
            return;
        if (is_settled)
            find_edges(p, c, k, edges);
    }
}

static void solve_lloyd(const struct ct_points *p, const struct ct_kmeans *options, double *best)
{
    int k = options->n_clusters;
    size_t n_bytes = (size_t)k * sizeof *best;
    if (options->start != NULL)
        memcpy(best, options->start, n_bytes);
    else
        start_at_quantiles(p, k, NULL, best);
    iterate(p, best, k);

    struct ct_rng rng;
    ct_rng_init(&rng, options->seed);
    double best_cost = ct_kmeans_cost(p, best, k);
    for (int i = 1; i < options->n_starts; i++) {
        double c[CT_MAX_CLUSTERS];
        start_at_quantiles(p, k, &rng, c);
        iterate(p, c, k);
        double cost = ct_kmeans_cost(p, c, k);
        if (cost < best_cost) {
            best_cost = cost;
            memcpy(best, c, n_bytes);
        }
    }
}

/* ---- dynamic programming ---- */

/* A chain of choices i_1 < i_2 < ... whose cost is the sum of cost(i_m, i_m+1). A layer is
 *     now[j] = min over i < j of before[i] + cost(i, j),    from[j] = that i
 * and needs the quadrangle inequality of cost, which both uses here satisfy. */
struct chain {
    double (*cost)(const void *context, int i, int j);
    const void *context;
    const double *before;
    double *now;
    int32_t *from;
};

static void solve_layer(const struct chain *chain, int j_low, int j_high, int i_low, int i_high)
{
    if (j_low > j_high)
        return;
    int j = j_low + (j_high - j_low) / 2, best = i_low;
    double best_cost = INFINITY;
    for (int i = i_low; i <= i_high && i < j; i++) {
        double cost = chain->before[i] + chain->cost(chain->context, i, j);
        if (cost < best_cost) {
            best_cost = cost;
            best = i;
        }
    }
    chain->now[j] = best_cost;
    chain->from[j] = best;
    solve_layer(chain, j_low, j - 1, i_low, best);
    solve_layer(chain, j + 1, j_high, best, i_high);
}

/* The scatter of points i..j-1 around their mean, without the sum of w x^2. */
static double interval_cost(const void *context, int i, int j)
{
    const struct ct_points *p = context;
    double wx = p->wx[j] - p->wx[i];
    return -wx * wx / (p->w[j] - p->w[i]);
}

static enum ct_status solve_exact(const struct ct_points *p, int k, double *centroids)
{
    size_t width = (size_t)p->n + 1;
    double *before = malloc(width * sizeof *before);
    double *now = malloc(width * sizeof *now);
    int32_t *from = malloc((size_t)k * width * sizeof *from);
    enum ct_status status = CT_MEMORY;
    if (before == NULL || now == NULL || from == NULL)
        goto out;
    for (int j = 0; j <= p->n; j++)
        before[j] = j == 0 ? 0 : INFINITY;
    for (int m = 0; m < k; m++) {
        struct chain chain = {interval_cost, p, before, now, from + (size_t)m * width};
        for (int j = 0; j <= m; j++)
            now[j] = INFINITY;
        solve_layer(&chain, m + 1, p->n, m, p->n - 1);
        double *swap = before;
        before = now;
        now = swap;
    }
    for (int m = k - 1, end = p->n; m >= 0; m--) {
        int begin = from[(size_t)m * width + (size_t)end];
        centroids[m] = cell_mean(p, begin, end);
        end = begin;
    }
    status = CT_OK;
out:
    free(from);
    free(now);
    free(before);
    return status;
}

enum ct_status ct_kmeans_solve(const struct ct_points *points, const struct ct_kmeans *options,
                               double *centroids)
{
    int k = options->n_clusters;
    if (points->n <= k) {
        for (int i = 0; i < k; i++)
            centroids[i] = points->n == 0 ? 0 : points->x[i < points->n ? i : points->n - 1];
        return CT_OK;
    }
    if (options->method == CT_KMEANS_EXACT)
        return solve_exact(points, k, centroids);
    solve_lloyd(points, options, centroids);
    return CT_OK;
}

/* ---- integer centroids ---- */

enum {
    MAX_PLACES = 2 * 127 + 1,
    MAX_HALVES = 2 * MAX_PLACES - 1,
    WINDOW = 2, /* lloyd: how far from its rounded centroid an integer may lie */
};

/* The integers from lowest up: place i is lowest + i. With prefix sums at the halves, where
 * the cells of integers meet: half h stands at lowest + h / 2. */
struct halves {
    int lowest, n_places;
    double w[MAX_HALVES], wx[MAX_HALVES];
    double all_w, all_wx;
};

static void halves_init(struct halves *halves, const struct ct_points *p, int lowest, int highest)
{
    halves->lowest = lowest;
    halves->n_places = highest - lowest + 1;
    for (int h = 0, below = 0; h < 2 * halves->n_places - 1; h++) {
        while (below < p->n && p->x[below] < 0.5 * h + lowest)
            below++;
        halves->w[h] = p->w[below];
        halves->wx[h] = p->wx[below];
    }
    halves->all_w = p->w[p->n];
    halves->all_wx = p->wx[p->n];
}

static double cost_to(const struct halves *halves, int place, double w, double wx)
{
    double c = halves->lowest + place;
    return c * (c * w - 2 * wx);
}

/* The points between two neighbouring centroids, at places i < j, each to the nearer; without w
 * x^2. */
static double gap_cost(const void *context, int i, int j)
{
    const struct halves *halves = context;
    double w = halves->w[i + j], wx = halves->wx[i + j];
    return cost_to(halves, i, w - halves->w[2 * i], wx - halves->wx[2 * i]) +
           cost_to(halves, j, halves->w[2 * j] - w, halves->wx[2 * j] - wx);
}

/* The points below the first centroid, and those above the last. */
static double first_cost(const struct halves *halves, int place)
{
    return cost_to(halves, place, halves->w[2 * place], halves->wx[2 * place]);
}

static double last_cost(const struct halves *halves, int place)
{
    return cost_to(halves, place, halves->all_w - halves->w[2 * place],
                   halves->all_wx - halves->wx[2 * place]);
}

static int best_end(const struct halves *halves, const double *cost, int low, int high)
{
    int best = low;
    for (int j = low; j <= high; j++)
        if (cost[j] + last_cost(halves, j) < cost[best] + last_cost(halves, best))
            best = j;
    return best;
}

/* The best k < n_places places of all. */
static enum ct_status choose_places(const struct halves *halves, int k, int *places)
{
    const int n_places = halves->n_places;
    double layers[2][MAX_PLACES];
    double *before = layers[0], *now = layers[1];
    int32_t *from = malloc((size_t)(k * n_places) * sizeof *from);
    if (from == NULL)
        return CT_MEMORY;
    for (int j = 0; j < n_places; j++)
        before[j] = first_cost(halves, j);
    for (int m = 1; m < k; m++) {
        struct chain chain = {gap_cost, halves, before, now, from + (size_t)(m * n_places)};
        for (int j = 0; j < m; j++)
            now[j] = INFINITY;
        solve_layer(&chain, m, n_places - 1, m - 1, n_places - 2);
        double *swap = before;
        before = now;
        now = swap;
    }
    places[k - 1] = best_end(halves, before, k - 1, n_places - 1);
    for (int m = k - 1; m > 0; m--)
        places[m - 1] = from[(size_t)(m * n_places) + (size_t)places[m]];
    free(from);
    return CT_OK;
}

/* Rounded centroids, pushed apart where they meet: k <= n_places different places in order. */
static void round_apart(const struct halves *halves, const double *centroids, int k, int *places)
{
    const int last = halves->n_places - 1;
    for (int m = 0; m < k; m++) {
        double place = nearbyint(centroids[m]) - halves->lowest;
        int low = m > 0 ? places[m - 1] + 1 : 0;
        places[m] = place < low ? low : place > last ? last : (int)place;
    }
    for (int m = k - 1, high = last; m >= 0; m--, high--)
        if (places[m] > high)
            places[m] = high;
        else
            high = places[m];
}

/* The best places within WINDOW of the given ones, which are replaced. */
static void adjust_places(const struct halves *halves, int k, int *places)
{
    enum { N = 2 * WINDOW + 1 };
    double before[N], now[N];
    int8_t from[CT_MAX_CLUSTERS][N];
    for (int m = 0; m < k; m++) {
        for (int b = 0; b < N; b++) {
            int j = places[m] + b - WINDOW;
            now[b] = m == 0 && j >= 0 && j < halves->n_places ? first_cost(halves, j) : INFINITY;
            from[m][b] = 0;
            for (int a = 0; a < N && m > 0 && j < halves->n_places; a++) {
                int i = places[m - 1] + a - WINDOW;
                if (i < 0 || i >= j || isinf(before[a]))
                    continue;
                double cost = before[a] + gap_cost(halves, i, j);
                if (cost < now[b]) {
                    now[b] = cost;
                    from[m][b] = (int8_t)a;
                }
            }
        }
        memcpy(before, now, sizeof before);
    }
    int end = WINDOW;
    double end_cost = INFINITY;
    for (int b = 0; b < N; b++) {
        if (isinf(before[b]))
            continue;
        double cost = before[b] + last_cost(halves, places[k - 1] + b - WINDOW);
        if (cost < end_cost) {
            end_cost = cost;
            end = b;
        }
    }
    for (int m = k - 1; m >= 0; m--) {
        int next = from[m][end];
        places[m] += end - WINDOW;
        end = next;
    }
}

enum ct_status ct_kmeans_solve_i8(const struct ct_points *points, const struct ct_kmeans *options,
                                  int8_t *centroids)
{
    struct halves halves;
    halves_init(&halves, points, options->has_magnitudes ? 0 : -options->largest, options->largest);
    int k = options->n_clusters < halves.n_places ? options->n_clusters : halves.n_places;
    int places[MAX_PLACES];
    if (options->method == CT_KMEANS_EXACT && k < halves.n_places) {
        enum ct_status status = choose_places(&halves, k, places);
        if (status != CT_OK)
            return status;
    } else {
        double near[CT_MAX_CLUSTERS];
        struct ct_kmeans lloyd = *options;
        lloyd.method = CT_KMEANS_LLOYD;
        lloyd.n_clusters = k;
        enum ct_status status = ct_kmeans_solve(points, &lloyd, near);
        if (status != CT_OK)
            return status;
        round_apart(&halves, near, k, places);
        adjust_places(&halves, k, places);
    }
    for (int i = 0; i < options->n_clusters; i++)
        centroids[i] = (int8_t)(places[i < k ? i : k - 1] + halves.lowest);
    return CT_OK;
}
