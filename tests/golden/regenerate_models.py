#!/usr/bin/env python3
"""Write the small ONNX models of golden/onnx and what onnxruntime makes of them.

  regenerate_models.py --torch   the models that PyTorch exports (needs torch)
  regenerate_models.py           the others, and x.npy and y.npy of all (needs onnx, onnxruntime)

For each NAME: NAME.onnx, NAME.x.npy (input) and NAME.y.npy (first output). onnxruntime does not run
operator set 6: those outputs are computed here by numpy.
"""
import os
import sys

import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "onnx")
rng = np.random.default_rng(7)


def torch_models():
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, view):
            super().__init__()
            self.view = view
            self.body = nn.Sequential(
                nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.PReLU(4), nn.MaxPool2d(2),
                nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.PReLU(), nn.AvgPool2d(2), nn.Dropout(0.5))
            self.head = nn.Sequential(nn.Linear(16, 6), nn.PReLU(6), nn.Linear(6, 5))

        def forward(self, x):
            y = self.body(x)
            y = y.view(y.size(0), -1) if self.view else torch.flatten(y, 1)
            return self.head(y)

    torch.manual_seed(3)
    for name, view, opset, axes, folding in (
            ("torch_view13", True, 13, {"x": {0: "n"}}, False), ("torch_view9", True, 9, {"x": {0: "n"}}, False),
            ("torch_flatten16", False, 16, None, True), ("torch_view11", True, 11, None, True)):
        net = Net(view)
        net.body[1].running_mean.uniform_(-1, 1)
        net.body[1].running_var.uniform_(0.5, 2)
        net.eval()
        torch.onnx.export(net, torch.zeros(1, 3, 8, 8), os.path.join(OUT, name + ".onnx"), opset_version=opset,
                          input_names=["x"], output_names=["y"], dynamic_axes=axes, do_constant_folding=folding)


