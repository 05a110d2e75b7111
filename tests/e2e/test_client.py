"""prelu-classify against a stand-in for prelu-serve that plays every answer, good and bad."""
import csv
import email.utils
import http.server
import io
import json
import os
import pathlib
import pty
import re
import select
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import unicodedata

import pytest

HERE = pathlib.Path(__file__).resolve().parent
PREDICTIONS = [
    {"class": 4, "id": "n03028079", "label": "church", "score": 0.9312},
    {"class": 2, "id": "n02979186", "label": "cassette player", "score": 0.0511},
    {"class": 9, "id": "n03888257", "label": "parachute", "score": 0.000123},
]


def result(predictions=None, **more):
    """A 200 as the server sends it."""
    body = {
        "model": "imagenette", "mode": "center", "views": 1,
        "predictions": PREDICTIONS if predictions is None else predictions,
        "image": {"width": 500, "height": 375, "format": "jpeg"},
        "timing_ms": {"decode": 2.1, "prepare": 1.0, "queue": 0.2, "infer": 11.8, "total": 15.3},
        "request_id": "r-1",
    }
    body.update(more)
    return 200, {}, json.dumps(body).encode()


def refusal(status, code, text, **headers):
    body = {"error": text, "code": code, "status": status, "request_id": "r-2"}
    return status, {k.replace("_", "-"): v for k, v in headers.items()}, json.dumps(body).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        stub = self.server.stub
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with stub.lock:
            stub.now += 1
            stub.most = max(stub.most, stub.now)
            stub.requests.append((self.path, self.headers, body))
            stub.times.append(time.monotonic())
            nth = len(stub.requests)
        try:
            answer = stub.answer(body, nth)
        finally:
            with stub.lock:
                stub.now -= 1
        if answer is None:
            self.close_connection = True
            return
        status, headers, payload = answer
        self.send_response(status)
        headers = {"Content-Type": "application/json", **headers}
        if "Content-Length" not in headers:
            headers["Content-Length"] = str(len(payload))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def address_string(self):
        return "peer"

    def log_message(self, *args):
        pass


class TcpServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """A client that hangs up on purpose is no news."""


class UnixHandler(Handler):
    disable_nagle_algorithm = False


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Stub:
    """`answer(body, nth)` decides: (status, headers, bytes), or None to hang up."""

    def __init__(self, answer=None, server=None):
        self.answer = answer or (lambda body, nth: result())
        self.lock = threading.Lock()
        self.requests, self.times = [], []
        self.now = self.most = 0
        self.server = server or TcpServer(("127.0.0.1", 0), Handler)
        self.server.stub = self
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def serve():
    stubs = []

    def start(answer=None, server=None):
        stubs.append(Stub(answer, server))
        return stubs[-1]

    yield start
    for stub in stubs:
        stub.close()


@pytest.fixture
def client(bin_dir):
    """client(*args) -> CompletedProcess with bytes; env replaces single variables."""

    def run(*args, env=None, timeout=60, stdin=subprocess.DEVNULL, **kw):
        if "input" in kw:
            stdin = None
        environ = {k: v for k, v in os.environ.items() if not k.startswith("PRELU_")}
        environ.update({"LC_ALL": "C.UTF-8", "COLUMNS": "80"})
        environ.update(env or {})
        return subprocess.run(
            [bin_dir / "prelu-classify", *args], env=environ, timeout=timeout, check=False,
            stdin=stdin, stdout=kw.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, **kw)

    return run


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"\xff\xd8picture\x00\xff\xd9")
    return path


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(name).encode("utf-8", "surrogateescape"))
    return folder


def on_terminal(bin_dir, *args, columns=80, keys=b""):
    """Runs on a pseudo terminal, `keys` typed ahead; -> (exit code, bytes written)."""
    pid, fd = pty.fork()
    if pid == 0:
        try:
            os.environ.update({"LC_ALL": "C.UTF-8"})
            os.execv(bin_dir / "prelu-classify", [b"prelu-classify", *args])
        finally:
            os._exit(127)
    import fcntl
    import struct
    import termios
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.write(fd, keys)
    got = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([fd], [], [], 1)[0]:
            continue
        try:
            part = os.read(fd, 65536)
        except OSError:
            break
        if not part:
            break
        got += part
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(fd)
    return code, got


