#include "gradient_cases.h"

/* Attribute lists and shapes as compound literals: of static life at file scope. */
#define INTS(name, ...)                                                                            \
    {                                                                                              \
        name, PRELU_ATTR_INTS, .ints = (const int64_t[]){__VA_ARGS__},                             \
                               .len = sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)     \
    }
#define INT(name_, v)                                                                              \
    {                                                                                              \
        .name = name_, .kind = PRELU_ATTR_INT, .i = v                                              \
    }
#define FLOAT(name_, v)                                                                            \
    {                                                                                              \
        .name = name_, .kind = PRELU_ATTR_FLOAT, .f = v                                            \
    }
#define TEXT(name_, v)                                                                             \
    {                                                                                              \
        .name = name_, .kind = PRELU_ATTR_STRING, .s = v                                           \
    }
#define S0                                                                                         \
    {                                                                                              \
        .rank = 0                                                                                  \
    }
#define S1(a)                                                                                      \
    {                                                                                              \
        1, { a }                                                                                   \
    }
#define S2(a, b)                                                                                   \
    {                                                                                              \
        2, { a, b }                                                                                \
    }
#define S3(a, b, c)                                                                                \
    {                                                                                              \
        3, { a, b, c }                                                                             \
    }
#define S4(a, b, c, d)                                                                             \
    {                                                                                              \
        4, { a, b, c, d }                                                                          \
    }

