/* Configurations of the simulated Gemmini: any bytes are read or refused. What was read is within
 * its limits, and is printed and read again as the same. */
#include "engine/backend/gemmini/gem_config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static char *print(const struct ct_gem_config *config)
{
    char *text = NULL;
    size_t n_bytes = 0;
    FILE *file = open_memstream(&text, &n_bytes);
    if (file == NULL)
        abort();
    ct_gem_config_print(config, file);
    fclose(file);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ct_gem_config config, back;
    struct ct_error err;
    if (ct_gem_config_preset("ibert", &config, &err) != CT_OK)
        abort();
    back = config;
    if (ct_gem_config_parse("data", (const char *)data, n_bytes, &config, &err) != CT_OK)
        return 0;
    char *text = print(&config);
    if (ct_gem_config_parse("printed", text, strlen(text), &back, &err) != CT_OK)
        abort();
    char *again = print(&back);
    if (strcmp(text, again) != 0)
        abort();
    free(again);
    free(text);
    return 0;
}
