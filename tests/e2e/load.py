#!/usr/bin/python3
"""How prelu-serve holds up under load: a table of figures beside what is asked of them.

The server runs on all CPUs but the last, the clients on the last; with one CPU they share it.
Everything stays on the loopback interface. PRELU_BIN names the folder of the programs.
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from conftest import ROOT
from serving import Server, draw, jpeg

BIN = pathlib.Path(os.environ.get("PRELU_BIN", ROOT / "build" / "bin"))
PHOTO = ROOT / "docs" / "samples" / "cat.jpg"
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPUS, CLIENT_CPUS = (CPUS[:-1], CPUS[-1:]) if len(CPUS) > 1 else (CPUS, CPUS)


@contextlib.contextmanager
def on_cpus(cpus):
    """What is started meanwhile runs there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Lab:
    """What the rows share."""

    def __init__(self, folder, args):
        self.folder, self.model, self.seconds, self.rows = pathlib.Path(folder), args.model, args.seconds, []
        self.tiny = self.folder / "tiny.jpg"
        self.tiny.write_bytes(jpeg(draw(32, 32)))

    @contextlib.contextmanager
    def server(self, *flags):
        with on_cpus(SERVER_CPUS):
            s = Server(BIN / "prelu-serve", self.folder, "--model", self.model, "--log-level", "error", *flags)
        try:
            yield s
        finally:
            s.close()

    def bench(self, s, *flags, picture=PHOTO):
        """The report of one run of prelu-classify bench."""
        done = subprocess.run(
            [BIN / "prelu-classify", "bench", "-q", "--json", "-s", f"http://127.0.0.1:{s.port}",
             *map(str, flags), picture], stdout=subprocess.PIPE, check=False)
        return json.loads(done.stdout)["runs"][0]

    def engine(self, batch, runs):
        """Milliseconds a picture, without a server, on the server's CPUs."""
        with on_cpus(SERVER_CPUS):
            done = subprocess.run(
                [BIN / "prelu-train", "bench", "--json", "--model", self.model, "--batch", str(batch), "--runs",
                 str(runs)], stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)["ms_per_image_median"]

    def row(self, what, asked, holds, text, **figures):
        self.rows.append({"what": what, "asked": asked, "holds": bool(holds), "text": text, **figures})
        print(f"| {what} | {asked} | {text} | {'yes' if holds else 'NO'} |", flush=True)


