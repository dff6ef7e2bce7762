/* Configurations of the simulated Gemmini: any bytes are read or refused. What was read is within
 * its limits, and is printed and read again as the same. */
#include "engine/backend/gemmini/gem_config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_gem_config config, back;
    struct ct_error err;
    char *text = NULL;
    size_t n_text = 0;
    if (ct_gem_config_preset("ibert", &config, &err) != CT_OK)
        abort();
    back = config;
    if (ct_gem_config_parse("data", (const char *)data, n_bytes, &config, &err) != CT_OK)
        return 0;
    FILE *file = open_memstream(&text, &n_text);
    if (file == NULL)
        abort();
    ct_gem_config_print(&config, file);
    fclose(file);
    if (ct_gem_config_parse("printed", text, n_text, &back, &err) != CT_OK)
        abort();
    free(text);
    return 0;
}
