#include "server/reply_rows.h"

#include "engine/base/scores.h"
#include "server/reply.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_LABELS = 5 };

/* A document and how relevant it is. */
struct ranked {
    double score;
    int index;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return x->score > y->score ? -1 : x->score < y->score ? 1 : x->index - y->index;
}

/* ---- vectors ---- */

/* The first n values, of length 1 again where they are fewer than the model's. */
static void cut_vector(float *vector, int n)
{
    double square = 0;
    for (int i = 0; i < n; i++)
        square += (double)vector[i] * vector[i];
    for (int i = 0; i < n && square > 0; i++)
        vector[i] = (float)(vector[i] / sqrt(square));
}

static void write_vector(const float *vector, int n, bool is_base64, struct ct_buffer *out)
{
    if (is_base64) {
        ct_buffer_text(out, "\"");
        ct_buffer_base64(out, vector, (size_t)n * sizeof *vector);
        ct_buffer_text(out, "\"");
        return;
    }
    ct_buffer_text(out, "[");
    for (int i = 0; i < n; i++)
        ct_buffer_printf(out, i ? ",%.9g" : "%.9g", (double)vector[i]);
    ct_buffer_text(out, "]");
}

static void write_embedding(const struct ct_request *request, int i, struct ct_buffer *out)
{
    const int n_all = request->model->info->n_outputs;
    const int n = request->n_dimensions > 0 ? request->n_dimensions : n_all;
    if (n < n_all)
        cut_vector(request->sequences[i].row, n);
    ct_buffer_printf(out, "{\"object\":\"embedding\",\"index\":%d,\"embedding\":", i);
    write_vector(request->sequences[i].row, n, request->is_base64, out);
}

/* ---- labels ---- */

/* labels [n_labels]: scratch. */
static void write_classification(const struct ct_request *request, int i,
                                 struct ct_label_score *labels, struct ct_buffer *out)
{
    const struct ct_model *model = request->model;
    const int n_all = model->info->n_labels,
              n_asked = request->n_top > 0 ? request->n_top : DEFAULT_LABELS;
    ct_rank_labels(request->sequences[i].row, n_all, model->info->is_multi_label, labels);
    ct_buffer_printf(out, "{\"object\":\"classification\",\"index\":%d,\"labels\":[", i);
    for (int k = 0; k < n_asked && k < n_all; k++) {
        const char *label = ct_engine_label(model->engine, labels[k].label);
        ct_buffer_text(out, k ? ",{\"label\":" : "{\"label\":");
        ct_buffer_json(out, label, strlen(label));
        ct_buffer_printf(out, ",\"id\":%d,\"probability\":%.9g}", labels[k].label,
                         labels[k].probability);
    }
    ct_buffer_text(out, "]");
}

/* ---- documents ---- */

static void write_ranking(struct ct_request *request, struct ct_buffer *out)
{
    const bool is_by_vectors = ct_request_is_by_vectors(request);
    const int first = is_by_vectors ? 1 : 0, n = request->n_sequences - first;
    struct ranked *documents = ct_arena_alloc(&request->arena, (size_t)n * sizeof *documents);
    out->is_short |= documents == NULL;
    if (documents == NULL)
        return;
    for (int i = 0; i < n; i++) {
        const float *row = request->sequences[first + i].row;
        documents[i].index = i;
        documents[i].score = is_by_vectors ? ct_cosine(request->sequences[0].row, row,
                                                       request->model->info->n_outputs)
                                           : ct_sigmoid(row[0]);
    }
    qsort(documents, (size_t)n, sizeof *documents, by_score);
    for (int k = 0; k < n && (request->n_top == 0 || k < request->n_top); k++) {
        const int i = documents[k].index;
        ct_buffer_printf(out, "%s{\"index\":%d,\"relevance_score\":%.9g", k ? "," : "", i,
                         documents[k].score);
        if (request->has_documents) {
            ct_buffer_text(out, ",\"document\":{\"text\":");
            ct_buffer_json(out, request->documents[i], strlen(request->documents[i]));
            ct_buffer_text(out, "}");
        }
        ct_buffer_text(out,
                       request->prompts[first + i].is_truncated ? ",\"truncated\":true}" : "}");
    }
}

/* ---- all of it ---- */

static void write_items(struct ct_request *request, struct ct_buffer *out)
{
    const size_t n_labels = (size_t)request->model->info->n_labels;
    struct ct_label_score *labels = ct_arena_alloc(&request->arena, n_labels * sizeof *labels);
    out->is_short |= labels == NULL;
    for (int i = 0; i < request->n_sequences && labels != NULL; i++) {
        ct_buffer_text(out, i ? "," : "");
        if (request->kind == CT_REQUEST_EMBEDDING)
            write_embedding(request, i, out);
        else
            write_classification(request, i, labels, out);
        ct_buffer_text(out, request->prompts[i].is_truncated ? ",\"truncated\":true}" : "}");
    }
}

void ct_reply_write_rows(struct ct_request *request, struct ct_buffer *out)
{
    const bool is_ranking = request->kind == CT_REQUEST_RERANK;
    const struct ct_model *model = request->model;
    struct ct_ledger ledger;
    ct_request_ledger(request, &ledger);
    ct_buffer_printf(out, "{\"id\":\"%s\",\"object\":\"list\",\"model\":", request->id);
    ct_buffer_json(out, model->name, strlen(model->name));
    ct_buffer_text(out, is_ranking ? ",\"results\":[" : ",\"data\":[");
    if (is_ranking)
        write_ranking(request, out);
    else
        write_items(request, out);
    ct_buffer_printf(out, "],\"usage\":{\"prompt_tokens\":%lld,\"total_tokens\":%lld}",
                     (long long)ledger.n_prompt_tok, (long long)ledger.n_prompt_tok);
    ct_reply_write_cost(request, &ledger, out);
    ct_buffer_text(out, "}");
}