def busy_seconds():
    """CPU time of all programs, and of these."""
    ticks = [int(n) for n in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    own = [sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), sum(own)


def timings(s, n, picture=PHOTO, query=""):
    """(milliseconds, the server's account of them) of requests, one after the other."""
    body, c, got = picture.read_bytes(), s.connect(), []
    for _ in range(n):
        start = time.perf_counter()
        c.request("POST", "/classify" + query, body)
        answer = json.loads(c.getresponse().read())
        got.append(((time.perf_counter() - start) * 1e3, answer["timing_ms"]))
    return got


def median(values):
    return sorted(values)[len(values) // 2]


# ---- rows ----

def overload(lab):
    """The deadline of the overloaded server is twice the p99 at 80 % load without one."""
    with lab.server() as s:
        peak = lab.bench(s, "-c", 32, "-d", "4s")["ok_per_s"]
        calm = lab.bench(s, "--rate", 0.8 * peak, "-d", "8s")["latency_ms"]["p99"]
    with lab.server("--request-timeout", f"{2 * calm:.0f}ms") as s:
        run = lab.bench(s, "--rate", 3 * peak, "-d", f"{lab.seconds}s", "-c", 512)
    good, p99, refusal = run["ok_per_s"] / peak, run["latency_ms"]["p99"], run["refusal_ms"]
    late = run["status"].get("504", 0)
    what = f"overload, 3 x the peak of {peak:.0f}/s, Poisson, {lab.seconds} s"
    lab.row(f"{what}: goodput", ">= 95 % of the peak", good >= 0.95, f"{100 * good:.1f} %", peak=peak, run=run)
    lab.row("its p99 of admitted requests", f"<= 2 x {calm:.1f} ms, the p99 at 80 %",
            p99 <= 2 * calm and late <= run["ok"] / 99,
            f"{p99:.1f} ms ({p99 / calm:.2f} x); late: {late} of {run['ok'] + late} admitted", p99=p99, calm=calm)
    lab.row("its refusals are answered in", "p99 < 5 ms", refusal["p99"] < 5,
            f"{refusal['p50']:.2f} ms, p99 {refusal['p99']:.2f} ms, {run['refused'] - late} of them")


def retry(lab):
    """A burst of two seconds at 3 x the peak; who is refused comes back when told to."""
    with lab.server() as s:
        peak = lab.bench(s, "-c", 32, "-d", "3s")["ok_per_s"]
    with lab.server("--request-timeout", "150ms") as s:
        lab.bench(s, "--rate", peak / 2, "-d", "1s")
        run = lab.bench(s, "--rate", 3 * peak, "-d", "2s", "--warmup", 0, "-c", 512, "--retries", 1)
    second = run["tries"][1]
    share = second["ok"] / max(second["sent"], 1)
    lab.row("burst of 2 s at 3 x the peak: admitted on the second try", ">= 90 %", share >= 0.9,
            f"{100 * share:.1f} % of {second['sent']}", run=run)


def batch(lab):
    with lab.server() as s:
        engine = [lab.engine(32, 9)]
        rate = lab.bench(s, "-c", 32, "-d", "5s", picture=lab.tiny)["ok_per_s"]
        engine.append(lab.engine(32, 9))
        size = s.metric("prelu_batch_size_sum") / s.metric("prelu_batch_size_count")
    with lab.server() as s:
        photos = lab.bench(s, "-c", 32, "-d", "4s")["ok_per_s"]
        stage = {k: s.metric(f'prelu_stage_duration_seconds_sum{{stage="{k}"}}') for k in ("decode", "prepare")}
        busy = s.metric("process_cpu_seconds_total")
    alone = 1e3 / median(engine)
    lab.row("32 clients, tiny pictures", ">= 90 % of the engine's batch 32", rate >= 0.9 * alone,
            f"{rate:.0f}/s of {alone:.0f}/s: {100 * rate / alone:.1f} %; mean batch {size:.1f}", rate=rate,
            engine=alone)
    share = sum(stage.values()) / busy
    lab.row("the same with a photograph", "decode's share stated", True,
            f"{photos:.0f}/s; decoding and resizing are {100 * share:.1f} % of the CPU time", rate=photos,
            share=share)


def overhead(lab):
    """In rounds, for the machine is not always as fast: each beside the engine before and after it."""
    rounds, engine = [], lab.engine(1, 60)
    with lab.server() as s:
        timings(s, 30)
        for _ in range(5):
            decode = median([t["decode"] + t["prepare"] for _, t in timings(s, 40)])
            run = lab.bench(s, "-c", 1, "-d", "1s", "--warmup", "200ms")["latency_ms"]
            before, engine = engine, lab.engine(1, 60)
            floor = (before + engine) / 2 + decode
            rounds.append((run["p50"] - floor, run["p99"] - floor, run["p50"], engine, decode))
    more, tail, total, alone, decode = map(median, zip(*rounds))
    lab.row("one client: median above engine + decode", "<= 0.25 ms", more <= 0.25,
            f"{more:.3f} ms ({total:.2f}; engine {alone:.2f}, decode {decode:.2f}; medians of 5 rounds)",
            rounds=rounds)
    lab.row("its p99", "<= 1 ms above", tail <= 1, f"{tail:.2f} ms above", tail=tail)


def beside(lab):
    """Both clients share the clients' CPU; the multiscale one only waits for answers there."""
    with lab.server() as s:
        lab.bench(s, "-c", 1, "-d", "1s")
        idle = lab.bench(s, "-c", 1, "-d", "5s")["latency_ms"]
        alone = lab.bench(s, "-c", 1, "-d", "3s", "-m", "multiscale")
        long = subprocess.Popen(
            [BIN / "prelu-classify", "bench", "-q", "--json", "-s", f"http://127.0.0.1:{s.port}", "-c", "1",
             "-d", "60s", "-m", "multiscale", PHOTO], stdout=subprocess.PIPE)
        time.sleep(0.5)
        both = lab.bench(s, "-c", 1, "-d", "8s")["latency_ms"]
        long.send_signal(signal.SIGINT)
        report = json.loads(long.communicate()[0])["runs"][0]
    ratio = both["p99"] / idle["p99"]
    lab.row("a centre client beside a multiscale one: p99", "<= 3 x its idle p99", ratio <= 3,
            f"{both['p99']:.2f} ms to {idle['p99']:.2f} idle: {ratio:.2f} x (medians {both['p50']:.2f} to "
            f"{idle['p50']:.2f}); multiscale {report['ok_per_s']:.1f}/s of {alone['ok_per_s']:.1f} alone",
            idle=idle, both=both)


def cpu_ns(s):
    total = 0
    for path in pathlib.Path(f"/proc/{s.process.pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(path.read_text().split()[0])
    return total


def idle_after(s, body, wait_s):
    """Milliseconds from the client's leaving to the last CPU time that was used."""
    c = socket.create_connection(("127.0.0.1", s.port))
    c.sendall(b"POST /classify?mode=multiscale HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
              + body)
    time.sleep(wait_s)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()
    left = last = time.perf_counter()
    before = cpu_ns(s)
    while time.perf_counter() < left + 0.4:
        time.sleep(0.001)
        now = cpu_ns(s)
        if now - before > 100000:  # less is a timer's
            last = time.perf_counter()
        before = now
    return (last - left) * 1e3


def leave(lab):
    with lab.server() as s:
        took = median([ms for ms, _ in timings(s, 5, query="?mode=multiscale")])
        body = PHOTO.read_bytes()
        waits = [idle_after(s, body, took * 1e-3 * (k + 1) / 12) for k in range(10)]
        left = s.metric('prelu_cancelled_total{stage="infer"}')
    lab.row("a client leaves in mid-multiscale: CPU idle", "within 50 ms", max(waits) <= 50 and left >= 5,
            f"median {median(waits):.0f} ms, at most {max(waits):.0f} of 10; the request takes {took:.0f} ms, "
            f"{left:.0f} were dropped in the run", waits=waits)


def idle(lab):
    with lab.server() as s:
        lab.bench(s, "-c", 8, "-d", "1s", "--warmup", 0)
        time.sleep(1)
        before = cpu_ns(s)
        time.sleep(5)
        used = (cpu_ns(s) - before) / 5e7
        tasks = pathlib.Path(f"/proc/{s.process.pid}/task").glob("*/comm")
        names = sorted(p.read_text().strip() for p in tasks)
    lab.row("idle", "0 % CPU, threads listed", used < 0.05, f"{used:.3f} %; {', '.join(names)}", cpu_percent=used,
            threads=names)


def place(source, target):
    shutil.copy(source, target.with_suffix(".part"))
    os.replace(target.with_suffix(".part"), target)


def reload(lab):
    """Two untrained nets take turns behind one name under 16 clients."""
    nets, file, known, wrong, counts = [], lab.folder / "m.onnx", {}, [], {}
    for seed in "12":
        nets.append(lab.folder / f"net{seed}.onnx")
        subprocess.run([BIN / "prelu-train", "init", "--arch", "photo-res", "--width", "0.5", "--seed", seed,
                        "--out", nets[-1]], check=True, stdout=subprocess.DEVNULL)
    body = lab.tiny.read_bytes()

    def ask(c):
        c.request("POST", "/classify?model=m&top_k=10", body)
        r = c.getresponse()
        return re.search("sha256:([0-9a-f]{64})", r.headers["X-Model"])[1], json.loads(r.read())["predictions"]

    def client(s, stop):
        c = s.connect()
        while not stop.is_set():
            digest, predictions = ask(c)
            counts[digest] = counts.get(digest, 0) + 1
            if known.get(digest) != predictions:
                wrong.append(digest)

    def swap(s, net):
        done = 'prelu_reload_total{result="ok"}'
        before = s.metric(done)
        place(net, file)
        s.process.send_signal(signal.SIGHUP)
        while s.metric(done) == before:
            time.sleep(0.01)

    place(nets[0], file)
    with lab.server("--model", f"m={file}") as s:
        for net in reversed(nets):
            swap(s, net)
            known.update([ask(s.connect())])
        stop = threading.Event()
        clients = [threading.Thread(target=client, args=(s, stop)) for _ in range(16)]
        for t in clients:
            t.start()
        swaps, until = 0, time.monotonic() + 6
        while time.monotonic() < until:
            swaps += 1
            swap(s, nets[swaps % 2])
            time.sleep(0.1)
        stop.set()
        for t in clients:
            t.join()
    lab.row("reload under load", "each answer's scores fit its X-Model", not wrong and len(counts) == 2,
            f"{sum(counts.values())} answers, {swaps} reloads, {len(wrong)} wrong", answers=counts)


def stop_one(lab, clients=32):
    """(answered, lost, exit status) of a server that is told to stop under load."""
    answered, lost, begun = [], [], threading.Barrier(clients + 1)
    body = PHOTO.read_bytes()

    def client(s, i):
        c = s.connect()
        for k in range(100000):
            if k == 1:
                begun.wait()
            try:
                if c.sock is None:
                    c.connect()
            except OSError:
                return  # nobody accepts any more
            try:
                c.request("POST", "/classify?mode=10view" if i % 4 == 0 else "/classify", body)
                r = c.getresponse()
                r.read()
                (answered if r.status == 200 else lost).append(r.status)
            except (OSError, http.client.HTTPException) as e:
                lost.append(repr(e))
                return

    with lab.server() as s:
        threads = [threading.Thread(target=client, args=(s, i)) for i in range(clients)]
        for t in threads:
            t.start()
        begun.wait()
        time.sleep(0.3)
        s.process.send_signal(signal.SIGTERM)
        code = s.process.wait(60)
        for t in threads:
            t.join()
    return len(answered), lost, code


def drain(lab):
    runs = [stop_one(lab) for _ in range(3)]
    lost, codes = sum((r[1] for r in runs), []), sorted({r[2] for r in runs})
    lab.row("SIGTERM under load of 32 clients, three times", "0 accepted requests lost, exit 0",
            not lost and codes == [0], f"{sum(r[0] for r in runs)} answered, {len(lost)} lost, exit {codes}",
            lost=lost[:10])


ROWS = (overload, retry, batch, overhead, beside, leave, idle, reload, drain)


def main():
    names = [f.__name__ for f in ROWS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", metavar="ROW", help=f"only these of {', '.join(names)}")
    parser.add_argument("--seconds", type=int, default=60, help="of overload (60)")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models" / "pretrained" / "imagenette.onnx")
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures there")
    args = parser.parse_args()
    if unknown := set(args.only) - set(names):
        parser.error(f"no row {', '.join(sorted(unknown))}")
    os.sched_setaffinity(0, CLIENT_CPUS)
    print(f"{args.model.name}; server on {len(SERVER_CPUS)} CPU, clients on {len(CLIENT_CPUS)}"
          f"{'' if len(CPUS) > 1 else ', the same'}\n\n| what | asked | measured | holds |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(folder, args)
        for f in ROWS:
            if not args.only or f.__name__ in args.only:
                (all0, own0), start = busy_seconds(), time.monotonic()
                f(lab)
                (all1, own1), seconds = busy_seconds(), time.monotonic() - start
                foreign = max(0, (all1 - all0) - (own1 - own0)) / seconds / len(CPUS)
                print(f"| | | {100 * foreign:.0f} % of the CPUs' time was others' in these {seconds:.0f} s | |")
    if args.json:
        args.json.write_text(json.dumps(lab.rows, indent=1) + "\n")
    return not all(r["holds"] for r in lab.rows)


if __name__ == "__main__":
    sys.exit(main())
