#!/usr/bin/env python3
"""Compare prelu-serve with onnxruntime: dense testing by brute force, and views.

  compare_dense_onnxruntime.py MODEL.onnx PICTURE.jpg... [--serve build/bin/prelu-serve] [--modes center,10view,dense]
                               [--preprocess imagenet] [--shorter 256] [--sizes 37x45,33x80] [--map NAME]
                               [--precision fp32] [--limit 1e-5]

The file is cut at its last feature map, or at --map. onnxruntime runs the trunk on the whole picture and on its
mirror image, every window of training size is sliced out of the map, the head runs on each by itself, and the scores
are averaged. The server is asked for the same sizes (mode=dense). Each picture is first cut from its top left corner to
WIDTH x HEIGHT of --sizes, or resized to --shorter, and saved as JPEG, so that the server resizes nothing; for the
modes center and 10view --shorter must be what the model resizes to. The heatmap of the best class is compared too.
--preprocess imagenet is for a foreign file, given to the server likewise.
Prints max |a - b| over all classes, and how often the five best are the same; exits 1 above the limit or if the best
one differs. Needs onnx, onnxruntime, numpy and Pillow.
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
    p.add_argument("--modes", default="dense")
    p.add_argument("--preprocess", choices=["imagenet"])
    p.add_argument("--shorter", type=int)
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
    """Sessions of trunk, head and whole, and the shape of a window."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    name, shape = last_map(model)
    if cut:
        name, shape = cut, next([d.dim_value for d in v.type.tensor_type.shape.dim][1:]
                                for v in model.graph.value_info if v.name == cut)
    x = model.graph.input[0].name
    softmax = [n for n in model.graph.node if n.op_type == "Softmax"]
    prob = softmax[-1].output[0] if softmax else model.graph.output[0].name
    parts = onnx.utils.Extractor(model)
    trunk, head = parts.extract_model([x], [name]), parts.extract_model([name], [prob])
    for d in trunk.graph.input[0].type.tensor_type.shape.dim[2:]:
        d.Clear()
        d.dim_param = f"free{id(d)}"
    del trunk.graph.value_info[:]
    for d in trunk.graph.output[0].type.tensor_type.shape.dim[2:]:
        d.Clear()
    sessions = [onnxruntime.InferenceSession(m.SerializeToString()) for m in (trunk, head, model)]
    return name, shape, sessions, not softmax


def scores(session, x, logits):
    """Of one row, after softmax."""
    y = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(x)})[-1].reshape(-1).astype(np.float64)
    if logits:
        y = np.exp(y - y.max())
        y /= y.sum()
    return y


def network_input(view, preprocess):
    x = view.transpose(2, 0, 1)[None].astype(np.float32)
    if preprocess == "imagenet":
        mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        x = (x / 255 - mean) / std
    return np.ascontiguousarray(x, np.float32)


def cut_views(pixels, mode, crop):
    """Offsets are torchvision's: halves of an odd rest go to even numbers."""
    down, right = pixels.shape[0] - crop, pixels.shape[1] - crop
    places = [(round(down / 2), round(right / 2))]
    if mode == "10view":
        places += [(0, 0), (0, right), (down, 0), (down, right)]
    cuts = [pixels[y:y + crop, x:x + crop] for y, x in places]
    return cuts + [c[:, ::-1] for c in cuts] if mode == "10view" else cuts


def brute_force(sessions, shape, pixels, a, logits):
    trunk, head, _ = sessions
    grids = []
    for view in (pixels, pixels[:, ::-1]):
        whole = trunk.run(None, {trunk.get_inputs()[0].name: network_input(view, a.preprocess)})[0]
        rows, cols = whole.shape[2] - shape[1] + 1, whole.shape[3] - shape[2] + 1
        grids.append(np.array([[scores(head, whole[:, :, r:r + shape[1], c:c + shape[2]], logits)
                                for c in range(cols)] for r in range(rows)], np.float64))
    return grids


