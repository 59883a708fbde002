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
    def __init__(self, s, hello=True):
        self.sock = socket.create_connection((HOST, s.smtp), 20)
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
                c.rest()
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
        for m in s.pop3_messages("ben"):
            assert b"\r\n\r\nsmuggled" not in m.split(b"\r\n\r\n", 1)[0], m


def test_no_relay():
    forms = ["u%far.test@{us}", "u@far.test@{us}", '"u@far.test"@{us}', '"u%far.test"@{us}', "@{us}:u@far.test",
             "@{us},@x.test:u@far.test", "far.test!u@{us}", "{us}!far.test!u", "u@[127.0.0.1]", "u@[IPv6:::1]",
             '"u@far.test"', '"u%far.test"@[127.0.0.1]', "u@far.test%{us}", "u@far.test.", "u@.far.test",
             "u@{us}.far.test", "u@far.test({us})", "u@far.test\0@{us}", "u\uff20far.test@{us}", "u@xn--exmple-cua.test",
             "postmaster@[127.0.0.2]", "postmaster@far.test", "anna@{us}@far.test", "anna@{us}> <u@far.test"]
    first = ["XCLIENT ADDR=192.0.2.1", "PROXY TCP4 192.0.2.1 192.0.2.2 1 25", "XFORWARD ADDR=192.0.2.1", "RSET",
             "EHLO [192.0.2.1]", "STARTTLS", "AUTH PLAIN AGFubmEAc2VjcmV0"]
    with stranger_server() as s:
        def refused(c, sender, to, extra="", gone=False):
            c.say(f"MAIL FROM:<{sender}>{extra}\r\n".encode())
            reply = c.say(b"RCPT TO:<" + to.format(us=DOMAIN).encode() + b">\r\n")
            assert reply[:1] == b"5" or (gone and reply == b""), (sender, to, reply)

        for form in forms:
            for sender in ("", f"anna@{DOMAIN}", "a@far.test", f"postmaster@{DOMAIN}"):
                with Client(s) as c:
                    refused(c, sender, form, " SMTPUTF8")
        for words in first:
            with Client(s) as c:
                c.say(words.encode() + b"\r\n")
                refused(c, "a@far.test", "u@far.test", gone=words == "STARTTLS")  # in the clear behind it: cut off
        assert "nothing waits" in s.cli("queue", "list", check=0).stdout


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


def test_floods_end_and_fill_no_log():
    with stranger_server(settings="connections_per_address = 10000\nconnections_per_minute = 1000000") as s:
        def grown(before=[0]):
            now = s.logfile.stat().st_size
            by, before[0] = now - before[0], now
            return by

        grown()
        for i in range(3000):                                       # comes and goes
            socket.create_connection((HOST, s.smtp), 20).close()
        for i in range(300):                                        # is refused, again and again
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
