/* Memory planning: liveness of values -> offsets in one arena.
 *
 * A value lives from the node that writes it first to the node after the one that reads it last: a
 * backend may let a worker start the next node while another still ends this one. Values are placed
 * in order of size, largest first, each at the lowest offset where it meets no placed value that
 * lives at the same time. (Survey, section on scheduling: buffers shared along the operator order.)
 */
#include "engine/graph/graph.h"

#include <stdlib.h>

struct life {
    int value;
    int first, last; /* nodes */
    int64_t n_floats;
    int64_t offset; /* -1: not placed */
};

static void find_lives(const struct ct_graph *graph, struct life *lives, int64_t max_tokens,
                       int64_t max_logits)
{
    for (int v = 0; v < graph->n_values; v++) {
        const struct ct_value *value = &graph->values[v];
        int64_t rows = value->rows == CT_ROWS_TOKENS ? max_tokens : max_logits;
        lives[v] = (struct life){v, graph->n_nodes, -1, rows * value->ld, -1};
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        const int touched[2] = {graph->nodes[i].in, graph->nodes[i].out};
        for (int j = 0; j < 2; j++) {
            if (touched[j] < 0)
                continue;
            struct life *life = &lives[touched[j]];
            life->first = i < life->first ? i : life->first;
            life->last = i + 1;
        }
    }
    /* The last node's output is read after the step. */
    if (graph->n_nodes > 0)
        lives[graph->nodes[graph->n_nodes - 1].out].last = graph->n_nodes + 1;
}

static int by_size(const void *a, const void *b)
{
    const struct life *x = a, *y = b;
    if (x->n_floats != y->n_floats)
        return x->n_floats < y->n_floats ? 1 : -1;
    return x->value - y->value;
}

/* The lowest offset where the life meets none of the n placed ones. */
static int64_t lowest_offset(const struct life *lives, int n, const struct life *life)
{
    int64_t offset = 0;
    for (int i = 0; i < n; i++) {
        const struct life *other = &lives[i];
        bool is_apart_in_time = other->last < life->first || life->last < other->first;
        bool is_apart_in_space =
            other->offset + other->n_floats <= offset || offset + life->n_floats <= other->offset;
        if (!is_apart_in_time && !is_apart_in_space) {
            offset = other->offset + other->n_floats;
            i = -1; /* look at all again from the new place */
        }
    }
    return offset;
}

enum ct_status ct_graph_plan(struct ct_graph *graph, int64_t max_tokens, int64_t max_logits)
{
    for (int v = 0; v < graph->n_values; v++) {
        /* Rows a multiple of 4 kB apart would fall on each other in the first cache. */
        const int64_t ld = (graph->values[v].width + 63) & ~(int64_t)63;
        graph->values[v].ld = ld % 1024 == 0 ? ld + 64 : ld;
    }
    struct life *lives = calloc((size_t)graph->n_values + 1, sizeof *lives);
    if (lives == NULL)
        return CT_MEMORY;
    find_lives(graph, lives, max_tokens, max_logits);
    qsort(lives, (size_t)graph->n_values, sizeof *lives, by_size);
    graph->arena_floats = 0;
    for (int i = 0; i < graph->n_values; i++) {
        lives[i].offset = lowest_offset(lives, i, &lives[i]);
        graph->values[lives[i].value].offset = (size_t)lives[i].offset;
        int64_t end = lives[i].offset + lives[i].n_floats;
        graph->arena_floats = end > graph->arena_floats ? end : graph->arena_floats;
    }
    free(lives);
    return CT_OK;
}
