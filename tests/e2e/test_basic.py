#!/usr/bin/python3
"""First light with clients that nobody here wrote: swaks, curl, smtplib, poplib, fetchmail; and the command itself."""
import json, os, poplib, re, shutil, smtplib, subprocess, time
from harness import *

S = None


def test_start():
    global S
    S = Server()
    S.start()


def sent_id(text):
    return re.search(r"queued as ([0-9a-z]{16})", text).group(1)


def delivered(id):
    wait_for(lambda: "delivered" in S.cli("trace", id).stdout, 10)


def test_swaks_to_local():
    p = run("swaks", "--server", f"{HOST}:{S.smtp}", "--from", "anna@example.test", "--to", "ben@example.test",
            "--header", "Subject: by swaks", "--body", "one\n.two\n..three\n", check=0)
    delivered(sent_id(p.stdout))
    got = S.pop3_messages("ben")
    assert len(got) == 1, got
    assert b"Subject: by swaks" in got[0] and b"\r\n.two\r\n..three\r\n" in got[0], got[0]
    assert got[0].startswith(b"Return-Path: <anna@example.test>\r\n"), got[0]
    assert b"Received: from" in got[0] and b"Delivered-To: ben@example.test" in got[0]


def test_swaks_pipelined():
    p = run("swaks", "--server", f"{HOST}:{S.smtp}", "--pipeline", "--from", "anna@example.test", "--to",
            "ben@example.test", check=0)
    delivered(sent_id(p.stdout))


def test_curl_smtp_and_pop3():
    msg = S.dir / "msg"
    msg.write_bytes(message("by curl").encode())
    run("curl", "-sS", f"smtp://{HOST}:{S.smtp}/client.test", "--mail-from", "ben@example.test", "--mail-rcpt",
        "anna@example.test", "-T", msg, check=0)
    wait_for(lambda: len(S.pop3_messages("anna")) == 1)
    p = run("curl", "-sS", "-u", f"anna@example.test:{S.passwords['anna']}", f"pop3://{HOST}:{S.pop3}/1", check=0)
    assert "Subject: by curl" in p.stdout, p.stdout
    p = run("curl", "-sS", "-u", "anna@example.test:wrong", f"pop3://{HOST}:{S.pop3}/1")
    assert p.returncode == 67, p.returncode


def test_smtplib_refusals():
    with smtp(S) as c:
        assert c.ehlo()[0] == 250
        for ext in ("pipelining", "size", "8bitmime", "enhancedstatuscodes", "chunking", "smtputf8"):
            assert c.has_extn(ext), ext
        c.mail("x@elsewhere.test")
        code, text = c.rcpt("nobody@example.test")
        assert code == 550 and b"5.1.1" in text, (code, text)
        code, text = c.rcpt("Anna+lists@Example.TEST")
        assert code == 250, (code, text)
        code, text = c.rcpt("postmaster")
        assert code == 250, (code, text)
        c.rset()
        code, text = c.mail("x@elsewhere.test", ["SIZE=99999999999"])
        assert code == 552, (code, text)


def test_relay_denied_from_elsewhere():
    """A client outside relay_networks: here 127.0.0.1 is taken out of them."""
    with Server("relay_networks = {\"192.0.2.0/24\"}") as s, smtp(s) as c:
        c.ehlo()
        c.mail("x@elsewhere.test")
        for to in ("u@other.test", "u%other.test@elsewhere.test", "@example.test:u@other.test", "u@[192.0.2.1]"):
            code, text = c.docmd("RCPT", f"TO:<{to}>")
            assert code == 550 and b"5.7.1" in text, (to, code, text)
        assert c.rcpt("anna@example.test")[0] == 250


def test_thousand_recipients():
    """450 to one account's sub-addresses, refused ones between; the mailbox gets one copy."""
    before = len(S.pop3_messages("ben"))
    with smtp(S) as c:
        c.ehlo()
        c.mail("anna@example.test")
        for i in range(450):
            assert c.rcpt(f"ben+{i}@example.test")[0] == 250
        assert c.rcpt("nobody@example.test")[0] == 550
        code, text = c.data(message("many"))
        assert code == 250
    delivered(sent_id(text.decode()))
    wait_for(lambda: not S.json("queue", "list"))
    assert len(S.pop3_messages("ben")) == before + 1


