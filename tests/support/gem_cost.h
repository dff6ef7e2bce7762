/* What an operator costs on the simulated Gemmini, for cmocka programs. An error ends the test. */
#ifndef CT_TESTS_GEM_COST_H
#define CT_TESTS_GEM_COST_H

#include "engine/backend/gemmini/gem_schedule.h"
#include "tests/support/unit.h"

static inline struct ct_gem_cost gem_cost_of(const struct ct_gem_config *config,
                                             const struct ct_gem_op *op)
{
    struct ct_gem_costs *costs;
    struct ct_gem_cost cost;
    struct ct_error err;
    assert_int_equal(ct_gem_costs_open(config, &costs, &err), CT_OK);
    if (ct_gem_op_cost(costs, op, &cost, &err) != CT_OK)
        fail_msg("%s", err.message);
    ct_gem_costs_close(costs);
    return cost;
}

#endif
