#include "engine/format/json_file.h"

#include "engine/format/mapping.h"

enum ct_status ct_json_file_read(const char *dir, const char *name, ct_json_read_fn *read,
                                 json_t **out, struct ct_error *err)
{
    struct ct_mapping file;
    *out = NULL;
    enum ct_status status = ct_mapping_init_in(&file, dir, name, err);
    if (status != CT_OK)
        return status;
    status = read((const char *)file.data, file.n_bytes, out, err);
    ct_mapping_deinit(&file);
    return status == CT_OK ? CT_OK : ct_error_prefix(err, "%s/%s", dir, name);
}
