/* The page's roofline and rings.
 *
 * Both axes of the roofline are logarithmic: memory's bandwidth is a slope, the array's peak a ceiling. A
 * product's distance below them is what it leaves unused; its disc's area is its share of the time.
 * (Williams, Waterman and Patterson, "Roofline", 2009.) */
#include "cli/gemmini_page.h"
#include "engine/base/svg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEFT = 70, TOP = 14, PLOT_WIDTH = 780, PLOT_HEIGHT = 380, HEIGHT = TOP + PLOT_HEIGHT + 46 };
enum { MAX_BOXES = 512, MAX_DISCS = 64, MAX_TICKS = 48 };

static const char *const phase_colours[] = {"var(--c0)", "var(--c1)", "var(--c2)", "var(--c3)"};
enum { N_COLOURS = sizeof phase_colours / sizeof phase_colours[0] };

struct axes {
    double x_low, x_high, y_low, y_high; /* powers of ten, as exponents */
    double peak;                         /* multiply-accumulates a second */
    double bytes;                        /* bytes a second */
};

/* Places that are taken, by discs and by labels; a label goes to none of them. */
struct boxes {
    struct {
        double left, top, right, bottom;
    } at[MAX_BOXES];
    size_t n;
};

static double x_of(const struct axes *axes, double x)
{
    return LEFT + PLOT_WIDTH * (log10(x) - axes->x_low) / (axes->x_high - axes->x_low);
}

static double y_of(const struct axes *axes, double y)
{
    return TOP + PLOT_HEIGHT * (axes->y_high - log10(y)) / (axes->y_high - axes->y_low);
}

/* A product's place: multiply-accumulates a byte of memory's traffic, and a second of the accelerator's. */
struct point {
    double intensity, rate;
};

static bool find_point(const struct ct_gem_config *config, const struct ct_gemmini_row *row,
                       struct point *point)
{
    const struct ct_gem_timing *work = &row->cost.work;
    const double bytes = ct_page_bytes(&row->cost);
    if (work->macs == 0 || work->cycles == 0 || bytes <= 0)
        return false;
    point->intensity = (double)work->macs / bytes;
    point->rate = (double)work->macs / (double)work->cycles * config->clock_ghz * 1e9;
    return true;
}

static struct axes choose_axes(const struct ct_gemmini_page *page)
{
    const struct ct_gem_config *c = page->config;
    const double hz = c->clock_ghz * 1e9;
    struct axes axes = {.peak = CT_GEM_DIM * CT_GEM_DIM * hz,
                        .bytes = fmin(c->mem_bytes_per_cycle, c->dma_bus_bytes) * hz};
    const double ridge = axes.peak / axes.bytes;
    struct point low = {ridge / 4, axes.peak / 20}, high = {ridge, axes.peak}, point;
    for (size_t i = 0; i < page->n_phases; i++)
        for (size_t j = 0; j < page->phases[i].shown->n; j++)
            if (find_point(c, &page->phases[i].shown->rows[j], &point)) {
                low.intensity = fmin(low.intensity, point.intensity);
                high.intensity = fmax(high.intensity, point.intensity);
                low.rate = fmin(low.rate, point.rate);
            }
    axes.x_low = log10(low.intensity / 2);
    axes.x_high = log10(high.intensity * 6); /* room for the name of the array's roof */
    axes.y_low = log10(low.rate / 2);
    axes.y_high = log10(axes.peak * 2);
    return axes;
}

static bool is_taken(const struct boxes *boxes, double left, double top, double right,
                     double bottom)
{
    for (size_t i = 0; i < boxes->n; i++)
        if (left < boxes->at[i].right && boxes->at[i].left < right && top < boxes->at[i].bottom &&
            boxes->at[i].top < bottom)
            return true;
    return left < LEFT || right > LEFT + PLOT_WIDTH || top < TOP || bottom > TOP + PLOT_HEIGHT;
}

static void take(struct boxes *boxes, double left, double top, double right, double bottom)
{
    if (boxes->n == MAX_BOXES)
        return;
    boxes->at[boxes->n].left = left;
    boxes->at[boxes->n].top = top;
    boxes->at[boxes->n].right = right;
    boxes->at[boxes->n++].bottom = bottom;
}

/* The round numbers from 10^low to 10^high, three for each power of ten. Returns how many. */
static size_t list_ticks(double low, double high, double ticks[MAX_TICKS])
{
    static const double steps[] = {1, 2, 5};
    size_t n = 0;
    for (double power = floor(low); power <= high; power++)
        for (int i = 0; i < 3; i++) {
            const double tick = steps[i] * pow(10, power);
            if (n < MAX_TICKS && log10(tick) >= low && log10(tick) <= high)
                ticks[n++] = tick;
        }
    return n;
}

