/* GGUF: any bytes open or are refused. What opened is read to the last element: names, metadata as
 * every type, arrays, rows as floats, hyperparameters. */
#include "engine/format/ggml_blocks.h"
#include "engine/format/gguf.h"
#include "engine/format/hf_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void read_metadata(const struct ct_gguf *gguf)
{
    static const char *const keys[] = {
        "general.architecture", "general.alignment", "texts", "numbers", "nested",
        "tokenizer.ggml.tokens"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        int64_t integer;
        double number;
        bool flag;
        struct ct_gguf_text text;
        struct ct_gguf_array_cursor cursor;
        (void)!ct_gguf_int(gguf, keys[i], &integer);
        (void)!ct_gguf_float(gguf, keys[i], &number);
        (void)!ct_gguf_bool(gguf, keys[i], &flag);
        volatile char last = 0;
        if (ct_gguf_text(gguf, keys[i], &text) == CT_OK && text.n_bytes > 0)
            last = text.data[text.n_bytes - 1];
        if (ct_gguf_array_begin(gguf, keys[i], &cursor) != CT_OK)
            continue;
        while (ct_gguf_array_next_text(&cursor, &text))
            last = text.n_bytes > 0 ? text.data[text.n_bytes - 1] : 0;
        while (ct_gguf_array_next_int(&cursor, &integer) ||
               ct_gguf_array_next_float(&cursor, &number))
            continue;
        (void)last;
    }
}

static void read_tensors(const struct ct_gguf *gguf)
{
    for (int i = 0; i < ct_gguf_n_tensors(gguf); i++) {
        const struct ct_tensor *tensor = ct_gguf_tensor(gguf, i);
        int64_t k = tensor->shape[tensor->n_dims - 1];
        int64_t n_rows = ct_tensor_n_elements(tensor) / k;
        const unsigned char *last = (const unsigned char *)tensor->data + tensor->n_bytes -
                                    ct_row_n_bytes(tensor->dtype, k);
        float *row = malloc((size_t)k * sizeof *row);
        if (row == NULL || n_rows < 1 || ct_gguf_find(gguf, tensor->name) != tensor)
            abort();
        ct_row_to_f32(tensor->dtype, tensor->data, k, row);
        ct_row_to_f32(tensor->dtype, last, k, row);
        free(row);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_gguf *gguf = NULL;
    struct ct_error err;
    struct ct_hparams hparams;
    if (ct_gguf_open_memory(data, n_bytes, &gguf, &err) != CT_OK)
        return 0;
    read_metadata(gguf);
    read_tensors(gguf);
    (void)!ct_hf_config_from_gguf(gguf, &hparams, &err);
    ct_gguf_close(gguf);
    return 0;
}
