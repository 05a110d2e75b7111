"""Runs in steps: who waits for whom, who is dropped, who is refused and when it may come back."""
import json
import signal
import socket
import struct

from serving import SLOW, SMALL, draw, jpeg, wait_until

LONG = "?mode=multiscale&scales=200,260"
LARGE = jpeg(draw(400, 400, 3), quality=60)


def post(s, query, body):
    """A connection on which a request was sent and no answer is read yet."""
    c = socket.create_connection(("127.0.0.1", s.port), timeout=100 * SLOW)
    c.sendall(b"POST /classify%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" %
              (query.encode(), len(body)) + body)
    return c


def answer(c):
    got = b""
    while piece := c.recv(65536):
        got += piece
    return json.loads(got.split(b"\r\n\r\n", 1)[1])


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


def test_stopping_finishes_what_runs_in_steps(own_server):
    s = own_server("--threads", "1", "--drain-timeout", f"{100 * SLOW}s")
    with post(s, LONG, LARGE) as c:
        wait_until(lambda: s.metric("prelu_in_flight") == 2)
        s.process.send_signal(signal.SIGTERM)
        assert answer(c)["predictions"]
    assert s.process.wait(100 * SLOW) == 0
