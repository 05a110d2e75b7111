"""What clients of other servers say to prelu-serve: the Open Inference Protocol, made by hand."""
import base64
import gzip
import io
import json
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from serving import SMALL, draw, jpeg, multipart

INFER = "/v2/models/small/infer"


def ask(server, root, binary=b"", path=INFER, **headers):
    """(status, JSON of the reply, what follows it, headers)."""
    text = root if isinstance(root, bytes) else json.dumps(root).encode()
    if binary:
        headers["Inference-Header-Content-Length"] = str(len(text))
    status, h, data = server.request("POST", path, text + binary, headers)
    n = int(h.get("Inference-Header-Content-Length", len(data)))
    return status, json.loads(data[:n]), data[n:], h


def pictures(*bodies):
    """An input of BYTES and what follows the JSON."""
    data = b"".join(struct.pack("<I", len(b)) + b for b in bodies)
    return {"name": "data", "datatype": "BYTES", "shape": [len(bodies)],
            "parameters": {"binary_data_size": len(data)}}, data


def floats(array):
    data = array.astype("<f4").tobytes()
    return {"name": "data", "datatype": "FP32", "shape": list(array.shape),
            "parameters": {"binary_data_size": len(data)}}, data


def scores_of(server, body, query=""):
    status, answer = server.classify(body, "?top_k=99" + query)
    assert status == 200
    return [p["score"] for p in sorted(answer["predictions"], key=lambda p: p["class"])]


@pytest.fixture(scope="module")
def tensor():
    return np.random.RandomState(1).randint(0, 256, (3, 3, 32, 32)).astype(np.float32)


def test_what_is_served(server):
    def get(path):
        status, _, body = server.get(path)
        return status, json.loads(body)
    for path in ("/v2", "/v2/"):
        status, about = get(path)
        assert status == 200 and about["name"] == "prelu-serve"
        assert {"binary_tensor_data", "classification"} <= set(about["extensions"])
    for base in ("/v2/models/small", "/v2/models/small/versions/1"):
        status, about = get(base)
        assert status == 200 and about["versions"] == ["1"] and about["platform"] == "onnx_onnxv1"
        assert about["inputs"] == [{"name": "data", "datatype": "FP32", "shape": [-1, 3, 32, 32]}]
        assert about["outputs"] == [{"name": "prob", "datatype": "FP32", "shape": [-1, 10]}]
        assert get(base + "/ready") == (200, {"name": "small", "ready": True})
        status, config = get(base + "/config")
        assert status == 200 and config["max_batch_size"] == 64
        assert config["input"][0] == {"name": "data", "data_type": "TYPE_FP32",
                                      "format": "FORMAT_NCHW", "dims": [3, 32, 32]}
    assert get("/v2/health/live") == (200, {"live": True})
    assert get("/v2/health/ready") == (200, {"ready": True})
    status, _, body = server.request("POST", "/v2/repository/index", b"{}")
    assert status == 200
    assert json.loads(body) == [{"name": "small", "version": "1", "state": "READY", "reason": ""}]


@pytest.mark.parametrize("path", [
    "/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/small/versions/2",
    "/v2/models/small/versions/2/config", "/v2/models/" + "a" * 300, "/v2/models/..%2fsmall",
    "/v2/models//ready", "/v2/models/small/nothing", "/v2/models/small/versions", "/v2/nothing"])
def test_unknown_names(server, path):
    status, _, body = server.get(path)
    assert status == 404 and isinstance(json.loads(body)["error"], str)


def test_statistics(server):
    def look():
        return json.loads(server.get("/v2/models/small/stats")[2])["model_stats"][0]
    before = look()
    part, data = pictures(SMALL, SMALL)
    assert ask(server, {"inputs": [part]}, data)[0] == 200
    part, data = pictures(SMALL, b"no picture")
    assert ask(server, {"inputs": [part]}, data)[0] == 415
    after = look()
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_count"] - before["inference_count"] == 3
    for key, n in (("success", 1), ("fail", 1), ("compute_infer", 3)):
        old, new = before["inference_stats"][key], after["inference_stats"][key]
        assert new["count"] - old["count"] == n and new["ns"] > old["ns"]
    everything = json.loads(server.get("/v2/models/stats")[2])["model_stats"]
    assert [m["name"] for m in everything] == ["small"]


