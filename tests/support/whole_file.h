/* Reads a whole file for a test, which fails where it cannot be read. */
#ifndef CT_TESTS_SUPPORT_WHOLE_FILE_H
#define CT_TESTS_SUPPORT_WHOLE_FILE_H

#include <stdio.h>
#include <stdlib.h>

/* NUL-terminated, to be freed; NULL where the file cannot be read. */
static inline char *read_whole_file(const char *path, size_t *n_bytes)
{
    char *data = NULL;
    *n_bytes = 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    if (fseek(file, 0, SEEK_END) == 0) {
        long size = ftell(file);
        rewind(file);
        data = size >= 0 ? malloc((size_t)size + 1) : NULL;
        if (data != NULL && fread(data, 1, (size_t)size, file) == (size_t)size) {
            data[size] = '\0';
            *n_bytes = (size_t)size;
        } else {
            free(data);
            data = NULL;
        }
    }
    fclose(file);
    return data;
}

#endif
