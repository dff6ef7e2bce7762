/* The kernels on rows, dense matrices and attention with NEON. */
#include "engine/kernels/arm/vector_neon.h"

#include "engine/kernels/vector/attention.inc"
#include "engine/kernels/vector/dense.inc"
#include "engine/kernels/vector/elementwise.inc"
