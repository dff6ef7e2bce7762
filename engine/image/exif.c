/* EXIF is a TIFF file without the picture: byte order, the place of a directory, and its entries of
 * 12 bytes: tag, type, count, value. */
#include "engine/image/decode_internal.h"

#include <stdbool.h>
#include <string.h>

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY_BYTES = 12 };

static uint32_t read_uint(const uint8_t *p, int n_bytes, bool is_big_endian)
{
    uint32_t value = 0;
    for (int i = 0; i < n_bytes; i++)
        value |= (uint32_t)p[i] << 8 * (is_big_endian ? n_bytes - 1 - i : i);
    return value;
}

int ct_exif_orientation(const uint8_t *exif, size_t n_bytes)
{
    if (n_bytes < 8 || (memcmp(exif, "II*\0", 4) != 0 && memcmp(exif, "MM\0*", 4) != 0))
        return 1;
    bool is_big_endian = exif[0] == 'M';
    size_t at = read_uint(exif + 4, 4, is_big_endian);
    if (at > n_bytes - 2)
        return 1;
    uint32_t n_entries = read_uint(exif + at, 2, is_big_endian);
    at += 2;
    for (uint32_t i = 0; i < n_entries && n_bytes - at >= ENTRY_BYTES; i++, at += ENTRY_BYTES) {
        const uint8_t *entry = exif + at;
        if (read_uint(entry, 2, is_big_endian) != TAG_ORIENTATION)
            continue;
        uint32_t type = read_uint(entry + 2, 2, is_big_endian);
        if (type != TYPE_SHORT && type != TYPE_LONG)
            return 1;
        uint32_t value = read_uint(entry + 8, type == TYPE_SHORT ? 2 : 4, is_big_endian);
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}
