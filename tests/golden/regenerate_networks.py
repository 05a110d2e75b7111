#!/usr/bin/env python3
"""Write golden/networks: the networks that people bring, small, and what onnxruntime makes of them.

  regenerate_networks.py --torch   exports at operator sets 9, 13 and 17 (needs torch)
  regenerate_networks.py           set 21 from 17's export, and results.txt (needs onnx, onnxruntime)

results.txt: a line `NAME n h w` for each run, then n lines of ten logits. The input is drawn from the
generator of check.h, seed 1, uniform in -2..2.
"""
import glob
import os
import sys

import numpy as np

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "networks")
SIZE = 64
OPSETS = (9, 13, 17)
MASK = 2**64 - 1


def export_all():
    import torch
    from torch import nn
    from torch.nn import functional as F

    def conv(i, o, k, stride=1, groups=1, act=nn.ReLU):
        layers = [nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
        return layers + ([act()] if act else [])

    class Residual(nn.Module):
        def __init__(self, i, width, o, stride, bottleneck):
            super().__init__()
            self.body = nn.Sequential(*(conv(i, width, 1) + conv(width, width, 3, stride) + conv(width, o, 1, act=None)
                                        if bottleneck else
                                        conv(i, width, 3, stride) + conv(width, o, 3, act=None)))
            self.short = nn.Sequential(*conv(i, o, 1, stride, act=None)) if stride > 1 or i != o else nn.Identity()

        def forward(self, x):
            return F.relu(self.body(x) + self.short(x))

    def resnet(bottleneck):
        blocks, i = [], 4
        for stage, width in enumerate((4, 4, 8, 8)):
            o = 2 * width if bottleneck else width
            blocks.append(Residual(i, width, o, 2 if stage else 1, bottleneck))
            i = o
        return nn.Sequential(*conv(3, 4, 7, 2), nn.MaxPool2d(3, 2, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                             nn.Linear(i, 10))

    def vgg():
        layers, i = [], 3
        for o in (4, 4, 6, 6, 8):
            layers += [nn.Conv2d(i, o, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2)]
            i = o
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(), nn.Linear(32, 16), nn.ReLU(),
                             nn.Dropout(), nn.Linear(16, 10))

    class Excite(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, 4, 1), nn.ReLU(), nn.Conv2d(4, c, 1),
                                      nn.Hardsigmoid())

        def forward(self, x):
            return x * self.gate(x)

    class Inverted(nn.Module):
        def __init__(self, i, o, stride, expand, act, excite=False):
            super().__init__()
            hidden = i * expand
            self.residual = stride == 1 and i == o
            self.body = nn.Sequential(*(conv(i, hidden, 1, act=act) if expand > 1 else []),
                                      *conv(hidden, hidden, 3, stride, hidden, act),
                                      *([Excite(hidden)] if excite else []), *conv(hidden, o, 1, act=None))

        def forward(self, x):
            return x + self.body(x) if self.residual else self.body(x)

    class Mobile(nn.Module):
        """MobileNetV2's mean is one over axes; EfficientNet-Lite pads its strided convolutions on one side."""

        def __init__(self, act, lite, excite=False):
            super().__init__()
            self.lite = lite
            blocks = [Inverted(*b, act, excite) for b in
                      ((4, 4, 1, 1), (4, 6, 2, 3), (6, 6, 1, 3), (6, 8, 2, 3), (8, 8, 1, 3), (8, 12, 2, 3))]
            stem = conv(3, 4, 3, 2, act=act)
            if lite:
                stem[0].padding = (0, 0)
            self.features = nn.Sequential(*stem, *blocks, *conv(12, 16, 1, act=act))
            self.classifier = nn.Linear(16, 10)

        def forward(self, x):
            if self.lite:
                y = self.features(F.pad(x, (0, 1, 0, 1)))
                return self.classifier(F.adaptive_avg_pool2d(y, 1).squeeze(3).squeeze(2))
            return self.classifier(F.dropout(self.features(x).mean([2, 3]), training=False))

    class Fire(nn.Module):
        def __init__(self, i, squeeze, expand):
            super().__init__()
            self.squeeze, self.one = nn.Conv2d(i, squeeze, 1), nn.Conv2d(squeeze, expand, 1)
            self.three = nn.Conv2d(squeeze, expand, 3, padding=1)

        def forward(self, x):
            x = F.relu(self.squeeze(x))
            return torch.cat([F.relu(self.one(x)), F.relu(self.three(x))], 1)

    def squeezenet(opset):  # ceil_mode cannot be exported to set 9
        return nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=opset > 9), Fire(6, 4, 4),
                             Fire(8, 4, 6), nn.MaxPool2d(3, 2, ceil_mode=opset > 9), Fire(12, 4, 8), nn.Dropout(),
                             nn.Conv2d(16, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    class Dense(nn.Module):
        def __init__(self, i, growth, n):
            super().__init__()
            self.layers = nn.ModuleList(
                nn.Sequential(nn.BatchNorm2d(i + k * growth), nn.ReLU(), nn.Conv2d(i + k * growth, 8, 1, bias=False),
                              nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, growth, 3, padding=1, bias=False))
                for k in range(n))

        def forward(self, x):
            maps = [x]
            for layer in self.layers:
                maps.append(layer(torch.cat(maps, 1)))
            return torch.cat(maps, 1)

    def densenet():
        return nn.Sequential(*conv(3, 6, 7, 2), nn.MaxPool2d(3, 2, 1), Dense(6, 4, 3), nn.BatchNorm2d(18), nn.ReLU(),
                             nn.Conv2d(18, 8, 1, bias=False), nn.AvgPool2d(2, 2), Dense(8, 4, 2), nn.BatchNorm2d(16),
                             nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))

    class View(nn.Module):
        """Classes by a view of the batch's size, log-softmax, hard-swish."""

        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 6, 7, 2, 3), nn.Conv2d(6, 8, 3, 2, 1)
            self.fc = nn.Linear(8 * 4 * 4, 10)

        def forward(self, x):
            y = F.max_pool2d(F.leaky_relu(self.one(x)), 3, 2)
            y = F.max_pool2d(F.hardswish(self.two(y)), 2)
            return F.log_softmax(self.fc(y.view(y.size(0), -1)), 1)

    nets = {"resnet_basic": lambda opset: resnet(False), "resnet_bottleneck": lambda opset: resnet(True),
            "vgg": lambda opset: vgg(), "mobilenet": lambda opset: Mobile(nn.ReLU6, False),
            "swish": lambda opset: Mobile(nn.SiLU, True), "efficientnet_lite": lambda opset: Mobile(nn.ReLU6, True),
            "excite": lambda opset: Mobile(nn.Hardswish, False, True), "squeezenet": squeezenet, "densenet": lambda opset: densenet(), "view": lambda opset: View()}
    for name, opset in ((name, opset) for name in nets for opset in OPSETS):
        torch.manual_seed(5)
        net = nets[name](opset).eval()
        for m in net.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(m.weight)
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean.uniform_(-0.5, 0.5)
                m.running_var.uniform_(0.5, 2)
        fixed = name in ("vgg", "view")  # their classifiers take one size of map
        axes = None if fixed else {"input": {0: "n", 2: "h", 3: "w"}, "output": {0: "n"}}
        torch.onnx.export(net, torch.zeros(1, 3, SIZE, SIZE), os.path.join(OUT, f"{name}_{opset}.onnx"),
                          opset_version=opset, input_names=["input"], output_names=["output"], dynamic_axes=axes)