@pytest.mark.parametrize("out", [{}, {"binary_data": True}, {"binary_data": False}])
def test_pictures_have_the_scores_that_classify_gives(server, out):
    other = jpeg(draw(50, 40, 3))
    part, data = pictures(SMALL, other)
    status, answer, raw, headers = ask(
        server, {"id": "seven", "inputs": [part],
                 "outputs": [{"name": "prob", "parameters": out}]}, data)
    assert status == 200 and answer["id"] == "seven" and answer["model_name"] == "small"
    assert answer["model_version"] == "1" and headers["X-Model"].startswith("small@1 ")
    prob = answer["outputs"][0]
    assert prob["name"] == "prob" and prob["datatype"] == "FP32" and prob["shape"] == [2, 10]
    if out.get("binary_data"):
        assert prob["parameters"]["binary_data_size"] == len(raw) == 80 and "data" not in prob
        got = np.frombuffer(raw, "<f4")
    else:
        assert raw == b""
        got = np.array(prob["data"], np.float32)
    want = np.array(scores_of(server, SMALL) + scores_of(server, other), np.float32)
    assert (got == want).all()


def test_pictures_as_base64_in_json(server):
    text = base64.b64encode(SMALL).decode()
    root = {"inputs": [{"name": "data", "datatype": "BYTES", "shape": [2, 1], "data": [[text], [text]]}],
            "parameters": {"mode": "10view", "priority": 1}}
    want = np.array(2 * scores_of(server, SMALL, "&mode=10view"), np.float32)
    for body in (json.dumps(root), json.dumps(root).replace("/", "\\/")):
        status, answer, _, headers = ask(server, body.encode())
        assert status == 200 and headers["X-Mode"] == "10view"
        assert np.allclose(answer["outputs"][0]["data"], want, rtol=1e-6)


def test_classification(server):
    _, best = server.classify(SMALL, "?top_k=3")
    want = [f'{p["score"]:f}:{p["class"]}' + (f':{p["label"]}' if p["label"] else "")
            for p in best["predictions"]]
    for binary in (True, False):
        part, data = pictures(SMALL, SMALL)
        status, answer, raw, _ = ask(
            server, {"inputs": [part], "parameters": {"binary_data_output": binary},
                     "outputs": [{"name": "prob", "parameters": {"classification": 3}}]}, data)
        prob = answer["outputs"][0]
        assert status == 200 and prob["datatype"] == "BYTES" and prob["shape"] == [2, 3]
        got = prob.get("data", [])
        while raw:
            n = struct.unpack("<I", raw[:4])[0]
            got.append(raw[4:4 + n].decode())
            raw = raw[4 + n:]
        assert got == 2 * want


def test_tensors_are_pixels(server, tensor):
    """FP32 is what the ONNX file itself takes: of a picture, the resized and cut pixels."""
    resized = PIL.Image.open(io.BytesIO(SMALL)).resize((36, 36), PIL.Image.BILINEAR)
    pixels = np.asarray(resized.crop((2, 2, 34, 34)), np.float32)
    part, data = floats(pixels.transpose(2, 0, 1)[None])
    status, answer, raw, _ = ask(server, {"inputs": [part], "parameters": {"binary_data_output": True}},
                                 data, Content_Type="application/octet-stream")
    assert status == 200
    assert np.allclose(np.frombuffer(raw, "<f4"), scores_of(server, SMALL), rtol=1e-3)
    results = []
    part, data = floats(tensor)
    results.append(ask(server, {"inputs": [part]}, data))
    for array in (tensor, tensor.reshape(-1)):
        results.append(ask(server, {"inputs": [{"name": "data", "datatype": "FP32",
                                                "shape": [3, 3, 32, 32], "data": array.tolist()}]}))
    for n in range(3):
        part, data = floats(tensor[n:n + 1])
        alone = ask(server, {"inputs": [part]}, data)[1]["outputs"][0]["data"]
        for status, answer, _, _ in results:
            assert status == 200 and answer["outputs"][0]["data"][10 * n:10 * n + 10] == alone


