/* activation_scales.json: any bytes are read or refused; of what was read, every number is one to
 * calculate with. */
#include "engine/runtime/scales.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_scales scales = {NULL};
    struct ct_error err;
    const char *name;
    json_t *peaks;
    if (ct_scales_read((const char *)data, n_bytes, &scales.root, &err) != CT_OK)
        return 0;
    json_object_foreach(json_object_get(scales.root, "weights"), name, peaks)
    {
        float peak;
        if (ct_scales_find(&scales, name, "input", &peak, &err) == CT_OK &&
            !(peak > 0 && peak <= 1e30F))
            abort();
    }
    ct_scales_deinit(&scales);
    return 0;
}
