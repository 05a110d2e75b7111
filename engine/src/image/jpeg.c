#include "image/exif.h"
#include "image/img.h"
#include "prelu/mem.h"
#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#define STRIP_ROWS 16
#define FULL_SIZE_SCANS 40 /* an ordinary progressive file has 10 */

/* All that lives across libjpeg's longjmp is here, in the frame of the public function; the
 * function that calls setjmp changes no local variable of its own, so none needs volatile. */
struct decoder {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    prelu_status status; /* what the jump returns */
    prelu_err *err;
    prelu_image_limits limits;
    int orientation; /* 0 until an Exif segment names one */
    int draft_side;
    prelu_jpeg_info *info;
    prelu_image out; /* upright */
    uint8_t *strip;  /* STRIP_ROWS decoded rows on their way to `out`; NULL if they go directly */
    size_t strip_stride;
    uint8_t *origin;          /* where decoded pixel (0,0) goes */
    ptrdiff_t step_x, step_y; /* bytes from there to (1,0) and to (0,1) */
};

static struct decoder *decoder_of(j_decompress_ptr cinfo) { return cinfo->client_data; }

static prelu_status status_of(int code)
{
    switch (code) {
    case JERR_OUT_OF_MEMORY:
        return PRELU_E_NOMEM;
    case JERR_IMAGE_TOO_BIG:
    case JERR_WIDTH_OVERFLOW:
    case JERR_NO_BACKING_STORE: /* max_memory_to_use is reached */
        return PRELU_E_LIMIT;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        return PRELU_E_UNSUPPORTED;
    case JERR_BAD_LIB_VERSION:
    case JERR_BAD_STRUCT_SIZE:
    case JERR_BAD_STATE:
        return PRELU_E_INTERNAL;
    default:
        return PRELU_E_FORMAT;
    }
}

static _Noreturn void give_up(struct decoder *d, prelu_status st)
{
    d->status = st;
    longjmp(d->jump, 1);
}

static _Noreturn void on_error(j_common_ptr common)
{
    struct decoder *d = decoder_of((j_decompress_ptr)common);
    prelu_status st = status_of(common->err->msg_code);
    if (common->err->msg_code == JERR_NO_BACKING_STORE)
        give_up(d, prelu_fail(d->err, st, "JPEG: decoding takes more than %zu bytes of memory",
                              d->limits.max_decoder_bytes));
    char text[JMSG_LENGTH_MAX];
    common->err->format_message(common, text);
    give_up(d, prelu_fail(d->err, st, "JPEG: %s", text));
}

/* Warnings (level -1) are tolerated, as viewers do, but for one: coefficients that end at a marker
 * other than a restart mean that the file is cut short or its header lies about the size. */
static void on_message(j_common_ptr common, int level)
{
    struct decoder *d = decoder_of((j_decompress_ptr)common);
    int marker = d->cinfo.unread_marker;
    bool restart = marker >= JPEG_RST0 && marker <= JPEG_RST0 + 7;
    if (level < 0 && common->err->msg_code == JWRN_HIT_MARKER && !restart)
        give_up(d, prelu_fail(d->err, PRELU_E_FORMAT, "JPEG: premature end of a scan's data"));
}

static void no_output(j_common_ptr common) { (void)common; }

/* Called for each row of blocks. A progressive file may repeat scans that cost few bytes in the
 * file and a walk over the whole picture here. */
static void on_progress(j_common_ptr common)
{
    struct decoder *d = decoder_of((j_decompress_ptr)common);
    if (d->cinfo.input_scan_number > d->limits.max_scans)
        give_up(d,
                prelu_fail(d->err, PRELU_E_LIMIT, "JPEG: more than %d scans", d->limits.max_scans));
}

static void source_nothing(j_decompress_ptr cinfo) { (void)cinfo; }

/* The whole file is in memory, so a wish for more bytes means that it is cut short. libjpeg's own
 * source would only warn here and make up the rest in gray. */
static boolean source_more(j_decompress_ptr cinfo)
{
    struct decoder *d = decoder_of(cinfo);
    give_up(d, prelu_fail(d->err, PRELU_E_FORMAT, "JPEG: premature end of data"));
}

