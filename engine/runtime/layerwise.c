#include "engine/runtime/layerwise.h"

#include "engine/backend/cpu/cpu.h"
#include "engine/graph/family.h"
#include "engine/runtime/bind.h"

#include <stdlib.h>
#include <string.h>

struct ct_layerwise {
    const struct ct_model_file *file;
    struct ct_graph graph;
    struct ct_backend *backend;
    struct ct_matrix *matrices; /* [n_slots] */
    float **weights;            /* [n_slots]: vectors, and the next product's; others NULL */
    float **kept; /* [n_values]: [n_rows, width] of those that are live; others NULL */
    int next;     /* the product in front of which it stands; n_nodes: none */
    int window_tok, n_windows;
    int n_logits;     /* rows of a window that go on as though an answer came from each */
    int32_t *places;  /* [window_tok]: 0, 1, 2, ... */
    int32_t *lengths; /* [window_tok], all window_tok */
    uint16_t *kv;     /* keys and values of one window */
    uint16_t **pages;
    uint16_t *const **row_pages; /* [window_tok], all `pages` */
    const float **row_pixels;    /* [window_tok]: the window's image */
};

/* Rows that a value has in a window. */
static int window_rows(const struct ct_layerwise *run, int value)
{
    return run->graph.values[value].rows == CT_ROWS_LOGITS ? run->n_logits : run->window_tok;
}

static int64_t n_rows_of(const struct ct_layerwise *run, int value)
{
    return (int64_t)run->n_windows * window_rows(run, value);
}

static bool is_product(const struct ct_layerwise *run, int node)
{
    return run->graph.nodes[node].op == CT_OP_LINEAR;
}

/* The first product from `node` on. */
static int find_product(const struct ct_layerwise *run, int node)
{
    while (node < run->graph.n_nodes && !is_product(run, node))
        node++;
    return node;
}

/* ---- weights ---- */

static enum ct_status load_weight(struct ct_layerwise *run, int slot, struct ct_error *err)
{
    const struct ct_slot *s = &run->graph.slots[slot];
    const struct ct_weight *weight = ct_model_file_find(run->file, s->name);
    enum ct_status status = s->is_grid ? CT_OK : ct_binding_check(s, weight, err);
    if (status != CT_OK)
        return status;
    const int64_t n = s->n > 0 ? s->n : 1;
    float *rows = aligned_alloc(64, ((size_t)(n * s->k) * sizeof *rows + 63) & ~(size_t)63);
    if (rows == NULL)
        return ct_error_set(err, CT_MEMORY, "%s: no memory for its %lld values", s->name,
                            (long long)(n * s->k));
    run->weights[slot] = rows;
    if (s->is_grid)
        status = ct_binding_read_places(&run->graph.patches, s, weight, rows, err);
    for (int64_t i = 0; i < n && !s->is_grid; i++)
        ct_weight_row_f32(weight, i, rows + i * s->k);
    if (status != CT_OK)
        return status;
    ct_model_file_forget(run->file, weight);
    run->matrices[slot] = (struct ct_matrix){
        .kind = s->n > 0 ? CT_MATRIX_DENSE : CT_MATRIX_VECTOR,
        .n = s->n,
        .k = s->k,
        .vector = rows,
        .dense = rows,
        .dense_type = CT_DTYPE_F32,
    };
    return CT_OK;
}

/* Vectors, and the tables of places and distances: all but what products and the first node read. */
static enum ct_status load_small(struct ct_layerwise *run, struct ct_error *err)
{
    enum ct_status status = CT_OK;
    for (int i = 0; i < run->graph.n_slots && status == CT_OK; i++)
        if (run->graph.slots[i].n == 0)
            status = load_weight(run, i, err);
    for (int i = 0; i < run->graph.n_nodes; i++) {
        const struct ct_node *node = &run->graph.nodes[i];
        const bool has_tables = node->op == CT_OP_PLACE || node->op == CT_OP_ATTEND;
        for (int j = 0; has_tables && j < node->n_weights && status == CT_OK; j++)
            if (run->weights[node->weights[j]] == NULL)
                status = load_weight(run, node->weights[j], err);
    }
    return status;
}

