/* Between the files that make the page of gemmini_html.h: gemmini_html.c has its frame and totals,
 * gemmini_lanes.c the timelines, gemmini_plots.c roofline and rings, gemmini_tables.c energy and operators,
 * gemmini_style.c looks and sorting. One thread. */
#ifndef CT_CLI_GEMMINI_PAGE_H
#define CT_CLI_GEMMINI_PAGE_H

#include "cli/gemmini_html.h"
#include "cli/progress.h"

enum { CT_PAGE_WIDTH = 1080, CT_PAGE_TEXT = 64 };

/* Colours are variables of the page's style, other ones in the dark. Units of the timeline have those of
 * the energy that they take most of: memory, array, accumulator, host. */
#define CT_PAGE_LINE       "var(--line)"
#define CT_PAGE_BACKGROUND "var(--bg)"
extern const char *const ct_page_colours[CT_GEM_ENERGY_PARTS];
extern const char *const ct_page_parts[CT_GEM_ENERGY_PARTS]; /* "scratchpad", not "spad" */

/* What stands in <style> and <script>. */
void ct_page_put_style(FILE *file);
void ct_page_put_script(FILE *file);

/* Four digits or all before the point, "1,106.8" and "0.01234", into text; returns it. */
const char *ct_page_number(double value, char text[CT_PAGE_TEXT]);

/* A time of so many cycles to three digits: "173 µs". */
const char *ct_page_time(const struct ct_gem_config *config, double cycles,
                         char text[CT_PAGE_TEXT]);

/* Cycles of the accelerator's clock that the host takes. */
double ct_page_host_cycles(const struct ct_gem_config *config, const struct ct_gem_cost *cost);

/* From and to memory. */
double ct_page_bytes(const struct ct_gem_cost *cost);

/* The figures of a phase's timeline. Errors as ct_gemmini_html_write. */
CT_MUST_CHECK enum ct_status ct_page_put_timeline(FILE *file, const struct ct_gem_config *config,
                                                  const struct ct_gemmini_phase *phase,
                                                  struct ct_progress *progress,
                                                  struct ct_error *err);

/* Products of all phases under the machine's roofs, and a phase's energy as a ring. */
void ct_page_put_roofline(FILE *file, const struct ct_gemmini_page *page);
void ct_page_put_ring(FILE *file, const struct ct_gem_config *config,
                      const struct ct_gemmini_phase *phase);

/* Energy by component: rings and a table; a phase's operators. CT_MEMORY. */
void ct_page_put_energy(FILE *file, const struct ct_gemmini_page *page);
CT_MUST_CHECK enum ct_status ct_page_put_operators(FILE *file, const struct ct_gem_config *config,
                                                   const struct ct_gemmini_phase *phase,
                                                   struct ct_error *err);

#endif