static void source_skip(j_decompress_ptr cinfo, long len)
{
    if (len <= 0)
        return;
    if ((size_t)len > cinfo->src->bytes_in_buffer)
        source_more(cinfo);
    cinfo->src->next_input_byte += len;
    cinfo->src->bytes_in_buffer -= (size_t)len;
}

/* APP1: read in place, nothing is stored. */
static boolean on_app1(j_decompress_ptr cinfo)
{
    struct decoder *d = decoder_of(cinfo);
    struct jpeg_source_mgr *src = cinfo->src;
    if (src->bytes_in_buffer < 2)
        source_more(cinfo);
    size_t len = (size_t)src->next_input_byte[0] << 8 | src->next_input_byte[1];
    if (len < 2)
        len = 2; /* as libjpeg skips other segments */
    if (src->bytes_in_buffer < len)
        source_more(cinfo);
    if (!d->orientation)
        d->orientation = img_exif_orientation(src->next_input_byte + 2, len - 2);
    source_skip(cinfo, (long)len);
    return TRUE;
}

static void fill_info(struct decoder *d, prelu_jpeg_info *info)
{
    int w = (int)d->cinfo.image_width, h = (int)d->cinfo.image_height;
    int orientation = d->orientation ? d->orientation : 1;
    bool turned = orientation >= 5;
    *info = (prelu_jpeg_info){.width = turned ? h : w,
                              .height = turned ? w : h,
                              .orientation = orientation,
                              .components = d->cinfo.num_components,
                              .progressive = d->cinfo.progressive_mode};
}

static void open_source(struct decoder *d, const void *jpeg, size_t len)
{
    struct jpeg_decompress_struct *c = &d->cinfo;
    c->err = jpeg_std_error(&d->errors);
    d->errors.error_exit = on_error;
    d->errors.emit_message = on_message;
    d->errors.output_message = no_output;
    c->client_data = d;
    jpeg_create_decompress(c);
    size_t most = d->limits.max_decoder_bytes;
    c->mem->max_memory_to_use = most < (size_t)LONG_MAX ? (long)most : LONG_MAX;
    d->progress.progress_monitor = on_progress;
    c->progress = &d->progress;
    d->source = (struct jpeg_source_mgr){.next_input_byte = jpeg,
                                         .bytes_in_buffer = len,
                                         .init_source = source_nothing,
                                         .fill_input_buffer = source_more,
                                         .skip_input_data = source_skip,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = source_nothing};
    c->src = &d->source;
    jpeg_set_marker_processor(c, JPEG_APP0 + 1, on_app1);
}

/* Scans of a picture of max_pixels cost up to 30 ms each, so it gets FULL_SIZE_SCANS of them at
 * most, and a smaller one more in proportion, up to max_scans. */
static void limit_scans(struct decoder *d, size_t pixels)
{
    size_t fits = d->limits.max_pixels / pixels;
    if (fits < (size_t)d->limits.max_scans / FULL_SIZE_SCANS + 1) {
        int scans = (int)fits * FULL_SIZE_SCANS;
        d->limits.max_scans = scans < d->limits.max_scans ? scans : d->limits.max_scans;
    }
}

/* Read up to the first scan and hold the sizes against the limits. */
static prelu_status read_header(struct decoder *d, const void *jpeg, size_t len)
{
    struct jpeg_decompress_struct *c = &d->cinfo;
    open_source(d, jpeg, len);
    jpeg_read_header(c, TRUE);
    if (d->info)
        fill_info(d, d->info);
    size_t pixels = (size_t)c->image_width * c->image_height;
    if (c->image_width > PRELU_MAX_SIDE || c->image_height > PRELU_MAX_SIDE ||
        pixels > d->limits.max_pixels)
        return prelu_fail(
            d->err, PRELU_E_LIMIT, "JPEG: %u x %u = %zu pixels; the limit is %zu, and %d a side",
            c->image_width, c->image_height, pixels, d->limits.max_pixels, PRELU_MAX_SIDE);
    if (c->num_components != 1 && c->num_components != 3 && c->num_components != 4)
        return prelu_fail(d->err, PRELU_E_UNSUPPORTED, "JPEG: %d colour components",
                          c->num_components);
    limit_scans(d, pixels);
    return PRELU_OK;
}