/* The weights of the next product, unless it is the last. */
static enum ct_status load_product(struct ct_layerwise *run, struct ct_error *err)
{
    if (run->next + 1 >= run->graph.n_nodes)
        return CT_OK;
    const struct ct_node *node = &run->graph.nodes[run->next];
    enum ct_status status = CT_OK;
    for (int i = 0; i < node->n_weights && status == CT_OK; i++)
        status = load_weight(run, node->weights[i], err);
    return status;
}

static void drop_product(struct ct_layerwise *run, int product)
{
    const struct ct_node *node = &run->graph.nodes[product];
    for (int i = 0; i < node->n_weights; i++) {
        free(run->weights[node->weights[i]]);
        run->weights[node->weights[i]] = NULL;
    }
}

/* ---- values ---- */

/* Whether nodes before and from `node` on touch the value. */
static bool is_live(const struct ct_layerwise *run, int value, int node)
{
    bool is_before = false, is_after = false;
    for (int i = 0; i < run->graph.n_nodes; i++) {
        const struct ct_node *n = &run->graph.nodes[i];
        if (n->in == value || n->out == value)
            *(i < node ? &is_before : &is_after) = true;
    }
    return is_before && is_after;
}

static enum ct_status keep_live(struct ct_layerwise *run, int node, struct ct_error *err)
{
    for (int v = 0; v < run->graph.n_values; v++) {
        const int64_t width = run->graph.values[v].width;
        if (!is_live(run, v, node) || run->kept[v] != NULL)
            continue;
        run->kept[v] = malloc((size_t)(n_rows_of(run, v) * width) * sizeof(float));
        if (run->kept[v] == NULL)
            return ct_error_set(err, CT_MEMORY, "no memory to calibrate with %lld tokens",
                                (long long)n_rows_of(run, v));
    }
    return CT_OK;
}

static void drop_dead(struct ct_layerwise *run, int node)
{
    for (int v = 0; v < run->graph.n_values; v++) {
        if (is_live(run, v, node))
            continue;
        free(run->kept[v]);
        run->kept[v] = NULL;
    }
}

/* Moves a window's rows of the values that are live at `node` into their places, or back. */
static void move_live(struct ct_layerwise *run, int window, int node, bool is_back)
{
    for (int v = 0; v < run->graph.n_values; v++) {
        if (!is_live(run, v, node))
            continue;
        int64_t ld, width = run->graph.values[v].width;
        const int n_rows = window_rows(run, v);
        float *place = run->backend->ops->value(run->backend, v, &ld);
        float *kept = run->kept[v] + (int64_t)window * n_rows * width;
        for (int t = 0; t < n_rows; t++)
            memcpy(is_back ? kept + t * width : place + t * ld,
                   is_back ? place + t * ld : kept + t * width, (size_t)width * sizeof(float));
    }
}

/* ---- running ---- */

/* Runs nodes [begin, end) over the whole text, or the images that PATCH at the beginning reads. */
static enum ct_status run_nodes(struct ct_layerwise *run, const float *images, int begin, int end,
                                struct ct_error *err)
{
    const struct ct_patches *p = &run->graph.patches;
    const int64_t n_pixels = (int64_t)p->n_channels * p->height * p->width;
    const struct ct_batch batch = {
        .n_rows = run->window_tok,
        .pixels = run->row_pixels,
        .positions = run->places,
        .lengths = run->lengths,
        .pages = run->row_pages,
        .n_logits = run->n_logits,
        .logit_rows = run->places,
    };
    enum ct_status status = keep_live(run, end, err);
    for (int w = 0; w < run->n_windows && status == CT_OK; w++) {
        for (int t = 0; t < run->window_tok && images != NULL; t++)
            run->row_pixels[t] = images + w * n_pixels;
        move_live(run, w, begin, false);
        run->backend->ops->run(run->backend, &batch, begin, end);
        move_live(run, w, end, true);
    }
    drop_dead(run, end);
    return status;
}

