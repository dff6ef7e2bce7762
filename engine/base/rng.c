#include "engine/base/rng.h"

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void ct_rng_init(struct ct_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        rng->s[i] = z ^ (z >> 31);
    }
}

uint64_t ct_rng_next(struct ct_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

double ct_rng_uniform(struct ct_rng *rng)
{
    return (double)(ct_rng_next(rng) >> 11) * 0x1p-53;
}

uint64_t ct_rng_below(struct ct_rng *rng, uint64_t n)
{
    uint64_t floor = -n % n;
    uint64_t x;
    do
        x = ct_rng_next(rng);
    while (x < floor);
    return x % n;
}
