/* Reads intel-rapl zones (the kernel uses this name on AMD as well).
 *
 *   intel-rapl:0/    name "package-0"   energy_uj   max_energy_range_uj
 *   intel-rapl:0:0/  name "core"        part of the package: left out
 *   intel-rapl:0:1/  name "dram"        beside the package: counted
 *   intel-rapl:1/    name "psys"        the whole platform, holds the packages: left out */
#include "engine/energy/rapl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ZONES = 16, MAX_TEXT = 64 };

struct zone {
    int fd; /* energy_uj */
    uint64_t range_uj;
    uint64_t last_uj;
};

struct ct_rapl {
    int n_zones;
    struct zone zones[MAX_ZONES];
};

static bool read_text(int fd, char text[MAX_TEXT])
{
    ssize_t n = pread(fd, text, MAX_TEXT - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return n > 0;
}

static bool read_number(int fd, uint64_t *value)
{
    char text[MAX_TEXT], *end = NULL;
    if (!read_text(fd, text))
        return false;
    errno = 0;
    *value = strtoumax(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

/* Opens root/zone/file, or returns -1. */
static int open_file(const char *root, const char *zone, const char *file)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s/%s", root, zone, file);
    return n > 0 && (size_t)n < sizeof path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

static bool is_counted(const char *root, const char *zone)
{
    char name[MAX_TEXT] = "";
    int fd = strncmp(zone, "intel-rapl:", strlen("intel-rapl:")) == 0
                 ? open_file(root, zone, "name")
                 : -1;
    if (fd < 0)
        return false;
    bool is_read = read_text(fd, name);
    close(fd);
    return is_read &&
           (strncmp(name, "package-", strlen("package-")) == 0 || strcmp(name, "dram") == 0);
}

static bool zone_init(struct zone *zone, const char *root, const char *name)
{
    int fd = open_file(root, name, "max_energy_range_uj");
    bool is_read = fd >= 0 && read_number(fd, &zone->range_uj);
    if (fd >= 0)
        close(fd);
    if (!is_read)
        return false;
    zone->fd = open_file(root, name, "energy_uj");
    if (zone->fd >= 0 && read_number(zone->fd, &zone->last_uj))
        return true;
    if (zone->fd >= 0)
        close(zone->fd);
    return false;
}

enum ct_status ct_rapl_open(const char *root, struct ct_rapl **out)
{
    *out = NULL;
    DIR *directory = opendir(root);
    if (directory == NULL)
        return CT_NOT_FOUND;
    enum ct_status status = CT_MEMORY;
    struct ct_rapl *rapl = calloc(1, sizeof *rapl);
    if (rapl == NULL)
        goto out;
    for (struct dirent *entry; rapl->n_zones < MAX_ZONES && (entry = readdir(directory)) != NULL;)
        if (is_counted(root, entry->d_name) &&
            zone_init(&rapl->zones[rapl->n_zones], root, entry->d_name))
            rapl->n_zones++;
    status = rapl->n_zones > 0 ? CT_OK : CT_NOT_FOUND;
    if (status == CT_OK) {
        *out = rapl;
        rapl = NULL;
    }
out:
    ct_rapl_close(rapl);
    closedir(directory);
    return status;
}

void ct_rapl_close(struct ct_rapl *rapl)
{
    if (rapl == NULL)
        return;
    for (int i = 0; i < rapl->n_zones; i++)
        close(rapl->zones[i].fd);
    free(rapl);
}

bool ct_rapl_read(struct ct_rapl *rapl, uint64_t *uj)
{
    bool is_whole = true;
    uint64_t sum = 0;
    for (int i = 0; i < rapl->n_zones; i++) {
        struct zone *zone = &rapl->zones[i];
        uint64_t now = 0;
        if (!read_number(zone->fd, &now)) {
            is_whole = false;
            continue;
        }
        /* A counter starts again at 0 after range_uj. */
        sum += now >= zone->last_uj ? now - zone->last_uj : zone->range_uj - zone->last_uj + now;
        zone->last_uj = now;
    }
    *uj = is_whole ? sum : 0;
    return is_whole;
}
