#include "engine/format/model_writer.h"

#include "engine/base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct ct_model_dir {
    int parent_fd;
    int fd; /* of the temporary, holding its lock */
    char name[NAME_MAX + 1];
    char temporary[NAME_MAX + 1];
    char path[PATH_MAX]; /* of the temporary */
};

/* ---- directories ---- */

/* Calls visit for each entry of the directory but . and .., until it fails. */
static enum ct_status for_each(int dir_fd, const char *what,
                               enum ct_status (*visit)(int dir_fd, const char *name, void *context,
                                                       struct ct_error *err),
                               void *context, struct ct_error *err)
{
    /* A descriptor of its own: fdopendir takes it over, and dup would share the position. */
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL) {
        enum ct_status status =
            ct_error_set(err, CT_IO, "%s: cannot list: %s", what, strerror(errno));
        if (fd >= 0)
            close(fd);
        return status;
    }
    enum ct_status status = CT_OK;
    for (struct dirent *e = readdir(stream); e != NULL && status == CT_OK; e = readdir(stream))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            status = visit(dir_fd, e->d_name, context, err);
    closedir(stream);
    return status;
}

static enum ct_status remove_file(int dir_fd, const char *name, void *context, struct ct_error *err)
{
    (void)context;
    if (unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT)
        return ct_error_set(err, CT_IO, "cannot delete %s: %s", name, strerror(errno));
    return CT_OK;
}

/* A directory of plain files. Failing leaves a hidden leftover, which the next begin tries
 * again. */
static void remove_dir(int parent_fd, const char *name)
{
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    if (for_each(fd, name, remove_file, NULL, NULL) == CT_OK)
        unlinkat(parent_fd, name, AT_REMOVEDIR);
    close(fd);
}

