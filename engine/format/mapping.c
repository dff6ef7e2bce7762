#include "engine/format/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum ct_status ct_mapping_init(struct ct_mapping *mapping, const char *path, struct ct_error *err)
{
    enum ct_status status = CT_OK;
    *mapping = (struct ct_mapping){0};

    /* O_NONBLOCK, so that a named pipe is refused below instead of waiting for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        bool is_missing = errno == ENOENT || errno == ENOTDIR;
        return ct_error_set(err, is_missing ? CT_NOT_FOUND : CT_IO, "cannot open: %s",
                            strerror(errno));
    }
    struct stat st;
    if (fstat(fd, &st) != 0) {
        status = ct_error_set(err, CT_IO, "cannot stat: %s", strerror(errno));
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        status = ct_error_set(err, CT_FORMAT, "not a regular file");
        goto out;
    }
    if (st.st_size == 0) {
        status = ct_error_set(err, CT_FORMAT, "the file is empty");
        goto out;
    }
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        status = ct_error_set(err, errno == ENOMEM ? CT_MEMORY : CT_IO, "cannot map: %s",
                              strerror(errno));
        goto out;
    }
    mapping->data = data;
    mapping->n_bytes = (size_t)st.st_size;
out:
    close(fd);
    return status;
}

enum ct_status ct_mapping_init_in(struct ct_mapping *mapping, const char *dir, const char *name,
                                  struct ct_error *err)
{
    char path[PATH_MAX];
    *mapping = (struct ct_mapping){0};
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return ct_error_set(err, CT_INVALID, "%s: the path is too long", dir);
    enum ct_status status = ct_mapping_init(mapping, path, err);
    if (status == CT_OK && mapping->n_bytes > CT_SIDECAR_BYTES) {
        status = ct_error_set(err, CT_TOO_LARGE, "%zu bytes, at most %d", mapping->n_bytes,
                              CT_SIDECAR_BYTES);
        ct_mapping_deinit(mapping);
    }
    return status == CT_OK ? CT_OK : ct_error_prefix(err, "%s", path);
}

void ct_mapping_deinit(struct ct_mapping *mapping)
{
    if (mapping->data != NULL)
        munmap((void *)mapping->data, mapping->n_bytes);
    *mapping = (struct ct_mapping){0};
}