def columns_of(line):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF"
               else 1 for c in line)


def harmless(data):
    """No control character but line ends; no C1, DEL, bidirectional override."""
    text = data.decode("utf-8")
    return not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)


# --- the request -------------------------------------------------------------------------------


def test_posts_the_raw_bytes(client, serve, picture):
    stub = serve()
    done = client("--server", stub.url, picture)
    assert (done.returncode, done.stderr) == (0, b"")
    (path, headers, body), = stub.requests
    assert path == "/classify"
    assert body == picture.read_bytes()
    assert headers["User-Agent"].startswith("prelu-classify/")
    assert headers["Authorization"] is None


def test_query_says_only_what_was_asked_for(client, serve, picture):
    stub = serve()
    client("-s", stub.url + "/prefix/", "-k", "3", "-m", "10view", "--model", "a.b-c_1", picture)
    assert stub.requests[0][0] == "/prefix/classify?top_k=3&mode=10view&model=a.b-c_1"


def test_query_of_auto_and_logit(client, serve, picture):
    stub = serve()
    client("-s", stub.url, "-m", "auto", "--budget-ms", "50", "--average", "logit", picture)
    assert stub.requests[0][0] == "/classify?mode=auto&budget_ms=50&average=logit"


def test_heatmap_is_a_second_request(client, serve, picture, tmp_path):
    png = b"\x89PNG\r\n\x1a\n" + bytes(range(256))

    def answer(body, nth):
        return result() if nth == 1 else (200, {"Content-Type": "image/png"}, png)

    stub, out = serve(answer), tmp_path / "heat.png"
    done = client("-s", stub.url, "--heatmap", out, picture)
    assert done.returncode == 0 and b"heat.png" in done.stderr, done.stderr
    assert out.read_bytes() == png
    assert [r[0] for r in stub.requests] == ["/classify?mode=dense",
                                             "/classify?mode=dense&heatmap=top1&format=png"]
    assert [r[2] for r in stub.requests] == [picture.read_bytes()] * 2


def test_heatmap_that_does_not_come(client, serve, picture, tmp_path):
    def answer(body, nth):
        return result() if nth == 1 else refusal(400, "bad_query", "a heatmap needs mode dense")

    out = tmp_path / "heat.png"
    done = client("-s", serve(answer).url, "-m", "center", "--heatmap", out, picture)
    assert done.returncode == 1 and b"needs mode dense" in done.stderr and not out.exists()
    done = client("-s", serve().url, "--heatmap", out, picture) # JSON instead of a picture
    assert done.returncode == 1 and b"no picture" in done.stderr and not out.exists()
    done = client("-s", serve().url, "--heatmap", out, picture, picture)
    assert done.returncode == 64 and b"one picture" in done.stderr
    done = client("-s", serve().url, "--heatmap", tmp_path / "none" / "heat.png", picture)
    assert done.returncode == 1


def test_server_from_the_environment_and_without_scheme(client, serve, picture):
    stub = serve()
    assert client(picture, env={"PRELU_SERVER": stub.url}).returncode == 0
    assert client("--server", f"localhost:{stub.port}", picture,
                  env={"PRELU_SERVER": "http://127.0.0.1:1"}).returncode == 0
    assert len(stub.requests) == 2


def test_standard_input(client, serve):
    stub = serve()
    done = client("--server", stub.url, "--json", "-", input=b"piped picture")
    assert done.returncode == 0
    assert stub.requests[0][2] == b"piped picture"
    assert json.loads(done.stdout)["results"][0]["file"] == "-"


def test_standard_input_at_a_terminal_is_announced(bin_dir, serve):
    stub = serve()
    code, got = on_terminal(bin_dir, b"-s", stub.url.encode(), b"-", keys=b"typed\n\x04")
    assert code == 0 and b"from the terminal" in got
    assert stub.requests[0][2] == b"typed\n"