int ct_layerwise_place(const struct ct_layerwise *run, const char *name)
{
    for (int i = 0; i < run->graph.n_nodes; i++)
        for (int j = 0; is_product(run, i) && j < run->graph.nodes[i].n_weights; j++)
            if (strcmp(run->graph.slots[run->graph.nodes[i].weights[j]].name, name) == 0)
                return i;
    return -1;
}

enum ct_status ct_layerwise_seek(struct ct_layerwise *run, int place, struct ct_error *err)
{
    if (place < run->next || place >= run->graph.n_nodes || !is_product(run, place))
        return ct_error_set(err, CT_INTERNAL, "node %d is not ahead of node %d", place, run->next);
    enum ct_status status = CT_OK;
    while (run->next < place && status == CT_OK) {
        const int product = run->next;
        run->next = find_product(run, product + 1);
        status = run_nodes(run, NULL, product, run->next, err);
        drop_product(run, product);
        if (status == CT_OK)
            status = load_product(run, err);
    }
    return status;
}

const float *ct_layerwise_input(const struct ct_layerwise *run, int64_t *n_rows)
{
    const int in = run->graph.nodes[run->next].in;
    *n_rows = n_rows_of(run, in);
    return run->kept[in];
}

float *ct_layerwise_weight(struct ct_layerwise *run, const char *name)
{
    const struct ct_node *node = &run->graph.nodes[run->next];
    for (int i = 0; i < node->n_weights; i++)
        if (strcmp(run->graph.slots[node->weights[i]].name, name) == 0)
            return run->weights[node->weights[i]];
    return NULL;
}

/* ---- opening ---- */

/* EMBED's output, from the table where it lies. */
static enum ct_status embed(struct ct_layerwise *run, const int32_t *tokens, struct ct_error *err)
{
    const struct ct_node *node = &run->graph.nodes[0];
    const struct ct_slot *slot = &run->graph.slots[node->weights[0]];
    const struct ct_weight *table = ct_model_file_find(run->file, slot->name);
    enum ct_status status = ct_binding_check(slot, table, err);
    if (status == CT_OK)
        status = keep_live(run, 1, err);
    for (int64_t t = 0; t < n_rows_of(run, node->out) && status == CT_OK; t++)
        ct_weight_row_f32(table, tokens[t], run->kept[node->out] + t * slot->k);
    if (status == CT_OK)
        ct_model_file_forget(run->file, table);
    return status;
}

/* Runs up to the first product. */
static enum ct_status start(struct ct_layerwise *run, const struct ct_layerwise_text *text,
                            struct ct_error *err)
{
    const bool is_image = run->graph.nodes[0].op == CT_OP_PATCH;
    enum ct_status status = is_image ? CT_OK : embed(run, text->tokens, err);
    run->next = find_product(run, 1);
    if (status == CT_OK)
        status = run_nodes(run, text->images, is_image ? 0 : 1, run->next, err);
    return status == CT_OK ? load_product(run, err) : status;
}

