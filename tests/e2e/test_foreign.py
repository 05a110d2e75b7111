"""Models that others made: ONNX exports of PyTorch, served with a named recipe and labels."""
import io
import math
import pathlib

import numpy as np
import pytest
from PIL import Image

from serving import Server, draw, jpeg

NETWORKS = pathlib.Path(__file__).resolve().parents[1] / "golden" / "networks"
LABELS = [f"thing {i}" for i in range(10)]
CROP, RESIZE = 64, 73  # of a file that fixes 64 x 64: 256 to 224, as the paper has it


@pytest.fixture
def served(bin_dir, tmp_path):
    """served(name, ...): a server of golden/networks/NAME.onnx as a visitor starts it."""
    (tmp_path / "labels.txt").write_text("".join(f"{line}\n" for line in LABELS))
    started = []

    def start(name, *flags):
        s = Server(bin_dir / "prelu-serve", tmp_path, "--model", NETWORKS / f"{name}.onnx", "--preprocess",
                   "imagenet", "--labels", tmp_path / "labels.txt", "--precision", "fp32", *flags)
        started.append(s)
        return s

    yield start
    for s in started:
        s.close()
        s.check_sanitizers()


def torchvision_input(picture):
    """Resize, CenterCrop, ToTensor, Normalize."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    short = min(image.size)
    size = [int(RESIZE * side / short) if side != short else RESIZE for side in image.size]
    left, top = (round((side - CROP) / 2) for side in size)
    image = image.resize(size, Image.BILINEAR).crop((left, top, left + CROP, top + CROP))
    x = np.asarray(image, np.float32) / 255
    x = (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None], np.float32)


@pytest.mark.parametrize("name", ["vgg_9", "vgg_21", "view_17"])
def test_scores_are_those_of_torchvisions_recipe(served, run_program, tmp_path, name):
    picture = jpeg(draw(150, 110))
    np.save(tmp_path / "in.npy", torchvision_input(picture))
    r = run_program("prelu-train", "run", "--model", NETWORKS / f"{name}.onnx", "--input", tmp_path / "in.npy",
                    "--output", tmp_path / "out.npy")
    assert r.returncode == 0, r.stderr
    logits = np.load(tmp_path / "out.npy")[0].astype(np.float64)
    want = np.exp(logits - logits.max())
    want /= want.sum()
    status, reply = served(name).classify(picture, "?top_k=10")
    assert status == 200
    assert len(reply["predictions"]) == 10
    for p in reply["predictions"]:
        assert p["label"] == LABELS[p["class"]]
        # one grey level of the resize, through the network
        assert math.isclose(p["score"], want[p["class"]], rel_tol=0.02, abs_tol=0.002)


def test_a_fixed_size_does_not_stop_dense_testing(served):
    s = served("vgg_17")
    status, reply = s.classify(jpeg(draw(160, 96)), "?mode=dense&scales=96")
    assert status == 200
    assert reply["views"] == 2 * 2 * 4  # a window every 32 pixels, and the mirror image


def test_what_cannot_be_slid_is_named_at_the_start_and_in_a_400(served):
    s = served("excite_17")
    assert s.classify(jpeg(draw(300, 260)))[0] == 200
    for mode in "dense", "multiscale":
        status, reply = s.classify(jpeg(draw(300, 260)), f"?mode={mode}")
        assert status == 400
        assert "GlobalAveragePool node '" in reply["error"]
    assert s.text().count("GlobalAveragePool node '") >= 1


def field(number, value):
    """A field of protobuf's wire, length-delimited or, of an int, as varint."""
    def varint(v):
        out = b""
        while v > 127:
            out, v = out + bytes([v & 127 | 128]), v >> 7
        return out + bytes([v])

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def test_an_operator_we_lack_is_named(run_program, tmp_path):
    node = field(1, "x") + field(2, "y") + field(3, "the.node") + field(4, "Einsum")
    dims = b"".join(field(1, field(1, d)) for d in (1, 3, 32, 32))
    port = field(1, "x") + field(2, field(1, field(1, 1) + field(2, dims)))
    graph = field(1, node) + field(11, port) + field(12, field(1, "y"))
    (tmp_path / "m.onnx").write_bytes(field(1, 8) + field(8, field(2, 17)) + field(7, graph))
    r = run_program("prelu-serve", "--model", tmp_path / "m.onnx", "--check")
    assert r.returncode == 65
    for word in "Einsum", "the.node", "17":
        assert word in r.stderr
