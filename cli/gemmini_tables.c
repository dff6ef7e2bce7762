/* The page's figures of energy by component, and its table of operators. */
#include "cli/gemmini_page.h"
#include "engine/base/svg.h"

#include <math.h>
#include <stdlib.h>

/* ---- energy ---- */

void ct_page_put_energy(FILE *file, const struct ct_gemmini_page *page)
{
    char number[CT_PAGE_TEXT];
    fputs("<section><h2>Energy</h2>\n<div class=\"rings\">\n", file);
    for (size_t i = 0; i < page->n_phases; i++) {
        fputs("<figure>", file);
        ct_page_put_ring(file, page->config, &page->phases[i]);
        fputs("<figcaption>", file);
        ct_svg_escape(file, page->phases[i].name);
        fputs("</figcaption></figure>\n", file);
    }
    fputs("<div class=\"scroll\"><table><thead><tr><th scope=\"col\" rowspan=\"2\" class=\"text\">"
          "component</th>",
          file);
    for (size_t i = 0; i < page->n_phases; i++) {
        fputs("<th scope=\"colgroup\" colspan=\"2\">", file);
        ct_svg_escape(file, page->phases[i].name);
        fputs("</th>", file);
    }
    fputs("</tr>\n<tr>", file);
    for (size_t i = 0; i < page->n_phases; i++)
        fputs("<th scope=\"col\">mJ</th><th scope=\"col\">%</th>", file);
    fputs("</tr></thead>\n<tbody>\n", file);
    for (int part = 0; part < CT_GEM_ENERGY_PARTS; part++) {
        fprintf(file,
                "<tr><th scope=\"row\" class=\"text\"><span class=\"key\" "
                "style=\"background:%s\"></span>%s</th>",
                ct_page_colours[part], ct_page_parts[part]);
        for (size_t i = 0; i < page->n_phases; i++) {
            struct ct_gem_energy energy;
            ct_gem_cost_energy(page->config, &page->phases[i].sum, &energy);
            fprintf(file, "<td>%s</td><td>%.1f</td>",
                    ct_page_number(energy.pj[part] * 1e-9, number),
                    energy.total_pj > 0 ? 100 * energy.pj[part] / energy.total_pj : 0);
        }
        fputs("</tr>\n", file);
    }
    fputs("</tbody></table></div>\n</div></section>\n", file);
}

/* ---- operators ---- */

static double blocks(size_t n)
{
    return ceil((double)n / CT_GEM_DIM);
}

/* The least cycles that the array can take: a pass of 16 for each pair of blocks, two where B is turned. */
static double array_cycles(const struct ct_gem_op *op)
{
    if (op->kind != CT_GEM_OP_MATMUL)
        return 0;
    return (double)op->count * blocks(op->m) * blocks(op->n) * blocks(op->k) * CT_GEM_DIM *
           (op->b_transpose ? 2 : 1);
}

/* What an operator's time comes from: the part that needs most of it whatever the others do. */
static const char *bound_of(const struct ct_gem_config *config, const struct ct_gemmini_row *row)
{
    const struct ct_gem_timing *work = &row->cost.work;
    const double memory =
        ct_page_bytes(&row->cost) / fmin(config->mem_bytes_per_cycle, config->dma_bus_bytes);
    const double array = array_cycles(&row->op);
    const double stores = work->norm_lanes > 0 ? (double)work->busy_cycles[CT_GEM_UNIT_STORE] : 0;
    if (ct_page_host_cycles(config, &row->cost) > (double)work->cycles)
        return "host";
    if (stores > fmax(memory, array))
        return "normaliser";
    return memory > array ? "memory" : "array";
}

static void put_cell(FILE *file, double value, const char *text)
{
    fprintf(file, "<td data-v=\"%.9g\">%s</td>", value, text);
}

