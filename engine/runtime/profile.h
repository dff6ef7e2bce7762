/* A step with a clock around each node of the graph. The engine thread. */
#ifndef CT_RUNTIME_PROFILE_H
#define CT_RUNTIME_PROFILE_H

#include "engine/runtime/engine_internal.h"

/* Runs the whole graph over the batch and adds each node to ops[its op], which start at zero; only ops
 * that ran have a name. Nodes are never fused here (cpu_ops.c). */
void ct_profile_run(struct ct_engine *engine, const struct ct_batch *batch,
                    struct ct_op_cost ops[CT_N_OPS]);

#endif
