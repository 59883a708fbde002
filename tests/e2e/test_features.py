#!/usr/bin/python3
"""Every feature of SMTP that this server has, tried once against a running server through its public face: the table at the end
says what, by which RFC, and which function tries it. `test_features.py FUNCTION…` tries some; --list prints the table."""
import base64, email, email.policy, smtplib, ssl, struct, sys, threading
import world
from harness import *
from sink import MODERN, PLAIN, Sink

DIR = world.enter("features") if "--list" not in sys.argv else None
OURS, STRANGER, PROXY, FILTER, OTHER_SOURCE = "127.0.0.1", "127.0.0.66", "127.0.0.2", "127.0.0.3", "127.0.1.1"
ANNA, BEN = "anna@here.test", "ben@here.test"
ZONE = """here MX 10 mx.here
mx.here A 127.0.0.1
second MX 10 mx.second
mx.second A 127.0.0.5
modern MX 10 mx.modern
mx.modern A 127.0.0.10
twin MX 10 mx.modern
plain MX 10 mx.plain
mx.plain A 127.0.0.11
mx.tls A 127.0.0.12
wrong.tls A 127.0.0.12
tls MX 10 mx.tls
opportune MX 10 mx.tls
wrongname MX 10 wrong.tls
backup MX 5 better.backup
backup MX 10 mx.here
better.backup A 127.0.0.13
late MX 5 better.late
late MX 10 mx.here
better.late A 127.0.0.16
smart A 127.0.0.14
slow MX 10 mx.slow
mx.slow A 127.0.0.15
rated MX 10 mx.slow
elsewhere MX 10 mx.modern
dead MX 10 mx.dead
mx.dead A 127.0.0.99
idle MX 10 mx.idle
mx.idle A 127.0.0.98
null MX 0 .
self MX 10 mx.here
"""
S = SECOND = MODERN_SINK = PLAIN_SINK = TLS_SINK = SLOW_SINK = SMART_SINK = CA = None


# ---- helpers ----

class Talk:
    """A client that says lines as they are. Replies: the whole text, lines joined by a newline."""

    def __init__(self, address=None, source=OURS, first=b"", tls=False, hello="EHLO client.test"):
        if isinstance(address, (str, Path)):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(str(address))
        else:
            self.socket = socket.create_connection(address or (S.host, 25), 30, (source, 0))
        self.socket.settimeout(30)
        self.socket.sendall(first)
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()
        self.hello = self.say(hello) if hello else ""
        if tls:
            assert self.say("STARTTLS").startswith("220")
            self.socket = loose().wrap_socket(self.socket)
            self.file = self.socket.makefile("rb")
            self.hello = self.say(hello)

    def reply(self):
        lines = []
        while True:
            line = self.file.readline().decode(errors="replace").rstrip("\r\n")
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)

    def say(self, line):
        self.socket.sendall((line if isinstance(line, bytes) else line.encode()) + b"\r\n")
        return self.reply()

    def send(self, sender, to, content=None, mail="", rcpt="", how="DATA"):
        """One message; its queue ID. `to`: one address or several."""
        reply = self.say(f"MAIL FROM:<{sender}> {mail}".rstrip())
        assert reply.startswith("250"), reply
        for t in [to] if isinstance(to, str) else to:
            reply = self.say(f"RCPT TO:<{t}> {rcpt}".rstrip())
            assert reply.startswith("250"), (t, reply)
        content = content if isinstance(content, bytes) else (content or text("x")).encode()
        if how == "BDAT":
            half = len(content) // 2
            assert self.chunk(content[:half]).startswith("250")
            reply = self.chunk(content[half:], last=True)
        else:
            assert self.say("DATA").startswith("354")
            reply = self.say(re.sub(rb"(?m)^\.", b"..", content) + b".")
        assert reply.startswith("250"), reply
        return re.search(r"queued as ([0-9a-z]{16})", reply).group(1)

    def chunk(self, content, last=False):
        self.socket.sendall(b"BDAT %d%s\r\n" % (len(content), b" LAST" if last else b"") + content)
        return self.reply()

    def close(self):
        self.socket.close()


def text(subject="a feature", body="x", sender=ANNA, to=BEN, more=""):
    return f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n{more}\r\n{body}\r\n"


def loose():
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    return c


def send(to, sender=ANNA, content=None, source=OURS, **how):
    t = Talk(source=source)
    try:
        return t.send(sender, to, content, **how)
    finally:
        t.close()


def login(server=None, name="anna", password=None):
    server = server or S
    c = smtplib.SMTP_SSL(HOST, server.submissions, local_hostname="client.test", timeout=30, context=loose())
    c.login(f"{name}@{server.domain}", password or server.passwords[name])
    return c


class Box:
    """What has come to an account, each once, oldest first; read by POP3 and taken out."""
    kept = {}

    @classmethod
    def find(cls, name, *words, server=None, seconds=15):
        server = server or S
        mine = cls.kept.setdefault((server.domain, name), [])

        def look():
            import poplib
            box = poplib.POP3(HOST, server.pop3, timeout=20)
            box.user(f"{name}@{server.domain}")
            box.pass_(server.passwords[name])
            for i in range(box.stat()[0]):
                mine.append(b"\r\n".join(box.retr(i + 1)[1]) + b"\r\n")
                box.dele(i + 1)
            box.quit()
            return next((m for m in mine if all(w.encode() in m for w in words)), None)
        try:
            return wait_for(look, seconds, 0.05)
        except AssertionError:
            raise AssertionError(f"nothing with {words} has come to {name}:\n" +
                                 b"\n----\n".join(mine[-3:]).decode(errors="replace")) from None

    @classmethod
    def count(cls, name, word, server=None):
        server = server or S
        return sum(word.encode() in m for m in cls.kept.get((server.domain, name), []))


