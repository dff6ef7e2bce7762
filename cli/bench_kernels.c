/* The matrix and attention kernels alone, on weights and keys that come from memory.
 *
 * A pass multiplies one clustered matrix of N rows, or attends over one head's keys; passes walk
 * through a buffer larger than caches. Workers share a matrix's row tiles, or the heads, and meet
 * only at a batch's end. Each figure is the fastest of many short batches: a shared machine only
 * ever adds time. */
#include "cli/bench.h"

#include "engine/base/clock.h"
#include "engine/base/rng.h"
#include "engine/base/tile.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    BUFFER_BYTES = 192 << 20,
    SLACK_BYTES = 64, /* that kernels may read beyond the index */
    N = 576,
    GROUP = 64,
    MAX_BITS = 8,
    MIN_BITS = 2,
    N_REP = 3, /* query heads of a key head */
    HEAD_DIM = 64,
    PAGE_BYTES = 2 * HEAD_DIM * CT_KV_PAGE,
    N_PAGES = BUFFER_BYTES / PAGE_BYTES,
    BATCH_NS = 2000000,
    BUDGET_NS = 150000000,
};

struct buffers {
    uint8_t *stream;  /* indices, or pages of keys and values; mapped */
    uint16_t *scale;  /* f16, for as many matrices as fit into stream */
    int8_t *codebook; /* [2^bits] */
    int8_t *q;        /* [rows, ldq] */
    float *x_scale;   /* [rows, n_groups] */
    int32_t *sum;     /* [rows, n_groups] */
    float *y;         /* [rows, N]; a worker's heads: [N_REP, HEAD_DIM] */
    const void *pages[N_PAGES];
};

struct pass {
    const struct ct_kernel_table *kernels;
    const struct buffers *buffers;
    struct ct_linear linear;
    size_t index_bytes, scale_values; /* of a matrix */
    struct ct_attention attention;
    int64_t n_heads;          /* in the buffer */
    int64_t at, count, limit; /* this batch's passes, and how many the buffer holds */
};

static void *take(size_t n_bytes)
{
    return aligned_alloc(64, (n_bytes + 127) & ~(size_t)63);
}

static void release(struct buffers *b)
{
    if (b->stream != NULL)
        munmap(b->stream, BUFFER_BYTES + SLACK_BYTES);
    free(b->scale);
    free(b->codebook);
    free(b->q);
    free(b->x_scale);
    free(b->sum);
    free(b->y);
    free(b);
}

static int largest(const struct ct_cli_list *list)
{
    int value = 0;
    for (int i = 0; i < list->n; i++)
        value = list->values[i] > value ? list->values[i] : value;
    return value;
}

/* Any byte is part of an index; the same bytes as f16 are keys and values below 2. */
static void fill(struct buffers *b, int64_t k, int64_t rows)
{
    struct ct_rng rng;
    ct_rng_init(&rng, 1);
    for (size_t i = 0; i < BUFFER_BYTES; i += 8) {
        const uint64_t value = ct_rng_next(&rng) & 0xbfffbfffbfffbfffu;
        memcpy(b->stream + i, &value, 8);
    }
    for (int64_t i = 0; i < BUFFER_BYTES * 8L / MIN_BITS / GROUP; i++)
        b->scale[i] = 0x2000; /* 2^-7 */
    for (int64_t i = 0; i < rows * k; i++)
        b->q[i] = (int8_t)(i * 37 % 255 - 127);
    for (int64_t i = 0; i < rows * k / CT_X_GROUP; i++) {
        b->x_scale[i] = 0.01f;
        b->sum[i] = 1;
    }
    for (int i = 0; i < N_PAGES; i++)
        b->pages[i] = b->stream + (size_t)i * PAGE_BYTES;
}

