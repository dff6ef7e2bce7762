/* What a compression did: sizes, bits a weight and errors, for every tensor; as a table, as JSON
 * and as plots.
 *
 * The error of a tensor is relative: sqrt(sum (w - w')^2 / sum w^2); its signal-to-noise ratio is
 * -20 log10 of that. One thread. */
#ifndef CT_COMPRESS_REPORT_H
#define CT_COMPRESS_REPORT_H

#include "engine/base/arena.h"
#include "engine/base/status.h"
#include "engine/base/tensor.h"

#include <stdbool.h>
#include <stdio.h>

enum ct_treatment { CT_COPIED, CT_CLUSTERED, CT_KEPT };

struct ct_report_row {
    const char *name;
    enum ct_treatment treatment;
    enum ct_dtype dtype; /* before */
    int64_t n_weights;
    int bits;                         /* of an index; 0 for a copied tensor */
    size_t bytes_before, bytes_after; /* as stored, with scales and codebook */
    double sum_square, sum_error;
};

struct ct_report {
    struct ct_arena arena;      /* names */
    struct ct_report_row *rows; /* [n], the caller's room */
    int n, capacity;
    size_t shared_bytes; /* the model's codebook */
    double seconds;
};

/* Room for capacity tensors. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_report_init(struct ct_report *report, int capacity);
void ct_report_deinit(struct ct_report *report);

/* A new row, all zero but for its name (copied); NULL when memory is short. There is room for it.
 */
struct ct_report_row *ct_report_add(struct ct_report *report, const char *name);

/* Relative error and signal-to-noise ratio in dB; 0 and infinity where nothing was lost. */
double ct_report_error(double sum_square, double sum_error);
double ct_report_snr(double sum_square, double sum_error);

/* The table: one line for each kind of matrix, over all layers. */
void ct_report_print(const struct ct_report *report, FILE *file);

/* JSON text with one entry for each tensor, to be freed; NULL when memory is short. */
char *ct_report_json(const struct ct_report *report);

/* Plots: the error of each kind of matrix by layer; bits a weight by kind. CT_IO is the caller's to
 * see from the stream; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_report_plot_errors(const struct ct_report *report, FILE *file);
CT_MUST_CHECK enum ct_status ct_report_plot_bits(const struct ct_report *report, FILE *file);

#endif