def test_empty_picture_is_the_servers_to_judge(client, serve, tmp_path):
    stub = serve(lambda body, nth: refusal(400, "empty", "no picture in the request"))
    empty = make(tmp_path, "e.jpg") / "e.jpg"
    empty.write_bytes(b"")
    done = client("--server", stub.url, empty)
    assert done.returncode == 1 and b"no picture in the request" in done.stderr
    assert stub.requests[0][2] == b""


def test_key_goes_out_as_bearer_and_nowhere_else(client, serve, picture, tmp_path):
    stub = serve(lambda body, nth: refusal(403, "forbidden", "this key may not"))
    (tmp_path / "key").write_text("s3cret-key\n")
    done = client("--server", stub.url, "--api-key-file", tmp_path / "key", picture)
    assert stub.requests[0][1]["Authorization"] == "Bearer s3cret-key"
    assert done.returncode == 1
    assert b"s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"a\r\nX-Evil: 1", b"k\xc3\xa4se",
                                     b"x" * 5000, b"a\0b"])
def test_bad_key_files_are_refused(client, serve, picture, tmp_path, content):
    stub = serve()
    (tmp_path / "key").write_bytes(content)
    done = client("--server", stub.url, "--api-key-file", tmp_path / "key", picture)
    assert done.returncode == 64 and b"--api-key-file" in done.stderr
    assert not stub.requests


def test_redirects_are_not_followed(client, serve, picture, tmp_path):
    other = serve()
    stub = serve(lambda body, nth: (307, {"Location": other.url + "/classify"}, b""))
    (tmp_path / "key").write_text("k")
    done = client("--server", stub.url, "--api-key-file", tmp_path / "key", picture)
    assert done.returncode == 1 and b"307" in done.stderr
    assert not other.requests


def test_a_proxy_is_not_asked_about_loopback(client, serve, picture):
    stub = serve()
    done = client("--server", stub.url, picture,
                  env={"http_proxy": "http://127.0.0.1:1", "all_proxy": "http://127.0.0.1:1"})
    assert done.returncode == 0


def test_unix_socket(client, serve, picture, tmp_path):
    stub = serve(server=UnixServer(str(tmp_path / "s"), UnixHandler))
    done = client("--unix-socket", tmp_path / "s", picture)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(stub.requests) == 1
    done = client("--unix-socket", tmp_path / "none", picture)
    assert done.returncode == 69


def test_tls_needs_a_trusted_certificate(client, serve, picture):
    server = TcpServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / "tls" / "localhost.pem", HERE / "tls" / "localhost.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    stub = serve(server=server)
    url = f"https://localhost:{stub.port}"
    done = client("--server", url, "--cacert", HERE / "tls" / "localhost.pem", picture)
    assert (done.returncode, done.stderr) == (0, b"")
    done = client("--server", url, picture)
    assert done.returncode == 69 and b"certificate" in done.stderr.lower()
    assert len(stub.requests) == 1
    done = client("--server", url, "--cacert", "/no/such/file", picture)
    assert done.returncode == 64 and b"--cacert" in done.stderr


# --- what is printed ---------------------------------------------------------------------------


def test_table(client, serve, picture):
    done = client("--server", serve().url, "cat.jpg", cwd=picture.parent)
    assert done.stdout.decode().splitlines() == [
        "cat.jpg  church                               93.1%  ███████████▏",
        "         cassette player                       5.1%  ▋",
        "         parachute                            <0.1%",
    ]


@pytest.mark.parametrize("columns", ["20", "30", "40", "59", "60", "80", "200"])
def test_table_fits_the_terminal(client, serve, tmp_path, columns):
    long = [{"class": 1, "id": "n1", "label": "Ⅻ 東京タワー, tour de télévision, " * 3, "score": 0.9}]
    stub = serve(lambda body, nth: result(long + PREDICTIONS))
    make(tmp_path, "a.jpg", "with spaces and ümläuts.jpg")
    done = client("--server", stub.url, "a.jpg", "with spaces and ümläuts.jpg", cwd=tmp_path,
                  env={"COLUMNS": columns})
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert "with spaces and ümläuts.jpg" in "".join(lines)
    rows = [line for line in lines if line.strip() not in ("a.jpg", "with spaces and ümläuts.jpg")]
    assert len(rows) == 8
    assert all(columns_of(line) <= int(columns) for line in rows)