class Model:
    """Nodes and initialisers under construction."""

    def __init__(self, opset, shape, ir=7):
        self.opset, self.ir, self.shape = opset, ir, shape
        self.nodes, self.inits, self.inputs = [], [], []

    def const(self, name, value, dtype=np.float32):
        from onnx import numpy_helper
        self.inits.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def op(self, op, inputs, output="y", **attrs):
        from onnx import helper
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attrs))
        return output

    def save(self, name, out_rank=None):
        import onnx
        from onnx import TensorProto, helper
        value = helper.make_tensor_value_info
        inputs = [value("x", TensorProto.FLOAT, ["n"] + list(self.shape))] + self.inputs
        model = helper.make_model(
            helper.make_graph(self.nodes, name, inputs, [value("y", TensorProto.FLOAT, None)], self.inits),
            opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = self.ir
        onnx.save(model, os.path.join(OUT, name + ".onnx"))


def weights(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def simple(name, opset, shape, op, consts=(), **attrs):
    m = Model(opset, shape)
    m.op(op, ["x"] + [m.const(f"c{i}", *(c if isinstance(c, tuple) else (c,))) for i, c in enumerate(consts)], **attrs)
    m.save(name)


def ints(*v):
    return (v, np.int64)


def activations():
    slopes = np.array([-0.5, 0.25, 1.5, 0], np.float32)
    simple("prelu7_c11", 7, (4, 3, 3), "PRelu", [slopes.reshape(4, 1, 1)])
    simple("prelu9_1c11", 9, (4, 3, 3), "PRelu", [slopes.reshape(1, 4, 1, 1)])
    simple("prelu13_shared", 13, (4, 3, 3), "PRelu", [slopes[:1]])
    simple("prelu13_scalar", 13, (4, 3, 3), "PRelu", [slopes[0]])
    simple("prelu16_units", 16, (4,), "PRelu", [slopes])
    simple("prelu16_width", 16, (2, 3, 4), "PRelu", [slopes])
    simple("leaky6", 8, (4, 3, 3), "LeakyRelu", alpha=0.3)
    simple("relu14", 14, (4, 3, 3), "Relu")
    simple("sigmoid13", 13, (4, 3, 3), "Sigmoid")
    simple("hardswish14", 14, (4, 3, 3), "HardSwish")
    simple("clip7", 7, (4, 3, 3), "Clip", min=-0.5, max=0.75)
    simple("clip12", 12, (4, 3, 3), "Clip", [np.float32(-0.5), np.float32(0.75)])
    simple("softmax11", 11, (5,), "Softmax")
    simple("softmax12_map", 12, (5, 1, 1), "Softmax")
    simple("softmax12_rows", 12, (5, 2, 3), "Softmax")
    simple("softmax13_axis1", 13, (5, 2, 3), "Softmax", axis=1)
    simple("logsoftmax13", 13, (5,), "LogSoftmax")


def layers():
    conv = dict(kernel_shape=[3, 3])
    simple("conv_pads", 11, (3, 7, 6), "Conv", [weights(4, 3, 3, 3), weights(4)], pads=[1, 0, 2, 1], strides=[2, 1], **conv)
    simple("conv_same", 11, (3, 7, 6), "Conv", [weights(4, 3, 3, 3)], auto_pad="SAME_UPPER", strides=[2, 2], **conv)
    simple("conv_same_lower", 11, (3, 8, 8), "Conv", [weights(4, 3, 2, 2)], auto_pad="SAME_LOWER", kernel_shape=[2, 2])
    simple("conv_dilated", 11, (4, 9, 9), "Conv", [weights(6, 2, 3, 3), weights(6)], dilations=[2, 2], group=2, **conv)
    simple("maxpool_ceil", 12, (2, 7, 8), "MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    simple("maxpool_pads", 8, (2, 7, 8), "MaxPool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], storage_order=0)
    simple("avgpool_pads", 11, (2, 7, 8), "AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    simple("avgpool_include", 11, (2, 7, 8), "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    simple("global_average", 9, (3, 4, 5), "GlobalAveragePool")
    simple("global_max", 9, (3, 4, 5), "GlobalMaxPool")
    simple("gemm_plain", 7, (6,), "Gemm", [weights(6, 4), weights(4)])
    simple("gemm_scaled", 13, (6,), "Gemm", [weights(4, 6), weights(1, 4)], transB=1, alpha=0.5, beta=2.0)
    simple("pad11", 11, (3, 4, 5), "Pad", [ints(0, 0, 1, 2, 0, 0, 3, 0), np.float32(0)])
    simple("pad2", 9, (3, 4, 5), "Pad", pads=[0, 0, 1, 2, 0, 0, 3, 0])
    simple("batchnorm9", 9, (3, 4, 4), "BatchNormalization",
           [weights(3), weights(3), weights(3), np.abs(weights(3)) + 0.5], epsilon=1e-3)
    simple("batchnorm15", 15, (3, 4, 4), "BatchNormalization",
           [weights(3), weights(3), weights(3), np.abs(weights(3)) + 0.5])
    m = Model(13, (6,))
    m.op("MatMul", ["x", m.const("w", weights(6, 4))], "product")
    m.op("Add", [m.const("b", weights(4)), "product"])
    m.save("matmul_bias")
    for opset in (7, 11, 13):
        m = Model(opset, (6,))
        ratio = [m.const("ratio", np.float32(0.3))] if opset >= 12 else []
        m.op("Dropout", ["x"] + ratio, "dropped", **({} if ratio else {"ratio": 0.3}))
        m.op("Mul", ["dropped", m.const("two", np.float32(2))])
        m.save(f"dropout{opset}")


def shapes():
    simple("slice9", 9, (3, 6, 7), "Slice", axes=[2, 3], starts=[1, -3], ends=[5, 2147483647])
    simple("slice13_steps", 13, (3, 6, 7), "Slice", [ints(5, 0), ints(-10, 7), ints(2, 3), ints(-2, 3)])
    simple("slice13_no_axes", 13, (3, 6), "Slice", [ints(0, 1, 2), ints(9, 3, 5)])
    simple("reduce_mean13", 13, (3, 4, 5), "ReduceMean", axes=[2, 3], keepdims=0)
    simple("reduce_max18", 18, (3, 4, 5), "ReduceMax", [ints(-1, 2)], keepdims=1)
    simple("reduce_mean18", 18, (3, 4, 5), "ReduceMean", [ints(1)], keepdims=0)
    simple("flatten_axis2", 11, (2, 3, 4), "Flatten", axis=2)
    simple("reshape13", 13, (2, 3, 4), "Reshape", [ints(0, 4, -1)])
    simple("transpose", 13, (2, 3, 4), "Transpose", perm=[0, 2, 3, 1])
    simple("squeeze11", 11, (3, 1, 1), "Squeeze", axes=[2, 3])
    simple("squeeze13_middle", 13, (1, 3, 2), "Squeeze", [ints(1)])
    simple("unsqueeze11", 11, (3,), "Unsqueeze", axes=[2, 3])
    simple("unsqueeze13_middle", 13, (3, 2), "Unsqueeze", [ints(-2, 1)])
    m = Model(13, (2, 3, 3))
    m.op("Relu", ["x"], "r")
    m.op("Concat", ["x", "r", "x"], axis=1)
    m.save("concat")
    m = Model(8, (2, 3, 3))
    m.op("Sub", ["x", m.const("a", weights(1, 2, 1, 1))], "s")
    m.op("Div", ["s", m.const("b", weights(3, 3) + 5)], "d")
    m.op("Identity", ["d"], "i")
    m.op("Sum", ["x", "d", "i"])
    m.save("arithmetic")
    m = Model(13, (2, 3, 3))
    m.op("Relu", ["x"], "r")
    m.op("Identity", ["r"])
    m.save("identity_output")


def tensors():
    from onnx import TensorProto, helper, numpy_helper
    w = weights(4, 6)
    for name, kind, values in (("f32_typed", TensorProto.FLOAT, w), ("f64_raw", TensorProto.DOUBLE, w),
                               ("f64_typed", TensorProto.DOUBLE, w), ("f16_raw", TensorProto.FLOAT16, w),
                               ("f16_typed", TensorProto.FLOAT16, w), ("bf16_typed", TensorProto.BFLOAT16, w)):
        m = Model(13, (6,))
        if name == "f16_raw":
            t = numpy_helper.from_array(values.astype(np.float16), "w")
        elif name == "f64_raw":
            t = numpy_helper.from_array(values.astype(np.float64), "w")
        else:
            t = helper.make_tensor("w", kind, values.shape, values.flatten().tolist())
        m.inits.append(t)
        m.op("Cast", ["w"], "wf", to=TensorProto.FLOAT)
        m.op("Gemm", ["x", "wf"], transB=1)
        m.save("weights_" + name)
    m = Model(13, (2, 3, 4))
    m.inits.append(helper.make_tensor("shape", TensorProto.INT64, (2,), [0, -1]))
    m.op("Reshape", ["x", "shape"])
    m.save("int64_typed")
    m = Model(8, (4, 3, 3), ir=3)
    slope = weights(4, 1, 1)
    m.op("PRelu", ["x", m.const("slope", slope)])
    m.inputs.append(helper.make_tensor_value_info("slope", TensorProto.FLOAT, slope.shape))
    m.save("ir3_inputs")
    m = Model(13, (4,))
    m.op("Constant", [], "a", value=numpy_helper.from_array(weights(4), "t"))
    m.op("Constant", [], "b", value_float=1.5)
    m.op("Constant", [], "c", value_floats=[1.0, 2.0, 3.0, 4.0])
    m.op("Constant", [], "s", value_ints=[-1, 2, 2])
    m.op("Add", ["x", "a"], "d")
    m.op("Mul", ["d", "b"], "e")
    m.op("Sub", ["e", "c"], "f")
    m.op("Reshape", ["f", "s"])
    m.save("constants")
    m = Model(13, (2, 3, 4))  # x.view(n * 2, 3, 4).view(n, 24), as the sizes' arithmetic would have it
    m.op("Shape", ["x"], "shape")
    m.op("Gather", ["shape", m.const("zero", 0, np.int64)], "n", axis=0)
    m.op("Gather", ["shape", m.const("rest", [1, 2, 3], np.int64)], "sizes", axis=0)
    m.op("Slice", ["sizes", m.const("from", [1], np.int64), m.const("to", [3], np.int64)], "hw")
    m.op("Mul", ["n", m.const("one", 1, np.int64)], "n1")
    m.op("Unsqueeze", ["n1", m.const("axis", [0], np.int64)], "n2")
    m.op("Concat", ["n2", "hw", m.const("left", [-1], np.int64)], "target", axis=0)
    m.op("Reshape", ["x", "target"])
    m.save("shape_arithmetic")


def spp_lowered(m, x, size, levels):
    """The pattern of SPP: MaxPool where it can, else Slice and ReduceMax; as our writer's peers do."""
    flats = []
    for n in levels:
        bins = [((i * size) // n, ((i + 1) * size + n - 1) // n) for i in range(n)]
        if size % n == 0:
            m.op("MaxPool", [x], f"l{n}", kernel_shape=[size // n] * 2, strides=[size // n] * 2)
        else:
            for r, (r0, r1) in enumerate(bins):
                for c, (c0, c1) in enumerate(bins):
                    b = f"l{n}_{r}{c}"
                    consts = [m.const(b + s, v, np.int64) for s, v in (("s", (r0, c0)), ("e", (r1, c1)), ("a", (2, 3)))]
                    m.op("Slice", [x] + consts, b + ".slice")
                    m.op("ReduceMax", [b + ".slice"], b, axes=[2, 3], keepdims=1)
                m.op("Concat", [f"l{n}_{r}{c}" for c in range(n)], f"l{n}_{r}", axis=3)
            m.op("Concat", [f"l{n}_{r}" for r in range(n)], f"l{n}", axis=2)
        flats.append(m.op("Flatten", [f"l{n}"], f"f{n}", axis=1))
    return m.op("Concat", flats, "spp", axis=1)


def nets():
    m = Model(13, (3, 14, 14))
    m.op("Conv", ["x", m.const("w", weights(4, 3, 3, 3)), m.const("b", weights(4))], "c", kernel_shape=[3, 3], pads=[1] * 4)
    m.op("PRelu", ["c", m.const("a", weights(4, 1, 1))], "p")
    m.op("MaxPool", ["p"], "m", kernel_shape=[2, 2], strides=[2, 2])
    spp_lowered(m, "m", 7, (7, 3, 2, 1))
    m.op("Gemm", ["spp", m.const("fw", weights(5, 4 * 63)), m.const("fb", weights(5))], "logits", transB=1)
    m.op("Softmax", ["logits"], axis=1)
    m.save("net_spp")
    m = Model(12, (3, 8, 8))
    m.op("Conv", ["x", m.const("w", weights(5, 3, 3, 3))], "c", kernel_shape=[3, 3])
    m.op("Relu", ["c"], "r")
    m.op("GlobalAveragePool", ["r"], "g")
    m.op("Softmax", ["g"], "s")
    m.op("Flatten", ["s"])
    m.save("net_softmax_flatten")


def usual_networks():
    """What the usual networks need besides, and the forms that it has had."""
    around = [0, 1, 2, 3, 0, 0, 1, 2]
    simple("pad13_edge", 13, (3, 4, 5), "Pad", [ints(*around)], mode="edge")
    simple("pad13_reflect", 13, (3, 4, 5), "Pad", [ints(*around)], mode="reflect")
    simple("pad19_wrap", 19, (3, 4, 5), "Pad", [ints(*around)], mode="wrap")
    simple("pad13_value", 13, (3, 4, 5), "Pad", [ints(*around), np.float32(-1.5)])
    simple("pad13_cut", 13, (3, 4, 5), "Pad", [ints(0, 0, -1, 2, 0, 1, 0, -2)])
    simple("pad13_rows", 13, (5,), "Pad", [ints(0, 2, 0, 1)], mode="edge")
    simple("pad18_axes", 18, (3, 4, 5), "Pad", [ints(1, 2, 0, 3), np.float32(0), ints(-1, 2)])
    simple("pad9_reflect", 9, (3, 4, 5), "Pad", pads=around, mode="reflect")
    simple("lrn13", 13, (7, 3, 4), "LRN", size=5, alpha=0.5, beta=0.75, bias=2.0)
    simple("lrn13_wide", 13, (3, 3, 4), "LRN", size=9, alpha=0.5, beta=0.5)
    simple("reduce_sum11", 11, (3, 4, 5), "ReduceSum", axes=[2, 3], keepdims=0)
    simple("reduce_sum13", 13, (3, 4, 5), "ReduceSum", [ints(-1, 1)])
    simple("softmax11_axis2", 11, (3, 4, 5), "Softmax", axis=2)
    simple("softmax11_axis3", 11, (3, 4, 5), "Softmax", axis=-1)
    simple("logsoftmax11_map", 11, (5, 1, 1), "LogSoftmax")
    simple("squeeze13_all", 13, (3, 1, 1), "Squeeze")
    simple("hardsigmoid13", 13, (4, 3, 3), "HardSigmoid", alpha=0.5, beta=0.25)
    simple("conv_depthwise", 13, (6, 7, 8), "Conv", [weights(6, 1, 3, 3), weights(6)], group=6, pads=[1, 1, 1, 1],
           strides=[2, 1])
    simple("conv_multiplier", 13, (3, 7, 8), "Conv", [weights(6, 1, 3, 3)], group=3, dilations=[2, 1])
    simple("gemm_scalar", 13, (6,), "Gemm", [weights(6, 4), weights()], beta=0.5)
    simple("avgpool19_dilated", 19, (2, 9, 9), "AveragePool", kernel_shape=[3, 3], dilations=[2, 1], strides=[1, 2])
    m = Model(13, (4, 3, 3))
    m.op("Clip", ["x", "", m.const("most", np.float32(0.5))])
    m.save("clip13_max_only")
    m = Model(13, (4, 3, 3))
    m.op("Sigmoid", ["x"], "gate")
    m.op("Mul", ["x", "gate"])
    m.save("swish13")
    m = Model(13, (4, 3, 3))
    m.op("Add", ["x", m.const("three", np.float32(3))], "shifted")
    m.op("Clip", ["shifted", m.const("zero", np.float32(0)), m.const("six", np.float32(6))], "clipped")
    m.op("Mul", ["x", "clipped"], "product")
    m.op("Div", ["product", "six"])
    m.save("hardswish13_by_hand")
    m = Model(13, (4, 3))
    m.op("ConstantOfShape", [m.const("sizes", (4, 3), np.int64)], "zeros")
    m.op("Cast", [m.const("two", (2,), np.int64)], "float.two", to=1)
    m.op("Add", ["zeros", "float.two"], "twos")
    m.op("Mul", ["x", "twos"])
    m.save("filled13")
    m = Model(13, (3, 4, 5))
    m.op("Pad", ["x", m.const("pads", (0, 0, 1, 2, 0, 0, 3, 0), np.int64)], "padded")
    m.op("Conv", ["padded", m.const("w", weights(4, 3, 3, 3))], "map", pads=[0, 1, 1, 0])
    m.op("Pad", ["map", "pads"], "again")
    m.op("AveragePool", ["again"], kernel_shape=[4, 4], strides=[1, 2])
    m.save("pad_conv_pool")


def old_models():
    """Operator set 6, computed by numpy."""
    slopes = np.array([-0.5, 0.25, 1.5, 0], np.float32)
    simple("op6_prelu_channel", 6, (4, 3, 3), "PRelu", [slopes])
    simple("op6_prelu_shared", 6, (4, 3, 3), "PRelu", [slopes[1:2]])
    simple("op6_prelu_units", 6, (4,), "PRelu", [slopes])
    simple("op6_add_axis", 6, (4, 3, 3), "Add", [slopes], broadcast=1, axis=1)
    simple("op6_mul_trailing", 6, (2, 3, 4), "Mul", [slopes], broadcast=1)
    prelu = lambda x, a: np.where(x > 0, x, a * x)
    return {
        "op6_prelu_channel": lambda x: prelu(x, slopes.reshape(4, 1, 1)), "op6_prelu_shared": lambda x: prelu(x, slopes[1]),
        "op6_prelu_units": lambda x: prelu(x, slopes), "op6_add_axis": lambda x: x + slopes.reshape(4, 1, 1),
        "op6_mul_trailing": lambda x: x * slopes,
    }


def outputs(by_numpy):
    import onnx
    import onnxruntime
    for name in sorted(os.listdir(OUT)):
        if not name.endswith(".onnx"):
            continue
        name = name[:-5]
        path = os.path.join(OUT, name)
        dims = onnx.load(path + ".onnx").graph.input[0].type.tensor_type.shape.dim
        shape = [d.dim_value or 2 for d in dims]
        x = np.random.default_rng(len(name)).standard_normal(shape).astype(np.float32)
        if name in by_numpy:
            y = by_numpy[name](x)
        else:
            session = onnxruntime.InferenceSession(path + ".onnx")
            y = session.run(None, {session.get_inputs()[0].name: x})[0]
        np.save(path + ".x.npy", x)
        np.save(path + ".y.npy", np.ascontiguousarray(y, np.float32))


def field(number, payload):
    """A protobuf field with a length."""
    length, n = b"", len(payload)
    while n >= 128:
        length, n = length + bytes([n & 127 | 128]), n >> 7
    return bytes([number << 3 | 2]) + length + bytes([n]) + payload


def corpus():
    """Files with one thing wrong each, for ../fuzz/corpus/onnx; and some of the right ones."""
    import shutil
    folder = os.path.join(os.path.dirname(OUT), "..", "fuzz", "corpus", "onnx")
    os.makedirs(folder, exist_ok=True)
    for name in ("net_spp", "softmax12_rows", "torch_view13", "shape_arithmetic", "slice13_steps", "constants",
                 "op6_add_axis", "weights_bf16_typed", "pad2", "ir3_inputs", "squeeze13_middle", "pad18_axes",
                 "pad19_wrap", "lrn13", "reduce_sum13", "filled13", "hardswish13_by_hand", "conv_multiplier",
                 "softmax11_axis2"):
        shutil.copy(os.path.join(OUT, name + ".onnx"), folder)
    whole = open(os.path.join(OUT, "net_spp.onnx"), "rb").read()
    opset = field(8, b"\x10\x0d")
    deep = b""
    for i in range(201):  # a graph in an attribute of a node in a graph ...
        deep = field((1, 5, 6)[2 - i % 3], deep)
    tensor = lambda dims, data: field(5, dims + b"\x10\x01" + field(8, b"w") + field(9, data))
    bad = {
        "bad_deep": opset + field(7, deep),
        "bad_cut": whole[: len(whole) * 2 // 3],
        "bad_length": opset + b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "bad_dims": opset + field(7, tensor(b"\x08" + b"\xff" * 8 + b"\x7f" + b"\x08\x04", b"1234")),
        "bad_group": opset + b"\x3b\x3c",
        "bad_external": opset + field(7, field(5, b"\x08\x04\x10\x01" + field(8, b"w") + b"\x70\x01" + field(
            13, field(1, b"location") + field(2, b"../../etc/passwd")))),
        "bad_empty_nodes": opset + field(7, field(1, b"") * 50),
        "bad_text": b"this is no protobuf\n",
    }
    for name, data in bad.items():
        with open(os.path.join(folder, name + ".onnx"), "wb") as f:
            f.write(data)


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    if "--torch" in sys.argv:
        torch_models()
    else:
        activations()
        layers()
        shapes()
        tensors()
        nets()
        old = old_models()
        usual_networks()
        outputs(old)
        corpus()
