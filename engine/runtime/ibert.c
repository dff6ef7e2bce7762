#include "engine/runtime/ibert.h"

#include "engine/runtime/int8_tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INT8_MAX_Q = 127, MAX_COUNT = 127 };

/* Of the stream where the host makes it: sums with what layers add stay below 2^24. */
static const float most_stream = 1 << 22;
/* Rows may deviate this much more than the calibration's before their squares pass int32. */
static const double headroom = 2;
/* What 1 of a sum may stand for in an activation, as the reference software limits it. */
static const double least_unit = 1e-4;

/* How a value's numbers are to be read. */
struct form {
    enum { FLOATS, INT8, STREAM } kind;
    float scales[CT_MAX_NODE_WEIGHTS]; /* of its parts, as a LINEAR's weights */
    int norm[2]; /* INT8: a LayerNorm's weight and bias that are still to come; -1 */
};

struct builder {
    const struct ct_graph *from;
    struct ct_graph to;
    struct ct_binding *binding;
    const struct ct_scales *scales;
    const struct ct_int8_codebook *codebook;
    struct ct_pool *pool;
    struct ct_error *err;
    int context_tok;
    int at;             /* node of from */
    int *place;         /* [from->n_values]: the value of `to` that has it now */
    struct form *forms; /* [values of to] */
    /* [n_slots], of matrices that are int8 */
    float *weight_scale; /* 0: not yet */
    const float **bias;
    bool *is_followed; /* [from->n_values]: scratch of stream_unit */
};

/* ---- looking ahead ---- */

/* The node behind b->at that reads value, through SELECTs; NULL: none. */
static const struct ct_node *reader_of(const struct builder *b, int value)
{
    for (int i = b->at + 1; i < b->from->n_nodes; i++) {
        const struct ct_node *node = &b->from->nodes[i];
        if (node->in == value && node->op == CT_OP_SELECT)
            value = node->out;
        else if (node->in == value)
            return node;
    }
    return NULL;
}

static enum ct_status find_peak(const struct builder *b, int slot, const char *side, float *peak)
{
    return ct_scales_find(b->scales, b->from->slots[slot].name, side, peak, b->err);
}

/* The int8 scale of what a LINEAR reads. */
static enum ct_status input_scale(const struct builder *b, const struct ct_node *linear,
                                  float *scale)
{
    float peak = 0;
    enum ct_status status = find_peak(b, linear->weights[0], "input", &peak);
    *scale = peak / INT8_MAX_Q;
    return status;
}

/* The LINEAR that reads value. */
static enum ct_status next_scale(const struct builder *b, int value, float *scale)
{
    const struct ct_node *reader = reader_of(b, value);
    if (reader == NULL || reader->op != CT_OP_LINEAR)
        return ct_error_set(b->err, CT_UNSUPPORTED,
                            "graph node %d (%s): what follows has no form in integers", b->at,
                            ct_op_name(b->from->nodes[b->at].op));
    return input_scale(b, reader, scale);
}

/* The unit of a stream that value becomes at node b->at, at least `unit`: small, but so that the
 * deviations of the rows that norms see stay within int32, and what is added is at most MAX_COUNT units
 * a step of int8. */
static enum ct_status stream_unit(struct builder *b, int value, float *unit)
{
    enum ct_status status = CT_OK;
    memset(b->is_followed, 0, (size_t)b->from->n_values * sizeof *b->is_followed);
    b->is_followed[value] = true;
    for (int i = b->at; i < b->from->n_nodes && status == CT_OK; i++) {
        const struct ct_node *node = &b->from->nodes[i];
        float peak = 0;
        if (node->op == CT_OP_LAYERNORM && b->is_followed[node->in]) {
            status = find_peak(b, node->weights[0], "input", &peak);
            const double most =
                sqrt(2147483648.0 / (double)b->from->values[node->in].width) / headroom;
            *unit = fmaxf(*unit, (float)(peak / most));
            if (node->in == node->out)
                b->is_followed[node->in] = false;
        } else if (b->is_followed[node->out] &&
                   ((node->op == CT_OP_LINEAR && node->is_added) || node->op == CT_OP_ADDSCALED)) {
            status = find_peak(b, node->weights[0], "output", &peak);
            *unit = fmaxf(*unit, peak / INT8_MAX_Q / MAX_COUNT);
        } else if (node->op == CT_OP_SELECT && b->is_followed[node->in]) {
            b->is_followed[node->out] = true;
        }
    }
    return status;
}

