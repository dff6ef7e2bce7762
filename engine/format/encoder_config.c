#include "engine/format/encoder_config.h"

#include "engine/base/config_json.h"

#include <string.h>

enum { MAX_TYPES = 64, N_BUCKETS = 32 };

/* Where config.json leaves it out, transformers' BertConfig has two types; the others tell none
 * apart. MPNet's places begin behind those of padding. */
static const struct type {
    const char *model_type;
    int n_types;
    int first_place;
} types[] = {{"bert", 2, 0}, {"distilbert", 0, 0}, {"mpnet", 0, 2}};

static const struct type *find_type(const char *model_type)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].model_type, model_type) == 0)
            return &types[i];
    return NULL;
}

bool ct_encoder_is(const char *model_type)
{
    return find_type(model_type) != NULL;
}

const char *ct_encoder_key(const char *model_type, const char *key)
{
    static const char *const distilbert[][2] = {
        {"num_hidden_layers", "n_layers"},  {"hidden_size", "dim"},
        {"num_attention_heads", "n_heads"}, {"intermediate_size", "hidden_dim"},
        {"hidden_act", "activation"},
    };
    for (size_t i = 0; i < sizeof distilbert / sizeof distilbert[0]; i++)
        if (strcmp(model_type, "distilbert") == 0 && strcmp(key, distilbert[i][0]) == 0)
            return distilbert[i][1];
    return key;
}

enum ct_status ct_encoder_config_read(const json_t *config, struct ct_hparams *h,
                                      struct ct_error *err)
{
    const struct type *type = find_type(h->family);
    enum ct_status status = CT_OK;
    int n_buckets = N_BUCKETS;
    h->norm_eps = 1e-12;
    h->n_types = type->n_types;
    h->first_place = type->first_place;
    h->context_tok -= type->first_place;
    if (type->n_types > 0)
        status = ct_config_int(config, "type_vocab_size", true, &h->n_types, err);
    if (status == CT_OK && type->n_types > 0 && (h->n_types < 1 || h->n_types > MAX_TYPES))
        return ct_error_set(err, CT_FORMAT, "type_vocab_size is %d, expected 1..%d", h->n_types,
                            MAX_TYPES);
    if (status == CT_OK && strcmp(h->family, "mpnet") == 0)
        status = ct_config_int(config, "relative_attention_num_buckets", true, &n_buckets, err);
    if (status == CT_OK && n_buckets != N_BUCKETS)
        status =
            ct_error_set(err, CT_UNSUPPORTED, "relative_attention_num_buckets is %d, expected %d",
                         n_buckets, N_BUCKETS);
    return status;
}
