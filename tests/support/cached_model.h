/* Where deploy/fetch-model.sh keeps the models that it fetches. */
#ifndef CT_TESTS_SUPPORT_CACHED_MODEL_H
#define CT_TESTS_SUPPORT_CACHED_MODEL_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CACHED_SMOLLM2 "SmolLM2-135M-Instruct.Q4_1.gguf"
#define CACHED_QWEN2   "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
#define CACHED_MINI_LM "all-MiniLM-L6-v2"
#define CACHED_MPNET   "all-mpnet-base-v2"

/* Sets path; false where there is no such file. */
static inline bool cached_model(const char *file, char path[512])
{
    const char *cache = getenv("CENTROID_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    const char *folder = cache != NULL ? "" : xdg != NULL ? "/centroid" : "/.cache/centroid";
    const char *root = cache != NULL ? cache : xdg != NULL ? xdg : home != NULL ? home : "";
    snprintf(path, 512, "%s%s/%s", root, folder, file);
    return access(path, R_OK) == 0;
}

#endif
