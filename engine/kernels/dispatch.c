/* Chooses each kernel's variant once, from kernels.def and what the processor has. */
#include "engine/base/log.h"
#include "engine/kernels/kernels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#if CT_HAVE_X86
#include <cpuid.h>
#endif
#if CT_HAVE_ARM
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static const char *const names[CT_N_ISA] = {"scalar", "avx2", "avxvnni", "avx512", "neon", "i8mm"};

const char *ct_isa_name(enum ct_isa isa)
{
    return names[isa];
}

#if CT_HAVE_X86
/* CPUID's word for it: not every compiler's __builtin_cpu_supports knows AVX-VNNI. */
static bool has_avxvnni(void)
{
    unsigned eax = 0, ebx, ecx, edx;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> 4 & 1) != 0;
}
#endif

bool ct_isa_is_usable(enum ct_isa isa)
{
    switch (isa) {
    case CT_ISA_scalar:
        return true;
#if CT_HAVE_X86
    case CT_ISA_avx2: /* F16C came before AVX2 in every processor, and clang 14 cannot ask for it */
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case CT_ISA_avxvnni:
        return ct_isa_is_usable(CT_ISA_avx2) && has_avxvnni();
    case CT_ISA_avx512:
        return ct_isa_is_usable(CT_ISA_avx2) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi") &&
               __builtin_cpu_supports("avx512vnni");
#endif
#if CT_HAVE_ARM
    case CT_ISA_neon: /* every arm64 has NEON, not every one the dot product and half arithmetic */
        return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0 &&
               (getauxval(AT_HWCAP) & HWCAP_ASIMDHP) != 0;
    case CT_ISA_i8mm:
        return ct_isa_is_usable(CT_ISA_neon) && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
#endif
    default:
        return false;
    }
}

/* Puts the variants of one set into the table. */
static void use(struct ct_kernel_table *table, enum ct_isa isa)
{
#define CT_KERNEL(name, parameters, bound)
#define USE_scalar(name, set) table->name = ct_##name##_##set;
#if CT_HAVE_X86
#define USE_avx2(name, set)    USE_scalar(name, set)
#define USE_avxvnni(name, set) USE_scalar(name, set)
#define USE_avx512(name, set)  USE_scalar(name, set)
#else
#define USE_avx2(name, set)
#define USE_avxvnni(name, set)
#define USE_avx512(name, set)
#endif
#if CT_HAVE_ARM
#define USE_neon(name, set) USE_scalar(name, set)
#define USE_i8mm(name, set) USE_scalar(name, set)
#else
#define USE_neon(name, set)
#define USE_i8mm(name, set)
#endif
#define CT_VARIANT(name, set)                                                                      \
    if (isa == CT_ISA_##set) {                                                                     \
        USE_##set(name, set)                                                                       \
    }
#include "engine/kernels/kernels.def"
#undef CT_KERNEL
#undef CT_VARIANT
}

void ct_kernels_for(enum ct_isa isa, struct ct_kernel_table *table)
{
    use(table, CT_ISA_scalar);
    for (int set = 1; set <= (int)isa; set++)
        if (ct_isa_is_usable((enum ct_isa)set))
            use(table, (enum ct_isa)set);
}

static enum ct_isa choose(void)
{
    enum ct_isa best = CT_ISA_scalar;
    for (int isa = 0; isa < CT_N_ISA; isa++)
        if (ct_isa_is_usable((enum ct_isa)isa))
            best = (enum ct_isa)isa;
    const char *limit = getenv("CENTROID_CPU");
    if (limit == NULL || limit[0] == '\0')
        return best;
    for (int isa = 0; isa < CT_N_ISA; isa++) {
        if (strcmp(limit, names[isa]) != 0)
            continue;
        if (ct_isa_is_usable((enum ct_isa)isa))
            return (enum ct_isa)isa;
        ct_log(CT_LOG_WARN, "CENTROID_CPU=%s: not on this processor, using %s", limit, names[best]);
        return best;
    }
    ct_log(CT_LOG_WARN,
           "CENTROID_CPU=%s: none of scalar, avx2, avxvnni, avx512, neon, i8mm; using %s", limit,
           names[best]);
    return best;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static enum ct_isa current;
static struct ct_kernel_table current_table;

static void init(void)
{
    current = choose();
    ct_kernels_for(current, &current_table);
}

enum ct_isa ct_isa_current(void)
{
    pthread_once(&once, init);
    return current;
}

const struct ct_kernel_table *ct_kernels(void)
{
    pthread_once(&once, init);
    return &current_table;
}
