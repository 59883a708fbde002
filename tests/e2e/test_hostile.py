#!/usr/bin/python3
"""Strangers who mean no good: smuggled messages, relaying in disguise, floods of what costs them nothing."""
import os, socket, struct, time
from harness import *

STRANGERS = 'relay_networks = {"192.0.2.0/24"}'


def stranger_server(**kw):
    """A server to which 127.0.0.1 is anybody."""
    s = Server(**kw)
    s.conf.write_text(re.sub(r"relay_networks = .*", STRANGERS, s.conf.read_text()))
    return s


class Client:
    def __init__(self, s, hello=True, port=None):
        self.sock = socket.create_connection((HOST, port or s.smtp), 20)
        self.file = self.sock.makefile("rb")
        self.reply()
        if hello:
            self.say(b"EHLO stranger.test\r\n")

    def reply(self):
        while True:
            line = self.file.readline()
            if line[3:4] != b"-":
                return line

    def say(self, data):
        self.sock.sendall(data)
        return self.reply()

    def rest(self):
        """All that is still said, to the end of the connection."""
        try:
            return self.file.read()
        except ConnectionError:
            return b""

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        self.close()


ENVELOPE = [b"MAIL FROM:<a@far.test>\r\n", b"RCPT TO:<ben@example.test>\r\n"]
SMUGGLED = (b"MAIL FROM:<evil@far.test>\r\nRCPT TO:<anna@example.test>\r\nDATA\r\n"
            b"Subject: smuggled\r\n\r\nsmuggled\r\n.\r\n")

# What somebody takes for the end of the content. None of it is, but for the last.
ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\n", b"\r.\r\n", b"\n.\r", b"\r\n.\r", b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\n\n.\n", b"\r\n. \r\n", b"\r\n..\r\n", b"\r\n.\r\0\n",
        b"\r\n\x0b.\r\n", b"\r\n.\x0c\r\n", b"\r\n\xc2\x85.\xc2\x85\r\n", b"\xe2\x80\xa8.\xe2\x80\xa8", b"\n\r.\n\r",
        b"\r\n\r.\r\n", b".\n", b".\r", b"\r\r\n.\r\n"]


