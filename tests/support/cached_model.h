/* Where ./test.sh --real and ./serve.sh keep the default model. */
#ifndef CT_TESTS_SUPPORT_CACHED_MODEL_H
#define CT_TESTS_SUPPORT_CACHED_MODEL_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Sets path; false where there is no such file. */
static inline bool cached_model(char path[512])
{
    const char *cache = getenv("CENTROID_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    const char *folder = cache != NULL ? "" : xdg != NULL ? "/centroid" : "/.cache/centroid";
    const char *root = cache != NULL ? cache : xdg != NULL ? xdg : home != NULL ? home : "";
    snprintf(path, 512, "%s%s/SmolLM2-135M-Instruct.Q4_1.gguf", root, folder);
    return access(path, R_OK) == 0;
}

#endif
