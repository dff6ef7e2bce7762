/* The study's figures: score and error against clusters, shares by function, and the platforms, each with
 * the published figures beside ours. */
#include "cli/study.h"
#include "cli/study_forms.h"
#include "engine/base/svg.h"

#include <string.h>

enum { WIDTH = 900, HEIGHT = 440, LEFT = 70, TOP = 46, PLOT_WIDTH = 500, PLOT_HEIGHT = 330 };

static const char *const PUBLISHED_COLOUR = "#000";
static const char *const DASH = "5 3";

struct axes {
    double x_low, x_high; /* log2 */
    double low, high, step;
    bool is_log; /* the vertical one: powers of ten, as exponents */
};

static double x_of(const struct axes *axes, double x)
{
    const double span = axes->x_high > axes->x_low ? axes->x_high - axes->x_low : 1;
    return LEFT + PLOT_WIDTH * (log2(x) - axes->x_low) / span;
}

static double y_of(const struct axes *axes, double y)
{
    return TOP +
           PLOT_HEIGHT * (axes->high - (axes->is_log ? log10(y) : y)) / (axes->high - axes->low);
}

/* Round steps around [low, high]. */
static void set_range(struct axes *axes, double low, double high)
{
    axes->step = ct_svg_step(high > low ? high - low : 1);
    axes->low = floor(low / axes->step) * axes->step;
    axes->high = (floor(high / axes->step) + 1) * axes->step;
}

static void put_frame(FILE *file, const struct axes *axes, const char *x_name, const char *y_name)
{
    char text[32];
    for (double at = axes->low; at <= axes->high + 0.001 * axes->step; at += axes->step) {
        const double value = axes->is_log ? pow(10, at) : at, y = y_of(axes, value);
        snprintf(text, sizeof text, "%.4g", fabs(value) < 1e-9 ? 0 : value);
        ct_svg_line(file, LEFT, y, LEFT + PLOT_WIDTH, y, "#ddd", 1, NULL);
        ct_svg_text(file, LEFT - 8, y + 4, "end", text);
    }
    for (double at = axes->x_low; at < axes->x_high + 0.5; at++) {
        snprintf(text, sizeof text, "%.4g", exp2(at));
        ct_svg_text(file, x_of(axes, exp2(at)), TOP + PLOT_HEIGHT + 18, "middle", text);
    }
    ct_svg_text(file, LEFT + PLOT_WIDTH / 2.0, TOP + PLOT_HEIGHT + 42, "middle", x_name);
    ct_svg_text_up(file, 18, TOP + PLOT_HEIGHT / 2.0, y_name);
}

static void put_legend(FILE *file, int place, const char *colour, const char *text)
{
    const double y = TOP + 12 + 18 * place;
    ct_svg_point(file, LEFT + PLOT_WIDTH + 26, y - 4, 4, colour, text);
    ct_svg_text(file, LEFT + PLOT_WIDTH + 38, y, "start", text);
}

/* ---- against clusters ---- */

typedef double value_fn(const struct ct_study_point *point);

static double score_of(const struct ct_study_point *point)
{
    return point->score;
}

static double error_of(const struct ct_study_point *point)
{
    return point->error;
}

static struct axes cluster_axes(const struct ct_study *study, value_fn *value, bool is_log)
{
    struct axes axes = {.x_low = 8, .x_high = 1, .is_log = is_log};
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < study->n_points; i++) {
        const struct ct_study_point *point = &study->points[i];
        const double y = is_log ? log10(value(point)) : value(point);
        if (isnan(y))
            continue;
        low = fmin(low, y);
        high = fmax(high, y);
        if (point->n_clusters > 0) {
            axes.x_low = fmin(axes.x_low, floor(log2(point->n_clusters)));
            axes.x_high = fmax(axes.x_high, ceil(log2(point->n_clusters)));
        }
    }
    set_range(&axes, low, high);
    if (is_log) {
        axes.step = 1;
        axes.low = floor(low);
        axes.high = ceil(high + 1e-9);
    }
    return axes;
}

/* Points of a series in the order of their clusters, joined. */
static void put_series(FILE *file, const struct ct_study *study, const struct axes *axes,
                       int series, value_fn *value)
{
    const char *colour = ct_svg_colours[series - 1];
    double last_x = NAN, last_y = NAN;
    char text[128];
    for (int k = 2; k <= 256; k++) {
        const struct ct_study_point *point = ct_study_find(study, series, k);
        if (point == NULL || isnan(value(point)))
            continue;
        const double x = x_of(axes, k), y = y_of(axes, value(point));
        snprintf(text, sizeof text, "%s, %d clusters: %.5g", ct_study_series[series].title, k,
                 value(point));
        ct_svg_point(file, x, y, 4, colour, text);
        if (!isnan(last_x))
            ct_svg_line(file, last_x, last_y, x, y, colour, 1.6, NULL);
        last_x = x;
        last_y = y;
    }
    put_legend(file, series - 1, colour, ct_study_series[series].title);
}

