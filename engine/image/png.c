/* PNG by libspng, which converts every kind (palette, gray, alpha, 1 to 16 bits, interlaced) to RGB
 * rows and checks every CRC. */
#include "engine/image/decode_internal.h"

#include <spng.h>
#include <stdbool.h>
#include <stdlib.h>

/* What text, profiles and EXIF together may take when inflated. */
enum { ANCILLARY_BYTES = 16 << 20 };

/* Whether an allocation of libspng's has failed in this thread: it takes zlib's for damage. */
static _Thread_local bool is_short;

static void *note(void *p)
{
    is_short = is_short || p == NULL;
    return p;
}

static void *allocate(size_t n_bytes)
{
    return note(malloc(n_bytes));
}

static void *reallocate(void *p, size_t n_bytes)
{
    return note(realloc(p, n_bytes));
}

static void *allocate_zeroed(size_t n, size_t n_bytes)
{
    return note(calloc(n, n_bytes));
}

static enum ct_status failed(int code, struct ct_error *err)
{
    if (is_short)
        return ct_error_set(err, CT_MEMORY, "no memory to decode PNG");
    if (code == SPNG_IO_EOF)
        return ct_error_set(err, CT_INVALID, "PNG: the file ends early");
    return ct_error_set(err, CT_INVALID, "PNG: %s", spng_strerror(code));
}

enum ct_status ct_png_decode(const uint8_t *data, size_t n_bytes,
                             const struct ct_image_limits *limits, struct ct_image *image,
                             int *orientation, struct ct_error *err)
{
    struct spng_ihdr header;
    struct spng_exif exif;
    struct spng_alloc memory = {allocate, reallocate, allocate_zeroed, free};
    is_short = false;
    spng_ctx *png = spng_ctx_new2(&memory, 0);
    int code = png == NULL ? SPNG_EMEM : spng_set_png_buffer(png, data, n_bytes);
    if (code == 0)
        code = spng_set_chunk_limits(png, ANCILLARY_BYTES, ANCILLARY_BYTES);
    if (code == 0)
        code = spng_get_ihdr(png, &header);
    enum ct_status status = code == 0 ? CT_OK : failed(code, err);
    if (status == CT_OK)
        status = ct_image_take(image, header.width, header.height, limits, err);
    if (status == CT_OK) {
        size_t n_pixels = (size_t)header.width * header.height;
        code = spng_decode_image(png, image->pixels, 3 * n_pixels, SPNG_FMT_RGB8, 0);
        if (code == 0)
            code = spng_decode_chunks(png); /* to the end: a file without it has been cut */
        status = code == 0 ? CT_OK : failed(code, err);
    }
    if (status == CT_OK && spng_get_exif(png, &exif) == 0)
        *orientation = ct_exif_orientation((const uint8_t *)exif.data, exif.length);
    spng_ctx_free(png);
    return status;
}
