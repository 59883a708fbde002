#!/usr/bin/python3
"""The queue as its operator works with it: postrider queue, on a running server."""
import contextlib, re, sys, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from harness import HOST, Server, free_ports, main, message, smtp, wait_for
from sink import Sink

ANNA, BEN = "anna@example.test", "ben@example.test"
sink = Sink(HOST, port=0, extensions=["8BITMIME", "DSN"])
sink.answer["RCPT"] = lambda session, line: ("550 5.1.1 no such user" if "gone" in line else
                                             "450 4.2.2 over quota, case 4711" if "full" in line else None)
[DOWN] = free_ports(1)
S = Server(f'route "up.test" {{ host = "{HOST}" port = {sink.port} }}\n'
           f'route "other.test" {{ host = "{HOST}" port = {sink.port} }}\n'
           f'route "down.test" {{ host = "{HOST}" port = {DOWN} }}\n')


def send(*to, sender=ANNA, options=(), each=()):
    with smtp(S) as c:
        c.sendmail(sender, list(to), message("queue", sender=sender, to=to[0]), mail_options=list(options), rcpt_options=list(each))


def queue(*args, check=0):
    return S.json("queue", *args, check=check)


def messages(*args):
    return queue("list", *args, "--messages")


def empty():
    return wait_for(lambda: queue("list") == [])


def test_start():
    S.start()
    assert queue("list") == [] and messages() == []
    assert "nothing waits" in S.cli("queue", "list", check=0).stdout


def test_list():
    send("x@down.test", "y@down.test")
    send("full@up.test", sender=BEN)
    wait_for(lambda: len([m for m in messages() if m["attempts"]]) == 2)
    groups = {g["destination"]: g for g in queue("list")}
    assert set(groups) == {"down.test", "up.test"}, groups
    down, up = groups["down.test"], groups["up.test"]
    assert down["deliveries"] == 1 and down["recipients"] == 2 and down["class"] == "unreachable", down
    assert down["waits_until_ms"] > time.time() * 1000 and "refused" in down["waits_for"], down
    assert up["reason"] == "450 4.2.2 over quota, case #", up
    assert up["class"] == "mailbox-full" and up["waits_until_ms"] is None, up
    text = S.cli("queue", "list", check=0).stdout
    assert "down.test: 1 delivery, oldest" in text and "all of it waits" in text and "refused" in text, text
    assert "mailbox-full" in text and "2 deliveries in all" in text, text
    for by, want in (("reason", 2), ("class", 2), ("source", 1), ("sender", 2)):
        got = queue("list", "--by", by)
        assert len(got) == want and sum(g["deliveries"] for g in got) == 2, got
    assert "mailbox-full" in S.cli("queue", "list", "--by", "class", check=0).stdout
    log = wait_for(lambda: len(re.findall(r" deferred .* next_s=\d+\n", S.log())) == 2 and S.log())
    assert len(re.findall(r" courier - back-off domain=down\.test site=\S+ until_s=\d+ reason=.*refused", log)) == 1, log
    assert " deferred to=x@down.test recipients=2 " in log or " deferred to=y@down.test recipients=2 " in log, log


def test_filters():
    count = lambda *words: len(messages(*words))
    assert count("--sender", ANNA) == 1 and count("--sender=<" + BEN + ">") == 1 and count("--sender", "<>") == 0
    assert count("--domain", "DOWN.test") == 1 and count("down.test") == 1 and count("--recipient", "y@down.test") == 1
    assert count("--reason", "OVER quota") == 1 and count("--reason", "mailbox-full") == 1 and count("--reason", "tls") == 0
    assert count("--state", "ready") == 2 and count("--state", "held") == 0 and count("--held") == 0
    assert count("--older", "1h") == 0 and count("--older", "0s") == 2
    assert count("--source", messages()[0]["source"]) == 2
    assert count("--account", ANNA) == 0
    id = messages("--sender", BEN)[0]["id"]
    assert count("--id", id) == 1 and count(id) == 1
    for wrong in (("--older", "soon"), ("--by", "colour"), ("--id", "short"), ("--nothing",), ("--state", "lost")):
        p = S.cli("queue", "list", *wrong)
        assert p.returncode == 2 and p.stderr, (wrong, p)


def test_hold_and_release():
    assert S.cli("queue", "hold", "--sender", BEN, check=0).stdout == "1 delivery held\n"
    assert [m["state"] for m in messages("--sender", BEN)] == ["held"]
    assert "held until" in S.cli("queue", "list", check=0).stdout
    assert S.cli("queue", "hold", "--sender", BEN).returncode == 3
    S.cli("queue", "release", "--sender", BEN, check=0)
    wait_for(lambda: messages("--sender", BEN)[0]["attempts"] == 2)
    S.cli("queue", "remove", "--sender", BEN, check=0)
    assert messages("--sender", BEN) == []


def test_route():
    p = S.cli("queue", "route", "down.test", "carrier pigeon")
    assert p.returncode == 1 and p.stderr, p
    S.cli("queue", "route", "--domain", "down.test", f"smtp {HOST}:{sink.port}", check=0)
    m = sink.wait(lambda m: "x@down.test" in m.rcpts[0])
    assert len(m.rcpts) == 2
    empty()


