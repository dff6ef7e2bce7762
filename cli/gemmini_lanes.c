/* The page's timelines: what the host and the accelerator's units do over time.
 *
 * An operator's work is looked at once: how busy each unit has been up to each of BINS moments. From that
 * a figure takes what falls into each of its pixels, however often the operator comes and however wide it
 * is drawn, so that a figure's size depends on its width alone. */
#include "cli/gemmini_page.h"
#include "engine/base/svg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANE_HOST = CT_GEM_UNITS, N_LANES };
enum { BINS = 2048, LEFT = 62, PLOT_WIDTH = CT_PAGE_WIDTH - LEFT - 8 };

static const struct {
    int lane;
    const char *name, *colour;
} lanes[N_LANES] = {
    {LANE_HOST, "host", "var(--c6)"},
    {CT_GEM_UNIT_LOAD, "load", "var(--c0)"},
    {CT_GEM_UNIT_EXECUTE, "execute", "var(--c1)"},
    {CT_GEM_UNIT_STORE, "store", "var(--c2)"},
};

/* ---- how busy ---- */

/* An operator, once: the host's work, then the accelerator's. busy[unit][i]: cycles until bin i begins. */
struct profile {
    double host, work; /* cycles of the accelerator's clock */
    uint64_t busy_until[CT_GEM_UNITS];
    double busy[CT_GEM_UNITS][BINS + 1];
};

static double length_of(const struct profile *p)
{
    return p->host + p->work;
}

/* Adds [start, end) to the bins that it touches. Bins still hold what each adds, at its end. */
static void add_interval(struct profile *p, enum ct_gem_unit unit, double start, double end)
{
    const double width = p->work / BINS;
    for (size_t i = (size_t)(start / width); i < BINS && (double)i * width < end; i++)
        p->busy[unit][i + 1] += fmin(end, (double)(i + 1) * width) - fmax(start, (double)i * width);
}

/* A unit that works on two commands at a time is busy once. */
static void note(void *context, enum ct_gem_unit unit, uint64_t start, uint64_t end, size_t command)
{
    struct profile *p = context;
    (void)command;
    const uint64_t from = start > p->busy_until[unit] ? start : p->busy_until[unit];
    if (end <= from)
        return;
    p->busy_until[unit] = end;
    add_interval(p, unit, (double)from, fmin((double)end, p->work));
}

/* Operators of this many cycles are as busy everywhere as they are on average: no figure is wide enough
 * to show their tiles, and telling all intervals would take seconds. */
static const double long_cycles = 1e7;

static enum ct_status measure(const struct ct_gem_config *config, const struct ct_gemmini_row *row,
                              struct profile *p, struct ct_error *err)
{
    const double count = (double)row->op.count;
    enum ct_status status = CT_OK;
    uint64_t cycles;
    p->host = ct_page_host_cycles(config, &row->cost) / count;
    p->work = (double)row->cost.work.cycles / count;
    if (p->work >= long_cycles) {
        for (int unit = 0; unit < CT_GEM_UNITS; unit++)
            for (int i = 1; i <= BINS; i++)
                p->busy[unit][i] = (double)row->cost.work.busy_cycles[unit] / count / BINS;
    } else if (p->work > 0) {
        status = ct_gem_op_timeline(config, &row->op, SIZE_MAX, note, p, &cycles, err);
    }
    for (int unit = 0; unit < CT_GEM_UNITS; unit++)
        for (int i = 0; i < BINS; i++)
            p->busy[unit][i + 1] += p->busy[unit][i];
    return status;
}

/* Busy cycles of a lane in the first `cycles` of the operator repeated for ever. */
static double busy_before(const struct profile *p, int lane, double cycles)
{
    const double times = floor(cycles / length_of(p)), at = cycles - times * length_of(p);
    if (lane == LANE_HOST)
        return times * p->host + fmin(at, p->host);
    const double *busy = p->busy[lane];
    if (at <= p->host)
        return times * busy[BINS];
    const double bin = fmin((at - p->host) / p->work * BINS, BINS - 1), whole = floor(bin);
    const size_t i = (size_t)whole;
    return times * busy[BINS] + busy[i] + (bin - whole) * (busy[i + 1] - busy[i]);
}

/* ---- a step ---- */

struct run {
    size_t row, count;
};

