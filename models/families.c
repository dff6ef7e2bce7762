/* The list of model families. A new one is a file beside this one, a line here and one in
 * families.h. */
#include "models/families.h"

#include <string.h>

const struct ct_family *const ct_families[] = {
    &ct_family_bert,       &ct_family_deit,  &ct_family_dinov2,
    &ct_family_distilbert, &ct_family_llama, &ct_family_mpnet,
    &ct_family_qwen2,      &ct_family_vit,   NULL,
};

enum { N_FAMILIES = sizeof ct_families / sizeof ct_families[0] - 1 };

const struct ct_family *ct_family_find(const char *name)
{
    for (int i = 0; i < N_FAMILIES; i++)
        if (strcmp(ct_families[i]->name, name) == 0)
            return ct_families[i];
    return NULL;
}

const struct ct_foreign_names *ct_family_foreign_names(void)
{
    static struct ct_foreign_names tables[N_FAMILIES + 1];
    for (int i = 0; i < N_FAMILIES; i++)
        tables[i] = (struct ct_foreign_names){ct_families[i]->name, ct_families[i]->names,
                                              ct_families[i]->parts};
    return tables;
}
