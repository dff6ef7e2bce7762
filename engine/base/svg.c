#include "engine/base/svg.h"

#include <math.h>

const char *const ct_svg_colours[CT_SVG_N_COLOURS] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                      "#e69f00", "#56b4e9", "#7f7f7f"};

enum { MARGIN = 70 };

void ct_svg_escape(FILE *file, const char *text)
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
        case '"':
            fputs("&quot;", file);
            break;
        default:
            fputc((unsigned char)*text < ' ' ? '?' : *text, file);
        }
}

void ct_svg_begin(FILE *file, int width, int height, const char *title)
{
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n<title>",
            width, height, width, height);
    ct_svg_escape(file, title);
    fprintf(file,
            "</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
            "<text x=\"%d\" y=\"26\" font-size=\"16\">",
            MARGIN);
    ct_svg_escape(file, title);
    fputs("</text>\n", file);
}

void ct_svg_begin_inside(FILE *file, int width, int height, const char *title,
                         const char *description)
{
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" role=\"img\" "
            "font-size=\"12\" fill=\"currentColor\">\n<title>",
            width, height);
    ct_svg_escape(file, title);
    fputs("</title>\n<desc>", file);
    ct_svg_escape(file, description);
    fputs("</desc>\n", file);
}

void ct_svg_end(FILE *file)
{
    fputs("</svg>\n", file);
}

void ct_svg_text(FILE *file, double x, double y, const char *anchor, const char *text)
{
    fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    ct_svg_escape(file, text);
    fputs("</text>\n", file);
}

void ct_svg_text_up(FILE *file, double x, double y, const char *text)
{
    fprintf(file,
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" "
            "transform=\"rotate(-90 %.1f %.1f)\">",
            x, y, x, y);
    ct_svg_escape(file, text);
    fputs("</text>\n", file);
}

void ct_svg_line(FILE *file, double x1, double y1, double x2, double y2, const char *colour,
                 double width, const char *dash)
{
    fprintf(file,
            "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" "
            "stroke-width=\"%.1f\"",
            x1, y1, x2, y2, colour, width);
    if (dash != NULL)
        fprintf(file, " stroke-dasharray=\"%s\"", dash);
    fputs("/>\n", file);
}

void ct_svg_bar(FILE *file, double x, double y, double width, double height, const char *colour,
                const char *text)
{
    fprintf(file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"><title>",
            x, y, width, height, colour);
    ct_svg_escape(file, text);
    fputs("</title></rect>\n", file);
}

/* A step up or down only where the height changes by half a pixel. */
void ct_svg_area(FILE *file, double x, double y, double height, const double *values, size_t n,
                 const char *colour)
{
    double at = 0;
    size_t run = 0;
    fprintf(file, "<path fill=\"%s\" d=\"M%.1f %.1f", colour, x, y + height);
    for (size_t i = 0; i < n; i++, run++) {
        const double up = round(2 * height * fmin(fmax(values[i], 0), 1)) / 2;
        if (up == at)
            continue;
        if (run > 0)
            fprintf(file, "h%zu", run);
        fprintf(file, "v%g", at - up);
        at = up;
        run = 0;
    }
    fprintf(file, "h%zuv%gz\"/>\n", run, at);
}

/* A circle's outline, dashed once: no length of it has to be computed. */
void ct_svg_arc(FILE *file, double x, double y, double radius, double width, double from, double to,
                const char *colour, const char *text)
{
    fprintf(file,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"none\" stroke=\"%s\" "
            "stroke-width=\"%.1f\" pathLength=\"1\" stroke-dasharray=\"%.5f 2\" "
            "stroke-dashoffset=\"%.5f\" transform=\"rotate(-90 %.1f %.1f)\"><title>",
            x, y, radius, colour, width, to - from, -from, x, y);
    ct_svg_escape(file, text);
    fputs("</title></circle>\n", file);
}

double ct_svg_step(double high)
{
    double power = pow(10, floor(log10(high)));
    double ratio = high / power;
    return power * (ratio > 5 ? 1 : ratio > 2 ? 0.5 : 0.2);
}

void ct_svg_point(FILE *file, double x, double y, double radius, const char *colour,
                  const char *text)
{
    fprintf(file, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"><title>", x, y, radius,
            colour);
    ct_svg_escape(file, text);
    fputs("</title></circle>\n", file);
}
