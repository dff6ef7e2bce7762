/* The report's plots. */
#include "engine/base/svg.h"
#include "engine/compress/report_kind.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 860, HEIGHT = 440, LEFT = 70, TOP = 46, PLOT_WIDTH = 520, PLOT_HEIGHT = 330 };

/* ---- error by layer ---- */

struct axes {
    int last_layer;
    double low, high, step; /* percent */
};

static double x_of(const struct axes *axes, int layer)
{
    return LEFT + (axes->last_layer > 0 ? (double)PLOT_WIDTH * layer / axes->last_layer
                                        : PLOT_WIDTH / 2.0);
}

static double y_of(const struct axes *axes, double percent)
{
    return TOP + PLOT_HEIGHT * (axes->high - percent) / (axes->high - axes->low);
}

static void put_axes(FILE *file, const struct axes *axes)
{
    char text[32];
    for (double at = axes->low; at <= axes->high + 0.001 * axes->step; at += axes->step) {
        double y = y_of(axes, at);
        snprintf(text, sizeof text, "%.4g", at);
        ct_svg_line(file, LEFT, y, LEFT + PLOT_WIDTH, y, "#ddd", 1, NULL);
        ct_svg_text(file, LEFT - 8, y + 4, "end", text);
    }
    int every = axes->last_layer / 12 + 1;
    for (int layer = 0; layer <= axes->last_layer; layer += every) {
        snprintf(text, sizeof text, "%d", layer);
        ct_svg_text(file, x_of(axes, layer), TOP + PLOT_HEIGHT + 18, "middle", text);
    }
    ct_svg_line(file, LEFT, TOP, LEFT, TOP + PLOT_HEIGHT, "#333", 1, NULL);
    ct_svg_line(file, LEFT, TOP + PLOT_HEIGHT, LEFT + PLOT_WIDTH, TOP + PLOT_HEIGHT, "#333", 1,
                NULL);
    ct_svg_text(file, LEFT + PLOT_WIDTH / 2.0, TOP + PLOT_HEIGHT + 42, "middle", "layer");
    ct_svg_text_up(file, 20, TOP + PLOT_HEIGHT / 2.0, "relative RMS error, %");
}

static void put_series(FILE *file, const struct ct_report *report, const struct axes *axes,
                       const struct ct_kind *kind, int place)
{
    const char *colour = ct_svg_colours[place % CT_SVG_N_COLOURS];
    /* Later kinds repeat the colours dashed. */
    const char *dash = place / CT_SVG_N_COLOURS % 2 ? "5 3" : "none";
    char name[CT_KIND_TEXT];
    fprintf(file,
            "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\" stroke-dasharray=\"%s\" "
            "points=\"",
            colour, dash);
    for (int i = 0; i < report->n; i++) {
        const struct ct_report_row *row = &report->rows[i];
        int layer = ct_report_layer(row->name, name);
        if (row->treatment == kind->treatment && strcmp(name, kind->name) == 0)
            fprintf(file, "%.1f,%.1f ", x_of(axes, layer),
                    y_of(axes, 100 * ct_report_error(row->sum_square, row->sum_error)));
    }
    double y = TOP + 10 + 18 * place;
    fputs("\"/>\n", file);
    ct_svg_line(file, LEFT + PLOT_WIDTH + 18, y - 4, LEFT + PLOT_WIDTH + 42, y - 4, colour, 2,
                dash);
    ct_kind_shorten(kind->name, name);
    ct_svg_text(file, LEFT + PLOT_WIDTH + 50, y, "start", name);
}

