/* config.json: any text is read or refused, its labels too; what was read of a decoder, written and read
 * again is the same. */
#include "engine/base/json_read.h"
#include "engine/format/hf_config.h"
#include "engine/format/labels.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void read_labels(const char *text, size_t n_bytes, const struct ct_hparams *h)
{
    json_t *config = NULL;
    const char **labels;
    struct ct_arena arena;
    struct ct_error err;
    ct_arena_init(&arena);
    if (ct_json_read(text, n_bytes, &config, &err) != CT_OK)
        abort();
    if (ct_labels_read(config, h, &arena, &labels, &err) == CT_OK)
        for (int i = 0; i < h->n_labels; i++)
            if (strlen(labels[i]) > n_bytes + sizeof "LABEL_1048576")
                abort();
    ct_arena_deinit(&arena);
    json_decref(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_hparams h, again;
    struct ct_error err;
    if (ct_hf_config_parse((const char *)data, n_bytes, &h, &err) != CT_OK)
        return 0;
    read_labels((const char *)data, n_bytes, &h);
    if (h.is_encoder) /* these come from directories, whose config.json stays as it is */
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