static void put_axes(FILE *file, const struct axes *axes)
{
    double ticks[MAX_TICKS];
    char text[CT_PAGE_TEXT];
    size_t n = list_ticks(axes->x_low, axes->x_high, ticks);
    for (size_t i = 0; i < n; i++) {
        const double x = x_of(axes, ticks[i]);
        ct_svg_line(file, x, TOP, x, TOP + PLOT_HEIGHT, CT_PAGE_LINE, 1, NULL);
        ct_svg_text(file, x, TOP + PLOT_HEIGHT + 18, "middle", ct_page_number(ticks[i], text));
    }
    n = list_ticks(axes->y_low, axes->y_high, ticks);
    for (size_t i = 0; i < n; i++) {
        const double y = y_of(axes, ticks[i]);
        ct_svg_line(file, LEFT, y, LEFT + PLOT_WIDTH, y, CT_PAGE_LINE, 1, NULL);
        ct_svg_text(file, LEFT - 8, y + 4, "end", ct_page_number(ticks[i] * 1e-9, text));
    }
    ct_svg_text(file, LEFT + PLOT_WIDTH / 2.0, TOP + PLOT_HEIGHT + 40, "middle",
                "multiply-accumulates a byte from and to memory");
    ct_svg_text_up(file, 16, TOP + PLOT_HEIGHT / 2.0, "10⁹ multiply-accumulates a second");
}

/* A roof, which labels keep clear of. */
static void put_roof(FILE *file, struct boxes *boxes, double x1, double y1, double x2, double y2)
{
    enum { N = 100 };
    ct_svg_line(file, x1, y1, x2, y2, "currentColor", 1.6, NULL);
    for (int i = 0; i <= N; i++) {
        const double x = x1 + (x2 - x1) * i / N, y = y1 + (y2 - y1) * i / N;
        take(boxes, x - 4, y - 2, x + 4, y + 2);
    }
}

static void put_roofs(FILE *file, const struct axes *axes, struct boxes *boxes)
{
    const double ridge = axes->peak / axes->bytes, left = pow(10, axes->x_low),
                 low = fmax(left, pow(10, axes->y_low) / axes->bytes),
                 ceiling = y_of(axes, axes->peak), right = LEFT + PLOT_WIDTH;
    char text[2 * CT_PAGE_TEXT], number[CT_PAGE_TEXT];
    put_roof(file, boxes, x_of(axes, fmax(ridge, left)), ceiling, right, ceiling);
    snprintf(text, sizeof text, "array: %s GMAC/s", ct_page_number(axes->peak * 1e-9, number));
    ct_svg_text(file, right - 6, ceiling - 6, "end", text);
    take(boxes, right - 130, ceiling - 18, right, ceiling);
    if (low >= ridge)
        return;
    const double middle = sqrt(low * ridge), x = x_of(axes, middle) - 10,
                 y = y_of(axes, middle * axes->bytes) - 8;
    put_roof(file, boxes, x_of(axes, low), y_of(axes, low * axes->bytes), x_of(axes, ridge),
             ceiling);
    snprintf(text, sizeof text, "memory: %s GB/s", ct_page_number(axes->bytes * 1e-9, number));
    ct_svg_text(file, x, y, "end", text);
    take(boxes, x - 110, y - 12, x, y + 4);
}

/* As near to its disc as there is room, in one of 24 directions, right of it first. */
static void put_label(FILE *file, struct boxes *boxes, double x, double y, double radius,
                      const char *text)
{
    enum { DIRECTIONS = 24, FONT = 13, FARTHEST = 120 };
    const double width = 6.5 * (double)strlen(text);
    for (double away = radius + 5; away < radius + FARTHEST; away += 6)
        for (int i = 0; i < DIRECTIONS; i++) {
            const double angle = (i % 2 ? -1 : 1) * (i + 1) / 2 * (2 * M_PI / DIRECTIONS);
            const double end_x = x + away * cos(angle), end_y = y + away * sin(angle);
            const double left = end_x - (cos(angle) < -0.01 ? width : 0), top = end_y - FONT / 2.0;
            if (is_taken(boxes, left, top, left + width, top + FONT))
                continue;
            take(boxes, left, top, left + width, top + FONT);
            if (away > radius + 5)
                ct_svg_line(file, x, y, end_x, end_y, "currentColor", 0.5, NULL);
            ct_svg_text(file, left, end_y + 4, "start", text);
            return;
        }
}

/* Products of a step, those that take longest first. */
struct disc {
    const struct ct_gemmini_row *row;
    struct point at;
    double x, y, radius;
};

static int by_radius(const void *a, const void *b)
{
    const double x = ((const struct disc *)a)->radius, y = ((const struct disc *)b)->radius;
    return (x < y) - (x > y);
}

static size_t find_discs(const struct axes *axes, const struct ct_gem_config *config,
                         const struct ct_gemmini_report *report, struct disc *discs)
{
    struct point p;
    size_t n = 0;
    for (size_t i = 0; i < report->n && n < MAX_DISCS; i++) {
        const struct ct_gemmini_row *row = &report->rows[i];
        if (!find_point(config, row, &p))
            continue;
        const double share = (double)row->cost.work.cycles / (double)report->sum.work.cycles;
        discs[n++] = (struct disc){row, p, x_of(axes, p.intensity), y_of(axes, p.rate),
                                   fmax(3, 32 * sqrt(share))};
    }
    qsort(discs, n, sizeof *discs, by_radius);
    return n;
}