def test_legacy_terminal_gets_ascii(client, serve, tmp_path):
    """In a one-byte charset the bytes of UTF-8 would be controls; the C locale counts as UTF-8."""
    make(tmp_path, "ä.jpg")
    done = client("--server", serve().url, "ä.jpg", cwd=tmp_path, env={"LC_ALL": "C"})
    assert "ä.jpg" in done.stdout.decode() and "█" in done.stdout.decode()


def test_json(client, serve, tmp_path):
    def answer(body, nth):
        return result() if b"good" in body else refusal(415, "unsupported", "this is a PNG",)
    stub = serve(answer)
    make(tmp_path, "good.jpg", "bad.jpg")
    done = client("--server", stub.url, "--json", "good.jpg", "bad.jpg", "gone.jpg", cwd=tmp_path)
    assert done.returncode == 1
    good, bad, gone = json.loads(done.stdout)["results"]
    assert list(good)[0] == "file"
    assert good == {"file": "good.jpg", **json.loads(result()[2])}
    assert bad == {"file": "bad.jpg", "error": "this is a PNG", "code": "unsupported",
                   "status": 415, "request_id": "r-2"}
    assert gone == {"file": "gone.jpg", "error": "No such file or directory", "code": "not_found",
                    "status": 0}


def test_json_keeps_our_file_member(client, serve, picture):
    stub = serve(lambda body, nth: result(file="/etc/passwd"))
    done = client("--server", stub.url, "--json", picture)
    assert json.loads(done.stdout)["results"][0]["file"] == str(picture)


def test_csv(client, serve, tmp_path):
    odd = [{"class": 1, "id": "n1", "label": 'say "cheese", please\nnow', "score": 0.987654321},
           {"class": 0, "id": "n0", "label": "plain", "score": 1e-9}]

    def answer(body, nth):
        return result(odd) if b"a" in body else refusal(400, "corrupt", "cut, short")
    stub = serve(answer)
    make(tmp_path, "a, b.jpg", "x.jpg")
    done = client("--server", stub.url, "--csv", "a, b.jpg", "x.jpg", cwd=tmp_path)
    assert done.returncode == 1
    text = done.stdout.decode()
    assert text.startswith("file,rank,class,id,label,score,error\r\n")
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert [r["file"] for r in rows] == ["a, b.jpg", "a, b.jpg", "x.jpg"]
    assert rows[0] == {"file": "a, b.jpg", "rank": "1", "class": "1", "id": "n1",
                       "label": odd[0]["label"], "score": "0.987654321", "error": ""}
    assert float(rows[1]["score"]) == 1e-9
    assert rows[2]["error"] == "cut, short" and rows[2]["rank"] == rows[2]["score"] == ""


EVIL = "\x1b[2J\x1b]0;owned\x07 \u009b31m \x7f \u202egpj.exe \r\n rest"


def test_strangers_cannot_steer_the_terminal(client, serve, bin_dir, tmp_path):
    name = b"\x1b[31mred\n\xff\xc2\x9b.jpg"
    (tmp_path / os.fsdecode(name)).write_bytes(b"good")
    (tmp_path / "bad.jpg").write_bytes(b"bad")

    def answer(body, nth):
        if body == b"bad":
            return refusal(400, EVIL, EVIL)
        return result([{"class": 1, "id": EVIL, "label": EVIL, "score": 0.5}], model=EVIL)
    stub = serve(answer)
    for form in ([], ["--json"]):
        done = client("--server", stub.url, *form, name, "bad.jpg", cwd=tmp_path)
        assert done.returncode == 1
        assert harmless(done.stdout) and harmless(done.stderr), form
    entry, bad = json.loads(done.stdout)["results"]
    assert entry["predictions"][0]["label"] == EVIL and bad["error"] == EVIL
    assert entry["file"] == "\x1b[31mred\n\ufffd\u009b.jpg"
    code, got = on_terminal(bin_dir, b"--csv", b"--server", stub.url.encode(),
                            os.fsencode(tmp_path) + b"/" + name)
    assert code == 0 and harmless(got.replace(b"\r", b""))
    done = client("--csv", "--server", stub.url, name, cwd=tmp_path)  # a pipe gets the exact bytes
    assert name in done.stdout


