/* The roofline plot: both axes are logarithmic, so that memory's roof is a slope and the
 * multipliers' a ceiling; a point's distance below them is what its code leaves unused. */
#include "cli/bench.h"
#include "engine/base/svg.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 900, HEIGHT = 500, LEFT = 70, TOP = 46, PLOT_WIDTH = 620, PLOT_HEIGHT = 390 };

struct axes {
    double x_low, x_high, y_low, y_high; /* powers of ten, as exponents */
};

/* A line of points in the plot and in the legend. */
struct series {
    enum ct_bench_kind kind;
    int bits;
    const char *colour;
    char name[CT_BENCH_NAME];
};

static double intensity(const struct ct_bench_point *point)
{
    return point->ops / point->bytes;
}

static double gops(const struct ct_bench_point *point)
{
    return point->rate * point->ops * 1e-9;
}

static double x_of(const struct axes *axes, double x)
{
    return LEFT + PLOT_WIDTH * (log10(x) - axes->x_low) / (axes->x_high - axes->x_low);
}

static double y_of(const struct axes *axes, double y)
{
    return TOP + PLOT_HEIGHT * (axes->y_high - log10(y)) / (axes->y_high - axes->y_low);
}

static const struct ct_roof *roof_of(const struct ct_bench *bench, int i)
{
    return ct_roofs_best(bench->roofs, bench->threads.values[i]);
}

/* The place of the largest number of threads. */
static int widest(const struct ct_bench *bench)
{
    int at = 0;
    for (int i = 1; i < bench->threads.n; i++)
        at = bench->threads.values[i] > bench->threads.values[at] ? i : at;
    return at;
}

static bool is_drawn(const struct ct_bench *bench, const struct ct_bench_point *point)
{
    return point->isa == bench->sets[0] &&
           point->n_threads == bench->threads.values[widest(bench)] && point->bytes > 0 &&
           point->ops > 0;
}

static struct axes choose_axes(const struct ct_bench *bench)
{
    double x_low = 1, x_high = 100, y_low = INFINITY, y_high = 0;
    for (int i = 0; i < bench->threads.n; i++)
        y_high = fmax(y_high, roof_of(bench, i)->gops[bench->sets[0]]);
    y_low = y_high / 100;
    for (int i = 0; i < bench->n_points; i++) {
        const struct ct_bench_point *point = &bench->points[i];
        if (!is_drawn(bench, point))
            continue;
        x_low = fmin(x_low, intensity(point));
        x_high = fmax(x_high, intensity(point));
        y_low = fmin(y_low, gops(point));
        y_high = fmax(y_high, gops(point));
    }
    return (struct axes){floor(log10(x_low)), ceil(log10(1.2 * x_high)), floor(log10(y_low)),
                         ceil(log10(1.2 * y_high))};
}

static void put_axes(FILE *file, const struct axes *axes)
{
    char text[32];
    for (double at = axes->x_low; at < axes->x_high + 0.5; at++) {
        const double x = x_of(axes, pow(10, at));
        snprintf(text, sizeof text, "%g", pow(10, at));
        ct_svg_line(file, x, TOP, x, TOP + PLOT_HEIGHT, "#ddd", 1, NULL);
        ct_svg_text(file, x, TOP + PLOT_HEIGHT + 18, "middle", text);
    }
    for (double at = axes->y_low; at < axes->y_high + 0.5; at++) {
        const double y = y_of(axes, pow(10, at));
        snprintf(text, sizeof text, "%g", pow(10, at));
        ct_svg_line(file, LEFT, y, LEFT + PLOT_WIDTH, y, "#ddd", 1, NULL);
        ct_svg_text(file, LEFT - 8, y + 4, "end", text);
    }
    ct_svg_text(file, LEFT + PLOT_WIDTH / 2.0, TOP + PLOT_HEIGHT + 42, "middle",
                "operations a byte from memory");
    ct_svg_text_up(file, 20, TOP + PLOT_HEIGHT / 2.0, "GOPS");
}

