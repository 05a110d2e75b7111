#!/usr/bin/python3
"""Many requests, good and bad, on several connections at once: no wrong answer, no growth of memory.

usage: soak.py [REQUESTS [CONNECTIONS]]    100,000 on 8; PRELU_BIN names the folder of the programs

Every case is asked alone first, and the scores of a picture must be the same by whichever protocol
it came; then each of the many answers must equal the one alone. Resident memory is read after each
tenth.
"""
import base64
import gzip
import hashlib
import json
import multiprocessing
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import zlib

import PIL.Image

from serving import SMALL, Server, draw, jpeg, lie_about_size, multipart

KEY = {"X-API-Key": "soaked"}
INFER = "/v2/models/small/infer"
VOLATILE = ("request_id", "timing_ms")
PATIENCE = 600 # seconds: a machine that is busy with other things makes no answer wrong
FLAGS = ("--max-pixels", "2MP", "--request-timeout", f"{PATIENCE}s", "--log-level", "error")


def pictures():
    """Of many sizes and kinds, by name."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    kinds = {f"{w}x{h}": jpeg(draw(w, h, w)) for w, h in
             [(32, 32), (33, 47), (1, 1), (7, 9), (64, 48), (100, 300), (320, 240), (640, 480)]}
    kinds["gray"] = jpeg(draw(90, 60, 1, "L"))
    kinds["CMYK"] = jpeg(draw(50, 70, 2, "CMYK"))
    kinds["progressive"] = jpeg(draw(120, 80, 3), progressive=True)
    kinds["turned"] = jpeg(draw(80, 60, 4), exif=exif)
    return kinds


def infer(parts, binary=b"", more=None, path=INFER, **headers):
    text = json.dumps({"inputs": parts, **(more or {})}).encode()
    if binary:
        headers["Inference-Header-Content-Length"] = str(len(text))
    return path, text + binary, headers


def as_bytes(*bodies):
    data = b"".join(struct.pack("<I", len(b)) + b for b in bodies)
    return {"name": "data", "datatype": "BYTES", "shape": [len(bodies)],
            "parameters": {"binary_data_size": len(data)}}, data


def good_cases(kinds):
    """(name, picture whose scores in mode center it gives or None, path, body, headers)"""
    for name, data in kinds.items():
        yield "raw " + name, name, "/classify?top_k=10", data, {}
        for mode in ("10view", "dense", "multiscale"):
            if len(data) < 4000:
                yield f"{mode} {name}", None, f"/classify?top_k=10&mode={mode}", data, {}
        part, binary = as_bytes(data)
        yield ("binary " + name, name, *infer([part], binary))
        text = {"name": "data", "datatype": "BYTES", "shape": [1],
                "data": [base64.b64encode(data).decode()]}
        yield ("base64 " + name, name, *infer([text]))
    yield "gzip", "64x48", "/classify?top_k=10", gzip.compress(kinds["64x48"]), {"Content-Encoding": "gzip"}
    part, binary = as_bytes(*kinds.values())
    path, body, headers = infer([part], binary)
    yield "deflate", None, path, zlib.compress(body), {**headers, "Content-Encoding": "deflate"}
    part, binary = as_bytes(SMALL)
    yield ("classification", None,
           *infer([part], binary, {"outputs": [{"name": "prob", "parameters": {"classification": 3}}]}))
    pixels = struct.pack("<3072f", *(i % 256 for i in range(3072)))
    part = {"name": "data", "datatype": "FP32", "shape": [1, 3, 32, 32],
            "parameters": {"binary_data_size": len(pixels)}}
    yield ("tensor", None, *infer([part], pixels))
    body, headers = multipart(*kinds.items(), ("none", b"no picture"))
    yield "multipart", None, "/classify?top_k=10", body, headers
    yield "bare list", None, "/", SMALL, {}
    yield "features", None, "/embed", SMALL, {}
    yield "heatmap", None, "/classify?mode=dense&heatmap=top1", kinds["100x300"], {}


def damaged(data, n):
    """Some bytes behind the headers changed: mostly a worse picture, sometimes none."""
    rng, out = random.Random(n), bytearray(data)
    for _ in range(n):
        out[rng.randrange(300, len(out))] = rng.randrange(256)
    return bytes(out)


def bad_cases(kinds):
    """(name, status or None where it depends on the damage, path, body, headers)"""
    big = kinds["640x480"]
    for n in range(1, 9):
        yield f"damaged {n}", None, "/classify?top_k=10", damaged(big, n), {}
    for n in (2, 200, 700, len(big) - 100):
        yield f"cut at {n}", 400, "/classify", big[:n], {}
    yield "empty", 400, "/classify", b"", {}
    yield "PNG", 415, "/classify", b"\x89PNG\r\n\x1a\n" + bytes(50), {}
    yield "huge", 413, "/classify", lie_about_size(SMALL, 65000, 65000), {}
    yield "wrong key", 403, "/classify", SMALL, {"X-API-Key": "guessed"}
    yield "no key", 401, "/classify", SMALL, {"X-API-Key": None}
    yield "unknown model", 404, "/classify?model=large", SMALL, {}
    yield "unknown path", 404, "/clasify", b"", {}
    yield "top_k=0", 400, "/classify?top_k=0", SMALL, {}
    yield "scales=100000", 400, "/classify?mode=dense&scales=100000", SMALL, {}
    yield "bomb", 413, "/classify", gzip.compress(bytes(15 << 20)), {"Content-Encoding": "gzip"}
    yield "bad gzip", 400, "/classify", gzip.compress(SMALL)[:-9], {"Content-Encoding": "gzip"}
    yield "bad multipart", 400, "/classify", b"--x\r\n", {"Content-Type": "multipart/form-data; boundary=x"}
    for name, text in (("no JSON", b"{"), ("deep JSON", b"[" * 5000), ("no input", b'{"inputs":[]}'),
                       ("twice", b'{"id":"a","id":"b"}')):
        yield name, 400, INFER, text, {}
    part, binary = as_bytes(SMALL)
    yield ("a binary size too large", 400, *infer([part], binary[:-1]))
    yield ("a length within too large", 400, *infer([part], b"\xff\xff\xff\xff" + binary[4:]))
    yield ("JSON longer than the body", 400, INFER, b"{}", {"Inference-Header-Content-Length": "9"})
    yield ("JSON of 2^63 bytes", 400, INFER, b"{}", {"Inference-Header-Content-Length": str(1 << 63)})
    part["shape"] = [2]
    yield ("fewer pictures than said", 400, *infer([part], binary))


def essence(status, headers, body):
    """What must be the same each time."""
    n = int(headers.get("Inference-Header-Content-Length") or len(body))
    answer = json.loads(body[:n])
    for o in [answer, *answer.get("results", [])] if isinstance(answer, dict) else []:
        for key in VOLATILE:
            o.pop(key, None)
    return status, headers["X-Mode"], json.dumps(answer), body[n:]


def scores(kept):
    answer = json.loads(kept[2])
    if "outputs" in answer:
        return [struct.unpack("<f", struct.pack("<f", s))[0] for s in answer["outputs"][0]["data"]]
    ranked = sorted(answer["predictions"], key=lambda p: p["class"])
    return [struct.unpack("<f", struct.pack("<f", p["score"]))[0] for p in ranked]


class Client:
    def __init__(self, server):
        self.server, self.connection = server, server.connect(PATIENCE)

    def once(self, path, body, headers):
        headers = {k: v for k, v in {**KEY, **headers}.items() if v is not None}
        self.connection.request("POST", path, body, headers)
        r = self.connection.getresponse()
        return essence(r.status, r.headers, r.read())

    def ask(self, case):
        try:
            return self.once(*case)
        except OSError: # it may have closed after a refusal; a new connection must do
            self.connection.close()
            self.connection = self.server.connect(PATIENCE)
            return self.once(*case)


def alone(server):
    """[(name, case, what the answer must be)], and what is wrong with it already."""
    kinds, client, out, wrong, by_classify = pictures(), Client(server), [], [], {}
    for name, picture, *case in good_cases(kinds):
        got = client.ask(case)
        if got[0] != 200:
            wrong.append((name, got))
        elif picture and by_classify.setdefault(picture, scores(got)) != scores(got):
            wrong.append((name, got))
        out.append((name, case, got))
    for name, status, *case in bad_cases(kinds):
        got = client.ask(case)
        if got[0] not in ((200, 400) if status is None else (status,)):
            wrong.append((name, got))
        out.append((name, case, got))
    return out, wrong


def run(server, cases, n, seed, done, wrong):
    """One connection's part."""
    rng, client = random.Random(seed), Client(server)
    for _ in range(n):
        name, case, want = rng.choice(cases)
        got = client.ask(case)
        if got != want:
            wrong.put((name, want, got))
        with done.get_lock():
            done.value += 1


