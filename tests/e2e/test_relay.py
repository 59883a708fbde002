#!/usr/bin/python3
"""Mail by MX between postrider and Postfix, port 25, real DNS (NSD), in a network namespace of its own; and what happens when the
other side is not as it should be."""
import world
from peers import *

DIR = world.enter("relay", addresses=["127.0.0.2"])
ZONE = """postrider MX 10 mx.postrider
mx.postrider A 127.0.0.1
postfix MX 10 down.postfix
postfix MX 20 mx.postfix
down.postfix A 127.0.0.99
mx.postfix A 127.0.0.2
null MX 0 .
implicit A 127.0.0.2
alias CNAME postfix
onlyself MX 10 mx.postrider
nohost MX 10 nowhere
"""
S = POSTFIX = None


def at_postfix():
    return [p.read_text(errors="replace") for p in sorted((POSTFIX.mail / "new").iterdir())]


def test_start():
    global S, POSTFIX
    world.dns(DIR, ZONE)
    POSTFIX = Postfix(DIR, ["127.0.0.2:25"], ["user@postfix.test", "user@implicit.test", "user@alias.test"],
                      "smtp_tls_security_level = none\nsmtpd_tls_security_level = none\n")
    POSTFIX.start()
    S = Server(world.SETTINGS + 'relay_networks = {"127.0.0.1/32"}\n', domain="postrider.test", hostname="mx.postrider.test", smtp_port=25)
    S.start()
    wait_for(greets("127.0.0.1"))


def send(to, body="Hello", subject="relay"):
    with smtp(S) as c:
        c.ehlo()
        c.mail("anna@postrider.test")
        code, text = c.rcpt(to)
        assert code == 250, (code, text)
        code, text = c.data(message(subject, body, "anna@postrider.test", to))
        assert code == 250, (code, text)
        return re.search(rb"queued as ([0-9a-z]{16})", text).group(1).decode()


def test_by_mx_to_postfix():
    id = send("user@postfix.test", "By MX\r\n.dot\r\n..dots")
    got = wait_for(at_postfix, 20)
    assert "By MX\n.dot\n..dots\n" in got[0], got[0]
    story = wait_for(lambda: (t := S.cli("trace", id).stdout) and "mx.postfix.test" in t and t, 5)
    assert "127.0.0.2" in story and "250" in story, story
    wait_for(lambda: not S.json("queue", "list"))


def test_implicit_mx_and_cname():
    for to in ("user@implicit.test", "user@alias.test"):
        n = len(at_postfix())
        send(to)
        wait_for(lambda: len(at_postfix()) == n + 1, 20)


def test_from_postfix():
    p = POSTFIX.run("sendmail", "-f", "user@postfix.test", "anna@postrider.test", "nobody@postrider.test",
                    stdin="Subject: from Postfix\n\nHello from there\n")
    assert p.returncode == 0, p.stderr
    got = wait_for(lambda: [m for m in S.pop3_messages("anna") if b"from Postfix" in m], 20)
    assert b"Return-Path: <user@postfix.test>" in got[0]
    # the unknown recipient was refused at RCPT: Postfix tells the sender
    wait_for(lambda: any("nobody@postrider.test" in m and "5.1.1" in m for m in at_postfix()), 20)


def bounce(about, *words):
    def found():
        return [m for m in S.pop3_messages("anna") if b"multipart/report" in m and about.encode() in m]
    got = wait_for(found, 20)[0].decode(errors="replace")
    for w in words:
        assert w in got, (w, got)
    assert "Return-Path: <>" in got and "Auto-Submitted: auto-replied" in got, got
    return got


def test_bounces():
    send("nobody@postfix.test")
    got = bounce("nobody@postfix.test", "Action: failed", "Status: 5.1.1", "Remote-MTA: dns; mx.postfix.test")
    assert "User unknown" in got, got          # the peer's own words
    m = email.message_from_string(got, policy=email.policy.default)
    assert m.get_content_type() == "multipart/report", m.get_content_type()
    kinds = [p.get_content_type() for p in m.iter_parts()]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"], kinds
    send("u@nx.test")
    bounce("u@nx.test", "Action: failed", "Status: 5.1.2")
    send("u@null.test")
    bounce("u@null.test", "Action: failed", "Status: 5.1.10")
    send("u@onlyself.test")
    bounce("u@onlyself.test", "Action: failed", "Status: 5.4.6")


def test_temporary_dns_failure_waits():
    id = send("u@dead.invalid")
    row = wait_for(lambda: [r for r in S.json("queue", "list", "--messages") if r["id"] == id and r["reason"]], 20)[0]
    assert row["attempts"] == 1 and row["state"] == "ready", row
    assert 200 < row["next_in_s"] < 400, row
    n = len(S.pop3_messages("anna"))
    # hold, release, retry, remove
    assert S.cli("queue", "hold", id).returncode == 0
    assert S.json("queue", "list", "--messages")[0]["state"] == "held"
    assert S.cli("queue", "release", id).returncode == 0
    wait_for(lambda: S.json("queue", "list", "--messages")[0]["attempts"] == 2, 20)
    assert S.cli("queue", "retry", id).returncode == 0
    wait_for(lambda: S.json("queue", "list", "--messages")[0]["attempts"] == 3, 20)
    show = S.cli("queue", "show", id, check=0).stdout
    assert "u@dead.invalid" in show, show
    assert S.cli("queue", "remove", id).returncode == 0
    assert S.json("queue", "list") == []
    assert len(S.pop3_messages("anna")) == n, "a removed message makes no bounce unless asked for"
    assert "removed" in S.cli("trace", id, check=0).stdout


def test_peer_down_then_up():
    """Postfix stopped: the mail waits with the reason; back again and `retry`: it goes."""
    POSTFIX.stop()
    n = len(at_postfix())
    id = send("user@postfix.test", subject="later")
    row = wait_for(lambda: [r for r in S.json("queue", "list", "--messages") if r["id"] == id and r["reason"]], 40)[0]
    assert "postfix.test" in row["reason"] or "refused" in row["reason"].lower(), row
    POSTFIX.start()
    S.cli("queue", "retry", "postfix.test", check=0)
    wait_for(lambda: len(at_postfix()) == n + 1, 30)


def test_stop():
    try:
        S.__exit__(None)
    finally:
        world.end_children()


world.main(globals())
