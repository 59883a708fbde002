#!/usr/bin/python3
"""`postrider send` as a tool: TLS, login, attachments, what is shown and what is not, explanations, exit codes, JSON."""
import email, email.policy, threading
from harness import *

ANNA, BEN = f"anna@{DOMAIN}", f"ben@{DOMAIN}"
S = Server()


def send(*args, stdin="", check=0, to=(BEN,), **kw):
    words = [w for t in to for w in ("--to", t)]
    return S.cli("send", *words, *args, stdin=stdin, check=check, **kw)


def arrived(subject, name="ben"):
    def find():
        for m in S.pop3_messages(name):
            parsed = email.message_from_bytes(m, policy=email.policy.default)
            if parsed["Subject"] == subject:
                return m, parsed
    return wait_for(find)


def certificate():
    return next(S.data.glob("tls/*/cert.pem"))


def test_start():
    S.start()


def test_plain_and_starttls():
    server = ("--server", f"{HOST}:{S.smtp}", "--from", ANNA)
    p = send(*server, "-v", "--subject", "tried", "--body", "x")
    assert "C: STARTTLS" in p.stdout and "*: TLSv1.3" in p.stdout and "not verified" in p.stdout, p.stdout
    assert p.stdout.count("C: EHLO") == 2 and f"C: MAIL FROM:<{ANNA}>" in p.stdout
    assert "with ESMTPS" in arrived("tried")[1]["Received"]
    p = send(*server, "-v", "--tls", "none", "--subject", "plain", "--body", "x")
    assert "STARTTLS\n" not in p.stdout.replace("S: 250-STARTTLS\n", "").replace("S: 250 STARTTLS\n", ""), p.stdout
    send(*server, "--tls", "starttls", "--body", "x", "--subject", "must")
    # without --server: the socket of this machine, where anybody may send as anybody
    p = send("-v", "--from", "x@elsewhere.test", "--subject", "socket", "--body", "x")
    assert "STARTTLS" not in p.stdout
    arrived("socket")


def test_verify():
    server = ("--server", f"{HOST}:{S.smtp}", "--from", ANNA, "--body", "x")
    p = send(*server, "--tls", "verify", check=1)
    assert "certificate" in p.stderr and "hint: " in p.stderr and "--no-verify" in p.stderr, p.stderr
    p = send(*server, "--tls", "starttls", "--ca-file", certificate(), check=1)
    assert "certificate is for" in p.stderr, p.stderr
    p = send(*server, "-v", "--tls", "starttls", "--ca-file", certificate(), "--tls-name", S.conf_hostname)
    assert "certificate verified" in p.stdout, p.stdout
    p = send(*server, "--ca-file", "/nonexistent/ca", check=1)
    assert "/nonexistent/ca" in p.stderr, p.stderr


def test_login():
    secret = S.passwords["anna"]
    for port, tls in (S.submission, "starttls"), (S.submissions, "implicit"):
        for mech in None, "PLAIN", "login", "SCRAM-SHA-256", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS":
            subject = f"login {tls} {mech}"
            p = send("--server", f"{HOST}:{port}", "--tls", tls, "-v", "--auth", ANNA, "--password-stdin", "--subject", subject,
                     *(["--auth-mech", mech] if mech else []), stdin=f"{secret}\nthe text\n")
            shown = re.search(r"^C: AUTH (\S+)(.*)$", p.stdout, re.M)
            assert shown and shown[1] == (mech or "SCRAM-SHA-256-PLUS").upper(), p.stdout
            assert shown[2] in ("", " (not shown)"), shown
            answers = re.findall(r"^S: 334.*\nC: (.*)$", p.stdout, re.M)
            assert all(a == "(not shown)" for a in answers) and (answers or mech == "PLAIN"), p.stdout
            raw, m = arrived(subject)
            assert raw.endswith(b"\r\n\r\nthe text\r\n") and m["From"].addresses[0].addr_spec == ANNA
            assert secret not in p.stdout + p.stderr
    # by themselves: the submission port of the configuration
    send("--auth", ANNA, "--password-stdin", "--subject", "own 587", "--body", "x", stdin=secret + "\n")
    send("--tls", "implicit", "--auth", ANNA, "--password-stdin", "--subject", "own 465", "--body", "x", stdin=secret + "\n")
    assert "ESMTPSA" in arrived("own 465")[1].get_all("Received")[-1]
    arrived("own 587")


