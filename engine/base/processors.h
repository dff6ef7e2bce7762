/* What of the machine is worth using: processors and memory. Any thread. */
#ifndef CT_BASE_PROCESSORS_H
#define CT_BASE_PROCESSORS_H

#include <stdint.h>

/* The processors that this process may use, 1..256: its affinity mask, and no more than the CPU
 * quota of its control group (v2), of which a part of a processor does not count. */
int ct_processors(void);

/* Bytes of memory that the machine has. */
int64_t ct_machine_memory(void);

#endif