def test_alias_and_catchall_change_at_once():
    with smtp(S) as c:
        c.ehlo()
        c.mail("x@elsewhere.test")
        assert c.rcpt("team@example.test")[0] == 550
        S.cli("alias", "set", "team@example.test", "anna@example.test", "ben@example.test", check=0)
        assert c.rcpt("team@example.test")[0] == 250
        anna, ben = len(S.pop3_messages("anna")), len(S.pop3_messages("ben"))
        assert c.data(message("to the team"))[0] == 250
    wait_for(lambda: len(S.pop3_messages("anna")) == anna + 1 and len(S.pop3_messages("ben")) == ben + 1)
    S.cli("alias", "remove", "team@example.test", check=0)
    S.cli("domain", "catchall", "example.test", "anna@example.test", check=0)
    with smtp(S) as c:
        c.ehlo()
        c.mail("x@elsewhere.test")
        assert c.rcpt("whoever@example.test")[0] == 250
        S.cli("domain", "catchall", "example.test", check=0)
        assert c.rcpt("whoever@example.test")[0] == 550


def test_large_message():
    body = "".join(f"line {i} " + "x" * 60 + "\r\n" for i in range(60000))
    before = len(S.pop3_messages("ben"))
    with smtp(S) as c:
        c.sendmail("anna@example.test", ["ben@example.test"], message("large", body))
    wait_for(lambda: len(S.pop3_messages("ben")) == before + 1, 20)
    got = S.pop3_messages("ben")[-1]
    assert got.endswith((body + "\r\n").encode()), (len(got), len(body))


def test_8bit_and_smtputf8():
    before = len(S.pop3_messages("ben"))
    with smtp(S) as c:
        c.ehlo()
        assert c.mail("anna@example.test", ["BODY=8BITMIME", "SMTPUTF8"])[0] == 250
        assert c.rcpt("ben@example.test")[0] == 250
        assert c.data("Subject: Gr\u00fc\u00dfe\r\n\r\n\u00e4\u00f6\u00fc\r\n".encode())[0] == 250
    wait_for(lambda: len(S.pop3_messages("ben")) == before + 1)
    assert "äöü".encode() in S.pop3_messages("ben")[-1]