static void put_row(FILE *file, const struct ct_gem_config *config,
                    const struct ct_gemmini_row *row, double all_cycles)
{
    const struct ct_gem_cost *cost = &row->cost;
    const double share = ct_gem_cost_cycles(config, cost) / all_cycles, bytes = ct_page_bytes(cost),
                 intensity = bytes > 0 ? (double)cost->work.macs / bytes : 0;
    struct ct_gem_energy energy;
    char text[CT_PAGE_TEXT];
    int biggest = 0;
    ct_gem_cost_energy(config, cost, &energy);
    for (int part = 1; part < CT_GEM_ENERGY_PARTS; part++)
        biggest = energy.pj[part] > energy.pj[biggest] ? part : biggest;
    fputs("<tr><th scope=\"row\" class=\"text\">", file);
    ct_svg_escape(file, row->name);
    fprintf(file, "</th><td class=\"text\">%s</td><td>%zu</td>",
            row->op.is_on_host ? "host" : "Gemmini", row->op.count);
    put_cell(file, (double)cost->work.cycles, ct_page_number((double)cost->work.cycles, text));
    put_cell(file, (double)cost->host_cycles, ct_page_number((double)cost->host_cycles, text));
    fprintf(file, "<td data-v=\"%.9g\"><span class=\"bar\" style=\"width:%.2fem\"></span>%.1f</td>",
            share, 4 * share, 100 * share);
    put_cell(file, bytes, ct_page_number(bytes * 1e-6, text));
    snprintf(text, sizeof text, "%.1f", 100 * cost->work.utilisation);
    put_cell(file, cost->work.utilisation, cost->work.macs > 0 ? text : "–");
    put_cell(file, intensity, cost->work.macs > 0 ? ct_page_number(intensity, text) : "–");
    put_cell(file, energy.total_pj, ct_page_number(energy.total_pj * 1e-9, text));
    fprintf(file, "<td class=\"text\">%s %.0f %%</td><td class=\"text\">%s</td></tr>\n",
            ct_page_parts[biggest],
            energy.total_pj > 0 ? 100 * energy.pj[biggest] / energy.total_pj : 0,
            bound_of(config, row));
}

static int by_time(const void *a, const void *b, void *config)
{
    const struct ct_gemmini_row *const *first = a, *const *second = b;
    const double x = ct_gem_cost_cycles(config, &(*first)->cost),
                 y = ct_gem_cost_cycles(config, &(*second)->cost);
    return (x < y) - (x > y);
}

static void put_sum(FILE *file, const struct ct_gem_config *config,
                    const struct ct_gemmini_report *report)
{
    struct ct_gem_energy energy;
    char cycles[CT_PAGE_TEXT], host[CT_PAGE_TEXT], bytes[CT_PAGE_TEXT], joules[CT_PAGE_TEXT];
    ct_gem_cost_energy(config, &report->sum, &energy);
    fprintf(file,
            "</tbody>\n<tfoot><tr><th scope=\"row\" class=\"text\" colspan=\"3\">together</th>"
            "<td>%s</td><td>%s</td><td>100</td><td>%s</td><td>%.1f</td><td></td><td>%s</td>"
            "<td></td><td></td></tr></tfoot></table></div>\n",
            ct_page_number((double)report->sum.work.cycles, cycles),
            ct_page_number((double)report->sum.host_cycles, host),
            ct_page_number(ct_page_bytes(&report->sum) * 1e-6, bytes),
            100 * report->sum.work.utilisation, ct_page_number(energy.total_pj * 1e-9, joules));
}

enum ct_status ct_page_put_operators(FILE *file, const struct ct_gem_config *config,
                                     const struct ct_gemmini_phase *phase, struct ct_error *err)
{
    static const struct {
        const char *name, *attributes;
    } heads[] = {
        {"operator", " class=\"text\""},
        {"where", " class=\"text\""},
        {"times", ""},
        {"cycles", ""},
        {"host cycles", ""},
        {"time, %", " aria-sort=\"descending\""},
        {"memory, MB", ""},
        {"array, % of peak", ""},
        {"MAC a byte", ""},
        {"energy, mJ", ""},
        {"most of it", " class=\"text\""},
        {"bound by", " class=\"text\""},
    };
    const struct ct_gemmini_report *report = phase->shown;
    const struct ct_gemmini_row **rows = calloc(report->n + 1, sizeof *rows);
    if (rows == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %zu operators", report->n);
    for (size_t i = 0; i < report->n; i++)
        rows[i] = &report->rows[i];
    qsort_r(rows, report->n, sizeof *rows, by_time, (void *)config);
    fputs("<div class=\"scroll\"><table class=\"sort wide\"><caption>", file);
    ct_svg_escape(file, phase->name);
    fputs(phase->n_steps > 1 ? ", the last step</caption>\n<thead><tr>" : "</caption>\n<thead><tr>",
          file);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        fprintf(file, "<th scope=\"col\"%s>%s</th>", heads[i].attributes, heads[i].name);
    fputs("</tr></thead>\n<tbody>\n", file);
    for (size_t i = 0; i < report->n; i++)
        put_row(file, config, rows[i], report->cycles);
    put_sum(file, config, report);
    free(rows);
    return CT_OK;
}
