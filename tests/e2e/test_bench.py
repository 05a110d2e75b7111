"""prelu-classify bench: against the real server, and against a stand-in that misbehaves."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from test_client import PREDICTIONS, Stub, refusal, result
from serving import Server


@pytest.fixture(scope="module")
def server(bin_dir, tmp_path_factory):
    s = Server(bin_dir / "prelu-serve", tmp_path_factory.mktemp("bench"), "--log-level", "error")
    yield s
    s.process.kill()
    s.process.wait()


@pytest.fixture
def serve():
    stubs = []

    def start(answer=None):
        stubs.append(Stub(answer))
        return stubs[-1]

    yield start
    for stub in stubs:
        stub.close()


@pytest.fixture
def bench(bin_dir, samples):
    """bench(url, *args) -> CompletedProcess; short runs of cat.jpg unless args say otherwise."""

    def run(url, *args, env=None, pictures=(samples / "cat.jpg",)):
        environ = {k: v for k, v in os.environ.items() if not k.startswith("PRELU_")}
        return subprocess.run(
            [bin_dir / "prelu-classify", "bench", "-s", url, "--warmup", "0", "-d", "300ms", *args,
             *pictures],
            env={**environ, **(env or {})}, capture_output=True, text=True, timeout=120,
            check=False)

    return run


def report(process):
    return json.loads(process.stdout)


def check_sums(run):
    parts = run["ok"] + run["refused"] + run["rejected"] + run["errors"]
    assert run["requests"] == parts
    ms = run["latency_ms"]
    assert ms["p50"] <= ms["p90"] <= ms["p99"] <= ms["p99.9"] <= ms["max"]


def url_of(server):
    return f"http://127.0.0.1:{server.port}"


def test_closed_loop(bench, server, samples):
    done = bench(url_of(server), "--json", "--same", "-c", "4", pictures=[samples])
    assert done.returncode == 0, done.stderr
    got = report(done)
    run, = got["runs"]
    check_sums(run)
    assert got["kind"] == "closed" and got["connections"] == 4
    assert run["ok"] > 0 and run["differing"] == 0
    assert run["seconds"] >= 0.3
    assert got["summary"]["ok_per_s"] == pytest.approx(run["ok"] / run["seconds"], rel=1e-4)


def test_random_arrivals_are_the_same_for_a_seed(bench, server):
    runs = [report(bench(url_of(server), "--json", "--rate", "100", "--seed", seed))["runs"][0]
            for seed in ("1", "1", "2", "3", "4")]
    for run in runs:
        check_sums(run)
        assert run["errors"] == 0
    counts = [run["requests"] for run in runs]
    assert counts[0] == counts[1]
    assert len(set(counts)) > 1
    assert 60 < sum(counts) < 260  # five times 30 on average; half and twice are 6 sigmas off


def test_a_stall_counts_for_all_who_would_have_come(bench, serve):
    """The one connection waits for a second: what was due in it is late, though quickly answered."""

    def answer(_, nth):
        if nth == 10:
            time.sleep(1)
        return result()

    done = bench(serve(answer).url, "--json", "--rate", "100", "-c", "1", "-d", "1s")
    ms = report(done)["runs"][0]["latency_ms"]
    assert ms["p50"] > 100
    assert ms["max"] >= 900


def test_refusals_are_tried_again_when_the_server_says(bench, serve):
    times = []

    def answer(_, nth):
        times.append(time.monotonic())
        return refusal(503, "queue_full", "busy", Retry_After="1") if nth == 2 else result()

    done = bench(serve(answer).url, "--json", "-c", "1", "--retries", "1", "-d", "2s")
    run = report(done)["runs"][0]
    assert done.returncode == 0
    assert run["status"]["503"] == 1 and run["refused"] == 0
    assert run["tries"][1] == {"sent": 1, "ok": 1}
    assert times[2] - times[1] >= 1


def test_refusals_without_retries(bench, serve):
    done = bench(serve(lambda _, nth: refusal(503, "queue_full", "busy") if nth % 2 else result()).url,
                 "-c", "1", "--json")
    run = report(done)["runs"][0]
    check_sums(run)
    assert done.returncode == 0
    assert run["refused"] > 0 and run["refusal_ms"]["max"] > 0


def test_answers_that_differ(bench, serve):
    other = [dict(PREDICTIONS[0], score=0.5)]
    done = bench(serve(lambda _, nth: result(other if nth == 5 else None)).url, "--same", "-c", "1")
    assert done.returncode == 1
    assert "DIFFERENT: 1 answers" in done.stdout


def test_lost_connections_are_failures(bench, serve):
    done = bench(serve(lambda _, nth: None if nth % 3 == 2 else result()).url, "--json", "-c", "1")
    run = report(done)["runs"][0]
    assert done.returncode == 1
    assert run["errors"] == run["no_answer"]["connection_lost"] > 0


def test_a_server_that_stops_answering(bench, serve):
    def answer(_, nth):
        if nth > 1:
            time.sleep(3)
        return result()

    for how in ([], ["--rate", "20"]):
        done = bench(serve(answer).url, "--json", "-c", "2", "--timeout", "400ms", *how)
        run = report(done)["runs"][0]
        assert done.returncode == 1
        assert run["errors"] > 0 and run["ok"] == 0
        check_sums(run)


def test_search(bench, server):
    """A slow machine may keep no rate; which one is kept must be among those tried, and in time."""
    done = bench(url_of(server), "--p99", "50ms", "--json", "-d", "200ms")
    got = report(done)
    assert got["kind"] == "search" and got["runs"][0]["rate"] is None
    for run in got["runs"]:
        check_sums(run)
    tried = [run["rate"] for run in got["runs"][1:]]
    best = got["summary"]
    if best is None:
        assert done.returncode == 1
    else:
        assert best["rate"] in tried and best["p99"] <= 50.5
        late = min((rate for rate in tried if rate > best["rate"]), default=None)
        assert late is None or late < 1.3 * best["rate"]


def test_a_bound_that_cannot_be_kept(bench, serve):
    def answer(*_):
        time.sleep(0.02)
        return result()

    done = bench(serve(answer).url, "--p99", "5ms", "-d", "100ms")
    assert done.returncode == 1
    assert "no rate keeps the bound" in done.stderr


def test_save_and_compare(bench, server, tmp_path):
    old = tmp_path / "old.json"
    first = bench(url_of(server), "--save", old)
    assert first.returncode == 0 and json.loads(old.read_text())["runs"]
    again = bench(url_of(server), "--compare", old)
    before = f"{json.loads(old.read_text())['summary']['p50']:.2f}"
    row, = [line for line in again.stdout.splitlines() if line.startswith("   before")]
    assert before in row.split()
    assert "change" in again.stdout
    old.write_text('{"summary":null}')
    assert bench(url_of(server), "--compare", old).returncode == 64
    done = bench(url_of(server), "--save", tmp_path / "no" / "such")
    assert done.returncode == 74 and "--save" in done.stderr


def test_wrong_address_and_wrong_key_are_said_in_words(bench, serve, bin_dir):
    done = bench("http://127.0.0.1:1")
    assert done.returncode == 69 and "cannot reach http://127.0.0.1:1/classify" in done.stderr
    stub = serve(lambda *_: refusal(401, "key_missing", "an API key is needed"))
    done = bench(stub.url, env={"PRELU_API_KEY": "s3cret"})
    assert done.returncode == 1 and "an API key is needed" in done.stderr
    assert "s3cret" not in done.stderr + done.stdout
    assert stub.requests[0][1]["Authorization"] == "Bearer s3cret"
    assert len(stub.requests) == 1


def test_unix_socket(bench, bin_dir, tmp_path):
    path = tmp_path / "s"
    with subprocess.Popen([bin_dir / "prelu-serve", "--unix-socket", path, "--log-level", "error"]) as s:
        try:
            for _ in range(600):
                done = bench("localhost", "--unix-socket", path, "--json")
                if done.returncode != 69 and report(done)["runs"][0]["ok"]:
                    break
                time.sleep(0.1)
            assert done.returncode == 0, done.stderr
        finally:
            s.kill()


def test_an_interrupt_ends_the_measuring_and_reports(server, bin_dir, samples):
    with subprocess.Popen([bin_dir / "prelu-classify", "bench", "-s", url_of(server), "-d", "60m", "--warmup",
                           "0", samples / "cat.jpg"], stdout=subprocess.PIPE, text=True) as p:
        for line in p.stdout:
            if line.startswith("  asked/s"):
                break
        time.sleep(0.3)
        p.send_signal(signal.SIGINT)
        rest = p.stdout.read()
        assert p.wait(60) in (0, 1)
    assert re.search(r"^ +closed +\d", rest, re.M)


def test_pictures_that_cannot_be_read(bench, tmp_path):
    done = bench("http://127.0.0.1:1", pictures=[tmp_path / "none.jpg"])
    assert done.returncode == 64 and "none.jpg" in done.stderr