static bool is_normed(const struct builder *b, int value)
{
    for (int i = b->at + 1; i < b->from->n_nodes; i++) {
        const struct ct_node *node = &b->from->nodes[i];
        if (node->op == CT_OP_LAYERNORM && node->in == value)
            return true;
    }
    return false;
}

/* ---- from one form to another ---- */

static struct form *form_of(struct builder *b, int value)
{
    return &b->forms[b->place[value]];
}

static int new_value(struct builder *b, int64_t width, enum ct_rows rows, struct form form)
{
    const int value = ct_graph_value(&b->to, width, rows);
    b->forms[value] = form;
    return value;
}

/* Another place for what value of `from` holds. */
static int like(struct builder *b, int value, struct form form)
{
    return new_value(b, b->from->values[value].width, b->from->values[value].rows, form);
}

static struct form int8_form(float scale)
{
    return (struct form){.kind = INT8, .scales = {scale}, .norm = {-1, -1}};
}

/* value, which has floats, as integers in `out`. */
static void quantize(struct builder *b, int value, int out, float scale, float limit)
{
    ct_graph_node(&b->to, (struct ct_node){.op = CT_OP_QUANTIZE,
                                           .in = b->place[value],
                                           .out = out,
                                           .factor = scale,
                                           .limit = limit});
}

static enum ct_status to_stream(struct builder *b, int value)
{
    struct form *form = form_of(b, value);
    if (form->kind == INT8)
        return ct_error_set(b->err, CT_UNSUPPORTED, "graph node %d (%s): its input is int8", b->at,
                            ct_op_name(b->from->nodes[b->at].op));
    if (form->kind == STREAM)
        return CT_OK;
    float unit = 0;
    enum ct_status status = stream_unit(b, value, &unit);
    quantize(b, value, b->place[value], unit, most_stream);
    *form = (struct form){.kind = STREAM, .scales = {unit}, .norm = {-1, -1}};
    return status;
}

/* From here on value has floats. */
static void to_floats(struct builder *b, int value)
{
    const struct form form = *form_of(b, value);
    if (form.kind == FLOATS)
        return;
    struct ct_node node = {.op = CT_OP_DEQUANTIZE, .in = b->place[value], .factor = form.scales[0]};
    if (form.norm[0] >= 0) {
        memcpy(node.weights, form.norm, sizeof form.norm);
        node.n_weights = 2;
    }
    b->place[value] = node.out = like(b, value, (struct form){.kind = FLOATS});
    ct_graph_node(&b->to, node);
}

/* ---- products ---- */

/* Weight i of node as int8, behind what its input's norm still has to do. */
static enum ct_status bind_weight(struct builder *b, const struct ct_node *node, int i,
                                  const struct form *in, const float *behind)
{
    const int slot = node->weights[i];
    struct ct_matrix *matrices = b->binding->matrices;
    if (b->weight_scale[slot] != 0) /* it serves twice, between the same scales */
        return CT_OK;
    struct ct_int8_tensor tensor = {
        .name = b->from->slots[slot].name,
        .matrix = &matrices[slot],
        .bias = node->has_bias ? matrices[node->biases[i]].vector : NULL,
        .before = in->norm[0] >= 0 ? matrices[in->norm[0]].vector : NULL,
        .shift = in->norm[0] >= 0 ? matrices[in->norm[1]].vector : NULL,
        .behind = behind,
        .x_scale = in->scales[0],
    };
    enum ct_status status = ct_int8_tensor_make(&tensor, b->codebook, b->binding, b->pool, b->err);
    b->weight_scale[slot] = tensor.w_scale;
    b->bias[slot] = tensor.bias_q;
    return status;
}