def test_a_body_without_json(server, tensor):
    raw = {"Inference-Header-Content-Length": "0"}
    status, _, body = server.request("POST", INFER, SMALL, raw)
    assert status == 200
    assert json.loads(body)["outputs"][0]["data"] == scores_of(server, SMALL)
    status, _, body = server.request("POST", INFER, tensor.astype("<f4").tobytes(), raw)
    assert status == 200 and json.loads(body)["outputs"][0]["shape"] == [3, 10]
    assert server.request("POST", INFER, b"", raw)[0] == 400
    assert server.request("POST", INFER, b"neither", raw)[0] == 415


PICTURE, PICTURE_DATA = pictures(SMALL)
NUMBERS = {"name": "data", "datatype": "FP32", "shape": [1, 3, 32, 32]}


@pytest.mark.parametrize("root, binary, status, word", [
    (b"", b"", 400, "in JSON"),
    (b"{", b"", 400, "in JSON"),
    (b'{"id":"a', b"", 400, "within a string"),
    (b'{"inputs":[{"data":[1,2', b"", 400, "within an array"),
    (b'{"inputs":[{"data":1}]}', b"", 400, "not an array"),
    (b'{"inputs":[{"d\\u0061ta":[1],"name":"data","datatype":"FP32","shape":[1,3,32,32]}]}', b"", 400,
     "not an array"),
    (b'{"id":"a","id":"b"}', b"", 400, "twice"),
    (b"[" * 100000, b"", 400, "64 levels"),
    (b'{"inputs":[{"data":' + b"[" * 100000 + b"]" * 100000 + b"}]}", b"", 400, "64 levels"),
    (b'{"a":[' + b"0," * 100000 + b"0]}", b"", 413, "65536 values"),
    (b'{"id":"\xff"}', b"", 400, "in JSON"),
    ([], b"", 400, "not an object"),
    ({}, b"", 400, "inputs"),
    ({"inputs": []}, b"", 400, "one input"),
    ({"inputs": [PICTURE, PICTURE]}, PICTURE_DATA, 400, "one input"),
    ({"inputs": [{**PICTURE, "name": "x"}]}, PICTURE_DATA, 400, 'is "data"'),
    ({"inputs": [{**PICTURE, "datatype": "INT8"}]}, PICTURE_DATA, 400, "FP32 nor BYTES"),
    ({"inputs": [{**PICTURE, "datatype": None}]}, PICTURE_DATA, 400, "FP32 nor BYTES"),
    ({"inputs": [{**PICTURE, "shape": [2]}]}, PICTURE_DATA, 400, "within picture 1 of 2"),
    ({"inputs": [{**PICTURE, "shape": []}]}, PICTURE_DATA, 400, "shape"),
    ({"inputs": [{**PICTURE, "shape": [0]}]}, PICTURE_DATA, 400, "shape"),
    ({"inputs": [{**PICTURE, "shape": [-1]}]}, PICTURE_DATA, 400, "shape"),
    ({"inputs": [{**PICTURE, "shape": [2 ** 62]}]}, PICTURE_DATA, 413, "--max-images"),
    ({"inputs": [{**PICTURE, "shape": [2 ** 64]}]}, PICTURE_DATA, 400, "in JSON"),
    ({"inputs": [{**PICTURE, "shape": [1.0]}]}, PICTURE_DATA, 400, "shape"),
    ({"inputs": [{**PICTURE, "shape": [1, 2]}]}, PICTURE_DATA, 400, "shape"),
    ({"inputs": [PICTURE]}, PICTURE_DATA + b"x", 400, "binary_data_size"),
    ({"inputs": [PICTURE]}, PICTURE_DATA[:-1], 400, "binary_data_size"),
    ({"inputs": [{**PICTURE, "parameters": {"binary_data_size": -1}}]}, PICTURE_DATA, 400, "binary_"),
    ({"inputs": [{**PICTURE, "data": ["x"]}]}, PICTURE_DATA, 400, "both"),
    ({"inputs": [{**PICTURE, "parameters": {}}]}, b"", 400, "neither"),
    ({"inputs": [{**PICTURE, "parameters": {}, "data": ["%%%%"]}]}, b"", 400, "not base64"),
    ({"inputs": [{**PICTURE, "parameters": {}, "data": [1]}]}, b"", 400, "strings"),
    ({"inputs": [{**PICTURE, "parameters": {}, "data": ["", ""]}]}, b"", 400, "more than 1"),
    ({"inputs": [{**PICTURE, "parameters": {"binary_data_size": 6}}]},
     b"\xff\xff\xff\xff\xff\xd8", 400, "within picture 0"),
    ({"inputs": [{**PICTURE, "parameters": {"binary_data_size": 9}}]},
     b"\1\0\0\0xABCD", 400, "behind the last"),
    ({"inputs": [{**PICTURE, "parameters": {"binary_data_size": 4}}]}, b"\0\0\0\0", 400, "empty"),
    ({"inputs": [{**NUMBERS, "shape": [1, 3, 32, 31], "data": [0] * 2976}]}, b"", 400, "[N,3,32,32]"),
    ({"inputs": [{**NUMBERS, "shape": [3072], "data": [0] * 3072}]}, b"", 400, "[N,3,32,32]"),
    ({"inputs": [{**NUMBERS, "data": [0] * 3071}]}, b"", 400, "the shape 3072"),
    ({"inputs": [{**NUMBERS, "data": [0] * 3073}]}, b"", 400, "more than 3072"),
    ({"inputs": [{**NUMBERS, "data": [0]}]}, b"", 400, "3072"),
    ({"inputs": [{**NUMBERS, "data": ["0"] * 3072}]}, b"", 400, "numbers"),
    ({"inputs": [{**NUMBERS, "data": [0] * 3071 + [None]}]}, b"", 400, "numbers"),
    ({"inputs": [{**NUMBERS, "parameters": {"binary_data_size": 4}}]}, b"abcd", 400, "12288"),
    ({"inputs": [{**NUMBERS, "parameters": {"binary_data_size": 12288}}]}, b"\xff" * 12288, 400,
     "not finite"),
    (json.dumps({"inputs": [{**NUMBERS, "data": [0] * 3071 + [7]}]}).replace("7]", "7e99]").encode(),
     b"", 400, "too large"),
    (json.dumps({"inputs": [{**NUMBERS, "data": [0] * 3071 + [7]}]}).replace("7]", "NaN]").encode(),
     b"", 400, "numbers"),
    (json.dumps({"inputs": [{**NUMBERS, "data": [0] * 3071 + [7]}]}).replace("7]", "07]").encode(),
     b"", 400, "numbers"),
    ({"inputs": [{**NUMBERS, "data": [0] * 3072}], "parameters": {"mode": "10view"}}, b"", 400,
     "pictures (BYTES)"),
    ({"inputs": [PICTURE], "parameters": {"mode": "nonsense"}}, PICTURE_DATA, 400, "mode"),
    ({"inputs": [PICTURE], "parameters": {"mode": ["center"]}}, PICTURE_DATA, 400, "not text"),
    ({"inputs": [PICTURE], "parameters": []}, PICTURE_DATA, 400, "parameters"),
    ({"inputs": [PICTURE], "id": 7}, PICTURE_DATA, 400, '"id"'),
    ({"inputs": [PICTURE], "id": "x" * 257}, PICTURE_DATA, 400, '"id"'),
    ({"inputs": [PICTURE], "outputs": {}}, PICTURE_DATA, 400, "outputs"),
    ({"inputs": [PICTURE], "outputs": [{"name": "logits"}]}, PICTURE_DATA, 400, 'is "prob"'),
    ({"inputs": [PICTURE], "outputs": [{"name": "prob", "parameters": {"classification": -1}}]},
     PICTURE_DATA, 400, "classification"),
])
def test_malformed(server, root, binary, status, word):
    got, answer, _, _ = ask(server, root, binary)
    assert got == status and word in answer["error"], answer


