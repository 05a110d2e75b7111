"""Runs in steps: who waits for whom, who is dropped, who is refused and when it may come back."""
import contextlib
import json
import re
import select
import signal
import socket
import struct

from serving import SLOW, SMALL, draw, jpeg, multipart, parse_raw, wait_until

LONG = "?mode=multiscale&scales=200,260"
LARGE = jpeg(draw(400, 400, 3), quality=60)
WIDE = jpeg(draw(1000, 100, 3), quality=60)  # more work in whole than its ten views


def post(s, query, body, kind="image/jpeg"):
    """A connection on which a request was sent and no answer is read yet."""
    c = socket.create_connection(("127.0.0.1", s.port), timeout=100 * SLOW)
    c.sendall(b"POST /classify%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %s\r\n"
              b"Content-Length: %d\r\n\r\n" % (query.encode(), kind.encode(), len(body)) + body)
    return c


def whole(c):
    """(status, head, body) of what it gets."""
    got = b""
    while piece := c.recv(65536):
        got += piece
    c.close()
    return parse_raw(got)


def answer(c):
    return json.loads(whole(c)[2])


def taken(s):
    """Pictures that were decoded and have left the queue."""
    prepared = s.metric('prelu_stage_duration_seconds_count{stage="prepare"}')
    return 0 if s.metric("prelu_queue_work_units") else prepared


def test_a_short_request_does_not_wait_for_a_long_one(own_server):
    s = own_server("--threads", "1")
    alone = s.classify(LARGE, LONG + "&top_k=10")[1]["predictions"]
    with post(s, LONG + "&top_k=10", LARGE) as long:
        wait_until(lambda: taken(s) == 2)
        for _ in range(5):
            status, answered = s.classify(SMALL)
            assert status == 200, answered
        long.settimeout(0)
        try:
            early = long.recv(1)
        except BlockingIOError:
            early = None
        assert early is None, "the long request was over first"
        long.settimeout(100 * SLOW)
        assert answer(long)["predictions"] == alone  # to the bit, in however many steps
    assert s.stop() == 0


def test_the_run_of_a_client_that_leaves_ends(own_server):
    s = own_server("--threads", "1")
    for reset in (True, False):
        dropped = s.metric('prelu_cancelled_total{stage="infer"}')
        before = taken(s)
        c = post(s, LONG, LARGE)
        wait_until(lambda: taken(s) > before)
        if reset:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
        wait_until(lambda: s.metric('prelu_cancelled_total{stage="infer"}') > dropped)
    assert s.stop() == 0


def ask_beside(s, n):
    """(status, head, body) of mode auto while n pictures wait in the queue."""
    many, headers = multipart(*[(str(i), SMALL) for i in range(max(n, 1))])
    units = "prelu_queue_work_units"
    while True:
        with contextlib.ExitStack() as stack:
            if n:
                others = stack.enter_context(post(s, "?mode=center", many, headers["Content-Type"]))
                wait_until(lambda: s.metric(units) >= n or select.select([others], [], [], 0)[0])
            asked = post(s, "?mode=auto&budget_ms=3600000", WIDE)
            wait_until(lambda: s.metric(units) > n or select.select([asked], [], [], 0)[0])
            in_time = not n or not select.select([others], [], [], 0)[0]
            got = whole(asked)
            if n:
                whole(others)
        if in_time:
            return got


def test_auto_falls_back_before_anything_is_refused(own_server):
    """Pictures wait a second for company here, so that there is a queue."""
    s = own_server("--threads", "1", "--queue-limit", "60", "--max-batch", "1000", "--max-batch-delay", "1s")
    modes = [re.search(r"X-Mode: ([a-z0-9]+)", ask_beside(s, n)[1])[1] for n in (0, 30, 50)]
    assert modes == ["multiscale", "10view", "center"]
    status, _, body = ask_beside(s, 60)
    assert status == 503 and json.loads(body)["code"] == "queue_full", body
    assert s.stop() == 0


def test_stopping_finishes_what_runs_in_steps(own_server):
    s = own_server("--threads", "1", "--drain-timeout", f"{100 * SLOW}s")
    with post(s, LONG, LARGE) as c:
        wait_until(lambda: s.metric("prelu_in_flight") == 2)
        s.process.send_signal(signal.SIGTERM)
        assert answer(c)["predictions"]
    assert s.process.wait(100 * SLOW) == 0