struct timeline {
    const struct ct_gem_config *config;
    const struct ct_gemmini_row *rows;
    struct profile *profiles; /* of each row */
    struct run *runs;         /* the operators in their order */
    size_t n_rows, n_runs;
};

static enum ct_status open_timeline(const struct ct_gemmini_phase *phase, struct timeline *t,
                                    struct ct_error *err)
{
    t->rows = phase->shown->rows;
    t->n_rows = phase->shown->n;
    t->n_runs = phase->n_ops > 0 ? phase->n_ops : t->n_rows;
    t->profiles = calloc(t->n_rows + 1, sizeof *t->profiles);
    t->runs = calloc(t->n_runs + 1, sizeof *t->runs);
    if (t->profiles == NULL || t->runs == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the timeline of %zu operators",
                            t->n_runs);
    for (size_t i = 0; i < t->n_runs; i++) {
        size_t row = phase->n_ops > 0 ? 0 : i;
        if (phase->n_ops > 0)
            while (row < t->n_rows && !ct_gem_op_is_alike(&t->rows[row].op, &phase->ops[i]))
                row++;
        if (row == t->n_rows)
            return ct_error_set(err, CT_INTERNAL, "operator %zu of %s has no row", i, phase->name);
        t->runs[i] =
            (struct run){row, phase->n_ops > 0 ? phase->ops[i].count : t->rows[i].op.count};
    }
    return CT_OK;
}

static double cycles_of(const struct timeline *t, const struct run *run)
{
    return (double)run->count * length_of(&t->profiles[run->row]);
}

static bool is_same(const struct run *a, const struct run *b)
{
    return a->row == b->row && a->count == b->count;
}

/* The part of a step that comes again and again, as layers do. */
struct repeat {
    size_t begin, n, times;
};

static struct repeat find_repeat(const struct timeline *t)
{
    struct repeat best = {0, t->n_runs, 1};
    size_t covered = t->n_runs / 2; /* what covers less is not worth a figure of its own */
    for (size_t n = 1; n <= t->n_runs / 2; n++)
        for (size_t begin = 0; begin + 2 * n <= t->n_runs; begin++) {
            size_t same = 0;
            while (begin + n + same < t->n_runs &&
                   is_same(&t->runs[begin + same], &t->runs[begin + n + same]))
                same++;
            const size_t times = same / n + 1;
            if (times > 1 && times * n > covered) {
                covered = times * n;
                best = (struct repeat){begin, n, times};
            }
        }
    return best;
}

/* ---- figures ---- */

/* An operator's place in a figure. */
struct segment {
    const struct run *run;
    double from, width; /* pixels */
    bool is_cut;        /* narrower than its time */
};

/* The host's operators take no more than cut pixels each. Returns how many pixels a cycle takes. */
static double place(const struct timeline *t, const struct run *runs, size_t n, double cut,
                    struct segment *segments)
{
    double low = 0, high = PLOT_WIDTH;
    for (int round = 0; round < 100; round++) {
        const double scale = (low + high) / 2;
        double at = 0;
        for (size_t i = 0; i < n; i++) {
            const double width = scale * cycles_of(t, &runs[i]);
            const bool is_cut = t->profiles[runs[i].row].work <= 0 && width > cut;
            segments[i] = (struct segment){&runs[i], at, is_cut ? cut : width, is_cut};
            at += segments[i].width;
        }
        *(at > PLOT_WIDTH ? &high : &low) = scale;
    }
    return low;
}

static void fill_lane(const struct timeline *t, const struct segment *segments, size_t n, int lane,
                      double *values)
{
    memset(values, 0, PLOT_WIDTH * sizeof *values);
    for (size_t i = 0; i < n; i++) {
        const struct segment *s = &segments[i];
        const struct profile *p = &t->profiles[s->run->row];
        const double scale = cycles_of(t, s->run) / s->width, end = s->from + s->width;
        double before = 0;
        for (double x = s->from; s->width > 0 && x < end;) {
            const double next = fmin(floor(x) + 1, end);
            const double busy = busy_before(p, lane, (next - s->from) * scale);
            const size_t pixel = (size_t)fmin(x, PLOT_WIDTH - 1);
            values[pixel] += (busy - before) / scale;
            before = busy;
            x = next;
        }
    }
}

static void put_lane_names(FILE *file, double y, double height, double gap, bool has_host)
{
    for (int i = has_host ? 0 : 1; i < N_LANES; i++, y += height + gap) {
        ct_svg_text(file, LEFT - 8, y + height / 2 + 4, "end", lanes[i].name);
        ct_svg_line(file, LEFT, y + height, LEFT + PLOT_WIDTH, y + height, CT_PAGE_LINE, 1, NULL);
    }
}

