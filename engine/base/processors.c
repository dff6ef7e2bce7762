#include "engine/base/processors.h"

#include "engine/base/pool.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* cpu.max of the process's own group holds "QUOTA PERIOD" in microseconds, or "max PERIOD". */
static int quota_processors(void)
{
    char line[PATH_MAX], path[PATH_MAX + 32] = "";
    FILE *groups = fopen("/proc/self/cgroup", "re");
    while (groups != NULL && fgets(line, sizeof line, groups) != NULL)
        if (strncmp(line, "0::", 3) == 0)
            snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/cpu.max", (int)strcspn(line + 3, "\n"),
                     line + 3);
    if (groups != NULL)
        fclose(groups);
    double quota = 0, period = 0;
    FILE *max = path[0] != '\0' ? fopen(path, "re") : NULL;
    if (max == NULL)
        return INT_MAX;
    int n_read = fscanf(max, "%lf %lf", &quota, &period);
    fclose(max);
    return n_read == 2 && period > 0 && quota / period < INT_MAX ? (int)(quota / period) : INT_MAX;
}

int ct_processors(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    int quota = quota_processors();
    n = quota < n ? quota : n;
    return n < 1 ? 1 : n > CT_MAX_WORKERS ? CT_MAX_WORKERS : n;
}

int64_t ct_machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (int64_t)pages * page_bytes : (int64_t)1 << 32;
}
