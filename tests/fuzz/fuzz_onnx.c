/* ONNX files: any bytes open or are refused, and what opened is read to its last byte. */
#include "engine/format/ggml_blocks.h"
#include "engine/format/onnx.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_onnx *onnx = NULL;
    struct ct_error err;
    if (ct_onnx_open_memory(data, n_bytes, &onnx, &err) != CT_OK)
        return 0;
    for (int i = 0; i < ct_onnx_n_weights(onnx); i++) {
        const struct ct_onnx_weight *weight = ct_onnx_weight(onnx, i);
        int64_t n = ct_tensor_n_elements(&weight->tensor);
        float *values = malloc((size_t)(n > 0 ? n : 1) * sizeof *values);
        if (values == NULL || (weight->is_transposed && weight->tensor.n_dims != 2))
            abort();
        ct_row_to_f32(weight->tensor.dtype, weight->tensor.data, n, values);
        free(values);
    }
    ct_onnx_close(onnx);
    return 0;
}
