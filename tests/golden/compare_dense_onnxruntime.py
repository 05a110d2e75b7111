#!/usr/bin/env python3
"""Compare dense testing of prelu-serve with onnxruntime, by brute force.

  compare_dense_onnxruntime.py MODEL.onnx PICTURE.jpg... [--serve build/bin/prelu-serve]
                               [--sizes 37x45,33x80] [--map NAME] [--precision fp32] [--limit 1e-5]

The file is cut at its last feature map, or at --map. onnxruntime runs the trunk on the whole picture and on its
mirror image, every window of training size is sliced out of the map, the head runs on each by itself, and the scores
are averaged. The server is asked for the same sizes (mode=dense). Each picture is first cut from its top left corner to
WIDTH x HEIGHT of --sizes and saved as JPEG, so that nothing is resized. The heatmap of the best class is compared too.
Prints max |a - b| over all classes; exits 1 above the limit. Needs onnx, onnxruntime, numpy and Pillow.
"""
import argparse
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
import onnx.utils
from PIL import Image


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("pictures", nargs="+")
    p.add_argument("--serve", default=os.path.join(os.path.dirname(__file__), "../../build/bin/prelu-serve"))
    p.add_argument("--sizes", default="")
    p.add_argument("--map", dest="cut")
    p.add_argument("--precision", default="fp32")
    p.add_argument("--limit", type=float, default=1e-5)
    return p.parse_args()


def without(graph, name, source, target):
    """Does every path from source to target pass through `name`?"""
    reached = {source}
    for node in graph.node:
        if reached & set(node.input):
            reached |= set(node.output) - {name}
    return target not in reached


def last_map(model):
    """The last value of more than one place that every path to the scores takes."""
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.value_info}
    graph, found = model.graph, None
    for node in graph.node:
        for name in node.output:
            s = shapes.get(name, [])
            if len(s) == 4 and min(s[2:]) > 1 and without(graph, name, graph.input[0].name, graph.output[-1].name):
                found = name, s[1:]
    return found


def split(path, cut):
    """Sessions of trunk and head, and the shape of a window."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    name, shape = last_map(model)
    if cut:
        name, shape = cut, next([d.dim_value for d in v.type.tensor_type.shape.dim][1:]
                                for v in model.graph.value_info if v.name == cut)
    x = model.graph.input[0].name
    prob = [n for n in model.graph.node if n.op_type == "Softmax"][-1].output[0]
    parts = onnx.utils.Extractor(model)
    trunk, head = parts.extract_model([x], [name]), parts.extract_model([name], [prob])
    for d in trunk.graph.input[0].type.tensor_type.shape.dim[2:]:
        d.Clear()
        d.dim_param = f"free{id(d)}"
    del trunk.graph.value_info[:]
    for d in trunk.graph.output[0].type.tensor_type.shape.dim[2:]:
        d.Clear()
    sessions = [onnxruntime.InferenceSession(m.SerializeToString()) for m in (trunk, head)]
    return name, shape, sessions


def brute_force(sessions, shape, pixels):
    trunk, head = sessions
    grids = []
    for view in (pixels, pixels[:, ::-1]):
        x = np.ascontiguousarray(view.transpose(2, 0, 1)[None], np.float32)
        whole = trunk.run(None, {trunk.get_inputs()[0].name: x})[0]
        rows, cols = whole.shape[2] - shape[1] + 1, whole.shape[3] - shape[2] + 1
        grids.append(np.array([[head.run(None, {head.get_inputs()[0].name:
                                                np.ascontiguousarray(whole[:, :, r:r + shape[1], c:c + shape[2]])})[0][0]
                                for c in range(cols)] for r in range(rows)], np.float64))
    return grids


def ask(port, jpeg, size, classes):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    c.request("POST", f"/classify?mode=dense&scales={size}&top_k={classes}&heatmap=top1", jpeg)
    reply = c.getresponse()
    body = json.loads(reply.read())
    if reply.status != 200:
        sys.exit(body["error"])
    return body


def compare(port, sessions, shape, picture, width, height):
    file = io.BytesIO()
    picture.crop((0, 0, width, height)).save(file, "JPEG", quality=95)
    pixels = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    straight, mirrored = brute_force(sessions, shape, pixels)
    want = np.concatenate([g.reshape(-1, g.shape[-1]) for g in (straight, mirrored)]).mean(0)
    got = ask(port, file.getvalue(), min(width, height), len(want))
    if got["views"] != 2 * straight.shape[0] * straight.shape[1]:
        sys.exit(f"{got['views']} windows, not 2 x {straight.shape[:2]}")
    scores = max(abs(p["score"] - want[p["class"]]) for p in got["predictions"])
    best = got["heatmap"]["class"]
    heat = (straight[..., best] + mirrored[:, ::-1, best]) / 2
    heat = np.abs(np.array(got["heatmap"]["scores"]).reshape(heat.shape) - heat).max()
    print(f"{width} x {height}: {got['views']} windows, scores {scores:.2e}, heatmap {heat:.2e}")
    return max(scores, heat)


def main():
    a = arguments()
    name, shape, sessions = split(a.model, a.cut)
    print(f"cut at {name}, windows of {shape}")
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        port_file = os.path.join(folder, "port")
        server = subprocess.Popen([a.serve, "--model", a.model, "--port", "0", "--port-file", port_file,
                                   "--precision", a.precision, "--log-level", "error"])
        try:
            while not os.path.exists(port_file) and server.poll() is None:
                time.sleep(0.05)
            port = int(open(port_file).read())
            ready = 0
            while ready != 200 and server.poll() is None:
                c = http.client.HTTPConnection("127.0.0.1", port)
                c.request("GET", "/readyz")
                ready = c.getresponse().status
                time.sleep(0.05)
            for path in a.pictures:
                picture = Image.open(path).convert("RGB")
                sizes = [tuple(map(int, s.split("x"))) for s in a.sizes.split(",") if s] or [picture.size]
                for width, height in sizes:
                    worst = max(worst, compare(port, sessions, shape, picture, width, height))
        finally:
            server.terminate()
            server.wait()
    print(f"worst {worst:.2e}, limit {a.limit:.0e}")
    sys.exit(1 if worst > a.limit else 0)


if __name__ == "__main__":
    main()
