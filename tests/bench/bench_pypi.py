#!/usr/bin/env python3
"""Holds prelu against openvino and a current torch, the same precision on both sides.

  python3 -m venv venv && venv/bin/pip install openvino torch numpy
  venv/bin/python tests/bench/bench_pypi.py MODEL.onnx A|C [--batch 1] [--precision fp32|bf16]
                  [--threads 2] [--rounds 3] [--runs 3] [--peers openvino,torch,torch-train]
                  [--bin build/bin]

MODEL.onnx is `prelu-train init --arch A|C`. Each of --rounds has a turn of ours, then of each peer, all
processes new: medians of --runs after two that do not count, then medians over the rounds. openvino reads
the same file; torch gets a network of the same layers, channels last, through oneDNN. torch-train: one SGD
step (momentum, weight decay, dropout) against `prelu-train bench --train`. Prints JSON lines.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

STAGES = {"A": (96, (256, 512, 512), 5), "C": (96, (384, 768, 896), 6)}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("arch", choices=sorted(STAGES))
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--peers", default="openvino,torch")
    p.add_argument("--bin", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/bin"))
    p.add_argument("--turn", help=argparse.SUPPRESS)  # one peer's turn, in a process of its own
    return p.parse_args()


def median_ms(a, run):
    """Milliseconds of one image."""
    times = []
    for i in range(a.runs + 2):
        start = time.perf_counter()
        run()
        if i >= 2:
            times.append((time.perf_counter() - start) * 1e3 / a.batch)
    return statistics.median(times)


def openvino_turn(a):
    import numpy as np
    import openvino as ov

    core = ov.Core()
    model = core.read_model(a.model)
    model.reshape([a.batch, 3, 224, 224])
    net = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": a.threads,
                                            "INFERENCE_PRECISION_HINT": "f32" if a.precision == "fp32" else "bf16"})
    x = np.random.default_rng(1).integers(0, 256, (a.batch, 3, 224, 224)).astype(np.float32)
    request = net.create_infer_request()
    return median_ms(a, lambda: request.infer({0: x}))


def torch_net(arch, train):
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Pyramid(nn.Module):
        def forward(self, x):
            return torch.cat([F.adaptive_max_pool2d(x, n).flatten(1) for n in (7, 3, 2, 1)], 1)

    first, widths, count = STAGES[arch]
    layers, before = [nn.Conv2d(3, first, 7, 2, 3), nn.PReLU(first), nn.MaxPool2d(2)], first
    for stage, width in enumerate(widths):
        for _ in range(count):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.PReLU(width)]
            before = width
        if stage < 2:
            layers.append(nn.MaxPool2d(2))
    layers.append(Pyramid())
    for inputs in (before * 63, 4096):
        layers += [nn.Linear(inputs, 4096), nn.PReLU(4096), nn.Dropout()]
    layers += [nn.Linear(4096, 1000)] + ([] if train else [nn.Softmax(1)])
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def torch_turn(a):
    import torch

    torch.set_num_threads(a.threads)
    train = a.turn == "torch-train"
    net = torch_net(a.arch, train)
    x = torch.randn(a.batch, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 1000, (a.batch,))
    sgd = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4) if train else None

    def infer():
        with torch.inference_mode():
            net(x)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=a.precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(net(x).float(), y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()

    if not train:
        net.eval()
        if a.precision == "bf16":
            net, x = net.bfloat16(), x.bfloat16()
    return median_ms(a, step if train else infer)


def ours(a, train):
    out = subprocess.run([f"{a.bin}/prelu-train", "bench", "--json", "--threads", str(a.threads), "--batch", str(a.batch),
                          "--runs", str(a.runs), "--precision", a.precision]
                         + (["--train", "--arch", a.arch] if train else ["--model", a.model]),
                         check=True, capture_output=True, text=True).stdout
    r = json.loads(out.splitlines()[-1])
    return 1e3 / r["images_per_s"] if train else r["ms_per_image_median"]


def main():
    a = arguments()
    if a.turn:
        print((openvino_turn if a.turn == "openvino" else torch_turn)(a))
        return
    for peer in a.peers.split(","):
        mine, theirs = [], []
        for _ in range(a.rounds):
            mine.append(ours(a, peer == "torch-train"))
            theirs.append(float(subprocess.run([sys.executable, *sys.argv, "--turn", peer], check=True,
                                               capture_output=True, text=True).stdout.split()[-1]))
        m, t = statistics.median(mine), statistics.median(theirs)
        print(json.dumps({"arch": a.arch, "precision": a.precision, "batch": a.batch, "threads": a.threads,
                          "ours_ms_per_image": round(m, 2), "peer": peer, "peer_ms_per_image": round(t, 2),
                          "ratio": round(t / m, 2)}), flush=True)


if __name__ == "__main__":
    main()