static void put_lanes(FILE *file, const struct timeline *t, const struct segment *segments,
                      size_t n, double y, double height, double gap)
{
    double values[PLOT_WIDTH];
    put_lane_names(file, y, height, gap, true);
    for (int i = 0; i < N_LANES; i++, y += height + gap) {
        fill_lane(t, segments, n, lanes[i].lane, values);
        ct_svg_area(file, LEFT, y, height, values, PLOT_WIDTH, lanes[i].colour);
    }
}

static const char *name_run(const struct timeline *t, const struct run *run,
                            char text[CT_PAGE_TEXT])
{
    if (run->count > 1)
        snprintf(text, CT_PAGE_TEXT, "%s ×%zu", t->rows[run->row].name, run->count);
    else
        snprintf(text, CT_PAGE_TEXT, "%s", t->rows[run->row].name);
    return text;
}

static bool fits(const char *text, double width)
{
    return 6.3 * (double)strlen(text) + 4 < width;
}

/* Boundaries, names and times of operators, where there is room; all of it where the pointer rests. */
static void put_segments(FILE *file, const struct timeline *t, const struct segment *segments,
                         size_t n, double top, double height, double bottom)
{
    char name[CT_PAGE_TEXT], time[CT_PAGE_TEXT], both[2 * CT_PAGE_TEXT + 2];
    for (size_t i = 0; i < n; i++) {
        const struct segment *s = &segments[i];
        const double x = LEFT + s->from, middle = x + s->width / 2;
        name_run(t, s->run, name);
        ct_page_time(t->config, cycles_of(t, s->run), time);
        snprintf(both, sizeof both, "%s, %s", name, time);
        ct_svg_bar(file, x, top - 16, s->width, bottom - top + 34, "transparent", both);
        ct_svg_line(file, x, top - 14, x, bottom + 4, CT_PAGE_LINE, 1, NULL);
        if (!fits(name, s->width))
            snprintf(name, sizeof name, "%s", t->rows[s->run->row].name);
        if (fits(name, s->width))
            ct_svg_text(file, middle, top - 5, "middle", name);
        if (fits(time, s->width))
            ct_svg_text(file, middle, bottom + 16, "middle", time);
        for (int line = 0; line < 2 && s->is_cut; line++)
            ct_svg_line(file, middle + 5 * line - 6, top + height + 1, middle + 5 * line + 1,
                        top - 1, CT_PAGE_BACKGROUND, 2.5, NULL);
    }
    ct_svg_line(file, LEFT + PLOT_WIDTH, top - 14, LEFT + PLOT_WIDTH, bottom + 4, CT_PAGE_LINE, 1,
                NULL);
}

/* A bar of a round time at the right edge. */
static void put_scale(FILE *file, const struct timeline *t, double pixels_per_cycle, double y)
{
    char text[CT_PAGE_TEXT];
    const double cycles = ct_svg_step(PLOT_WIDTH / pixels_per_cycle), right = LEFT + PLOT_WIDTH,
                 left = right - cycles * pixels_per_cycle;
    ct_svg_line(file, left, y, right, y, "currentColor", 1.5, NULL);
    ct_svg_line(file, left, y - 3, left, y + 3, "currentColor", 1.5, NULL);
    ct_svg_line(file, right, y - 3, right, y + 3, "currentColor", 1.5, NULL);
    ct_svg_text(file, left - 6, y + 4, "end", ct_page_time(t->config, cycles, text));
}

