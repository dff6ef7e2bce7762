#include "cli/eval_images.h"

#include "cli/cli.h"
#include "cli/image_folder.h"
#include "cli/progress.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 5 };

/* An image and its class. */
struct image {
    const char *path;
    int class;
};

/* ---- which image is of which class ---- */

static char folded(char c)
{
    return c == '_' || c == '-' ? ' ' : (char)tolower((unsigned char)c);
}

/* How many bytes of text are one of the label's names (they are divided by commas, as ImageNet's are):
 * whatever the case, and with _ or - for a space. 0: none is. */
static size_t match_label(const char *text, const char *label)
{
    size_t longest = 0;
    while (*label != '\0') {
        const size_t n = strcspn(label, ",");
        size_t i = 0;
        while (i < n && folded(text[i]) == folded(label[i]))
            i++;
        if (i == n && n > longest)
            longest = n;
        label += n;
        label += strspn(label, ", ");
    }
    return longest;
}

/* The class whose label the name is, or (is_prefix) begins with, other than in mid-word; or -1. */
static int find_class(const struct ct_engine *engine, const char *name, bool is_prefix)
{
    size_t longest = 0;
    int class = -1;
    if (name[0] == 'n' && strspn(name + 1, "0123456789") == 8 && name[9] == '_')
        name += 10; /* the number of a WordNet synset */
    for (int i = 0; i < ct_engine_info(engine)->n_labels; i++) {
        const size_t n = match_label(name, ct_engine_label(engine, i));
        const bool is_whole = name[n] == '\0' || (is_prefix && !isalpha((unsigned char)name[n]));
        if (n > longest && is_whole) {
            longest = n;
            class = i;
        }
    }
    return class;
}

/* The class of each subfolder: the label that its name is. Where none is, but there are as many as labels,
 * they stand in the labels' order, as torchvision has it. */
static enum ct_status find_folder_classes(const struct ct_engine *engine, const char *dir,
                                          const struct ct_image_folder *folder, int *classes,
                                          struct ct_error *err)
{
    const int n_labels = ct_engine_info(engine)->n_labels;
    int n_named = 0;
    for (int i = 0; i < folder->n_folders; i++) {
        classes[i] = find_class(engine, folder->folders[i], false);
        n_named += classes[i] >= 0;
    }
    for (int i = 0; i < folder->n_folders; i++) {
        if (n_named == 0 && folder->n_folders == n_labels)
            classes[i] = i;
        if (classes[i] < 0)
            return ct_error_set(err, CT_INVALID,
                                "%s/%s: its class is none of the model's %d labels", dir,
                                folder->folders[i], n_labels);
    }
    return CT_OK;
}

/* images [folder->n_files] */
static enum ct_status find_classes(const struct ct_engine *engine, const char *dir,
                                   const struct ct_image_folder *folder, struct image *images,
                                   struct ct_error *err)
{
    int *classes = calloc((size_t)folder->n_folders + 1, sizeof *classes);
    if (classes == NULL)
        return ct_error_set(err, CT_MEMORY, "no memory for %d classes", folder->n_folders);
    enum ct_status status = find_folder_classes(engine, dir, folder, classes, err);
    for (int i = 0; i < folder->n_files && status == CT_OK; i++) {
        const struct ct_image_file *file = &folder->files[i];
        images[i] =
            (struct image){file->path, file->folder >= 0 ? classes[file->folder]
                                                         : find_class(engine, file->name, true)};
        if (images[i].class < 0)
            status = ct_error_set(err, CT_INVALID, "%s: its class is none of the model's %d labels",
                                  file->path, ct_engine_info(engine)->n_labels);
    }
    free(classes);
    return status;
}

/* ---- classifying ---- */

/* Places of the likeliest classes before this one. */
static int rank_of(const float *logits, int n, int class)
{
    int rank = 0;
    for (int i = 0; i < n; i++)
        rank += logits[i] > logits[class] || (logits[i] == logits[class] && i < class);
    return rank;
}

