/* The images of a folder, as data sets lay them out: files in it, and in its subfolders, which are
 * classes. JPEG and PNG by their endings; names that begin with a dot, other files and deeper folders
 * are left out. In the order of names. One thread. */
#ifndef CT_CLI_IMAGE_FOLDER_H
#define CT_CLI_IMAGE_FOLDER_H

#include "engine/base/status.h"

struct ct_image_file {
    char *path;       /* owned */
    const char *name; /* the last part of path */
    int folder;       /* place in folders, or -1: in the folder itself */
};

struct ct_image_folder {
    struct ct_image_file *files; /* [n_files] */
    int n_files;
    char **folders; /* [n_folders]: names */
    int n_folders;
};

/* CT_INVALID: there are no images; CT_IO, CT_MEMORY. After an error nothing is left to free. */
CT_MUST_CHECK enum ct_status ct_image_folder_init(struct ct_image_folder *folder, const char *dir,
                                                  struct ct_error *err);
void ct_image_folder_deinit(struct ct_image_folder *folder);

#endif