static struct buffers *acquire(const struct ct_bench *bench)
{
    const int64_t k = bench->n_columns, rows = largest(&bench->rows);
    struct buffers *b = calloc(1, sizeof *b);
    if (b == NULL)
        return NULL;
    void *stream = mmap(NULL, BUFFER_BYTES + SLACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    b->stream = stream == MAP_FAILED ? NULL : stream;
    b->scale = take(BUFFER_BYTES * 8L / MIN_BITS / GROUP * sizeof *b->scale);
    b->codebook = take(1 << MAX_BITS);
    b->q = take((size_t)(rows * k));
    b->x_scale = take((size_t)(rows * k) / CT_X_GROUP * sizeof *b->x_scale);
    b->sum = take((size_t)(rows * k) / CT_X_GROUP * sizeof *b->sum);
    b->y = take((size_t)(rows > CT_MAX_WORKERS ? rows : CT_MAX_WORKERS) * N * sizeof *b->y);
    if (b->stream == NULL || b->scale == NULL || b->codebook == NULL || b->q == NULL ||
        b->x_scale == NULL || b->sum == NULL || b->y == NULL) {
        release(b);
        return NULL;
    }
    madvise(b->stream, BUFFER_BYTES, MADV_HUGEPAGE);
    fill(b, k, rows);
    return b;
}

static void multiply(void *context, int worker, int n_workers)
{
    const struct pass *pass = context;
    int64_t begin, end;
    ct_pool_share(N / CT_TILE_ROWS, 1, worker, n_workers, &begin, &end);
    for (int64_t i = pass->at; i < pass->at + pass->count; i++) {
        struct ct_linear a = pass->linear;
        a.index += pass->index_bytes * (size_t)(i % pass->limit);
        a.scale += pass->scale_values * (size_t)(i % pass->limit);
        pass->kernels->linear_i8(&a, begin, end);
    }
}

static void attend(void *context, int worker, int n_workers)
{
    const struct pass *pass = context;
    const int64_t n_pages = (pass->attention.n_keys + CT_KV_PAGE - 1) / CT_KV_PAGE;
    int64_t begin, end;
    ct_pool_share(pass->count, 1, worker, n_workers, &begin, &end);
    for (int64_t i = pass->at + begin; i < pass->at + end; i++) {
        struct ct_attention a = pass->attention;
        float peak[N_REP], sum[N_REP];
        a.k_pages = pass->buffers->pages + 2 * n_pages * (i % pass->limit);
        a.v_pages = a.k_pages + n_pages;
        a.out = pass->buffers->y + (int64_t)worker * N;
        a.peak = peak;
        a.sum = sum;
        pass->kernels->attention(&a);
    }
}

static double batch_ns(struct pass *pass, struct ct_pool *pool, ct_pool_fn *fn)
{
    const uint64_t start_ns = ct_clock_ns();
    ct_pool_run(pool, fn, pass);
    const double ns = (double)(ct_clock_ns() - start_ns);
    pass->at = (pass->at + pass->count) % pass->limit;
    return ns;
}

/* Passes a second at best, beside the roofs of the moment, with as many in a batch as it takes to
 * make the clock and the pool's start count for little. */
static double best_rate(struct ct_bench *bench, struct pass *pass, struct ct_pool *pool,
                        ct_pool_fn *fn)
{
    ct_roofs_measure(bench->roofs, pool);
    const uint64_t start_ns = ct_clock_ns();
    double best = 0;
    for (pass->count = ct_pool_n_workers(pool); batch_ns(pass, pool, fn) < BATCH_NS;)
        pass->count *= 2;
    do {
        const double rate = (double)pass->count / batch_ns(pass, pool, fn) * 1e9;
        best = rate > best ? rate : best;
    } while (ct_clock_ns() - start_ns < BUDGET_NS);
    return best;
}

static enum ct_status bench_linear(struct ct_bench *bench, struct ct_pool *pool, struct buffers *b,
                                   enum ct_isa isa, int bits, int rows, struct ct_error *err)
{
    const int64_t k = bench->n_columns;
    /* As `centroid compress` has them: within -63..63 up to 6 bits, symmetric from 5 bits. */
    const int half = 1 << (bits - 1), largest = bits <= 6 ? 63 : 127;
    for (int i = 0; i < 2 * half; i++)
        b->codebook[i] = (int8_t)(bits < 5   ? (i * 2 * largest >> bits) - largest
                                  : i < half ? largest * (i + 1) / half
                                             : -b->codebook[i - half]);
    struct ct_kernel_table kernels;
    ct_kernels_for(isa, &kernels);
    struct pass pass = {
        .kernels = &kernels,
        .buffers = b,
        .linear = {.n = N,
                   .k = k,
                   .bits = bits,
                   .group = GROUP,
                   .index = b->stream,
                   .codebook_i8 = b->codebook,
                   .n_codebooks = 1,
                   .scale = b->scale,
                   .m = rows,
                   .x_i8 = {b->q, b->x_scale, b->sum, k, k / CT_X_GROUP},
                   .y = b->y,
                   .ldy = N},
        .index_bytes = (size_t)(N * k * bits / 8),
        .scale_values = (size_t)(N * k / GROUP),
    };
    pass.limit = BUFFER_BYTES / (int64_t)pass.index_bytes;
    const struct ct_bench_point point = {
        .kind = CT_BENCH_LINEAR,
        .isa = isa,
        .n_threads = ct_pool_n_workers(pool),
        .size = rows,
        .bits = bits,
        .rate = best_rate(bench, &pass, pool, multiply),
        .ops = 2.0 * (double)(N * k) * rows,
        .bytes = (double)(pass.index_bytes + pass.scale_values * sizeof *b->scale),
    };
    return ct_bench_add(bench, &point, err);
}

static enum ct_status bench_attention(struct ct_bench *bench, struct ct_pool *pool,
                                      struct buffers *b, enum ct_isa isa, int n_keys,
                                      struct ct_error *err)
{
    float q[N_REP * HEAD_DIM];
    for (int i = 0; i < N_REP * HEAD_DIM; i++)
        q[i] = (float)(i % 7) - 3;
    struct ct_kernel_table kernels;
    ct_kernels_for(isa, &kernels);
    struct pass pass = {
        .kernels = &kernels,
        .buffers = b,
        .attention =
            {.q = q, .n_rep = N_REP, .head_dim = HEAD_DIM, .n_keys = n_keys, .scale = 0.125f},
        .limit = N_PAGES / (2 * ((n_keys + CT_KV_PAGE - 1) / CT_KV_PAGE)),
    };
    const struct ct_bench_point point = {
        .kind = CT_BENCH_ATTENTION,
        .isa = isa,
        .n_threads = ct_pool_n_workers(pool),
        .size = n_keys,
        .rate = best_rate(bench, &pass, pool, attend),
        .ops = 2.0 * 2 * N_REP * HEAD_DIM * n_keys,
        .bytes = 2.0 * 2 * HEAD_DIM * n_keys,
    };
    return ct_bench_add(bench, &point, err);
}

enum ct_status ct_bench_kernels(struct ct_bench *bench, struct ct_pool *pool, struct ct_error *err)
{
    static const int key_counts[] = {128, 512, 2048, 8192};
    enum ct_status status = CT_OK;
    struct buffers *buffers = acquire(bench);
    if (buffers == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for the kernels' matrices");
    for (int s = 0; s < bench->n_sets; s++) {
        const enum ct_isa isa = bench->sets[s];
        for (int i = 0; i < bench->bits.n; i++)
            for (int j = 0; j < bench->rows.n && status == CT_OK; j++)
                status = bench_linear(bench, pool, buffers, isa, bench->bits.values[i],
                                      bench->rows.values[j], err);
        for (size_t i = 0; i < sizeof key_counts / sizeof key_counts[0] && status == CT_OK; i++)
            status = bench_attention(bench, pool, buffers, isa, key_counts[i], err);
    }
    release(buffers);
    return status;
}