/* Adds node's product, in integers. scales: of its output's parts in int8; NULL: int32. */
static enum ct_status add_product(struct builder *b, const struct ct_node *node, int out,
                                  const float *scales, const float *behind)
{
    struct ct_node product = *node;
    float in_scale;
    enum ct_status status = CT_OK;
    if (form_of(b, node->in)->kind == FLOATS) {
        status = input_scale(b, node, &in_scale);
        product.in = like(b, node->in, int8_form(in_scale));
        quantize(b, node->in, product.in, in_scale, INT8_MAX_Q);
    } else {
        product.in = b->place[node->in];
    }
    const struct form in = b->forms[product.in];
    if (in.kind != INT8)
        return ct_error_set(b->err, CT_UNSUPPORTED, "%s: it reads sums that no norm made int8",
                            b->from->slots[node->weights[0]].name);
    for (int i = 0; i < node->n_weights && status == CT_OK; i++) {
        status = bind_weight(b, node, i, &in, behind);
        product.integer.bias[i] = b->bias[node->weights[i]];
        const float unit = in.scales[0] * b->weight_scale[node->weights[i]];
        if (scales != NULL)
            product.integer.scale[i] = unit / scales[i];
    }
    product.out = out;
    product.is_added = false;
    product.integer.is_on = true;
    ct_graph_node(&b->to, product);
    return status;
}

/* What attention reads: int8, of which q and k make a softmax of int32. */
static enum ct_status add_qkv(struct builder *b, const struct ct_node *node)
{
    struct form form = int8_form(0);
    enum ct_status status = CT_OK;
    for (int i = 0; i < node->n_weights && status == CT_OK; i++) {
        status = find_peak(b, node->weights[i], "output", &form.scales[i]);
        form.scales[i] /= INT8_MAX_Q;
    }
    if (status != CT_OK)
        return status;
    const double root = sqrt((double)b->from->heads.head_dim);
    const double unit = (double)form.scales[0] * form.scales[1] / root;
    const double least = (double)ct_softmax_least_unit(b->context_tok);
    if (unit < least)
        form.scales[0] *= (float)(1.0001 * least / unit);
    *form_of(b, node->out) = form;
    return add_product(b, node, b->place[node->out], form.scales, NULL);
}

/* What GELU reads: steps of at least so much that its polynomial stays within int32. */
static enum ct_status add_before_gelu(struct builder *b, const struct ct_node *node)
{
    float peak = 0;
    enum ct_status status = find_peak(b, node->weights[0], "output", &peak);
    *form_of(b, node->out) = int8_form(fmaxf(peak, 1) / INT8_MAX_Q);
    if (status != CT_OK)
        return status;
    return add_product(b, node, b->place[node->out], form_of(b, node->out)->scales, NULL);
}

/* What the host goes on with. */
static enum ct_status add_before_host(struct builder *b, const struct ct_node *node)
{
    const int out = b->place[node->out];
    const bool is_added = node->is_added;
    if (node->n_weights != 1)
        return ct_error_set(b->err, CT_UNSUPPORTED, "%s: its product and others are one value",
                            b->from->slots[node->weights[0]].name);
    const int sums = is_added ? like(b, node->out, int8_form(1)) : out;
    enum ct_status status = add_product(b, node, sums, NULL, NULL);
    if (status != CT_OK || b->to.is_out_of_memory)
        return status;
    const struct form *in = &b->forms[b->to.nodes[b->to.n_nodes - 1].in];
    ct_graph_node(&b->to,
                  (struct ct_node){.op = CT_OP_DEQUANTIZE,
                                   .in = sums,
                                   .out = out,
                                   .is_added = is_added,
                                   .factor = in->scales[0] * b->weight_scale[node->weights[0]]});
    *form_of(b, node->out) = (struct form){.kind = FLOATS};
    return CT_OK;
}

