/* The integers of an accelerator's stores with AVX-512. */
#define CT_STORES(name) ct_##name##_avx512
#include "engine/kernels/vector/stores.inc"
