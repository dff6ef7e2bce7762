/* safetensors: any bytes open or are refused. What opened is read to the last byte, and its first
 * tensors serve as the parts of a clustered matrix, which then must be readable to its last row. */
#include "engine/format/clustered.h"
#include "engine/format/ggml_blocks.h"
#include "engine/format/safetensors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void read_tensors(const struct ct_safetensors *file)
{
    for (int i = 0; i < ct_safetensors_n_tensors(file); i++) {
        const struct ct_tensor *tensor = ct_safetensors_tensor(file, i);
        int64_t n = ct_tensor_n_elements(tensor);
        float *values = malloc((size_t)(n > 0 ? n : 1) * sizeof *values);
        if (values == NULL || ct_safetensors_find(file, tensor->name) != tensor)
            abort();
        ct_row_to_f32(tensor->dtype, tensor->data, n, values);
        free(values);
    }
}

static void view_clustered(const struct ct_safetensors *file)
{
    const struct ct_tensor *index = ct_safetensors_find(file, "x.index");
    const struct ct_tensor *codebook = ct_safetensors_find(file, "x.codebook");
    struct ct_clustered w;
    struct ct_error err;
    if (index == NULL || codebook == NULL || index->n_dims != 3)
        return;
    int64_t n = index->shape[0] < 1000 ? index->shape[0] * 16 : 0;
    int64_t k = index->shape[1] < 1000 ? index->shape[1] * 4 - 1 : 0;
    for (int bits = 1; bits <= 9; bits++)
        for (int group = 32; group <= 128; group *= 2) {
            if (ct_clustered_view("x", n, k, bits, group, index, codebook,
                                  ct_safetensors_find(file, "x.scale"),
                                  ct_safetensors_find(file, "x.offset"), &w, &err) != CT_OK)
                continue;
            float *row = malloc((size_t)k * sizeof *row);
            if (row == NULL || ct_clustered_index_bytes(&w) != index->n_bytes)
                abort();
            ct_clustered_row_f32(&w, 0, row);
            ct_clustered_row_f32(&w, n - 1, row);
            free(row);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_safetensors *file = NULL;
    struct ct_error err;
    /* Tensors are aligned in a mapped file; here the data must be for the same offsets to be taken.
     */
    void *copy = NULL;
    if (posix_memalign(&copy, 64, n_bytes > 0 ? n_bytes : 1) != 0)
        return 0;
    memcpy(copy, data, n_bytes);
    if (ct_safetensors_open_memory(copy, n_bytes, &file, &err) == CT_OK) {
        read_tensors(file);
        view_clustered(file);
        ct_safetensors_close(file);
    }
    free(copy);
    return 0;
}
