#!/usr/bin/env python3
"""Writes ops/ops.txt: operators run by onnxruntime, for test_ops_golden.c.

Needs onnx, onnxruntime and numpy (any recent versions). Inputs are not stored: both sides draw them
from the same generator (tests/support/check.h).
"""

import os
import struct

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
MASK = (1 << 64) - 1


def splitmix(state):
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = state
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def draw(seed, shape, kind, lo, hi):
    """kind f: uniform in [lo, hi); i: integers lo..hi, so that equal numbers meet."""
    state, out = seed, []
    for _ in range(int(np.prod(shape, dtype=np.int64))):
        state, r = splitmix(state)
        if kind == "i":
            out.append(np.float32(lo + r % (hi - lo + 1)))
        else:
            f = np.float32(r >> 40)
            out.append(np.float32(lo) + (np.float32(hi) - np.float32(lo)) * f * np.float32(2**-24))
    return np.array(out, np.float32).reshape(shape)


class Case:
    def __init__(self, op, shapes, per_image=False, kind="f", lo=-2.0, hi=2.0, los=None, **attrs):
        self.op, self.shapes, self.attrs = op, shapes, attrs
        self.per_image, self.kind, self.lo, self.hi = per_image, kind, lo, hi
        self.los = los or {}


# Attributes of ours that are inputs in ONNX, in order of the inputs; None = left out
AS_INPUTS = {
    "Reshape": ["shape"],
    "Slice": ["starts", "ends", "axes", "steps"],
    "Clip": ["min", "max"],
}


def model_of(case):
    names, inits = [], []
    inputs = []
    for i, shape in enumerate(case.shapes):
        names.append(f"x{i}")
        inputs.append(helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, shape))
    attrs = dict(case.attrs)
    for name in AS_INPUTS.get(case.op, []):
        value = attrs.pop(name, None)
        if value is None:
            names.append("")
            continue
        dtype = np.float32 if isinstance(value, float) else np.int64
        inits.append(numpy_helper.from_array(np.array(value, dtype), name))
        names.append(name)
    while names[-1] == "":
        names.pop()
    node = helper.make_node(case.op, names, ["y"], **attrs)
    graph = helper.make_graph([node], "g", inputs,
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], inits)
    opset = 14 if case.op == "HardSwish" else 13
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    return model


