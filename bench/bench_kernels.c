/* Times the matrix kernels alone, for tuning: packed GB/s for one token and GOPS for many, every
 * usable instruction set beside scalar in the same run, one thread.
 *
 *     bench_kernels [MB of weights, default 64] [bits, default all]
 *
 * Each figure is the fastest of many short batches: a shared machine only ever adds time. */
#include "engine/base/clock.h"
#include "engine/base/rng.h"
#include "engine/kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { K = 576, GROUP = 64, N_GROUPS = K / GROUP, N_X_GROUPS = K / CT_X_GROUP, M_MAX = 512 };

struct setup {
    struct ct_linear a;
    int64_t n_tiles;
    size_t index_bytes;
};

static void *take(size_t n_bytes)
{
    void *p = aligned_alloc(64, (n_bytes + 127) & ~(size_t)63);
    if (p == NULL)
        abort();
    return p;
}

static void fill(void *p, size_t n_bytes, uint64_t seed)
{
    struct ct_rng rng;
    ct_rng_init(&rng, seed);
    for (size_t i = 0; i + 8 <= n_bytes; i += 8) {
        uint64_t value = ct_rng_next(&rng);
        memcpy((char *)p + i, &value, 8);
    }
}

static struct setup make(int64_t n, int bits)
{
    struct setup s = {.n_tiles = n / 16};
    s.index_bytes = (size_t)(n * K) * (size_t)bits / 8;
    uint8_t *index = take(s.index_bytes + 64);
    fill(index, s.index_bytes, 1);
    int8_t *codebook = take(256);
    const int half = 1 << (bits - 1);
    for (int i = 0; i < 2 * half; i++) /* as `centroid compress` has them: symmetric from 5 bits */
        codebook[i] = (int8_t)(bits < 5   ? (i * 254 >> bits) - 127
                               : i < half ? 127 * (i + 1) / half
                                          : -codebook[i - half]);
    uint16_t *scale = take((size_t)(n * N_GROUPS) * 2);
    for (int64_t i = 0; i < n * N_GROUPS; i++)
        scale[i] = 0x2000;
    int8_t *q = take((size_t)M_MAX * K);
    for (int i = 0; i < M_MAX * K; i++)
        q[i] = (int8_t)(i * 37 % 255 - 127);
    float *x_scale = take(sizeof(float) * M_MAX * N_X_GROUPS);
    int32_t *sum = take(sizeof(int32_t) * M_MAX * N_X_GROUPS);
    for (int i = 0; i < M_MAX * N_X_GROUPS; i++) {
        x_scale[i] = 0.01f;
        sum[i] = 0;
    }
    s.a = (struct ct_linear){.n = n,
                             .k = K,
                             .bits = bits,
                             .group = GROUP,
                             .index = index,
                             .codebook_i8 = codebook,
                             .n_codebooks = 1,
                             .scale = scale,
                             .x_i8 = {q, x_scale, sum, K, N_X_GROUPS},
                             .y = take(sizeof(float) * (size_t)n * 64),
                             .ldy = n};
    return s;
}

static void release(struct setup *s)
{
    free((void *)s->a.index);
    free((void *)s->a.codebook_i8);
    free((void *)s->a.scale);
    free((void *)s->a.x_i8.q);
    free((void *)s->a.x_i8.scale);
    free((void *)s->a.x_i8.sum);
    free(s->a.y);
}

/* Seconds a pass over `tiles` row tiles takes, at best. */
static double best(const struct ct_kernel_table *kernels, struct setup *s, int64_t tiles,
                   double budget)
{
    uint64_t fastest = UINT64_MAX, begin = ct_clock_ns();
    int64_t at = 0;
    do {
        if (at + tiles > s->n_tiles)
            at = 0;
        uint64_t t0 = ct_clock_ns();
        kernels->linear_i8(&s->a, at, at + tiles);
        uint64_t ns = ct_clock_ns() - t0;
        fastest = ns < fastest ? ns : fastest;
        at += tiles;
    } while ((double)(ct_clock_ns() - begin) < budget * 1e9);
    return (double)fastest / 1e9;
}

static void run(int bits, int64_t n_bytes, bool is_scalar_wanted)
{
    struct setup s = make(n_bytes * 8 / (K * bits) / 4096 * 4096, bits);
    for (int isa = is_scalar_wanted ? 0 : 1; isa < CT_N_ISA; isa++) {
        if (!ct_isa_is_usable((enum ct_isa)isa))
            continue;
        struct ct_kernel_table kernels;
        ct_kernels_for((enum ct_isa)isa, &kernels);
        double budget = isa == 0 ? 0.1 : 0.3;
        printf("%d bits  %-7s", bits, ct_isa_name((enum ct_isa)isa));
        int64_t tiles = isa == 0 ? 1 : 256;
        double bytes = (double)(tiles * 16 * K) * bits / 8;
        s.a.m = 1;
        struct setup small = s;
        small.n_tiles = tiles < 16 ? tiles : 16;
        printf("  m=1: %6.2f GB/s memory, %6.2f cache  GOPS:",
               bytes / best(&kernels, &s, tiles, budget) / 1e9,
               bytes * (double)small.n_tiles / (double)tiles /
                   best(&kernels, &small, small.n_tiles, budget) / 1e9);
        static const int ms[] = {1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64};
        for (size_t i = 0; i < sizeof ms / sizeof *ms; i++) {
            tiles = isa == 0 ? 1 : 36;
            s.a.m = ms[i];
            double ops = 2.0 * (double)(tiles * 16 * K) * ms[i];
            printf("  %d:%.1f", ms[i], ops / best(&kernels, &s, tiles, budget) / 1e9);
            fflush(stdout);
        }
        printf("\n");
    }
    release(&s);
}

int main(int argc, char **argv)
{
    int64_t n_bytes = (argc > 1 ? atoll(argv[1]) : 64) << 20;
    int only = argc > 2 ? atoi(argv[2]) : 0;
    for (int bits = 2; bits <= 8; bits++)
        if (only == 0 || only == bits)
            run(bits, n_bytes, argc <= 3);
    return 0;
}
