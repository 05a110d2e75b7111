#!/usr/bin/python3
"""Restarts two prelu-serve behind HAProxy (docker/haproxy.cfg) in turn, under load. Every request must
be answered with 200.  usage: rolling_restart.py [--times N] [--clients C] [--bin DIR]"""
import argparse
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
WAIT_S = 120


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, what):
    until = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(0.05)


class Replica:
    def __init__(self, bin_dir, name):
        self.bin_dir, self.name, self.port = bin_dir, name, free_port()
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [self.bin_dir / "prelu-serve", "--port", str(self.port), "--threads", "1",
             "--log-level", "error", "--drain-delay", "2s"])
        wait_until(self.is_ready, f"{self.name} is not ready")

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=WAIT_S) as reply:
                return reply.status == 200
        except OSError:
            return False


class Balancer:
    def __init__(self, folder, replicas):
        self.stats, self.port = folder / "stats", free_port()
        env = {**os.environ, "PRELU_BIND": f"127.0.0.1:{self.port}", "PRELU_STATS": str(self.stats),
               "PRELU_A": f"127.0.0.1:{replicas[0].port}", "PRELU_B": f"127.0.0.1:{replicas[1].port}"}
        haproxy = "/usr/sbin/haproxy"
        self.process = subprocess.Popen([haproxy, "-db", "-f", ROOT / "docker" / "haproxy.cfg"], env=env)

    def is_up(self, name):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(self.stats))
                s.sendall(b"show stat\n")
                text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        except OSError:
            return False
        rows = [line.split(",") for line in text.splitlines()]
        return any(row[:2] == ["replicas", name] and row[17] == "UP" for row in rows)


def roll(balancer, replicas, times):
    """@return exit statuses of all that were stopped."""
    codes = []
    for i in range(times):
        for r in replicas:
            r.process.send_signal(signal.SIGTERM)
            wait_until(lambda name=r.name: not balancer.is_up(name), f"{r.name} is not seen stopping")
            codes.append(r.process.wait(WAIT_S))  # 75 would be requests lost
            r.start()
            # HAProxy sends to it again once it has seen it ready; before that only the other one serves.
            wait_until(lambda name=r.name: balancer.is_up(name), f"{r.name} is not up again")
        print(f"restart {i + 1} of {times}", file=sys.stderr)
    return codes


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    # A rate might be beyond one replica, which would rightly refuse some; so many are always welcome.
    parser.add_argument("--clients", default="16", help="connections, always busy")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build" / "bin")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        replicas = [Replica(args.bin, name) for name in "ab"]
        for r in replicas:
            r.start()
        balancer = Balancer(pathlib.Path(folder), replicas)
        load = None
        try:
            for r in replicas:
                wait_until(lambda name=r.name: balancer.is_up(name), f"{r.name} is not up")
            load = subprocess.Popen(
                [args.bin / "prelu-classify", "bench", "-s", f"http://127.0.0.1:{balancer.port}", "-c",
                 args.clients, "--same", "--json", "-d", "600m", "--warmup", "0",
                 ROOT / "docs" / "samples"], stdout=subprocess.PIPE)
            codes = roll(balancer, replicas, args.times)
            load.send_signal(signal.SIGINT)
            report = json.loads(load.communicate(timeout=WAIT_S)[0])["runs"][0]
        finally:
            for p in [balancer.process, load, *(r.process for r in replicas)]:
                if p and p.poll() is None:
                    p.kill()
                    p.wait()
    print(f"{2 * args.times} restarts, {report['requests']} requests, {report['ok']} classified, "
          f"{report['requests'] - report['ok']} failed, {report['differing']} differing; "
          f"p99 {report['latency_ms']['p99']:.1f} ms; exit statuses {sorted(set(codes))}")
    if report["requests"] != report["ok"]:
        print(report["status"], report["no_answer"])
    good = report["requests"] == report["ok"] > 0 and not report["differing"] and set(codes) == {0}
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
