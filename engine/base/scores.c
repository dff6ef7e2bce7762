#include "engine/base/scores.h"

#include <math.h>
#include <stdlib.h>

/* Equal ones keep the order of their numbers, so that an answer does not depend on the sort. */
static int by_logit(const void *a, const void *b)
{
    const struct ct_label_score *x = a, *y = b;
    return x->logit > y->logit ? -1 : x->logit < y->logit ? 1 : x->label - y->label;
}

double ct_sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

void ct_rank_labels(const float *row, int n_labels, bool is_multi_label,
                    struct ct_label_score *scores)
{
    double sum = 0;
    for (int i = 0; i < n_labels; i++)
        scores[i] = (struct ct_label_score){.label = i, .logit = (double)row[i]};
    qsort(scores, (size_t)n_labels, sizeof *scores, by_logit);
    for (int i = 0; i < n_labels; i++)
        sum += exp(scores[i].logit - scores[0].logit);
    for (int i = 0; i < n_labels; i++)
        scores[i].probability = is_multi_label || n_labels == 1
                                    ? ct_sigmoid(scores[i].logit)
                                    : exp(scores[i].logit - scores[0].logit) / sum;
}

double ct_cosine(const float *a, const float *b, int n)
{
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}
