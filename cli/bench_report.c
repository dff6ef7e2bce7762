/* Points as a table, a line each, or as one JSON object. */
#include "cli/bench.h"

#include <stdlib.h>

void ct_bench_name(const struct ct_bench_point *point, char name[CT_BENCH_NAME])
{
    if (ct_bench_is_kernel(point)) {
        snprintf(name, CT_BENCH_NAME, "%s",
                 point->kind == CT_BENCH_LINEAR ? "linear_i8" : "attention");
        return;
    }
    if (point->kind == CT_BENCH_IMAGE) {
        snprintf(name, CT_BENCH_NAME, "image");
        return;
    }
    const char *phase = point->kind == CT_BENCH_PROMPT ? "pp" : "tg";
    if (point->depth > 0)
        snprintf(name, CT_BENCH_NAME, "%s%d@%d", phase, point->size, point->depth);
    else
        snprintf(name, CT_BENCH_NAME, "%s%d", phase, point->size);
}

/* ---- table ---- */

static void print_head(const struct ct_bench_point *point)
{
    const bool is_image = point->kind == CT_BENCH_IMAGE;
    if (ct_bench_is_kernel(point))
        printf("\n%-10s %-7s %5s %6s", "kernel", "set", "bits", "size");
    else
        printf("\n%-12s %9s %9s %9s %9s", "test", is_image ? "images/s" : "tokens/s", "min", "max",
               is_image ? "MB/image" : "MB/token");
    printf(" %8s %8s %7s %9s %7s\n", "threads", "GB/s", "limit", "GOPS", "limit");
}

static void print_line(const struct ct_bench_point *point, const struct ct_roof *roof)
{
    const double gb_per_s = point->rate * point->bytes * 1e-9;
    const double gops = point->rate * point->ops * 1e-9;
    char name[CT_BENCH_NAME], bits[16] = "";
    ct_bench_name(point, name);
    if (point->bits > 0)
        snprintf(bits, sizeof bits, "%d", point->bits);
    if (ct_bench_is_kernel(point))
        printf("%-10s %-7s %5s %6d", name, ct_isa_name(point->isa), bits, point->size);
    else
        printf("%-12s %9.1f %9.1f %9.1f %9.1f", name, point->rate, point->low, point->high,
               point->bytes * 1e-6);
    printf(" %8d %8.1f %6.0f %% %9.1f %5.0f %%\n", point->n_threads, gb_per_s,
           100 * gb_per_s / roof->gb_per_s, gops, 100 * gops / roof->gops[point->isa]);
    fflush(stdout);
}

void ct_bench_print_roof(const struct ct_bench *bench, int n_threads)
{
    const struct ct_roof *roof = ct_roofs_best(bench->roofs, n_threads);
    printf("\nlimits of %d thread%s: memory %.1f GB/s; int8 GOPS", n_threads,
           n_threads == 1 ? "" : "s", roof->gb_per_s);
    for (int isa = 0; isa < CT_N_ISA; isa++)
        if (roof->gops[isa] > 0)
            printf(" %s %.0f", ct_isa_name((enum ct_isa)isa), roof->gops[isa]);
    puts("");
}

enum ct_status ct_bench_add(struct ct_bench *bench, const struct ct_bench_point *point,
                            struct ct_error *err)
{
    if (bench->n_points == bench->capacity) {
        const int capacity = bench->capacity > 0 ? 2 * bench->capacity : 64;
        struct ct_bench_point *larger =
            realloc(bench->points, (size_t)capacity * sizeof *bench->points);
        if (larger == NULL)
            return ct_error_set(err, CT_MEMORY, "no memory for %d tests", capacity);
        bench->points = larger;
        bench->capacity = capacity;
    }
    if (!bench->is_json) {
        const struct ct_bench_point *last =
            bench->n_points > 0 ? &bench->points[bench->n_points - 1] : NULL;
        if (last == NULL || last->n_threads != point->n_threads ||
            ct_bench_is_kernel(last) != ct_bench_is_kernel(point))
            print_head(point);
        print_line(point, ct_roofs_best(bench->roofs, point->n_threads));
    }
    bench->points[bench->n_points++] = *point;
    return CT_OK;
}

/* ---- JSON ---- */

static void print_json_point(const struct ct_bench *bench, const struct ct_bench_point *point)
{
    const struct ct_roof *roof = ct_roofs_best(bench->roofs, point->n_threads);
    const char *unit = point->kind == CT_BENCH_IMAGE ? "image" : "token";
    char name[CT_BENCH_NAME];
    ct_bench_name(point, name);
    if (point->kind == CT_BENCH_LINEAR)
        printf("{\"kernel\": \"%s\", \"set\": \"%s\", \"bits\": %d, \"rows\": %d", name,
               ct_isa_name(point->isa), point->bits, point->size);
    else if (point->kind == CT_BENCH_ATTENTION)
        printf("{\"kernel\": \"%s\", \"set\": \"%s\", \"keys\": %d", name, ct_isa_name(point->isa),
               point->size);
    else
        printf("{\"test\": \"%s\", \"%ss_per_s\": {\"median\": %.2f, \"min\": %.2f, \"max\": "
               "%.2f}, \"bytes_per_%s\": %.0f, \"ops_per_%s\": %.0f",
               name, unit, point->rate, point->low, point->high, unit, point->bytes, unit,
               point->ops);
    printf(", \"threads\": %d, \"gb_per_s\": %.3f, \"limit_gb_per_s\": %.3f, \"gops\": %.3f, "
           "\"limit_gops\": %.3f}",
           point->n_threads, point->rate * point->bytes * 1e-9, roof->gb_per_s,
           point->rate * point->ops * 1e-9, roof->gops[point->isa]);
}

void ct_bench_print_json(const struct ct_bench *bench)
{
    for (int i = 0; i < bench->n_points; i++) {
        fputs(i == 0 ? "[" : ",\n ", stdout);
        print_json_point(bench, &bench->points[i]);
    }
    puts(bench->n_points == 0 ? "[]" : "]");
}