/* From zero, unless all errors are so much alike that their differences would not be seen. */
static struct axes choose_axes(const struct ct_report *report)
{
    struct axes axes = {0, INFINITY, 0, 0};
    char name[CT_KIND_TEXT];
    for (int i = 0; i < report->n; i++) {
        const struct ct_report_row *row = &report->rows[i];
        int layer = ct_report_layer(row->name, name);
        if (layer < 0 || row->treatment == CT_COPIED)
            continue;
        double percent = 100 * ct_report_error(row->sum_square, row->sum_error);
        axes.last_layer = layer > axes.last_layer ? layer : axes.last_layer;
        axes.low = fmin(axes.low, percent);
        axes.high = fmax(axes.high, percent);
    }
    axes.high = axes.high > 0 ? axes.high : 1;
    if (!(axes.low > 0.5 * axes.high))
        axes.low = 0;
    axes.step = ct_svg_step(fmax(axes.high - axes.low, 0.02 * axes.high));
    axes.low = floor(axes.low / axes.step) * axes.step;
    axes.high = (floor(axes.high / axes.step) + 1) * axes.step;
    return axes;
}

enum ct_status ct_report_plot_errors(const struct ct_report *report, FILE *file)
{
    int n_kinds, place = 0;
    struct ct_kind *kinds = ct_report_kinds(report, &n_kinds);
    if (kinds == NULL)
        return CT_MEMORY;
    struct axes axes = choose_axes(report);
    char name[CT_KIND_TEXT], text[CT_KIND_TEXT + 32];
    ct_svg_begin(file, WIDTH, HEIGHT, "Error of the clustered weights by layer");
    put_axes(file, &axes);
    for (int k = 0; k < n_kinds; k++)
        if (kinds[k].has_layers && kinds[k].treatment != CT_COPIED)
            put_series(file, report, &axes, &kinds[k], place++);
    for (int k = 0; k < n_kinds; k++) {
        if (kinds[k].has_layers || kinds[k].treatment == CT_COPIED)
            continue;
        ct_kind_shorten(kinds[k].name, name);
        snprintf(text, sizeof text, "%s: %.2f %%", name,
                 100 * ct_report_error(kinds[k].sum_square, kinds[k].sum_error));
        ct_svg_text(file, LEFT + PLOT_WIDTH + 18, TOP + 10 + 18 * place++, "start", text);
    }
    ct_svg_end(file);
    free(kinds);
    return CT_OK;
}

/* ---- bits by kind ---- */

static void put_bar(FILE *file, const struct ct_kind *kind, const char *name, int place,
                    double high, const char *colour)
{
    char text[64];
    double y = TOP + 26.0 * place, width = 400.0 * ct_kind_bits(kind) / high;
    ct_svg_text(file, 300, y + 15, "end", name);
    snprintf(text, sizeof text, "%.2f (%.1f MB)", ct_kind_bits(kind),
             (double)kind->bytes_after * 1e-6);
    ct_svg_bar(file, 308, y, width, 20, colour, text);
    ct_svg_text(file, 314 + width, y + 15, "start", text);
}

enum ct_status ct_report_plot_bits(const struct ct_report *report, FILE *file)
{
    int n_kinds, place = 0, n_bars = 1;
    struct ct_kind *kinds = ct_report_kinds(report, &n_kinds);
    if (kinds == NULL)
        return CT_MEMORY;
    struct ct_kind total = ct_report_total(report, false);
    double high = ct_kind_bits(&total);
    for (int k = 0; k < n_kinds; k++)
        if (kinds[k].treatment != CT_COPIED) {
            high = fmax(high, ct_kind_bits(&kinds[k]));
            n_bars++;
        }
    high = high > 0 ? high : 1;
    ct_svg_begin(file, WIDTH, TOP + 26 * n_bars + 40, "Bits a weight as stored");
    for (int k = 0; k < n_kinds; k++) {
        char name[CT_KIND_TEXT];
        ct_kind_shorten(kinds[k].name, name);
        if (kinds[k].treatment != CT_COPIED)
            put_bar(file, &kinds[k], name, place++, high, ct_svg_colours[0]);
    }
    put_bar(file, &total, "all matrices", place++, high, ct_svg_colours[1]);
    ct_svg_text(file, 308, TOP + 26 * n_bars + 20, "start",
                "bits a weight: indices, scales, offsets and codebooks");
    ct_svg_end(file);
    free(kinds);
    return CT_OK;
}
