#include "base64.h"
#include <nettle/base64.h>

/* Every 4 characters become at most 3 bytes, so what is written is behind what is read. */
prelu_status srv_base64_decode(char *text, size_t len, size_t *out_len, prelu_err *err)
{
    struct base64_decode_ctx ctx;
    size_t n = 0, done = BASE64_DECODE_LENGTH(len);
    for (size_t i = 0; i < len; i++)
        if (!(text[i] == '\\' && i + 1 < len && text[i + 1] == '/'))
            text[n++] = text[i];
    base64_decode_init(&ctx);
    if (!base64_decode_update(&ctx, &done, (uint8_t *)text, n, text) || !base64_decode_final(&ctx))
        return prelu_fail(err, PRELU_E_FORMAT, "not base64");
    *out_len = done;
    return PRELU_OK;
}
