/* JPEG by libjpeg-turbo: sequential and progressive, gray, YCbCr, RGB, CMYK and YCCK, any
 * subsampling.
 *
 * libjpeg reports by callbacks that must not return: they jump to the beginning of decode(), which
 * returns, and what must survive the jump is its caller's struct reader. What it only warns of is damage that it
 * papers over, mostly with gray; here that is an error. */
#include "engine/image/decode_internal.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h> /* jpeglib.h needs it */
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* A progressive picture has about ten scans; a hostile one has thousands, each over all pixels. */
enum { MAX_SCANS = 100, EXIF_MARKER = JPEG_APP0 + 1 };
static const uint8_t exif_name[6] = "Exif\0";

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf on_error;
    uint8_t *cmyk; /* a row */
    enum ct_status status;
    struct ct_error *err;
};

static struct reader *reader_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

static enum ct_status status_of(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
        return CT_MEMORY;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        return CT_UNSUPPORTED;
    default:
        return CT_INVALID;
    }
}

static _Noreturn void on_error(j_common_ptr jpeg)
{
    struct reader *reader = reader_of(jpeg);
    char message[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, message);
    reader->status = ct_error_set(reader->err, status_of(jpeg->err->msg_code), "JPEG: %s", message);
    longjmp(reader->on_error, 1);
}

/* level -1 is a warning, 0 and above are for curious people. */
static void on_message(j_common_ptr jpeg, int level)
{
    int code = jpeg->err->msg_code;
    bool is_harmless = code == JWRN_JFIF_MAJOR || code == JWRN_ADOBE_XFORM; /* of no pixel */
    if (level < 0 && !is_harmless)
        on_error(jpeg);
}

static void on_progress(j_common_ptr jpeg)
{
    struct reader *reader = reader_of(jpeg);
    if (reader->jpeg.input_scan_number <= MAX_SCANS)
        return;
    reader->status = ct_error_set(reader->err, CT_INVALID, "JPEG: more than %d scans", MAX_SCANS);
    longjmp(reader->on_error, 1);
}

static int read_orientation(const struct jpeg_decompress_struct *jpeg)
{
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m != NULL; m = m->next)
        if (m->data_length > sizeof exif_name && memcmp(m->data, exif_name, sizeof exif_name) == 0)
            return ct_exif_orientation(m->data + sizeof exif_name,
                                       m->data_length - sizeof exif_name);
    return 1;
}

/* Adobe's CMYK holds the paper's share of light, 255 - ink: a colour is what passes its own ink
 * and the black one. Rounded as Pillow rounds. */
static void cmyk_to_rgb(const uint8_t *cmyk, int n_pixels, uint8_t *rgb)
{
    for (int i = 0; i < n_pixels; i++, cmyk += 4, rgb += 3)
        for (int c = 0; c < 3; c++) {
            unsigned absorbed = (255u - cmyk[c]) * cmyk[3] + 128;
            rgb[c] = (uint8_t)(cmyk[3] - ((absorbed + (absorbed >> 8)) >> 8));
        }
}

/* Leaves the outcome in reader->status. */
static void decode(struct reader *reader, const uint8_t *data, size_t n_bytes,
                   const struct ct_image_limits *limits, struct ct_image *image, int *orientation)
{
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (setjmp(reader->on_error) != 0)
        return;
    jpeg_create_decompress(jpeg);
    jpeg->progress = &reader->progress;
    jpeg_mem_src(jpeg, data, (unsigned long)n_bytes);
    jpeg_save_markers(jpeg, EXIF_MARKER, 0xFFFF);
    jpeg_read_header(jpeg, TRUE);
    *orientation = read_orientation(jpeg);
    reader->status =
        ct_image_take(image, jpeg->image_width, jpeg->image_height, limits, reader->err);
    if (reader->status != CT_OK)
        return;
    bool is_cmyk = jpeg->num_components == 4;
    jpeg->out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
    if (is_cmyk && (reader->cmyk = malloc((size_t)image->width * 4)) == NULL) {
        reader->status = ct_error_set(reader->err, CT_MEMORY, "no memory to decode JPEG");
        return;
    }
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *rgb = image->pixels + (size_t)jpeg->output_scanline * (size_t)image->width * 3;
        uint8_t *row = is_cmyk ? reader->cmyk : rgb;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (is_cmyk)
            cmyk_to_rgb(reader->cmyk, image->width, rgb);
    }
    jpeg_finish_decompress(jpeg); /* reads up to the end marker: a file without it has been cut */
}

enum ct_status ct_jpeg_decode(const uint8_t *data, size_t n_bytes,
                              const struct ct_image_limits *limits, struct ct_image *image,
                              int *orientation, struct ct_error *err)
{
    struct reader reader = {.err = err};
    reader.jpeg.err = jpeg_std_error(&reader.errors);
    reader.jpeg.client_data = &reader;
    reader.errors.error_exit = on_error;
    reader.errors.emit_message = on_message;
    reader.progress.progress_monitor = on_progress;
    decode(&reader, data, n_bytes, limits, image, orientation);
    jpeg_destroy_decompress(&reader.jpeg);
    free(reader.cmyk);
    return reader.status;
}
