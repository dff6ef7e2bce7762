#include "cli/progress.h"

#include "engine/base/clock.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR = 24, MAX_COLUMNS = 200 };
static const uint64_t interval_ns = 100 * 1000 * 1000, delay_ns = 1000 * 1000 * 1000;

void ct_progress_init(struct ct_progress *progress, bool is_quiet)
{
    *progress = (struct ct_progress){.is_shown = !is_quiet && isatty(STDERR_FILENO),
                                     .start_ns = ct_clock_ns()};
}

static int columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col < MAX_COLUMNS ? size.ws_col : MAX_COLUMNS;
}

void ct_progress_update(struct ct_progress *progress, const char *what, double done)
{
    uint64_t now_ns = ct_clock_ns();
    if (!progress->is_shown || now_ns - progress->start_ns < delay_ns ||
        now_ns - progress->drawn_ns < interval_ns)
        return;
    progress->drawn_ns = now_ns;
    char bar[BAR + 1], left[32] = "", line[MAX_COLUMNS + 64];
    int n_full = done < 1 ? (int)(done * BAR) : BAR;
    memset(bar, '#', (size_t)n_full);
    memset(bar + n_full, '.', (size_t)(BAR - n_full));
    bar[BAR] = '\0';
    double seconds = (double)(now_ns - progress->start_ns) * 1e-9;
    if (done > 0.02)
        snprintf(left, sizeof left, " %3.0f s left", seconds * (1 - done) / done);
    snprintf(line, sizeof line, "[%s] %3.0f %%%s  %s", bar, 100 * done, left, what);
    fprintf(stderr, "\r\033[K%.*s", columns() - 1, line);
    fflush(stderr);
}

void ct_progress_finish(struct ct_progress *progress)
{
    if (progress->is_shown && progress->drawn_ns != 0)
        fputs("\r\033[K", stderr);
}