def test_bare_line_ends_are_refused():
    """The smuggling variants: none ends the data, none becomes a message, the session goes on."""
    before = len(S.pop3_messages("ben"))
    for end in (b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r", b"\r\n\0.\r\n"):
        with smtp(S) as c:
            c.ehlo()
            c.mail("anna@example.test")
            c.rcpt("ben@example.test")
            assert c.docmd("DATA")[0] == 354
            c.send(b"Subject: outer\r\n\r\nbody" + end + b"MAIL FROM:<evil@example.test>\r\nRCPT TO:<ben@example.test>\r\n"
                   b"DATA\r\nSubject: canary\r\n\r\nsmuggled\r\n.\r\n")
            code, text = c.getreply()
            assert code == 554 and b"5.6.0" in text, (end, code, text)
            assert c.noop()[0] == 250
    assert len(S.pop3_messages("ben")) == before


def test_pop3_rules():
    def login():
        b = poplib.POP3(HOST, S.pop3, timeout=20)
        b.user("ben@example.test")
        b.pass_(S.passwords["ben"])
        return b
    a = login()
    try:
        login()
        assert False, "a second session on the same mailbox"
    except poplib.error_proto as e:
        assert b"[IN-USE]" in e.args[0], e
    uidl = a.uidl()[1]
    assert len(set(uidl)) == len(uidl) > 2
    assert b"Subject:" in b"\r\n".join(a.top(1, 0)[1])
    a.dele(1)
    a.close()                       # no QUIT: nothing is deleted
    b = wait_for(lambda: login_or_none(login))
    assert b.uidl()[1] == uidl
    b.dele(1)
    b.quit()
    b = wait_for(lambda: login_or_none(login))
    assert [u.split()[1] for u in b.uidl()[1]] == [u.split()[1] for u in uidl[1:]]
    b.quit()


def login_or_none(login):
    try:
        return login()
    except poplib.error_proto:
        return None


def test_fetchmail():
    rc = S.dir / "fetchmailrc"
    out = S.dir / "fetched"
    rc.write_text(f"""set no syslog
poll {HOST} protocol POP3 port {S.pop3} auth password
    user "anna@example.test" password "{S.passwords['anna']}" sslproto '' mda "/bin/sh -c 'cat >> {out}'" keep
""")
    os.chmod(rc, 0o600)
    p = run("fetchmail", "-f", rc, "--pidfile", S.dir / "fm.pid", "--idfile", S.dir / "fm.ids", "-v",
            env={"HOME": str(S.dir), "FETCHMAILHOME": str(S.dir)})
    assert p.returncode == 0, p.stdout + p.stderr
    assert "Subject: by curl" in out.read_text(errors="replace")


def test_commands():
    assert [r["domain"] for r in S.json("domain", "list")] == ["example.test"]
    assert {r["address"] for r in S.json("account", "list")} == {"anna@example.test", "ben@example.test"}
    p = S.cli("quue", "list")
    assert p.returncode == 2 and 'did you mean "queue"' in p.stderr, p.stderr
    p = S.cli("queue", "lits")
    assert p.returncode == 2 and 'did you mean "list"' in p.stderr, p.stderr
    for words, said in ((("remove", "--all", "--limit", "1"), "`queue remove` does not take --limit"),
                        (("retry", "--all", "--by=class"), "`queue retry` does not take --by"),
                        (("hold", "--messages", "--all"), "`queue hold` does not take --messages"),
                        (("bounce", "--all", "--bounce"), "`queue bounce` does not take --bounce"),
                        (("list", "--bounce"), "`queue list` does not take --bounce"),
                        (("show", "--id", "0000000000000000", "--older", "1h"), "`queue show` does not take --older"),
                        (("show", "--id", "0000000000000000", "--held"), "no queue ID"),
                        (("show", "--held", "--id", "0000000000000000"), "wants a queue ID"),
                        (("remove", "--domain", "a.test", "--domain", "b.test"), "--domain is there twice"),
                        (("list", "--messages", "--limit", "3"), "are for sums"),
                        (("list", "--messages=yes"), "--messages takes no value"),
                        (("list", "--limit"), '"" is nothing that --limit takes'),
                        (("remove", ""), "no queue ID"), (("remove", "--domain", ""), "nothing that --domain takes"),
                        (("remove", "--domain"), "nothing that --domain takes"), (("route", "", "none"), "no queue ID"),
                        (("list", "--limits", "3"), "no filter"),
                        (("limit", "a.test", "connections=0"), "none takes it away")):
        p = S.cli("queue", *words)
        assert p.returncode == 2 and said in p.stderr, (words, p.returncode, p.stdout, p.stderr)
    assert S.json("queue", "list", "--limit", "3", "--by=reason") == []
    p = S.cli("account", "add", "anna@example.test", "--password-stdin", stdin="x\n")
    assert p.returncode == 1 and "already" in p.stderr, p.stderr
    p = S.cli("trace", "0000000000000000")
    assert p.returncode == 3, p
    assert S.json("status")["running"] is True
    assert "message_size_max" in S.cli("config", "show", check=0).stdout
    assert S.cli("check", "config").returncode == 0
    p = S.cli("check", "store")
    assert p.returncode == 0, p.stdout + p.stderr
    story = S.cli("trace", "ben@example.test", check=0).stdout
    messages = re.split(r"(?m)^(?=message )", story)[1:]
    sizes = [int(re.match(r"message [0-9a-z]{16}, (\d+) bytes, from <[^>]*>\n", m).group(1)) for m in messages]
    assert max(sizes) > 4000000, sizes      # the large one
    for m in messages:
        assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  accepted from 127\.0\.0\.1:\d+ .*; safe on disk", m, re.M), m
        assert "from <ben@example.test>" in m or "  ben@example.test: delivered 2.0.0 in the mailbox\n" in m, m
    bad = S.dir / "bad.conf"
    bad.write_text('hostnme = "x"\n')
    p = run(BINARY, "--config", bad, "config", "show")
    assert p.returncode == 1 and "hostname" in p.stderr and "bad.conf:1" in p.stderr, p.stderr


def test_send_command():
    p = S.cli("send", "-v", "--server", f"{HOST}:{S.smtp}", "--from", "anna@example.test", "--to", "ben@example.test",
              "--subject", "by the command", "--body", "line one\n.line two", check=0)
    assert "MAIL FROM:<anna@example.test>" in p.stdout and "queued as" in p.stdout, p.stdout
    delivered(sent_id(p.stdout))
    got = S.pop3_messages("ben")[-1]
    assert b"\r\n.line two\r\n" in got and b"Message-ID:" in got and b"Date:" in got, got
    p = S.cli("send", "--server", f"{HOST}:{S.smtp}", "--from", "anna@example.test", "--to", "nobody@example.test",
              stdin="Subject: x\n\nbody\n")
    assert p.returncode == 1 and "5.1.1" in p.stderr, (p.returncode, p.stderr)


def test_only_the_owner_talks():
    if os.geteuid() != 0:
        return
    p = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BINARY, "--config", S.conf, "queue", "list")
    assert p.returncode == 1 and "owner" in p.stderr, (p.returncode, p.stderr)


def test_restart_keeps_everything():
    count = len(S.pop3_messages("ben"))
    assert count > 2
    assert S.stop() == 0
    p = S.cli("status")
    assert p.returncode == 75 and "no server" in p.stderr, (p.returncode, p.stderr)
    assert S.json("account", "list"), "the directory is also there without a server"
    S.start()
    assert len(S.pop3_messages("ben")) == count


def test_stop():
    S.__exit__(None)


main(globals())