static float largest(const struct ct_matrix *vector)
{
    float peak = 0;
    for (int64_t j = 0; j < vector->k; j++)
        peak = fmaxf(peak, fabsf(vector->vector[j]));
    return peak;
}

/* The stream takes on a product, whose peak is that of `peak_slot`: h += count * o. behind: LayerScale. */
static enum ct_status add_joined(struct builder *b, const struct ct_node *node, int stream,
                                 int peak_slot, const float *behind)
{
    float wanted = 0;
    enum ct_status status = find_peak(b, peak_slot, "output", &wanted);
    struct form *form = form_of(b, stream);
    if (status == CT_OK && form->kind == FLOATS)
        status = to_stream(b, stream);
    if (status != CT_OK)
        return status;
    struct ct_node join = {.op = CT_OP_JOIN, .out = b->place[stream], .integer = {.is_on = true}};
    float unit = form->scales[0];
    if (form->kind == INT8) { /* normed: its weight is to be int8 too */
        const struct ct_matrix *matrices = b->binding->matrices;
        unit = fmaxf(largest(&matrices[form->norm[0]]) * form->scales[0] / INT8_MAX_Q,
                     largest(&matrices[form->norm[1]]) / most_stream);
        status = stream_unit(b, stream, &unit);
        join.integer.gain = form->scales[0] / unit;
        memcpy(join.weights, form->norm, sizeof form->norm);
        join.n_weights = 2;
    }
    const float count = fminf(ceilf(wanted / INT8_MAX_Q / unit), MAX_COUNT);
    const float scale = count * unit;
    join.integer.unit = unit;
    join.integer.count = (int)count;
    join.in = like(b, stream, int8_form(scale));
    *form = (struct form){.kind = STREAM, .scales = {unit}, .norm = {-1, -1}};
    if (status == CT_OK)
        status = add_product(b, node, join.in, &scale, behind);
    ct_graph_node(&b->to, join);
    return status;
}

static bool is_gelu(const struct ct_node *node)
{
    return node->op == CT_OP_ACTIVATE &&
           (node->activation == CT_ACTIVATION_GELU || node->activation == CT_ACTIVATION_GELU_TANH);
}

static enum ct_status add_linear(struct builder *b, const struct ct_node *node)
{
    const struct ct_node *reader = reader_of(b, node->out);
    if (node->is_added && (form_of(b, node->out)->kind != FLOATS || is_normed(b, node->out)))
        return add_joined(b, node, node->out, node->weights[0], NULL);
    if (reader != NULL && reader->op == CT_OP_ADDSCALED)
        return add_joined(b, node, reader->out, reader->weights[0],
                          b->binding->matrices[reader->weights[0]].vector);
    if (reader != NULL && reader->op == CT_OP_ATTEND)
        return add_qkv(b, node);
    if (reader != NULL && is_gelu(reader) && !node->is_added)
        return add_before_gelu(b, node);
    return add_before_host(b, node);
}

/* ---- what is between products ---- */

static enum ct_status add_norm(struct builder *b, const struct ct_node *node)
{
    float peak = 0;
    enum ct_status status = find_peak(b, node->weights[0], "output", &peak);
    if (status == CT_OK)
        status = to_stream(b, node->in);
    if (status != CT_OK)
        return status;
    struct ct_node norm = *node;
    norm.in = b->place[node->in];
    norm.out = b->place[node->out];
    norm.integer = (struct ct_integer){.is_on = true, .scale = {INT8_MAX_Q / peak}};
    *form_of(b, node->out) = (struct form){
        .kind = INT8, .scales = {peak / INT8_MAX_Q}, .norm = {node->weights[0], node->weights[1]}};
    ct_graph_node(&b->to, norm);
    return CT_OK;
}

