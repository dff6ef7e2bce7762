/* Replays a corpus through a libFuzzer entry point: each argument is a file or a directory of
 * files. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    struct stat st;
    if (fstat(fileno(file), &st) != 0) {
        perror(path);
        fclose(file);
        return -1;
    }
    size_t n_bytes = (size_t)st.st_size;
    /* An exact-size heap block, so that a sanitizer sees a read past the end. */
    uint8_t *data = malloc(n_bytes ? n_bytes : 1);
    size_t got = data ? fread(data, 1, n_bytes, file) : 0;
    fclose(file);
    if (data == NULL || got != n_bytes) {
        free(data);
        fprintf(stderr, "%s: short read\n", path);
        return -1;
    }
    LLVMFuzzerTestOneInput(data, n_bytes);
    free(data);
    return 1;
}

static int replay(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        perror(path);
        return -1;
    }
    if (!S_ISDIR(st.st_mode))
        return replay_file(path);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        perror(path);
        return -1;
    }
    int n_files = 0;
    for (struct dirent *e = readdir(dir); e != NULL && n_files >= 0; e = readdir(dir)) {
        if (e->d_name[0] == '.')
            continue;
        char child[4096];
        snprintf(child, sizeof child, "%s/%s", path, e->d_name);
        int n = replay(child);
        n_files = n < 0 ? -1 : n_files + n;
    }
    closedir(dir);
    return n_files;
}

int main(int argc, char **argv)
{
    int n_files = 0;
    for (int i = 1; i < argc; i++) {
        int n = replay(argv[i]);
        if (n < 0)
            return 1;
        n_files += n;
    }
    printf("%d inputs replayed\n", n_files);
    return n_files > 0 ? 0 : 1;
}