@pytest.mark.parametrize("length, word", [
    ("9223372036854775808", "range"), ("-1", "range"), ("1e3", "range"), ("", "range"),
    ("9223372036854775807", "the body 2 bytes"), ("3", "the body 2 bytes")])
def test_json_length(server, length, word):
    status, _, body = server.request("POST", INFER, b"{}", {"Inference-Header-Content-Length": length})
    assert status == 400 and word in json.loads(body)["error"]


def test_one_bad_picture_is_named(server):
    part, data = pictures(SMALL, SMALL[:200], SMALL)
    status, answer, _, _ = ask(server, {"inputs": [part]}, data)
    assert status == 400 and answer["code"] == "corrupt_image"
    assert answer["error"].startswith("picture 1: ")


def test_a_large_body_is_parsed_aside(server, tensor):
    """JSON of megabytes does not hold the thread that reads and writes."""
    many = np.repeat(tensor, 12, axis=0) + 0.123456
    root = {"inputs": [{"name": "data", "datatype": "FP32", "shape": [36, 3, 32, 32],
                        "data": [round(float(v), 6) for v in many.reshape(-1)]}]}
    status, answer, _, _ = ask(server, root)
    assert status == 200 and answer["outputs"][0]["shape"] == [36, 10]
    root["inputs"][0]["data"][-1] = None
    assert ask(server, root)[0] == 400
    assert ask(server, b" " * (4 << 20) + b"{}")[0] == 413


