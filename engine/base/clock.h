/* Time, in nanoseconds of the monotonic clock. Any thread. */
#ifndef CT_BASE_CLOCK_H
#define CT_BASE_CLOCK_H

#include <stdint.h>

uint64_t ct_clock_ns(void);

#endif