static enum ct_status add_attention(struct builder *b, const struct ct_node *node)
{
    const float *in = form_of(b, node->in)->scales;
    struct ct_node attend = *node;
    float scale;
    enum ct_status status = next_scale(b, node->out, &scale);
    if (status != CT_OK)
        return status;
    attend.in = b->place[node->in];
    attend.out = b->place[node->out];
    attend.integer = (struct ct_integer){
        .is_on = true,
        .unit = in[0] * in[1] / sqrtf((float)b->from->heads.head_dim),
        .scale = {in[2] / (INT8_MAX_Q * scale)},
    };
    *form_of(b, node->out) = int8_form(scale);
    ct_graph_node(&b->to, attend);
    return CT_OK;
}

static enum ct_status add_gelu(struct builder *b, const struct ct_node *node)
{
    const float step = form_of(b, node->in)->scales[0];
    struct ct_node gelu = *node;
    float scale;
    enum ct_status status = next_scale(b, node->out, &scale);
    if (status != CT_OK)
        return status;
    /* 128 count * 2 |qc| < 2^31, where |qc| is 2 / (0.2888 unit^2), with unit = step / count. */
    const double most = cbrt(2147483648.0 * 0.2888 / (4 * 128) * step * step);
    const double count = fmin(fmin(floor(most), MAX_COUNT), floor(step / least_unit));
    gelu.in = b->place[node->in];
    gelu.out = b->place[node->out];
    gelu.integer = (struct ct_integer){.is_on = true, .count = (int)fmax(count, 1)};
    gelu.integer.unit = step / (float)gelu.integer.count;
    const double erf = -0.2888 * gelu.integer.unit * gelu.integer.unit / 2;
    gelu.integer.scale[0] = (float)(gelu.integer.unit * erf / 2 / scale);
    *form_of(b, node->out) = int8_form(scale);
    ct_graph_node(&b->to, gelu);
    return CT_OK;
}

/* What the host does with floats. */
static void add_host(struct builder *b, const struct ct_node *node)
{
    struct ct_node host = *node;
    if (node->in >= 0) {
        to_floats(b, node->in);
        host.in = b->place[node->in];
    }
    host.out = b->place[node->out];
    b->forms[host.out] = (struct form){.kind = FLOATS};
    ct_graph_node(&b->to, host);
}

static enum ct_status add_node(struct builder *b, const struct ct_node *node)
{
    switch (node->op) {
    case CT_OP_LINEAR:
        return add_linear(b, node);
    case CT_OP_LAYERNORM:
        return add_norm(b, node);
    case CT_OP_ATTEND:
        return add_attention(b, node);
    case CT_OP_ADDSCALED: /* part of the product before it */
        return CT_OK;
    case CT_OP_SELECT: {
        struct ct_node select = *node;
        select.in = b->place[node->in];
        select.out = b->place[node->out];
        b->forms[select.out] = b->forms[select.in];
        ct_graph_node(&b->to, select);
        return CT_OK;
    }
    case CT_OP_ACTIVATE:
        if (is_gelu(node) && form_of(b, node->in)->kind == INT8)
            return add_gelu(b, node);
        break;
    case CT_OP_RMSNORM:
    case CT_OP_ROTATE:
        return ct_error_set(b->err, CT_UNSUPPORTED, "%s has no form in integers",
                            ct_op_name(node->op));
    default:
        break;
    }
    add_host(b, node);
    return CT_OK;
}

static enum ct_status rewrite(struct builder *b)
{
    const struct ct_graph *from = b->from;
    enum ct_status status = CT_OK;
    for (int v = 0; v < from->n_values; v++)
        b->place[v] = new_value(b, from->values[v].width, from->values[v].rows,
                                (struct form){.kind = FLOATS});
    for (b->at = 0; b->at < from->n_nodes && status == CT_OK && !b->to.is_out_of_memory; b->at++)
        status = add_node(b, &from->nodes[b->at]);
    if (status == CT_OK)
        to_floats(b, from->nodes[from->n_nodes - 1].out);
    return status == CT_OK ? ct_graph_check(&b->to, b->err) : status;
}

