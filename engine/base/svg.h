/* Plots as SVG: no script, no font of its own, readable on light and dark pages. Coordinates are
 * pixels from the top left. One thread a file; the caller looks at ferror. */
#ifndef CT_BASE_SVG_H
#define CT_BASE_SVG_H

#include <stddef.h>
#include <stdio.h>

/* Okabe and Ito's colours, which colour-blind readers can tell apart. */
enum { CT_SVG_N_COLOURS = 7 };
extern const char *const ct_svg_colours[CT_SVG_N_COLOURS];

/* The title stands at the top; what is drawn begins below 40. */
void ct_svg_begin(FILE *file, int width, int height, const char *title);
void ct_svg_end(FILE *file);

/* Instead of ct_svg_begin, inside a page of HTML: its colours, its font, no background and no heading. The
 * title and the description are for who cannot see it. End with ct_svg_end. */
void ct_svg_begin_inside(FILE *file, int width, int height, const char *title,
                         const char *description);

/* Writes any text so that it is nothing but text, between tags or double quotes, in SVG and in HTML. */
void ct_svg_escape(FILE *file, const char *text);

/* anchor: "start", "middle" or "end", the place of x in the text. Any text: it is escaped. */
void ct_svg_text(FILE *file, double x, double y, const char *anchor, const char *text);

/* Upwards, its middle at x, y: the name of a vertical axis. */
void ct_svg_text_up(FILE *file, double x, double y, const char *text);

/* dash: as SVG's stroke-dasharray, or NULL. */
void ct_svg_line(FILE *file, double x1, double y1, double x2, double y2, const char *colour,
                 double width, const char *dash);

/* Filled; a viewer shows the text where the pointer rests on it. */
void ct_svg_bar(FILE *file, double x, double y, double width, double height, const char *colour,
                const char *text);

/* Bars of width 1 side by side from x, as high as values [n] (0 to 1) of height, standing on y + height. */
void ct_svg_area(FILE *file, double x, double y, double height, const double *values, size_t n,
                 const char *colour);

/* A part of a ring, from and to (0 to 1) clockwise from the top; a viewer shows the text. */
void ct_svg_arc(FILE *file, double x, double y, double radius, double width, double from, double to,
                const char *colour, const char *text);

/* A round step that cuts [0, high] into 4 to 10 parts; high > 0. */
double ct_svg_step(double high);

/* A disc; a viewer shows the text where the pointer rests on it. */
void ct_svg_point(FILE *file, double x, double y, double radius, const char *colour,
                  const char *text);

#endif