def resident(server):
    """MiB."""
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def soak(server, requests, connections):
    """(what went wrong, MiB after each tenth)"""
    cases, failures = alone(server)
    done, wrong = multiprocessing.Value("l", 0), multiprocessing.SimpleQueue()
    workers = [multiprocessing.Process(target=run, args=(
        server, cases, requests // connections, seed, done, wrong)) for seed in range(connections)]
    for w in workers:
        w.start()
    sizes = []
    for w in workers:
        while w.is_alive():
            w.join(0.05)
            if done.value >= (len(sizes) + 1) * requests // 10:
                sizes.append(resident(server))
            while not wrong.empty():
                failures.append(wrong.get())
        if w.exitcode:
            failures.append(("a client", "exit 0", f"exit {w.exitcode}"))
    return failures, sizes + [resident(server)]


def make_keys(folder):
    path = folder / "keys"
    path.write_text(f"soak:{hashlib.sha256(KEY['X-API-Key'].encode()).hexdigest()}\n")
    return path


def main(requests=100000, connections=8):
    programs = pathlib.Path(os.environ.get("PRELU_BIN", "build/bin"))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([programs / "prelu-train", "init", "--arch", "cifar", "--width", "0.25",
                        "--seed", "1", "--out", folder / "small.onnx"], check=True, stdout=subprocess.DEVNULL)
        server = Server(programs / "prelu-serve", folder, "--model", f"small={folder}/small.onnx",
                        "--api-key-file", make_keys(folder), *FLAGS)
        failures, sizes = soak(server, requests, connections)
        code = server.stop()
        text = server.text()
        server.close()
    for failure in failures[:10]:
        print("wrong:", *failure)
    print(f"{requests} requests on {connections} connections: {len(failures)} wrong answers; exit {code}; "
          f"MiB resident after each tenth: {' '.join(f'{size:.1f}' for size in sizes)}")
    if text:
        print(text[-2000:])
    return bool(failures) or code != 0 or sizes[-1] > sizes[0] + 2


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
