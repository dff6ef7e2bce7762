/* The report's plots as SVG: no script, no font of its own, readable on light and dark pages. */
#include "engine/compress/report_kind.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 860, HEIGHT = 440, LEFT = 70, TOP = 46, PLOT_WIDTH = 520, PLOT_HEIGHT = 330 };

/* Okabe and Ito's colours, which colour-blind readers can tell apart; later kinds repeat them
 * dashed. */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#7f7f7f"};
enum { N_COLOURS = sizeof colours / sizeof colours[0] };

static void put_text(FILE *file, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", file);
            break;
        case '<':
            fputs("&lt;", file);
            break;
        case '>':
            fputs("&gt;", file);
            break;
        default:
            fputc((unsigned char)*text < ' ' ? '?' : *text, file);
        }
}

static void put_label(FILE *file, double x, double y, const char *anchor, const char *text)
{
    fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    put_text(file, text);
    fputs("</text>\n", file);
}

static void put_line(FILE *file, double x1, double y1, double x2, double y2, const char *colour)
{
    fprintf(file, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1,
            x2, y2, colour);
}

static void begin(FILE *file, int height, const char *title)
{
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n"
            "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, height, WIDTH, height, title);
    fprintf(file, "<text x=\"%d\" y=\"26\" font-size=\"16\">%s</text>\n", LEFT, title);
}

/* A round step that cuts [0, high] into 4 to 10 parts. */
static double round_step(double high)
{
    double power = pow(10, floor(log10(high)));
    double ratio = high / power;
    return power * (ratio > 5 ? 1 : ratio > 2 ? 0.5 : 0.2);
}

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
        put_line(file, LEFT, y, LEFT + PLOT_WIDTH, y, "#ddd");
        put_label(file, LEFT - 8, y + 4, "end", text);
    }
    int every = axes->last_layer / 12 + 1;
    for (int layer = 0; layer <= axes->last_layer; layer += every) {
        snprintf(text, sizeof text, "%d", layer);
        put_label(file, x_of(axes, layer), TOP + PLOT_HEIGHT + 18, "middle", text);
    }
    put_line(file, LEFT, TOP, LEFT, TOP + PLOT_HEIGHT, "#333");
    put_line(file, LEFT, TOP + PLOT_HEIGHT, LEFT + PLOT_WIDTH, TOP + PLOT_HEIGHT, "#333");
    put_label(file, LEFT + PLOT_WIDTH / 2.0, TOP + PLOT_HEIGHT + 42, "middle", "layer");
    fprintf(file,
            "<text x=\"20\" y=\"%.1f\" text-anchor=\"middle\" transform=\"rotate(-90 20 %.1f)\">"
            "relative RMS error, %%</text>\n",
            TOP + PLOT_HEIGHT / 2.0, TOP + PLOT_HEIGHT / 2.0);
}

static void put_series(FILE *file, const struct ct_report *report, const struct axes *axes,
                       const struct ct_kind *kind, int place)
{
    const char *colour = colours[place % N_COLOURS];
    const char *dash = place / N_COLOURS % 2 ? " stroke-dasharray=\"5 3\"" : "";
    char name[CT_KIND_TEXT];
    fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\"%s points=\"", colour,
            dash);
    for (int i = 0; i < report->n; i++) {
        const struct ct_report_row *row = &report->rows[i];
        int layer = ct_report_layer(row->name, name);
        if (row->treatment == kind->treatment && strcmp(name, kind->name) == 0)
            fprintf(file, "%.1f,%.1f ", x_of(axes, layer),
                    y_of(axes, 100 * ct_report_error(row->sum_square, row->sum_error)));
    }
    double y = TOP + 10 + 18 * place;
    fputs("\"/>\n", file);
    fprintf(file,
            "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2\"%s"
            "/>\n",
            LEFT + PLOT_WIDTH + 18, y - 4, LEFT + PLOT_WIDTH + 42, y - 4, colour, dash);
    ct_kind_shorten(kind->name, name);
    put_label(file, LEFT + PLOT_WIDTH + 50, y, "start", name);
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
    axes.step = round_step(fmax(axes.high - axes.low, 0.02 * axes.high));
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
    begin(file, HEIGHT, "Error of the clustered weights by layer");
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
        put_label(file, LEFT + PLOT_WIDTH + 18, TOP + 10 + 18 * place++, "start", text);
    }
    fputs("</svg>\n", file);
    free(kinds);
    return CT_OK;
}

/* ---- bits by kind ---- */

static void put_bar(FILE *file, const struct ct_kind *kind, const char *name, int place,
                    double high, const char *colour)
{
    char text[64];
    double y = TOP + 26.0 * place, width = 400.0 * ct_kind_bits(kind) / high;
    put_label(file, 300, y + 15, "end", name);
    fprintf(file, "<rect x=\"308\" y=\"%.1f\" width=\"%.1f\" height=\"20\" fill=\"%s\"/>\n", y,
            width, colour);
    snprintf(text, sizeof text, "%.2f (%.1f MB)", ct_kind_bits(kind),
             (double)kind->bytes_after * 1e-6);
    put_label(file, 314 + width, y + 15, "start", text);
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
    begin(file, TOP + 26 * n_bars + 40, "Bits a weight as stored");
    for (int k = 0; k < n_kinds; k++) {
        char name[CT_KIND_TEXT];
        ct_kind_shorten(kinds[k].name, name);
        if (kinds[k].treatment != CT_COPIED)
            put_bar(file, &kinds[k], name, place++, high, colours[0]);
    }
    put_bar(file, &total, "all matrices", place++, high, colours[1]);
    put_label(file, 308, TOP + 26 * n_bars + 20, "start",
              "bits a weight: indices, scales, offsets and codebooks");
    fputs("</svg>\n", file);
    free(kinds);
    return CT_OK;
}
