/* The kernels on rows, dense matrices and attention with AVX2. */
#include "engine/kernels/x86/vector_avx2.h"

#include "engine/kernels/vector/attention.inc"
#include "engine/kernels/vector/dense.inc"
#include "engine/kernels/vector/elementwise.inc"
