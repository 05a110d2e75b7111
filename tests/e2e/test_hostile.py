"""Each attack of hostile.py once and small: the documented answer, and a server that goes on."""
import pytest

from hostile import REQUESTS, SLOW, get_status, resident
from serving import SMALL


@pytest.mark.parametrize("name, want, make", REQUESTS, ids=[r[0] for r in REQUESTS])
def test_requests(server, name, want, make):
    reply = server.raw(make(20000))
    head = reply.partition(b"\r\n\r\n")[0]
    assert head.split()[1].decode() == want, reply[:300]
    assert b"\r\nX-Evil" not in head
    assert server.classify(SMALL)[0] == 200


@pytest.mark.parametrize("name, want, attack, n", SLOW, ids=[s[0] for s in SLOW])
def test_slow_clients(own_server, name, want, attack, n):
    s = own_server("--header-timeout", "300ms", "--request-timeout", "2s", "--max-connections", "60")
    before = resident(s)
    got = attack(s, 50 if n < 1000 else 300, 0.6)
    assert got == want or (want == "408" and got == "408 closed")
    assert s.classify(SMALL)[0] == 200
    assert resident(s) < before + 300