/* One step of n images. */
static enum ct_status score_batch(struct ct_engine *engine, const struct image *const *images,
                                  int n, struct ct_slice *slices, float *planes, size_t n_planes,
                                  struct ct_image_score *score, struct ct_error *err)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    enum ct_status status = CT_OK;
    int n_open = 0;
    for (; n_open < n && status == CT_OK; n_open++) {
        float *own = planes + (size_t)n_open * n_planes;
        slices[n_open] =
            (struct ct_slice){.pixels = own, .n_tokens = info->context_tok, .n_logits = 1};
        status = ct_cli_read_image(engine, images[n_open]->path, own, err);
        if (status == CT_OK &&
            (status = ct_session_open(engine, info->context_tok, &slices[n_open].session)) != CT_OK)
            ct_error_set(err, status, "%d images in a step: %s", n, ct_status_text(status));
    }
    if (status == CT_OK)
        status = ct_engine_step(engine, slices, n, err);
    for (int i = 0; i < n && status == CT_OK; i++) {
        const int rank = rank_of(slices[i].logits, info->n_labels, images[i]->class);
        score->n_images++;
        score->n_top1 += rank == 0;
        score->n_top5 += rank < TOP;
    }
    for (int i = 0; i < n_open; i++)
        ct_session_close(slices[i].session);
    return status;
}

/* n of n_images, spread evenly. */
static enum ct_status score_all(struct ct_engine *engine, const struct image *images,
                                int64_t n_images, int64_t n, struct ct_progress *progress,
                                struct ct_image_score *score, struct ct_error *err)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    const size_t n_planes = ct_image_floats(&info->image);
    int batch = info->max_step_tok / info->context_tok;
    batch = batch < info->max_sessions ? batch : info->max_sessions;
    batch = batch < info->max_step_logits ? batch : info->max_step_logits;
    float *planes = malloc((size_t)batch * n_planes * sizeof *planes);
    struct ct_slice *slices = calloc((size_t)batch, sizeof *slices);
    const struct image **own = calloc((size_t)batch, sizeof *own);
    enum ct_status status = CT_OK;
    if (planes == NULL || slices == NULL || own == NULL)
        status = ct_error_set(err, CT_MEMORY, "no memory for %d images", batch);
    for (int64_t i = 0; i < n && status == CT_OK; i += batch) {
        const int n_own = n - i < batch ? (int)(n - i) : batch;
        for (int j = 0; j < n_own; j++)
            own[j] = &images[(i + j) * n_images / n];
        status = score_batch(engine, own, n_own, slices, planes, n_planes, score, err);
        if (status == CT_OK)
            ct_progress_update(progress, "images", (double)(i + n_own) / (double)n);
    }
    free(planes);
    free(slices);
    free(own);
    return status;
}

enum ct_status ct_score_images(struct ct_engine *engine, const char *dir, int64_t limit,
                               bool is_quiet, struct ct_image_score *score, struct ct_error *err)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    struct ct_image_folder folder = {0};
    struct ct_progress progress;
    struct image *images = NULL;
    *score = (struct ct_image_score){0};
    if (info->image.n_channels == 0 || info->task != CT_TASK_CLASSIFY)
        return ct_error_set(err, CT_INVALID, "%s is no image classifier", info->name);
    enum ct_status status = ct_image_folder_init(&folder, dir, err);
    if (status != CT_OK)
        return status;
    ct_progress_init(&progress, is_quiet);
    images = calloc((size_t)folder.n_files, sizeof *images);
    status = images != NULL
                 ? find_classes(engine, dir, &folder, images, err)
                 : ct_error_set(err, CT_MEMORY, "no memory for %d images", folder.n_files);
    if (status == CT_OK)
        status = score_all(engine, images, folder.n_files,
                           limit > 0 && limit < folder.n_files ? limit : folder.n_files, &progress,
                           score, err);
    ct_progress_finish(&progress);
    ct_image_folder_deinit(&folder);
    free(images);
    return status;
}
