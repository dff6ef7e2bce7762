/* What the clustering study says in closed form, for any codebook and any index.
 * (Tabani et al., "Improving the Efficiency of Transformers for Resource-Constrained Devices", 2021:
 * sections III-B and V.) Pure functions; any thread. */
#ifndef CT_CLI_STUDY_FORMS_H
#define CT_CLI_STUDY_FORMS_H

#include <stdint.h>

/* How many times less memory indices of `bits` with n_tables tables of f32 centroids take than f32
 * weights: 32 n / (bits n + 32 K n_tables). */
double ct_study_compression(int64_t n_weights, int bits, int n_clusters, int64_t n_tables);

/* The table of centroids, f32. */
int64_t ct_study_table_bytes(int n_clusters);

/* Amdahl's law: the time, or the energy, that remains of 1 when `share` of it shrinks `ratio` times; and
 * its inverse, the share that leaves `rest`. */
double ct_study_rest(double share, double ratio);
double ct_study_share(double rest, double ratio);

/* Parameters of a vision transformer with one class token and one linear head, as ViT-B/16 and DeiT-B
 * are: E hidden, F inner, P pixels a patch's edge of 3 channels, n_patches without the class token. */
int64_t ct_study_vit_parameters(int n_layers, int64_t E, int64_t F, int64_t P, int64_t n_patches,
                                int64_t n_classes);

#endif