/* What the study lost, taken off the float model's score. */
static void put_published_losses(FILE *file, const struct ct_study *study, const struct axes *axes)
{
    const double base = study->points[0].score;
    char text[96];
    for (int i = 0; i < study->n_points; i++) {
        const struct ct_study_point *point = &study->points[i];
        const double losses[] = {point->published_deit, point->published_vit};
        for (int j = 0; j < 2; j++) {
            if (isnan(losses[j]))
                continue;
            snprintf(text, sizeof text, "published, %s, %d clusters: %g points lost",
                     j == 0 ? "DeiT" : "ViT", point->n_clusters, losses[j]);
            ct_svg_point(file, x_of(axes, point->n_clusters), y_of(axes, base - losses[j] / 100), 3,
                         PUBLISHED_COLOUR, text);
        }
    }
    ct_svg_line(file, LEFT, y_of(axes, base), LEFT + PLOT_WIDTH, y_of(axes, base), "#333", 1, DASH);
    ct_svg_text(file, LEFT + 6, y_of(axes, base) - 5, "start", "float weights");
    put_legend(file, CT_STUDY_N_SERIES - 1, PUBLISHED_COLOUR, "published losses of DeiT and ViT");
}

static void plot_clusters(const struct ct_study *study, FILE *file, const char *title,
                          const char *y_name, value_fn *value, bool is_log)
{
    const struct axes axes = cluster_axes(study, value, is_log);
    ct_svg_begin(file, WIDTH, HEIGHT, title);
    put_frame(file, &axes, "clusters", y_name);
    for (int series = 1; series < CT_STUDY_N_SERIES; series++)
        put_series(file, study, &axes, series, value);
    if (value == score_of)
        put_published_losses(file, study, &axes);
    ct_svg_end(file);
}

void ct_study_plot_scores(const struct ct_study *study, FILE *file)
{
    plot_clusters(study, file, "Task score by number of clusters", "score", score_of, false);
}

void ct_study_plot_errors(const struct ct_study *study, FILE *file)
{
    plot_clusters(study, file, "Error of the weights by number of clusters",
                  "relative RMS error, %", error_of, true);
}

/* ---- shares by function ---- */

static double memory_of(const struct ct_study_function *f)
{
    return f->parameter_bytes + f->activation_bytes;
}

static double float_time_of(const struct ct_study_function *f)
{
    return f->float_ms;
}

static double clustered_time_of(const struct ct_study_function *f)
{
    return f->clustered_ms;
}

enum { SHARE_LEFT = 170, SHARE_WIDTH = 560, ROW_HEIGHT = 22 };

/* One bar for each function from `y` down; returns where the next group begins. */
static double put_shares(FILE *file, const struct ct_study *study, double y, const char *title,
                         double (*value)(const struct ct_study_function *), double published)
{
    double sum = 0;
    char text[96];
    for (int i = 0; i < CT_STUDY_N_FUNCTIONS; i++)
        sum += value(&study->functions[i]);
    ct_svg_text(file, SHARE_LEFT, y, "start", title);
    const double top = y + 8;
    for (int i = 0; i < CT_STUDY_N_FUNCTIONS; i++) {
        const double share = value(&study->functions[i]) / sum, at = top + ROW_HEIGHT * i;
        snprintf(text, sizeof text, "%.1f %%", 100 * share);
        ct_svg_text(file, SHARE_LEFT - 8, at + 14, "end", study->functions[i].name);
        ct_svg_bar(file, SHARE_LEFT, at, SHARE_WIDTH * share, ROW_HEIGHT - 4,
                   ct_svg_colours[i % CT_SVG_N_COLOURS], text);
        ct_svg_text(file, SHARE_LEFT + SHARE_WIDTH * share + 6, at + 14, "start", text);
    }
    const double bottom = top + ROW_HEIGHT * CT_STUDY_N_FUNCTIONS;
    if (!isnan(published)) {
        const double x = SHARE_LEFT + SHARE_WIDTH * published / 100;
        ct_svg_line(file, x, top - 3, x, bottom, PUBLISHED_COLOUR, 1, DASH);
        snprintf(text, sizeof text, "published: matrix products above %g %%", published);
        ct_svg_text(file, x + 5, bottom - 4, "start", text);
    }
    return bottom + 30;
}

