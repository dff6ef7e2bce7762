/* The functions of one number that models put between their products. */
#ifndef CT_BASE_ACTIVATION_H
#define CT_BASE_ACTIVATION_H

enum ct_activation {
    CT_ACTIVATION_GELU,       /* x (1 + erf(x / sqrt 2)) / 2 */
    CT_ACTIVATION_GELU_TANH,  /* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
    CT_ACTIVATION_QUICK_GELU, /* x / (1 + exp(-1.702 x)) */
    CT_ACTIVATION_RELU,
    CT_ACTIVATION_TANH,
};

#endif