def test_full_disk_is_noticed(client, serve, picture):
    with open("/dev/full", "wb") as full:
        for form in ([], ["--json"], ["--csv"]):
            done = client("--server", serve().url, *form, picture, stdout=full)
            assert done.returncode == 74 and b"could not be written" in done.stderr


# --- files and folders -------------------------------------------------------------------------


def names_of(done):
    return [r["file"] for r in json.loads(done.stdout)["results"]]


def test_folder_is_searched_in_byte_order(client, serve, tmp_path):
    make(tmp_path / "d", "b.jpg", "a.JPG", "Z.jpeg", "ä ö.JPEG", "sub/x.jpg", "sub-1/y.jpg",
         "no.png", "jpg", ".hidden.jpg", ".git/z.jpg", "folder.jpg/inner.jpg")
    os.mkfifo(tmp_path / "d" / "pipe.jpg")
    done = client("--server", serve().url, "--json", "d", cwd=tmp_path)
    assert done.returncode == 0
    want = ["d/Z.jpeg", "d/a.JPG", "d/b.jpg", "d/folder.jpg/inner.jpg", "d/sub-1/y.jpg",
            "d/sub/x.jpg", "d/ä ö.JPEG"]
    assert names_of(done) == want == sorted(want, key=os.fsencode)


def test_link_loops_end(client, serve, tmp_path):
    make(tmp_path / "d", "a.jpg", "sub/b.jpg")
    os.symlink("..", tmp_path / "d" / "sub" / "up")
    os.symlink(".", tmp_path / "d" / "self")
    os.symlink("a.jpg", tmp_path / "d" / "link.jpg")
    os.symlink("loop.jpg", tmp_path / "d" / "loop.jpg")
    os.symlink("nowhere", tmp_path / "d" / "dangling.jpg")
    done = client("--server", serve().url, "--json", "d/", cwd=tmp_path)
    assert done.returncode == 1
    entries = {r["file"]: r.get("code") for r in json.loads(done.stdout)["results"]}
    assert entries == {"d/a.jpg": None, "d/sub/b.jpg": None, "d/link.jpg": None,
                       "d/dangling.jpg": "not_found", "d/loop.jpg": "not_readable"}


def test_arguments_keep_their_order(client, serve, tmp_path):
    make(tmp_path, "z.jpg", "d/m.jpg", "d/n.jpg", "a.jpg")
    done = client("--server", serve().url, "--json", "z.jpg", "d", "a.jpg", "z.jpg", cwd=tmp_path)
    assert names_of(done) == ["z.jpg", "d/m.jpg", "d/n.jpg", "a.jpg", "z.jpg"]


def test_what_is_missing_fails_alone(client, serve, tmp_path):
    make(tmp_path, "good.jpg")
    (tmp_path / "empty").mkdir()
    stub = serve()
    done = client("--server", stub.url, "gone.jpg", "empty", "good.jpg", cwd=tmp_path)
    assert done.returncode == 1
    assert b"church" in done.stdout
    assert b"gone.jpg: No such file" in done.stderr and b"empty: no .jpg" in done.stderr
    assert len(stub.requests) == 1


def test_a_picture_beyond_all_limits_is_not_read(client, serve, tmp_path):
    stub = serve()
    with open(tmp_path / "huge.jpg", "wb") as sparse:
        sparse.truncate(1 << 40)
    done = client("--server", stub.url, "--json", "huge.jpg", cwd=tmp_path)
    assert done.returncode == 1 and not stub.requests
    assert json.loads(done.stdout)["results"][0]["code"] == "too_large"


# --- several at once ---------------------------------------------------------------------------


def test_results_come_in_input_order_with_n_in_flight(client, serve, tmp_path):
    make(tmp_path, *(f"{i:02}.jpg" for i in range(40)))

    def answer(body, nth):
        time.sleep(0.3 if body == b"00.jpg" else 0.005 * (nth % 5))
        return result([{"class": 1, "label": body.decode(), "score": 1}])
    stub = serve(answer)
    done = client("--server", stub.url, "--json", "--jobs", "6", tmp_path)
    assert done.returncode == 0
    labels = [r["predictions"][0]["label"] for r in json.loads(done.stdout)["results"]]
    assert labels == [f"{i:02}.jpg" for i in range(40)]
    assert 2 <= stub.most <= 6


