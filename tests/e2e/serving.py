"""prelu-serve as a test sees it: pictures to send, a running server, what the wire says."""
import http.client
import io
import json
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import time

import PIL.Image

from conftest import BIN


def is_sanitized():
    program = BIN / "prelu-serve"
    return program.exists() and re.search(rb"__[at]san_init", program.read_bytes()) is not None


SLOW = 5 if is_sanitized() else 1  # wait longer for a build with sanitizers


# ---- pictures ----

def draw(width, height, seed=0, mode="RGB"):
    """A smooth picture with some texture, the same for the same arguments."""
    rng = random.Random(seed)
    small = PIL.Image.new("RGB", (5, 5))
    small.putdata([tuple(rng.randrange(256) for _ in range(3)) for _ in range(25)])
    return small.resize((width, height), PIL.Image.BICUBIC).convert(mode)


def jpeg(picture, **options):
    out = io.BytesIO()
    picture.save(out, "JPEG", **{"quality": 90, **options})
    return out.getvalue()


def lie_about_size(data, width, height):
    """The same JPEG with another size in its frame header."""
    at = next(i for i in range(len(data) - 1) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))
    return data[:at + 5] + struct.pack(">HH", height, width) + data[at + 9:]


SMALL = jpeg(draw(32, 32, 7))


# ---- the program ----

class Server:
    """A running prelu-serve on a free port."""

    def __init__(self, program, folder, *flags, env=None):
        self.port_file = folder / f"port-{time.monotonic_ns()}"
        self.log = open(folder / f"log-{time.monotonic_ns()}", "w+b")
        self.process = subprocess.Popen(
            [str(program), "--port", "0", "--port-file", str(self.port_file), *map(str, flags)],
            stderr=self.log, env={**os.environ, **(env or {})})
        until = time.monotonic() + 60 * SLOW
        while not self.port_file.exists():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < until, "no port file"
            time.sleep(0.01)
        self.port = int(self.port_file.read_text())
        while self.get("/readyz")[0] != 200:
            assert time.monotonic() < until, "not ready"
            time.sleep(0.01)

    def text(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")

    def connect(self, timeout=60 * SLOW):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None):
        """(status, headers, bytes) on a connection of its own."""
        c = self.connect()
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()

    def get(self, path):
        return self.request("GET", path)

    def classify(self, body, query="", headers=None):
        """(status, parsed JSON)."""
        status, _, data = self.request("POST", "/classify" + query, body, headers)
        return status, json.loads(data)

    def raw(self, data, timeout=60 * SLOW, half_close=False):
        """Send bytes, read until the server closes. A reset after the reply is not an error."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            got = b""
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            try:
                while piece := s.recv(65536):
                    got += piece
            except ConnectionResetError:
                pass
            return got

    def metric(self, name):
        text = self.get("/metrics")[2].decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
        return float(found.group(1)) if found else 0.0

    def cancelled(self):
        """Pictures dropped in any stage: which one the work has reached is the machine's."""
        return sum(self.metric(f'prelu_cancelled_total{{stage="{stage}"}}')
                   for stage in ("decode", "prepare", "queue", "infer"))

    def refuses(self):
        try:
            self.get("/healthz")
        except ConnectionRefusedError:
            return True
        return False

    def check_sanitizers(self):
        assert not re.search(r"(Thread|Address|Leak)Sanitizer|runtime error:", self.text()), self.text()

    def stop(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(100)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


def wait_until(condition, seconds=60):
    until = time.monotonic() + seconds * SLOW
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def parse_raw(reply):
    head, _, body = reply.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), body


def multipart(*parts, boundary="x-y-z"):
    body = b""
    for name, data in parts:
        body += (f"--{boundary}\r\nContent-Disposition: form-data; name=\"image\"; "
                 f"filename=\"{name}\"\r\nContent-Type: image/jpeg\r\n\r\n").encode() + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), \
        {"Content-Type": f"multipart/form-data; boundary={boundary}"}