static void put_whole(FILE *file, const struct timeline *t, const struct repeat *repeat,
                      struct segment *segments)
{
    enum { TOP = 26, HEIGHT = 18, GAP = 5, BOTTOM = TOP + N_LANES * (HEIGHT + GAP) };
    char text[2 * CT_PAGE_TEXT];
    ct_svg_begin_inside(
        file, CT_PAGE_WIDTH, BOTTOM + 34, "A whole step",
        "How busy the host and the accelerator's load, execute and store units are, "
        "over the time of one step.");
    const double scale = place(t, t->runs, t->n_runs, INFINITY, segments);
    put_lanes(file, t, segments, t->n_runs, TOP, HEIGHT, GAP);
    for (size_t i = 0; i <= repeat->times; i++) {
        const size_t at = repeat->begin + i * repeat->n;
        const double x = LEFT + (at < t->n_runs ? segments[at].from : PLOT_WIDTH);
        ct_svg_line(file, x, TOP - 6, x, BOTTOM, CT_PAGE_LINE, 1, NULL);
    }
    const struct segment *first = &segments[repeat->begin],
                         *last = &segments[repeat->begin + repeat->n * repeat->times - 1];
    const double left = LEFT + first->from, right = LEFT + last->from + last->width;
    snprintf(text, sizeof text, "%zu times the same operators, shown once below", repeat->times);
    ct_svg_line(file, left, TOP - 6, right, TOP - 6, "currentColor", 1, NULL);
    ct_svg_text(file, (left + right) / 2, TOP - 12, "middle", text);
    put_scale(file, t, scale, BOTTOM + 14);
    ct_svg_end(file);
}

static void put_part(FILE *file, const struct timeline *t, const struct repeat *repeat,
                     struct segment *segments)
{
    enum { TOP = 24, HEIGHT = 34, GAP = 8, BOTTOM = TOP + N_LANES * (HEIGHT + GAP) - GAP };
    const struct run *runs = &t->runs[repeat->begin];
    double host = 0, work = 0;
    for (size_t i = 0; i < repeat->n; i++) {
        host += (double)runs[i].count * t->profiles[runs[i].row].host;
        work += (double)runs[i].count * t->profiles[runs[i].row].work;
    }
    ct_svg_begin_inside(file, CT_PAGE_WIDTH, BOTTOM + 46, "Operators one after the other",
                        "How busy the host and the accelerator's load, execute and store units are "
                        "in each operator.");
    const double scale = place(t, runs, repeat->n, host > work ? 54 : INFINITY, segments);
    put_lanes(file, t, segments, repeat->n, TOP, HEIGHT, GAP);
    put_segments(file, t, segments, repeat->n, TOP, HEIGHT, BOTTOM);
    put_scale(file, t, scale, BOTTOM + 34);
    ct_svg_end(file);
}

/* ---- one product ---- */

/* The first n commands of a product: so many tiles. */
enum { MAX_TILES = 6, MAX_COMMANDS = 20000 };
struct start {
    uint8_t tiles[MAX_COMMANDS]; /* of each command */
    size_t n, tile;
    bool is_multiplied; /* the tile that commands are at */
    uint64_t cycles;
    double values[2][CT_GEM_UNITS][PLOT_WIDTH]; /* of tiles with even and odd numbers */
    double executed[MAX_TILES][2];              /* from, to */
};

/* A tile is a LOOP_WS with its settings, or what is loaded and then multiplied command by command. */
static void take(void *context, const struct ct_gem_command *command)
{
    struct start *s = context;
    const int funct = command->funct;
    const bool begins = funct == CT_GEM_LOOP_BOUNDS_FUNCT || funct == CT_GEM_MVIN_FUNCT ||
                        funct == CT_GEM_MVIN2_FUNCT || funct == CT_GEM_MVIN3_FUNCT;
    if (begins && s->is_multiplied) {
        s->tile++;
        s->is_multiplied = false;
    }
    if (funct == CT_GEM_LOOP_WS_FUNCT || funct == CT_GEM_COMPUTE_PRELOADED_FUNCT ||
        funct == CT_GEM_COMPUTE_ACCUMULATED_FUNCT)
        s->is_multiplied = true;
    if (s->tile >= MAX_TILES || s->n == MAX_COMMANDS)
        return;
    s->tiles[s->n++] = (uint8_t)s->tile;
}

static void note_start(void *context, enum ct_gem_unit unit, uint64_t start, uint64_t end,
                       size_t command)
{
    struct start *s = context;
    const size_t tile = s->tiles[command];
    const double scale = PLOT_WIDTH / (double)s->cycles, from = (double)start * scale,
                 to = fmin((double)end * scale, PLOT_WIDTH);
    double *values = s->values[tile % 2][unit], *executed = s->executed[tile];
    for (size_t i = (size_t)from; i < PLOT_WIDTH && (double)i < to; i++)
        values[i] += fmin(to, (double)(i + 1)) - fmax(from, (double)i);
    if (unit == CT_GEM_UNIT_EXECUTE) {
        executed[0] = executed[1] > 0 ? fmin(executed[0], from) : from;
        executed[1] = fmax(executed[1], to);
    }
}