def test_suspend():
    S.cli("queue", "suspend", "other.test", "they", "move", "house", check=0)
    assert queue("suspend") == [{"destination": "other.test", "reason": "they move house"}]
    send("a@other.test")
    send("b@up.test")
    sink.wait(lambda m: "b@up.test" in m.rcpts[0])
    time.sleep(0.3)
    [g] = queue("list")
    assert g["destination"] == "other.test" and g["suspended"] == "they move house", g
    assert "suspended: they move house" in S.cli("queue", "list", check=0).stdout
    S.cli("queue", "resume", "other.test", check=0)
    sink.wait(lambda m: "a@other.test" in m.rcpts[0], 3)      # at once
    empty()
    assert S.cli("queue", "resume", "other.test").returncode == 3
    assert S.cli("queue", "suspend", check=0).stdout == "no destination is suspended\n"


def test_limit():
    for wrong in ("connections=none", "connections=0", "fast"):
        assert S.cli("queue", "limit", "up.test", wrong).returncode == 2, wrong
    S.cli("queue", "limit", "up.test", "connections=1", "per_minute=3", check=0)
    assert queue("limit") == [{"destination": "up.test", "limits": "connections=1 per_minute=3"}]
    time.sleep(1.5)
    for i in range(5):
        send(f"limit{i}@up.test")
    wait_for(lambda: sum("limit" in m.rcpts[0] for m in sink.messages) == 3)
    time.sleep(0.5)
    assert sum("limit" in m.rcpts[0] for m in sink.messages) == 3
    S.cli("queue", "limit", "up.test", "none", check=0)
    wait_for(lambda: sum("limit" in m.rcpts[0] for m in sink.messages) == 5)
    empty()


def test_suppressed():
    assert S.cli("queue", "suppressed", check=0).stdout == "no address is suppressed\n"
    send("gone@up.test")
    wait_for(lambda: len(queue("suppressed")) == 1)
    [row] = queue("suppressed", "list")
    assert row["address"] == "gone@up.test" and "no such user" in row["reason"] and row["count"] == 1, row
    asked = lambda: sum(v.startswith("RCPT TO:<gone@") for s in sink.sessions for v in s.verbs)
    assert asked() == 1
    send("gone@up.test")
    wait_for(lambda: any(b"suppressed since" in m for m in S.pop3_messages("anna")))
    assert asked() == 1
    assert S.cli("queue", "suppressed", "remove", "nobody@up.test").returncode == 3
    S.cli("queue", "suppressed", "remove", "Gone@up.test", check=0)
    send("gone@up.test")
    wait_for(lambda: len(queue("suppressed")) == 1 and asked() == 2)
    S.cli("queue", "suppressed", "clear", check=0)
    assert queue("suppressed") == []
    empty()


def test_etrn():
    """down.test was found to be down before: what comes for it waits, until the other side says that it is back."""
    send("z@down.test")
    wait_for(lambda: queue("list", "down.test")[0]["waits_until_ms"])
    assert messages()[0]["attempts"] == 0 and "when the destination is tried again" in queue("list")[0]["next"]
    with contextlib.closing(Sink(HOST, port=DOWN)) as back, smtp(S) as c:
        c.ehlo()
        assert c.docmd("ETRN", "down.test")[0] in (250, 251, 252, 253)
        back.wait(lambda m: "z@down.test" in m.rcpts[0])
    empty()


def test_retry_ends_the_wait():
    time.sleep(1)                            # the connection of the test before is kept for half a second
    send("w@down.test")
    wait_for(lambda: [m for m in messages() if m["attempts"]])
    send("v@down.test")                      # waits with it, untried
    time.sleep(0.2)
    assert sorted(m["attempts"] for m in messages()) == [0, 1]
    with contextlib.closing(Sink(HOST, port=DOWN)) as back:
        S.cli("queue", "retry", "--domain", "down.test", check=0)
        back.wait(lambda m: "w@down.test" in m.rcpts[0])
        back.wait(lambda m: "v@down.test" in m.rcpts[0])
    empty()


def test_retry_at_once():
    """What has just arrived behind a back-off is tried at once too: by its ID, its destination, or all."""
    for how in ("id", "destination", "all"):
        time.sleep(1)                        # a connection is kept for half a second
        send(f"first.{how}@down.test")
        wait_for(lambda: [m for m in messages() if m["attempts"]])
        send(f"second.{how}@down.test")
        [id] = [m["id"] for m in messages() if not m["attempts"]]
        with contextlib.closing(Sink(HOST, port=DOWN)) as back:
            S.cli("queue", "retry", {"id": id, "destination": "down.test", "all": "--all"}[how], check=0)
            back.wait(lambda m: f"second.{how}@down.test" in m.rcpts[0])
            S.cli("queue", "retry", "--all")
            back.wait(lambda m: f"first.{how}@down.test" in m.rcpts[0])
        empty()


def test_stop():
    assert S.stop() == 0


main(globals())
