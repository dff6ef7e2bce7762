/* The names of an ONNX file's weights, from its nodes. A first pass over the nodes notes what they
 * make of initialisers, a second finds the bias that each product is added to. Nodes are unpacked
 * one at a time; one that is large is a constant and names nothing. */
#include "engine/format/onnx_internal.h"

#include <onnx.pb-c.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NODE = 1 << 20 };

/* The matrix B of a product A B. */
struct product {
    const char *output; /* the value that it makes */
    const char *name;   /* of the weight, or NULL */
    int tensor;
};

/* What nodes do with an initialiser. */
struct use {
    const char *place; /* an anonymous one's name by the node that uses it, or NULL */
    bool is_product;
    bool is_transposed; /* of a product's B: [k, n] */
};

struct naming {
    struct ct_onnx *onnx;
    struct product *products;
    int n_products, capacity;
    struct ct_name_index outputs; /* of products */
    struct use *uses;             /* [tensors] */
};

/* ---- names ---- */

/* The name of a parameter, not of a value in a graph ("onnx::MatMul_714", "val_52",
 * "/layer/Transpose_output_0"). */
static bool is_parameter(const char *name)
{
    return strchr(name, '.') != NULL && strchr(name, ':') == NULL && name[0] != '/';
}

static int find_tensor(const struct naming *naming, const char *name)
{
    return ct_name_index_find(&naming->onnx->file.names, name, strlen(name));
}

/* NULL in *out when the text is not fit for a name. */
static enum ct_status keep_name(struct naming *naming, const char *text, const char **out,
                                struct ct_error *err)
{
    const size_t n = strlen(text);
    *out = NULL;
    if (!ct_name_is_plain(text, n))
        return CT_OK;
    *out = ct_arena_text(&naming->onnx->file.arena, text, n);
    return *out == NULL ? ct_error_set(err, CT_MEMORY, "no memory for tensor names") : CT_OK;
}

/* "X.weight" for a bias "X.bias"; NULL in *out when `bias` is none. */
static enum ct_status name_by_bias(struct naming *naming, const char *bias, const char **out,
                                   struct ct_error *err)
{
    static const char suffix[] = "bias";
    const size_t n = strlen(bias), n_suffix = sizeof suffix - 1;
    char text[2 * CT_MAX_NAME];
    *out = NULL;
    if (n <= n_suffix || n > CT_MAX_NAME || strcmp(bias + n - n_suffix, suffix) != 0 ||
        !is_parameter(bias))
        return CT_OK;
    snprintf(text, sizeof text, "%.*sweight", (int)(n - n_suffix), bias);
    return keep_name(naming, text, out, err);
}

/* "a.b.0.X" for a node "/a/b/b.0/MatMul" and X as last part; NULL in *out when the node's name is
 * no path. A Sequential names its part and itself: what the next part begins with is left out. */
static enum ct_status name_by_path(struct naming *naming, const char *path, const char *last,
                                   const char **out, struct ct_error *err)
{
    char text[CT_MAX_NAME + 1];
    size_t n = 0;
    *out = NULL;
    if (path[0] != '/' || strlen(path) + strlen(last) > CT_MAX_NAME)
        return CT_OK;
    for (const char *at = path + 1, *slash; (slash = strchr(at, '/')) != NULL; at = slash + 1) {
        const size_t n_part = (size_t)(slash - at);
        const bool is_repeated = strncmp(slash + 1, at, n_part) == 0 && slash[1 + n_part] == '.';
        if (is_repeated)
            continue;
        memcpy(text + n, at, n_part);
        n += n_part;
        text[n++] = '.';
    }
    snprintf(text + n, sizeof text - n, "%s", last);
    return keep_name(naming, text, out, err);
}

/* ---- weights ---- */

/* `items`, with room for one more than n of this size; NULL when there are too many (CT_TOO_LARGE)
 * or memory is short. */
