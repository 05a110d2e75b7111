#!/usr/bin/python3
"""What a hostile client can do to prelu-serve, and what a neighbour notices of it.

usage: hostile.py [SECONDS [WORD...]]    each attack that long (3), or those whose names have a word;
                                         PRELU_BIN names the folder of the programs

Prints a table: what the attacker got, the 99th percentile of a neighbour that asks for one small
picture after the other, how many times that of quiet times just before it is, and the server's
memory. Attackers and neighbour run on the last CPU, the server on the others. Fails where an answer
is not the documented one.
"""
import gzip
import io
import multiprocessing
import os
import pathlib
import resource
import socket
import sys
import tempfile
import time

import PIL.Image

from serving import SMALL, Server, draw, jpeg, lie_about_size, multipart, parse_raw

POST = b"POST /classify HTTP/1.1\r\nHost: x\r\n"
CLOSE = b"Connection: close\r\n"


def progressive_bomb(scans):
    """A picture whose first scan, that of the means, is there again and again."""
    out = io.BytesIO()
    draw(64, 64, 1).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    at = data.index(b"\xff\xda")
    end = at + 2
    while not (data[end] == 0xFF and data[end + 1] != 0):
        end += 1
    return data[:end] + data[at:end] * (scans - 1) + data[end:]


def length(body):
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def one_byte_chunks(n):
    return POST + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * n + b"0\r\n\r\n"


def get_status(server, data):
    reply = server.raw(data, half_close=False)
    return str(parse_raw(reply)[0]) if reply else "closed"


