/* The machine's two roofs, measured: how fast it streams memory, which limits generation, whose
 * every token reads all weights once; and how fast it multiplies int8, which limits prompts.
 * (Williams, Waterman and Patterson, "Roofline", 2009.) */
#ifndef CT_CLI_ROOFS_H
#define CT_CLI_ROOFS_H

#include "engine/base/pool.h"
#include "engine/kernels/kernels.h"

struct ct_roofs;

struct ct_roof {
    double gb_per_s; /* 10^9 bytes */
    double gops
        [CT_N_ISA]; /* by instruction set, 0 for those not usable; a product and its sum are 2 */
};

/* Makes the buffer that is read, larger than caches. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_roofs_open(struct ct_roofs **out);
void ct_roofs_close(struct ct_roofs *roofs);

/* Measures both once more on the pool's workers, in less than a tenth of a second. */
void ct_roofs_measure(struct ct_roofs *roofs, struct ct_pool *pool);

/* The best of all measurements with this number of workers so far. */
const struct ct_roof *ct_roofs_best(const struct ct_roofs *roofs, int n_workers);

#endif