# ---- compressed bodies ----

@pytest.mark.parametrize("coding, compress", [("gzip", gzip.compress), ("GZIP", gzip.compress),
                                              ("deflate", zlib.compress)])
def test_compressed_bodies(server, tensor, coding, compress):
    status, answer = server.classify(compress(SMALL), headers={"Content-Encoding": coding})
    assert status == 200
    assert answer["predictions"] == server.classify(SMALL)[1]["predictions"]
    part, data = floats(np.zeros((8, 3, 32, 32)))
    text = json.dumps({"inputs": [part]}).encode()
    status, _, body = server.request("POST", INFER, compress(text + data), {
        "Content-Encoding": coding, "Inference-Header-Content-Length": str(len(text))})
    assert status == 200 and json.loads(body)["outputs"][0]["shape"] == [8, 10]


def test_bombs_and_damaged_bodies(server):
    def post(body, coding="gzip"):
        status, answer = server.classify(body, headers={"Content-Encoding": coding})
        return status, answer.get("code")
    bomb = gzip.compress(bytes(15 << 20))
    assert len(bomb) * 1000 < 16 << 20
    assert post(bomb) == (413, "request_too_large")
    assert post(zlib.compress(bytes(15 << 20)), "deflate") == (413, "request_too_large")
    noise = np.random.RandomState(0).bytes(400000)
    assert post(gzip.compress(noise + bytes(21 << 20))) == (413, "body_too_large")
    assert post(gzip.compress(SMALL)[:-9]) == (400, "malformed_request")
    assert post(gzip.compress(SMALL)[:-9] + b"123456789") == (400, "malformed_request")
    assert post(gzip.compress(SMALL) + b"more") == (400, "malformed_request")
    assert post(SMALL) == (400, "malformed_request")
    assert post(gzip.compress(SMALL), "gzip, gzip") == (415, "unsupported_encoding")
    assert post(b"") == (400, "malformed_request")
    assert server.classify(SMALL)[0] == 200


# ---- Hugging Face ----

def test_a_bare_list(server):
    _, answer = server.classify(SMALL)
    want = [{"label": p["label"], "score": p["score"]} for p in answer["predictions"]]
    text = base64.b64encode(SMALL).decode()
    for path, body in (("/", SMALL), ("/classify?format=hf", SMALL),
                       ("/", json.dumps({"inputs": text})),
                       ("/", json.dumps({"inputs": text, "parameters": None})),
                       ("/", json.dumps({"inputs": text, "parameters": {
                           "top_k": 5, "function_to_apply": "softmax"}}))):
        status, _, data = server.request("POST", path, body)
        assert status == 200 and json.loads(data) == want
    assert len(json.loads(server.request("POST", "/?top_k=2&mode=10view", SMALL)[2])) == 2
    status, _, data = server.request("POST", "/", json.dumps({"inputs": text, "parameters": {"top_k": 1}}))
    assert status == 200 and json.loads(data) == want[:1]


@pytest.mark.parametrize("body, query, status", [
    (b"", "", 400), (b"text", "", 415), (b"{", "", 400), (b"{}", "", 400), (b'{"inputs":1}', "", 400),
    (b'{"inputs":"%"}', "", 400), (b'{"inputs":"http://x/y.jpg"}', "", 400),
    (b'{"inputs":"","parameters":[]}', "", 400), (b'{"inputs":""}', "", 400),
    (b'{"inputs":"","parameters":{"top_k":0}}', "", 400),
    (b'{"inputs":"","parameters":{"function_to_apply":"sigmoid"}}', "", 400),
    (b'{"a":' * 100000, "", 400), (b"{" + b" " * (4 << 20), "", 413),
    (SMALL, "?format=hf", 400), (SMALL, "?heatmap=top1", 400), (SMALL, "?model=nobody", 404)])
