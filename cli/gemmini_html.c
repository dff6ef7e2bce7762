#include "cli/gemmini_html.h"

#include "cli/cli.h"
#include "cli/gemmini_page.h"
#include "engine/base/svg.h"
#include "engine/tokenizer/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const ct_page_colours[CT_GEM_ENERGY_PARTS] = {
    "var(--c1)", "var(--c4)", "var(--c5)", "var(--c2)", "var(--c3)", "var(--c0)", "var(--c6)"};

const char *const ct_page_parts[CT_GEM_ENERGY_PARTS] = {
    "multipliers", "registers", "scratchpad", "accumulator", "normaliser", "memory", "host"};

/* ---- figures as text ---- */

const char *ct_page_number(double value, char text[CT_PAGE_TEXT])
{
    char digits[CT_PAGE_TEXT / 2];
    int places = value >= 1000 ? 0 : value >= 1 ? 3 - (int)log10(value) : 0;
    if (value > 0 && value < 1)
        snprintf(digits, sizeof digits, "%.3g", value);
    else
        snprintf(digits, sizeof digits, "%.*f", places, fmin(value, 1e15));
    /* No zeros behind the point, a comma in front of every three digits before it. */
    if (strchr(digits, '.') != NULL && strchr(digits, 'e') == NULL)
        for (size_t n = strlen(digits); digits[n - 1] == '0' || digits[n - 1] == '.'; n--) {
            const bool is_point = digits[n - 1] == '.';
            digits[n - 1] = '\0';
            if (is_point)
                break;
        }
    const size_t n = strspn(digits, "0123456789");
    char *out = text;
    for (size_t i = 0; digits[i] != '\0'; i++) {
        if (i > 0 && i < n && (n - i) % 3 == 0)
            *out++ = ',';
        *out++ = digits[i];
    }
    *out = '\0';
    return text;
}

const char *ct_page_time(const struct ct_gem_config *config, double cycles, char text[CT_PAGE_TEXT])
{
    static const struct {
        double seconds;
        const char *unit;
    } units[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {0, "ns"}};
    const double seconds = cycles / config->clock_ghz * 1e-9;
    char number[CT_PAGE_TEXT];
    size_t i = 0;
    while (seconds < units[i].seconds)
        i++;
    const double value = seconds / (units[i].seconds > 0 ? units[i].seconds : 1e-9);
    const double digit = value >= 100 ? 1 : value >= 10 ? 0.1 : 0.01;
    ct_page_number(digit * round(value / digit), number);
    snprintf(text, CT_PAGE_TEXT, "%.24s %s", number, units[i].unit);
    return text;
}

double ct_page_host_cycles(const struct ct_gem_config *config, const struct ct_gem_cost *cost)
{
    return (double)cost->host_cycles * config->clock_ghz / config->host_ghz;
}

double ct_page_bytes(const struct ct_gem_cost *cost)
{
    return (double)(cost->work.read_bytes + cost->work.write_bytes);
}

/* ---- the machine ---- */

static void put_item(FILE *file, const char *name, const char *text)
{
    fprintf(file, "<div><dt>%s</dt><dd>", name);
    ct_svg_escape(file, text);
    fputs("</dd></div>\n", file);
}