def test_smuggling():
    with stranger_server() as s:
        for i, end in enumerate(ENDS):
            content = b"Subject: %d\r\n\r\nfirst" % i + end + SMUGGLED
            with Client(s) as c:
                for line in ENVELOPE:
                    assert c.say(line).startswith(b"250"), line
                assert c.say(b"DATA\r\n").startswith(b"354")
                c.sock.sendall(content + b"\r\n.\r\nQUIT\r\n")
                c.sock.shutdown(socket.SHUT_WR)
                codes = [r[:3] for r in c.rest().splitlines()]      # what is content gets no answer
                assert b"354" not in codes and (codes.count(b"250") <= 1 or end == ENDS[-1]), (end, codes)
            for cut in (0, len(content) - len(SMUGGLED) - len(end) // 2 - 1):
                with Client(s) as c:
                    c.sock.sendall(b"".join(ENVELOPE))
                    first = b"BDAT %d\r\n" % cut + content[:cut] if cut else b""
                    c.sock.sendall(first + b"BDAT %d LAST\r\n" % (len(content) - cut) + content[cut:] + b"QUIT\r\n")
                    c.rest()
        with smtp(s) as c:
            c.sendmail("x@far.test", ["ben@example.test"], message("the last one"))
        wait_for(lambda: any(b"the last one" in m for m in s.pop3_messages("ben")))
        assert s.pop3_messages("anna") == []
        for m in s.pop3_messages("ben"):      # whole, to the end: what is in it began no message and ended none
            header, body = m.split(b"\r\n\r\n", 1)
            if b"the last one" not in header:
                assert re.search(rb"^Subject: [0-9]+\r?$", header, re.M), m
                assert body.startswith(b"first") and b"\r\nSubject: smuggled\r\n\r\nsmuggled" in body, m


def test_no_relay():
    forms = ["u%far.test@{us}", "u@far.test@{us}", '"u@far.test"@{us}', '"u%far.test"@{us}', "@{us}:u@far.test",
             "@{us},@x.test:u@far.test", "far.test!u@{us}", "{us}!far.test!u", "u@[127.0.0.1]", "u@[IPv6:::1]",
             '"u@far.test"', '"u%far.test"@[127.0.0.1]', "u@far.test%{us}", "u@far.test.", "u@.far.test",
             "u@{us}.far.test", "u@far.test({us})", "u@far.test\0@{us}", "u\uff20far.test@{us}", "u@xn--exmple-cua.test",
             "postmaster@[127.0.0.2]", "postmaster@far.test", "anna@{us}@far.test", "anna@{us}> <u@far.test"]
    first = ["XCLIENT ADDR=192.0.2.1", "PROXY TCP4 192.0.2.1 192.0.2.2 1 25", "XFORWARD ADDR=192.0.2.1", "RSET",
             "EHLO [192.0.2.1]", "AUTH PLAIN AGFubmEAc2VjcmV0"]
    with stranger_server() as s:
        def refused(c, sender, to, extra=""):
            c.say(f"MAIL FROM:<{sender}>{extra}\r\n".encode())
            reply = c.say(b"RCPT TO:<" + to.format(us=DOMAIN).encode() + b">\r\n")
            assert reply[:1] == b"5", (sender, to, reply)      # an answer, and a lasting one: a cut connection would be tried again

        for form in forms:
            for sender in ("", f"anna@{DOMAIN}", "a@far.test", f"postmaster@{DOMAIN}"):
                with Client(s) as c:
                    refused(c, sender, form, " SMTPUTF8")
        for words in first:
            with Client(s) as c:
                c.say(words.encode() + b"\r\n")
                refused(c, "a@far.test", "u@far.test")
        assert "nothing waits" in s.cli("queue", "list", check=0).stdout


def test_injected_behind_starttls():
    """RFC 3207 6, CVE-2011-0411: whoever sits between a client and us can put commands behind its STARTTLS, which must never be
    taken for what the client says under TLS. So nothing may be there when the handshake begins: else the session ends, and no word
    of it is answered or obeyed. Behind a 220 that is out already there is nothing to be said (the client expects a handshake); where
    220 was not said yet, 554 takes its place, once."""
    hello = bytes.fromhex("16030100050100000100")       # even of TLS: a client has to wait for 220 (RFC 3207 4)
    injected = [b"RSET\r\n", b"NO", b"\r\n", b"QUIT\r\n", b"EHLO evil.test\r\n" + SMUGGLED, b"AUTH PLAIN AGFubmEAc2VjcmV0\r\n",
                b"STARTTLS\r\n", b"\0" * 4000, hello]
    with stranger_server() as s:
        for port in s.smtp, s.submission:
            for words in injected:
                with Client(s, port=port) as c:         # in one piece with it
                    c.sock.sendall(b"STARTTLS\r\n" + words)
                    said = c.rest()
                    assert said.startswith(b"554 5.5.0 ") and said.count(b"\n") == 1, (words, said)
                if words == hello:
                    continue
                with Client(s, port=port) as c:         # when 220 is out
                    assert c.say(b"STARTTLS\r\n").startswith(b"220 ")
                    c.sock.sendall(words)
                    c.sock.shutdown(socket.SHUT_WR)
                    said = c.rest()
                    assert b"\n" not in said and not re.search(rb"[2-5]\d\d[ -]", said), (words, said)      # at most TLS's own alert
            with Client(s, port=port) as c:             # and who waits is served
                assert c.say(b"STARTTLS\r\n").startswith(b"220 ")
                c.sock.sendall(hello)
                assert c.file.read(1) in (b"\x15", b"")  # by TLS, which finds nothing in this hello
        with smtp(s) as c:
            c.sendmail("x@far.test", ["ben@example.test"], message("the only one"))
        wait_for(lambda: len(s.pop3_messages("ben")) == 1)
        assert s.pop3_messages("anna") == [] and "nothing waits" in s.cli("queue", "list", check=0).stdout
        assert " accept " in s.log() and s.log().count(" accept ") == 1, s.log()


def test_abandoned_content_takes_no_room():
    """Large messages begun and given up, one after the other: the queue's file stays small."""
    with stranger_server() as s:
        for i in range(200):
            with Client(s) as c:
                for line in ENVELOPE:
                    c.say(line)
                c.say(b"DATA\r\n")
                c.sock.sendall((b"x" * 998 + b"\r\n") * 3000)
                if i % 2:
                    c.close(reset=True)
                else:
                    c.sock.sendall(b"bare\n\r\n.\r\n")     # to be sure that all of it was read
                    assert c.reply().startswith(b"554")
        size = os.stat(s.data / "queue.mdb").st_blocks * 512
        assert size < 256 << 20, size                               # 600 MB were sent


def test_content_past_the_limit_ends():
    """More than twice what is taken and 1 MiB is not read: the sender is told, and cut off. A chunk that says so
    of itself is not even begun. Nobody else notices."""
    limit = 1 << 20
    most = 2 * limit + (1 << 20)

    def said(c):
        """What waits to be read, also when the connection was reset meanwhile."""
        got = b""
        try:
            while part := c.sock.recv(4096):
                got += part
        except ConnectionError:
            pass
        return got

    with stranger_server(settings=f"message_size_max = {limit}") as s:
        for binary in False, True:
            with Client(s) as c:
                for line in ENVELOPE:
                    assert c.say(line).startswith(b"250"), line
                if binary:
                    c.sock.sendall(b"BDAT %d LAST\r\n" % (most + 1))
                else:
                    assert c.say(b"DATA\r\n").startswith(b"354")
                sent = 0
                try:
                    while sent < 64 << 20:
                        c.sock.sendall((b"x" * 998 + b"\r\n") * 64)
                        sent += 64000
                except ConnectionError:
                    pass
                assert sent < 64 << 20, "it is read without end"
                words = said(c)
                assert words.startswith(b"552 5.3.4 ") and b"\r\n421 4.7.0 " in words, words
        with Client(s) as c:                # and without any transaction
            c.sock.sendall(b"BDAT %d\r\n" % (most + 1))
            words = said(c)
            assert words.startswith(b"503 5.5.1 ") and b"\r\n421 4.7.0 " in words, words
        with Client(s) as c:                # who is over the limit in order is told, and goes on
            for line in ENVELOPE:
                assert c.say(line).startswith(b"250"), line
            c.sock.sendall(b"BDAT %d LAST\r\n" % most + (b"x" * 998 + b"\r\n") * (most // 1000) + b"x" * (most % 1000))
            assert c.reply().startswith(b"552 5.3.4 ")
            assert c.say(b"NOOP\r\n").startswith(b"250")
        with smtp(s) as c:
            c.sendmail("x@far.test", ["ben@example.test"], message("after it"))
        wait_for(lambda: any(b"after it" in m for m in s.pop3_messages("ben")))


def test_too_many_in_a_minute():
    """The next after so many from one address is told to come later, however short the others stayed; who may relay is not counted."""
    limit = 20
    with stranger_server(settings=f"connections_per_minute = {limit}") as s:
        def greeting():
            with socket.create_connection((HOST, s.smtp), 20) as c:
                return c.makefile("rb").readline()
        assert [greeting()[:4] for _ in range(limit)] == [b"220 "] * limit
        assert [greeting() for _ in range(5)] == [b"421 4.3.2 too many connections\r\n"] * 5
    with Server(settings=f"connections_per_minute = {limit}") as s:
        assert [greeting()[:4] for _ in range(3 * limit)] == [b"220 "] * 3 * limit


COME_AND_GO, REFUSED = 3000, 300


def test_floods_end_and_fill_no_log():
    """What one address can have written into the log. The limits on its connections are just so high that all of these are let in:
    else the flood would end at the door, and this would measure nothing."""
    all_of_them = COME_AND_GO + REFUSED + 3
    with stranger_server(settings=f"connections_per_address = {all_of_them}\nconnections_per_network = {all_of_them}\n"
                                  f"connections_per_minute = {all_of_them}") as s:
        def grown(before=[0]):
            now = s.logfile.stat().st_size
            by, before[0] = now - before[0], now
            return by

        grown()
        for i in range(COME_AND_GO):
            socket.create_connection((HOST, s.smtp), 20).close()
        for i in range(REFUSED):                                    # again and again
            with Client(s) as c:
                c.sock.sendall(b"MAIL FROM:<a@far.test>\r\n" + b"RCPT TO:<nobody@example.test>\r\n" * 14 + b"QUIT\r\n")
                c.close(reset=i % 2 == 0)
        with Client(s) as c:
            c.sock.sendall(b"MAIL FROM:<x>\r\n" * 100)
            said = c.rest()
            assert said.count(b"501 ") == 15 and b"421 4.7.0" in said, said
        with Client(s) as c:                                        # content for nobody
            c.sock.sendall(b"MAIL FROM:<a@far.test>\r\nRCPT TO:<nobody@example.test>\r\n" + b"BDAT 0\r\n" * 100)
            said = c.rest()
            assert b"421 4.7.0" in said and said.count(b"\n") < 90, said
        assert grown() < 200_000
        with smtp(s) as c:
            c.sendmail("x@far.test", ["ben@example.test"], message("still here"))
        assert " accept " in s.log()                                # what counts is always told


main(globals())
