"""Soak.py in short."""
from serving import Server, is_sanitized
from soak import FLAGS, make_keys, soak


def test_many_requests_good_and_bad(program, model, tmp_path):
    s = Server(program, tmp_path, "--model", f"small={model}", "--api-key-file", make_keys(tmp_path), *FLAGS)
    failures, sizes = soak(s, 300 if is_sanitized() else 1000, 8)
    code = s.stop()
    s.close()
    assert not failures, failures[:3]
    assert code == 0 and s.text() == ""
    assert is_sanitized() or sizes[-1] < sizes[0] + 16
