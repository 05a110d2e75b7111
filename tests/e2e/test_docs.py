"""The documents say what the programs do: every option is described, the README's lines work."""
import re
import shlex

import pytest

from conftest import ROOT

MANUAL = (ROOT / "docs" / "manual.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(text, program):
    """Lines of the code blocks and table cells of `text` that run `program`."""
    found = re.findall(rf"(?:^    |`)((?:build/bin/)?{program} [^`\n]*)", text, re.M)
    return [re.sub(r"\s{3,}\S.*", "", line) for line in found]


def options(line):
    return [word.split("=")[0] for word in shlex.split(line) if word.startswith("--")]


@pytest.mark.parametrize("program", ["prelu-serve", "prelu-classify"])
def test_options_that_are_shown_exist(run_program, program):
    known = re.findall(r"--[a-z][a-z-]+", run_program(program, "--help").stdout)
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
