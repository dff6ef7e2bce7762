/* The published figures, and what this run has beside each: figures.csv. */
#include "cli/study.h"
#include "cli/study_forms.h"

#include <assert.h>
#include <string.h>

const struct ct_study_published ct_study_published[] = {
#define CT_PUBLISHED(id, relation, value, unit, section, verdict, what)                            \
    {#id, relation, value, unit, section, #verdict, what},
#include "cli/study_published.def"
#undef CT_PUBLISHED
};
const int ct_study_n_published = sizeof ct_study_published / sizeof ct_study_published[0];

enum { PUBLISHED_MODEL = 1, PUBLISHED_LAYER, INDEX_BITS = 8, MAX_TEXT = 48 };

static bool is(const char *text, const char *other)
{
    return strcmp(text, other) == 0;
}

double ct_study_published_value(const char *id)
{
    for (int i = 0; i < ct_study_n_published; i++)
        if (is(ct_study_published[i].id, id))
            return ct_study_published[i].value;
    assert(!"an id of study_published.def");
    return NAN;
}

/* ---- ours ---- */

static double products_share(const struct ct_study *study, bool is_time)
{
    double sum = 0;
    const struct ct_study_function *products = &study->functions[0];
    for (int i = 0; i < CT_STUDY_N_FUNCTIONS; i++)
        sum += is_time ? study->functions[i].float_ms
                       : study->functions[i].parameter_bytes + study->functions[i].activation_bytes;
    return 100 * (is_time ? products->float_ms : products->parameter_bytes) / sum;
}

/* The lowest or highest speed-up of the platforms with all of their bandwidth; of mobile ones alone. */
static double speedup(const struct ct_study *study, bool is_high, bool is_mobile)
{
    double best = is_high ? -INFINITY : INFINITY;
    for (int p = 0; p < CT_STUDY_N_PLATFORMS; p++) {
        const struct ct_study_platform *platform = &ct_study_platforms[p];
        const double x = ct_study_estimate(platform, &study->request, 1).speedup;
        if (!is_mobile || !is(platform->id, "desktop"))
            best = is_high ? fmax(best, x) : fmin(best, x);
    }
    return best;
}

static double largest_loss_from(const struct ct_study *study, int n_clusters)
{
    double loss = NAN;
    for (int i = 0; i < study->n_points; i++)
        if (study->points[i].series == PUBLISHED_MODEL && study->points[i].n_clusters >= n_clusters)
            loss = fmax(loss, study->points[i].loss);
    return loss;
}

/* NaN where this run has nothing to set beside. */
static double ours(const struct ct_study *study, const char *id)
{
    const struct ct_study_point *at_16[] = {ct_study_find(study, PUBLISHED_MODEL, 16),
                                            ct_study_find(study, PUBLISHED_LAYER, 16)};
    const struct ct_study_point *at_64 = ct_study_find(study, PUBLISHED_MODEL, 64);
    if (is(id, "compression"))
        return at_64 != NULL ? at_64->compression : NAN;
    if (is(id, "transfer"))
        return ct_study_compression((int64_t)study->request.n_weights, INDEX_BITS, 64, 1);
    if (is(id, "table_64"))
        return (double)ct_study_table_bytes(64);
    if (is(id, "table_256"))
        return (double)ct_study_table_bytes(256) / 1024;
    if (is(id, "deit_parameters"))
        return (double)ct_study_vit_parameters(12, 768, 3072, 16, 196, 1000) * 1e-6;
    if (is(id, "matmul_time") || is(id, "matmul_memory"))
        return products_share(study, is(id, "matmul_time"));
    if (strncmp(id, "loss_64_", 8) == 0 && at_64 != NULL)
        return strstr(id, "top5") != NULL ? at_64->loss_top5 : at_64->loss;
    if (is(id, "loss_128"))
        return largest_loss_from(study, 128);
    if (is(id, "layer_gain_16"))
        return at_16[0] != NULL && at_16[1] != NULL ? at_16[0]->loss - at_16[1]->loss : NAN;
    if (is(id, "speedup_ideal"))
        return 1 / ct_study_rest(1, 4);
    if (strncmp(id, "speedup_", 8) == 0)
        return speedup(study, !is(id, "speedup_low"), is(id, "speedup_mobile"));
    return NAN;
}

/* A figure of ours as text: energy is a range. */
static void ours_text(const struct ct_study *study, const char *id, char text[MAX_TEXT])
{
    text[0] = '\0';
    for (int p = 0; p < CT_STUDY_N_PLATFORMS; p++) {
        const struct ct_study_estimate e =
            ct_study_estimate(&ct_study_platforms[p], &study->request, 1);
        if (strncmp(id, "energy_", 7) == 0 && is(id + 7, ct_study_platforms[p].id))
            snprintf(text, MAX_TEXT, "%.1f to %.1f", e.saving_45, e.saving_7);
    }
    const double value = ours(study, id);
    if (!isnan(value))
        snprintf(text, MAX_TEXT, "%.6g", value);
}

/* The share of the time or the energy that memory must have had, by Amdahl's law, in %; NaN where a figure
 * says nothing of it. */
static double memory_share(const struct ct_study_published *p)
{
    if (!is(p->unit, "%") || is(p->section, "III-A"))
        return NAN;
    const bool is_speedup = strncmp(p->id, "speedup_", 8) == 0;
    const double rest = is_speedup ? 1 / (1 + p->value / 100) : 1 - p->value / 100;
    return 100 * ct_study_share(rest, 4);
}

void ct_study_write_figures(const struct ct_study *study, FILE *file)
{
    fputs("id,relation,published,unit,section,verdict,implied_memory_share,ours,what\n", file);
    for (int i = 0; i < ct_study_n_published; i++) {
        const struct ct_study_published *p = &ct_study_published[i];
        const double share = memory_share(p);
        char text[MAX_TEXT], implied[MAX_TEXT] = "";
        ours_text(study, p->id, text);
        if (!isnan(share))
            snprintf(implied, sizeof implied, "%.1f", share);
        fprintf(file, "%s,%s,%g,%s,%s,%s,%s,%s,\"%s\"\n", p->id, p->relation, p->value, p->unit,
                p->section, p->verdict, implied, text, p->what);
    }
}
