#!/usr/bin/env python3
"""Compare prelu-train run with onnxruntime on any model.

  compare_onnxruntime.py MODEL.onnx [--image PICTURE] [--batch 2] [--size H W] [--precision fp32]
                         [--train build/bin/prelu-train] [--threads 2] [--limit 1e-4]

Feeds random pictures of 0...255, or crops of PICTURE, and prints max |a - b| / max |b| on the logits
(the last Softmax's input, else the first output). Exits 1 above the limit. Needs onnx, onnxruntime,
numpy, and Pillow for --image.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--image")
    p.add_argument("--batch", type=int, default=2)
    p.add_argument("--size", type=int, nargs=2)
    p.add_argument("--precision", default="fp32")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--train", default=os.path.join(os.path.dirname(__file__), "../../build/bin/prelu-train"))
    p.add_argument("--limit", type=float, default=1e-4)
    return p.parse_args()


def logits_name(graph):
    softmax = [n for n in graph.node if n.op_type == "Softmax"]
    return softmax[-1].input[0] if softmax else graph.output[0].name


def pictures(a, shape):
    n, c, h, w = a.batch, shape[1] or 3, *(a.size or (shape[2] or 224, shape[3] or 224))
    if not a.image:
        return np.random.default_rng(1).integers(0, 256, (n, c, h, w)).astype(np.float32)
    from PIL import Image
    picture = Image.open(a.image).convert("RGB")
    scale = max(h / picture.height, w / picture.width) * 1.2
    picture = picture.resize((int(picture.width * scale) + 1, int(picture.height * scale) + 1), Image.BILINEAR)
    whole = np.asarray(picture, np.float32).transpose(2, 0, 1)
    rng = np.random.default_rng(1)
    tops, lefts = (rng.integers(0, whole.shape[i] - s + 1, n) for i, s in ((1, h), (2, w)))
    return np.stack([whole[:, t:t + h, l:l + w] for t, l in zip(tops, lefts)])


def onnxruntime_logits(a):
    """The model with its logits as an output, beside it so that external data is found."""
    model = onnx.load(a.model, load_external_data=False)
    name = logits_name(model.graph)
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = pictures(a, dims)
    if name not in [o.name for o in model.graph.output]:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    copy = os.path.join(os.path.dirname(os.path.abspath(a.model)), f".compare-{os.getpid()}.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = a.threads
    try:
        onnx.save(model, copy)
        del model
        session = onnxruntime.InferenceSession(copy, options)
        return name, x, session.run([name], {session.get_inputs()[0].name: x})[0]
    finally:
        if os.path.exists(copy):
            os.unlink(copy)


def main():
    a = arguments()
    with tempfile.TemporaryDirectory() as folder:
        name, x, want = onnxruntime_logits(a)
        x_path, y_path = os.path.join(folder, "x.npy"), os.path.join(folder, "y.npy")
        np.save(x_path, x)
        subprocess.run([a.train, "run", "--model", a.model, "--input", x_path, "--output", f"{name}={y_path}",
                        "--threads", str(a.threads), "--precision", a.precision], check=True)
        got = np.load(y_path)
    error = np.abs(got.reshape(want.shape) - want).max() / np.abs(want).max()
    same = (got.reshape(len(got), -1).argmax(1) == want.reshape(len(want), -1).argmax(1)).mean()
    print(f"{os.path.basename(a.model)} {name} {want.shape}: max|a-b|/max|b| = {error:.3g}, "
          f"same top-1 {100 * same:.1f} %")
    return int(not error <= a.limit)


if __name__ == "__main__":
    sys.exit(main())
