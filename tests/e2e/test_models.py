"""Several models in prelu-serve: folders of versions, reload, the admin listener."""
import concurrent.futures
import http.client
import json
import os
import re
import shutil
import signal
import socket
import threading

import pytest

from serving import SLOW, SMALL, Server, draw, jpeg, wait_until

PICTURE = jpeg(draw(90, 60, 9))


@pytest.fixture(scope="session")
def nets(tmp_path_factory, run_program):
    """Three untrained nets that answer differently."""
    folder = tmp_path_factory.mktemp("nets")
    paths = []
    for seed in (1, 2, 3):
        paths.append(folder / f"{seed}.onnx")
        r = run_program("prelu-train", "init", "--arch", "cifar", "--width", 0.25, "--seed", seed,
                        "--out", paths[-1])
        assert r.returncode == 0, r.stderr
    return paths


@pytest.fixture
def start(bin_dir, tmp_path):
    started = []

    def run(*flags):
        s = Server(bin_dir / "prelu-serve", tmp_path, *flags)
        started.append(s)
        return s

    yield run
    for s in started:
        s.close()
        s.check_sanitizers()


def place(source, target):
    """As a careful program would: the file is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    shutil.copy(source, part)
    os.replace(part, target)


def ask(s, query=""):
    """(model@version, sha256, predictions) of one answer."""
    status, headers, body = s.request("POST", f"/classify?top_k=10{query}", PICTURE)
    assert status == 200, body
    name, digest = re.fullmatch(r"(\S+) sha256:([0-9a-f]{64})", headers["X-Model"]).groups()
    return name, digest, json.loads(body)["predictions"]


def reloads(s, result):
    return s.metric(f'prelu_reload_total{{result="{result}"}}')


def hang_up(s, result="ok"):
    before = reloads(s, result)
    s.process.send_signal(signal.SIGHUP)
    wait_until(lambda: reloads(s, result) == before + 1)


class Admin:
    """The admin listener of a server that was started with --admin-listen."""

    def __init__(self, s):
        self.port = int(re.search(r"admin listening on http://127\.0\.0\.1:(\d+)", s.text()).group(1))

    def request(self, method, path, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * SLOW)
        try:
            c.request(method, path, headers=headers or {})
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def post(self, path):
        return self.request("POST", path)


# ---- folders ----

def test_a_folder_of_models(start, nets, tmp_path):
    root = tmp_path / "models"
    place(nets[0], root / "flowers" / "2" / "model.onnx")
    place(nets[1], root / "flowers" / "10" / "model.onnx")
    place(nets[2], root / "birds" / "1" / "model.onnx")
    for junk in ("flowers/11", "flowers/03", "flowers/x", ".hidden/1", "no name/1"):
        (root / junk).mkdir(parents=True)
    (root / "a-file").write_text("x")
    s = start("--model-dir", root, "--ensemble", "both=flowers,birds")
    assert ask(s)[0] == "birds@1"  # the first name is the default
    new, old = ask(s, "&model=flowers"), ask(s, "&model=flowers@2")
    assert new[0] == "flowers@10" and old[0] == "flowers@2" and new[2] != old[2]
    assert ask(s, "&model=flowers@10") == new
    for missing in ("flowers@11", "flowers@3", "flowers@", "bees"):
        assert s.classify(PICTURE, f"?model={missing}")[0] == 404
    assert ask(s, "&model=both")[0] == "both@1"
    assert json.loads(s.get("/v2/models/flowers")[2])["versions"] == ["2", "10"]
    assert s.get("/v2/models/flowers/versions/2/ready")[0] == 200
    assert s.get("/v2/models/flowers/versions/3/ready")[0] == 404
    index = json.loads(s.request("POST", "/v2/repository/index")[2])
    assert [(m["name"], m["version"]) for m in index] == [
        ("birds", "1"), ("flowers", "10"), ("flowers", "2"), ("both", "1")]
    text = s.get("/metrics")[2].decode()
    assert 'prelu_model_load_seconds{model="flowers",version="10"}' in text
    assert s.stop() == 0


@pytest.mark.parametrize("flags,code,word", [
    (["--model-dir", "{}/none"], 66, "none"), (["--model-dir", "{}/empty"], 66, "VERSION"),
    (["--model-dir", "{}/bad"], 65, "model broken"),
    (["--model-dir", "{}/bad", "--model", "broken={}/bad/broken/1/model.onnx"], 64, "already"),
    (["--admin-listen", "192.0.2.1:0"], 64, "loopback"), (["--admin-listen", "0.0.0.0:0"], 64, "loopback"),
    (["--admin-listen", "127.0.0.1"], 64, "port"), (["--admin-listen", "70000"], 64, "port"),
    (["--admin-listen", "localhost:x"], 64, "port"),
])
def test_bad_folders_and_listeners(run_program, tmp_path, flags, code, word):
    (tmp_path / "empty").mkdir()
    path = tmp_path / "bad" / "broken" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no model")
    r = run_program("prelu-serve", "--port", 0, *(f.replace("{}", str(tmp_path)) for f in flags))
    assert r.returncode == code and word in r.stderr, (r.returncode, r.stderr)


# ---- reload ----

def test_reload_swaps_what_changed_and_keeps_what_fails(start, nets, tmp_path):
    root, file = tmp_path / "models", tmp_path / "m.onnx"
    place(nets[0], file)
    place(nets[1], root / "b" / "1" / "model.onnx")
    s = start("--model", f"a={file}", "--model-dir", root)
    first, b = ask(s), ask(s, "&model=b")
    hang_up(s)  # nothing changed
    assert ask(s) == first and s.text().count("model a@1 loaded") == 1
    place(nets[2], file)
    place(nets[0], root / "b" / "2" / "model.onnx")
    place(nets[0], root / "c" / "1" / "model.onnx")
    hang_up(s)
    second = ask(s)
    assert second[0] == first[0] == "a@1" and second[1] != first[1] and second[2] != first[2]
    assert ask(s, "&model=b")[0] == "b@2" and ask(s, "&model=b@1") == b
    assert ask(s, "&model=c")[1:] == ask(s, "&model=b")[1:] == first[1:]
    # one bad file: its old model stays, a new one is left out, the others change all the same
    damaged = bytearray(nets[1].read_bytes())
    damaged[len(damaged) // 2] ^= 1  # a weight: only prelu.check tells
    file.write_bytes(damaged)
    (root / "d" / "1").mkdir(parents=True)
    (root / "d" / "1" / "model.onnx").write_bytes(b"no model")
    shutil.rmtree(root / "c")
    hang_up(s, "failed")
    assert ask(s) == second and s.classify(PICTURE, "?model=d")[0] == 404
    assert s.classify(PICTURE, "?model=c")[0] == 404
    assert "the old model stays: model a: " in s.text() and "left out: model d" in s.text()
    # a table that cannot be complete changes nothing
    shutil.rmtree(root)
    hang_up(s, "failed")
    assert ask(s) == second and ask(s, "&model=b")[0] == "b@2"
    assert s.stop() == 0


def test_an_ensemble_follows_its_models(start, nets, tmp_path):
    file = tmp_path / "m.onnx"
    place(nets[0], file)
    s = start("--model", f"a={file}", "--model", f"b={nets[1]}", "--ensemble", "e=a,b")
    before = ask(s, "&model=e")
    place(nets[1], file)
    hang_up(s)
    after = ask(s, "&model=e")
    assert after[1] != before[1] and after[2] == ask(s, "&model=b")[2]
    assert s.stop() == 0


def test_under_load_every_answer_is_of_the_model_it_names(start, nets, tmp_path):
    """Two files take turns behind one name; clients never see one's scores under the other's."""
    file = tmp_path / "m.onnx"
    place(nets[0], file)
    s = start("--model", f"a={file}", "--model", f"fixed={nets[2]}", "--ensemble", "e=a,fixed")
    queries = ("", "&mode=multiscale", "&mode=10view&model=e")
    known = {}
    for k in (0, 1):
        place(nets[k], file)
        hang_up(s)
        for q in queries:
            known[q, ask(s, q)[1]] = ask(s, q)[2]
    assert len(known) == 6
    stop, wrong, answers = threading.Event(), [], []

    def client(i):
        while not stop.is_set():
            q = queries[i % 3]
            name, digest, predictions = ask(s, q)
            answers.append(digest)
            if known.get((q, digest)) != predictions:
                wrong.append((q, digest))

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(client, i) for i in range(6)]
        try:
            for k in range(6):
                place(nets[k % 2], file)
                hang_up(s)
                count = len(answers)
                wait_until(lambda: len(answers) > count + 12)
        finally:
            stop.set()
        for c in clients:
            c.result()
    assert not wrong and len(set(answers)) == 4
    assert s.stop() == 0


def test_memory_of_old_models_is_given_back(start, nets, tmp_path):
    file = tmp_path / "m.onnx"
    place(nets[0], file)
    s = start("--model", file, "--admin-listen", "127.0.0.1:0")
    admin = Admin(s)

    def resident():
        text = admin.request("GET", "/metrics")[1].decode()
        return float(re.search(r"^process_resident_memory_bytes (\S+)$", text, re.M).group(1))

    def least(turns):
        """Of what is resident after each load: for a moment old and new are both there."""
        seen = []
        for _ in range(turns):
            assert admin.post("/v2/repository/models/m/load")[0] == 200
            assert s.classify(PICTURE, "?mode=multiscale")[0] == 200
            seen.append(resident())
        return min(seen)

    least(4)
    before = least(4)
    least(8)
    if SLOW == 1:  # sanitizers keep what was freed
        assert least(8) - before < 8e6
    assert s.stop() == 0


# ---- the admin listener ----

def test_admin(start, nets, tmp_path):
    root = tmp_path / "models"
    place(nets[0], root / "a" / "1" / "model.onnx")
    place(nets[1], root / "b" / "1" / "model.onnx")
    s = start("--model-dir", root, "--admin-listen", "127.0.0.1:0")
    admin = Admin(s)
    b = ask(s, "&model=b")
    assert admin.request("GET", "/healthz")[0] == admin.request("GET", "/readyz")[0] == 200
    assert b"prelu_reload_total" in admin.request("GET", "/metrics")[1]
    assert s.get("/metrics")[0] == 404 and admin.post("/classify")[0] == 404
    for path in ("/v2/repository/models/a/load", "/v2/repository/models/b/unload"):
        assert s.request("POST", path)[0] == 404  # not for everybody
        assert admin.request("GET", path)[0] == 405
    assert len(json.loads(admin.post("/v2/repository/index")[1])) == 2
    assert admin.post("/v2/repository/models/b/unload") == (200, b"{}")
    assert s.classify(PICTURE, "?model=b")[0] == 404 and ask(s, "&model=a")[0] == "a@1"
    assert admin.post("/v2/repository/models/b/unload")[0] == 404
    status, body = admin.post("/v2/repository/models/a/unload")
    assert status == 400 and json.loads(body)["code"] == "load_failed"  # the last one
    place(nets[2], root / "b" / "2" / "model.onnx")
    s.process.send_signal(signal.SIGHUP)
    wait_until(lambda: b'prelu_reload_total{result="ok"} 2' in admin.request("GET", "/metrics")[1])
    assert s.classify(PICTURE, "?model=b")[0] == 404  # it stays out until it is asked for
    assert admin.post("/v2/repository/models/b/load") == (200, b"{}")
    assert ask(s, "&model=b")[0] == "b@2" and ask(s, "&model=b@1") == b
    assert admin.post("/v2/repository/models/none/load")[0] == 404
    (root / "a" / "1" / "model.onnx").write_bytes(b"no model")
    status, body = admin.post("/v2/repository/models/a/load")
    assert status == 400 and "model a" in json.loads(body)["error"]
    assert ask(s, "&model=a")[0] == "a@1"
    assert s.stop() == 0


def test_admin_on_a_unix_socket_asks_for_keys(start, nets, tmp_path):
    path, keys = tmp_path / "admin", tmp_path / "keys"
    keys.write_text("ann:a6e1b63baaa0ed5a6b9a4bbca12bbd3b8b7b1b0b1e1b1c1d1e1f1a1b1c1d1e1f\n")
    s = start("--model", nets[0], "--admin-listen", f"unix:{path}", "--api-key-file", keys)
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(str(path))
        c.sendall(b"POST /v2/repository/models/1/load HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert c.recv(1000).startswith(b"HTTP/1.1 401 ")
    assert s.stop() == 0 and not path.exists()