# name, statuses that are right, the request
REQUESTS = [
    ("no Host", "400", lambda n: b"GET /healthz HTTP/1.1\r\n\r\n"),
    ("two Content-Lengths", "400", lambda n: POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    ("Content-Length with chunked", "400", lambda n:
     POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("Content-Length of 2^63", "400", lambda n: POST + b"Content-Length: 9223372036854775808\r\n\r\n"),
    ("Inference-Header-Content-Length of 2^63", "400", lambda n:
     b"POST /v2/models/small/infer HTTP/1.1\r\nHost: x\r\n" + CLOSE +
     b"Inference-Header-Content-Length: 9223372036854775808\r\n" + length(b"{}")),
    ("CR LF in the name of a model", "404", lambda n:
     b"POST /classify?model=a%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: x\r\n" + CLOSE + length(SMALL)),
    ("CR LF in the name of a file", "200", lambda n: with_file_name(b"a%0d%0aX-Evil: 1")),
    ("scales=100000", "400", lambda n:
     b"POST /classify?mode=dense&scales=100000 HTTP/1.1\r\nHost: x\r\n" + CLOSE + length(SMALL)),
    ("JSON of depth 100,000", "400", lambda n:
     b"POST /v2/models/small/infer HTTP/1.1\r\nHost: x\r\n" + CLOSE + length(b"[" * 100000)),
    ("gzip, 1,000:1", "413", lambda n:
     POST + CLOSE + b"Content-Encoding: gzip\r\n" + length(gzip.compress(bytes(18 << 20)))),
    ("65,500 x 1 pixels", "413", lambda n: POST + CLOSE + length(WIDE)),
    ("a header of 65,535 x 65,535 pixels", "413", lambda n:
     POST + CLOSE + length(lie_about_size(SMALL, 65535, 65535))),
    ("a progressive JPEG of 10,000 scans", "413", lambda n: POST + CLOSE + length(SCANS)),
    ("1,000,000 one-byte chunks", "415", one_byte_chunks),
]
WIDE = jpeg(PIL.Image.new("RGB", (65500, 1)))
SCANS = progressive_bomb(10000)


def with_file_name(name):
    body, headers = multipart(("name", SMALL))
    return (POST + CLOSE + b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n" +
            length(body.replace(b'filename="name"', b'filename="' + name + b'"')))


# ---- those that take their time ----

def ends(connections, seconds):
    """How connections end that are only listened to: statuses, "closed" or "open"."""
    seen = set()
    until = time.monotonic() + seconds
    for s in connections:
        s.settimeout(max(0.01, until - time.monotonic()))
        try:
            data = s.recv(4096)
            seen.add(str(parse_raw(data)[0]) if data else "closed")
        except TimeoutError:
            seen.add("open")
        except OSError:
            seen.add("closed")
        s.close()
    return " ".join(sorted(seen))


def connect(server, n, first=b""):
    got = []
    for _ in range(n):
        s = socket.socket()
        s.settimeout(1)
        try:
            s.connect(("127.0.0.1", server.port))
            s.sendall(first)
        except OSError:
            s.close()
            continue
        got.append(s)
    return got


def trickle(connections, seconds):
    """A byte each, four times a second, until the server has had enough."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for s in connections:
            try:
                s.send(b"x", socket.MSG_DONTWAIT)
            except OSError:
                pass
        time.sleep(0.25)


def slow_headers(server, n, seconds):
    got = connect(server, n, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    trickle(got, seconds)
    return ends(got, 5)


def slow_body(server, n, seconds):
    got = connect(server, n, POST + b"Content-Length: 100000\r\n\r\n")
    trickle(got, seconds)
    return ends(got, 5)


def slow_read(server, n, seconds):
    """Replies that nobody reads, more than the sockets hold."""
    got = []
    for _ in range(n):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(1)
        s.connect(("127.0.0.1", server.port))
        got.append(s)
        try:
            s.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20, socket.MSG_DONTWAIT)
        except OSError:
            pass
    time.sleep(seconds)
    for s in got:
        s.close()
    return get_status(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


def half_open(server, n, seconds):
    until = time.monotonic() + seconds
    got = [socket.socket() for _ in range(n)]
    for s in got:
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", server.port))
    time.sleep(max(0, until - time.monotonic()))
    for s in got:
        s.close()
    return get_status(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


SLOW = [("slow headers, 200 connections", "408", slow_headers, 200),
        ("slow bodies, 200 connections", "408", slow_body, 200),
        ("slow reading, 200 connections", "200", slow_read, 200),
        ("10,000 connections that say nothing", "200", half_open, 10000)]


# ---- the table ----

MEMORY_MIB = 256  # a server with the small model, whatever is sent to it

def resident(server):
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def neighbour(server, begun, stop, pipe):
    """Milliseconds of one picture after the other, on one connection that is there before."""
    took, connection = [], server.connect()
    while not stop.is_set():
        if len(took) == 1:
            begun.set()
        start = time.monotonic()
        try:
            connection.request("POST", "/classify", SMALL)
            assert connection.getresponse().read()
        except OSError:
            connection.close()
            connection = server.connect()
            took.append((start, float("inf")))
            continue
        took.append((start, (time.monotonic() - start) * 1e3))
        time.sleep(0.002)
    pipe.send(took)


def run_nicely(attack, pipe):
    # What is measured is the server, not who gets the clients' CPU.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    pipe.send(attack())


def p99(times):
    return sorted(times)[len(times) * 99 // 100]


def beside(server, attack, seconds):
    """(what the attack returns, p99 of a neighbour before and meanwhile, most memory)."""
    begun, stop, most = multiprocessing.Event(), multiprocessing.Event(), 0.0
    answer, attacker = multiprocessing.Pipe(False)
    took, timer = multiprocessing.Pipe(False)
    processes = [multiprocessing.Process(target=neighbour, args=(server, begun, stop, timer)),
                 multiprocessing.Process(target=run_nicely, args=(attack, attacker))]
    processes[0].start()
    begun.wait()
    time.sleep(seconds)
    start = time.monotonic()
    processes[1].start()
    while not answer.poll(0.02):
        most = max(most, resident(server))
    stop.set()
    times = took.recv()
    for p in processes:
        p.join()
    return (answer.recv(), p99([ms for at, ms in times[1:] if at < start]),
            p99([ms for at, ms in times if at >= start]), most)


def repeat(server, data, seconds):
    """One after the other on connections of their own, so long; the statuses that were seen."""
    until, seen = time.monotonic() + seconds, set()
    while time.monotonic() < until:
        seen.add(get_status(server, data))
        time.sleep(0.02)
    return " ".join(sorted(seen))


def main(seconds=3.0, *words):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
    cpus = sorted(os.sched_getaffinity(0))
    program = pathlib.Path(os.environ.get("PRELU_BIN", "build/bin")) / "prelu-serve"
    bundled = pathlib.Path(__file__).resolve().parents[2] / "models" / "pretrained" / "cifar10.onnx"
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, cpus[:-1] or cpus)
        server = Server(program, pathlib.Path(folder), "--model", f"small={bundled}",
                        "--header-timeout", "1s", "--request-timeout", "2s", "--log-level", "error")
        os.sched_setaffinity(0, cpus[-1:])
        print("| attack | answer | neighbour's p99 before, ms | meanwhile | times | memory, MiB |\n"
              "|---|---|---|---|---|---|")
        attacks = [("none", "", lambda: time.sleep(seconds) or "")]
        attacks += [(name, want, lambda d=make(1000000): repeat(server, d, seconds))
                for name, want, make in REQUESTS]
        attacks += [(name, want, lambda f=attack, n=n: f(server, n, seconds))
                 for name, want, attack, n in SLOW]
        for name, want, attack in attacks:
            if words and not any(word in name for word in words):
                continue
            got, before, during, rss = beside(server, attack, seconds)
            wrong += got != want or rss > MEMORY_MIB
            print(f"| {name} | {got}{'' if got == want else ', not ' + want} | {before:.2f} | {during:.2f} | "
                  f"{during / before:.2f} | {rss:.0f}{'' if rss <= MEMORY_MIB else ', above the limit'} |", flush=True)
        wrong += server.stop() != 0
        server.close()
    return wrong


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:2]), *sys.argv[2:]) != 0)
