/* The kinds of backends there are, by name. */
#include "engine/backend/gemmini/gem_backend.h"
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

static const struct ct_backend_type cpu = {.name = "cpu"};
static const struct ct_backend_type *const types[] = {&cpu, &ct_gemmini_type,
                                                      &ct_gemmini_ibert_type};
enum { N_TYPES = sizeof types / sizeof types[0] };

const struct ct_backend_type *ct_backend_find(const char *name, struct ct_error *err)
{
    char list[256];
    size_t n = 0;
    for (int i = 0; i < N_TYPES && n < sizeof list; i++) {
        if (strcmp(types[i]->name, name) == 0)
            return types[i];
        n +=
            (size_t)snprintf(list + n, sizeof list - n, "%s%s", i == 0 ? "" : ", ", types[i]->name);
    }
    ct_error_set(err, CT_NOT_FOUND, "backend '%.64s' is none of %s", name, list);
    return NULL;
}
