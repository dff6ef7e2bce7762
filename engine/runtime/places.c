#include "engine/runtime/places.h"

#include <math.h>
#include <string.h>

enum { TAPS = 4 };

/* Four places of `from` around the centre of place i of `to`, and their shares. */
struct taps {
    int at[TAPS];
    double share[TAPS];
};

static struct taps find_taps(int i, int from, int to)
{
    const double a = -0.75, centre = (i + 0.5) * from / to - 0.5, first = floor(centre);
    struct taps taps;
    for (int j = 0; j < TAPS; j++) {
        const int at = (int)first + j - 1;
        const double d = fabs(centre - at);
        taps.at[j] = at < 0 ? 0 : at >= from ? from - 1 : at;
        taps.share[j] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1
                               : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    }
    return taps;
}

void ct_places_resize(const struct ct_patches *p, int64_t k, const float *stored, float *out)
{
    const int lines = ct_patch_lines(p), columns = ct_patch_columns(p);
    memcpy(out, stored, (size_t)(p->n_prefix * k) * sizeof *out);
    stored += p->n_prefix * k;
    out += p->n_prefix * k;
    for (int y = 0; y < lines; y++) {
        const struct taps line = find_taps(y, p->stored_lines, lines);
        for (int x = 0; x < columns; x++, out += k) {
            const struct taps column = find_taps(x, p->stored_columns, columns);
            for (int64_t j = 0; j < k; j++) {
                double sum = 0;
                for (int v = 0; v < TAPS; v++)
                    for (int h = 0; h < TAPS; h++)
                        sum += line.share[v] * column.share[h] *
                               stored[(line.at[v] * p->stored_columns + column.at[h]) * k + j];
                out[j] = (float)sum;
            }
        }
    }
}
