/* A small deterministic random generator (xoshiro256**, seeded by splitmix64). The owner's
 * thread. */
#ifndef CT_BASE_RNG_H
#define CT_BASE_RNG_H

#include <stdint.h>

struct ct_rng {
    uint64_t s[4];
};

void ct_rng_init(struct ct_rng *rng, uint64_t seed);
uint64_t ct_rng_next(struct ct_rng *rng);

/* Uniform in [0, 1), 53 bits. */
double ct_rng_uniform(struct ct_rng *rng);

/* Uniform in [0, n), n > 0, without modulo bias. */
uint64_t ct_rng_below(struct ct_rng *rng, uint64_t n);

#endif
