#!/usr/bin/python3
"""Ten SGD steps of two of the paper's networks in PyTorch: losses, gradients, what the steps changed.

Writes training/small14.bin and training/A.bin for tests/golden/test_training_nets.c, which builds
the networks with prelu_net_build at reduced width: all layers, paddings and SPP levels are the
paper's. Pictures, labels and first parameters are not stored: both sides draw them from the
generator of tests/support/check.h. Needs python3-torch and python3-numpy. Run it in this folder; see
origin.md for the versions whose output is committed.

The parameters stand in the network's order: weights, biases, slopes of each layer. Of each, `norms`
has the root of the sum of squares of its first gradient and of its change by ten steps, and
`gradients` and `changes` have 16 elements, evenly spaced from the first to the last."""
import numpy as np
import torch
import torch.nn.functional as F

from regenerate_training import put

BATCH, BATCHES, STEPS, CLASSES, SEED = 4, 2, 10, 10, 9
MOMENTUM, DECAY = 0.9, 0.01
MEAN, STD = (123.0, 117.0, 104.0), (60.0, 61.0, 62.0)
FC = (4096, 4096)


def conv(k, stride, pad, width):
    return ("conv", k, stride, pad, width)


# PAPER's Table 1; 2x2 convolutions have padding 0 and 1 in turn
SMALL14 = ([conv(7, 2, 0, 64), ("pool", 3)] + [conv(2, 1, i % 2, 128) for i in range(4)] + [("pool", 2)]
           + [conv(2, 1, i % 2, 256) for i in range(6)] + [("spp", 6, 3, 2, 1)])
# Table 3
A = ([conv(7, 2, 3, 96), ("pool", 2)] + [conv(3, 1, 1, 256)] * 5 + [("pool", 2)] + [conv(3, 1, 1, 512)] * 5
     + [("pool", 2)] + [conv(3, 1, 1, 512)] * 5 + [("spp", 7, 3, 2, 1)])


class Draw:
    """check_random and check_random_float of tests/support/check.h."""

    def __init__(self, seed):
        self.state = seed

    def bits(self, n):
        with np.errstate(over="ignore"):
            z = np.uint64(self.state) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, n + 1, dtype=np.uint64)
            self.state = int(z[-1])
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    def floats(self, shape, lo, hi):
        lo, hi = np.float32(lo), np.float32(hi)
        f = (self.bits(int(np.prod(shape))) >> np.uint64(40)).astype(np.float32)
        return (lo + (hi - lo) * f * np.float32(2**-24)).reshape(shape)


def spp(x, levels):
    """PAPER.md 7: bin i of n over w columns is [i*w // n, ceil((i+1)*w / n))."""
    n, c, h, w = x.shape
    out = []
    for level in levels:
        bins = [x[:, :, i * h // level:((i + 1) * h + level - 1) // level,
                  j * w // level:((j + 1) * w + level - 1) // level].amax((2, 3))
                for i in range(level) for j in range(level)]
        out.append(torch.stack(bins, 2).flatten(1))  # channels outermost inside a level
    return torch.cat(out, 1)


class Net:
    def __init__(self, rows, width, side, draw):
        self.rows, self.params, self.slopes = rows, [], set()
        self.width, self.draw = width, draw
        channels, x = 3, torch.zeros(1, 3, side, side)
        for row in rows:
            if row[0] == "conv":
                d = max(1, int(row[4] * width / 8 + 0.5)) * 8
                self.layer((d, channels, row[1], row[1]), 1.0)
                channels = d
        x = self.trunk(x)
        inputs = x.shape[1]
        for units in [max(1, int(u * width / 8 + 0.5)) * 8 for u in FC]:
            self.layer((units, inputs), 1.0)
            inputs = units
        self.layer((CLASSES, inputs), 0.25, activated=False)

    def layer(self, shape, factor, activated=True):
        bound = factor * np.sqrt(6.0 / (1.0625 * np.prod(shape[1:])))
        self.params.append(self.draw.floats(shape, -bound, bound))
        self.params.append(self.draw.floats(shape[:1], -0.05, 0.05))
        if activated:
            self.slopes.add(len(self.params))
            self.params.append(self.draw.floats(shape[:1], -0.05, 0.55))
        for i in range(len(self.params)):
            if isinstance(self.params[i], np.ndarray):
                self.params[i] = torch.from_numpy(self.params[i]).requires_grad_()

    def trunk(self, x):
        at = 0
        for row in self.rows:
            if row[0] == "conv":
                w, b, a = self.params[at:at + 3]
                x = F.prelu(F.conv2d(x, w, b, stride=row[2], padding=row[3]), a)
                at += 3
            elif row[0] == "pool":
                x = F.max_pool2d(x, row[1])
            else:
                x = spp(x, row[1:])
        self.head = at
        return x

    def __call__(self, x):
        x = (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
        x = self.trunk(x)
        p = self.params[self.head:]
        x = F.prelu(F.linear(x, p[0], p[1]), p[2])
        x = F.prelu(F.linear(x, p[3], p[4]), p[5])
        return F.linear(x, p[6], p[7])


def sample(a):
    """16 elements, evenly spaced; of fewer, some twice."""
    a = a.detach().numpy().reshape(-1)
    return a[np.arange(16) * (a.size - 1) // 15]


def main(rows, width, side, lr, path):
    draw = Draw(SEED)
    images = (draw.bits(BATCHES * BATCH * side * side * 3) >> np.uint64(56)).astype(np.uint8)
    images = images.reshape(BATCHES * BATCH, side, side, 3)
    labels = (draw.bits(BATCHES * BATCH) % np.uint64(CLASSES)).astype(np.int64)
    net = Net(rows, width, side, draw)
    first = [p.detach().clone() for p in net.params]
    decayed = [p for p in net.params if p.dim() > 1]
    others = [p for p in net.params if p.dim() == 1]
    sgd = torch.optim.SGD([{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0}],
                          lr=lr, momentum=MOMENTUM)
    losses, gradients = [], None
    for step in range(STEPS):
        at = step % BATCHES * BATCH
        x = torch.from_numpy(images[at:at + BATCH]).permute(0, 3, 1, 2).float()
        loss = F.cross_entropy(net(x), torch.from_numpy(labels[at:at + BATCH]))
        sgd.zero_grad()
        loss.backward()
        if step == 0:
            gradients = [p.grad.clone() for p in net.params]
        sgd.step()
        losses.append(loss.item())
    changes = [p.detach() - f for p, f in zip(net.params, first)]
    with open(path, "wb") as f:
        put(f, "losses", np.array(losses, np.float32))
        put(f, "counts", np.array([p.numel() for p in net.params], np.float32))
        put(f, "norms", np.array([[g.double().norm(), c.double().norm()] for g, c in zip(gradients, changes)], np.float32))
        put(f, "gradients", np.stack([sample(g) for g in gradients]))
        put(f, "changes", np.stack([sample(c) for c in changes]))
    print(path, losses)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(SMALL14, 0.25, 224, 0.0002, "training/small14.bin")
    main(A, 0.125, 112, 0.00005, "training/A.bin")
