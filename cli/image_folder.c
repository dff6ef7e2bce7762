#include "cli/image_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool is_image(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png"};
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (n > strlen(endings[i]) && strcasecmp(name + n - strlen(endings[i]), endings[i]) == 0)
            return true;
    return false;
}

/* Room for one more of n items; capacities are powers of two. */
static void *grow(void *items, int n, size_t item_bytes)
{
    return n > 0 && (n & (n - 1)) != 0
               ? items
               : realloc(items, (n > 0 ? 2 * (size_t)n : 1) * item_bytes);
}

static enum ct_status add_file(struct ct_image_folder *folder, const char *path, int subfolder)
{
    struct ct_image_file *files = grow(folder->files, folder->n_files, sizeof *files);
    char *own = strdup(path);
    if (files != NULL)
        folder->files = files;
    if (files == NULL || own == NULL) {
        free(own);
        return CT_MEMORY;
    }
    files[folder->n_files++] = (struct ct_image_file){own, strrchr(own, '/') + 1, subfolder};
    return CT_OK;
}

static enum ct_status add_folder(struct ct_image_folder *folder, const char *name)
{
    char **folders = grow(folder->folders, folder->n_folders, sizeof *folders);
    if (folders == NULL)
        return CT_MEMORY;
    folder->folders = folders;
    folders[folder->n_folders] = strdup(name);
    return folders[folder->n_folders] != NULL ? (folder->n_folders++, CT_OK) : CT_MEMORY;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* What lies in dir, which is folders[subfolder], or the folder itself where that is -1. */
static enum ct_status list(struct ct_image_folder *folder, const char *dir, int subfolder,
                           struct ct_error *err)
{
    struct dirent **entries;
    const int n = scandir(dir, &entries, is_visible, alphasort);
    enum ct_status status = CT_OK;
    if (n < 0)
        return ct_error_set(err, CT_IO, "%s: %s", dir, strerror(errno));
    for (int i = 0; i < n; i++) {
        struct stat info;
        char *path = NULL;
        const char *name = entries[i]->d_name;
        if (status == CT_OK && asprintf(&path, "%s/%s", dir, name) < 0) {
            path = NULL;
            status = CT_MEMORY;
        }
        const bool is_folder = status == CT_OK && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
        if (is_folder && subfolder < 0) {
            status = add_folder(folder, name);
            if (status == CT_OK)
                status = list(folder, path, folder->n_folders - 1, err);
        } else if (status == CT_OK && !is_folder && is_image(name)) {
            status = add_file(folder, path, subfolder);
        }
        free(path);
        free(entries[i]);
    }
    free(entries);
    return status == CT_MEMORY ? ct_error_set(err, status, "%s: no memory for its names", dir)
                               : status;
}

enum ct_status ct_image_folder_init(struct ct_image_folder *folder, const char *dir,
                                    struct ct_error *err)
{
    *folder = (struct ct_image_folder){0};
    enum ct_status status = list(folder, dir, -1, err);
    if (status == CT_OK && folder->n_files == 0)
        status = ct_error_set(err, CT_INVALID, "%s: no JPEG or PNG files", dir);
    if (status != CT_OK)
        ct_image_folder_deinit(folder);
    return status;
}

void ct_image_folder_deinit(struct ct_image_folder *folder)
{
    for (int i = 0; i < folder->n_files; i++)
        free(folder->files[i].path);
    for (int i = 0; i < folder->n_folders; i++)
        free(folder->folders[i]);
    free(folder->files);
    free(folder->folders);
    *folder = (struct ct_image_folder){0};
}