def draw(n):
    values, state = np.empty(n, np.float32), 1
    for i in range(n):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        values[i] = np.float32(-2) + np.float32(4) * np.float32((z ^ (z >> 31)) >> 40) * np.float32(2**-24)
    return values


def run_all():
    import onnx
    import onnxruntime
    from onnx import version_converter

    for path in sorted(glob.glob(os.path.join(OUT, "*_17.onnx"))):
        model = version_converter.convert_version(onnx.load(path), 21)
        del model.graph.value_info[:]
        onnx.save(model, path.replace("_17.", "_21."))
    with open(os.path.join(OUT, "results.txt"), "w") as results:
        for path in sorted(glob.glob(os.path.join(OUT, "*.onnx"))):
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            port = session.get_inputs()[0]
            fixed = isinstance(port.shape[2], int)
            for n, h, w in ((1, SIZE, SIZE),) if fixed else ((2, SIZE, SIZE), (1, 81, 100)):
                x = draw(n * 3 * h * w).reshape(n, 3, h, w)
                y = session.run(None, {port.name: x})[0]
                print(os.path.basename(path)[:-5], n, h, w, file=results)
                for row in y:
                    print(*(f"{v:.9g}" for v in row), file=results)


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    export_all() if "--torch" in sys.argv else run_all()
