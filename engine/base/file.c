#include "engine/base/file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum ct_status ct_file_read(const char *path, char **out, size_t *n_bytes, struct ct_error *err)
{
    *out = NULL;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return ct_error_set(err, CT_IO, "%s: %s", path, strerror(errno));
    size_t capacity = 1 << 16, n = 0;
    char *data = NULL;
    for (;;) {
        char *larger = realloc(data, capacity + 1);
        if (larger == NULL)
            break;
        data = larger;
        n += fread(data + n, 1, capacity - n, file);
        if (n < capacity)
            break;
        capacity *= 2;
    }
    const bool is_whole = data != NULL && feof(file) && !ferror(file);
    fclose(file);
    if (!is_whole) {
        free(data);
        return ct_error_set(err, CT_IO, "%s: cannot be read", path);
    }
    data[n] = '\0';
    *out = data;
    *n_bytes = n;
    return CT_OK;
}