def test_one_job_means_one_at_a_time(client, serve, tmp_path):
    make(tmp_path, *(f"{i}.jpg" for i in range(5)))
    stub = serve()
    assert client("--server", stub.url, "-j1", tmp_path).returncode == 0
    assert stub.most == 1


def test_progress_only_on_a_terminal(bin_dir, client, serve, tmp_path):
    make(tmp_path / "d", *(f"{i:02}.jpg" for i in range(12)))

    def slow(body, nth):
        time.sleep(0.1)
        return result()
    url = serve(slow).url.encode()
    folder = os.fsencode(tmp_path / "d")
    code, got = on_terminal(bin_dir, b"--server", url, folder, columns=60)
    assert code == 0
    bars = re.findall(rb"\r\x1b\[K\[([^\r]*)", got)
    assert bars and b"/12" in bars[-1] and b"left" in bars[-1]
    assert all(columns_of(bar.decode()) < 60 for bar in bars)
    assert b"12 classified, 0 failed" in got
    code, got = on_terminal(bin_dir, b"--quiet", b"--server", url, folder)
    assert code == 0 and b"\x1b" not in got and b"classified" not in got
    done = client("--server", url, folder)
    assert done.stderr == b"" and b"\x1b" not in done.stdout


# --- refusals and bad servers ------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_busy_is_tried_again_when_the_server_says(client, serve, picture, status):
    def answer(body, nth):
        return refusal(status, "queue_full", "busy", Retry_After="1") if nth == 1 else result()
    stub = serve(answer)
    done = client("--server", stub.url, picture)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(stub.requests) == 2 and stub.requests[0][2] == stub.requests[1][2]
    assert 0.95 <= stub.times[1] - stub.times[0] < 5


def test_retry_after_as_a_date(client, serve, picture):
    def answer(body, nth):
        date = email.utils.formatdate(time.time() + 2, usegmt=True)
        return refusal(503, "draining", "busy", Retry_After=date) if nth == 1 else result()
    stub = serve(answer)
    assert client("--server", stub.url, picture).returncode == 0
    assert 0.9 <= stub.times[1] - stub.times[0] < 8


def test_tries_are_bounded(client, serve, picture):
    stub = serve(lambda body, nth: refusal(503, "queue_full", "queue is full", Retry_After="0"))
    done = client("--server", stub.url, "--json", "--retries", "2", picture)
    assert done.returncode == 1 and len(stub.requests) == 3
    entry, = json.loads(done.stdout)["results"]
    assert (entry["code"], entry["status"]) == ("queue_full", 503)
    client("--server", stub.url, "--retries", "0", picture)
    assert len(stub.requests) == 4


@pytest.mark.parametrize("wait", ["3600", "99999999999999999999"])
def test_nobody_waits_for_an_hour(client, serve, picture, wait):
    stub = serve(lambda body, nth: refusal(503, "loading", "loading", Retry_After=wait))
    done = client("--server", stub.url, picture, timeout=20)
    assert done.returncode == 1 and len(stub.requests) == 1


def test_other_errors_are_not_tried_again(client, serve, picture):
    for status in (400, 401, 404, 413, 415, 500, 504):
        stub = serve(lambda body, nth, s=status: refusal(s, "code_x", "words of the server"))
        done = client("--server", stub.url, picture)
        assert done.returncode == 1 and len(stub.requests) == 1
        assert b"words of the server" in done.stderr and str(status).encode() in done.stderr