static enum ct_status sync_file(int dir_fd, const char *name, void *context, struct ct_error *err)
{
    (void)context;
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fsync(fd) == 0) {
        close(fd);
        return CT_OK;
    }
    enum ct_status status = ct_error_set(err, CT_IO, "cannot sync %s: %s", name, strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

/* ---- the target ---- */

struct contents {
    int n_files;
    bool has_config;
};

static enum ct_status look_at(int dir_fd, const char *name, void *context, struct ct_error *err)
{
    struct contents *contents = context;
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return ct_error_set(err, CT_IO, "cannot stat %s: %s", name, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return ct_error_set(err, CT_INVALID, "it has a directory %s in it", name);
    contents->n_files++;
    contents->has_config = contents->has_config || strcmp(name, "config.json") == 0;
    return CT_OK;
}

/* Whether there is nothing at the target, or what may be replaced; *is_there tells which. */
static enum ct_status check_target(const struct ct_model_dir *dir, bool *is_there,
                                   struct ct_error *err)
{
    struct contents contents = {0};
    *is_there = false;
    int fd = openat(dir->parent_fd, dir->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return CT_OK;
    if (fd < 0)
        return ct_error_set(err, CT_INVALID, "%s exists and is not replaced: %s", dir->name,
                            strerror(errno));
    *is_there = true;
    enum ct_status status = for_each(fd, dir->name, look_at, &contents, err);
    close(fd);
    if (status == CT_OK && contents.n_files > 0 && !contents.has_config)
        status = ct_error_set(err, CT_INVALID, "it has files but no config.json");
    if (status == CT_INVALID)
        ct_error_prefix(err, "%s exists and is not replaced, as it is not a model directory",
                        dir->name);
    return status;
}

/* Deletes a temporary of this target that no living writer has locked. */
static enum ct_status remove_stale(int parent_fd, const char *name, void *context,
                                   struct ct_error *err)
{
    const struct ct_model_dir *dir = context;
    (void)err;
    size_t n = strlen(dir->name);
    if (name[0] != '.' || strncmp(name + 1, dir->name, n) != 0 ||
        strncmp(name + 1 + n, ".tmp-", 5) != 0)
        return CT_OK;
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        remove_dir(parent_fd, name);
    if (fd >= 0)
        close(fd);
    return CT_OK;
}

/* ---- begin, commit, abort ---- */

static void free_dir(struct ct_model_dir *dir)
{
    if (dir->fd >= 0)
        close(dir->fd);
    if (dir->parent_fd >= 0)
        close(dir->parent_fd);
    free(dir);
}

/* Splits path into the open parent and the name in it, and names the temporary. */
static enum ct_status split_path(struct ct_model_dir *dir, const char *path, struct ct_error *err)
{
    char parent[PATH_MAX];
    size_t n_last, begin = ct_path_last(path, &n_last);
    int n_parent = snprintf(parent, sizeof parent, "%.*s", (int)begin, begin > 0 ? path : "");
    int n_name = snprintf(dir->name, sizeof dir->name, "%.*s", (int)n_last, path + begin);
    if (begin + n_last >= sizeof parent || n_parent != (int)begin ||
        n_name >= (int)sizeof dir->name || n_name == 0 || strcmp(dir->name, ".") == 0 ||
        strcmp(dir->name, "..") == 0)
        return ct_error_set(err, CT_INVALID, "%.256s is no name for a model directory", path);
    int n_temporary =
        snprintf(dir->temporary, sizeof dir->temporary, ".%s.tmp-%ld", dir->name, (long)getpid());
    int n_path = snprintf(dir->path, sizeof dir->path, "%s%s", parent, dir->temporary);
    if (n_temporary >= (int)sizeof dir->temporary || n_path >= (int)sizeof dir->path)
        return ct_error_set(err, CT_INVALID, "%.256s is too long for a model directory", path);
    dir->parent_fd = open(begin > 0 ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->parent_fd < 0)
        return ct_error_set(err, errno == ENOENT ? CT_NOT_FOUND : CT_IO, "cannot open %.256s: %s",
                            begin > 0 ? parent : ".", strerror(errno));
    return CT_OK;
}

enum ct_status ct_model_dir_begin(const char *path, struct ct_model_dir **out, struct ct_error *err)
{
    bool is_there = false;
    *out = NULL;
    struct ct_model_dir *dir = calloc(1, sizeof *dir);
    if (dir == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory to write %s", path);
    dir->parent_fd = dir->fd = -1;
    enum ct_status status = split_path(dir, path, err);
    if (status == CT_OK)
        status = check_target(dir, &is_there, err);
    if (status == CT_OK)
        status = for_each(dir->parent_fd, path, remove_stale, dir, err);
    if (status != CT_OK)
        goto out;
    if (mkdirat(dir->parent_fd, dir->temporary, 0777) != 0) {
        status = ct_error_set(err, CT_IO, "cannot create %s: %s", dir->path, strerror(errno));
        goto out;
    }
    dir->fd = openat(dir->parent_fd, dir->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->fd < 0 || flock(dir->fd, LOCK_EX | LOCK_NB) != 0) {
        status = ct_error_set(err, CT_IO, "cannot lock %s: %s", dir->path, strerror(errno));
        unlinkat(dir->parent_fd, dir->temporary, AT_REMOVEDIR);
    }
out:
    if (status != CT_OK)
        free_dir(dir);
    else
        *out = dir;
    return status;
}

const char *ct_model_dir_path(const struct ct_model_dir *dir)
{
    return dir->path;
}

enum ct_status ct_model_dir_write(const struct ct_model_dir *dir, const char *name,
                                  const void *data, size_t n_bytes, struct ct_error *err)
{
    const char *p = data;
    int fd = openat(dir->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    bool has_failed = fd < 0;
    while (n_bytes > 0 && !has_failed) {
        ssize_t n = write(fd, p, n_bytes);
        has_failed = n < 0 && errno != EINTR;
        p += n > 0 ? n : 0;
        n_bytes -= n > 0 ? (size_t)n : 0;
    }
    enum ct_status status = CT_OK;
    if (has_failed)
        status =
            ct_error_set(err, CT_IO, "cannot write %s/%s: %s", dir->path, name, strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

/* Puts the temporary in the target's place; the old one, if any, is then where the temporary
 * was. */
static enum ct_status swap(const struct ct_model_dir *dir, bool is_there, struct ct_error *err)
{
    int parent = dir->parent_fd;
    const char *new_name = dir->temporary;
    if (!is_there && renameat2(parent, new_name, parent, dir->name, RENAME_NOREPLACE) == 0)
        return CT_OK;
    if (is_there && renameat2(parent, new_name, parent, dir->name, RENAME_EXCHANGE) == 0)
        return CT_OK;
    if (errno != EINVAL && errno != ENOSYS)
        return ct_error_set(err, CT_IO, "cannot rename %s to %s: %s", dir->path, dir->name,
                            strerror(errno));
    /* A file system without these flags: between the two renames there is a moment without a
     * target. */
    char old_name[NAME_MAX + 8];
    snprintf(old_name, sizeof old_name, "%s-old", dir->temporary);
    if ((is_there && renameat(parent, dir->name, parent, old_name) != 0) ||
        renameat(parent, new_name, parent, dir->name) != 0)
        return ct_error_set(err, CT_IO, "cannot rename %s to %s: %s", dir->path, dir->name,
                            strerror(errno));
    if (is_there)
        remove_dir(parent, old_name);
    return CT_OK;
}

enum ct_status ct_model_dir_commit(struct ct_model_dir *dir, struct ct_error *err)
{
    bool is_there = false;
    enum ct_status status = for_each(dir->fd, dir->path, sync_file, NULL, err);
    if (status == CT_OK && fsync(dir->fd) != 0)
        status = ct_error_set(err, CT_IO, "cannot sync %s: %s", dir->path, strerror(errno));
    if (status == CT_OK)
        status = check_target(dir, &is_there, err);
    if (status == CT_OK)
        status = swap(dir, is_there, err);
    if (status == CT_OK && fsync(dir->parent_fd) != 0)
        status = ct_error_set(err, CT_IO, "cannot sync the directory of %s: %s", dir->name,
                              strerror(errno));
    remove_dir(dir->parent_fd, dir->temporary); /* the old one; or the new one, on failure */
    free_dir(dir);
    return status;
}

void ct_model_dir_abort(struct ct_model_dir *dir)
{
    if (dir == NULL)
        return;
    remove_dir(dir->parent_fd, dir->temporary);
    free_dir(dir);
}
