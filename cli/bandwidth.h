/* The machine's streaming bandwidth, measured: the limit of generation, whose every token reads all
 * weights once. */
#ifndef CT_CLI_BANDWIDTH_H
#define CT_CLI_BANDWIDTH_H

#include "engine/base/pool.h"

struct ct_bandwidth;

/* Makes the buffer that is read, larger than caches. CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_bandwidth_open(struct ct_bandwidth **out);
void ct_bandwidth_close(struct ct_bandwidth *bandwidth);

/* Reads the buffer once with each of several patterns (prefetch distances) on the pool's workers;
 * returns the best of all calls with this number of workers so far, in GB/s (10^9). */
double ct_bandwidth_measure(struct ct_bandwidth *bandwidth, struct ct_pool *pool);

#endif