static void *grow(void *items, int n, int *capacity, size_t size, struct ct_error *err)
{
    if (n < *capacity)
        return items;
    if (n >= CT_ONNX_MOST) {
        ct_error_set(err, CT_TOO_LARGE, "more than %d weights", CT_ONNX_MOST);
        return NULL;
    }
    const int wanted = *capacity == 0 ? 256 : 2 * *capacity;
    void *grown = realloc(items, (size_t)wanted * size);
    if (grown == NULL)
        ct_error_set(err, CT_MEMORY, "no memory for %d weights", wanted);
    else
        *capacity = wanted;
    return grown;
}

static enum ct_status add_weight(struct ct_onnx *onnx, int tensor, const char *name,
                                 bool is_transposed, bool is_placed, struct ct_error *err)
{
    struct ct_onnx_weight *grown =
        grow(onnx->weights, onnx->n_weights, &onnx->capacity, sizeof *grown, err);
    if (grown == NULL)
        return err->status;
    onnx->weights = grown;
    struct ct_onnx_weight *weight = &onnx->weights[onnx->n_weights++];
    *weight = (struct ct_onnx_weight){onnx->file.tensors[tensor], is_transposed, is_placed};
    weight->tensor.name = name;
    return CT_OK;
}

/* ---- nodes ---- */

