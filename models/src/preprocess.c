#include "model_private.h"
#include "file.h"
#include "prelu/mem.h"
#include <string.h>

void mdl_preprocess_defaults(prelu_preprocess *p)
{
    *p = (prelu_preprocess){.resize = 256,
                            .crop = 224,
                            .scales = {256, 384, 480},
                            .n_scales = 3,
                            .antialias = true,
                            .mean = {0, 0, 0},
                            .std = {1, 1, 1},
                            .scale = 1};
}

prelu_status mdl_preprocess_named(prelu_preprocess *p, const char *name, prelu_err *err)
{
    char *json = NULL;
    size_t len;
    prelu_status st;
    if (!strcmp(name, "raw"))
        return PRELU_OK;
    if (!strcmp(name, "imagenet")) { /* torchvision: RGB 0..1, unit variance */
        static const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
        memcpy(p->mean, mean, sizeof mean);
        memcpy(p->std, std, sizeof std);
        p->scale = 1.0f / 255;
        return PRELU_OK;
    }
    if (!strcmp(name, "caffe")) { /* BGR 0..255 less its mean */
        static const float mean[3] = {104, 117, 123};
        memcpy(p->mean, mean, sizeof mean);
        p->bgr = true;
        return PRELU_OK;
    }
    PRELU_TRY(mdl_file_read(name, (size_t)1 << 20, &json, &len, err));
    st = mdl_preprocess_parse(p, json, true, err);
    prelu_free(json);
    return st;
}