def parse(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


def row(id, server=None, fits=lambda r: True):
    return wait_for(lambda: next((r for r in (server or S).json("queue", "list", "--messages", "--all") if r["id"] == id and fits(r)), None), 15)


def gone(id, server=None):
    wait_for(lambda: not [r for r in (server or S).json("queue", "list", "--messages", "--all") if r["id"] == id], 15)


@contextlib.contextmanager
def table(name, key, *value, server=None):
    (server or S).cli("table", "set", name, key, *value, check=0)
    try:
        yield
    finally:
        (server or S).cli("table", "remove", name, key, check=0)


def test_start():
    global S, SECOND, MODERN_SINK, PLAIN_SINK, TLS_SINK, SLOW_SINK, SMART_SINK, CA
    world.dns(DIR, ZONE)
    CA = world.Authority(DIR / "ca")
    CA.issue(DIR / "tls", "mx.tls.test", "smart.test")
    context = CA.context(DIR / "tls")
    MODERN_SINK = Sink("127.0.0.10", extensions=MODERN + ["DELIVERBY", "MT-PRIORITY"])
    PLAIN_SINK = Sink("127.0.0.11", extensions=PLAIN)
    TLS_SINK = Sink("127.0.0.12", extensions=MODERN + ["REQUIRETLS"], tls=context)
    SLOW_SINK = Sink("127.0.0.15")
    SMART_SINK = Sink("127.0.0.14", 587, tls=context, logins={"corp": "pass-of-corp"})
    for sink in MODERN_SINK, PLAIN_SINK:
        sink.answer["RCPT"] = lambda session, line: "550 5.1.1 nobody has that name" if "<nobody" in line else \
            "550 5.2.2 mailbox is full" if "<full" in line else "451 4.2.1 later" if "<later" in line else None
    shared = world.SETTINGS + f'tls_ca_file = "{CA.cert}"\nrelay_networks = {{"127.0.0.1/32", "127.0.1.0/24"}}\n'
    S = Server(shared + f'proxy_networks = {{"{PROXY}"}}\nxclient_networks = {{"{FILTER}"}}\nconnections_per_minute = 100000\n',
               domain="here.test", hostname="mx.here.test", smtp_port=25).start()
    # what has to be set otherwise: impatient, signs its senders, tells who is there, few messages an hour
    SECOND = Server(shared + "batv = yes\nvrfy = yes\nretry_first = 1\nretry_max = 1\nwarn_after = 1\ngive_up_after = 4\n"
                    'account_messages_hour = 2\nsubaddress_separator = "-"\n', domain="second.test", hostname="mx.second.test",
                    host="127.0.0.5", smtp_port=25).start()


# ---- notifications ----

def dsn_success():
    send(BEN, mail="ENVID=env+2B1 RET=HDRS", rcpt="NOTIFY=SUCCESS ORCPT=rfc822;ben@before.test", content=text("dsn delivered"))
    m = Box.find("anna", "multipart/report", "Action: delivered", "ben@before.test").decode()
    assert "Original-Envelope-Id: env+1" in m and "Original-Recipient: rfc822;ben@before.test" in m.replace("rfc822; ", "rfc822;"), m
    # to a server that knows no DSN it was relayed, and that is all that can be said
    send("x@plain.test", rcpt="NOTIFY=SUCCESS")
    Box.find("anna", "multipart/report", "Action: relayed", "x@plain.test")


def dsn_passed_on():
    send("dsn@modern.test", mail="ENVID=QQ314159 RET=FULL", rcpt="NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first@before.test")
    m = MODERN_SINK.wait_to("dsn@modern.test")
    assert "ENVID=QQ314159" in m.mail and "RET=FULL" in m.mail, m.mail
    assert "NOTIFY=" in m.rcpts[0] and "SUCCESS" in m.rcpts[0] and "DELAY" in m.rcpts[0] and "FAILURE" not in m.rcpts[0], m.rcpts
    assert "ORCPT=rfc822;first@before.test" in m.rcpts[0], m.rcpts


def dsn_failure():
    send("nobody-1@modern.test", mail="RET=FULL ENVID=f1", content=text("dsn full", "the-whole-body"))
    m = Box.find("anna", "nobody-1@modern.test", "Action: failed")
    parts = [p.get_content_type() for p in parse(m).iter_parts()]
    assert parts == ["text/plain", "message/delivery-status", "message/rfc822"] and b"the-whole-body" in m, (parts, m)
    for word in b"Status: 5.1.1", b"Remote-MTA: dns; mx.modern.test", b"nobody has that name", b"Auto-Submitted: auto-replied":
        assert word in m, (word, m)
    send("nobody-2@modern.test", mail="RET=HDRS", content=text("dsn headers", "the-other-body"))
    m = Box.find("anna", "nobody-2@modern.test", "Action: failed")
    assert b"the-other-body" not in m and b"Subject: dsn headers" in m, m


def dsn_never():
    gone(send("nobody-3@modern.test", rcpt="NOTIFY=NEVER"))
    send("nobody-4@modern.test")        # told after it, had there been anything to tell
    Box.find("anna", "nobody-4@modern.test")
    assert not Box.count("anna", "nobody-3@modern.test")


def dsn_delay():
    """And, when it is given up, that too."""
    t = Talk((SECOND.host, 25))
    t.send("anna@second.test", "u@dead.test", mail="ENVID=late1", rcpt="NOTIFY=DELAY,FAILURE")
    m = Box.find("anna", "Action: delayed", "u@dead.test", server=SECOND)
    assert b"Will-Retry-Until:" in m and b"Original-Envelope-Id: late1" in m, m
    Box.find("anna", "Action: failed", "u@dead.test", "Status: ", server=SECOND)
    # who did not ask for it is told of no delay of mail that no person sent (RFC 3834)
    gone(t.send("anna@second.test", "auto@dead.test", content=text(more="Auto-Submitted: auto-generated\r\n")), SECOND)
    Box.find("anna", "Action: failed", "auto@dead.test", server=SECOND)
    told = [m for m in Box.kept["second.test", "anna"] if b"Action: delayed" in m and b"auto@dead.test" in m]
    assert not told, told
    t.close()


# ---- content ----

PICTURE = bytes(range(256)) * 8
BINARY = (text("binary", "", more="MIME-Version: 1.0\r\nContent-Type: image/x-test\r\nContent-Transfer-Encoding: binary\r\n")[:-2].encode() +
          PICTURE)


def binarymime():
    send("bin@modern.test", content=BINARY, mail="BODY=BINARYMIME", how="BDAT")
    m = MODERN_SINK.wait_to("bin@modern.test")
    assert m.chunked and "BODY=BINARYMIME" in m.mail and m.data.endswith(b"\r\n\r\n" + PICTURE), m


def binarymime_converted():
    send("bin@plain.test", content=BINARY, mail="BODY=BINARYMIME", how="BDAT")
    m = PLAIN_SINK.wait_to("bin@plain.test")
    parsed = parse(m.data)
    assert "BODY" not in m.mail and not m.chunked and parsed["Content-Transfer-Encoding"] == "base64", m
    assert parsed.get_payload(decode=True) == PICTURE and max(map(len, m.data.split(b"\r\n"))) < 1000


def eightbit_converted():
    body = "Grüße aus Köln, naïve café\r\n"
    content = text("eight", body, more="MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n").encode()
    send("eight@modern.test", content=content, mail="BODY=8BITMIME")
    send("eight@plain.test", content=content, mail="BODY=8BITMIME")
    m = MODERN_SINK.wait_to("eight@modern.test")
    assert "BODY=8BITMIME" in m.mail and body.encode() in m.data, m
    m = PLAIN_SINK.wait_to("eight@plain.test")
    assert "BODY" not in m.mail and all(c < 128 for c in m.data), m
    assert parse(m.data).get_content().splitlines()[0] == body.strip(), m.data


def chunking():
    t = Talk()
    assert "CHUNKING" in t.hello
    t.send(ANNA, BEN, content=text("in pieces", "one\r\n.\r\ntwo"), how="BDAT")
    assert b"one\r\n.\r\ntwo\r\n" in Box.find("ben", "Subject: in pieces")
    t.close()


def smtputf8():
    content = text("Grüße", "ü", to="usér@modern.test").encode()
    send("usér@modern.test", content=content, mail="SMTPUTF8 BODY=8BITMIME")
    m = MODERN_SINK.wait_to("usér@modern.test")
    assert "SMTPUTF8" in m.mail and "Subject: Grüße".encode() in m.data, m
    send("usér@plain.test", content=content, mail="SMTPUTF8 BODY=8BITMIME")
    m = Box.find("anna", "Action: failed", "@plain.test", "Status: 5.6.7")
    assert "utf-8" in m.decode("utf-8").lower(), m
    t = Talk()
    t.say(f"MAIL FROM:<{ANNA}>")
    assert t.say("RCPT TO:<usér@modern.test>").startswith("553 5.6.7")
    t.close()


# ---- what a message asks for ----

def requiretls():
    t = Talk(tls=True)
    assert "REQUIRETLS" in t.hello
    with table("transport", "secret.test", "smtp mx.tls.test"):
        t.send(ANNA, "r@secret.test", mail="REQUIRETLS")
        m = TLS_SINK.wait_to("r@secret.test")
        assert m.tls and "REQUIRETLS" in m.mail, m
    t.send(ANNA, "r@modern.test", mail="REQUIRETLS")      # no TLS there, and an MX that anybody could have forged
    Box.find("anna", "Action: failed", "r@modern.test", "Status: 5.7.")
    assert not [m for m in MODERN_SINK.messages if "<r@modern.test>" in m.rcpts[0]]
    t.close()
    t = Talk()
    assert "REQUIRETLS" not in t.hello and t.say(f"MAIL FROM:<{ANNA}> REQUIRETLS").startswith("5")
    t.close()


def deliverby():
    send("later-by@plain.test", mail="BY=1;R")
    Box.find("anna", "later-by@plain.test", "Action: failed", "Status: 5.4.7")
    send("later-note@plain.test", mail="BY=1;N", rcpt="NOTIFY=DELAY")
    Box.find("anna", "later-note@plain.test", "Action: delayed")
    S.cli("queue", "remove", "--recipient", "later-note@plain.test", check=0)
    send("by@modern.test", mail="BY=600;NT")
    by = re.search(r"BY=(\d+);NT", MODERN_SINK.wait_to("by@modern.test").mail)
    assert by and 590 <= int(by.group(1)) <= 600, by


def futurerelease():
    c = login()
    c.ehlo()
    assert c.has_extn("futurerelease")
    assert c.mail(ANNA, ["HOLDFOR=2"])[0] == 250 and c.rcpt(BEN)[0] == 250
    id = re.search(rb"queued as ([0-9a-z]{16})", c.data(text("from the future"))[1]).group(1).decode()
    c.quit()
    assert 0 < row(id)["next_in_s"] <= 2
    assert not [m for m in S.pop3_messages("ben") if b"from the future" in m]
    Box.find("ben", "from the future")


def mt_priority():
    send("prio@modern.test", mail="MT-PRIORITY=4")
    assert "MT-PRIORITY=4" in MODERN_SINK.wait_to("prio@modern.test").mail


def etrn():
    with table("backup", "late.test", "yes"):
        id = send("u@late.test", sender="s@elsewhere.test", source=STRANGER)
        row(id, fits=lambda r: r["attempts"] > 0)
        sink = Sink("127.0.0.16")
        t = Talk()
        assert "ETRN" in t.hello and t.say("ETRN late.test").startswith("250 2.0.0")
        sink.wait_to("u@late.test")
        t.close()
        t = Talk(source=STRANGER)
        assert t.say("ETRN late.test").startswith("459")
        t.close()
        sink.close()


# ---- who it is ----

def xclient():
    for address, answer in (OURS, "250"), ("198.51.100.9", "550 5.7.1"):
        t = Talk(source=FILTER)
        assert "XCLIENT" in t.hello and t.say(f"XCLIENT ADDR={address} NAME=there.test").startswith("220")
        t.say("EHLO there.test"), t.say("MAIL FROM:<s@elsewhere.test>")
        assert t.say("RCPT TO:<u@modern.test>").startswith(answer), address
        t.close()
    t = Talk(source=STRANGER)
    assert "XCLIENT" not in t.hello and t.say(f"XCLIENT ADDR={OURS}").startswith("5")
    t.close()


def proxy_v1():
    proxied(lambda ours: f"PROXY TCP4 {OURS if ours else '198.51.100.9'} 127.0.0.1 4000 25\r\n".encode())


def proxy_v2():
    proxied(lambda ours: b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton(OURS if ours else "198.51.100.9") +
            socket.inet_aton("127.0.0.1") + struct.pack("!HH", 4000, 25))


def proxied(header):
    for ours, answer in (True, "250"), (False, "550 5.7.1"):
        t = Talk(source=PROXY, first=header(ours))
        assert t.greeting.startswith("220"), t.greeting
        t.say("MAIL FROM:<s@elsewhere.test>")
        assert t.say("RCPT TO:<u@modern.test>").startswith(answer), ours
        t.close()


def vrfy():
    t = Talk()
    assert t.say(f"VRFY {BEN}").startswith("252") and t.say("EXPN team").startswith(("252", "502")), t.say("EXPN team")
    t.close()
    t = Talk((SECOND.host, 25))
    assert t.say("VRFY <ben@second.test>").startswith("250") and t.say("VRFY <none@second.test>").startswith("550 5.1.1")
    t.close()


def app_passwords():
    password = S.json("account", "app-password", "add", ANNA, "phone", "--send")["password"]
    login(password=password).quit()
    import poplib
    box = poplib.POP3(HOST, S.pop3, timeout=20)
    box.user(ANNA)
    try:
        box.pass_(password)
        assert False, "a password for sending reads mail"
    except poplib.error_proto:
        pass
    box.close()
    listed = S.json("account", "app-password", "list", ANNA)
    assert [p["name"] for p in listed if p["name"] != "main"] == ["phone"], listed
    S.cli("account", "app-password", "remove", ANNA, "phone", check=0)
    try:
        login(password=password)
        assert False, "a password that was removed lets in"
    except smtplib.SMTPAuthenticationError:
        pass


def sending_limits():
    c = login(SECOND)
    answers = []
    for i in range(3):
        c.mail("anna@second.test"), c.rcpt("ben@second.test")
        answers.append(c.data(text(f"burst {i}", sender="anna@second.test"))[1].decode())
    c.quit()
    assert ["held" in a for a in answers] == [False, False, True], answers
    Box.find("anna", "is held", server=SECOND)
    assert Box.find("ben", "burst 1", server=SECOND) and not Box.count("ben", "burst 2", SECOND)
    SECOND.cli("queue", "release", "--account", "anna@second.test", check=0)
    Box.find("ben", "burst 2", server=SECOND)


def sender_is_yours():
    c = login()
    assert c.mail(BEN)[0] == 553
    with table("grant", BEN, ANNA):
        assert c.mail(BEN)[0] == 250
    c.quit()


# ---- LMTP ----

def lmtp_in():
    with smtplib.LMTP(HOST, S.lmtp, local_hostname="mta.test", timeout=30) as c:
        c.ehlo()
        c.mail("s@elsewhere.test")
        assert [c.rcpt(a)[0] for a in (ANNA, "none@here.test", BEN)] == [250, 550, 250]
        code, said = c.data(text("by LMTP"))
        assert code == 250 and c.getreply()[0] == 250, said     # one answer for each that was accepted
    for name in "anna", "ben":
        Box.find(name, "Subject: by LMTP")


def lmtp_out():
    store = Sink("127.0.0.10", 24, lmtp=True)
    store.answer["RCPT"] = lambda session, line: "550 5.1.1 not in this store" if "<none" in line else None
    with table("transport", "boxes.test", "lmtp 127.0.0.10:24"):
        send(["a@boxes.test", "b@boxes.test", "none@boxes.test"])
        m = store.wait_to("b@boxes.test")
        assert len(m.rcpts) == 3 or len(m.rcpts) == 2, m.rcpts
        assert any(v.startswith("LHLO") for v in m.verbs), m.verbs
        Box.find("anna", "none@boxes.test", "Status: 5.1.1")
    store.close()


# ---- addresses ----

def delivered_to():
    send(BEN, content=text("delivered to"))
    m = parse(Box.find("ben", "Subject: delivered to"))
    assert m.get_all("Delivered-To") == [BEN] and m["Return-Path"] == f"<{ANNA}>", m


def null_mx():
    send("u@null.test")
    Box.find("anna", "u@null.test", "Status: 5.1.10")


def mx_is_self():
    send("u@self.test")
    Box.find("anna", "u@self.test", "Status: 5.4.6")


def aliases():
    S.cli("alias", "set", "team@here.test", ANNA, BEN, "away@modern.test", check=0)
    send("team@here.test", content=text("to the team"))
    for name in "anna", "ben":
        Box.find(name, "Subject: to the team")
    MODERN_SINK.wait_to("away@modern.test")


def lists():
    S.cli("list", "create", "news@here.test", "--owner", ANNA, check=0)
    S.cli("list", "import", "news@here.test", stdin=f"# members\nBen <{BEN}>\nl1@modern.test\nl2@modern.test\n", check=0)
    S.cli("list", "remove", "news@here.test", "l2@modern.test", check=0)
    assert sorted(S.json("list", "members", "news@here.test")) == [BEN, "l1@modern.test"]
    send("news@here.test", sender="s@elsewhere.test", source=STRANGER, content=text("the news"))
    Box.find("ben", "Subject: the news")
    m = MODERN_SINK.wait_to("l1@modern.test")
    assert m.mail.startswith(f"FROM:<{ANNA}>"), m.mail
    assert not [m for m in MODERN_SINK.messages if any("<l2@" in r for r in m.rcpts)]


def verp():
    S.cli("list", "create", "verp@here.test", "--owner", ANNA, "--verp", check=0)
    S.cli("list", "add", "verp@here.test", "v1@modern.test", "nobody-v@modern.test", check=0)
    send("verp@here.test", sender="s@elsewhere.test", source=STRANGER, content=text("told apart"))
    m = MODERN_SINK.wait_to("v1@modern.test")
    assert m.mail.startswith("FROM:<anna+v1=modern.test@here.test>"), m.mail
    m = parse(Box.find("anna", "nobody-v=modern.test", "Action: failed"))
    assert m["Delivered-To"] == ANNA or "nobody-v=modern.test" in m["Delivered-To"], m["Delivered-To"]


def catch_all():
    S.cli("domain", "add", "shop.test", check=0)
    S.cli("domain", "catchall", "shop.test", BEN, check=0)
    send("whatever@shop.test", content=text("caught"))
    Box.find("ben", "Subject: caught")


def sub_addressing():
    send("ben+holiday@here.test", content=text("plus"))
    assert parse(Box.find("ben", "Subject: plus"))["Delivered-To"].startswith("ben")
    t = Talk((SECOND.host, 25))
    t.send("s@elsewhere.test", "ben-list@second.test", content=text("minus"))
    assert t.say("MAIL FROM:<s@elsewhere.test>").startswith("250") and t.say("RCPT TO:<ben+x@second.test>").startswith("550 5.1.1")
    Box.find("ben", "Subject: minus", server=SECOND)
    t.close()


def masked():
    address = S.json("mask", "add", BEN, "for", "the", "shop")["address"]
    assert address.endswith("@here.test") and address != BEN
    send(address, content=text("to the mask"))
    Box.find("ben", "Subject: to the mask")
    assert [m["note"] for m in S.json("mask", "list", BEN)] == ["for the shop"]
    S.cli("mask", "remove", address, check=0)
    t = Talk()
    t.say(f"MAIL FROM:<{ANNA}>")
    assert t.say(f"RCPT TO:<{address}>").startswith("550 5.1.1")
    t.close()


def masquerade():
    with table("masquerade", ".here.test", "here.test"):
        t = Talk(S.submit_socket)
        t.send("cron@web1.here.test", "mq@modern.test", content=text("masquerade", sender="cron@web1.here.test"))
        m = MODERN_SINK.wait_to("mq@modern.test")
        assert m.mail.startswith("FROM:<cron@here.test>") and parse(m.data)["From"] == "cron@here.test", m
        t.close()


def canonical():
    with table("canonical-sender", "al@here.test", "anna.lang@here.test"), table("canonical-recipient", "old.test", "@modern.test"):
        t = Talk(S.submit_socket)
        t.send("al@here.test", "canon@old.test", content=text("canonical", sender="al@here.test", to="canon@old.test"))
        m = MODERN_SINK.wait_to("canon@modern.test")
        assert m.mail.startswith("FROM:<anna.lang@here.test>"), m.mail
        assert parse(m.data)["From"] == "anna.lang@here.test" and parse(m.data)["To"] == "canon@modern.test", m.data
        t.close()


# ---- under whose name it goes on ----

def srs():
    S.cli("alias", "set", "fwd@here.test", "fwd@modern.test", check=0)
    send("fwd@here.test", sender="s@elsewhere.test", source=STRANGER)
    path = re.match(r"FROM:<(SRS0=[^>]*@here\.test)>", MODERN_SINK.wait_to("fwd@modern.test").mail)
    assert path, MODERN_SINK.messages[-1].mail
    send(path.group(1), sender="", source=STRANGER, content=text("returned"))
    m = MODERN_SINK.wait_to("s@elsewhere.test")
    assert m.mail.startswith("FROM:<>"), m.mail
    t = Talk(source=STRANGER)
    t.say("MAIL FROM:<>")
    assert t.say("RCPT TO:<SRS0=AAAA=AA=elsewhere.test=s@here.test>").startswith("550 5.7.1")
    t.close()


def batv():
    t = Talk((SECOND.host, 25))
    t.send("ben@second.test", "batv@modern.test")
    path = re.match(r"FROM:<(prvs=[^>]*=ben@second\.test)>", MODERN_SINK.wait_to("batv@modern.test").mail)
    assert path, MODERN_SINK.messages[-1].mail
    t.close()
    t = Talk((SECOND.host, 25), source=STRANGER)
    t.send("", path.group(1), content=text("a true bounce"))
    Box.find("ben", "Subject: a true bounce", server=SECOND)
    t.say("MAIL FROM:<>")
    assert t.say("RCPT TO:<ben@second.test>").startswith("550 5.7.1")
    t.close()


# ---- which way it goes ----

def smarthost():
    S.cli("relay", "set", "corp", "corp", "--password-stdin", stdin="not-it\n", check=0)
    with table("transport", "far.test", "smtp", "smart.test:587", "auth=corp"):
        id = send("u@far.test")
        assert "535" in row(id, fits=lambda r: r["reason"])["reason"]
        S.cli("relay", "set", "corp", "corp", "--password-stdin", stdin="pass-of-corp\n", check=0)
        S.cli("queue", "retry", id, check=0)
        m = SMART_SINK.wait_to("u@far.test")
        assert m.login == "corp" and m.tls, m


def transport():
    with table("transport", "one@modern.test", "smtp", "127.0.0.11:25"), table("transport", "gone.test", "error", "5.7.1", "we closed"):
        send("one@modern.test")
        PLAIN_SINK.wait_to("one@modern.test")
        send("u@gone.test")
        Box.find("anna", "u@gone.test", "Status: 5.7.1", "we closed")


def sender_relay():
    with table("relay", "anna@here.test", "smtp", "127.0.0.11:25"):
        send("bysender@modern.test")
        PLAIN_SINK.wait_to("bysender@modern.test")
    send("bysender2@modern.test")
    MODERN_SINK.wait_to("bysender2@modern.test")


def backup_mx():
    t = Talk(source=STRANGER)
    t.say("MAIL FROM:<s@elsewhere.test>")
    assert t.say("RCPT TO:<u@backup.test>").startswith("550 5.7.1")
    t.close()
    sink = Sink("127.0.0.13")
    with table("backup", "backup.test", "yes"):
        send("u@backup.test", sender="s@elsewhere.test", source=STRANGER)
        sink.wait_to("u@backup.test")
    sink.close()


def tls_policy():
    send("may@opportune.test")
    assert TLS_SINK.wait_to("may@opportune.test").tls
    with table("tls", "tls.test", "none"):
        send("none@tls.test")
        assert not TLS_SINK.wait_to("none@tls.test").tls
    with table("tls", "tls.test", "verify"):
        send("verify@tls.test")
        assert TLS_SINK.wait_to("verify@tls.test").tls
    with table("tls", "modern.test", "encrypt"):
        id = send("encrypt@modern.test")
        assert "TLS" in row(id, fits=lambda r: r["reason"])["reason"]
    S.cli("queue", "retry", id, check=0)
    MODERN_SINK.wait_to("encrypt@modern.test")
    with table("tls", "wrongname.test", "verify"):
        id = send("u@wrongname.test")
        reason = row(id, fits=lambda r: r["reason"])["reason"]
        assert "certificate" in reason, reason
        S.cli("queue", "remove", id, check=0)
    assert not [m for m in TLS_SINK.messages if "wrongname" in m.rcpts[0]]


def source_addresses():
    with table("source", ANNA, "127.0.0.77"):
        send("source@modern.test")
        assert MODERN_SINK.wait_to("source@modern.test").peer == "127.0.0.77"


# ---- the queue ----

def hold_release():
    with table("hold-recipient", "held@modern.test", "look at it first"):
        id = send("held@modern.test")
    r = row(id)
    assert r["state"] == "held" and "look at it first" in r["reason"], r
    S.cli("queue", "release", id, check=0)
    MODERN_SINK.wait_to("held@modern.test")
    id = send("u@dead.test")
    S.cli("queue", "hold", "dead.test", check=0)
    assert row(id)["state"] == "held"
    S.cli("queue", "remove", "--held", check=0)
    gone(id)
    for name, key in ("hold-sender", "ben@here.test"), ("hold-account", ANNA):
        with table(name, key, "asked for"):
            c = login()
            if name == "hold-sender":
                c.quit()
                c = login(name="ben")
            who = BEN if name == "hold-sender" else ANNA
            c.mail(who), c.rcpt("rule@modern.test")
            c.data(text(sender=who))
            c.quit()
            wait_for(lambda: [r for r in S.json("queue", "list", "--held", "--messages") if "asked for" in r["reason"]])
            S.cli("queue", "bounce", "--recipient", "rule@modern.test", check=0)
            Box.find("ben" if name == "hold-sender" else "anna", "rule@modern.test", "Action: failed")


def reroute():
    id = send("moved@dead.test")
    S.cli("queue", "route", id, "smtp 127.0.0.10:25", check=0)
    MODERN_SINK.wait_to("moved@dead.test")


def suspend():
    S.cli("queue", "suspend", "elsewhere.test", "they", "asked", "for", "it", check=0)
    id = send("susp@elsewhere.test")
    shown = wait_for(lambda: [g for g in S.json("queue", "list", "elsewhere.test") if g["suspended"]])
    assert shown[0]["suspended"] == "they asked for it", shown
    assert "elsewhere.test" in S.cli("queue", "suspend", check=0).stdout
    S.cli("queue", "resume", "elsewhere.test", check=0)
    MODERN_SINK.wait_to("susp@elsewhere.test")


def slowly(count, seconds=0.15):
    SLOW_SINK.most_open = 0
    SLOW_SINK.answer["."] = lambda session, content: time.sleep(seconds)
    before = len(SLOW_SINK.messages)
    t = Talk()
    for i in range(count):
        t.send(ANNA, f"bulk-{i}@slow.test")
    t.close()
    return before


def destination_limits():
    S.cli("queue", "limit", "slow.test", "connections=1", check=0)
    before = slowly(6)
    wait_for(lambda: len(SLOW_SINK.messages) == before + 6, 20)
    assert SLOW_SINK.most_open == 1, SLOW_SINK.most_open
    S.cli("queue", "limit", "slow.test", "connections=3", check=0)
    before = slowly(9)
    wait_for(lambda: len(SLOW_SINK.messages) == before + 9, 20)
    assert 1 < SLOW_SINK.most_open <= 3, SLOW_SINK.most_open
    S.cli("queue", "limit", "slow.test", "none", check=0)
    S.cli("queue", "limit", "rated.test", "per_minute=2", check=0)
    before, t = len(SLOW_SINK.messages), Talk()
    ids = [t.send(ANNA, f"rated-{i}@rated.test") for i in range(4)]
    t.close()
    wait_for(lambda: len(SLOW_SINK.messages) == before + 2, 20)
    time.sleep(0.5)
    assert len(SLOW_SINK.messages) == before + 2, "more than two in a minute"
    S.cli("queue", "limit", "rated.test", "none", check=0)
    S.cli("queue", "retry", "rated.test", check=0)
    wait_for(lambda: len(SLOW_SINK.messages) == before + 4, 20)


def fair_to_sources():
    """One sender's flood does not keep another's single message waiting; nor bulk what is urgent."""
    S.cli("queue", "limit", "slow.test", "connections=1", check=0)
    before = slowly(24, 0.1)
    send("single@slow.test", sender="s@elsewhere.test", source=OTHER_SOURCE)
    send("urgent@slow.test", mail="MT-PRIORITY=4")
    wait_for(lambda: len(SLOW_SINK.messages) == before + 26, 20)
    order = [m.rcpts[0] for m in SLOW_SINK.messages[before:]]
    for who in "single", "urgent":
        place = next(i for i, r in enumerate(order) if who in r)
        assert place < 18, (who, place, order)
    S.cli("queue", "limit", "slow.test", "none", check=0)


def back_off():
    """Two domains with one MX are one destination: what says 421 is left alone as a whole, and the reason is kept."""
    MODERN_SINK.answer["MAIL"] = lambda session, line: "421 4.7.0 too busy for you"
    try:
        row(send("bo1@modern.test"), fits=lambda r: "too busy" in (r["reason"] or ""))
        sessions = len(MODERN_SINK.sessions)
        groups = wait_for(lambda: [g for g in S.json("queue", "list", "modern.test") if g["waits_for"]])
        assert "too busy" in groups[0]["waits_for"] and "mx.modern.test" in groups[0]["site"], groups
        for i in 2, 3:      # the first tells whose host it is
            row(send(f"bo{i}@twin.test"))
            time.sleep(0.3)
        asked = [s.verbs for s in MODERN_SINK.sessions[sessions:]]
        assert len(asked) <= 1, asked
        send("bo4@modern.test")
        time.sleep(0.3)
        assert len(MODERN_SINK.sessions[sessions:]) == len(asked), "the host was asked again at once"
    finally:
        del MODERN_SINK.answer["MAIL"]
    S.cli("queue", "retry", "--all", check=0)
    for to in "bo1@modern.test", "bo2@twin.test", "bo3@twin.test", "bo4@modern.test":
        MODERN_SINK.wait_to(to)


def suppression():
    send("nobody-s@modern.test")
    Box.find("anna", "nobody-s@modern.test", "Action: failed")
    listed = wait_for(lambda: [s for s in S.json("queue", "suppressed") if s["address"] == "nobody-s@modern.test"])
    assert "nobody has that name" in listed[0]["reason"], listed
    asked = len(MODERN_SINK.sessions)
    gone(send("nobody-s@modern.test", content=text("suppressed at once")))
    Box.find("anna", "nobody-s@modern.test", "Subject: suppressed at once")
    assert len(MODERN_SINK.sessions) == asked, "it was sent although the address is known not to exist"
    S.cli("queue", "suppressed", "remove", "nobody-s@modern.test", check=0)
    S.cli("queue", "suppressed", "clear", check=0)
    assert S.json("queue", "suppressed") == []


def classification():
    send("full@modern.test")
    Box.find("anna", "full@modern.test", "Status: 5.2.2")
    assert not [s for s in S.json("queue", "suppressed") if "full@" in s["address"]]        # it exists
    id = send("later@modern.test")
    r = row(id, fits=lambda r: r["reason"])
    assert r["class"] and "mx.modern.test: 451" in r["reason"] and "later" in r["reason"], r
    S.cli("queue", "remove", id, check=0)


def queue_list():
    ids = [send(f"g{i}@idle.test") for i in range(3)] + [send("later@plain.test")]
    row(ids[0], fits=lambda r: r["attempts"] > 0)       # the others wait with it
    row(ids[3], fits=lambda r: r["attempts"] > 0)
    groups = S.json("queue", "list")
    dead = [g for g in groups if g["destination"] == "idle.test"]
    assert sum(g["deliveries"] for g in dead) == 3 and "refused" in dead[0]["waits_for"] and any("refused" in (g["example"] or "").lower() for g in dead), groups
    assert all(g["next"] for g in groups), groups
    for by in "reason", "class", "source", "sender":
        by_groups = S.json("queue", "list", "--by", by)
        assert sum(g["deliveries"] for g in by_groups) == 4 and all(by in g for g in by_groups), (by, by_groups)
    shown = S.cli("queue", "list", check=0).stdout
    assert "idle.test: 3 deliveries" in shown and "plain.test: 1 delivery" in shown and "451" in shown, shown
    assert "g1@idle.test" in S.cli("trace", ids[1], check=0).stdout
    S.cli("queue", "remove", "--all", check=0)
    assert S.json("queue", "list") == []


FEATURES = [
    ("DSN: success, delivered and relayed", "RFC 3461, 3464", dsn_success),
    ("DSN: NOTIFY, RET, ENVID, ORCPT passed on", "RFC 3461", dsn_passed_on),
    ("DSN: failure, with the whole message or its header", "RFC 3461, 3462, 3464", dsn_failure),
    ("DSN: NOTIFY=NEVER", "RFC 3461", dsn_never),
    ("DSN: delay, and the end of patience; automatic mail gets no delay notice", "RFC 3461, 3834", dsn_delay),
    ("BINARYMIME", "RFC 3030", binarymime),
    ("BINARYMIME converted to base64 for who lacks it", "RFC 3030", binarymime_converted),
    ("8BITMIME, and converted for who lacks it", "RFC 6152", eightbit_converted),
    ("CHUNKING", "RFC 3030", chunking),
    ("SMTPUTF8, and the bounce where it ends", "RFC 6531, 6533", smtputf8),
    ("REQUIRETLS", "RFC 8689", requiretls),
    ("DELIVERBY", "RFC 2852", deliverby),
    ("FUTURERELEASE", "RFC 4865", futurerelease),
    ("MT-PRIORITY", "RFC 6710", mt_priority),
    ("ETRN", "RFC 1985", etrn),
    ("XCLIENT", "Postfix", xclient),
    ("PROXY protocol version 1", "HAProxy", proxy_v1),
    ("PROXY protocol version 2", "HAProxy", proxy_v2),
    ("VRFY and EXPN, off and on", "RFC 5321", vrfy),
    ("Application passwords", "", app_passwords),
    ("Sending limits: hold, tell, release", "", sending_limits),
    ("One sends only as oneself, or as granted", "RFC 6409", sender_is_yours),
    ("LMTP listener", "RFC 2033", lmtp_in),
    ("LMTP delivery to another store", "RFC 2033", lmtp_out),
    ("Delivered-To", "RFC 9228", delivered_to),
    ("Null MX", "RFC 7505", null_mx),
    ("An MX that is ourselves", "RFC 5321", mx_is_self),
    ("Aliases to several, here and elsewhere", "", aliases),
    ("Lists", "RFC 5321", lists),
    ("VERP", "", verp),
    ("Catch-all", "", catch_all),
    ("Sub-addressing, separator of one's choice", "RFC 5233", sub_addressing),
    ("Masked addresses", "", masked),
    ("Masquerade", "", masquerade),
    ("Canonical addresses", "", canonical),
    ("SRS", "", srs),
    ("BATV", "", batv),
    ("Smarthost with login", "RFC 4954", smarthost),
    ("Transport table", "", transport),
    ("Sender-dependent relay", "", sender_relay),
    ("Backup MX", "RFC 5321", backup_mx),
    ("TLS policy of a destination", "RFC 3207, 7435", tls_policy),
    ("Source addresses of a sender", "", source_addresses),
    ("Hold by rule and by hand, release, remove, bounce", "", hold_release),
    ("Re-route", "", reroute),
    ("Suspend and resume a destination", "", suspend),
    ("Limits of a destination", "", destination_limits),
    ("Fair to sources, priority lanes", "", fair_to_sources),
    ("Back-off of a whole destination, grouped by MX", "", back_off),
    ("Suppression list", "", suppression),
    ("Bounce classification", "RFC 3463", classification),
    ("Queue list by destination, reason, class, source, sender", "", queue_list),
]


def test_stop():
    for s in S, SECOND:
        if os.environ.get("SHOW_LOG"):
            print(s.log())
        s.__exit__(None)
    world.end_children()


if "--list" in sys.argv:
    for what, rfc, fn in FEATURES:
        print(f"| {what} | {rfc} | `{fn.__name__}` |")
    sys.exit(0)
wanted = [w if w.startswith("test_") else "test_" + w for w in sys.argv[1:]]
if wanted:
    sys.argv[1:] = ["test_start"] + wanted + ["test_stop"]
tests = {"test_start": test_start} | {"test_" + fn.__name__: fn for _, _, fn in FEATURES} | {"test_stop": test_stop}
world.main(tests)