def ask(port, jpeg, query):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    c.request("POST", "/classify?top_k=999999&" + query, jpeg)
    reply = c.getresponse()
    body = json.loads(reply.read())
    if reply.status != 200:
        sys.exit(body["error"])
    return body


def judge(got, want):
    """(max |a - b|, the best agree, the five best agree)."""
    top = [p["class"] for p in got["predictions"]]
    best = list(np.argsort(-want, kind="stable")[:5])
    return max(abs(p["score"] - want[p["class"]]) for p in got["predictions"]), top[0] == best[0], top[:5] == best


def compare_views(port, sessions, data, pixels, mode, a, logits):
    session = sessions[2]
    crop = session.get_inputs()[0].shape[2]
    want = np.mean([scores(session, network_input(v, a.preprocess), logits) for v in cut_views(pixels, mode, crop)], 0)
    return judge(ask(port, data, "mode=" + mode), want) + ("",)


def compare_dense(port, sessions, shape, data, pixels, a, logits):
    straight, mirrored = brute_force(sessions, shape, pixels, a, logits)
    want = np.concatenate([g.reshape(-1, g.shape[-1]) for g in (straight, mirrored)]).mean(0)
    got = ask(port, data, f"mode=dense&scales={min(pixels.shape[:2])}&heatmap=top1")
    if got["views"] != 2 * straight.shape[0] * straight.shape[1]:
        sys.exit(f"{got['views']} windows, not 2 x {straight.shape[:2]}")
    off, one, five = judge(got, want)
    best = got["heatmap"]["class"]
    heat = (straight[..., best] + mirrored[:, ::-1, best]) / 2
    heat = np.abs(np.array(got["heatmap"]["scores"]).reshape(heat.shape) - heat).max()
    return max(off, heat), one, five, f", {got['views']} windows, heatmap {heat:.2e}"


def compare(port, split_model, picture, a):
    """(worst difference, pictures whose best differ) over the modes, for one picture."""
    _, shape, sessions, logits = split_model
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    pixels = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    worst, wrong = 0, 0
    for mode in a.modes.split(","):
        if mode == "dense":
            off, one, five, more = compare_dense(port, sessions, shape, file.getvalue(), pixels, a, logits)
        else:
            off, one, five, more = compare_views(port, sessions, file.getvalue(), pixels, mode, a, logits)
        print(f"{mode} {picture.width} x {picture.height}: scores {off:.2e}, "
              f"{'the five best agree' if five else 'the best agrees' if one else 'THE BEST DIFFERS'}{more}")
        worst, wrong = max(worst, off), wrong + (not one)
    return worst, wrong


def pictures(a):
    for path in a.pictures:
        picture = Image.open(path).convert("RGB")
        if a.shorter:
            scale = a.shorter / min(picture.size)
            size = [a.shorter if n == min(picture.size) else int(n * scale) for n in picture.size]
            picture = picture.resize(size, Image.BILINEAR)
        for width, height in [tuple(map(int, s.split("x"))) for s in a.sizes.split(",") if s] or [picture.size]:
            yield picture.crop((0, 0, width, height))


def main():
    a = arguments()
    split_model = split(a.model, a.cut)
    print(f"cut at {split_model[0]}, windows of {split_model[1]}")
    worst = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        port_file = os.path.join(folder, "port")
        server = subprocess.Popen([a.serve, "--model", a.model, "--port", "0", "--port-file", port_file,
                                   "--precision", a.precision, "--log-level", "error",
                                   *(["--preprocess", a.preprocess] if a.preprocess else [])])
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
            for picture in pictures(a):
                off, differ = compare(port, split_model, picture, a)
                worst, wrong = max(worst, off), wrong + differ
        finally:
            server.terminate()
            server.wait()
    print(f"worst {worst:.2e}, limit {a.limit:.0e}; the best differs {wrong} times")
    sys.exit(1 if worst > a.limit or wrong else 0)


if __name__ == "__main__":
    main()