def test_a_bare_list_refused(server, body, query, status):
    got, _, data = server.request("POST", "/" + query, body)
    assert got == status and isinstance(json.loads(data)["error"], str)


def test_the_page_may_be_away(own_server):
    s = own_server("--no-ui")
    assert s.request("POST", "/", SMALL)[0] == 200
    assert s.get("/")[0] == 404


# ---- features ----

def embed(server, body, query="", headers=None):
    status, _, data = server.request("POST", "/embed" + query, body, headers)
    return status, json.loads(data)


def test_features(server):
    """The scores are an affine function of the features, then softmax: learnt from some pictures, it
    holds for others."""
    status, answer = embed(server, SMALL)
    assert status == 200 and answer["name"] == "features" and answer["mode"] == "center"
    width = answer["shape"][0]
    assert len(answer["embedding"]) == width > 0 and "predictions" not in answer
    pictures_of = [jpeg(draw(32, 32, n)) for n in range(width + 30)]
    x, y = [], []
    for start in range(0, len(pictures_of), 50):
        body, headers = multipart(*((f"{n}", p) for n, p in enumerate(pictures_of[start:start + 50])))
        status, answer = embed(server, body, "", headers)
        assert status == 200
        x += [r["embedding"] + [1] for r in answer["results"]]
        answer = json.loads(server.request("POST", "/classify?top_k=99", body, headers)[2])
        y += [[p["score"] for p in sorted(r["predictions"], key=lambda p: p["class"])]
              for r in answer["results"]]
    x, y = np.array(x), np.log(np.array(y))
    y -= y.mean(axis=1, keepdims=True)
    layer = np.linalg.lstsq(x[:-10], y[:-10], rcond=None)[0]
    assert np.abs(x[-10:] @ layer - y[-10:]).max() < 0.02 * np.abs(y).max()
    shuffled = np.linalg.lstsq(x[:-10], np.roll(y[:-10], 1, axis=0), rcond=None)[0]
    assert np.abs(x[-10:] @ shuffled - y[-10:]).max() > 0.1 * np.abs(y).max()


def test_features_of_views_are_averaged(server):
    ten = embed(server, SMALL, "?mode=10view")[1]
    assert ten["views"] == 10 and ten["embedding"] != embed(server, SMALL)[1]["embedding"]


def test_features_as_an_array(server):
    body, headers = multipart(("a", SMALL), ("b", jpeg(draw(40, 30, 2))))
    status, _, data = server.request("POST", "/embed?format=npy", body, headers)
    got = np.load(io.BytesIO(data))
    assert status == 200 and got.dtype == np.float32
    want = [r["embedding"] for r in embed(server, body, "", headers)[1]["results"]]
    assert got.shape == (2, len(want[0])) and np.allclose(got, want, rtol=1e-6)
    body, headers = multipart(("a", SMALL), ("b", b"no picture"))
    status, answer = embed(server, body, "?format=npy", headers)
    assert status == 415 and answer["error"].startswith("picture 1: ")
    assert [r.get("status", 200) for r in embed(server, body, "", headers)[1]["results"]] == [200, 415]


@pytest.mark.parametrize("query", ["?mode=dense", "?mode=nonsense", "?format=png", "?top_k=3", "?model=x"])
def test_features_refused(server, query):
    assert embed(server, SMALL, query)[0] == (404 if "model" in query else 400)


def test_features_need_one_model(own_server, model):
    s = own_server("--model", f"b={model}", "--ensemble", "both=small,b", "--mode", "dense")
    assert embed(s, SMALL, "?model=both")[0] == 400
    assert embed(s, SMALL)[0] == 200
    part, data = floats(np.zeros((1, 3, 32, 32)))
    assert ask(s, {"inputs": [part]}, data, "/v2/models/small/infer")[0] == 200
    assert ask(s, {"inputs": [part]}, data, "/v2/models/both/infer")[0] == 400
    part, data = pictures(SMALL)
    assert ask(s, {"inputs": [part]}, data, "/v2/models/both/infer")[0] == 200
