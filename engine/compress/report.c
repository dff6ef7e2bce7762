#include "engine/compress/report.h"

#include "engine/base/json_text.h"
#include "engine/compress/report_kind.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const treatments[] = {
    [CT_COPIED] = "copied", [CT_CLUSTERED] = "clustered", [CT_KEPT] = "kept"};

enum ct_status ct_report_init(struct ct_report *report, int capacity)
{
    *report = (struct ct_report){.capacity = capacity};
    ct_arena_init(&report->arena);
    report->rows = calloc((size_t)capacity + 1, sizeof *report->rows);
    return report->rows != NULL ? CT_OK : CT_MEMORY;
}

void ct_report_deinit(struct ct_report *report)
{
    free(report->rows);
    ct_arena_deinit(&report->arena);
    *report = (struct ct_report){0};
}

struct ct_report_row *ct_report_add(struct ct_report *report, const char *name)
{
    const char *copy = ct_arena_text(&report->arena, name, strlen(name));
    if (copy == NULL || report->n == report->capacity)
        return NULL;
    report->rows[report->n] = (struct ct_report_row){.name = copy};
    return &report->rows[report->n++];
}

double ct_report_error(double sum_square, double sum_error)
{
    return sum_error > 0 ? sqrt(sum_error / sum_square) : 0;
}

double ct_report_snr(double sum_square, double sum_error)
{
    return sum_error > 0 ? 10 * log10(sum_square / sum_error) : INFINITY;
}

/* ---- kinds ---- */

int ct_report_layer(const char *name, char kind[CT_KIND_TEXT])
{
    int layer = -1;
    size_t n = 0;
    for (const char *c = name; *c != '\0' && n < CT_KIND_TEXT - 3;) {
        bool is_number = (c == name || c[-1] == '.') && *c >= '0' && *c <= '9';
        size_t length = is_number ? strspn(c, "0123456789") : 1;
        if (is_number && layer < 0 && length < 6 && (c[length] == '.' || c[length] == '\0')) {
            layer = atoi(c);
            kind[n++] = '{';
            kind[n++] = '}';
        } else {
            length = 1;
            kind[n++] = *c;
        }
        c += length;
    }
    kind[n] = '\0';
    return layer;
}

struct ct_kind *ct_report_kinds(const struct ct_report *report, int *n_kinds)
{
    struct ct_kind *kinds = calloc((size_t)report->n + 1, sizeof *kinds);
    *n_kinds = 0;
    for (int i = 0; i < report->n && kinds != NULL; i++) {
        const struct ct_report_row *row = &report->rows[i];
        char name[CT_KIND_TEXT];
        int k = 0, layer = ct_report_layer(row->name, name);
        while (k < *n_kinds &&
               (strcmp(kinds[k].name, name) != 0 || kinds[k].treatment != row->treatment))
            k++;
        struct ct_kind *kind = &kinds[k];
        if (k == *n_kinds) {
            (*n_kinds)++;
            memcpy(kind->name, name, sizeof name);
            kind->treatment = row->treatment;
            kind->worst_layer = -1;
        }
        double error = ct_report_error(row->sum_square, row->sum_error);
        if (error > kind->worst_error) {
            kind->worst_error = error;
            kind->worst_layer = layer;
        }
        kind->n_tensors++;
        kind->has_layers |= layer >= 0;
        kind->n_weights += row->n_weights;
        kind->bytes_before += row->bytes_before;
        kind->bytes_after += row->bytes_after;
        kind->sum_square += row->sum_square;
        kind->sum_error += row->sum_error;
    }
    return kinds;
}

struct ct_kind ct_report_total(const struct ct_report *report, bool has_copied)
{
    struct ct_kind total = {.worst_layer = -1, .bytes_after = report->shared_bytes};
    snprintf(total.name, sizeof total.name, "%s", has_copied ? "all tensors" : "all matrices");
    for (int i = 0; i < report->n; i++) {
        const struct ct_report_row *row = &report->rows[i];
        if (row->treatment == CT_COPIED && !has_copied)
            continue;
        total.n_tensors++;
        total.n_weights += row->n_weights;
        total.bytes_before += row->bytes_before;
        total.bytes_after += row->bytes_after;
        total.sum_square += row->sum_square;
        total.sum_error += row->sum_error;
    }
    return total;
}

