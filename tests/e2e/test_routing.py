#!/usr/bin/python3
"""Lists, masked addresses, accounts that forward, SRS and BATV, with the command and the roles as processes of their own: each has
only the rights it has."""
import contextlib, socketserver, ssl, threading
from harness import *

FAR = "far.test"
taken = []      # (sender, [recipients], content)


class Sink(socketserver.StreamRequestHandler):
    """Somebody else's server; takes all."""

    def handle(self):
        def say(text):
            self.wfile.write(text.encode() + b"\r\n")
        sender, to = None, []
        say("220 sink ESMTP")
        for line in self.rfile:
            word = line.decode().strip()
            verb = word.upper()
            if verb.startswith("EHLO"):
                say("250-sink\r\n250-PIPELINING\r\n250 8BITMIME")
            elif verb.startswith("MAIL"):
                sender, to = re.search("<(.*)>", word).group(1), []
                say("250 ok")
            elif verb.startswith("RCPT"):
                to.append(re.search("<(.*)>", word).group(1))
                say("250 ok")
            elif verb == "DATA":
                say("354 go on")
                content = b"".join(iter(self.rfile.readline, b".\r\n"))
                taken.append((sender, to, content))
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")


class Threads(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True


sink = Threads((HOST, 0), Sink)
threading.Thread(target=sink.serve_forever, daemon=True).start()


@contextlib.contextmanager
def server(settings=""):
    port = sink.server_address[1]
    with Server(f"smtp_client_port = {port}\n{settings}") as s:    # the sandbox allows no others
        s.cli("table", "set", "transport", FAR, "smtp", f"{HOST}:{port}", check=0)
        yield s


def sent(subject):
    """What the sink took of that subject: sender by recipient."""
    return {r: f for f, to, content in list(taken) if f"Subject: {subject}\r\n".encode() in content for r in to}


def here(s, name, subject):
    return [m for m in s.pop3_messages(name) if f"Subject: {subject}\r\n".encode() in m]


def submit(s, name, sender, to, subject):
    import smtplib
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP_SSL(HOST, s.submissions, local_hostname="client.test", timeout=30, context=c) as box:
        box.login(f"{name}@{DOMAIN}", s.passwords[name])
        box.sendmail(sender, to, message(subject, sender=sender, to=to[0]))


def test_large_list():
    with server() as s:
        club, n = f"club@{DOMAIN}", 10000
        s.cli("list", "create", club, "--owner", f"anna@{DOMAIN}", check=0)
        members = "# members\n" + "".join(f"Member {i} <m{i}@{FAR}>\n" for i in range(n)) + f"ben@{DOMAIN}\n\n"
        assert s.json("list", "add", club, f"m1@{FAR}", f"m2@{FAR}") == {"added": 2}
        p = s.cli("list", "import", club, stdin=members, check=0)
        assert p.stdout == f"{n - 1} added\n", p.stdout
        assert len(s.json("list", "members", club)) == n + 1
        assert [r["address"] for r in s.json("list")] == [club]
        with smtp(s) as c:
            c.sendmail("eve@else.test", [club], message("to the club"))
        wait_for(lambda: len(sent("to the club")) == n, 60)
        wait_for(lambda: here(s, "ben", "to the club"))
        wait_for(lambda: not s.json("queue", "list"))
        assert sum(len(to) for _, to, content in taken if b"to the club" in content) == n     # each once
        assert set(sent("to the club").values()) == {f"anna@{DOMAIN}"}
        assert here(s, "ben", "to the club")[0].startswith(f"Return-Path: <anna@{DOMAIN}>".encode())
        s.cli("list", "remove", club, f"m1@{FAR}", f"m2@{FAR}", check=0)
        assert len(s.json("list", "members", club)) == n - 1
        s.cli("list", "delete", club, check=0)
        s.cli("list", "members", club, check=3)
        assert s.json("list") == []


def test_verp_and_batv():
    with server("batv = yes") as s:
        s.cli("list", "create", f"news@{DOMAIN}", "--verp", f"--owner=ben@{DOMAIN}", check=0)
        s.cli("list", "add", f"news@{DOMAIN}", f"x@{FAR}", f"y@{FAR}", check=0)
        submit(s, "anna", f"anna@{DOMAIN}", [f"news@{DOMAIN}", f"z@{FAR}"], "news")
        wait_for(lambda: len(sent("news")) == 3)
        senders = sent("news")
        assert re.fullmatch(rf"prvs=0\d{{3}}\w{{6}}=ben\+x={FAR}@{DOMAIN}", senders[f"x@{FAR}"]), senders
        assert re.fullmatch(rf"prvs=0\d{{3}}\w{{6}}=anna@{DOMAIN}", senders[f"z@{FAR}"]), senders
        with smtp(s) as c:      # bounces of both
            c.sendmail("", [senders[f"y@{FAR}"]], message("y is gone"))
            c.sendmail("", [senders[f"z@{FAR}"]], message("z is gone"))
        wait_for(lambda: here(s, "ben", "y is gone") and here(s, "anna", "z is gone"))


def test_forward_and_srs():
    with server() as s:
        anna = f"anna@{DOMAIN}"
        s.cli("alias", "set", anna, anna, f"anna@{FAR}", check=0)
        assert s.json("alias", "list") == [{"address": anna, "targets": [anna, f"anna@{FAR}"]}]
        with smtp(s) as c:
            c.sendmail(f"eve@{FAR}", [anna], message("a copy"))
        wait_for(lambda: here(s, "anna", "a copy") and sent("a copy"))
        sender = sent("a copy")[f"anna@{FAR}"]
        assert re.fullmatch(rf"SRS0=\w{{6}}=\w\w={FAR}=eve@{DOMAIN}", sender), sender
        with smtp(s) as c:
            c.sendmail("", [sender], message("back"))
            wait_for(lambda: sent("back"))
            assert sent("back") == {f"eve@{FAR}": ""}
            c.ehlo()
            c.mail("")
            code, text = c.rcpt(sender.replace("eve", "mallory"))
            assert code == 550 and b"5.7.1" in text, text
        # the key is made once: what was sent before a restart still comes back
        s.stop()
        s.start()
        with smtp(s) as c:
            c.sendmail("", [sender], message("later"))
        wait_for(lambda: sent("later"))
        s.cli("alias", "remove", anna, check=0)
        assert s.json("alias", "list") == []


def test_masks():
    with server() as s:
        mask = s.cli("mask", "add", f"anna@{DOMAIN}", "a", "shop", check=0).stdout.strip()
        assert re.fullmatch(rf"[a-z]+\.[a-z]+[2-9][2-9]@{DOMAIN}", mask), mask
        listed = s.json("mask", "list", f"anna@{DOMAIN}")
        assert [(m["address"], m["note"]) for m in listed] == [(mask, "a shop")]
        assert s.json("mask", "list", f"ben@{DOMAIN}") == []
        with smtp(s) as c:
            c.sendmail("shop@else.test", [mask], message("offer"))
        wait_for(lambda: here(s, "anna", "offer"))
        submit(s, "anna", mask, [f"shop@{FAR}"], "as the mask")
        wait_for(lambda: sent("as the mask") == {f"shop@{FAR}": mask})
        try:
            submit(s, "ben", mask, [f"shop@{FAR}"], "as another's")
            assert False, "ben may not"
        except Exception as e:
            assert "553" in str(e), e
        s.cli("mask", "remove", mask, check=0)
        with smtp(s) as c:
            c.ehlo()
            c.mail("shop@else.test")
            assert c.rcpt(mask)[0] == 550
        s.cli("mask", "remove", mask, check=3)
        s.cli("mask", "list", f"nobody@{DOMAIN}", check=3)


def test_relay_ports():
    """A port of a route in a table is one that the sandbox knows, or it is said at once what to do."""
    port, closed = sink.server_address[1], 2600
    with Server(f"relay_ports = {{{port}}}") as s:
        set_route = lambda table, key, to: s.cli("table", "set", table, key, *to.split())
        assert set_route("transport", FAR, f"smtp {HOST}:{port}").returncode == 0
        for p in (set_route("transport", "x.test", f"smtp {HOST}:{closed}"), set_route("relay", "x.test", f"lmtp {HOST}:{closed} tls=none"),
                  s.cli("queue", "route", "--all", f"smtp {HOST}:{closed}")):
            assert p.returncode == 1 and f"put relay_ports = {{{port}, {closed}}} into {s.conf}" in p.stderr, p
        assert set_route("transport", "y.test", "error 5.1.1 no").returncode == 0
        assert set_route("transport", "z.test", f"smtp {HOST}:587").returncode == 0
        with smtp(s) as c:
            c.sendmail(f"eve@else.test", [f"a@{FAR}"], message("by its port"))
        wait_for(lambda: sent("by its port"))
        assert s.json("check", "config")["closed_ports"] == []
        # the setting goes, the row stays
        s.stop()
        s.conf.write_text(s.conf.read_text().replace(f"relay_ports = {{{port}}}", ""))
        found = s.json("check", "config")
        assert found["doubts"] and found["closed_ports"] == [{"table": "transport", "key": FAR, "port": port}], found
        assert f"table transport {FAR}: the server may not connect to port {port}: put relay_ports = {{{port}}}" in s.cli("check", "config").stdout
        s.start()
        with smtp(s) as c:
            c.sendmail(f"eve@else.test", [f"b@{FAR}"], message("by no port"))
        waits = wait_for(lambda: [m["reason"] for m in s.json("queue", "list", "--messages") if m["attempts"]])
        assert f"port {port} is none that mail may be sent to: see relay_ports" in waits[0], waits


if __name__ == "__main__":
    main(globals())