/* Memory's slope from the left or lower edge to where it meets the ceiling, and the ceiling. */
static void put_roof(FILE *file, const struct ct_bench *bench, const struct axes *axes, int i)
{
    const struct ct_roof *roof = roof_of(bench, i);
    const double peak = roof->gops[bench->sets[0]], ridge = peak / roof->gb_per_s;
    const double x = fmax(pow(10, axes->x_low), pow(10, axes->y_low) / roof->gb_per_s);
    const double right = LEFT + PLOT_WIDTH, y = y_of(axes, peak);
    const char *dash = i == widest(bench) ? NULL : "5 3";
    char text[96];
    ct_svg_line(file, x_of(axes, x), y_of(axes, x * roof->gb_per_s), x_of(axes, ridge), y, "#333",
                1.6, dash);
    ct_svg_line(file, x_of(axes, ridge), y, right, y, "#333", 1.6, dash);
    snprintf(text, sizeof text, "%d thread%s: %.0f GOPS, %.1f GB/s", bench->threads.values[i],
             bench->threads.values[i] == 1 ? "" : "s", peak, roof->gb_per_s);
    ct_svg_text(file, right - 4, y - 5, "end", text);
}

static void put_series(FILE *file, const struct ct_bench *bench, const struct axes *axes,
                       const struct series *series, int place)
{
    const bool is_line = series->kind == CT_BENCH_LINEAR || series->kind == CT_BENCH_ATTENTION;
    const struct ct_bench_point *last = NULL;
    char name[CT_BENCH_NAME], text[CT_BENCH_NAME + 80];
    for (int i = 0; i < bench->n_points; i++) {
        const struct ct_bench_point *point = &bench->points[i];
        if (!is_drawn(bench, point) || point->kind != series->kind || point->bits != series->bits)
            continue;
        const double x = x_of(axes, intensity(point)), y = y_of(axes, gops(point));
        ct_bench_name(point, name);
        snprintf(text, sizeof text, "%s, size %d: %.1f GOPS, %.1f GB/s", name, point->size,
                 gops(point), point->rate * point->bytes * 1e-9);
        ct_svg_point(file, x, y, is_line ? 3 : 5, series->colour, text);
        if (!is_line)
            ct_svg_text(file, x + 9, y + 4, "start", name);
        else if (last != NULL)
            ct_svg_line(file, x_of(axes, intensity(last)), y_of(axes, gops(last)), x, y,
                        series->colour, 1, NULL);
        last = point;
    }
    const double y = TOP + 14 + 18 * place;
    ct_svg_point(file, LEFT + PLOT_WIDTH + 24, y - 4, is_line ? 3 : 5, series->colour,
                 series->name);
    ct_svg_text(file, LEFT + PLOT_WIDTH + 36, y, "start", series->name);
}

/* The series of a point: the matrix kernel has one for each number of bits. */
static struct series series_of(const struct ct_bench_point *point)
{
    static const char *const names[] = {[CT_BENCH_PROMPT] = "model, prompt",
                                        [CT_BENCH_GENERATION] = "model, generation",
                                        [CT_BENCH_IMAGE] = "model, images",
                                        [CT_BENCH_ATTENTION] = "attention"};
    static const char *const colours[] = {[CT_BENCH_PROMPT] = "#000",
                                          [CT_BENCH_GENERATION] = "#b00020",
                                          [CT_BENCH_IMAGE] = "#000",
                                          [CT_BENCH_ATTENTION] = "#8c564b"};
    struct series series = {.kind = point->kind, .bits = point->bits};
    if (point->kind == CT_BENCH_LINEAR) {
        series.colour = ct_svg_colours[point->bits - 2];
        snprintf(series.name, sizeof series.name, "linear_i8, %d bits", point->bits);
    } else {
        series.colour = colours[point->kind];
        snprintf(series.name, sizeof series.name, "%s", names[point->kind]);
    }
    return series;
}

void ct_bench_plot(const struct ct_bench *bench, FILE *file)
{
    const struct axes axes = choose_axes(bench);
    char title[96];
    int place = 0;
    snprintf(title, sizeof title, "Roofline of this machine, %s: points of %d thread%s",
             ct_isa_name(bench->sets[0]), bench->threads.values[widest(bench)],
             bench->threads.values[widest(bench)] == 1 ? "" : "s");
    ct_svg_begin(file, WIDTH, HEIGHT, title);
    put_axes(file, &axes);
    for (int i = 0; i < bench->threads.n; i++)
        put_roof(file, bench, &axes, i);
    for (int i = 0; i < bench->n_points; i++) {
        const struct ct_bench_point *point = &bench->points[i];
        bool is_first = is_drawn(bench, point);
        for (int j = 0; j < i; j++)
            if (is_drawn(bench, &bench->points[j]) && bench->points[j].kind == point->kind &&
                bench->points[j].bits == point->bits)
                is_first = false;
        if (!is_first)
            continue;
        const struct series series = series_of(point);
        put_series(file, bench, &axes, &series, place++);
    }
    ct_svg_end(file);
}
