/* The processor's own energy counters (RAPL), as the kernel shows them under /sys/class/powercap.
 *
 * A counter covers a whole package or its memory: everything that ran meanwhile is in it, and the
 * idle power too. It moves about once a millisecond, so that a short step may read 0 and the next
 * one more. Owned by an energy meter. */
#ifndef CT_ENERGY_RAPL_H
#define CT_ENERGY_RAPL_H

#include "engine/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct ct_rapl;

/* root: the powercap directory. CT_NOT_FOUND when no counter can be read there; CT_MEMORY. */
CT_MUST_CHECK enum ct_status ct_rapl_open(const char *root, struct ct_rapl **out);
void ct_rapl_close(struct ct_rapl *rapl);

/* Microjoules since the last call (or since open), all packages and their memory together. false
 * when a counter could not be read; *uj is then 0. Allocates nothing. */
bool ct_rapl_read(struct ct_rapl *rapl, uint64_t *uj);

#endif
