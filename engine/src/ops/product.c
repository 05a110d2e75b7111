#include "ops/product.h"
#include <string.h>

void op_panel_from_rows(float *dst, size_t nr, const op_file_f32 *src, size_t ld, size_t cols,
                        size_t k, float scale)
{
    enum { BLOCK = 16 }; /* a cache line of each source row at a time */
    for (size_t p = 0; p < k; p += BLOCK) {
        const size_t end = op_min(p + BLOCK, k);
        for (size_t j = 0; j < nr; j++)
            for (size_t q = p; q < end; q++)
                dst[q * nr + j] = j < cols ? src[j * ld + q] * scale : 0.0f;
    }
}

void op_panel_from_cols(float *dst, size_t nr, const op_file_f32 *src, size_t ld, size_t cols,
                        size_t k, float scale)
{
    for (size_t p = 0; p < k; p++) {
        for (size_t j = 0; j < cols; j++)
            dst[p * nr + j] = src[p * ld + j] * scale;
        for (size_t j = cols; j < nr; j++)
            dst[p * nr + j] = 0.0f;
    }
}

void op_rows_packed(const op_instance *inst, const op_file_f32 *b, size_t k, size_t first,
                    size_t count, size_t rows)
{
    if (inst->part_packed && first < rows)
        inst->part_packed(inst->part_ctx, b + first * k,
                          op_min(count, rows - first) * k * sizeof *b);
}

op_range op_cut(size_t n, size_t unit, size_t parts, size_t i)
{
    const size_t units = (n + unit - 1) / unit;
    const size_t from = units * i / parts * unit, to = units * (i + 1) / parts * unit;
    return (op_range){op_min(from, n), op_min(to, n)};
}