static void put_discs(FILE *file, const struct disc *discs, size_t n, const char *colour,
                      struct boxes *boxes)
{
    char text[3 * CT_PAGE_TEXT], rate[CT_PAGE_TEXT], intensity[CT_PAGE_TEXT];
    for (size_t i = 0; i < n; i++) {
        const struct disc *d = &discs[i];
        snprintf(text, sizeof text, "%s: %s GMAC/s at %s MAC/byte", d->row->name,
                 ct_page_number(d->at.rate * 1e-9, rate),
                 ct_page_number(d->at.intensity, intensity));
        ct_svg_point(file, d->x, d->y, d->radius + 1, CT_PAGE_BACKGROUND, text);
        ct_svg_point(file, d->x, d->y, d->radius, colour, text);
        take(boxes, d->x - d->radius, d->y - d->radius, d->x + d->radius, d->y + d->radius);
    }
}

/* A phase's colour, and what has no place in the plot; at most n lines from y down. Returns the next y. */
static double put_legend(FILE *file, const struct ct_gem_config *config,
                         const struct ct_gemmini_phase *phase, const char *colour, double y,
                         size_t n)
{
    enum { X = LEFT + PLOT_WIDTH + 24, LINE = 17 };
    char text[3 * CT_PAGE_TEXT];
    struct point p;
    ct_svg_point(file, X, y - 4, 5, colour, phase->name);
    ct_svg_text(file, X + 12, y, "start", phase->name);
    for (size_t i = 0; i < phase->shown->n && n > 1; i++) {
        const struct ct_gemmini_row *row = &phase->shown->rows[i];
        const double share = ct_gem_cost_cycles(config, &row->cost) / phase->shown->cycles;
        if (find_point(config, row, &p) || share < 0.001)
            continue;
        snprintf(text, sizeof text, "%s%s: %.1f %%", row->name, row->op.is_on_host ? " (host)" : "",
                 100 * share);
        y += LINE;
        n--;
        ct_svg_text(file, X + 12, y, "start", text);
    }
    return y + 2 * LINE;
}

void ct_page_put_roofline(FILE *file, const struct ct_gemmini_page *page)
{
    const struct axes axes = choose_axes(page);
    struct disc discs[MAX_DISCS];
    struct boxes boxes = {.n = 0};
    double y = TOP + 14;
    ct_svg_begin_inside(
        file, CT_PAGE_WIDTH, HEIGHT, "Roofline",
        "Each product's multiply-accumulates a second by those for each byte of memory's traffic, "
        "below the array's peak and memory's bandwidth. The table of operators has the figures.");
    put_axes(file, &axes);
    put_roofs(file, &axes, &boxes);
    for (size_t i = 0; i < page->n_phases; i++) {
        const char *colour = phase_colours[i % N_COLOURS];
        const size_t n = find_discs(&axes, page->config, page->phases[i].shown, discs);
        put_discs(file, discs, n, colour, &boxes);
        y = put_legend(file, page->config, &page->phases[i], colour, y, 20 / page->n_phases);
    }
    for (size_t i = 0; i < page->n_phases; i++) {
        const size_t n = find_discs(&axes, page->config, page->phases[i].shown, discs);
        for (size_t j = 0; j < n; j++)
            put_label(file, &boxes, discs[j].x, discs[j].y, discs[j].radius, discs[j].row->name);
    }
    ct_svg_end(file);
}

void ct_page_put_ring(FILE *file, const struct ct_gem_config *config,
                      const struct ct_gemmini_phase *phase)
{
    enum { SIZE = 200, RADIUS = 78, WIDTH = 34 };
    struct ct_gem_energy energy;
    char text[2 * CT_PAGE_TEXT], number[CT_PAGE_TEXT];
    double from = 0;
    ct_gem_cost_energy(config, &phase->sum, &energy);
    ct_svg_begin_inside(file, SIZE, SIZE, phase->name,
                        "Energy by component; the table beside it has the figures.");
    for (int part = 0; part < CT_GEM_ENERGY_PARTS && energy.total_pj > 0; part++) {
        const double share = energy.pj[part] / energy.total_pj;
        snprintf(text, sizeof text, "%s: %s mJ, %.1f %%", ct_page_parts[part],
                 ct_page_number(energy.pj[part] * 1e-9, number), 100 * share);
        ct_svg_arc(file, SIZE / 2.0, SIZE / 2.0, RADIUS, WIDTH, from, from + share,
                   ct_page_colours[part], text);
        from += share;
    }
    ct_svg_text(file, SIZE / 2.0, SIZE / 2.0 - 2, "middle",
                ct_page_number(energy.total_pj * 1e-9, number));
    ct_svg_text(file, SIZE / 2.0, SIZE / 2.0 + 22, "middle", "mJ");
    ct_svg_end(file);
}