/* All keys, as `centroid gemmini config` prints them. */
static enum ct_status put_keys(FILE *file, const struct ct_gem_config *config, struct ct_error *err)
{
    char *text = NULL;
    size_t n_bytes;
    FILE *memory = open_memstream(&text, &n_bytes);
    if (memory != NULL) {
        ct_gem_config_print(config, memory);
        fclose(memory);
    }
    if (text == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the machine's configuration");
    fputs("<details><summary>Every key of the configuration</summary><pre>", file);
    ct_svg_escape(file, text);
    fputs("</pre></details>\n", file);
    free(text);
    return CT_OK;
}

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

static enum ct_status put_machine(FILE *file, const struct ct_gem_config *c, struct ct_error *err)
{
    char text[160];
    fputs("<section><h2>Machine</h2>\n<dl>\n", file);
    fprintf(file, "<div><dt>Array</dt><dd>%d × %d int8, dataflow: ", c->array_dim, c->array_dim);
    ct_gem_config_print_choice(c, "array", "dataflow", file);
    fputs("</dd></div>\n", file);
    snprintf(text, sizeof text, "%d KiB, %d bank%s", c->spad_kb, c->spad_banks,
             plural(c->spad_banks));
    put_item(file, "Scratchpad", text);
    snprintf(text, sizeof text, "%d KiB, %d bank%s", c->acc_kb, c->acc_banks, plural(c->acc_banks));
    put_item(file, "Accumulator", text);
    snprintf(text, sizeof text, "%g GB/s, %d cycles away",
             fmin(c->mem_bytes_per_cycle, c->dma_bus_bytes) * c->clock_ghz, c->mem_latency);
    put_item(file, "Memory", text);
    snprintf(text, sizeof text, "%g GHz; peak %g GMAC/s", c->clock_ghz,
             CT_GEM_DIM * CT_GEM_DIM * c->clock_ghz);
    put_item(file, "Clock", text);
    snprintf(text, sizeof text, "%g GHz; %s, %s, %s", c->host_ghz,
             ct_gem_host_code(c, CT_GEM_OP_SOFTMAX), ct_gem_host_code(c, CT_GEM_OP_LAYERNORM),
             ct_gem_host_code(c, CT_GEM_OP_GELU));
    put_item(file, "Host", text);
    put_item(file, "Normalisation units",
             c->norm_enabled ? "softmax, LayerNorm, I-GELU" : "none: the host's code");
    fputs("<div><dt>Energy</dt><dd>", file);
    ct_gem_config_print_choice(c, "energy", "table", file);
    fputs("; ", file);
    ct_gem_config_print_choice(c, "energy", "dram", file);
    fprintf(file, "; host %g pJ an instruction</dd></div>\n</dl>\n", c->host_pj_per_instr);
    const enum ct_status status = put_keys(file, c, err);
    fputs("</section>\n", file);
    return status;
}

/* ---- totals ---- */

/* value: as programs want it; shown: as people do, with its unit, and more below it where there is more. */
static void put_figure(FILE *file, const char *name, const char *id, double value,
                       const char *shown, const char *unit, const char *more)
{
    fprintf(file, "<div><dt>%s</dt><dd><data class=\"%s\" value=\"%.15g\">%s</data> <small>", name,
            id, value, shown);
    ct_svg_escape(file, unit);
    fputs("</small>", file);
    if (more != NULL)
        fprintf(file, "<small class=\"more\">%s</small>", more);
    fputs("</dd></div>\n", file);
}

static void put_units(FILE *file, const struct ct_gemmini_phase *phase, double seconds,
                      double millijoules)
{
    char shown[CT_PAGE_TEXT], unit[CT_PAGE_TEXT];
    snprintf(unit, sizeof unit, "%.30ss/s", phase->unit);
    ct_page_number(phase->n_units / seconds, shown);
    put_figure(file, "Speed", "units_per_second", phase->n_units / seconds, shown, unit, NULL);
    snprintf(unit, sizeof unit, "mJ %s %.30s", strchr("aeiou", phase->unit[0]) ? "an" : "a",
             phase->unit);
    ct_page_number(millijoules / phase->n_units, shown);
    put_figure(file, "Energy each", "energy_each", millijoules / phase->n_units * 1e-3, shown, unit,
               NULL);
}

/* Which of the shown step's operators takes longest. NULL: there are none. */
static const struct ct_gemmini_row *find_longest(const struct ct_gem_config *config,
                                                 const struct ct_gemmini_report *report)
{
    const struct ct_gemmini_row *longest = NULL;
    for (size_t i = 0; i < report->n; i++)
        if (longest == NULL || ct_gem_cost_cycles(config, &report->rows[i].cost) >
                                   ct_gem_cost_cycles(config, &longest->cost))
            longest = &report->rows[i];
    return longest;
}

static void put_summary(FILE *file, const struct ct_gem_config *config,
                        const struct ct_gemmini_phase *phase, double waiting)
{
    const struct ct_gemmini_report *shown = phase->shown;
    const struct ct_gemmini_row *longest = find_longest(config, shown);
    fputs("<p>", file);
    if (phase->n_steps > 1)
        fprintf(file, "%zu steps; figures by operator below are the last one's. ", phase->n_steps);
    if (waiting >= 0.005)
        fprintf(file, "The accelerator waits for the host %.0f %% of the time. ", 100 * waiting);
    if (longest != NULL) {
        fputs("What takes longest is <b>", file);
        ct_svg_escape(file, longest->name);
        fprintf(file, "</b>%s: %.0f %% of a step.", longest->op.is_on_host ? " on the host" : "",
                100 * ct_gem_cost_cycles(config, &longest->cost) / shown->cycles);
    }
    fputs("</p>\n", file);
}

static void put_totals(FILE *file, const struct ct_gem_config *config,
                       const struct ct_gemmini_phase *phase)
{
    const struct ct_gem_cost *sum = &phase->sum;
    const double cycles = ct_gem_cost_cycles(config, sum),
                 seconds = cycles / config->clock_ghz * 1e-9, bytes = ct_page_bytes(sum),
                 waiting = cycles > 0 ? ct_page_host_cycles(config, sum) / cycles : 0;
    struct ct_gem_energy energy;
    char shown[CT_PAGE_TEXT], more[2 * CT_PAGE_TEXT], number[CT_PAGE_TEXT];
    ct_gem_cost_energy(config, sum, &energy);
    fputs("<h3>", file);
    ct_svg_escape(file, phase->name);
    fputs("</h3>\n", file);
    put_summary(file, config, phase, waiting);
    fputs("<dl class=\"figures\">\n", file);
    put_figure(file, "Time", "seconds", seconds, ct_page_number(seconds * 1e3, shown), "ms", NULL);
    put_figure(file, "Cycles", "cycles", cycles, ct_page_number(cycles, shown), "", NULL);
    if (phase->unit != NULL && phase->n_units > 0 && seconds > 0)
        put_units(file, phase, seconds, energy.total_pj * 1e-9);
    put_figure(file, "Energy", "energy_joules", energy.total_pj * 1e-12,
               ct_page_number(energy.total_pj * 1e-9, shown), "mJ", NULL);
    snprintf(shown, sizeof shown, "%.1f", 100 * sum->work.utilisation);
    snprintf(more, sizeof more, "%.1f %% with waiting",
             100 * sum->work.utilisation * (1 - waiting));
    put_figure(file, "Array", "utilisation", sum->work.utilisation, shown, "% of its peak",
               waiting > 0 ? more : NULL);
    snprintf(more, sizeof more, "%s GB/s",
             ct_page_number(seconds > 0 ? bytes / seconds * 1e-9 : 0, number));
    put_figure(file, "Memory traffic", "dram_bytes", bytes, ct_page_number(bytes * 1e-6, shown),
               "MB", more);
    snprintf(shown, sizeof shown, "%.1f", 100 * waiting);
    put_figure(file, "Waiting for the host", "waiting", waiting, shown, "% of the time",
               waiting > 0 ? ct_page_time(config, waiting * cycles, more) : NULL);
    fputs("</dl>\n", file);
}

/* ---- the page ---- */

static void put_head(FILE *file, const struct ct_gemmini_page *page)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          file);
    ct_svg_escape(file, page->title);
    fputs(" on Gemmini</title>\n<style>\n", file);
    ct_page_put_style(file);
    fputs(
        "</style></head>\n<body><main>\n<header><p class=\"over\">Centroid · simulated Gemmini</p>"
        "\n<h1>",
        file);
    ct_svg_escape(file, page->title);
    fputs("</h1></header>\n", file);
}

