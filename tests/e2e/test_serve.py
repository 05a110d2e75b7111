"""prelu-serve, the real program, over loopback: answers, refusals, hostile clients, the drain."""
import concurrent.futures
import hashlib
import http.client
import io
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import stat
import struct
import subprocess
import threading
import time
import warnings

import PIL.Image
import pytest

from conftest import BIN, ROOT
from serving import (SLOW, SMALL, Server, draw, jpeg, lie_about_size, multipart,
                     parse_raw, wait_until)


# ---- answers ----

def test_one_picture(server):
    status, headers, body = server.request("POST", "/classify", SMALL)
    assert status == 200
    answer = json.loads(body)
    assert answer["model"] == "small" and answer["mode"] == "center" and answer["views"] == 1
    assert answer["image"] == {"width": 32, "height": 32, "format": "jpeg"}
    scores = [p["score"] for p in answer["predictions"]]
    assert len(scores) == 5 and scores == sorted(scores, reverse=True)
    assert set(answer["predictions"][0]) == {"class", "id", "label", "score"}
    assert set(answer["timing_ms"]) == {"decode", "prepare", "queue", "infer", "total"}
    assert answer["request_id"] == headers["X-Request-Id"]
    assert re.fullmatch(r"small@1 sha256:[0-9a-f]{64}", headers["X-Model"])
    assert headers["Cache-Control"] == "no-store"
    assert "infer;dur=" in headers["Server-Timing"]


def test_scores_of_all_classes_sum_to_one(server):
    status, answer = server.classify(SMALL, "?top_k=999999")
    assert status == 200
    assert len({p["class"] for p in answer["predictions"]}) == len(answer["predictions"]) == 10
    assert abs(sum(p["score"] for p in answer["predictions"]) - 1) < 1e-5


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "text/plain",
                                          "application/json", "image/png"])