/* The new nodes and values take the old ones' place; slots stay. */
static void replace(struct ct_graph *graph, struct ct_graph *to)
{
    struct ct_graph left = *graph;
    graph->nodes = to->nodes;
    graph->n_nodes = to->n_nodes;
    graph->values = to->values;
    graph->n_values = to->n_values;
    left.slots = NULL;
    ct_graph_deinit(&left);
}

/* ---- generators ---- */

/* The steps of keys and values: the LINEAR in front of node `at` gives them. */
static enum ct_status find_kv_steps(const struct ct_graph *graph, int at,
                                    const struct ct_scales *scales, float steps[2],
                                    struct ct_error *err)
{
    int i = at - 1;
    while (i >= 0 &&
           (graph->nodes[i].op != CT_OP_LINEAR || graph->nodes[i].out != graph->nodes[at].in))
        i--;
    if (i < 0 || graph->nodes[i].n_weights != 3)
        return ct_error_set(err, CT_UNSUPPORTED, "graph node %d (%s) has no form in integers", at,
                            ct_op_name(graph->nodes[at].op));
    enum ct_status status = CT_OK;
    for (int part = 0; part < 2 && status == CT_OK; part++) {
        const char *name = graph->slots[graph->nodes[i].weights[1 + part]].name;
        status = ct_scales_find(scales, name, "output", &steps[part], err);
        steps[part] /= INT8_MAX_Q;
    }
    return status;
}

enum ct_status ct_ibert_bind_generator(struct ct_graph *graph, const struct ct_scales *scales,
                                       struct ct_error *err)
{
    enum ct_status status = CT_OK;
    for (int i = 0; i < graph->n_nodes && status == CT_OK; i++) {
        struct ct_integer *integer = &graph->nodes[i].integer;
        if (graph->nodes[i].op != CT_OP_ATTEND)
            continue;
        integer->is_on = true;
        status = find_kv_steps(graph, i, scales, integer->kv_step, err);
    }
    return status;
}

/* ---- encoders ---- */

enum ct_status ct_ibert_bind(struct ct_graph *graph, struct ct_binding *binding,
                             const struct ct_scales *scales, int context_tok, struct ct_pool *pool,
                             struct ct_error *err)
{
    struct builder b = {.from = graph,
                        .to = *graph,
                        .binding = binding,
                        .scales = scales,
                        .pool = pool,
                        .err = err,
                        .context_tok = context_tok};
    b.to.nodes = NULL;
    b.to.values = NULL;
    b.to.n_nodes = b.to.n_values = 0;
    /* A node adds three values at most: its input in int8, its sums, its output as floats. */
    const size_t n_values = (size_t)graph->n_values + 3 * ((size_t)graph->n_nodes + 1);
    b.codebook = ct_int8_codebook_make(binding);
    b.place = calloc((size_t)graph->n_values + 1, sizeof *b.place);
    b.forms = calloc(n_values, sizeof *b.forms);
    b.weight_scale = calloc((size_t)graph->n_slots + 1, sizeof *b.weight_scale);
    b.bias = calloc((size_t)graph->n_slots + 1, sizeof *b.bias);
    b.is_followed = calloc((size_t)graph->n_values + 1, sizeof *b.is_followed);
    enum ct_status status;
    if (b.codebook == NULL || b.place == NULL || b.forms == NULL || b.weight_scale == NULL ||
        b.bias == NULL || b.is_followed == NULL) {
        status = ct_error_set(err, CT_MEMORY, "no memory for a graph of integers");
    } else {
        ct_pool_enter(pool);
        status = rewrite(&b);
        ct_pool_leave(pool);
    }
    if (status == CT_OK) {
        replace(graph, &b.to);
    } else {
        free(b.to.nodes);
        free(b.to.values);
    }
    free(b.place);
    free(b.forms);
    free(b.weight_scale);
    free(b.bias);
    free(b.is_followed);
    return status;
}
