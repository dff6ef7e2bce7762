/* centroid inspect: what is in a model: tensors, types, sizes, bits a weight, codebooks. */
#include "cli/cli.h"

#include "engine/base/json_text.h"
#include "engine/format/model_file.h"
#include "engine/graph/family.h"

#include <inttypes.h>
#include <jansson.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ct_cli_usage usage = {
    .line = "inspect MODEL [OPTION...]",
    .text = "Lists a model's tensors with types, sizes and bits a weight. MODEL is a GGUF file or\n"
            "a Hugging Face directory, clustered or not. A codebook is drawn as the density of\n"
            "its centroids from the lowest value to the highest.",
    .min_positional = 1,
    .missing = "MODEL",
};

/* One matrix, vector or codebook. */
struct entry {
    const char *name;
    const struct ct_tensor *tensor; /* NULL: clustered */
    struct ct_clustered clustered;
    bool has_own_codebook;
    int64_t n_weights; /* 0 for a shared codebook */
    size_t n_bytes;
};

struct listing {
    const struct ct_model_file *model;
    struct entry *entries;
    int n;
    int64_t n_weights;
    size_t n_bytes;
};

/* ---- listing ---- */

/* Whether a tensor is a part of a clustered matrix ("X.weight.index" of "X.weight"). */
static bool is_part(const struct ct_model_file *model, const char *name)
{
    struct ct_clustered clustered;
    const char *dot = strrchr(name, '.');
    char base[256];
    if (dot == NULL || (size_t)(dot - name) >= sizeof base)
        return false;
    snprintf(base, sizeof base, "%.*s", (int)(dot - name), name);
    return ct_model_file_clustered(model, base, &clustered, NULL) == CT_OK;
}

static void add_clustered(struct listing *listing, const char *name)
{
    struct entry *e = &listing->entries[listing->n];
    char codebook[300];
    *e = (struct entry){.name = name};
    if (ct_model_file_clustered(listing->model, name, &e->clustered, NULL) != CT_OK)
        return;
    snprintf(codebook, sizeof codebook, "%s.codebook", name);
    const struct ct_weight *own = ct_model_file_find(listing->model, codebook);
    size_t scales = (e->clustered.scale != NULL) + (size_t)(e->clustered.offset != NULL);
    e->has_own_codebook = own != NULL;
    e->n_weights = e->clustered.n * e->clustered.k;
    e->n_bytes = ct_clustered_index_bytes(&e->clustered) +
                 scales * ct_clustered_scale_bytes(&e->clustered) +
                 (own != NULL ? own->tensor.n_bytes : 0);
    listing->n++;
}

static void add_plain(struct listing *listing, const struct ct_tensor *tensor)
{
    bool is_codebook = strcmp(tensor->name, "centroid.codebook") == 0;
    listing->entries[listing->n++] =
        (struct entry){.name = tensor->name,
                       .tensor = tensor,
                       .n_weights = is_codebook ? 0 : ct_tensor_n_elements(tensor),
                       .n_bytes = tensor->n_bytes};
}

