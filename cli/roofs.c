#include "cli/roofs.h"

#include "engine/base/clock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    BUFFER_BYTES = 192 << 20,
    PART_BYTES = BUFFER_BYTES / 6, /* read in a batch */
    LINE_BYTES = 64,
    N_BATCHES = 5,
    BATCH_NS = 500000,
    DOT_OPS = 2 * 64, /* of one of dot_peak's n */
    DOT_UNIT = 48,    /* which n is a multiple of */
};

struct ct_roofs {
    unsigned char *buffer;
    size_t prefetch_bytes, at;
    struct ct_kernel_table kernels;
    int64_t n_dots;
    struct ct_roof best[CT_MAX_WORKERS + 1]; /* by number of workers */
    atomic_ullong sum;                       /* keeps the work from being left out */
};

/* Each figure is the fastest of short batches, as those of the kernels that stand beside it: a
 * shared machine only ever adds time. */
enum ct_status ct_roofs_open(struct ct_roofs **out)
{
    *out = NULL;
    struct ct_roofs *r = calloc(1, sizeof *r);
    if (r == NULL)
        return CT_MEMORY;
    void *buffer =
        mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED) {
        free(r);
        return CT_MEMORY;
    }
    madvise(buffer, BUFFER_BYTES, MADV_HUGEPAGE);
    memset(buffer, 1, BUFFER_BYTES);
    r->buffer = buffer;
    *out = r;
    return CT_OK;
}

void ct_roofs_close(struct ct_roofs *r)
{
    if (r == NULL)
        return;
    munmap(r->buffer, BUFFER_BYTES);
    free(r);
}

static void read_part(void *context, int worker, int n_workers)
{
    struct ct_roofs *r = context;
    int64_t begin, end;
    ct_pool_share(PART_BYTES, 4096, worker, n_workers, &begin, &end);
    const unsigned char *part = r->buffer + r->at;
    uint64_t sums[8] = {0};
    /* A prefetch past the end does no harm. */
    for (int64_t i = begin; i < end; i += LINE_BYTES) {
        if (r->prefetch_bytes > 0)
            __builtin_prefetch(part + i + r->prefetch_bytes);
        const uint64_t *line = (const uint64_t *)(const void *)(part + i);
        for (int j = 0; j < 8; j++)
            sums[j] += line[j];
    }
    for (int j = 0; j < 8; j++)
        atomic_fetch_add(&r->sum, sums[j]);
}

static void multiply(void *context, int worker, int n_workers)
{
    (void)worker, (void)n_workers;
    struct ct_roofs *r = context;
    uint8_t x[64];
    int8_t w[64];
    int32_t sum;
    for (int i = 0; i < 64; i++) {
        x[i] = (uint8_t)(2 * i);
        w[i] = (int8_t)(3 * i - 100);
    }
    r->kernels.dot_peak(x, w, r->n_dots, &sum);
    atomic_fetch_add(&r->sum, (uint64_t)sum);
}

static double time_ns(struct ct_roofs *r, struct ct_pool *pool, ct_pool_fn *fn)
{
    uint64_t start_ns = ct_clock_ns();
    ct_pool_run(pool, fn, r);
    return (double)(ct_clock_ns() - start_ns);
}

static void raise_to(double *best, double rate)
{
    *best = rate > *best ? rate : *best;
}

void ct_roofs_measure(struct ct_roofs *r, struct ct_pool *pool)
{
    static const size_t distances[] = {0, 512, 1024, 2048, 4096};
    const int n_workers = ct_pool_n_workers(pool);
    struct ct_roof *best = &r->best[n_workers];
    for (size_t i = 0; i < sizeof distances / sizeof distances[0]; i++) {
        r->prefetch_bytes = distances[i];
        for (r->at = 0; r->at < BUFFER_BYTES; r->at += PART_BYTES)
            raise_to(&best->gb_per_s, PART_BYTES / time_ns(r, pool, read_part));
    }
    for (int isa = 0; isa < CT_N_ISA; isa++) {
        if (!ct_isa_is_usable((enum ct_isa)isa))
            continue;
        ct_kernels_for((enum ct_isa)isa, &r->kernels);
        for (r->n_dots = 1000 * DOT_UNIT; time_ns(r, pool, multiply) < BATCH_NS;)
            r->n_dots *= 2;
        for (int i = 0; i < N_BATCHES; i++) {
            const double ops = (double)r->n_dots * DOT_OPS * n_workers;
            raise_to(&best->gops[isa], ops / time_ns(r, pool, multiply));
        }
    }
}

const struct ct_roof *ct_roofs_best(const struct ct_roofs *r, int n_workers)
{
    return &r->best[n_workers];
}