/* 1/8, 1/4, 1/2 or the whole, the smallest whose shorter side is at least 2 * draft_side. */
static void choose_scale(struct decoder *d)
{
    struct jpeg_decompress_struct *c = &d->cinfo;
    unsigned shorter = c->image_width < c->image_height ? c->image_width : c->image_height;
    unsigned denom = d->draft_side ? 8 : 1;
    while (denom > 1 && (shorter + denom - 1) / denom < 2u * (unsigned)d->draft_side)
        denom /= 2;
    c->scale_num = 1;
    c->scale_denom = denom;
}

/* Decoded pixel (x,y) belongs at origin + x * step_x + y * step_y of the upright picture. */
static void choose_steps(struct decoder *d)
{
    int orientation = d->orientation ? d->orientation : 1;
    ptrdiff_t px = 3, row = (ptrdiff_t)d->out.stride;
    ptrdiff_t right = px * (d->out.width - 1), bottom = row * (d->out.height - 1);
    bool from_right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
    bool from_bottom = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
    ptrdiff_t across = from_right ? -px : px, down = from_bottom ? -row : row;
    d->origin = d->out.data + (from_right ? right : 0) + (from_bottom ? bottom : 0);
    d->step_x = orientation >= 5 ? down : across;
    d->step_y = orientation >= 5 ? across : down;
}

static prelu_status prepare_output(struct decoder *d)
{
    struct jpeg_decompress_struct *c = &d->cinfo;
    bool cmyk = c->num_components == 4;
    c->out_color_space = cmyk ? JCS_CMYK : c->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    choose_scale(d);
    jpeg_calc_output_dimensions(c);
    int w = (int)c->output_width, h = (int)c->output_height;
    bool turned = d->orientation >= 5;
    PRELU_TRY(img_create(&d->out, turned ? h : w, turned ? w : h, d->err));
    choose_steps(d);
    if (!cmyk && d->step_x == 3)
        return PRELU_OK;
    d->strip_stride = (size_t)w * (cmyk ? 4 : 3);
    d->strip = prelu_alloc(d->strip_stride * STRIP_ROWS);
    if (!d->strip)
        return prelu_fail(d->err, PRELU_E_NOMEM, "JPEG: %zu bytes for %d rows",
                          d->strip_stride * STRIP_ROWS, STRIP_ROWS);
    return PRELU_OK;
}

/* Pillow takes every four-component JPEG as Adobe writes them, inverted: c, m, y, k here are
 * 255 - ink, so red = c * k / 255, rounded. In place; the pixels shrink from 4 bytes to 3. */
static void cmyk_to_rgb(uint8_t *row, size_t width)
{
    for (size_t x = 0; x < width; x++) {
        unsigned k = row[4 * x + 3];
        for (size_t c = 0; c < 3; c++) {
            unsigned v = row[4 * x + c] * k + 128;
            row[3 * x + c] = (uint8_t)((v + (v >> 8)) >> 8);
        }
    }
}

/* In place: the row's last third holds the gray bytes. They are met before they are overwritten, as
 * pixel x ends at 3 x + 2 < 2 width + x + 1. */
static void gray_to_rgb(uint8_t *row, size_t width)
{
    const uint8_t *gray = row + 2 * width;
    for (size_t x = 0; x + 1 < width; x++) {
        const uint32_t v = gray[x] * 0x010101u;
        memcpy(row + 3 * x, &v, sizeof v); /* the next pixel overwrites the fourth byte */
    }
    row[3 * width - 3] = row[3 * width - 2] = gray[width - 1];
}

/* Rows y .. y+rows-1 from the strip to their upright places. When picture rows become columns the
 * inner loop runs down the strip, so that it writes neighbours. */
static void place_strip(const struct decoder *d, size_t y, size_t rows)
{
    size_t width = d->cinfo.output_width;
    uint8_t *to = d->origin + (ptrdiff_t)y * d->step_y;
    bool columns = d->step_x != 3 && d->step_x != -3;
    size_t outer = columns ? width : rows, inner = columns ? rows : width;
    ptrdiff_t to_outer = columns ? d->step_x : d->step_y,
              to_inner = columns ? d->step_y : d->step_x;
    size_t from_outer = columns ? 3 : d->strip_stride, from_inner = columns ? d->strip_stride : 3;
    for (size_t o = 0; o < outer; o++) {
        const uint8_t *s = d->strip + o * from_outer;
        uint8_t *t = to + (ptrdiff_t)o * to_outer;
        for (size_t i = 0; i < inner; i++, s += from_inner, t += to_inner) {
            t[0] = s[0];
            t[1] = s[1];
            t[2] = s[2];
        }
    }
}