def test_login_refused():
    p = send("--server", f"{HOST}:{S.submission}", "--auth", ANNA, "--password-stdin", "--body", "x", "-v", stdin="incorrect\n", check=1)
    assert "535" in p.stderr and "hint: the name" in p.stderr and "incorrect" not in p.stderr + p.stdout, p
    p = send("--server", f"{HOST}:{S.submission}", "--from", ANNA, "--body", "x", check=1)
    assert "530" in p.stderr and "--auth USER" in p.stderr, p.stderr
    p = send("--server", f"{HOST}:{S.smtp}", "--auth", ANNA, "--password-stdin", "--body", "x", stdin="x\n", check=1)
    assert "no login on this port" in p.stderr, p.stderr
    p = send("--auth", ANNA, "--password-stdin", "--from", BEN, "--body", "x", stdin=S.passwords["anna"] + "\n", check=1)
    assert "553" in p.stderr and "--from must be an address of who is logged in" in p.stderr, p.stderr
    p = send("--auth", ANNA, "--password-stdin", "--body", "x", check=1)
    assert "no password" in p.stderr, p.stderr


def test_attachments():
    folder = S.dir / "files"
    folder.mkdir()
    names = {"plain.pdf": b"%PDF\0\xff" * 100, "mit Leer \"zeichen\".txt": b"text\n", "grün.png": b"\x89PNG",
             "ein sehr langer Dateiname mit Ümläuten, der in kein Feld passt und darum zerlegt wird " * 2 + ".odt": b"",
             "no extension": bytes(range(256))}
    for name, content in names.items():
        (folder / name).write_bytes(content)
    words = [w for name in names for w in ("--attach", folder / name)]
    send("--from", "Änna Ö <" + ANNA + ">", "--cc", ANNA, "--subject", "Größe: " + "ä" * 60, "--header", "X-Test: grün", "--header",
         "Reply-To: " + BEN, *words, stdin="Grüße\n.\n" + "x" * 2000 + "\nEnde")
    raw, m = arrived("Größe: " + "ä" * 60)
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert raw.isascii() and m["From"].addresses[0].display_name == "Änna Ö" and m["X-Test"] == "grün" and m["Reply-To"] == BEN
    assert m["Cc"].addresses[0].addr_spec == ANNA
    text = m.get_body().get_content().replace("\r\n", "\n")
    assert text == "Grüße\n.\n" + "x" * 2000 + "\nEnde\n", text.replace("x" * 2000, "X")
    got = {p.get_filename(): p.get_payload(decode=True) for p in m.iter_attachments()}
    assert got == names, (got.keys(), names.keys())
    assert [p.get_content_type() for p in m.iter_attachments()] == [
        "application/pdf", "text/plain", "image/png", "application/vnd.oasis.opendocument.text", "application/octet-stream"]
    arrived("Größe: " + "ä" * 60, "anna")
    p = send("--attach", folder, "--body", "x", check=1)
    assert "it is a folder" in p.stderr
    p = send("--attach", folder / "missing", "--body", "x", check=1)
    assert "missing" in p.stderr


def test_bcc_size_dsn():
    p = send("-v", "--from", ANNA, "--bcc", ANNA, "--subject", "made up", "--size", "100000", "--dsn", "success,failure", "--dsn-return", "hdrs",
             "--envid", "id+1", to=(BEN,))
    assert "NOTIFY=SUCCESS,FAILURE" in p.stdout and "RET=HDRS" in p.stdout and "ENVID=id+2B1" in p.stdout, p.stdout
    raw, m = arrived("made up")
    assert len(raw.split(b"\r\n\r\n", 1)[1]) == 100000 and b"Bcc" not in raw
    arrived("made up", "anna")


def test_own_header_stays():
    send("--from", ANNA, stdin="Subject: own\nFrom: Other <other@x.test>\nX-Y: z\n\nbody\n")
    raw, m = arrived("own")
    assert m["From"] == "Other <other@x.test>" and m["X-Y"] == "z" and m["To"].addresses[0].addr_spec == BEN


def test_lmtp():
    p = send("--lmtp", "--server", f"{HOST}:{S.lmtp}", "--helo", "me.test", "-v", "--from", ANNA, "--subject", "by lmtp", "--body", "x",
             "--tls", "none", to=(BEN, f"nobody@{DOMAIN}", ANNA), check=1)
    assert "C: LHLO me.test" in p.stdout and "taken for 2 of 3" in p.stdout and "nobody@" in p.stderr, (p.stdout, p.stderr)
    arrived("by lmtp")


def test_whose_mail_it_is():
    """Without --from: of the first domain of ours, if it can be known; else it is asked for."""
    to = "--server", f"{HOST}:{S.smtp}", "--to", BEN, "--subject", "unnamed", "--body", "x"
    p = S.cli("send", "-v", *to, check=0)
    assert f"MAIL FROM:<postmaster@{DOMAIN}>" in p.stdout, p.stdout
    conf = S.dir / "nothing.conf"
    conf.write_text(f'hostname = "laptop.example"\ndata_dir = "{S.dir}/nothing"\n')
    p = run(BINARY, "--config", conf, "send", "-v", *to)
    assert p.returncode == 2 and "--from" in p.stderr and "MAIL" not in p.stdout, (p.returncode, p.stdout, p.stderr)


