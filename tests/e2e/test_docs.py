"""The documents say what the programs do: every option is described, the README's lines work."""
import json
import re
import shlex
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from conftest import BIN, ROOT

MANUAL = (ROOT / "docs" / "manual.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(text, program):
    """Lines of the code blocks and table cells of `text` that run `program`."""
    found = re.findall(rf"(?:^    |`)((?:build/bin/)?{program} [^`\n]*)", text, re.M)
    return [re.sub(r"\s{3,}\S.*", "", line) for line in found]


def options(line):
    return [word.split("=")[0] for word in shlex.split(line) if word.startswith("--")]


COMMANDS = {"prelu-serve": [()], "prelu-classify": [(), ("bench",)]}


@pytest.mark.parametrize("program", COMMANDS)
def test_options_that_are_shown_exist(run_program, program):
    texts = [run_program(program, *args, "--help").stdout for args in COMMANDS[program]]
    known = re.findall(r"--[a-z][a-z0-9-]+", " ".join(texts))
    shown = [o for text in (MANUAL, README) for c in commands(text, program) for o in options(c)]
    assert shown
    assert [o for o in shown if o not in known] == []


def test_train_options_that_are_shown_exist(run_program):
    lines = commands(MANUAL, "prelu-train") + commands(README, "prelu-train")
    seen = set()
    for line in lines:
        words = shlex.split(line)
        if len(words) < 3 or words[1].startswith("-"):
            continue
        help_text = run_program("prelu-train", words[1], "--help").stdout
        known = re.findall(r"--[a-z][a-z-]+", help_text)
        assert [o for o in options(line) if o not in known] == [], line
        seen.add(words[1])
    assert {"fit", "eval", "describe", "init", "bench", "run"} <= seen


def test_links_lead_somewhere():
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/manual.md"):
        path = ROOT / name
        for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{name}: {link}"


def ready(port_file):
    if not port_file.exists() or not port_file.read_text().strip():
        return False
    try:
        url = f"http://127.0.0.1:{port_file.read_text().strip()}/readyz"
        return urllib.request.urlopen(url, timeout=10).status == 200
    except urllib.error.HTTPError:
        return False


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """prelu-serve as `./dev serve` starts it, on a port of its own; gives its address."""
    port_file = tmp_path_factory.mktemp("served") / "port"
    command = [BIN / "prelu-serve", "--port", "0", "--port-file", port_file]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as server:
        try:
            end = time.monotonic() + 60
            while not ready(port_file):
                assert server.poll() is None, server.stderr.read()
                assert time.monotonic() < end
                time.sleep(0.02)
            yield f"127.0.0.1:{port_file.read_text().strip()}"
        finally:
            server.terminate()
        assert server.wait(30) == 0


@pytest.mark.parametrize("text", [README, MANUAL], ids=["readme", "manual"])
def test_curl_lines(served, text):
    lines = commands(text, "curl")
    assert lines
    for line in lines:
        words = shlex.split(line.replace("127.0.0.1:8080", served))
        folder = ROOT if "docs/samples" in line else ROOT / "docs" / "samples"
        reply = subprocess.run([words[0], "-sS", *words[1:]], cwd=folder, timeout=60,
                               capture_output=True, check=True)
        reply = json.loads(reply.stdout)
        for result in reply.get("results", [reply]):
            wanted = 3 if "top_k=3" in line else 5
            assert len(result["predictions"]) == wanted, line


def test_classify_line(served, run_program, samples):
    table = run_program("prelu-classify", "--server", f"http://{served}", samples)
    assert table.returncode == 0
    for picture in samples.glob("*.jpg"):
        assert picture.name in table.stdout
