/* The integers of an accelerator's stores with NEON. */
#define CT_STORES(name) ct_##name##_neon
#include "engine/kernels/vector/stores.inc"
