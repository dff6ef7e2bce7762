/* What integers throughout need between the kernels: numbers become steps, steps become numbers, and the
 * residual stream is summed in steps. */
#include "engine/backend/cpu/cpu_ops.h"

/* Adding 1.5 * 2^23 rounds what is below 2^22, halves to even. */
static float whole(float x)
{
    const float round = 12582912;
    return x + round - round;
}

float ct_cpu_whole_i8(float x)
{
    const float low = x > -127 ? x : -127;
    return whole(low < 127 ? low : 127);
}

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
