/* The published study's platforms, as a roofline without overlap: a request takes the time of its
 * multiply-accumulates at the peak of f32 and the time to stream the weights of its matrix products, one
 * after the other, which is Amdahl's law. Activations stay on the chip. Others on the bus leave a share of
 * the bandwidth; indices of 8 bits stream in a quarter of the time.
 *
 * Energy is that of multiply-accumulates and of weights from memory, and for clustered weights that of a look-up
 * each in the table of centroids: what an accelerator spends at least, without control, leakage and the rest
 * of the machine. */
#include "cli/study.h"
#include "cli/study_forms.h"

/* f32 products and sums: Horowitz, ISSCC 2014, figure 1.1.9 (3.7 + 0.9 pJ), and Jouppi et al., ISCA 2021, table
 * 2 (1.31 + 0.38 pJ): the platforms' 12 and 16 nm lie between. */
static const double MAC_45_PJ = 4.6, MAC_7_PJ = 1.69;

/* A read of 32 bits from a register file, 45 nm: Han et al., EIE, ISCA 2016, table I. */
static const double LOOK_UP_PJ = 1;

static const double RATIO = 4; /* f32 weights to indices of 8 bits */

const struct ct_study_platform ct_study_platforms[] = {
#define CT_STUDY_PLATFORM(id, title, gb_per_s, gflops, byte_pj, source)                            \
    {#id, title, gb_per_s, gflops, byte_pj},
#include "cli/study_platforms.def"
#undef CT_STUDY_PLATFORM
};

const double ct_study_bandwidths[CT_STUDY_N_BANDWIDTHS] = {1, 0.5, 0.25, 0.125};

static double saving(const struct ct_study_platform *platform,
                     const struct ct_study_request *request, double mac_pj)
{
    const double memory_pj = 4 * request->n_weights * platform->byte_pj;
    const double whole_pj = memory_pj + request->macs * mac_pj;
    const double share = memory_pj / whole_pj;
    return 1 - ct_study_rest(share, RATIO) - request->n_weights * LOOK_UP_PJ / whole_pj;
}

struct ct_study_estimate ct_study_estimate(const struct ct_study_platform *platform,
                                           const struct ct_study_request *request, double bandwidth)
{
    struct ct_study_estimate e = {
        .compute_ms = 2 * request->macs / (platform->gflops * 1e6),
        .weight_ms = 4 * request->n_weights / (platform->gb_per_s * bandwidth * 1e6),
        .saving_45 = 100 * saving(platform, request, MAC_45_PJ),
        .saving_7 = 100 * saving(platform, request, MAC_7_PJ),
        .look_up = 100 * LOOK_UP_PJ / (4 * platform->byte_pj * (1 - 1 / RATIO)),
    };
    const double share = e.weight_ms / (e.compute_ms + e.weight_ms);
    e.speedup = 100 * (1 / ct_study_rest(share, RATIO) - 1);
    return e;
}
