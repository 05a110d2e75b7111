#include "prelu/image.h"

static prelu_status check_crop(const prelu_image *img, int crop, prelu_err *err)
{
    if (!img || !img->data)
        return prelu_fail(err, PRELU_E_ARG, "views: no picture");
    if (crop < 1 || crop > img->width || crop > img->height)
        return prelu_fail(err, PRELU_E_ARG, "views: crop of %d from a picture of %d x %d", crop,
                          img->width, img->height);
    return PRELU_OK;
}

static prelu_view view_at(const prelu_image *img, int x, int y, int crop)
{
    return (prelu_view){.data = img->data + (size_t)y * img->stride + (size_t)x * 3,
                        .stride = img->stride,
                        .width = crop,
                        .height = crop};
}

/* round(slack / 2.0), halves to the even neighbour: 1 -> 0, 3 -> 2, 5 -> 2, 7 -> 4. */
static int center_offset(int slack)
{
    int half = slack / 2;
    return slack % 2 ? half + half % 2 : half;
}

static prelu_view center_of(const prelu_image *img, int crop)
{
    return view_at(img, center_offset(img->width - crop), center_offset(img->height - crop), crop);
}

prelu_status prelu_view_center(prelu_view *view, const prelu_image *img, int crop, prelu_err *err)
{
    PRELU_TRY(check_crop(img, crop, err));
    *view = center_of(img, crop);
    return PRELU_OK;
}

prelu_status prelu_view_ten(prelu_view view[10], const prelu_image *img, int crop, prelu_err *err)
{
    PRELU_TRY(check_crop(img, crop, err));
    int right = img->width - crop, bottom = img->height - crop;
    view[0] = view_at(img, 0, 0, crop);
    view[1] = view_at(img, right, 0, crop);
    view[2] = view_at(img, 0, bottom, crop);
    view[3] = view_at(img, right, bottom, crop);
    view[4] = center_of(img, crop);
    for (int i = 0; i < 5; i++) {
        view[5 + i] = view[i];
        view[5 + i].mirror = true;
    }
    return PRELU_OK;
}