@pytest.mark.parametrize("payload", [
    b"", b"{", b"hello", b"[]", b"null", b"{}", b'{"predictions":[]}', b'{"predictions":{"a":1}}',
    b'{"predictions":[1]}', b'{"predictions":[{"label":"x"}]}', b'{"predictions":[{"score":1}]}',
    b'{"predictions":[{"label":"x","score":"1"}]}', b'{"predictions":[{"label":"x","score":NaN}]}',
    b'{"predictions":[{"label":"x","score":1e999}]}', b'{"predictions":[{"label":"\xff","score":1}]}',
    b'{"predictions":[{"label":"x","score":1}],"predictions":[]}', b"[" * 100000,
    b'{"error":"in a 200","code":"x"}', b'{"predictions":[{"label":"x","score":1}]} trailing',
])
def test_garbage_in_a_200(client, serve, picture, payload):
    stub = serve(lambda body, nth: (200, {}, payload))
    done = client("--server", stub.url, "--json", picture)
    assert done.returncode == 1
    entry, = json.loads(done.stdout)["results"]
    assert (entry["code"], entry["status"]) == ("bad_reply", 200) and entry["error"]


def test_html_from_a_gateway(client, serve, picture):
    stub = serve(lambda body, nth: (502, {"Content-Type": "text/html"}, b"<h1>Bad Gateway</h1>"))
    done = client("--server", stub.url, picture)
    assert done.returncode == 1
    assert b"502" in done.stderr and b"text/html" in done.stderr and b"<h1>" not in done.stderr


