#include "engine/backend/cpu/cpu_ibert.h"

#include "engine/backend/cpu/cpu_ops.h"

#include <math.h>

/* What wraps around is computed without signs. */
static int32_t multiply(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a * (uint32_t)b);
}

static int32_t add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

static int32_t subtract(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

/* Adding 1.5 * 2^23 rounds what is below 2^22, halves to even. */
static float whole(float x)
{
    const float round = 12582912;
    return x + round - round;
}

/* To int8; what is no number becomes 127. */
static float narrow(float x)
{
    const float low = x > -128 ? x : -128;
    return whole(x < 127 ? low : 127);
}

float ct_cpu_whole_i8(float x)
{
    const float low = x > -127 ? x : -127;
    return whole(low < 127 ? low : 127);
}

int8_t ct_cpu_narrow(int32_t sum, float scale)
{
    return (int8_t)narrow((float)sum * scale);
}

void ct_cpu_store_row(float *x, const float *bias, int64_t n, float scale)
{
    if (bias == NULL)
        for (int64_t i = 0; i < n && scale != 0; i++)
            x[i] = narrow(x[i] * scale);
    else if (scale == 0)
        for (int64_t i = 0; i < n; i++)
            x[i] = (float)add((int32_t)x[i], (int32_t)bias[i]);
    else
        for (int64_t i = 0; i < n; i++)
            x[i] = narrow((float)add((int32_t)x[i], (int32_t)bias[i]) * scale);
}

void ct_cpu_igelu_row(const float *in, int64_t n, int count, float unit, float scale, float *out)
{
    const float step = unit / 1.41421356237F;
    const int32_t qb = (int32_t)(-1.769 / (double)step);
    const int32_t qc = (int32_t)(1.0 / (double)(float)(-0.2888 * (double)(unit * unit / 2)));
    for (int64_t i = 0; i < n; i++) {
        const int32_t q = multiply((int32_t)in[i], count), sign = q >> 31;
        const int32_t size = (q ^ sign) - sign, limit = -qb;
        const int32_t sum = (size < limit ? size : limit) + qb;
        const int32_t poly = add(multiply(sum, sum), qc);
        const int32_t erf = add(subtract(poly ^ sign, sign), qc);
        out[i] = narrow((float)multiply(q, erf) * scale);
    }
}

void ct_cpu_layernorm_row(const float *in, int64_t n, float scale, float *out)
{
    uint32_t sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (uint32_t)(int32_t)in[i];
    const int32_t mean = (int32_t)sum / (int32_t)n;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t d = (uint32_t)subtract((int32_t)in[i], mean);
        squares += d * d;
    }
    /* A root rounded down, of 0 taken as 1; of a sum that passed 2^31, the farthest from 0. */
    const int32_t variance = (int32_t)squares / (int32_t)n;
    const float root = variance > 0    ? (float)floor(sqrt((double)variance))
                       : variance == 0 ? 1
                                       : -2147483648.0F;
    const float inverse = 1 / root, factor = inverse * scale;
    for (int64_t i = 0; i < n; i++)
        out[i] = narrow((float)subtract((int32_t)in[i], mean) * factor);
}

void ct_cpu_softmax_row(int32_t *scores, int64_t n, float unit, int8_t *out)
{
    const int32_t ln2 = (int32_t)(0.693147 / (double)unit);
    const int32_t ln2_inverse = ln2 != 0 ? 65536 / ln2 : 0;
    const int32_t qb = (int32_t)(1.353F / unit);
    const int32_t qc = (int32_t)(0.344F / (0.3585F * unit * unit));
    int32_t max = INT32_MIN;
    uint32_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        max = scores[i] > max ? scores[i] : max;
    for (int64_t i = 0; i < n; i++) {
        const int32_t q = subtract(scores[i], max);
        const int32_t z = multiply(subtract(0, q), ln2_inverse) >> 16;
        const int32_t part = add(add(q, multiply(z, ln2)), qb);
        const uint32_t poly = (uint32_t)add(multiply(part, part), qc);
        const uint32_t power = (uint32_t)z < 32 ? poly >> ((uint32_t)z & 31) : 0;
        scores[i] = (int32_t)power;
        sum += power;
    }
    const float inverse = 127.0F / (float)(int32_t)sum;
    for (int64_t i = 0; i < n; i++)
        out[i] = (int8_t)narrow((float)scores[i] * inverse);
}

/* ---- operations of the graph ---- */

void ct_cpu_quantize(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const int64_t width = walk->cpu->graph->values[node->out].width;
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const float *in = ct_cpu_row(walk->cpu, node->in, t);
        float *out = ct_cpu_row(walk->cpu, node->out, t);
        for (int64_t j = 0; j < width; j++) {
            const float value = in[j] / node->factor,
                        low = value > -node->limit ? value : -node->limit;
            out[j] = whole(low < node->limit ? low : node->limit);
        }
    }
}

void ct_cpu_dequantize(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const struct ct_cpu *cpu = walk->cpu;
    const int64_t width = cpu->graph->values[node->out].width;
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const float *in = ct_cpu_row(cpu, node->in, t);
        float *out = ct_cpu_row(cpu, node->out, t);
        for (int64_t j = 0; j < width; j++) {
            float value = in[j] * node->factor;
            if (node->n_weights > 0)
                value = value * cpu->matrices[node->weights[0]].vector[j] +
                        cpu->matrices[node->weights[1]].vector[j];
            out[j] = node->is_added ? out[j] + value : value;
        }
    }
}

/* Whole numbers below 2^24: sums are exact. */
void ct_cpu_join(struct ct_cpu_walk *walk, const struct ct_node *node)
{
    const struct ct_cpu *cpu = walk->cpu;
    const struct ct_integer *integer = &node->integer;
    const int64_t width = cpu->graph->values[node->out].width;
    const float count = (float)integer->count;
    int64_t begin, end;
    ct_cpu_begin_rows(walk, node->out, &begin, &end);
    for (int64_t t = begin; t < end; t++) {
        const float *in = ct_cpu_row(cpu, node->in, t);
        float *out = ct_cpu_row(cpu, node->out, t);
        for (int64_t j = 0; j < width && node->n_weights > 0; j++)
            out[j] = out[j] * whole(cpu->matrices[node->weights[0]].vector[j] * integer->gain) +
                     whole(cpu->matrices[node->weights[1]].vector[j] / integer->unit);
        for (int64_t j = 0; j < width; j++)
            out[j] += in[j] * count;
    }
}
