#include "cli/run_report.h"

#include "cli/gemmini_html.h"
#include "cli/gemmini_step.h"
#include "engine/backend/gemmini/gem_backend.h"
#include "engine/runtime/view.h"

#include <stdio.h>
#include <stdlib.h>

enum ct_status ct_run_report_add(struct ct_run_report *report, struct ct_run_step step,
                                 struct ct_error *err)
{
    if (report->n == report->capacity) {
        const size_t capacity = report->capacity > 0 ? 2 * report->capacity : 64;
        struct ct_run_step *steps = realloc(report->steps, capacity * sizeof *steps);
        if (steps == NULL)
            return ct_error_set(err, CT_MEMORY, "no memory for %zu steps", capacity);
        report->steps = steps;
        report->capacity = capacity;
    }
    report->steps[report->n++] = step;
    return CT_OK;
}

void ct_run_report_deinit(struct ct_run_report *report)
{
    free(report->steps);
}

/* The steps of one kind: what they cost together, and the last of them. */
struct phase {
    bool is_decode;
    char name[96];
    size_t n_rows, n_steps;
    struct ct_gem_cost sum;
    struct ct_gemmini_priced last;
};

static bool is_same(const struct ct_gem_step *a, const struct ct_gem_step *b)
{
    return a->n_rows == b->n_rows && a->n_keys == b->n_keys && a->n_logits == b->n_logits;
}

/* A session that grows has steps of one cost in a row: each such is priced once. */
static enum ct_status price_phase(const struct ct_run_report *report,
                                  const struct ct_engine_view *view,
                                  const struct ct_gem_config *config, struct phase *phase,
                                  struct ct_error *err)
{
    struct ct_gem_step last = {0};
    enum ct_status status = CT_OK;
    int depth = 0;
    for (size_t i = 0; i < report->n && status == CT_OK; i++) {
        const struct ct_run_step *s = &report->steps[i];
        if (s->is_decode != phase->is_decode)
            continue;
        const struct ct_gem_step step =
            ct_gemmini_step(view->graph, s->n_rows, s->n_before, s->n_logits);
        if (!is_same(&step, &last)) {
            ct_gemmini_priced_close(&phase->last);
            status =
                ct_gemmini_price(config, view->graph, view->index_bits, &step, &phase->last, err);
        }
        last = step;
        depth = s->n_before;
        ct_gem_cost_add(&phase->sum, &phase->last.report.sum, 1);
        phase->n_steps++;
        phase->n_rows += (size_t)s->n_rows;
    }
    if (phase->is_decode)
        snprintf(phase->name, sizeof phase->name, "decode of %zu tokens, the last at depth %d",
                 phase->n_rows, depth);
    else
        snprintf(phase->name, sizeof phase->name, "prefill of %zu tokens", phase->n_rows);
    return status;
}

enum ct_status ct_run_report_write(const struct ct_run_report *report,
                                   const struct ct_engine *engine, const char *path,
                                   struct ct_error *err)
{
    const struct ct_engine_view view = ct_engine_view(engine);
    const struct ct_gem_config *config = ct_gemmini_config(view.backend);
    struct phase all[2] = {{.is_decode = false}, {.is_decode = true}};
    struct ct_gemmini_phase shown[2];
    const struct ct_engine_info *info = ct_engine_info(engine);
    struct ct_gemmini_page page = {info->name, config, shown, 0};
    enum ct_status status = CT_OK;
    for (int i = 0; i < 2 && status == CT_OK; i++) {
        struct phase *phase = &all[i];
        status = price_phase(report, &view, config, phase, err);
        if (phase->n_steps > 0)
            shown[page.n_phases++] = (struct ct_gemmini_phase){.name = phase->name,
                                                               .unit = "token",
                                                               .n_units = (double)phase->n_rows,
                                                               .n_steps = phase->n_steps,
                                                               .sum = phase->sum,
                                                               .shown = &phase->last.report,
                                                               .ops = phase->last.ops,
                                                               .n_ops = phase->last.n_ops};
    }
    if (status == CT_OK)
        status = ct_gemmini_html_write(&page, path, err);
    for (int i = 0; i < 2; i++)
        ct_gemmini_priced_close(&all[i].last);
    return status;
}
