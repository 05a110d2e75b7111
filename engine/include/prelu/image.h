#ifndef PRELU_IMAGE_H
#define PRELU_IMAGE_H
#include "prelu/status.h"
#include <stdbool.h>
#include <stdint.h>

#define PRELU_MAX_SIDE 65500 /* libjpeg's own limit */

/** A picture: (height,width,3) u8 RGB, rows `stride` bytes apart. Owned by whoever filled it. */
typedef struct prelu_image {
    uint8_t *data;
    int width, height;
    size_t stride;
} prelu_image;

void prelu_image_deinit(prelu_image *img); /* zeroes it; zeroed and NULL are fine */

/** What hostile input may cost. Zero members mean the default in brackets. */
typedef struct prelu_image_limits {
    size_t max_pixels;         /* of the source, from its header [50,000,000] */
    size_t max_resized_pixels; /* of one resized picture [16,000,000] */
    int max_scans;             /* of a progressive file [500]; 40 for one of max_pixels, more in
                                * proportion for a smaller one */
    size_t max_decoder_bytes;  /* libjpeg's own memory [512 MiB] */
} prelu_image_limits;

typedef struct prelu_jpeg_info {
    int width, height; /* upright, after orientation */
    int orientation;   /* EXIF 1..8; 1 when absent or wrong */
    int components;    /* in the file: 1 gray, 3, 4 CMYK/YCCK */
    bool progressive;
} prelu_jpeg_info;

/** Header only: size, orientation; nothing of the picture's size is allocated.
 *  @return as prelu_jpeg_decode. */
PRELU_MUST_CHECK prelu_status prelu_jpeg_probe(prelu_jpeg_info *info, const void *jpeg, size_t len,
                                               const prelu_image_limits *limits, prelu_err *err);

/** Decode a JPEG: baseline, progressive, gray, YCbCr, RGB, CMYK, YCCK (Adobe-inverted or not),
 *  restart markers; turned upright by its EXIF orientation; gray becomes three equal channels,
 *  CMYK becomes RGB as Pillow's convert("RGB") does, which takes all as inverted.
 *  @param draft_side  0 = full decode; else libjpeg may scale while decoding as long as the shorter
 *                     side stays >= 2 * draft_side (the `draft` choice of a model).
 *  @param limits      NULL = all defaults.
 *  @param info        NULL, or filled as soon as the header is read.
 *  @param dst         on PRELU_OK owned by the caller, else untouched.
 *  @return E_ARG; E_FORMAT empty, truncated, corrupt or 0 pixels; E_UNSUPPORTED not a JPEG (the
 * text says what it looks like: PNG, WebP, GIF, text ...), 12-bit, lossless, 2 components,
 * arithmetic coding where libjpeg lacks it; E_LIMIT pixels, side, scans, decoder memory; E_NOMEM.
 * libjpeg's warnings are tolerated, but for scan data that ends before the picture does.
 * Thread-safe. */
PRELU_MUST_CHECK prelu_status prelu_jpeg_decode(prelu_image *dst, const void *jpeg, size_t len,
                                                int draft_side, const prelu_image_limits *limits,
                                                prelu_jpeg_info *info, prelu_err *err);

/** torchvision's geometry: the shorter side becomes `side`, the longer int(side * long / short).
 *  @return E_ARG side or source out of 1..PRELU_MAX_SIDE; E_LIMIT above max_resized_pixels, or a
 *  longer side above PRELU_MAX_SIDE. */
PRELU_MUST_CHECK prelu_status prelu_resized_size(int width, int height, int side,
                                                 const prelu_image_limits *limits, int *out_width,
                                                 int *out_height, prelu_err *err);

/** A rectangle in pixels. */
typedef struct prelu_rect {
    int x, y, width, height;
} prelu_rect;

/** Antialiased bilinear resize, Pillow's (triangle filter widened by the scale, 8-bit fixed-point
 *  passes, horizontal first): within 1 grey level of Image.resize(size, BILINEAR).
 *  @param src   (h,w,3) u8; borrowed.
 *  @param width,height  size of the whole result.
 *  @param part  NULL, or the rectangle of the result that is needed: only it is computed (and only
 *               its source area read); dst then has part's size and the same bytes as that cut.
 *  @param dst   packed; on PRELU_OK owned by the caller (prelu_image_deinit), else untouched.
 *  @return E_ARG sizes; E_LIMIT; E_NOMEM. Thread-safe. Same bytes on every ISA. */
PRELU_MUST_CHECK prelu_status prelu_image_resize(prelu_image *dst, const prelu_image *src,
                                                 int width, int height, const prelu_rect *part,
                                                 prelu_err *err);

/** What a session reads: a (height,width,3) u8 window of a picture, mirrored left-right or not.
 *  Borrows the picture's memory. */
typedef struct prelu_view {
    const uint8_t *data; /* top left pixel of the window */
    size_t stride;       /* bytes between its rows */
    int width, height;
    bool mirror;
} prelu_view;

/** The centre crop (torchvision's rounding: int(round((h - crop) / 2.0)), half to even) of `img`.
 *  @return E_ARG if the picture is smaller than crop. The view borrows img. */
PRELU_MUST_CHECK prelu_status prelu_view_center(prelu_view *view, const prelu_image *img, int crop,
                                                prelu_err *err);
/** 10-view testing: top left, top right, bottom left, bottom right, centre of the whole picture,
 *  then the same five mirrored. Same errors. */
PRELU_MUST_CHECK prelu_status prelu_view_ten(prelu_view view[10], const prelu_image *img, int crop,
                                             prelu_err *err);
#endif