def test_outcomes():
    server = ("--server", f"{HOST}:{S.smtp}", "--from", ANNA, "--body", "x", "--tls", "none")
    p = send(*server, to=(BEN, f"nobody@{DOMAIN}"), check=1)
    assert "taken for 1 of 2" in p.stdout and "550 5.1.1" in p.stderr and "There is no such address" in p.stderr, p
    p = send(*server, "-v", to=(BEN, f"nobody@{DOMAIN}"), check=1)
    doc = json.loads(S.cli("--json", "send", "-v", *server, "--to", BEN, "--to", f"nobody@{DOMAIN}", check=1).stdout)
    assert [r["result"] for r in doc["recipients"]] == ["ok", "permanent"], doc
    assert doc["recipients"][1]["code"] == 550 and "no such address" in doc["recipients"][1]["meaning"], doc
    assert doc["server"] == f"{HOST}:{S.smtp}" and "tls" not in doc
    p = send("--server", f"{HOST}:{free_ports(1)[0]}", "--body", "x", check=75)
    assert "cannot connect" in p.stderr and "nothing listens there" in p.stderr, p.stderr
    p = send("--server", "no-such-host.invalid", "--body", "x", check=None)
    assert p.returncode in (1, 75) and "cannot find the server" in p.stderr, p
    doc = json.loads(S.cli("--json", "send", "--to", BEN, "--server", f"{HOST}:{free_ports(1)[0]}", "--body", "x", check=75).stdout)
    assert "hint" in doc, doc
    # the wrong kind of port
    p = send("--server", f"{HOST}:{S.smtp}", "--tls", "implicit", "--body", "x", check=75)
    assert "not TLS" in p.stderr and "--tls starttls" in p.stderr, p.stderr


def test_usage():
    for args, what in ((["--subjct", "x"], "did you mean --subject"), (["--tls", "maybe"], "try, none, starttls"), (["--auth-mech", "PLAIN"], "--auth USER"),
                       (["--to", "no address"], "--to wants"), (["--header", "no header"], "Name: value"), (["--header", "A: b\nC: d"], "Name: value"),
                       (["--verify", "--no-verify"], "not both"), (["--server", "host:99999"], "--server wants"), (["--dsn", "never,success"], "never"),
                       (["--body"], "--body wants"), (["--size", "0"], "--size wants")):
        p = send("--body", "x", *args, check=2)
        assert what in p.stderr, (args, p.stderr)
    assert "nobody to send to" in S.cli("send", "--body", "x", check=2).stderr


class Rude(threading.Thread):
    """A server with one answer for everything."""

    def __init__(self, greeting, replies=()):
        super().__init__(daemon=True)
        self.socket = socket.create_server((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.greeting, self.replies = greeting, dict(replies)
        self.start()

    def run(self):
        while True:
            c, _ = self.socket.accept()
            with c, c.makefile("rwb") as f:
                f.write(self.greeting.encode() + b"\r\n")
                f.flush()
                while line := f.readline().decode(errors="replace").strip():
                    answer = next((a for start, a in self.replies.items() if line.startswith(start)), "250 ok")
                    f.write(answer.encode() + b"\r\n")
                    f.flush()


def test_explanations():
    said = {
        "554 5.7.1 blocked, see spamhaus": (None, "talks to nobody from this address", 1),
        "421 4.3.2 too busy": (None, "try again later", 75),
        "550 5.7.1 relaying denied": ("RCPT", "log in with --auth USER", 1),
        "450 4.2.0 greylisted, come back": ("RCPT", "greylisting", 75),
        "550 5.7.26 unauthenticated": ("RCPT", "SPF", 1),
        "552 5.3.4 too big": ("MAIL", "too large", 1),
        "530 5.7.0 Must issue STARTTLS first": ("MAIL", "--tls starttls", 1),
    }
    for reply, (verb, hint, code) in said.items():
        rude = Rude(reply if verb is None else "220 rude.test", {} if verb is None else {verb: reply})
        p = send("--server", f"{HOST}:{rude.port}", "--tls", "none", "--body", "x", check=code)
        assert f"hint: " in p.stderr and hint in p.stderr and reply[:3] in p.stderr, p.stderr
    rude = Rude("220 rude.test", {"RCPT": "550 5.1.1 \x1b[31mred"})
    p = send("--server", f"{HOST}:{rude.port}", "-v", "--tls", "none", "--body", "x", check=1)
    assert "\x1b" not in p.stdout + p.stderr


def test_stop():
    S.__exit__(None)


main(globals())