static void read_rows(struct decoder *d)
{
    struct jpeg_decompress_struct *c = &d->cinfo;
    while (c->output_scanline < c->output_height) {
        size_t y = c->output_scanline, rows = c->output_height - y;
        if (rows > STRIP_ROWS)
            rows = STRIP_ROWS;
        JSAMPROW row[STRIP_ROWS];
        const size_t before = c->num_components == 1 ? 2 * (size_t)c->output_width : 0;
        for (size_t i = 0; i < rows; i++)
            row[i] = before + (d->strip ? d->strip + i * d->strip_stride
                                        : d->origin + (ptrdiff_t)(y + i) * d->step_y);
        for (size_t done = 0; done < rows;)
            done += jpeg_read_scanlines(c, row + done, (JDIMENSION)(rows - done));
        for (size_t i = 0; i < rows && before; i++)
            gray_to_rgb(row[i] - before, c->output_width);
        if (!d->strip)
            continue;
        if (c->num_components == 4)
            for (size_t i = 0; i < rows; i++)
                cmyk_to_rgb(row[i], c->output_width);
        place_strip(d, y, rows);
    }
}

/* libjpeg jumps back here on an error: keep this function free of changing locals. */
static prelu_status run(struct decoder *d, const void *jpeg, size_t len, bool header_only)
{
    if (setjmp(d->jump))
        return d->status;
    PRELU_TRY(read_header(d, jpeg, len));
    if (header_only)
        return PRELU_OK;
    PRELU_TRY(prepare_output(d));
    jpeg_start_decompress(&d->cinfo);
    read_rows(d);
    jpeg_finish_decompress(&d->cinfo); /* reads on to the end marker: its absence is an error */
    return PRELU_OK;
}

static prelu_status check_input(const void *jpeg, size_t len, prelu_err *err)
{
    const uint8_t *b = jpeg;
    if (!b && len)
        return prelu_fail(err, PRELU_E_ARG, "JPEG: no data");
    if (!len)
        return prelu_fail(err, PRELU_E_FORMAT, "JPEG: empty");
    if (b[0] != 0xff || (len > 1 && b[1] != 0xd8))
        return prelu_fail(err, PRELU_E_UNSUPPORTED, "not a JPEG: it looks like %s",
                          img_looks_like(b, len));
    return PRELU_OK;
}

prelu_status prelu_jpeg_probe(prelu_jpeg_info *info, const void *jpeg, size_t len,
                              const prelu_image_limits *limits, prelu_err *err)
{
    if (!info)
        return prelu_fail(err, PRELU_E_ARG, "JPEG: nowhere to put the size");
    PRELU_TRY(check_input(jpeg, len, err));
    struct decoder d = {.err = err, .limits = img_limits(limits), .info = info};
    prelu_status st = run(&d, jpeg, len, true);
    jpeg_destroy_decompress(&d.cinfo);
    return st;
}

prelu_status prelu_jpeg_decode(prelu_image *dst, const void *jpeg, size_t len, int draft_side,
                               const prelu_image_limits *limits, prelu_jpeg_info *info,
                               prelu_err *err)
{
    if (!dst || draft_side < 0 || draft_side > PRELU_MAX_SIDE)
        return prelu_fail(err, PRELU_E_ARG, "JPEG: draft side of %d; 0..%d is possible", draft_side,
                          PRELU_MAX_SIDE);
    PRELU_TRY(check_input(jpeg, len, err));
    struct decoder d = {
        .err = err, .limits = img_limits(limits), .info = info, .draft_side = draft_side};
    prelu_status st = run(&d, jpeg, len, false);
    jpeg_destroy_decompress(&d.cinfo);
    prelu_free(d.strip);
    if (st)
        prelu_image_deinit(&d.out);
    else
        *dst = d.out;
    return st;
}