static enum ct_status put_timelines(FILE *file, const struct ct_gemmini_page *page,
                                    struct ct_progress *progress, struct ct_error *err)
{
    enum ct_status status = CT_OK;
    fputs(
        "<section><h2>Timeline</h2>\n"
        "<p>Each lane is filled as high as its unit is busy in that moment. A host operator with a "
        "slash is drawn shorter than it is, so that the accelerator's work can be seen. Last comes "
        "the beginning of the longest product, its tiles in two colours in turn: while one is "
        "multiplied, the next one's operands are loaded.</p>\n",
        file);
    for (size_t i = 0; i < page->n_phases && status == CT_OK; i++) {
        fputs("<h3>", file);
        ct_svg_escape(file, page->phases[i].name);
        fputs("</h3>\n<figure>", file);
        status = ct_page_put_timeline(file, page->config, &page->phases[i], progress, err);
        fputs("</figure>\n", file);
    }
    fputs("</section>\n", file);
    return status;
}

static enum ct_status put_page(FILE *file, const struct ct_gemmini_page *page,
                               struct ct_progress *progress, struct ct_error *err)
{
    put_head(file, page);
    fputs("<section>\n", file);
    for (size_t i = 0; i < page->n_phases; i++)
        put_totals(file, page->config, &page->phases[i]);
    fputs("</section>\n", file);
    enum ct_status status = put_machine(file, page->config, err);
    if (status == CT_OK)
        status = put_timelines(file, page, progress, err);
    fputs(
        "<section><h2>Roofline</h2>\n<p>Products by how much they multiply for each byte that they "
        "move. A disc's area is its share of the accelerator's time; what multiplies nothing is "
        "listed beside, with its share of a step.</p>\n<figure>",
        file);
    ct_page_put_roofline(file, page);
    fputs("</figure></section>\n", file);
    ct_page_put_energy(file, page);
    fputs("<section><h2>Operators</h2>\n<p>Of one step, those of one shape together; a product is "
          "called by its weights' columns in and out. A column's head sorts by it.</p>\n",
          file);
    for (size_t i = 0; i < page->n_phases && status == CT_OK; i++)
        status = ct_page_put_operators(file, page->config, &page->phases[i], err);
    fputs("</section>\n<script>\n", file);
    ct_page_put_script(file);
    fputs("</script>\n</main></body></html>\n", file);
    return status;
}

/* Names are any bytes: what is not UTF-8 in them becomes U+FFFD. */
static enum ct_status write_repaired(const char *text, size_t n_bytes, const char *path,
                                     struct ct_error *err)
{
    char *repaired = malloc(3 * n_bytes + 1);
    if (repaired == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %s", path);
    const size_t n = ct_utf8_repair(text, n_bytes, repaired);
    const enum ct_status status = ct_cli_replace_file(path, repaired, n, err);
    free(repaired);
    return status;
}

enum ct_status ct_gemmini_html_write(const struct ct_gemmini_page *page, const char *path,
                                     struct ct_error *err)
{
    struct ct_progress progress;
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *file = open_memstream(&text, &n_bytes);
    if (file == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %s", path);
    ct_progress_init(&progress, false);
    enum ct_status status = put_page(file, page, &progress, err);
    ct_progress_finish(&progress);
    const bool has_failed = ferror(file);
    if ((fclose(file) != 0 || has_failed) && status == CT_OK)
        status = ct_error_set(err, CT_MEMORY, "no memory for %s", path);
    if (status == CT_OK)
        status = write_repaired(text, n_bytes, path, err);
    free(text);
    return status;
}
