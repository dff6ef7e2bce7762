/* What --model and --models ask for: the models' names and where they are. Nothing is loaded.
 * Immutable once made. */
#ifndef CT_SERVER_MODEL_LIST_H
#define CT_SERVER_MODEL_LIST_H

#include "engine/base/arena.h"
#include "engine/base/options.h"

enum { CT_MAX_MODELS = 64 };

struct ct_model_place {
    char name[128];      /* what clients call it; each is there once */
    const char *path;    /* a directory or a GGUF file */
    const char *backend; /* a name of ct_backend_find */
};

struct ct_model_list {
    int n;
    struct ct_model_place places[CT_MAX_MODELS];
    struct ct_arena arena; /* the paths of what folders have */
};

/* models: [NAME=]PATH each; folders: directories whose models are all meant, the subdirectories
 * with a config.json and the .gguf files, by name. Both are kept by the caller. On an error, which
 * names the option and its value, nothing is left to deinit: CT_INVALID, CT_NOT_FOUND, CT_MEMORY.
 */
CT_MUST_CHECK enum ct_status ct_model_list_init(struct ct_model_list *list,
                                                const struct ct_option_list *models,
                                                const struct ct_option_list *folders,
                                                struct ct_error *err);
/* backends: [MODEL=]NAME each, for one or all of the list; the later one holds. Kept by the caller.
 * CT_INVALID: there is no such model; CT_NOT_FOUND: no such backend. */
CT_MUST_CHECK enum ct_status ct_model_list_choose(struct ct_model_list *list,
                                                  const struct ct_option_list *backends,
                                                  struct ct_error *err);
void ct_model_list_deinit(struct ct_model_list *list);

#endif
