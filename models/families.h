/* Each model family, declared; models/families.c lists them. */
#ifndef CT_MODELS_FAMILIES_H
#define CT_MODELS_FAMILIES_H

#include "engine/graph/family.h"

extern const struct ct_family ct_family_bert;
extern const struct ct_family ct_family_deit;
extern const struct ct_family ct_family_dinov2;
extern const struct ct_family ct_family_distilbert;
extern const struct ct_family ct_family_llama;
extern const struct ct_family ct_family_mpnet;
extern const struct ct_family ct_family_qwen2;
extern const struct ct_family ct_family_vit;

#endif
