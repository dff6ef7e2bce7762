/* The integers of an accelerator's stores: the specification. */
#define CT_STORES(name) ct_##name##_scalar
#include "engine/kernels/vector/stores.inc"