void ct_study_plot_breakdown(const struct ct_study *study, FILE *file)
{
    const double time = ct_study_published_value("matmul_time");
    const double memory = ct_study_published_value("matmul_memory");
    ct_svg_begin(file, WIDTH, 560, "Time and memory of one request by function");
    double y = put_shares(file, study, 62, "time, float weights", float_time_of, time);
    y = put_shares(file, study, y, "time, 64 clusters (int8, scales of 64)", clustered_time_of,
                   NAN);
    put_shares(file, study, y, "memory: f32 parameters and activations", memory_of, memory);
    ct_svg_end(file);
}

/* ---- platforms ---- */

static void put_speedups(FILE *file, const struct ct_study *study, const struct axes *axes)
{
    char text[128];
    for (int p = 0; p < CT_STUDY_N_PLATFORMS; p++) {
        const struct ct_study_platform *platform = &ct_study_platforms[p];
        double last_x = NAN, last_y = NAN;
        for (int b = 0; b < CT_STUDY_N_BANDWIDTHS; b++) {
            const double others = 1 / ct_study_bandwidths[b];
            const struct ct_study_estimate e =
                ct_study_estimate(platform, &study->request, ct_study_bandwidths[b]);
            const double x = x_of(axes, others), y = y_of(axes, e.speedup);
            snprintf(text, sizeof text, "%s, %.4g GB/s left: %.1f %%", platform->title,
                     platform->gb_per_s / others, e.speedup);
            ct_svg_point(file, x, y, 4, ct_svg_colours[p], text);
            if (!isnan(last_x))
                ct_svg_line(file, last_x, last_y, x, y, ct_svg_colours[p], 1.6, NULL);
            last_x = x;
            last_y = y;
        }
        put_legend(file, p, ct_svg_colours[p], platform->title);
    }
}

/* A published percentage as a line across. */
static void put_level(FILE *file, const struct axes *axes, double percent, const char *text)
{
    const double y = y_of(axes, percent);
    ct_svg_line(file, LEFT, y, LEFT + PLOT_WIDTH, y, PUBLISHED_COLOUR, 1, DASH);
    ct_svg_text(file, LEFT + PLOT_WIDTH - 6, y - 4, "end", text);
}

/* For each platform a bar of what the two kinds of arithmetic give, and the published figure. */
static void put_savings(FILE *file, const struct ct_study *study, double y)
{
    char text[96], id[32];
    ct_svg_text(file, SHARE_LEFT, y, "start",
                "energy saved, %: ours with arithmetic of 45 nm to 7 nm, and published (line)");
    for (int p = 0; p < CT_STUDY_N_PLATFORMS; p++) {
        const struct ct_study_platform *platform = &ct_study_platforms[p];
        const struct ct_study_estimate e = ct_study_estimate(platform, &study->request, 1);
        const double at = y + 10 + ROW_HEIGHT * p, unit = SHARE_WIDTH / 75.0;
        snprintf(id, sizeof id, "energy_%s", platform->id);
        const double published = ct_study_published_value(id), x = SHARE_LEFT + unit * published;
        snprintf(text, sizeof text, "%.1f to %.1f, published %g", e.saving_45, e.saving_7,
                 published);
        ct_svg_text(file, SHARE_LEFT - 8, at + 14, "end", platform->title);
        ct_svg_bar(file, SHARE_LEFT + unit * e.saving_45, at, unit * (e.saving_7 - e.saving_45),
                   ROW_HEIGHT - 4, ct_svg_colours[p], text);
        ct_svg_line(file, x, at - 1, x, at + ROW_HEIGHT - 3, PUBLISHED_COLOUR, 2, NULL);
        ct_svg_text(file, SHARE_LEFT + SHARE_WIDTH + 8, at + 14, "start", text);
    }
}

void ct_study_plot_platforms(const struct ct_study *study, FILE *file)
{
    struct axes axes = {.x_low = 0,
                        .x_high = log2(1 / ct_study_bandwidths[CT_STUDY_N_BANDWIDTHS - 1])};
    const double ideal = 100 * (1 / ct_study_rest(1, 4) - 1);
    set_range(&axes, 0, ideal);
    ct_svg_begin(file, WIDTH, HEIGHT + 110, "Speed-up and energy on the study's platforms");
    put_frame(file, &axes, "bandwidth there is over what others leave", "speed-up, %");
    put_level(file, &axes, ideal, "Amdahl's limit: 4 times");
    put_level(file, &axes, ct_study_published_value("speedup_high"), "published, highest");
    put_level(file, &axes, ct_study_published_value("speedup_low"), "published, lowest");
    put_speedups(file, study, &axes);
    put_savings(file, study, HEIGHT + 20);
    ct_svg_end(file);
}
