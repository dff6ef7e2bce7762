#include "cli/bandwidth.h"

#include "engine/base/clock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BUFFER_BYTES = 192 << 20, LINE_BYTES = 64 };

struct ct_bandwidth {
    unsigned char *buffer;
    size_t prefetch_bytes;
    double best[CT_MAX_WORKERS + 1]; /* by number of workers */
    atomic_ullong sum;               /* keeps the reads from being left out */
};

enum ct_status ct_bandwidth_open(struct ct_bandwidth **out)
{
    *out = NULL;
    struct ct_bandwidth *b = calloc(1, sizeof *b);
    if (b == NULL)
        return CT_MEMORY;
    void *buffer =
        mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED) {
        free(b);
        return CT_MEMORY;
    }
    madvise(buffer, BUFFER_BYTES, MADV_HUGEPAGE);
    memset(buffer, 1, BUFFER_BYTES);
    b->buffer = buffer;
    *out = b;
    return CT_OK;
}

void ct_bandwidth_close(struct ct_bandwidth *b)
{
    if (b == NULL)
        return;
    munmap(b->buffer, BUFFER_BYTES);
    free(b);
}

static void read_part(void *context, int worker, int n_workers)
{
    struct ct_bandwidth *b = context;
    int64_t begin, end;
    ct_pool_share(BUFFER_BYTES, 4096, worker, n_workers, &begin, &end);
    uint64_t sums[8] = {0};
    /* A prefetch past the end does no harm. */
    for (int64_t i = begin; i < end; i += LINE_BYTES) {
        if (b->prefetch_bytes > 0)
            __builtin_prefetch(b->buffer + i + b->prefetch_bytes);
        const uint64_t *line = (const uint64_t *)(const void *)(b->buffer + i);
        for (int j = 0; j < 8; j++)
            sums[j] += line[j];
    }
    for (int j = 0; j < 8; j++)
        atomic_fetch_add(&b->sum, sums[j]);
}

double ct_bandwidth_measure(struct ct_bandwidth *b, struct ct_pool *pool)
{
    static const size_t distances[] = {0, 512, 1024, 2048, 4096};
    double *best = &b->best[ct_pool_n_workers(pool)];
    for (size_t i = 0; i < sizeof distances / sizeof distances[0]; i++) {
        b->prefetch_bytes = distances[i];
        uint64_t start_ns = ct_clock_ns();
        ct_pool_run(pool, read_part, b);
        double rate = BUFFER_BYTES / (double)(ct_clock_ns() - start_ns);
        *best = rate > *best ? rate : *best;
    }
    return *best;
}