static void put_start(FILE *file, const struct timeline *t, const struct start *s,
                      const char *product)
{
    enum { TOP = 40, HEIGHT = 30, GAP = 8, BOTTOM = TOP + CT_GEM_UNITS * (HEIGHT + GAP) - GAP };
    static const char *const colours[2] = {"var(--c0)", "var(--c4)"};
    const size_t n_tiles = s->tiles[s->n - 1] + (size_t)1;
    char text[3 * CT_PAGE_TEXT];
    double y = TOP;
    ct_svg_begin_inside(file, CT_PAGE_WIDTH, BOTTOM + 30, "The beginning of one product",
                        "How busy the load, execute and store units are in its first tiles.");
    if (n_tiles > 1)
        snprintf(text, sizeof text, "%s, tiles 1 to %zu of %zu", product, n_tiles, s->tile + 1);
    else
        snprintf(text, sizeof text, "%s, tile 1 of %zu", product, s->tile + 1);
    ct_svg_text(file, LEFT, 14, "start", text);
    put_lane_names(file, TOP, HEIGHT, GAP, false);
    for (int i = 1; i < N_LANES; i++, y += HEIGHT + GAP)
        for (int odd = 0; odd < 2; odd++)
            ct_svg_area(file, LEFT, y, HEIGHT, s->values[odd][lanes[i].lane], PLOT_WIDTH,
                        colours[odd]);
    for (size_t tile = 0; tile < n_tiles; tile++) {
        const double *at = s->executed[tile];
        snprintf(text, sizeof text, "tile %zu", tile + 1);
        ct_svg_line(file, LEFT + at[0], TOP - 4, LEFT + at[0], BOTTOM, CT_PAGE_LINE, 1, NULL);
        if (fits(text, at[1] - at[0]))
            ct_svg_text(file, LEFT + (at[0] + at[1]) / 2, TOP - 6, "middle", text);
    }
    put_scale(file, t, PLOT_WIDTH / (double)s->cycles, BOTTOM + 18);
    ct_svg_end(file);
}

static enum ct_status put_longest(FILE *file, const struct timeline *t, struct ct_error *err)
{
    const struct ct_gemmini_row *row = NULL;
    for (size_t i = 0; i < t->n_rows; i++)
        if (t->rows[i].op.kind == CT_GEM_OP_MATMUL &&
            (row == NULL || t->rows[i].cost.work.cycles > row->cost.work.cycles))
            row = &t->rows[i];
    if (row == NULL)
        return CT_OK;
    struct start *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the timeline of %s", row->name);
    enum ct_status status = ct_gem_op_commands(t->config, &row->op, take, s, err);
    if (status == CT_OK) /* how long it is, and then what happens in it */
        status = ct_gem_op_timeline(t->config, &row->op, s->n, NULL, NULL, &s->cycles, err);
    if (status == CT_OK)
        status = ct_gem_op_timeline(t->config, &row->op, s->n, note_start, s, &s->cycles, err);
    if (status == CT_OK)
        put_start(file, t, s, row->name);
    free(s);
    return status;
}

enum ct_status ct_page_put_timeline(FILE *file, const struct ct_gem_config *config,
                                    const struct ct_gemmini_phase *phase,
                                    struct ct_progress *progress, struct ct_error *err)
{
    struct timeline t = {.config = config};
    struct segment *segments = NULL;
    enum ct_status status = open_timeline(phase, &t, err);
    for (size_t i = 0; i < t.n_rows && status == CT_OK; i++) {
        size_t same = 0; /* a layer's Q, K and V */
        while (!ct_gem_op_is_alike(&t.rows[same].op, &t.rows[i].op))
            same++;
        ct_progress_update(progress, t.rows[i].name, (double)i / (double)t.n_rows);
        if (same < i)
            t.profiles[i] = t.profiles[same];
        else
            status = measure(config, &t.rows[i], &t.profiles[i], err);
    }
    if (status == CT_OK && (segments = calloc(t.n_runs + 1, sizeof *segments)) == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for %zu operators", t.n_runs);
    if (status == CT_OK) {
        const struct repeat repeat = find_repeat(&t);
        if (repeat.times > 1)
            put_whole(file, &t, &repeat, segments);
        put_part(file, &t, &repeat, segments);
        status = put_longest(file, &t, err);
    }
    free(segments);
    free(t.runs);
    free(t.profiles);
    return status;
}
