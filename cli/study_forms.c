#include "cli/study_forms.h"

double ct_study_compression(int64_t n_weights, int bits, int n_clusters, int64_t n_tables)
{
    const double n = (double)n_weights;
    return 32 * n / (bits * n + 32.0 * n_clusters * (double)n_tables);
}

int64_t ct_study_table_bytes(int n_clusters)
{
    return (int64_t)sizeof(float) * n_clusters;
}

double ct_study_rest(double share, double ratio)
{
    return 1 - share + share / ratio;
}

double ct_study_share(double rest, double ratio)
{
    return (1 - rest) / (1 - 1 / ratio);
}

int64_t ct_study_vit_parameters(int n_layers, int64_t E, int64_t F, int64_t P, int64_t n_patches,
                                int64_t n_classes)
{
    const int64_t patches = 3 * P * P * E + E, places = (n_patches + 1) * E, class_token = E;
    const int64_t attention = 4 * (E * E + E), inner = E * F + F + F * E + E, norms = 2 * 2 * E;
    const int64_t head = E * n_classes + n_classes, last_norm = 2 * E;
    return patches + places + class_token + n_layers * (attention + inner + norms) + last_norm +
           head;
}
