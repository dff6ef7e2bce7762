/* A directory for one test program's files, under /tmp, and reading and writing whole files in
 * it. */
#ifndef CT_TESTS_SUPPORT_TEMP_DIR_H
#define CT_TESTS_SUPPORT_TEMP_DIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEMP_PATH = 512 };

struct temp_dir {
    char path[64];
};

static inline int temp_dir_open(struct temp_dir *dir)
{
    snprintf(dir->path, sizeof dir->path, "/tmp/centroid-test-XXXXXX");
    return mkdtemp(dir->path) == NULL ? -1 : 0;
}

static inline int temp_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void temp_dir_close(struct temp_dir *dir)
{
    nftw(dir->path, temp_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* cmocka's setup and teardown for tests whose state is a directory. */
static inline int temp_dir_setup(void **state)
{
    static struct temp_dir dir;
    *state = &dir;
    return temp_dir_open(&dir);
}

static inline int temp_dir_teardown(void **state)
{
    temp_dir_close(*state);
    return 0;
}

/* path: TEMP_PATH bytes for dir/name. */
static inline const char *temp_path(const struct temp_dir *dir, const char *name, char *path)
{
    snprintf(path, TEMP_PATH, "%s/%s", dir->path, name);
    return path;
}

static inline int temp_write(const struct temp_dir *dir, const char *name, const void *data,
                             size_t n)
{
    char path[TEMP_PATH];
    FILE *file = fopen(temp_path(dir, name, path), "wb");
    if (file == NULL)
        return -1;
    size_t written = fwrite(data, 1, n, file);
    return fclose(file) == 0 && written == n ? 0 : -1;
}

static inline int temp_write_text(const struct temp_dir *dir, const char *name, const char *text)
{
    return temp_write(dir, name, text, strlen(text));
}

#endif
