/* What is read from the rows of numbers that models make: labels by how likely they are, and how
 * near two vectors are. Any thread. */
#ifndef CT_BASE_SCORES_H
#define CT_BASE_SCORES_H

#include <stdbool.h>

struct ct_label_score {
    int label;
    double logit, probability;
};

/* scores [n_labels]: all labels of a classifier's row [n_labels], the likeliest first. One softmax
 * over all; a sigmoid each where they do not exclude each other (is_multi_label), or there is but
 * one. */
void ct_rank_labels(const float *row, int n_labels, bool is_multi_label,
                    struct ct_label_score *scores);

double ct_sigmoid(double x);

/* Of a [n] and b [n]: -1..1, and 0 where one of them has no direction. */
double ct_cosine(const float *a, const float *b, int n);

#endif