def test_the_bytes_decide_not_the_content_type(server, content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    assert server.classify(SMALL, headers=headers)[0] == 200


@pytest.mark.parametrize("name,data,size", [
    ("gray", jpeg(draw(40, 50, 1, "L")), (40, 50)),
    ("cmyk", jpeg(draw(40, 50, 2, "CMYK")), (40, 50)),
    ("progressive", jpeg(draw(200, 100, 3), progressive=True), (200, 100)),
    ("one pixel", jpeg(draw(1, 1, 4)), (1, 1)),
    ("large", jpeg(draw(1500, 1200, 5)), (1500, 1200)),
], ids=["gray", "cmyk", "progressive", "one pixel", "large"])
def test_kinds_of_jpeg(server, name, data, size):
    status, answer = server.classify(data)
    assert status == 200, (name, answer)
    assert (answer["image"]["width"], answer["image"]["height"]) == size


def test_exif_orientation_turns_the_picture(server):
    picture = draw(64, 48, 6)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    status, turned = server.classify(jpeg(picture, exif=exif, quality=100, subsampling=0), "?top_k=10")
    assert status == 200 and turned["image"]["width"] == 48 and turned["image"]["height"] == 64
    upright = jpeg(picture.transpose(PIL.Image.ROTATE_270), quality=100, subsampling=0)
    other = server.classify(upright, "?top_k=10")[1]
    by_class = {p["class"]: p["score"] for p in other["predictions"]}
    for p in turned["predictions"]:
        assert abs(p["score"] - by_class[p["class"]]) < 0.02


def test_gray_equals_the_same_gray_in_colour(server):
    gray = draw(32, 32, 8, "L")
    a = server.classify(jpeg(gray, quality=100))[1]["predictions"]
    b = server.classify(jpeg(gray.convert("RGB"), quality=100))[1]["predictions"]
    for x, y in zip(a, b):
        assert x["class"] == y["class"] and abs(x["score"] - y["score"]) < 0.02


def test_modes(server):
    data = jpeg(draw(90, 60, 9))
    one = server.classify(data, "?mode=center&top_k=10")[1]
    ten = server.classify(data, "?mode=10view&top_k=10&model=small")[1]
    assert one["views"] == 1 and ten["views"] == 10
    assert one["predictions"] != ten["predictions"]
    assert abs(sum(p["score"] for p in ten["predictions"]) - 1) < 1e-5


def test_dense_and_multiscale(server):
    data = jpeg(draw(90, 60, 9))
    dense = server.classify(data, "?mode=dense&top_k=10")[1]
    again = server.classify(data, "?mode=dense&scales=36&top_k=10")[1]
    assert dense["mode"] == "dense" and dense["views"] == again["views"] > 2
    assert dense["views"] % 2 == 0 and dense["predictions"] == again["predictions"]
    assert abs(sum(p["score"] for p in dense["predictions"]) - 1) < 1e-5
    several = server.classify(data, "?mode=multiscale&top_k=10")[1]
    parts = [server.classify(data, f"?mode=dense&scales={s}&top_k=10")[1] for s in (32, 40, 48)]
    assert several["views"] == sum(p["views"] for p in parts)
    for p in several["predictions"]: # sizes weigh alike, whatever windows they have
        one = [q["score"] for d in parts for q in d["predictions"] if q["class"] == p["class"]]
        assert abs(p["score"] - sum(one) / 3) < 1e-6
    assert server.classify(data, "?mode=multiscale&scales=48,32,40&top_k=10")[1]["views"] == several["views"]


def test_dense_of_a_square_of_crop_size_is_one_window(server):
    data = jpeg(draw(32, 32, 4))
    dense = server.classify(data, "?mode=dense&scales=32")[1]
    assert dense["views"] == 2


def test_many_in_all_modes_at_once_answer_as_alone(server):
    pictures = [jpeg(draw(50 + 7 * i, 90 - 5 * i, i)) for i in range(5)]
    cases = [(p, f"?top_k=10&mode={m}") for p in pictures
             for m in ("center", "dense", "10view", "multiscale")]
    alone = [server.classify(*c)[1]["predictions"] for c in cases]
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        together = list(pool.map(lambda c: server.classify(*c)[1]["predictions"], cases))
    assert together == alone


@pytest.mark.parametrize("query", [
    "?mode=center&scales=40", "?mode=dense&scales=31", "?mode=dense&scales=2049", "?mode=dense&scales=",
    "?mode=dense&scales=40,48", "?mode=multiscale&scales=40,", "?mode=multiscale&scales=40x",
    "?mode=multiscale&scales=" + ",".join(["40"] * 9), "?scales=40", "?mode=dense&scales=-40",
])
def test_bad_scales(server, query):
    status, answer = server.classify(SMALL, query)
    assert status == 400 and answer["code"] == "bad_query" and answer["error"]


def test_a_panorama_is_refused_by_pixels(server):
    status, answer = server.classify(jpeg(draw(3200, 10, 1)), "?mode=dense") # 11520 x 36
    assert status == 200 and answer["views"] > 2000
    status, answer = server.classify(jpeg(draw(8000, 20, 1)), "?mode=dense&scales=120,36")
    assert status == 400
    status, answer = server.classify(jpeg(draw(8000, 20, 1)), "?mode=multiscale&scales=36,120")
    assert status == 413 and answer["code"] == "image_too_large" and "5760000 pixels" in answer["error"]
    assert server.classify(jpeg(draw(8000, 10, 1)), "?mode=center")[0] == 200


def test_multipart_has_a_result_or_an_error_for_each(server):
    parts = [("a.jpg", SMALL), ("b.txt", b"no picture"), ("../../c.jpg", jpeg(draw(50, 40, 1))),
             ("empty", b""), ("d.jpg", SMALL[:len(SMALL) // 2])]
    status, answer = server.classify(*(lambda b, h: (b, "?top_k=3", h))(*multipart(*parts)))
    assert status == 200
    results = answer["results"]
    assert [r["name"] for r in results] == ["a.jpg", "b.txt", "c.jpg", "empty", "d.jpg"]
    assert [r.get("status", 200) for r in results] == [200, 415, 200, 400, 400]
    assert results[0]["predictions"] == server.classify(SMALL, "?top_k=3")[1]["predictions"]
    assert isinstance(results[1]["error"], str) and results[1]["code"] == "unsupported_image"
    assert isinstance(answer["request_id"], str)


def test_multipart_of_64_and_of_65(server):
    body, headers = multipart(*[(f"{i}.jpg", SMALL) for i in range(64)])
    status, answer = server.classify(body, headers=headers)
    assert status == 200 and len(answer["results"]) == 64
    assert all(r["predictions"] == answer["results"][0]["predictions"] for r in answer["results"])
    body, headers = multipart(*[(f"{i}.jpg", SMALL) for i in range(65)])
    status, answer = server.classify(body, headers=headers)
    assert status == 413 and "64" in answer["error"]


@pytest.mark.parametrize("content_type,body", [
    ("multipart/form-data", b"--x\r\n\r\n\r\n--x--\r\n"),
    ("multipart/form-data; boundary=", b"----\r\n"),
    ("multipart/form-data; boundary=" + "b" * 71, b"x"),
    ("multipart/form-data; boundary=x", b""),
    ("multipart/form-data; boundary=x", b"--x--\r\n"),
    ("multipart/form-data; boundary=x", b"--x\r\nA: b\r\n\r\ndata"),
    ("multipart/form-data; boundary=x", b"--x\r\nno colon\r\n\r\ndata\r\n--x--\r\n"),
    ("multipart/form-data; boundary=x", b"--x\r\nA: " + b"a" * 70000),
], ids=["no boundary", "empty boundary", "long boundary", "no body", "no part", "no end", "no colon",
        "long header"])
def test_malformed_multipart(server, content_type, body):
    status, answer = server.classify(body, headers={"Content-Type": content_type})
    assert status in (400, 413) and isinstance(answer["error"], str)


@pytest.mark.parametrize("query", [
    "?top_k=0", "?top_k=-1", "?top_k=1e3", "?top_k=", "?top_k=99999999999999999999", "?mode=dance",
    "?mode=", "?nonsense=1", "?top_k=1&top_k=2", "?top_k=%zz", "?%00=1", "?mode=%00", "?" + "a" * 2000,
    "?" + "&".join(f"k{i}=1" for i in range(40)), "?average=mean", "?average=",
    "?heatmap=top1", "?mode=10view&heatmap=1", "?mode=dense&heatmap=", "?mode=dense&heatmap=10",
    "?mode=dense&heatmap=-1", "?mode=dense&heatmap=none", "?format=png", "?format=xml", "?format=",
    "?mode=auto", "?budget_ms=5", "?mode=auto&budget_ms=0", "?mode=auto&budget_ms=x", "?mode=auto&budget_ms=",
    "?mode=auto&budget_ms=3600001", "?mode=auto&budget_ms=9&scales=32", "?mode=auto&budget_ms=9&heatmap=top1",
], ids=range(33))
def test_bad_queries(server, query):
    status, answer = server.classify(SMALL, query)
    assert status == 400 and answer["status"] == 400 and isinstance(answer["code"], str)
    assert "dance" not in answer["error"] and "nonsense" not in answer["error"]


def test_unknown_model(server):
    assert server.classify(SMALL, "?model=other")[0] == 404


def test_several_models(own_server, model):
    s = own_server("--model", f"second={model}")
    a = s.classify(SMALL)[1]
    b = s.classify(SMALL, "?model=second")[1]
    assert a["model"] != b["model"] == "second" and a["predictions"] == b["predictions"]


def test_auto_takes_what_the_budget_allows(server):
    data = jpeg(draw(90, 60, 9))
    status, headers, body = server.request("POST", "/classify?mode=auto&budget_ms=3600000", data)
    rich = json.loads(body)
    assert status == 200 and rich["mode"] == "multiscale" == headers["X-Mode"]
    assert rich["auto"]["fits"] and 0 < rich["auto"]["predicted_ms"] < 3600000
    assert rich["predictions"] == server.classify(data, "?mode=multiscale")[1]["predictions"]
    big = jpeg(draw(1400, 1400, 1))  # decoding it alone takes more than 1 ms
    server.classify(big)
    status, headers, body = server.request("POST", "/classify?mode=auto&budget_ms=1", big)
    poor = json.loads(body)
    assert status == 200 and poor["mode"] == "center" and headers["X-Mode"] == "center; over budget"
    assert not poor["auto"]["fits"] and poor["auto"]["predicted_ms"] > 1
    status, answer = server.classify(data[:50], "?mode=auto&budget_ms=50")
    assert status == 400 and answer["code"] == "corrupt_image"


def test_heatmap(server):
    data = jpeg(draw(90, 60, 9))
    plain = server.classify(data, "?mode=dense&scales=60")[1]
    answer = server.classify(data, "?mode=dense&scales=60&heatmap=top1")[1]
    assert answer["predictions"] == plain["predictions"]
    h, top = answer["heatmap"], answer["predictions"][0]
    assert h["class"] == top["class"] and h["label"] == top["label"] and 2 * h["rows"] * h["cols"] == plain["views"]
    assert len(h["scores"]) == h["rows"] * h["cols"] and h["rows"] < h["cols"] and h["window"] == [32, 32]
    assert abs(sum(h["scores"]) / len(h["scores"]) - top["score"]) < 1e-6
    left, above, right, below = h["box"]
    assert 0 <= left < 16 and 0 <= above < 16 and 74 < right <= 90 and 44 < below <= 60
    several = server.classify(data, f"?mode=multiscale&scales=40,60&heatmap={top['class']}")[1]["heatmap"]
    assert several["rows"] == h["rows"] and several["scores"] != h["scores"] and several["box"] == h["box"]
    status, answer = server.classify(data + b"", "?mode=dense&heatmap=3&average=logit")
    assert status == 200 and answer["heatmap"]["class"] == 3 and all(0 < s < 1 for s in answer["heatmap"]["scores"])


def test_heatmap_png(server):
    data = jpeg(draw(300, 200, 9))
    plain = None
    for query, headers in (("heatmap=3&format=png", {}), ("heatmap=3", {"Accept": "image/png"})):
        status, headers, body = server.request("POST", f"/classify?mode=dense&{query}", data, headers)
        assert status == 200 and headers["Content-Type"] == "image/png" and headers["X-Heatmap-Class"] == "3"
        picture = PIL.Image.open(io.BytesIO(body))
        assert picture.format == "PNG" and picture.size == (54, 36)
        assert plain in (None, body)
        plain = body
    status, headers, body = server.request("POST", "/classify?mode=dense&heatmap=3&format=json", data,
                                           {"Accept": "image/png"})
    assert status == 200 and json.loads(body)["heatmap"]["class"] == 3
    status, headers, body = server.request("POST", "/classify?mode=dense&heatmap=3&format=png", data[:99])
    assert status == 400 and json.loads(body)["code"] == "corrupt_image"


def test_a_misspelt_variable_is_named(program, run_program):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PRELU_")}
    env |= {"PRELU_MOED": "dense", "PRELU_max_body": "1", "PRELU_CPU": "avx2", "PRELU_TOP_K": "3",
           "PRELU_SERVER": "x", "PRELU_" + "X" * 99: ""}
    r = run_program("prelu-serve", "--check", env=env)
    named = re.findall(r"\b(PRELU_\w+) in the environment is no option", r.stderr)
    assert r.returncode == 0 and sorted(named) == ["PRELU_MOED", "PRELU_" + "X" * 60, "PRELU_max_body"]


def turned(picture, orientation, **options):
    exif = PIL.Image.Exif()
    exif[274] = orientation
    return jpeg(picture, exif=exif, **options)


def test_a_mirrored_picture_has_the_mirrored_heatmap(own_server, model, tmp_path, run_program):
    """Orientation 2 is the mirror image, of the same decoded pixels."""
    other = tmp_path / "other.onnx"
    r = run_program("prelu-train", "init", "--arch", "cifar", "--width", 0.25, "--seed", 2, "--out", other)
    assert r.returncode == 0, r.stderr
    s = own_server("--model", f"b={other}", "--ensemble", "both=small,b", "--request-timeout", "300s")
    for width, height in ((96, 64), (90, 61)):
        picture = draw(width, height, 4)
        for query in ("mode=dense&scales=64", "mode=dense&scales=61", "mode=multiscale&scales=40,48,64",
                      "mode=multiscale&scales=40,61&average=logit"):
            for name in ("small", "both"):
                full = f"?{query}&model={name}&heatmap=3&top_k=10"
                straight, mirrored = (s.classify(x, full)[1] for x in (jpeg(picture), turned(picture, 2)))
                for p, q in zip(straight["predictions"], mirrored["predictions"]):
                    assert p["class"] == q["class"] and abs(p["score"] - q["score"]) < 1e-8
                a, b = straight["heatmap"], mirrored["heatmap"]
                rows = [[m["scores"][r * m["cols"]:(r + 1) * m["cols"]] for r in range(m["rows"])] for m in (a, b)]
                assert len(rows[0]) > 1 and rows[1] == [r[::-1] for r in rows[0]] != rows[0]
                left, above, right, below = a["box"]
                assert b["box"] == pytest.approx([width - right, above, width - left, below])


@pytest.mark.parametrize("orientation,undo", [(3, "ROTATE_180"), (6, "ROTATE_90"), (7, "TRANSVERSE"), (8, "ROTATE_270")])
def test_a_heatmap_is_aligned_to_the_upright_picture(server, orientation, undo):
    """A file whose pixels lie otherwise, and says so, against one whose pixels are upright."""
    upright, fine = draw(96, 64, 4), {"quality": 100, "subsampling": 0}
    lying = upright.transpose(getattr(PIL.Image.Transpose, undo))
    for query in ("?mode=dense&scales=64&heatmap=3", "?mode=multiscale&scales=40,64&heatmap=3"):
        a, b = (server.classify(x, query)[1] for x in (jpeg(upright, **fine), turned(lying, orientation, **fine)))
        assert a["image"] == b["image"] == {"width": 96, "height": 64, "format": "jpeg"}
        a, b = a["heatmap"], b["heatmap"]
        assert b.pop("scores") == pytest.approx(a.pop("scores"), abs=0.01) and a == b


def peak_mib(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


@pytest.mark.parametrize("size,options", [((8660, 5773), {"progressive": True}), ((28000, 1780), {"subsampling": 0})])
def test_a_large_picture_takes_no_more_memory_than_the_log_says(program, tmp_path, size, options):
    """The bundled model, multi-scale, at the limit of pixels."""
    s = Server(program, tmp_path, "--request-timeout", "300s")
    try:
        said = re.search(r"a picture of 50 MP takes at most (\d+) MiB \(multiscale\), the longest (\d+) MiB", s.text())
        picture = PIL.Image.linear_gradient("L").resize(size).convert("RGB")
        before = peak_mib(s.process)
        status, answer = s.classify(jpeg(picture, quality=70, **options), "?mode=multiscale")
        assert status == 200 and answer["image"]["width"] == size[0]
        took = peak_mib(s.process) - before
        assert took > 3 * size[0] * size[1] / 2**20 * 0.9  # it was decoded whole
        if SLOW == 1:  # sanitizers keep freed memory
            assert took < max(int(said[1]), int(said[2]))
    finally:
        s.close()


def test_an_ensemble_of_a_model_with_itself_is_the_model(own_server, model, tmp_path, run_program):
    other = tmp_path / "other.onnx"
    r = run_program("prelu-train", "init", "--arch", "cifar", "--width", 0.25, "--seed", 2, "--out", other)
    assert r.returncode == 0, r.stderr
    s = own_server("--model", f"b={other}", "--ensemble", "same=small,small,small", "--ensemble", "both=small,b")
    data = jpeg(draw(90, 60, 9))
    for query in ("mode=center", "mode=10view", "mode=dense", "mode=multiscale", "mode=10view&average=logit"):
        one, b, same, both = [s.classify(data, f"?top_k=10&{query}&model={m}")[1]
                              for m in ("small", "b", "same", "both")]
        assert same["model"] == "same" and same["predictions"] == one["predictions"]
        assert same["views"] == 3 * one["views"] and both["views"] == 2 * one["views"]
        if "logit" not in query:
            of = [{p["class"]: p["score"] for p in a["predictions"]} for a in (one, b, both)]
            for c, score in of[2].items():
                assert abs(score - (of[0][c] + of[1][c]) / 2) < 1e-8
    status, headers, _ = s.request("POST", "/classify?model=both", data)
    assert status == 200 and re.fullmatch(r"both@1 sha256:[0-9a-f]{64}", headers["X-Model"])
    maps = [s.classify(data, f"?mode=dense&scales=60&heatmap=4&model={m}")[1]["heatmap"]
            for m in ("small", "b", "same", "both")]
    assert maps[0] == maps[2]
    for one, b, both in zip(maps[0]["scores"], maps[1]["scores"], maps[3]["scores"]):
        assert abs(both - (one + b) / 2) < 1e-6
    status, answer = s.classify(b"no picture", "?model=both")
    assert status == 415


def test_averaging_before_and_after_softmax(server):
    data = jpeg(draw(90, 60, 9))
    one = [server.classify(data, f"?top_k=10&average={a}")[1]["predictions"] for a in ("prob", "logit")]
    for p, q in zip(*one): # of one view it is the same
        assert p["class"] == q["class"] and abs(p["score"] - q["score"]) < 1e-6
    ten = [server.classify(data, f"?top_k=10&mode=10view&average={a}")[1]["predictions"]
           for a in ("prob", "logit")]
    assert ten[0] != ten[1] and abs(sum(p["score"] for p in ten[1]) - 1) < 1e-6


@pytest.mark.parametrize("ensemble,code,word", [
    ("x=small,none", 64, "none"), ("small=small", 64, "already"), ("x", 64, "NAME="),
    ("x=small,other", 65, "class 0"), ("x=" + ",".join(["small"] * 9), 64, "8 models"),
])
def test_bad_ensembles(run_program, model, tmp_path, ensemble, code, word):
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"l{i}\n" for i in range(10)))
    r = run_program("prelu-serve", "--check", "--model", f"small={model}", "--model", f"other={model}",
                    "--labels", f"other={labels}", "--ensemble", ensemble)
    assert r.returncode == code and word in r.stderr, r.stderr


# ---- refusals ----

@pytest.mark.parametrize("body,status,code", [
    (b"", 400, "malformed_request"),
    (SMALL[:200], 400, "corrupt_image"),
    (SMALL[:-30], 400, "corrupt_image"),
    (b"\xff\xd8\xff", 400, "corrupt_image"),
    (b"hello, I am a text", 415, "unsupported_image"),
    (b"\x89PNG\r\n\x1a\n" + b"\0" * 50, 415, "unsupported_image"),
    (b"\0" * 5000, 415, "unsupported_image"),
    (lie_about_size(SMALL, 65000, 65000), 413, "image_too_large"),
    (lie_about_size(SMALL, 0, 32), 400, "corrupt_image"),
    (lie_about_size(SMALL, 65535, 65535), None, None),
], ids=["empty", "no scan", "cut", "start only", "text", "png", "zeros", "65000x65000", "0x32",
        "65535x65535"])
def test_bad_pictures(server, body, status, code):
    got, answer = server.classify(body)
    if status is None:
        assert got in (400, 413)
    else:
        assert (got, answer["code"]) == (status, code), answer
    assert answer["status"] == got and isinstance(answer["error"], str) and answer["request_id"]


def test_a_png_is_named(server):
    out = io.BytesIO()
    draw(8, 8).save(out, "PNG")
    status, answer = server.classify(out.getvalue())
    assert status == 415 and "PNG" in answer["error"]


def test_a_picture_of_65500_by_1(server):
    before = resident(server)
    status, answer = server.classify(jpeg(draw(65500, 1, 3)))
    assert status == 413, answer
    assert resident(server) - before < 200e6


def resident(server):
    return server.metric("process_resident_memory_bytes")


def test_paths_and_methods(server):
    status, headers, body = server.request("GET", "/classify")
    assert status == 405 and headers["Allow"] == "POST, OPTIONS"
    assert json.loads(body)["code"] == "method_not_allowed"
    assert server.request("DELETE", "/")[0] == 405
    status, _, body = server.get("/no/such/secret-path")
    assert status == 404 and b"secret" not in body
    assert server.request("POST", "/classify/", SMALL)[0] == 404
    status, headers, body = server.request("OPTIONS", "/classify")
    assert status == 204 and "POST" in headers["Allow"] and body == b""
    assert server.request("OPTIONS", "*")[0] == 204
    status, headers, body = server.request("HEAD", "/")
    assert status == 200 and int(headers["Content-Length"]) > 100 and body == b""


def test_one_connection_serves_many_requests_good_and_bad(server):
    c = server.connect()
    c.connect()
    mine = c.sock
    for body, want in [(SMALL, 200), (b"text", 415), (SMALL, 200), (b"", 400), (SMALL, 200)]:
        c.request("POST", "/classify", body)
        r = c.getresponse()
        r.read()
        assert r.status == want
    for path, want in [("/none", 404), ("/classify", 405), ("/healthz", 200)]:
        c.request("GET", path)
        r = c.getresponse()
        r.read()
        assert r.status == want
    assert c.sock is mine, "the connection was not kept"
    c.close()


def test_request_id_of_the_client(server):
    for given, used in [("abc-1.2_3", True), ("a" * 64, True), ("a" * 65, False),
                        ("<script>", False)]:
        status, headers, _ = server.request("POST", "/classify", SMALL, {"X-Request-Id": given})
        assert status == 200 and (headers["X-Request-Id"] == given) == used


def test_traceparent(server):
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    for given, known in [(f"00-{trace}-{span}-01", True), (f"cc-{trace}-{span}-01-more", True),
                         (f"00-{trace}-{span}-01-more", False), (f"ff-{trace}-{span}-01", False),
                         (f"00-{trace.upper()}-{span}-01", False), (f"00-{trace}-{16 * '0'}-01", False),
                         ("", False), ("x" * 300, False)]:
        _, headers, _ = server.request("GET", "/healthz", headers={"traceparent": given})
        version, ours, parent, flags = headers["traceparent"].split("-")
        assert (version, len(ours), len(parent)) == ("00", 32, 16)
        assert (ours == trace, flags) == (known, "01" if known else "00") and parent != span
    seen = {server.get("/healthz")[1]["traceparent"] for _ in range(5)}
    assert len(seen) == 5


def test_rate_limit(own_server):
    s = own_server("--rate-limit", "5")
    got = [s.request("POST", "/classify", SMALL) for _ in range(40)]
    status = [r[0] for r in got]
    assert set(status) == {200, 429} and status[:5] == 5 * [200]
    refused = got[status.index(429)]
    assert int(refused[1]["Retry-After"]) == 1
    assert json.loads(refused[2])["code"] == "too_many_requests"
    assert all(s.get(path)[0] == 200 for path in 10 * ["/healthz", "/readyz", "/v2/health/live"])
    wait_until(lambda: s.get("/openapi.json")[0] == 200)


def test_content_encoding_is_refused(server):
    assert server.classify(SMALL, headers={"Content-Encoding": "br"})[0] == 415
    assert server.classify(SMALL, headers={"Content-Encoding": "identity"})[0] == 200


def test_body_above_the_limit(server):
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n"
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
        s.sendall(head + b"\r\n" + b"a" * 1000)
        status, text, body = parse_raw(s.recv(65536))  # before the body is there
    assert status == 413 and json.loads(body)["code"] == "body_too_large"
    assert "Connection: close" in text and time.monotonic() - start < 8
    # All of it is sent: at most 4 MiB are read, and the reply is there in any case.
    assert parse_raw(server.raw(head + b"\r\n" + b"a" * 30000000))[0] == 413
    # A client that asks first is told without sending.
    assert parse_raw(server.raw(head + b"Expect: 100-continue\r\n\r\n"))[0] == 413
    for huge in (2 ** 63 - 1, 2 ** 63, 2 ** 64, 10 ** 30):
        reply = server.raw(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nabc" % huge)
        assert parse_raw(reply)[0] in (400, 413)


def test_body_above_the_limit_without_a_length(server):
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n" % 1000000 + b"a" * 1000000 + b"\r\n"
    assert parse_raw(server.raw(head + chunk * 30))[0] == 413


def test_chunked_upload(server):
    pieces = [SMALL[i:i + 7] for i in range(0, len(SMALL), 7)]
    body = b"".join(b"%x\r\n" % len(p) + p + b"\r\n" for p in pieces) + b"0\r\n\r\n"
    reply = server.raw(b"POST /classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       b"Transfer-Encoding: chunked\r\n\r\n" + body)
    status, _, data = parse_raw(reply)
    assert status == 200
    assert json.loads(data)["predictions"] == server.classify(SMALL)[1]["predictions"]


def test_expect_100_continue_is_answered_at_once(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
        s.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(SMALL))
        assert s.recv(100).startswith(b"HTTP/1.1 100")
        s.sendall(SMALL)
        assert b"HTTP/1.1 200" in s.recv(65536)


@pytest.mark.parametrize("headers", [
    b"",                                                                   # no Host
    b"Host: x\r\nHost: y\r\n",
    b"Host: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n",
    b"Host: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
    b"Host: x\r\nTransfer-Encoding: gzip, chunked\r\n",
    b"Host: x\r\nTransfer-Encoding: identity\r\n",
    b"Host: x\r\nContent-Length: -1\r\n",
    b"Host: x\r\nContent-Length: 0x10\r\n",
], ids=["no host", "two hosts", "two lengths", "length and chunked", "gzip, chunked", "identity",
        "negative", "hexadecimal"])
def test_framing_that_cannot_be_trusted(server, headers):
    smuggled = b"POST /classify HTTP/1.1\r\n" + headers + b"\r\nabcGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    reply = server.raw(smuggled)
    assert parse_raw(reply)[0] == 400
    assert b" 200 OK" not in reply, "the rest was taken as a second request"


def test_http_1_0(server):
    assert parse_raw(server.raw(b"GET /healthz HTTP/1.0\r\n\r\n"))[0] == 200


@pytest.mark.parametrize("garbage", [
    b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 500, b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
    b"POST /classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    bytes(random.Random(1).randrange(256) for _ in range(3000)),
], ids=["nul", "short", "empty lines", "version", "long target", "many headers", "chunk", "noise"])
def test_garbage_harms_nobody(server, garbage):
    server.raw(garbage, half_close=True)
    assert server.classify(SMALL)[0] == 200


# ---- slow and leaving clients ----

def test_slow_headers(own_server):
    server = own_server("--header-timeout", "1s")
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
        got = b""
        s.settimeout(0.2)
        try:
            for c in b"POST /classify HTTP/1.1\r\nHost: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx":
                s.sendall(bytes([c]))
                try:
                    piece = s.recv(4096)
                    got += piece
                    break
                except socket.timeout:
                    continue
        except OSError:
            pass
    assert time.monotonic() - start < 30
    assert parse_raw(got)[0] == 408


def test_slow_body(own_server):
    server = own_server("--request-timeout", "1s")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
        s.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        start = time.monotonic()
        while time.monotonic() - start < 30:
            s.sendall(b"a")
            s.settimeout(0.2)
            try:
                reply = s.recv(4096)
                break
            except socket.timeout:
                continue
    assert 0.9 < time.monotonic() - start < 30
    assert parse_raw(reply)[0] == 408
    assert json.loads(parse_raw(reply)[2])["code"] == "too_slow"


def test_half_a_request(server):
    before = server.metric('prelu_http_requests_total{route="/classify",code="200"}')
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            s.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
    assert server.classify(SMALL)[0] == 200
    assert server.metric('prelu_http_requests_total{route="/classify",code="200"}') == before + 1
    wait_until(lambda: server.metric("prelu_in_flight") == 1)  # the question itself


def test_half_closed_client_gets_its_answer(server):
    reply = server.raw(b"POST /classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       b"Content-Length: %d\r\n\r\n" % len(SMALL) + SMALL, half_close=True)
    assert b"HTTP/1.1 200 OK" in reply


def many_pictures():
    """Multi-scale, a second or more of work for one thread; (body, headers)."""
    pictures = [jpeg(draw(400, 400, i)) for i in range(16)]
    return multipart(*[(f"{i}.jpg", pictures[i % 16]) for i in range(256)])


def test_work_of_a_client_that_left_is_dropped(own_server):
    s = own_server("--threads", "1", "--max-body", "50MiB", "--queue-limit", "100000",
                   "--max-images", "256")
    body, headers = many_pictures()
    head = "".join(f"{k}: {v}\r\n" for k, v in headers.items()).encode()
    before = 0
    for abort in (False, True):
        with socket.create_connection(("127.0.0.1", s.port), timeout=60) as c:
            if abort:
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.sendall(b"POST /classify?mode=multiscale HTTP/1.1\r\nHost: x\r\n" + head +
                      b"Content-Length: %d\r\n\r\n" % len(body) + body)
            wait_until(lambda: s.metric("prelu_queue_work_units") > 0)
            assert s.cancelled() == before
        wait_until(lambda: s.metric("prelu_queue_work_units") == 0)
        assert s.cancelled() > before
        before = s.cancelled()
    assert s.metric('prelu_http_requests_total{route="/classify",code="499"}') == 2
    assert s.classify(SMALL)[0] == 200
    assert s.stop() == 0


def test_clients_that_reset_while_they_are_answered(own_server):
    s = own_server()
    head = b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SMALL)

    def client(seed):
        r = random.Random(seed)
        for _ in range(60):
            with socket.create_connection(("127.0.0.1", s.port), timeout=60) as c:
                c.sendall(head + SMALL)
                time.sleep(r.random() * 0.02)
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(client, range(12)))
    assert s.classify(SMALL)[0] == 200
    assert s.stop() == 0


def test_half_closed_client_gets_its_answer_after_long_work(own_server):
    s = own_server("--threads", "1", "--max-body", "50MiB")
    body, headers = multipart(*[(f"{i}.jpg", jpeg(draw(1000, 1000, i))) for i in range(20)])
    head = "".join(f"{k}: {v}\r\n" for k, v in headers.items()).encode()
    reply = s.raw(b"POST /classify?mode=10view HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head +
                  b"Content-Length: %d\r\n\r\n" % len(body) + body, half_close=True)
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    while reply.startswith(interim):
        reply = reply[len(interim):]
    status, _, data = parse_raw(reply)
    assert status == 200 and len(json.loads(data)["results"]) == 20


def test_connections_that_ask_nothing_do_not_lock_others_out(own_server):
    s = own_server("--max-connections", "20", "--header-timeout", "60s")
    idle = [socket.create_connection(("127.0.0.1", s.port)) for _ in range(60)]
    start = time.monotonic()
    assert s.classify(SMALL)[0] == 200
    assert time.monotonic() - start < 50
    for c in idle:
        c.close()


# ---- many at once ----

def test_every_answer_of_many_clients_equals_the_one_alone(server):
    pictures = [jpeg(draw(20 + 13 * i, 90 - 5 * i, i)) for i in range(12)]
    cases = [(p, f"?top_k=10&mode={m}") for p in pictures for m in ("center", "10view")]
    alone = [server.classify(*c)[1]["predictions"] for c in cases]
    failures = []

    def client(seed):
        rng = random.Random(seed)
        c = server.connect()
        for _ in range(15 // SLOW):
            i = rng.randrange(len(cases))
            bad = rng.random() < 0.1
            c.request("POST", "/classify" + cases[i][1], SMALL[:99] if bad else cases[i][0])
            r = c.getresponse()
            answer = json.loads(r.read())
            if bad and r.status != 400 or not bad and answer.get("predictions") != alone[i]:
                failures.append((r.status, answer))
        c.close()

    threads = [threading.Thread(target=client, args=(i,)) for i in range(24)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[0]


def test_batching_with_a_delay_changes_no_answer(own_server):
    s = own_server("--max-batch-delay", "20ms", "--max-batch", "8", "--threads", "2")
    pictures = [jpeg(draw(40, 40, i)) for i in range(8)]
    alone = [s.classify(p)[1]["predictions"] for p in pictures]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for _ in range(4):
            together = pool.map(lambda p: s.classify(p)[1]["predictions"], pictures * 2)
            assert list(together) == alone * 2
    runs, views = s.metric("prelu_batch_size_count"), s.metric("prelu_batch_size_sum")
    assert views > runs, "nothing ever shared a run"
    assert s.stop() == 0


def test_a_full_queue_says_when_to_come_back(own_server):
    s = own_server("--queue-limit", "10", "--threads", "1")
    body, headers = multipart(*[(f"{i}.jpg", jpeg(draw(300, 300, i))) for i in range(6)])
    seen = {}

    def one(_):
        status, h, data = s.request("POST", "/classify?mode=10view", body, headers)
        seen[status] = (h, data)

    until = time.monotonic() + 20 * SLOW
    while not {200, 503} <= set(seen) and time.monotonic() < until:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            list(pool.map(one, range(24)))
    assert {200, 503} == set(seen)
    headers, data = seen[503]
    assert json.loads(data)["code"] == "queue_full" and 1 <= int(headers["Retry-After"]) <= 60
    assert s.metric('prelu_rejected_total{reason="queue_full"}') > 0
    assert s.classify(SMALL)[0] == 200
    assert s.stop() == 0


def test_a_deadline_that_cannot_be_kept(own_server):
    """Which stage the time runs out in is the machine's."""
    s = own_server("--request-timeout", f"{300 * SLOW}ms", "--threads", "1", "--max-body", "50MiB",
                   "--queue-limit", "100000", "--max-images", "256")
    body, headers = many_pictures()
    start = time.monotonic()
    status, answer = s.classify(body, "?mode=multiscale", headers)
    assert status == 504 and answer["code"] == "deadline_exceeded", answer
    assert time.monotonic() - start < 30
    wait_until(lambda: s.metric("prelu_queue_work_units") == 0)
    assert s.cancelled() > 0
    assert s.stop() == 0


# ---- what is not classification ----

def test_health(server):
    assert server.get("/healthz")[0] == 200
    assert server.get("/readyz")[0] == 200
    assert json.loads(server.get("/v2/health/live")[2]) == {"live": True}
    assert json.loads(server.get("/v2/health/ready")[2]) == {"ready": True}


def test_the_page(server):
    status, headers, body = server.get("/")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    text = body.decode()
    assert "style=" not in text and not re.search(r"<script(?![^>]*src=)", text)
    for link in re.findall(r'(?:src|href)="(/[^"]*)"', text):
        assert server.get(link)[0] == 200, link
    assert not re.search(r'(?:src|href)="https?:', text)


def test_no_ui(own_server):
    s = own_server("--no-ui")
    assert s.get("/")[0] == 404 and s.get("/app.js")[0] == 404
    assert s.get("/openapi.json")[0] == 200


def test_openapi_names_what_is_served(server):
    """Each route of the document is served with its methods, and each route served is in it."""
    status, headers, body = server.get("/openapi.json")
    assert status == 200 and headers["Content-Type"] == "application/json"
    api = json.loads(body)
    served = set(re.findall(r'^prelu_http_request_duration_seconds_count{route="(.+?)"}',
                            server.get("/metrics")[2].decode(), re.M)) - {"other"}
    admin = {r for r in served if r.startswith("/v2/repository/models/")}  # not at this listener
    assert admin and set(api["paths"]) == served - admin
    for path, methods in api["paths"].items():
        path = path.replace("{model}", "small").replace("{version}", "1")
        allow = set(server.request("OPTIONS", path)[1]["Allow"].split(", "))
        assert allow - {"HEAD", "OPTIONS"} == {method.upper() for method in methods}
        if path.endswith("/infer"):
            continue
        for method in methods:
            assert server.request(method.upper(), path, SMALL if method == "post" else None)[0] == 200
    refs = set(re.findall(r'"#/([^"]+)"', body.decode()))
    for ref in refs:
        at = api
        for key in ref.split("/"):
            at = at[key]


def test_metrics(server):
    server.classify(SMALL)
    status, headers, body = server.get("/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = body.decode()
    typed = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    for name in ("prelu_http_requests_total", "prelu_stage_duration_seconds", "prelu_batch_size",
                 "prelu_queue_depth", "prelu_queue_work_units", "prelu_queue_capacity",
                 "prelu_in_flight", "prelu_rejected_total", "prelu_cancelled_total",
                 "prelu_images_total", "prelu_top1_score", "prelu_model_info",
                 "prelu_model_load_seconds", "prelu_ready", "prelu_build_info",
                 "process_resident_memory_bytes", "process_cpu_seconds_total"):
        assert name in typed, name
    for line in text.splitlines():
        if not line.startswith("#"):
            sample = re.fullmatch(r'([a-z_0-9]+?)(?:_bucket|_sum|_count)?(\{.*\})? (\S+)', line)
            assert sample and float(sample.group(3)) >= 0, line
    assert server.metric("prelu_ready") == 1


@pytest.mark.parametrize("name", ["alerts.yml", "grafana-dashboard.json"])
def test_alerts_and_dashboard_ask_for_figures_that_exist(server, name):
    shown = set(re.findall(r"^(\w+)", server.get("/metrics")[2].decode(), re.M))
    shown |= {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
    asked = set(re.findall(r"\b(?:prelu|process)_\w+", (ROOT / "docs" / name).read_text()))
    assert asked and asked <= shown, asked - shown


def test_log_lines_are_json_without_the_clients_bytes(own_server):
    s = own_server()
    s.get("/very-secret-path?token=very-secret")
    s.classify(SMALL)
    assert s.stop() == 0
    lines = [json.loads(line) for line in s.text().splitlines()]
    requests = [line for line in lines if line["msg"] == "request"]
    assert {"ts", "level", "msg", "request_id", "trace_id", "method", "route", "status",
            "duration_ms"} <= set(requests[-1])
    assert len(requests) == len({r["request_id"] for r in requests})
    assert requests[-1]["route"] == "/classify" and requests[-1]["status"] == 200
    assert "very-secret" not in s.text()


# ---- keys ----

def hash_of(run_program, key):
    r = run_program("prelu-serve", "hash-key", input=key + "\n")
    assert r.returncode == 0 and r.stdout == hashlib.sha256(key.encode()).hexdigest() + "\n"
    return r.stdout.strip()


def test_keys(own_server, run_program, tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"# ours\nann:{hash_of(run_program, 'first-key')}\n")
    s = own_server("--api-key-file", file)
    for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"):
        assert s.get(path)[0] == 200, path
    for headers in ({}, {"Authorization": "Basic Zmlyc3Qta2V5"}):
        status, answer = s.classify(SMALL, headers=headers)
        assert status == 401 and answer["code"] == "key_missing"
    for path in ("/metrics", "/", "/openapi.json", "/no/such/path"):
        assert s.get(path)[0] == 401, path
    for wrong in ("first-ke", "first-key2", hash_of(run_program, "first-key"), "x" * 5000):
        status, answer = s.classify(SMALL, headers={"X-API-Key": wrong})
        assert status == 403 and answer["code"] == "wrong_key"
    right = [{"X-API-Key": "first-key"}, {"Authorization": "Bearer first-key"}]
    assert [s.classify(SMALL, headers=h)[0] for h in right] == [200, 200]
    bodiless = s.raw(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n"
                     b"Expect: 100-continue\r\n\r\n")
    assert parse_raw(bodiless)[0] == 401  # before the body is read
    file.write_text("broken\n")
    s.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the old keys stay" in s.text())
    assert s.classify(SMALL, headers=right[0])[0] == 200
    file.write_text(f"ann:{hash_of(run_program, 'second-key')}\n")
    s.process.send_signal(signal.SIGHUP)
    wait_until(lambda: s.classify(SMALL, headers={"X-API-Key": "second-key"})[0] == 200)
    assert s.classify(SMALL, headers=right[0])[0] == 403
    assert s.stop() == 0
    assert "first-key" not in s.text() and "second-key" not in s.text()


@pytest.mark.parametrize("text,code", [(None, 66), ("", 78), ("ann:123\n", 78)])
def test_bad_key_files(run_program, model, tmp_path, text, code):
    file = tmp_path / "keys"
    if text is not None:
        file.write_text(text)
    r = run_program("prelu-serve", "--model", model, "--port", 0, "--api-key-file", file)
    assert r.returncode == code and "api-key-file" in r.stderr


# ---- TLS, unix sockets ----

TLS = pathlib.Path(__file__).parent / "tls"


class TlsServer(Server):
    """Speaks HTTPS with the test's certificate."""

    def __init__(self, program, folder, cert, key, *flags):
        self.context = ssl.create_default_context(cafile=TLS / "localhost.pem")
        super().__init__(program, folder, "--tls-cert", cert, "--tls-key", key, *flags)

    def connect(self, timeout=60 * SLOW):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout,
                                           context=self.context)


@pytest.fixture
def tls_files(tmp_path):
    for name in ("localhost.pem", "localhost.key"):
        shutil.copy(TLS / name, tmp_path)
    return tmp_path / "localhost.pem", tmp_path / "localhost.key"


def test_tls(tls_files, tmp_path, model, server):
    s = TlsServer(BIN / "prelu-serve", tmp_path, *tls_files, "--model", model)
    try:
        alone = server.classify(SMALL)[1]["predictions"]
        c = s.connect()
        for _ in range(3):  # on one connection
            c.request("POST", "/classify", SMALL)
            assert json.loads(c.getresponse().read())["predictions"] == alone
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert all(a["predictions"] == alone
                       for _, a in pool.map(lambda _: s.classify(SMALL), range(24)))
        assert s.classify(b"x" * 100000, "?no=1")[1]["code"] == "bad_query"
        with socket.create_connection(("127.0.0.1", s.port), timeout=60) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" not in plain.recv(1000)
        old = ssl.create_default_context(cafile=TLS / "localhost.pem")
        old.set_ciphers("DEFAULT:@SECLEVEL=0")  # the client would speak it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", s.port)) as raw:
            old.wrap_socket(raw, server_hostname="localhost")
        tls_files[0].write_text("no certificate")
        s.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the old certificate stays" in s.text())
        shutil.copy(TLS / "localhost.pem", tls_files[0])
        s.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "certificate read" in s.text())
        assert s.classify(SMALL)[1]["predictions"] == alone
        c.close()
        assert s.stop() == 0
    finally:
        s.close()
        s.check_sanitizers()


def test_bad_certificates(run_program, tls_files, model, tmp_path):
    cert, key = tls_files
    junk = tmp_path / "junk"
    junk.write_text("junk")
    for flags, code in ((["--tls-cert", cert], 78), (["--tls-key", key], 78),
                        (["--tls-cert", junk, "--tls-key", key], 78),
                        (["--tls-cert", cert, "--tls-key", junk], 78),
                        (["--tls-cert", cert, "--tls-key", "/no/such"], 66)):
        r = run_program("prelu-serve", "--model", model, "--port", 0, *flags)
        assert r.returncode == code and "--tls" in r.stderr, (flags, r.stderr)


class UnixConnection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.host)


def test_unix_socket(own_server, run_program, model, tmp_path, monkeypatch):
    path = tmp_path / "socket"
    monkeypatch.setattr(Server, "connect", lambda self: UnixConnection(str(path), timeout=60))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))  # of a process that was killed
    s = own_server("--unix-socket", path)
    assert s.classify(SMALL)[0] == 200
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    r = run_program("prelu-serve", "--model", model, "--unix-socket", path)
    assert r.returncode == 69 and "in use" in r.stderr
    r = run_program("prelu-serve", "--model", model, "--unix-socket", "x" * 200)
    assert r.returncode == 64 and "bytes" in r.stderr
    assert s.stop() == 0 and not path.exists()


# ---- starting and stopping ----

def test_sigterm_under_load_loses_nothing(own_server):
    s = own_server("--drain-delay", f"{1000 * SLOW}ms")
    stop, failures, done = threading.Event(), [], []

    def client(seed):
        data = jpeg(draw(200, 200, seed))
        keep, c = seed % 2, None
        while not stop.is_set():
            try:
                c = c or s.connect()
                c.connect() if c.sock is None else None
            except ConnectionRefusedError:
                return  # the door is closed: not accepted, so not lost
            try:
                c.request("POST", "/classify?mode=10view", data)
                r = c.getresponse()
                body = r.read()
                if r.status != 200 or not json.loads(body)["predictions"]:
                    failures.append((r.status, body))
                done.append(1)
                if not keep or r.will_close:
                    c.close()
                    c = None
            except Exception as e:  # noqa: BLE001: any failure of an accepted request counts
                failures.append(repr(e))
                return

    threads = [threading.Thread(target=client, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    time.sleep(0.4 * SLOW)
    s.process.send_signal(signal.SIGTERM)
    wait_until(lambda: s.get("/readyz")[0] == 503)
    assert s.get("/healthz")[0] == 200
    code = s.process.wait(100)
    stop.set()
    for t in threads:
        t.join()
    assert code == 0, s.text()
    assert not failures, failures[:3]
    assert len(done) > 12


def test_slow_request_in_flight_is_finished(own_server):
    s = own_server()
    with socket.create_connection(("127.0.0.1", s.port), timeout=60) as c:
        c.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SMALL))
        time.sleep(0.1)
        s.process.send_signal(signal.SIGTERM)
        wait_until(s.refuses)
        c.sendall(SMALL)
        status, head, _ = parse_raw(c.recv(65536))
        assert status == 200 and "Connection: close" in head
    assert s.process.wait(100) == 0


def test_drain_timeout_says_that_requests_were_lost(own_server):
    s = own_server("--drain-timeout", "300ms")
    with socket.create_connection(("127.0.0.1", s.port)) as c:
        c.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
        time.sleep(0.2)
        assert s.stop() == 75


def test_second_signal_ends_at_once(own_server):
    s = own_server("--drain-delay", "60s")
    s.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    start = time.monotonic()
    assert s.stop(signal.SIGTERM) == 0 and time.monotonic() - start < 30


def test_idle_keep_alive_connections_do_not_hold_the_drain(own_server):
    s = own_server("--drain-timeout", "60s")
    c = s.connect()
    c.request("GET", "/healthz")
    c.getresponse().read()
    start = time.monotonic()
    assert s.stop() == 0 and time.monotonic() - start < 50
    c.close()


def test_port_in_use(run_program, server, model):
    r = run_program("prelu-serve", "--model", model, "--port", server.port)
    assert r.returncode == 69 and "in use" in r.stderr


@pytest.mark.parametrize("content,code", [(None, 66), (b"", 65), (b"garbage" * 100, 65)],
                         ids=["missing", "empty", "garbage"])
def test_bad_models(run_program, tmp_path, content, code):
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    r = run_program("prelu-serve", "--model", path, "--port", 0)
    assert r.returncode == code, r.stderr
    assert run_program("prelu-serve", "--model", path, "--check").returncode == code


@pytest.mark.parametrize("flags,code,word", [
    (["--nonsense"], 64, "nonsense"), (["extra"], 64, "extra"), (["--port"], 64, "port"),
    (["--port", "70000"], 64, "65535"), (["--max-body", "20furlongs"], 64, "max-body"),
    (["--mode=dance"], 64, "10view"), (["--top-k", "0"], 64, "top-k"),
    (["--request-timeout", "5"], 64, "request-timeout"), (["--check=maybe"], 64, "check"),
    (["--config", "/no/such/file.json"], 66, "file.json"),
    (["--host", "999.1.2.3", "--port", "0"], 64, "host"),
])
def test_usage(run_program, flags, code, word):
    r = run_program("prelu-serve", *flags)
    assert r.returncode == code and word in r.stderr, (r.returncode, r.stderr)


def damage(data, found, offset, flip):
    """The same file with one byte after `found` changed; its length stays."""
    at = data.index(found) + len(found) + offset
    return data[:at] + bytes([flip(data[at])]) + data[at + 1:]


@pytest.mark.parametrize("found,offset,flip,word", [
    (b"", None, lambda b: b ^ 1, "SHA-256"),  # the lowest bit of a weight
    (b'"scores":[0.', 0, lambda b: ord("0") + (b - ord("0") + 5) % 10, "score of class 0"),
    (b'"mode":"center"', 0, lambda b: ord("x"), "prelu.check"),
], ids=["weight", "score", "json"])
def test_self_check(run_program, tmp_path, found, offset, flip, word):
    path = tmp_path / "m.onnx"
    r = run_program("prelu-train", "init", "--arch", "cifar", "--width", 0.25, "--out", path)
    assert r.returncode == 0, r.stderr
    data = path.read_bytes()
    assert run_program("prelu-serve", "--check", "--model", path).returncode == 0
    # fc1.w is by far the largest tensor, so the middle of the file lies in it
    path.write_bytes(damage(data, found, len(data) // 2 if offset is None else offset, flip))
    for flags in (["--check"], ["--port", 0], ["--check", "--precision", "bf16"]):
        r = run_program("prelu-serve", "--model", path, *flags)
        assert r.returncode == 65, (flags, r.stderr)
        assert word in r.stderr and "model m" in r.stderr
    assert run_program("prelu-train", "describe", "--model", path).returncode == 0


def test_check_help_version(run_program, model):
    r = run_program("prelu-serve", "--check", "--model", model)
    assert r.returncode == 0 and "ok" in r.stdout, r.stderr
    r = run_program("prelu-serve", "--help")
    assert r.returncode == 0 and "--max-body" in r.stdout
    assert re.fullmatch(r"prelu-serve \d+\.\d+\.\d+\n", run_program("prelu-serve", "--version").stdout)


def test_where_options_come_from(run_program, tmp_path):
    config = tmp_path / "c.json"
    config.write_text('{"max-body": "1MiB", "port": 1234, "mode": "10view", "no-ui": true}')
    env = {**os.environ, "PRELU_PORT": "2345", "PRELU_MODE": "center"}
    r = run_program("prelu-serve", "--config", config, "--mode", "10view", "--print-config", env=env)
    assert r.returncode == 0, r.stderr
    assert "max-body = 1MiB  (config file)" in r.stdout
    assert "port = 2345  (environment)" in r.stdout
    assert "mode = 10view  (command line)" in r.stdout
    assert "no-ui = on  (config file)" in r.stdout
    assert "top-k = 5  (default)" in r.stdout
    for bad in ('{"max-body": "1MiB"', "[1]", '{"a": 1}', '{"port": {}}', '{"port": 1, "port": 2}',
                '{"port": -1}'):
        config.write_text(bad)
        r = run_program("prelu-serve", "--config", config, "--print-config")
        assert r.returncode == 78 and r.stderr, bad
    env["PRELU_PORT"] = "x"
    assert run_program("prelu-serve", "--print-config", env=env).returncode == 78


def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        p = subprocess.run([BIN / "prelu-serve", "--print-config"], stdout=full,
                           stderr=subprocess.PIPE, timeout=60)
    assert p.returncode == 74 and b"standard output" in p.stderr


def test_config_file_that_may_not_be_read(run_program, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    assert run_program("prelu-serve", "--config", folder, "--print-config").returncode == 78