@pytest.mark.parametrize("announced", [True, False])
def test_endless_replies_are_cut_off(client, serve, picture, announced):
    class Endless(Handler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            if announced:
                self.send_header("Content-Length", str(1 << 62))
            self.end_headers()
            self.close_connection = True
            while True:
                self.wfile.write(b" " * 65536)
    stub = serve(server=TcpServer(("127.0.0.1", 0), Endless))
    done = client("--server", stub.url, "--json", picture, timeout=30)
    assert done.returncode == 1
    assert json.loads(done.stdout)["results"][0]["code"] == "reply_too_large"


def test_slow_server_meets_the_timeout(client, serve, tmp_path):
    make(tmp_path, "a.jpg", "slow.jpg", "z.jpg")

    def answer(body, nth):
        if body == b"slow.jpg":
            time.sleep(8)
        return result()
    begin = time.monotonic()
    done = client("--server", serve(answer).url, "--json", "--timeout", "1500ms", tmp_path)
    assert time.monotonic() - begin < 7.9
    assert done.returncode == 1
    a, slow, z = json.loads(done.stdout)["results"]
    assert slow["code"] == "timeout" and "1.5 s" in slow["error"]
    assert "error" not in a and "error" not in z


def test_connection_lost_is_tried_once_more(client, serve, picture):
    stub = serve(lambda body, nth: None if nth == 1 else result())
    assert client("--server", stub.url, picture).returncode == 0
    stub = serve(lambda body, nth: None)
    done = client("--server", stub.url, "--json", picture)
    assert done.returncode == 1
    assert json.loads(done.stdout)["results"][0]["code"] == "connection_lost"
    assert len(stub.requests) == 2


def test_half_an_answer(client, serve, picture):
    class Half(Handler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(result()[2][:100])
            self.close_connection = True
    stub = serve(server=TcpServer(("127.0.0.1", 0), Half))
    done = client("--server", stub.url, "--json", picture)
    assert done.returncode == 1
    assert json.loads(done.stdout)["results"][0]["code"] == "connection_lost"


def test_not_http_at_all(client, picture):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def banner():
            for _ in range(2):
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                    time.sleep(0.2)
        threading.Thread(target=banner, daemon=True).start()
        done = client("--server", f"http://127.0.0.1:{listener.getsockname()[1]}", picture)
    assert done.returncode == 1 and picture.name.encode() in done.stderr


def test_refused_upload_keeps_the_servers_words(client, serve, tmp_path):
    """A 413 sent before the body was read."""
    class Early(Handler):
        def handle_expect_100(self):
            return True

        def do_POST(self):
            status, headers, payload = refusal(413, "body_too_large", "limit is 1 MiB")
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(payload)
            self.wfile.flush()
            self.connection.settimeout(0.5)
            try:
                while self.rfile.read1(65536):
                    pass
            except OSError:
                pass
            self.close_connection = True
    stub = serve(server=TcpServer(("127.0.0.1", 0), Early))
    (tmp_path / "big.jpg").write_bytes(os.urandom(5 << 20))
    done = client("--server", stub.url, tmp_path / "big.jpg")
    assert done.returncode == 1
    assert b"limit is 1 MiB (413 body_too_large)" in done.stderr


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def test_unreachable(client, tmp_path):
    make(tmp_path, "a.jpg", "b.jpg")
    url = f"http://user:pass@127.0.0.1:{free_port()}"
    done = client("--server", url, "a.jpg", "b.jpg", cwd=tmp_path)
    assert done.returncode == 69 and done.stdout == b""
    assert done.stderr.count(b"cannot reach") == 1 and b"refused" in done.stderr
    assert b"pass" not in done.stderr
    done = client("--server", url, "--json", "a.jpg", "gone.jpg", "b.jpg", cwd=tmp_path)
    assert done.returncode == 69
    codes = [r["code"] for r in json.loads(done.stdout)["results"]]
    assert codes == ["unreachable", "not_found", "unreachable"]
    done = client("--server", "http://no-such-host.invalid", "a.jpg", cwd=tmp_path)
    assert done.returncode == 69


def test_server_that_goes_away_midway(client, serve, tmp_path):
    make(tmp_path, *(f"{i}.jpg" for i in range(6)))
    stub = serve()

    def answer(body, nth):
        if nth == 3:
            stub.server.socket.close()
            return None
        return (200, {"Connection": "close"}, result()[2])
    stub.answer = answer
    done = client("--server", stub.url, "--json", "-j1", tmp_path)
    assert done.returncode == 69
    codes = [r.get("code") for r in json.loads(done.stdout)["results"]]
    assert codes == [None, None] + 4 * ["unreachable"]


def test_server_that_restarts_midway(client, serve, tmp_path):
    make(tmp_path, *(f"{i}.jpg" for i in range(6)))
    stub = serve()
    port = stub.port

    def answer(body, nth):
        if nth == 3:
            stub.server.socket.close()
            again = threading.Timer(
                0.4, lambda: serve(server=TcpServer(("127.0.0.1", port), Handler)))
            again.start()
            return None
        return (200, {"Connection": "close"}, result()[2])
    stub.answer = answer
    done = client("--server", stub.url, "--json", "-j1", "--retries", "6", tmp_path)
    assert done.returncode == 0 and len(names_of(done)) == 6


# --- the command line --------------------------------------------------------------------------


@pytest.mark.parametrize("args, said", [
    (["--tok-k", "3", "x"], b"--top-k"), (["--jsno", "x"], b"--json"), (["--sever=u", "x"], b"--server"),
    (["-z", "x"], b"-z"), (["--json=1", "x"], b"--json takes no value"), (["--top-k"], b"needs a value"),
    (["--top-k", "0", "x"], b"from 1 to"), (["--top-k", "5x", "x"], b"from 1 to"),
    (["--jobs", "257", "x"], b"from 1 to 256"), (["--mode", "centre", "x"], b"center"),
    (["--timeout", "-1", "x"], b"250ms"), (["--timeout", "nan", "x"], b"250ms"),
    (["--timeout", "1e99", "x"], b"250ms"), (["--model", "../x", "x"], b"--model"),
    (["--json", "--csv", "x"], b"beside --json"), ([], b"no pictures"), (["-", "-"], b"only once"),
    (["--server", "ftp://h", "x"], b"http"), (["--server", "http://h/?q", "x"], b"--server"),
    (["--server", "", "x"], b"--server"), (["--t", "1", "x"], b"--timeout"),
    (["--\x1b[2J", "x"], b"unknown option --?"),
])
def test_wrong_usage(client, args, said):
    done = client(*args)
    assert done.returncode == 64 and done.stdout == b""
    assert said in done.stderr and b"\x1b" not in done.stderr


def test_help_and_version(client):
    done = client("--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert all(len(line) < 80 for line in done.stdout.decode().splitlines())
    for flag in (b"--server", b"--unix-socket", b"PRELU_SERVER", b"69"):
        assert flag in done.stdout
    done = client("--version")
    assert done.returncode == 0 and re.fullmatch(rb"prelu-classify \d+\.\d+\.\d+\n", done.stdout)
