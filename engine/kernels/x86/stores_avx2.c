/* The integers of an accelerator's stores with AVX2. */
#define CT_STORES(name) ct_##name##_avx2
#include "engine/kernels/vector/stores.inc"