static enum ct_status add_product(struct naming *naming, const Onnx__Node *node, int tensor,
                                  bool is_transposed, struct ct_error *err)
{
    struct product *grown =
        grow(naming->products, naming->n_products, &naming->capacity, sizeof *grown, err);
    if (grown == NULL)
        return err->status;
    naming->products = grown;
    struct product *product = &naming->products[naming->n_products++];
    *product = (struct product){.tensor = tensor};
    naming->uses[tensor].is_product = true;
    naming->uses[tensor].is_transposed = is_transposed;
    product->output =
        ct_arena_text(&naming->onnx->file.arena, node->output[0], strlen(node->output[0]));
    if (product->output == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for names");
    enum ct_status status = CT_OK;
    if (node->n_input > 2) /* Gemm's C */
        status = name_by_bias(naming, node->input[2], &product->name, err);
    if (status == CT_OK && product->name == NULL)
        status = name_by_path(naming, node->name, "weight", &product->name, err);
    return status;
}

static int64_t attribute(const Onnx__Node *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (strcmp(node->attribute[i]->name, name) == 0)
            return node->attribute[i]->i;
    return 0;
}

static enum ct_status note_node(struct naming *naming, const Onnx__Node *node, struct ct_error *err)
{
    const bool is_gemm = strcmp(node->op_type, "Gemm") == 0;
    enum ct_status status = CT_OK;
    if (node->n_output == 0)
        return CT_OK;
    if (is_gemm || strcmp(node->op_type, "MatMul") == 0) {
        const int b = node->n_input < 2 ? -1 : find_tensor(naming, node->input[1]);
        if (b >= 0 && naming->onnx->file.tensors[b].n_dims == 2)
            return add_product(naming, node, b, !(is_gemm && attribute(node, "transB") != 0), err);
    }
    if (strcmp(node->op_type, "Identity") == 0) {
        const int of = node->n_input < 1 ? -1 : find_tensor(naming, node->input[0]);
        const char *name = NULL;
        if (of >= 0 && is_parameter(node->output[0]))
            status = keep_name(naming, node->output[0], &name, err);
        return name == NULL ? status : add_weight(naming->onnx, of, name, false, false, err);
    }
    for (size_t i = 0; i < node->n_input && status == CT_OK; i++) {
        const int used = find_tensor(naming, node->input[i]);
        if (used >= 0 && naming->uses[used].place == NULL && !is_parameter(node->input[i]))
            status =
                name_by_path(naming, node->name, node->op_type, &naming->uses[used].place, err);
    }
    return status;
}

/* A product plus a bias. */
static enum ct_status note_sum(struct naming *naming, const Onnx__Node *node, struct ct_error *err)
{
    if (strcmp(node->op_type, "Add") != 0 || node->n_input != 2)
        return CT_OK;
    for (int i = 0; i < 2; i++) {
        const char *name, *term = node->input[i];
        const int product = ct_name_index_find(&naming->outputs, term, strlen(term));
        if (product < 0)
            continue;
        enum ct_status status = name_by_bias(naming, node->input[1 - i], &name, err);
        if (name != NULL)
            naming->products[product].name = name;
        return status;
    }
    return CT_OK;
}

typedef enum ct_status node_fn(struct naming *naming, const Onnx__Node *node, struct ct_error *err);

static enum ct_status for_nodes(struct naming *naming, struct ct_wire graph, node_fn *fn,
                                struct ct_error *err)
{
    const uint32_t number = ct_onnx_number(&onnx__graph__descriptor, "node");
    struct ct_wire_field field;
    enum ct_status status = CT_OK;
    while (status == CT_OK && ct_wire_next(&graph, &field)) {
        void *node = NULL;
        if (field.number != number || !field.has_bytes || field.n_bytes > MAX_NODE)
            continue;
        status = ct_onnx_unpack(&onnx__node__descriptor, field.data, field.n_bytes, &node, err);
        if (status == CT_OK)
            status = fn(naming, node, err);
        if (node != NULL)
            protobuf_c_message_free_unpacked(node, NULL);
    }
    return status;
}

static enum ct_status index_outputs(struct naming *naming, struct ct_error *err)
{
    if (ct_name_index_init(&naming->outputs, naming->n_products) != CT_OK)
        return ct_error_set(err, CT_MEMORY, "no memory for %d nodes", naming->n_products);
    for (int i = 0; i < naming->n_products; i++)
        ct_name_index_add(&naming->outputs, naming->products[i].output,
                          strlen(naming->products[i].output));
    const struct ct_name_entry *twice = ct_name_index_sort(&naming->outputs);
    return twice == NULL ? CT_OK
                         : ct_error_set(err, CT_FORMAT, "two nodes make %.64s", twice->text);
}

/* Anonymous matrices of products under each name that was found, all others as they are; what
 * looks anonymous ("onnx::Concat_9", but "cls_token" as well) also by its place. */
static enum ct_status add_weights(struct naming *naming, struct ct_error *err)
{
    struct ct_onnx *onnx = naming->onnx;
    enum ct_status status = CT_OK;
    for (int i = 0; i < naming->n_products && status == CT_OK; i++) {
        const struct product *product = &naming->products[i];
        if (product->name != NULL && !is_parameter(onnx->file.tensors[product->tensor].name))
            status = add_weight(onnx, product->tensor, product->name,
                                naming->uses[product->tensor].is_transposed, false, err);
    }
    for (int i = 0; i < onnx->file.names.n_entries && status == CT_OK; i++) {
        const char *name = onnx->file.tensors[i].name;
        const struct use *use = &naming->uses[i];
        if (is_parameter(name) || !use->is_product)
            status = add_weight(onnx, i, name, use->is_transposed, false, err);
        if (status == CT_OK && use->place != NULL)
            status = add_weight(onnx, i, use->place, false, true, err);
    }
    return status;
}

enum ct_status ct_onnx_find_names(struct ct_onnx *onnx, struct ct_wire graph, struct ct_error *err)
{
    const size_t n_tensors = (size_t)onnx->file.names.n_entries;
    struct naming naming = {.onnx = onnx};
    naming.uses = calloc(n_tensors + 1, sizeof *naming.uses);
    enum ct_status status = CT_OK;
    if (naming.uses == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for %zu names", n_tensors);
    if (status == CT_OK)
        status = for_nodes(&naming, graph, note_node, err);
    if (status == CT_OK)
        status = index_outputs(&naming, err);
    if (status == CT_OK)
        status = for_nodes(&naming, graph, note_sum, err);
    if (status == CT_OK)
        status = add_weights(&naming, err);
    ct_name_index_deinit(&naming.outputs);
    free(naming.uses);
    free(naming.products);
    return status;
}
