#include "server/model_list.h"

#include "engine/base/path.h"
#include "engine/engine.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* option and value: what asked for it. */
static enum ct_status add(struct ct_model_list *list, const char *option, const char *value,
                          const char *name, size_t n_name, const char *path, struct ct_error *err)
{
    struct ct_model_place *place = &list->places[list->n];
    if (list->n == CT_MAX_MODELS)
        return ct_error_set(err, CT_INVALID, "%s %s: more than %d models cannot be served", option,
                            value, CT_MAX_MODELS);
    if (n_name == 0 || n_name >= sizeof place->name)
        return ct_error_set(err, CT_INVALID, "%s %s: the name of a model has %zu bytes, not 1..%zu",
                            option, value, n_name, sizeof place->name - 1);
    memcpy(place->name, name, n_name);
    place->name[n_name] = '\0';
    place->path = path;
    place->backend = "cpu";
    for (int i = 0; i < list->n; i++)
        if (strcmp(list->places[i].name, place->name) == 0)
            return ct_error_set(err, CT_INVALID,
                                "%s %s: %s is also the name of %s; --model NAME=%s gives another",
                                option, value, place->name, list->places[i].path, path);
    list->n++;
    return CT_OK;
}

/* [NAME=]PATH: a NAME has no slash, so that a path with a = in it can be given. */
static enum ct_status add_model(struct ct_model_list *list, const char *value, struct ct_error *err)
{
    size_t n_name = strcspn(value, "=/");
    if (value[n_name] == '=')
        return add(list, "--model", value, value, n_name, value + n_name + 1, err);
    const size_t name_at = ct_path_model_name(value, &n_name);
    return add(list, "--model", value, value + name_at, n_name, value, err);
}

static bool is_model(const char *path)
{
    struct stat found;
    char config[PATH_MAX];
    if (stat(path, &found) != 0)
        return false;
    if (!S_ISDIR(found.st_mode))
        return ct_path_ends_with(path, strlen(path), ".gguf");
    return snprintf(config, sizeof config, "%s/config.json", path) < (int)sizeof config &&
           stat(config, &found) == 0;
}

static enum ct_status add_entry(struct ct_model_list *list, const char *folder, const char *entry,
                                struct ct_error *err)
{
    const size_t n_bytes = strlen(folder) + 1 + strlen(entry) + 1;
    char *path = ct_arena_alloc(&list->arena, n_bytes);
    if (path == NULL)
        return ct_error_set(err, CT_MEMORY, "--models %s: out of memory", folder);
    snprintf(path, n_bytes, "%s/%s", folder, entry);
    if (!is_model(path))
        return CT_OK;
    size_t n_name;
    const size_t name_at = ct_path_model_name(path, &n_name);
    return add(list, "--models", folder, path + name_at, n_name, path, err);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum ct_status add_folder(struct ct_model_list *list, const char *folder,
                                 struct ct_error *err)
{
    struct dirent **entries = NULL;
    enum ct_status status = CT_OK;
    if (is_model(folder))
        return ct_error_set(err, CT_INVALID,
                            "--models %s: that is a model itself, which --model %s serves", folder,
                            folder);
    const int n_before = list->n, n_entries = scandir(folder, &entries, is_visible, by_name);
    if (n_entries < 0)
        return ct_error_set(err, CT_NOT_FOUND, "--models %s: %s", folder, strerror(errno));
    for (int i = 0; i < n_entries; i++) {
        if (status == CT_OK)
            status = add_entry(list, folder, entries[i]->d_name, err);
        free(entries[i]);
    }
    free(entries);
    if (status == CT_OK && list->n == n_before)
        status = ct_error_set(err, CT_NOT_FOUND,
                              "--models %s: there is neither a directory with a config.json nor a "
                              ".gguf file in it",
                              folder);
    return status;
}

enum ct_status ct_model_list_init(struct ct_model_list *list, const struct ct_option_list *models,
                                  const struct ct_option_list *folders, struct ct_error *err)
{
    enum ct_status status = CT_OK;
    list->n = 0;
    ct_arena_init(&list->arena);
    for (int i = 0; i < models->n && status == CT_OK; i++)
        status = add_model(list, models->values[i], err);
    for (int i = 0; i < folders->n && status == CT_OK; i++)
        status = add_folder(list, folders->values[i], err);
    if (status == CT_OK && list->n == 0)
        status = ct_error_set(err, CT_INVALID, "--model or --models is required");
    if (status != CT_OK)
        ct_model_list_deinit(list);
    return status;
}

/* A model's name may have a = in it, so the last one counts. */
static enum ct_status choose(struct ct_model_list *list, const char *value, struct ct_error *err)
{
    const char *equals = strrchr(value, '=');
    const size_t n_name = equals != NULL ? (size_t)(equals - value) : 0;
    const char *name = equals != NULL ? equals + 1 : value;
    bool is_found = equals == NULL;
    if (ct_backend_find(name, err) == NULL)
        return ct_error_prefix(err, "--backend %s", value);
    for (int i = 0; i < list->n; i++) {
        struct ct_model_place *place = &list->places[i];
        if (equals != NULL &&
            (strlen(place->name) != n_name || memcmp(place->name, value, n_name) != 0))
            continue;
        place->backend = name;
        is_found = true;
    }
    return is_found ? CT_OK
                    : ct_error_set(err, CT_INVALID, "--backend %s: no model is called %.*s", value,
                                   (int)n_name, value);
}

enum ct_status ct_model_list_choose(struct ct_model_list *list,
                                    const struct ct_option_list *backends, struct ct_error *err)
{
    enum ct_status status = CT_OK;
    for (int i = 0; i < backends->n && status == CT_OK; i++)
        status = choose(list, backends->values[i], err);
    return status;
}

void ct_model_list_deinit(struct ct_model_list *list)
{
    ct_arena_deinit(&list->arena);
}