double ct_kind_bits(const struct ct_kind *kind)
{
    return kind->n_weights > 0 ? 8.0 * (double)kind->bytes_after / (double)kind->n_weights : 0;
}

void ct_kind_shorten(const char *kind, char out[CT_KIND_TEXT])
{
    const char *begin_of = strstr(kind, "{}.");
    snprintf(out, CT_KIND_TEXT, "%s", begin_of != NULL ? begin_of + 3 : kind);
    size_t n = strlen(out), suffix = strlen(".weight");
    if (n > suffix && strcmp(out + n - suffix, ".weight") == 0)
        out[n - suffix] = '\0';
}

/* ---- the table ---- */

static void print_line(const struct ct_kind *kind, FILE *file)
{
    char name[CT_KIND_TEXT];
    ct_kind_shorten(kind->name, name);
    fprintf(file, "%-32.32s %5d %10.3f %9.2f %9.2f %7.3f", name, kind->n_tensors,
            (double)kind->n_weights * 1e-6, (double)kind->bytes_before * 1e-6,
            (double)kind->bytes_after * 1e-6, ct_kind_bits(kind));
    if (kind->sum_error > 0)
        fprintf(file, " %8.3f %7.2f", 100 * ct_report_error(kind->sum_square, kind->sum_error),
                ct_report_snr(kind->sum_square, kind->sum_error));
    else
        fprintf(file, " %8s %7s", "0", "-");
    if (kind->worst_layer >= 0)
        fprintf(file, "  layer %d: %.3f", kind->worst_layer, 100 * kind->worst_error);
    fputc('\n', file);
}

void ct_report_print(const struct ct_report *report, FILE *file)
{
    int n_kinds;
    struct ct_kind *kinds = ct_report_kinds(report, &n_kinds);
    fprintf(file, "%-32s %5s %10s %9s %9s %7s %8s %7s  %s\n", "tensor", "count", "weights M",
            "MB before", "MB after", "bits", "error %", "SNR dB", "worst error %");
    for (int k = 0; k < n_kinds && kinds != NULL; k++)
        print_line(&kinds[k], file);
    free(kinds);
    struct ct_kind matrices = ct_report_total(report, false), all = ct_report_total(report, true);
    print_line(&matrices, file);
    print_line(&all, file);
    fprintf(file, "%.1f s\n", report->seconds);
}

/* ---- JSON ---- */

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *sums_json(size_t before, size_t after, int64_t n_weights, double sum_square,
                         double sum_error)
{
    return json_pack("{s:I, s:I, s:I, s:f, s:o, s:o}", "weights", (json_int_t)n_weights,
                     "bytes_before", (json_int_t)before, "bytes_after", (json_int_t)after,
                     "bits_per_weight",
                     n_weights > 0 ? 8.0 * (double)after / (double)n_weights : 0.0,
                     "relative_rms_error", number_or_null(ct_report_error(sum_square, sum_error)),
                     "snr_db", number_or_null(ct_report_snr(sum_square, sum_error)));
}

static json_t *row_json(const struct ct_report_row *row)
{
    json_t *json = sums_json(row->bytes_before, row->bytes_after, row->n_weights, row->sum_square,
                             row->sum_error);
    json_t *names = json_pack("{s:s, s:s, s:s, s:i}", "name", row->name, "treatment",
                              treatments[row->treatment], "type_before", ct_dtype_name(row->dtype),
                              "index_bits", row->bits);
    int failed = json_object_update(names, json);
    json_decref(json);
    if (!failed)
        return names;
    json_decref(names);
    return NULL;
}

static json_t *total_json(const struct ct_kind *total)
{
    return sums_json(total->bytes_before, total->bytes_after, total->n_weights, total->sum_square,
                     total->sum_error);
}

char *ct_report_json(const struct ct_report *report)
{
    struct ct_kind matrices = ct_report_total(report, false), all = ct_report_total(report, true);
    json_t *tensors = json_array();
    int failed = tensors == NULL;
    for (int i = 0; i < report->n && !failed; i++)
        failed = json_array_append_new(tensors, row_json(&report->rows[i]));
    json_t *json = json_pack("{s:f, s:o, s:o, s:o}", "seconds", report->seconds, "matrices",
                             total_json(&matrices), "all", total_json(&all), "tensors", tensors);
    char *text = failed ? NULL : ct_json_dump(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(json);
    return text;
}