static int compare_entries(const void *a, const void *b)
{
    return strverscmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static enum ct_status list(const struct ct_model_file *model, struct listing *listing,
                           struct ct_error *err)
{
    int n_clustered = ct_model_file_n_clustered(model), n_weights = ct_model_file_n_weights(model);
    *listing = (struct listing){.model = model};
    listing->entries = calloc((size_t)(n_clustered + n_weights) + 1, sizeof *listing->entries);
    if (listing->entries == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %d tensors", n_weights);
    for (int i = 0; i < n_clustered; i++)
        add_clustered(listing, ct_model_file_clustered_name(model, i));
    for (int i = 0; i < n_weights; i++) {
        const struct ct_tensor *tensor = &ct_model_file_weight(model, i)->tensor;
        if (!is_part(model, tensor->name))
            add_plain(listing, tensor);
    }
    qsort(listing->entries, (size_t)listing->n, sizeof *listing->entries, compare_entries);
    for (int i = 0; i < listing->n; i++) {
        listing->n_weights += listing->entries[i].n_weights;
        listing->n_bytes += listing->entries[i].n_bytes;
    }
    return CT_OK;
}

static double bits_a_weight(size_t n_bytes, int64_t n_weights)
{
    return n_weights > 0 ? 8.0 * (double)n_bytes / (double)n_weights : 0;
}

/* ---- text ---- */

enum { MAX_CELLS = 24, N_LEVELS = 9 };

static bool has_utf8(void)
{
    return setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static double centroid(const struct ct_clustered *w, int64_t i)
{
    return w->codebook_i8 != NULL ? (double)w->codebook_i8[i] : (double)w->codebook_f32[i];
}

/* How many centroids lie in each part of the range, over all rows' codebooks, as a line of blocks.
 */
static void print_codebook(const struct ct_clustered *w, bool is_utf8)
{
    static const char *const blocks[N_LEVELS] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const ascii[N_LEVELS] = {" ", ".", ":", "-", "=", "+", "*", "#", "@"};
    int64_t n = (w->n_codebooks == 1 ? 1 : w->n) << w->bits, counts[MAX_CELLS] = {0}, most = 1;
    int n_cells = 1 << w->bits >> 2; /* about four centroids in each */
    n_cells = n_cells < 8 ? 8 : n_cells > MAX_CELLS ? MAX_CELLS : n_cells;
    double low = centroid(w, 0), high = low;
    for (int64_t i = 0; i < n; i++) {
        double c = centroid(w, i);
        low = c < low ? c : low;
        high = c > high ? c : high;
    }
    for (int64_t i = 0; i < n && high > low; i++) {
        int cell = (int)((centroid(w, i) - low) / (high - low) * n_cells);
        counts[cell < n_cells ? cell : n_cells - 1]++;
    }
    for (int i = 0; i < n_cells; i++)
        most = counts[i] > most ? counts[i] : most;
    printf("  %8.4g ", low);
    for (int i = 0; i < n_cells; i++) {
        int level = (int)((counts[i] * (N_LEVELS - 1) + most - 1) / most);
        fputs((is_utf8 ? blocks : ascii)[level], stdout);
    }
    printf(" %.4g", high);
}

static void describe(const struct entry *e, char *type, size_t type_size, char *shape,
                     size_t shape_size)
{
    const struct ct_clustered *w = &e->clustered;
    if (e->tensor == NULL) {
        snprintf(shape, shape_size, "%" PRId64 " x %" PRId64, w->n, w->k);
        snprintf(type, type_size, "%d bits, %s%s", w->bits,
                 w->codebook_i8 != NULL ? "int8" : "float", w->offset != NULL ? ", offset" : "");
        return;
    }
    snprintf(type, type_size, "%s", ct_dtype_name(e->tensor->dtype));
    size_t n = 0;
    shape[0] = '\0';
    for (int d = 0; d < e->tensor->n_dims && n < shape_size; d++)
        n += (size_t)snprintf(shape + n, shape_size - n, "%s%" PRId64, d > 0 ? " x " : "",
                              e->tensor->shape[d]);
}

static void print_entry(const struct entry *e, bool is_utf8)
{
    char type[48], shape[96], group[24] = "";
    describe(e, type, sizeof type, shape, sizeof shape);
    if (e->tensor == NULL && e->clustered.scale != NULL)
        snprintf(group, sizeof group, "%s%d", e->clustered.group >= e->clustered.k ? "row " : "",
                 e->clustered.group);
    printf("%-48s %-16s %-22s %-9s %9.3f %7.3f", e->name, shape, type, group,
           (double)e->n_bytes * 1e-6, bits_a_weight(e->n_bytes, e->n_weights));
    if (e->tensor == NULL)
        print_codebook(&e->clustered, is_utf8);
    putchar('\n');
}

static void print_listing(const struct listing *listing)
{
    const struct ct_hparams *h = ct_model_file_hparams(listing->model);
    bool is_utf8 = has_utf8();
    printf("%s%s%s: %d layers, d_model %d, %d heads (%d for keys), head_dim %d, d_ff %d, "
           "vocabulary %d, context %d%s\n\n",
           h->family, h->name[0] != '\0' ? ", " : "", h->name, h->n_layers, h->d_model, h->n_heads,
           h->n_kv_heads, h->head_dim, h->d_ff, h->n_vocab, h->context_tok,
           h->has_tied_embeddings ? ", tied embeddings" : "");
    printf("%-48s %-16s %-22s %-9s %9s %7s  %s\n", "tensor", "shape", "type", "scale", "MB", "bits",
           ct_model_file_n_clustered(listing->model) > 0 ? "codebook" : "");
    for (int i = 0; i < listing->n; i++)
        print_entry(&listing->entries[i], is_utf8);
    printf("\n%d tensors, %.3f M weights, %.2f MB, %.3f bits a weight\n", listing->n,
           (double)listing->n_weights * 1e-6, (double)listing->n_bytes * 1e-6,
           bits_a_weight(listing->n_bytes, listing->n_weights));
}

/* ---- JSON ---- */

/* The codebook of a tensor, or NULL where each row has its own. */
static json_t *codebook_json(const struct ct_clustered *w)
{
    if (w->n_codebooks > 1)
        return json_null();
    json_t *array = json_array();
    int failed = array == NULL;
    for (int64_t i = 0; i < (int64_t)1 << w->bits && !failed; i++)
        failed =
            json_array_append_new(array, w->codebook_i8 != NULL ? json_integer(w->codebook_i8[i])
                                                                : json_real(centroid(w, i)));
    return array;
}

static json_t *entry_json(const struct entry *e)
{
    const struct ct_clustered *w = &e->clustered;
    json_t *shape = json_array(), *json;
    int failed = shape == NULL;
    if (e->tensor == NULL) {
        failed |= json_array_append_new(shape, json_integer(w->n));
        failed |= json_array_append_new(shape, json_integer(w->k));
        json = json_pack("{s:s, s:s, s:i, s:i, s:s, s:b, s:b, s:o}", "name", e->name, "type",
                         "clustered", "index_bits", w->bits, "group", w->group, "centroids",
                         w->codebook_i8 != NULL ? "int8" : "float", "scale", w->scale != NULL,
                         "offset", w->offset != NULL, "codebook", codebook_json(w));
    } else {
        for (int d = 0; d < e->tensor->n_dims; d++)
            failed |= json_array_append_new(shape, json_integer(e->tensor->shape[d]));
        json = json_pack("{s:s, s:s}", "name", e->name, "type", ct_dtype_name(e->tensor->dtype));
    }
    failed |= json_object_set_new(json, "shape", shape);
    failed |= json_object_set_new(json, "bytes", json_integer((json_int_t)e->n_bytes));
    failed |= json_object_set_new(json, "bits_per_weight",
                                  json_real(bits_a_weight(e->n_bytes, e->n_weights)));
    if (!failed)
        return json;
    json_decref(json);
    return NULL;
}

static enum ct_status print_json(const struct listing *listing, struct ct_error *err)
{
    const struct ct_hparams *h = ct_model_file_hparams(listing->model);
    json_t *tensors = json_array();
    int failed = tensors == NULL;
    for (int i = 0; i < listing->n && !failed; i++)
        failed = json_array_append_new(tensors, entry_json(&listing->entries[i]));
    json_t *json = json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:I, s:I, s:f, s:o}", "family",
        h->family, "name", h->name, "layers", h->n_layers, "d_model", h->d_model, "heads",
        h->n_heads, "kv_heads", h->n_kv_heads, "head_dim", h->head_dim, "d_ff", h->d_ff,
        "vocabulary", h->n_vocab, "context", h->context_tok, "tied_embeddings",
        (int)h->has_tied_embeddings, "weights", (json_int_t)listing->n_weights, "bytes",
        (json_int_t)listing->n_bytes, "bits_per_weight",
        bits_a_weight(listing->n_bytes, listing->n_weights), "tensors", tensors);
    return ct_cli_print_json(json, !failed, JSON_INDENT(2) | JSON_REAL_PRECISION(9),
                             "the listing, or a name is not UTF-8", err);
}

/* ---- the command ---- */

int ct_cli_inspect(int argc, char **argv)
{
    bool has_json = false, wants_help = false;
    const struct ct_option options[] = {
        {"json", NULL, "Print JSON.", CT_OPTION_FLAG, &has_json, 0, 0, NULL},
        {"help", NULL, "Print this.", CT_OPTION_FLAG, &wants_help, 0, 0, NULL},
        {0},
    };
    const char *path;
    int n_paths, exit_code;
    struct ct_error err = {0};
    struct ct_model_file *model = NULL;
    struct listing listing = {0};
    if (!ct_cli_parse(&usage, options, argc, argv, &wants_help, &path, 1, &n_paths, &exit_code))
        return exit_code;
    enum ct_status status = ct_model_file_open(path, ct_family_foreign_names(), &model, &err);
    if (status == CT_OK)
        status = list(model, &listing, &err);
    if (status == CT_OK && has_json)
        status = print_json(&listing, &err);
    else if (status == CT_OK)
        print_listing(&listing);
    free(listing.entries);
    ct_model_file_close(model);
    return status == CT_OK ? CT_EXIT_OK : ct_cli_fail(argv[0], &err);
}
