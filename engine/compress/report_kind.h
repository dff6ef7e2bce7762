/* Rows of a report put together: the same matrix of all layers is one kind. For report.c and
 * plot.c. */
#ifndef CT_COMPRESS_REPORT_KIND_H
#define CT_COMPRESS_REPORT_KIND_H

#include "engine/compress/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CT_KIND_TEXT = 160 };

struct ct_kind {
    char name[CT_KIND_TEXT]; /* "model.layers.{}.mlp.up_proj.weight" */
    enum ct_treatment treatment;
    int n_tensors;
    bool has_layers;
    int worst_layer; /* of the largest relative error; -1: none */
    double worst_error;
    int64_t n_weights;
    size_t bytes_before, bytes_after;
    double sum_square, sum_error;
};

/* The layer's number in a name, or -1; kind receives the name with "{}" in its place. */
int ct_report_layer(const char *name, char kind[CT_KIND_TEXT]);

/* The kinds in the order of the file, to be freed; NULL when memory is short. */
struct ct_kind *ct_report_kinds(const struct ct_report *report, int *n_kinds);

/* All matrices together, with the model's codebook; has_copied: also what was not clustered. */
struct ct_kind ct_report_total(const struct ct_report *report, bool has_copied);

/* Bits a weight as stored: indices, scales, offsets, codebooks. */
double ct_kind_bits(const struct ct_kind *kind);

/* "model.layers.{}.mlp.up_proj.weight" -> "mlp.up_proj" */
void ct_kind_shorten(const char *kind, char out[CT_KIND_TEXT]);

#endif
