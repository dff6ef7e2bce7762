/* A progress bar on stderr, when that is a terminal and nobody asked for quiet; for work that takes less
 * than a second there is none. One thread. */
#ifndef CT_CLI_PROGRESS_H
#define CT_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct ct_progress {
    bool is_shown;
    uint64_t start_ns, drawn_ns;
};

void ct_progress_init(struct ct_progress *progress, bool is_quiet);

/* done is 0..1; draws at most ten times a second. */
void ct_progress_update(struct ct_progress *progress, const char *what, double done);

/* Wipes the bar's line. */
void ct_progress_finish(struct ct_progress *progress);

#endif