def cases():
    out = []

    def add(*args, **kw):
        out.append(Case(*args, **kw))

    x = [2, 5, 4, 3]
    for op in ["Relu", "Sigmoid", "HardSwish", "HardSigmoid", "Identity"]:
        add(op, [x], per_image=True, lo=-5.0, hi=5.0)
    add("HardSigmoid", [[7]], alpha=0.3, beta=0.4, lo=-5.0, hi=5.0)
    add("LeakyRelu", [x], per_image=True)
    add("LeakyRelu", [[3, 7]], alpha=0.25)
    add("Clip", [x], per_image=True, min=-0.5, max=1.25)
    add("Clip", [[9]], max=0.5)
    add("Clip", [[9]], min=0.0)

    for slope in [[5, 1, 1], [1, 5, 1, 1], [], [1], [3], [4, 1], [4, 3], [5, 4, 3], [1, 1, 1, 1],
                  [5, 1, 3], [1, 4, 1]]:
        add("PRelu", [x, slope], per_image=True, lo=-1.5, hi=1.5)
    add("PRelu", [x, x], lo=-1.5, hi=1.5)
    add("PRelu", [[2, 3, 5, 7], [3, 1, 1]], per_image=True, lo=-1.5, hi=1.5)
    add("PRelu", [[2, 130, 3, 2], [130, 1, 1]], per_image=True, lo=-1.5, hi=1.5)
    add("PRelu", [[3, 1, 1, 1], [1, 1, 1]], per_image=True)
    for slope in [[11], [1], [], [1, 11], [4, 11]]:
        add("PRelu", [[4, 11], slope], per_image=slope != [4, 11], lo=-1.5, hi=1.5)
    add("PRelu", [[2, 3, 4], [3, 1]], per_image=True, lo=-1.5, hi=1.5)

    pairs = [(x, x), (x, [5, 1, 1]), ([5, 1, 1], x), (x, []), ([], x), (x, [3]), (x, [4, 1]),
             ([4, 11], [11]), ([4, 11], [4, 1]), ([1, 11], [4, 1]), (x, [2, 1, 1, 3]),
             ([2, 3, 9, 10], [1, 3, 1, 1]), ([1, 3, 1, 1], [2, 3, 9, 10]), ([2, 1, 4, 1], [5, 1, 3]),
             ([], []), ([6], [6]), ([5, 3, 4], [2, 5, 1, 1]), ([1, 2, 1, 3, 2], [2, 1, 4, 1, 1])]
    for i, (a, b) in enumerate(pairs):
        ops = ["Add", "Sub", "Mul", "Div"]
        add(ops[i % 4], [a, b], los={1: 0.5} if ops[i % 4] == "Div" else None)
        add(ops[(i + 1) % 4], [a, b], los={1: 0.5} if ops[(i + 1) % 4] == "Div" else None)
    add("Sum", [x, [5, 1, 1], x])
    add("Sum", [[5, 1, 1], x])
    add("Sum", [[4, 3]])
    add("Sum", [[1, 3], [4, 1], [], [4, 3]])

    def pool(shape, **kw):
        add("MaxPool", [shape], per_image=True, kind="i", lo=-9, hi=9, **kw)
        if "dilations" not in kw:
            add("AveragePool", [shape], per_image=True, **kw)
            if "pads" in kw or "auto_pad" in kw:
                add("AveragePool", [shape], per_image=True, count_include_pad=1, **kw)

    pool([2, 3, 6, 6], kernel_shape=[2, 2], strides=[2, 2])
    pool([2, 3, 7, 5], kernel_shape=[3, 3], strides=[2, 2])
    pool([1, 5, 7, 6], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    pool([2, 2, 7, 6], kernel_shape=[3, 2], strides=[1, 2], pads=[1, 0, 2, 1])
    pool([1, 17, 5, 5], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    pool([1, 3, 6, 7], kernel_shape=[3, 3], strides=[3, 2], pads=[0, 1, 0, 1], ceil_mode=1)
    pool([1, 2, 4, 4], kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)
    pool([1, 2, 5, 4], kernel_shape=[2, 2], strides=[3, 3], pads=[0, 0, 1, 1], ceil_mode=1)
    pool([1, 2, 1, 1], kernel_shape=[1, 1])
    pool([1, 2, 9, 9], kernel_shape=[1, 1], strides=[3, 4])
    pool([2, 3, 5, 4], kernel_shape=[5, 4])
    pool([1, 2, 8, 9], kernel_shape=[2, 3], dilations=[3, 2])
    pool([1, 2, 8, 9], kernel_shape=[2, 3], dilations=[2, 2], strides=[2, 1], pads=[1, 2, 0, 1])
    for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
        pool([1, 3, 6, 5], kernel_shape=[3, 2], strides=[2, 2], auto_pad=auto)
        pool([1, 2, 5, 7], kernel_shape=[2, 4], auto_pad=auto)

    for shape in [[2, 5, 4, 3], [1, 1, 1, 1], [3, 19, 7, 7], [2, 3, 1, 6]]:
        add("GlobalAveragePool", [shape], per_image=True)
        add("GlobalMaxPool", [shape], per_image=True)
    for axes in [[2, 3], [1], [-1], [0], [0, 1, 2, 3], [1, 3], [0, 2], None, [2]]:
        for keep in [0, 1]:
            kw = {} if axes is None else {"axes": axes}
            each = axes is not None and 0 not in axes
            add("ReduceMean", [x], per_image=each, keepdims=keep, **kw)
            add("ReduceMax", [x], per_image=each, keepdims=keep, **kw)
    add("ReduceMean", [[3, 7]], axes=[1], keepdims=0, per_image=True)
    add("ReduceMax", [[4, 3, 5]], axes=[1])

    for axis in [0, 1, 2, 3, -1, -3]:
        a, b, c = list(x), list(x), list(x)
        b[axis], c[axis] = 1, 7
        add("Concat", [a, b, c], axis=axis)
    add("Concat", [[2, 3], [2, 4]], axis=1)
    add("Concat", [[4]], axis=0)
    for axis in [0, 1, 2, 3, 4, -1]:
        add("Flatten", [x], axis=axis)
    add("Flatten", [[3, 20, 33, 1]])
    add("Flatten", [[2, 35, 17, 2]], per_image=True)
    add("Flatten", [[2, 6, 1, 1]], per_image=True)
    add("Flatten", [[2, 1, 3, 5]], per_image=True)
    add("Flatten", [[4]], axis=0)
    for shape in [[2, 60], [0, -1], [-1], [0, 0, -1], [5, 2, 3, 4], [2, 4, 3, 5], [120, 1, 1, 1],
                  [2, 5, 12], [1, 2, 5, 4, 3], [0, 0, 0, 0]]:
        add("Reshape", [x], shape=shape)
    add("Reshape", [[2, 60]], shape=[2, 5, 4, 3])
    add("Reshape", [[6]], shape=[2, -1])
    add("Reshape", [[3, 700]], shape=[0, 35, 4, 5])
    add("Transpose", [x], perm=[0, 2, 3, 1])
    add("Transpose", [x], perm=[0, 3, 1, 2])
    add("Transpose", [x], perm=[3, 2, 1, 0])
    add("Transpose", [x])
    add("Transpose", [[4, 9]])
    add("Transpose", [[37, 50]], perm=[1, 0])
    add("Transpose", [[2, 3, 4, 1, 5]], perm=[0, 2, 1, 4, 3])

    y = [2, 5, 6, 7]
    add("Slice", [y], starts=[1, 2], ends=[5, 6], axes=[1, 3])
    add("Slice", [y], starts=[0, 1, 0, 2], ends=[2, 4, 6, 7])
    add("Slice", [y], starts=[-3], ends=[2**31 - 1], axes=[-1])
    add("Slice", [y], starts=[4, -1], ends=[0, -2**31], axes=[1, 2], steps=[-2, -1])
    add("Slice", [y], starts=[0, 1], ends=[100, 100], axes=[2, 3], steps=[2, 3])
    add("Slice", [y], starts=[-100], ends=[-1], axes=[2])
    add("Slice", [[9]], starts=[7], ends=[1], axes=[0], steps=[-3])
    add("Slice", [[4, 6]], starts=[1], ends=[3])

    add("BatchNormalization", [x, [5], [5], [5], [5]], per_image=True, los={4: 0.1})
    add("BatchNormalization", [x, [5], [5], [5], [5]], epsilon=0.01, los={4: 0.1}, per_image=True)
    add("BatchNormalization", [[7, 11], [11], [11], [11], [11]], los={4: 0.1}, per_image=True)
    for axis in [0, 1, 2, 3, -1]:
        add("Softmax", [x], axis=axis, per_image=axis != 0)
        add("LogSoftmax", [x], axis=axis, per_image=axis != 0)
    add("Softmax", [[3, 37]], lo=-30.0, hi=30.0, per_image=True)
    add("LogSoftmax", [[3, 37]], lo=-30.0, hi=30.0, per_image=True)
    add("Softmax", [[5, 1]])
    return out


def attr_line(name, value):
    if isinstance(value, str):
        return f"string {name} {value}"
    if isinstance(value, float):
        return f"float {name} {value!r}"
    if isinstance(value, int):
        return f"int {name} {value}"
    return f"ints {name} {len(value)} " + " ".join(str(v) for v in value)


def main():
    lines = ["# made by regenerate_ops.py with onnxruntime; see origin.md"]
    for number, case in enumerate(cases()):
        feeds = {}
        lines.append(f"case {case.op} {int(case.per_image)}")
        for name, value in case.attrs.items():
            lines.append(attr_line(name, value))
        for i, shape in enumerate(case.shapes):
            seed, lo = 1000 * number + i, case.los.get(i, case.lo)
            feeds[f"x{i}"] = draw(seed, shape, case.kind, lo, case.hi)
            dims = " ".join(map(str, shape))
            lines.append(f"in {seed} {case.kind} {lo} {case.hi} {len(shape)} {dims}".rstrip())
        session = ort.InferenceSession(model_of(case).SerializeToString(),
                                       providers=["CPUExecutionProvider"])
        y = np.asarray(session.run(None, feeds)[0])
        lines.append(f"out {y.ndim} " + " ".join(map(str, y.shape)))
        data = y.astype(np.float32).tobytes()
        words = [f"{w:08x}" for (w,) in struct.iter_unpack("<I", data)]
        for i in range(0, len(words), 11):
            lines.append(" ".join(words[i : i + 11]))
    os.makedirs(os.path.join(HERE, "ops"), exist_ok=True)
    with open(os.path.join(HERE, "ops", "ops.txt"), "w", encoding="ascii") as f:
        f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