/* clang-format off */
const gradient_case gradient_cases[] = {
    {"Conv", 3, 1, {{UNIFORM, S4(2, 3, 5, 6)}, {UNIFORM, S4(4, 3, 3, 3)}, {UNIFORM, S1(4)}},
     {INTS("kernel_shape", 3, 3), INTS("pads", 1, 1, 1, 1)}},
    {"Conv", 3, 1, {{UNIFORM, S4(2, 9, 6, 7)}, {UNIFORM, S4(8, 9, 3, 3)}, {UNIFORM, S1(8)}},
     {INTS("kernel_shape", 3, 3), INTS("pads", 1, 1, 1, 1)}},
    {"Conv", 2, 1, {{UNIFORM, S4(1, 8, 9, 10)}, {UNIFORM, S4(10, 8, 3, 3)}},
     {INTS("kernel_shape", 3, 3), INTS("pads", 0, 2, 1, 0)}},
    {"Conv", 2, 1, {{UNIFORM, S4(1, 4, 7, 6)}, {UNIFORM, S4(6, 2, 3, 2)}},
     {INTS("kernel_shape", 3, 2), INTS("strides", 2, 3), INTS("pads", 0, 1, 2, 1), INT("group", 2)}},
    {"Conv", 3, 1, {{UNIFORM, S4(1, 2, 8, 9)}, {UNIFORM, S4(3, 2, 2, 3)}, {UNIFORM, S1(3)}},
     {INTS("kernel_shape", 2, 3), INTS("dilations", 3, 2), INTS("pads", 1, 2, 1, 0)}},
    {"Conv", 3, 1, {{UNIFORM, S4(2, 4, 5, 5)}, {UNIFORM, S4(4, 1, 3, 3)}, {UNIFORM, S1(4)}},
     {INTS("kernel_shape", 3, 3), INTS("pads", 1, 1, 1, 1), INTS("strides", 2, 2), INT("group", 4)}},
    {"Conv", 2, 1, {{UNIFORM, S4(2, 5, 3, 3)}, {UNIFORM, S4(7, 5, 1, 1)}},
     {INTS("kernel_shape", 1, 1)}},
    {"Conv", 3, 1, {{UNIFORM, S4(1, 2, 9, 8)}, {UNIFORM, S4(3, 2, 5, 4)}, {UNIFORM, S1(3)}},
     {INTS("kernel_shape", 5, 4), INTS("strides", 4, 1), INTS("pads", 2, 0, 2, 3)}},
    {"Gemm", 3, 1, {{UNIFORM, S2(3, 5)}, {UNIFORM, S2(5, 4)}, {UNIFORM, S1(4)}}, {{0}}},
    {"Gemm", 3, 1, {{UNIFORM, S2(3, 5)}, {UNIFORM, S2(4, 5)}, {UNIFORM, S2(3, 1)}},
     {INT("transB", 1), FLOAT("alpha", 0.5f), FLOAT("beta", -2.0f)}},
    {"Gemm", 3, 1, {{UNIFORM, S2(5, 3)}, {UNIFORM, S2(5, 4)}, {UNIFORM, S0}}, {INT("transA", 1)}},
    {"Gemm", 2, 1, {{UNIFORM, S2(5, 3)}, {UNIFORM, S2(4, 5)}}, {INT("transA", 1), INT("transB", 1)}},
    {"MatMul", 2, 1, {{UNIFORM, S2(3, 5)}, {UNIFORM, S2(5, 4)}}, {{0}}},

    {"PRelu", 2, 1, {{AWAY, S4(2, 3, 4, 5)}, {UNIFORM, S3(3, 1, 1)}}, {{0}}},
    {"PRelu", 2, 1, {{AWAY, S4(2, 3, 4, 5)}, {UNIFORM, S4(1, 3, 1, 1)}}, {{0}}},
    {"PRelu", 2, 1, {{AWAY, S4(2, 3, 4, 5)}, {UNIFORM, S0}}, {{0}}},
    {"PRelu", 2, 1, {{AWAY, S4(2, 3, 4, 5)}, {UNIFORM, S1(1)}}, {{0}}},
    {"PRelu", 2, 1, {{AWAY, S4(2, 3, 4, 5)}, {UNIFORM, S1(5)}}, {{0}}},
    {"PRelu", 2, 1, {{AWAY, S4(2, 3, 4, 5)}, {UNIFORM, S3(3, 4, 5)}}, {{0}}},
    {"PRelu", 2, 1, {{AWAY, S4(2, 3, 4, 5)}, {UNIFORM, S4(2, 3, 4, 5)}}, {{0}}},
    {"PRelu", 2, 1, {{AWAY, S4(2, 3, 4, 5)}, {UNIFORM, S2(4, 1)}}, {{0}}},
    {"PRelu", 2, 1, {{AWAY, S2(4, 7)}, {UNIFORM, S1(7)}}, {{0}}},
    {"PRelu", 2, 1, {{AWAY, S2(4, 7)}, {UNIFORM, S1(1)}}, {{0}}},
    {"PRelu", 2, 1, {{AWAY, S3(2, 3, 4)}, {UNIFORM, S2(3, 1)}}, {{0}}},
    {"Relu", 1, 1, {{AWAY, S4(2, 3, 2, 3)}}, {{0}}},
    {"LeakyRelu", 1, 1, {{AWAY, S4(2, 3, 2, 3)}}, {FLOAT("alpha", 0.3f)}},
    {"LeakyRelu", 1, 1, {{AWAY, S2(2, 3)}}, {{0}}},
    {"Identity", 1, 1, {{UNIFORM, S2(3, 4)}}, {{0}}},
    {"Sigmoid", 1, 1, {{UNIFORM, S2(3, 4)}}, {{0}}},
    {"Clip", 1, 1, {{AWAY, S4(2, 3, 2, 3)}}, {FLOAT("min", 0.0f)}},
    {"Clip", 1, 1, {{AWAY, S2(3, 4)}}, {FLOAT("max", 0.0f)}},
    {"HardSigmoid", 1, 1, {{UNIFORM, S2(3, 4)}}, {{0}}},
    {"HardSigmoid", 1, 1, {{AWAY, S2(3, 4)}}, {FLOAT("alpha", 2.0f), FLOAT("beta", 0.0f)}},
    {"HardSwish", 1, 1, {{UNIFORM, S4(2, 3, 2, 3)}}, {{0}}},
    {"Pad", 1, 1, {{UNIFORM, S4(2, 3, 4, 5)}},
     {INTS("pads", 0, 1, 2, 0, 0, 0, 1, 3), FLOAT("value", 0.5f)}},
    {"Pad", 1, 1, {{UNIFORM, S2(3, 4)}}, {INTS("pads", 1, 0, 0, 2)}},
    {"Dropout", 1, 1, {{UNIFORM, S2(5, 7)}}, {FLOAT("ratio", 0.4f), INT("id", 3)}},
    {"Dropout", 1, 1, {{UNIFORM, S4(2, 3, 2, 2)}}, {FLOAT("ratio", 0.0f)}},

    {"Add", 2, 1, {{UNIFORM, S4(2, 3, 2, 4)}, {UNIFORM, S4(2, 3, 2, 4)}}, {{0}}},
    {"Add", 2, 1, {{UNIFORM, S3(3, 1, 1)}, {UNIFORM, S4(2, 3, 2, 4)}}, {{0}}},
    {"Sub", 2, 1, {{UNIFORM, S4(2, 3, 2, 4)}, {UNIFORM, S3(3, 1, 1)}}, {{0}}},
    {"Sub", 2, 1, {{UNIFORM, S2(1, 4)}, {UNIFORM, S2(3, 1)}}, {{0}}},
    {"Sub", 2, 1, {{UNIFORM, S0}, {UNIFORM, S4(2, 3, 2, 4)}}, {{0}}},
    {"Mul", 2, 1, {{UNIFORM, S4(2, 3, 2, 4)}, {UNIFORM, S4(2, 3, 1, 1)}}, {{0}}},
    {"Mul", 2, 1, {{UNIFORM, S2(3, 4)}, {UNIFORM, S0}}, {{0}}},
    {"Mul", 2, 1, {{UNIFORM, S4(2, 3, 2, 4)}, {UNIFORM, S3(3, 2, 4)}}, {{0}}},
    {"Div", 2, 1, {{UNIFORM, S4(2, 3, 2, 4)}, {POSITIVE, S1(4)}}, {{0}}},
    {"Div", 2, 1, {{UNIFORM, S2(3, 4)}, {POSITIVE, S2(3, 4)}}, {{0}}},
    {"Sum", 3, 1, {{UNIFORM, S2(3, 4)}, {UNIFORM, S1(4)}, {UNIFORM, S2(3, 1)}}, {{0}}},
    {"Sum", 1, 1, {{UNIFORM, S2(3, 4)}}, {{0}}},

    {"MaxPool", 1, 1, {{SPACED, S4(2, 3, 6, 4)}}, {INTS("kernel_shape", 2, 2), INTS("strides", 2, 2)}},
    {"MaxPool", 1, 1, {{SPACED, S4(1, 2, 7, 6)}},
     {INTS("kernel_shape", 3, 3), INTS("strides", 2, 2), INTS("pads", 1, 1, 0, 1), INT("ceil_mode", 1)}},
    {"MaxPool", 1, 1, {{SPACED, S4(1, 2, 6, 7)}},
     {INTS("kernel_shape", 2, 3), INTS("dilations", 2, 1), TEXT("auto_pad", "VALID")}},
    {"MaxPool", 1, 1, {{SPACED, S4(3, 1, 40, 3)}}, {INTS("kernel_shape", 2, 2)}},
    {"AveragePool", 1, 1, {{UNIFORM, S4(2, 3, 6, 4)}},
     {INTS("kernel_shape", 2, 2), INTS("strides", 2, 2)}},
    {"AveragePool", 1, 1, {{UNIFORM, S4(1, 2, 7, 6)}},
     {INTS("kernel_shape", 3, 3), INTS("strides", 2, 2), INTS("pads", 1, 1, 0, 1)}},
    {"AveragePool", 1, 1, {{UNIFORM, S4(1, 2, 6, 6)}},
     {INTS("kernel_shape", 3, 2), INTS("strides", 2, 3), INTS("pads", 1, 1, 1, 1),
      INT("count_include_pad", 1), INT("ceil_mode", 1)}},
    {"AveragePool", 1, 1, {{UNIFORM, S4(1, 2, 5, 6)}},
     {INTS("kernel_shape", 2, 3), TEXT("auto_pad", "SAME_UPPER")}},
    {"GlobalAveragePool", 1, 1, {{UNIFORM, S4(2, 3, 4, 5)}}, {{0}}},
    {"GlobalMaxPool", 1, 1, {{SPACED, S4(2, 3, 4, 5)}}, {{0}}},
    {"SPP", 1, 1, {{SPACED, S4(2, 3, 5, 7)}}, {INTS("levels", 3, 2, 1)}},
    {"SPP", 1, 1, {{SPACED, S4(1, 2, 3, 2)}}, {INTS("levels", 4, 1)}},
    {"SPP", 1, 1, {{SPACED, S4(1, 70, 2, 2)}}, {INTS("levels", 2)}},

    {"Flatten", 1, 1, {{UNIFORM, S4(2, 3, 4, 5)}}, {{0}}},
    {"Flatten", 1, 1, {{UNIFORM, S4(2, 3, 4, 5)}}, {INT("axis", 2)}},
    {"Reshape", 1, 1, {{UNIFORM, S4(2, 3, 4, 5)}}, {INTS("shape", 0, -1)}},
    {"Reshape", 1, 1, {{UNIFORM, S4(2, 3, 4, 5)}}, {INTS("shape", 5, 4, 2, 3)}},
    {"Reshape", 1, 1, {{UNIFORM, S2(2, 60)}}, {INTS("shape", 2, 3, 4, 5)}},
    {"Transpose", 1, 1, {{UNIFORM, S4(2, 3, 4, 5)}}, {INTS("perm", 0, 2, 3, 1)}},
    {"Transpose", 1, 1, {{UNIFORM, S4(2, 3, 4, 5)}}, {INTS("perm", 1, 3, 0, 2)}},
    {"Transpose", 1, 1, {{UNIFORM, S3(2, 3, 4)}}, {{0}}},
    {"Slice", 1, 1, {{UNIFORM, S4(2, 3, 4, 5)}},
     {INTS("starts", 1, 4), INTS("ends", 3, -6), INTS("axes", 1, 3), INTS("steps", 1, -2)}},
    {"Slice", 1, 1, {{UNIFORM, S2(3, 9)}}, {INTS("starts", 1), INTS("ends", 8), INTS("axes", 1)}},
    {"Concat", 3, 1, {{UNIFORM, S4(2, 3, 2, 3)}, {UNIFORM, S4(2, 1, 2, 3)}, {UNIFORM, S4(2, 5, 2, 3)}},
     {INT("axis", 1)}},
    {"Concat", 2, 1, {{UNIFORM, S4(2, 3, 2, 3)}, {UNIFORM, S4(2, 3, 4, 3)}}, {INT("axis", -2)}},
    {"Concat", 2, 1, {{UNIFORM, S2(2, 3)}, {UNIFORM, S2(1, 3)}}, {INT("axis", 0)}},

    {"BatchNormTrain", 3, 3, {{UNIFORM, S4(2, 3, 3, 4)}, {UNIFORM, S1(3)}, {UNIFORM, S1(3)}}, {{0}}},
    {"BatchNormTrain", 3, 3, {{UNIFORM, S2(6, 4)}, {UNIFORM, S1(4)}, {UNIFORM, S1(4)}},
     {FLOAT("epsilon", 0.1f)}},
    {"BatchNormTrain", 4, 3, {{SPLIT, S4(2, 3, 4, 5)}, {POSITIVE, S1(3)}, {SMALL, S1(3)},
     {UNIFORM, S3(3, 1, 1)}}, {{0}}},
    {"Softmax", 1, 1, {{UNIFORM, S2(3, 5)}}, {{0}}},
    {"Softmax", 1, 1, {{UNIFORM, S4(2, 5, 2, 3)}}, {INT("axis", 1)}},
    {"Softmax", 1, 1, {{UNIFORM, S4(2, 5, 2, 3)}}, {INT("axis", 2)}},
    {"LogSoftmax", 1, 1, {{UNIFORM, S2(3, 5)}}, {{0}}},
    {"LogSoftmax", 1, 1, {{UNIFORM, S4(2, 3, 2, 4)}}, {INT("axis", -1)}},
    {"SoftmaxCrossEntropy", 2, 2, {{UNIFORM, S2(4, 3)}, {LABELS, S1(4)}}, {{0}}},
    {"SoftmaxCrossEntropy", 2, 2, {{UNIFORM, S2(4, 3)}, {LABELS, S1(4)}},
     {FLOAT("label_smoothing", 0.2f)}},
};
/* clang-format on */
const size_t gradient_n_cases = sizeof gradient_cases / sizeof *gradient_cases;