static enum ct_status open_graph(struct ct_layerwise *run, struct ct_pool *pool,
                                 struct ct_error *err)
{
    const struct ct_hparams *hparams = ct_model_file_hparams(run->file);
    const struct ct_family *family = ct_family_find(hparams->family);
    if (family == NULL)
        return ct_error_set(err, CT_UNSUPPORTED, "model_type %s: no such family here",
                            hparams->family);
    enum ct_status status = family->build(hparams, &run->graph, err);
    if (status != CT_OK)
        return status;
    struct ct_graph *g = &run->graph;
    int last_row = 0; /* that an answer comes from: as far from each row of a window */
    for (int i = 0; i < g->n_nodes; i++)
        last_row = g->nodes[i].row > last_row ? g->nodes[i].row : last_row;
    run->n_logits = run->window_tok - last_row;
    const int n_pages = (run->window_tok + CT_PAGE_TOK - 1) / CT_PAGE_TOK;
    run->matrices = calloc((size_t)g->n_slots + 1, sizeof *run->matrices);
    run->weights = calloc((size_t)g->n_slots + 1, sizeof *run->weights);
    run->kept = calloc((size_t)g->n_values + 1, sizeof *run->kept);
    run->places = malloc((size_t)run->window_tok * sizeof *run->places);
    run->lengths = malloc((size_t)run->window_tok * sizeof *run->lengths);
    run->row_pages = malloc((size_t)run->window_tok * sizeof *run->row_pages);
    run->row_pixels = malloc((size_t)run->window_tok * sizeof *run->row_pixels);
    run->kv = calloc((size_t)n_pages * ct_page_elements(g, false), sizeof *run->kv);
    run->pages = malloc((size_t)n_pages * sizeof *run->pages);
    if (run->matrices == NULL || run->weights == NULL || run->kept == NULL || run->places == NULL ||
        run->lengths == NULL || run->row_pages == NULL || run->row_pixels == NULL ||
        run->kv == NULL || run->pages == NULL ||
        ct_graph_plan(g, run->window_tok, run->window_tok) != CT_OK)
        return ct_error_set(err, CT_MEMORY, "no memory to calibrate");
    for (int p = 0; p < n_pages; p++)
        run->pages[p] = run->kv + (size_t)p * ct_page_elements(g, false);
    for (int t = 0; t < run->window_tok; t++) {
        run->places[t] = t;
        run->lengths[t] = run->window_tok;
        run->row_pages[t] = run->pages;
    }
    const struct ct_cpu_options options = {.pool = pool,
                                           .max_tokens = run->window_tok,
                                           .max_logits = run->window_tok,
                                           .context_tok = run->window_tok,
                                           .is_float = true};
    return ct_cpu_open(g, run->matrices, &options, &run->backend, err);
}

enum ct_status ct_layerwise_open(const struct ct_model_file *file,
                                 const struct ct_layerwise_text *text, struct ct_pool *pool,
                                 struct ct_layerwise **out, struct ct_error *err)
{
    *out = NULL;
    if (ct_model_file_hparams(file)->clustered.bits > 0)
        return ct_error_set(err, CT_UNSUPPORTED, "%s is clustered already",
                            ct_model_file_path(file));
    struct ct_layerwise *run = calloc(1, sizeof *run);
    if (run == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory to calibrate");
    run->file = file;
    run->window_tok = ct_model_file_hparams(file)->context_tok;
    run->n_windows = text->n_images;
    if (text->images == NULL) {
        if (text->window_tok < run->window_tok)
            run->window_tok = text->window_tok;
        if (text->n_tokens < run->window_tok)
            run->window_tok = (int)text->n_tokens;
        run->n_windows = (int)(text->n_tokens / run->window_tok);
    }
    ct_graph_init(&run->graph);
    enum ct_status status = open_graph(run, pool, err);
    if (status == CT_OK)
        status = load_small(run, err);
    if (status == CT_OK)
        status = start(run, text, err);
    if (status != CT_OK) {
        ct_layerwise_close(run);
        return status;
    }
    *out = run;
    return CT_OK;
}

void ct_layerwise_close(struct ct_layerwise *run)
{
    if (run == NULL)
        return;
    if (run->backend != NULL)
        run->backend->ops->close(run->backend);
    for (int i = 0; i < run->graph.n_slots && run->weights != NULL; i++)
        free(run->weights[i]);
    for (int v = 0; v < run->graph.n_values && run->kept != NULL; v++)
        free(run->kept[v]);
    free(run->weights);
    free(run->kept);
    free(run->matrices);
    free(run->places);
    free(run->lengths);
    free(run->kv);
    free(run->pages);
    free(run->row_pages);
    free(run->row_pixels);
    ct_graph_deinit(&run->graph);
    free(run);
}
