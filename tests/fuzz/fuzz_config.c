/* config.json: any text is read or refused; what was read, written and read again is the same. */
#include "engine/format/hf_config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_hparams h, again;
    struct ct_error err;
    if (ct_hf_config_parse((const char *)data, n_bytes, &h, &err) != CT_OK)
        return 0;
    char *text = ct_hf_config_format(&h, NULL);
    if (text == NULL || ct_hf_config_parse(text, strlen(text), &again, &err) != CT_OK)
        abort();
    if (again.n_layers != h.n_layers || again.head_dim != h.head_dim || again.n_eos != h.n_eos ||
        again.rope_theta != h.rope_theta || again.norm_eps != h.norm_eps ||
        strcmp(again.name, h.name) != 0)
        abort();
    free(text);
    return 0;
}
