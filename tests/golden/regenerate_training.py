#!/usr/bin/python3
"""Ten SGD steps of a small PReLU network in PyTorch: losses, first gradients, last parameters.

Writes training/plain.bin and training/norm.bin (with BatchNorm) for tests/golden/test_training.c,
which builds the same network. Needs python3-torch and python3-numpy. Run it in this folder; see
origin.md for the versions whose output is committed.

A file is a row of tensors: a line "name type dims...\\n" (type f or b), then little-endian f32 or
bytes."""
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

SIDE, BATCH, BATCHES, STEPS, CLASSES = 12, 8, 3, 10, 4
LR, MOMENTUM, DECAY, SMOOTHING = 0.02, 0.9, 0.01, 0.1
MEAN, STD = (120.0, 110.0, 100.0), (60.0, 61.0, 62.0)


class Net(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.act1 = nn.PReLU(8)
        self.conv2 = nn.Conv2d(8, 8, 3, stride=1, padding=1)
        self.act2 = nn.PReLU(1)
        self.fc1 = nn.Linear(8 * 5, 16)
        self.act3 = nn.PReLU(16)
        self.fc2 = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
        x = F.max_pool2d(self.act1(self.bn1(self.conv1(x))), 2)
        x = self.act2(self.conv2(x))
        # SPP of levels 2 and 1 on the 6x6 map: channels outermost inside a level
        x = torch.cat([F.max_pool2d(x, 3).flatten(1), F.max_pool2d(x, 6).flatten(1)], 1)
        return self.fc2(self.act3(self.fc1(x)))


def put(f, name, a):
    a = np.ascontiguousarray(a)
    kind = "b" if a.dtype == np.uint8 else "f"
    f.write(f"{name} {kind} {' '.join(map(str, a.shape))}\n".encode())
    f.write(a.astype(np.uint8 if kind == "b" else "<f4").tobytes())


def main(norm, path):
    torch.manual_seed(5)
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (BATCHES * BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, BATCHES * BATCH).astype(np.uint8)
    net = Net(norm)
    with torch.no_grad():  # slopes below 0 and above 1 train like any other
        net.act1.weight.copy_(torch.tensor([0.25, 0, 1.5, -0.5, 0.1, 0.9, 0.25, 0.25]))
    slopes = {id(m.weight) for m in net.modules() if isinstance(m, nn.PReLU)}
    weights = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() == 1]
    assert slopes <= {id(p) for p in others}
    sgd = torch.optim.SGD([{"params": weights, "weight_decay": DECAY},
                           {"params": others, "weight_decay": 0}], lr=LR, momentum=MOMENTUM)
    with open(path, "wb") as f:
        put(f, "images", images)
        put(f, "labels", labels)
        for name, p in net.named_parameters():
            put(f, "first." + name, p.detach().numpy())
        losses = []
        for step in range(STEPS):
            at = step % BATCHES * BATCH
            x = torch.from_numpy(images[at:at + BATCH]).permute(0, 3, 1, 2).float()
            y = torch.from_numpy(labels[at:at + BATCH].astype(np.int64))
            loss = F.cross_entropy(net(x), y, label_smoothing=SMOOTHING)
            sgd.zero_grad()
            loss.backward()
            if step == 0:
                for name, p in net.named_parameters():
                    put(f, "gradient." + name, p.grad.numpy())
            sgd.step()
            losses.append(loss.item())
        put(f, "losses", np.array(losses, dtype=np.float32))
        for name, p in net.named_parameters():
            put(f, "last." + name, p.detach().numpy())
        if norm:
            put(f, "last.bn1.mean", net.bn1.running_mean.numpy())
            put(f, "last.bn1.var", net.bn1.running_var.numpy())
    print(path, losses)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(False, "training/plain.bin")
    main(True, "training/norm.bin")
