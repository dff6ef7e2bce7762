#include "cli/eval_images.h"

#include "cli/cli.h"
#include "cli/progress.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { TOP = 5 };

struct image {
    char *path;
    int class;
};

struct images {
    struct image *items;
    int n, capacity;
};

/* ---- which images, of which class ---- */

static bool is_image(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png"};
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (n > strlen(endings[i]) && strcasecmp(name + n - strlen(endings[i]), endings[i]) == 0)
            return true;
    return false;
}

static bool is_folder(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat info;
    return snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path &&
           stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

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

static enum ct_status add_image(struct images *images, const char *dir, const char *name, int class,
                                struct ct_error *err)
{
    if (images->n == images->capacity) {
        const int capacity = 2 * images->capacity + 64;
        struct image *larger = realloc(images->items, (size_t)capacity * sizeof *larger);
        if (larger == NULL)
            return ct_error_set(err, CT_MEMORY, "no memory for %d images", capacity);
        images->items = larger;
        images->capacity = capacity;
    }
    struct image *image = &images->items[images->n];
    image->class = class;
    if (asprintf(&image->path, "%s/%s", dir, name) < 0)
        return ct_error_set(err, CT_MEMORY, "no memory for %s/%s", dir, name);
    images->n++;
    return CT_OK;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The images in a folder, all of one class. */
static enum ct_status list_class(struct images *images, const char *dir, int class,
                                 struct ct_error *err)
{
    struct dirent **entries;
    const int n = scandir(dir, &entries, is_visible, alphasort);
    if (n < 0)
        return ct_error_set(err, CT_IO, "%s: %s", dir, strerror(errno));
    enum ct_status status = CT_OK;
    for (int i = 0; i < n; i++) {
        if (status == CT_OK && is_image(entries[i]->d_name))
            status = add_image(images, dir, entries[i]->d_name, class, err);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* Names below dir: folders are classes, files have theirs in their names. Where no folder has the name of
 * a label, but there are as many as labels, they stand in the labels' order, as torchvision has it. */
static enum ct_status list_entries(const struct ct_engine *engine, struct images *images,
                                   const char *dir, struct dirent **entries, int n,
                                   struct ct_error *err)
{
    int n_folders = 0, n_named = 0, place = 0;
    enum ct_status status = CT_OK;
    for (int i = 0; i < n; i++)
        if (is_folder(dir, entries[i]->d_name)) {
            n_folders++;
            n_named += find_class(engine, entries[i]->d_name, false) >= 0;
        }
    const bool is_ordered = n_named == 0 && n_folders == ct_engine_info(engine)->n_labels;
    for (int i = 0; i < n && status == CT_OK; i++) {
        const char *name = entries[i]->d_name;
        char path[PATH_MAX];
        const bool is_file = !is_folder(dir, name);
        if (is_file && !is_image(name))
            continue;
        const int class = is_file || !is_ordered ? find_class(engine, name, is_file) : place++;
        if (class < 0)
            return ct_error_set(err, CT_INVALID,
                                "%s/%s: its class is none of the model's %d labels", dir, name,
                                ct_engine_info(engine)->n_labels);
        if (is_file) {
            status = add_image(images, dir, name, class, err);
        } else {
            snprintf(path, sizeof path, "%s/%s", dir, name); /* fits, as is_folder found */
            status = list_class(images, path, class, err);
        }
    }
    return status;
}

static enum ct_status list_images(const struct ct_engine *engine, const char *dir,
                                  struct images *images, struct ct_error *err)
{
    struct dirent **entries;
    const int n = scandir(dir, &entries, is_visible, alphasort);
    if (n < 0)
        return ct_error_set(err, CT_IO, "%s: %s", dir, strerror(errno));
    enum ct_status status = list_entries(engine, images, dir, entries, n, err);
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    if (status == CT_OK && images->n == 0)
        status = ct_error_set(err, CT_INVALID, "%s: no JPEG or PNG files", dir);
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

static enum ct_status read_image(const struct ct_engine *engine, const char *path, float *planes,
                                 struct ct_error *err)
{
    char *bytes;
    size_t n_bytes;
    enum ct_status status = ct_cli_read_file(path, &bytes, &n_bytes, err);
    if (status != CT_OK)
        return status;
    status = ct_engine_read_image(engine, (const uint8_t *)bytes, n_bytes, planes, err);
    free(bytes);
    return status == CT_OK ? CT_OK : ct_error_prefix(err, "%s", path);
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
        status = read_image(engine, images[n_open]->path, own, err);
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

static enum ct_status score_all(struct ct_engine *engine, const struct images *images, int64_t n,
                                struct ct_progress *progress, struct ct_image_score *score,
                                struct ct_error *err)
{
    const struct ct_engine_info *info = ct_engine_info(engine);
    const size_t n_planes =
        (size_t)info->image.n_channels * (size_t)info->image.height * (size_t)info->image.width;
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
            own[j] = &images->items[(i + j) * images->n / n];
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
    struct images images = {0};
    struct ct_progress progress;
    *score = (struct ct_image_score){0};
    if (info->image.n_channels == 0 || info->task != CT_TASK_CLASSIFY)
        return ct_error_set(err, CT_INVALID, "%s is no image classifier", info->name);
    ct_progress_init(&progress, is_quiet);
    enum ct_status status = list_images(engine, dir, &images, err);
    if (status == CT_OK)
        status = score_all(engine, &images, limit > 0 && limit < images.n ? limit : images.n,
                           &progress, score, err);
    ct_progress_finish(&progress);
    for (int i = 0; i < images.n; i++)
        free(images.items[i].path);
    free(images.items);
    return status;
}
