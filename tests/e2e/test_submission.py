#!/usr/bin/python3
"""Mail handed in by people's programs: STARTTLS on 587, TLS on 465, every way to log in, as whom one may send, limits, the
local socket; and that nothing is relayed for who has not logged in. With swaks, curl, msmtp, gsasl and Python's smtplib."""
import base64, email, smtplib, ssl
from harness import *

ANNA, BEN = f"anna@{DOMAIN}", f"ben@{DOMAIN}"


def context():
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    return c


def starttls(s):
    c = smtplib.SMTP(s.host, s.submission, local_hostname="client.test", timeout=30)
    c.starttls(context=context())
    return c


def tls(s):
    return smtplib.SMTP_SSL(s.host, s.submissions, local_hostname="client.test", timeout=30, context=context())


def arrived(s, name, text):
    return wait_for(lambda: [m for m in s.pop3_messages(name) if text.encode() in m])[0]


def swaks(s, *args, port=None, check=None):
    return run("swaks", "--server", s.host, "--port", port or s.submission, "--helo", "client.test", "--timeout", "20",
               "--from", ANNA, "--to", BEN, *args, check=check)


def test_swaks():
    with Server() as s:
        password = s.passwords["anna"]
        login = ["--auth-user", ANNA, "--auth-password", password]
        for mech in "PLAIN", "LOGIN":
            p = swaks(s, "-tls", "--auth", mech, *login, "--header", f"Subject: by {mech}", check=0)
            assert "235 2.7.0" in p.stdout and "queued as" in p.stdout, p.stdout
            m = email.message_from_bytes(arrived(s, "ben", f"Subject: by {mech}"))
            received = " ".join(m.get_all("Received")[-1].split())
            assert "with ESMTPSA" in received and re.search(r" tls (TLS_[A-Z0-9_]+)", received), received
        swaks(s, "--tlsc", "--auth", "PLAIN", *login, "--header", "Subject: by 465", port=s.submissions, check=0)
        arrived(s, "ben", "Subject: by 465")
        p = swaks(s, "-tls", "--auth", "PLAIN", "--auth-user", ANNA, "--auth-password", "not-my-word")
        assert p.returncode == 28 and "535 5.7.8" in p.stdout, p.stdout
        q = swaks(s, "-tls", "--auth", "PLAIN", "--auth-user", f"nobody@{DOMAIN}", "--auth-password", "not-my-word")
        words = re.compile(r"<~\* (535 .*)")
        assert words.findall(p.stdout) == words.findall(q.stdout), q.stdout
        # over TLS on port 25 as well, where nobody logs in
        p = swaks(s, "-tls", "--header", "Subject: on 25", port=s.smtp, check=0)
        m = email.message_from_bytes(arrived(s, "ben", "Subject: on 25"))
        assert "with ESMTPS " in " ".join(m.get_all("Received")[-1].split()), m
        p = swaks(s, "-tls", "--auth", "PLAIN", *login, port=s.smtp)
        assert p.returncode != 0 and "235" not in p.stdout and "250 2.1.0" not in p.stdout, p.stdout
        log = s.log()
        assert password not in log and "not-my-word" not in log
        assert re.search(r"\blogin\b.*name=anna@.*sasl=PLAIN", log) and "login-failed" in log, log


def test_python():
    with Server() as s:
        for connect in starttls, tls:
            with connect(s) as c:
                c.login(ANNA, s.passwords["anna"])
                c.sendmail(ANNA, [BEN], message(f"python {connect.__name__}"))
            arrived(s, "ben", f"python {connect.__name__}")
        with starttls(s) as c:
            try:
                c.login(ANNA, "wrong")
                assert False, "logged in with a wrong password"
            except smtplib.SMTPAuthenticationError as e:
                assert e.smtp_code == 535, e
            # and then the right one, in the same session
            c.login(ANNA, s.passwords["anna"])
            assert c.noop()[0] == 250


def test_curl():
    with Server() as s:
        for url in f"smtps://{s.host}:{s.submissions}", f"smtp://{s.host}:{s.submission}":
            run("curl", "-sS", "-k", "--ssl-reqd", "--url", url + "/client.test", "-u", f"{ANNA}:{s.passwords['anna']}",
                "--mail-from", ANNA, "--mail-rcpt", BEN, "-T", "-", stdin=message(f"curl {url[:5]}"), check=0)
            arrived(s, "ben", f"curl {url[:5]}")


def test_msmtp():
    with Server() as s:
        for port, start in (s.submission, "on"), (s.submissions, "off"):
            for mech in "plain", "scram-sha-256", "scram-sha-1", "login":
                p = run("msmtp", "-C", "/dev/null", f"--host={s.host}", f"--port={port}", "--tls=on", f"--tls-starttls={start}",
                        "--tls-certcheck=off", f"--auth={mech}", f"--user={ANNA}", "--passwordeval=cat " + str(secret(s)),
                        f"--from={ANNA}", "--domain=client.test", BEN, stdin=message(f"msmtp {mech} {start}"))
                assert p.returncode == 0, p.stderr
                arrived(s, "ben", f"msmtp {mech} {start}")


def secret(s):
    path = s.dir / "password"
    path.write_text(s.passwords["anna"])
    return path


def test_gsasl():
    """SCRAM as others wrote it, with and without channel binding."""
    with Server() as s:
        for mech in "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "PLAIN", "LOGIN":
            args = ["gsasl", "--smtp", f"--connect={s.host}:{s.submission}", "--x509-ca-file=", "-m", mech,
                    "-a", ANNA] + ([] if mech.endswith("PLUS") else ["--no-cb"])
            p = run(*args, "-p", s.passwords["anna"], stdin="", timeout=30)
            assert "235 2.7.0" in p.stdout, (mech, p.stdout, p.stderr)
            p = run(*args, "-p", "wrong", stdin="", timeout=30)
            assert "235" not in p.stdout and p.returncode != 0, (mech, p.stdout, p.stderr)


def test_login_taken_away():
    """Another password, and a removed account: sessions that are open can do nothing more, and are told so."""
    import poplib
    with Server() as s:
        box = poplib.POP3(s.host, s.pop3, timeout=20)
        with smtp(s) as c:
            c.sendmail(BEN, [ANNA], message("kept", sender=BEN, to=ANNA))
        arrived(s, "anna", "Subject: kept")
        box.user(ANNA)
        box.pass_(s.passwords["anna"])
        box.dele(1)
        first, second = tls(s), tls(s)
        for c in first, second:
            c.login(ANNA, s.passwords["anna"])
        first.sendmail(ANNA, [BEN], message("before"))
        s.cli("account", "password", ANNA, "--password-stdin", stdin="another one\n", check=0)
        try:
            first.sendmail(ANNA, [BEN], message("after"))
            assert False, "a session went on"
        except smtplib.SMTPDataError as e:
            assert e.smtp_code == 421 and b"4.7.0" in e.smtp_error and b"log in again" in e.smtp_error, e
        try:
            box.quit()
            assert False, "deleted with a password of old"
        except poplib.error_proto as e:
            assert b"-ERR [AUTH]" in e.args[0], e
        s.passwords["anna"] = "another one"
        assert len(s.pop3_messages("anna")) == 1
        s.cli("account", "remove", ANNA, check=0)
        code, text = second.mail(ANNA)
        assert code == 421 and b"4.7.0" in text, (code, text)
        assert second.file is None or second.file.readline() == b""     # closed
        second.close()


def test_own_addresses():
    with Server() as s:
        s.cli("alias", "set", f"shop@{DOMAIN}", ANNA, check=0)
        with tls(s) as c:
            c.login(ANNA, s.passwords["anna"])
            for own in ANNA, f"anna+x@{DOMAIN}", f"shop@{DOMAIN}":
                c.sendmail(own, [BEN], message(f"as {own}", sender=own))
                arrived(s, "ben", f"Subject: as {own}")
            for envelope, sender, code in (BEN, BEN, 553), ("x@away.example", ANNA, 553), (ANNA, BEN, 554), ("", BEN, 554):
                try:
                    c.sendmail(envelope, [BEN], message("not mine", sender=sender))
                    assert False, (envelope, sender)
                except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as e:
                    assert e.smtp_code == code and b"5.7.1" in e.smtp_error, e
            # what is added, and what is taken away
            c.sendmail(ANNA, [BEN], f"From: {ANNA}\r\nTo: {BEN}\r\nBcc: hidden@away.example\r\nSubject: fixed\r\n\r\nx\r\n")
            m = email.message_from_bytes(arrived(s, "ben", "Subject: fixed"))
            assert m["Date"] and m["Message-ID"].endswith(f"@mail.{DOMAIN}>") and m["Bcc"] is None, m
        assert not [m for m in s.pop3_messages("ben") if b"not mine" in m]


def test_nothing_is_relayed():
    """Whatever was said before: without a login, no mail for others, and none in somebody's name."""
    forms = ["u%v.example@{d}", "u@v.example@{d}", "\"u@v.example\"@{d}", "\"u%v.example\"@{d}", "@{d}:u@v.example", "@{d},@x:u@v.example",
             "v.example!u@{d}", "{d}!v.example!u", "u@[127.0.0.1]", "u@[IPv6:::1]", "u%v.example@[127.0.0.1]", "u@v.example%{d}",
             "u@v.example.", "u@.v.example", "u@{d}.v.example", "u@v.example({d})", "u\uff20v.example@{d}", "u@v.example"]
    senders = ["", ANNA, "s@away.example", f"postmaster@{DOMAIN}"]
    with Server(settings='relay_networks = {"192.0.2.0/24"}\nerrors_hard = 1000\nerrors_soft = 1000') as s:
        wrong = base64.b64encode(b"\0" + ANNA.encode() + b"\0wrong").decode()
        before = {"nothing": [], "RSET": ["RSET"], "EHLO": ["EHLO again"], "a failed AUTH": ["AUTH PLAIN " + wrong],
                  "a cancelled AUTH": ["AUTH LOGIN", "*"], "XCLIENT": ["XCLIENT ADDR=192.0.2.1 LOGIN=" + ANNA]}
        accepted = []
        for port, start in (s.smtp, False), (s.smtp, True), (s.submission, False), (s.submission, True), (s.submissions, True):
            for name, lines in before.items():
                # Whose address tried a password is kept waiting: one session for each case, all forms in it.
                c = tls(s) if port == s.submissions else smtplib.SMTP(s.host, port, local_hostname="client.test", timeout=60)
                if start and port != s.submissions:
                    c.starttls(context=context())
                c.ehlo()
                for line in lines:
                    if c.docmd(line)[0] >= 500: # "*" is a word of AUTH's alone
                        break
                for sender in senders:
                    for form in forms:
                        if c.docmd("MAIL", f"FROM:<{sender}>")[0] == 250:
                            c.send(f"RCPT TO:<{form.format(d=DOMAIN)}>\r\n".encode())
                            if c.getreply()[0] < 400:
                                accepted.append((port, start, name, sender, form))
                            c.docmd("RSET")
                        else:
                            assert port != s.smtp, sender
                c.close()
        assert not accepted, accepted
        assert s.json("queue", "list") in ([], {"deliveries": []}) or not s.cli("queue", "list", check=0).stdout.strip().count("@v.example")


def test_proxy_header_forged():
    """A PROXY header from who is no proxy of ours is no command, and gives nothing."""
    with Server(settings='relay_networks = {"192.0.2.0/24"}') as s:
        c = socket.create_connection((s.host, s.smtp), 10)
        f = c.makefile("rwb")
        assert f.readline().startswith(b"220")
        for line, code in (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25", b"5"), (b"HELO x", b"250"), (b"MAIL FROM:<>", b"250"), \
                (b"RCPT TO:<u@v.example>", b"550 5.7.1"):
            f.write(line + b"\r\n")
            f.flush()
            got = f.readline()
            assert got.startswith(code), (line, got)
        c.close()


def test_limits():
    with Server(settings="account_messages_hour = 3") as s:
        s.cli("alias", "set", f"postmaster@{DOMAIN}", BEN, check=0)
        with tls(s) as c:
            c.login(ANNA, s.passwords["anna"])
            replies = []
            for i in range(5):
                c.mail(ANNA), c.rcpt(BEN)
                replies.append(c.data(message(f"burst {i}"))[1].decode())
        held = [i for i, r in enumerate(replies) if "held: over the sending limit" in r]
        assert held == [3, 4] and all("queued as" in r for r in replies), replies
        for name in "anna", "ben":
            m = email.message_from_bytes(arrived(s, name, f"is held"))
            assert m["Auto-Submitted"] == "auto-generated" and f"queue release --account {ANNA}" in m.get_payload(), m
        assert len([m for m in s.pop3_messages("ben") if b"burst" in m]) == 3
        p = s.cli("queue", "release", "--account", ANNA)
        assert p.returncode == 0, p.stdout + p.stderr
        arrived(s, "ben", "burst 4")


def test_local_socket():
    """Users of this machine, known by the kernel; programs of theirs speak SMTP to it as sendmail does."""
    with Server() as s:
        assert oct(os.stat(s.submit_socket).st_mode & 0o777) == "0o666", os.stat(s.submit_socket)
        talk = ("EHLO client.test\r\n", "MAIL FROM:<root@away.example>\r\n", f"RCPT TO:<{BEN}>\r\n", "RCPT TO:<nobody@example.test>\r\n",
                "DATA\r\n", f"From: cron\r\nTo: {BEN}\r\nBcc: x@y.example\r\nSubject: from the socket\r\n\r\nx\r\n.\r\n", "QUIT\r\n")
        c = socket.socket(socket.AF_UNIX)
        c.settimeout(20)
        c.connect(str(s.submit_socket))
        f = c.makefile("rwb")

        def reply():
            while True:
                line = f.readline().decode()
                if line[3:4] != "-":
                    return line

        said = [reply()]
        for line in talk:
            f.write(line.encode())
            f.flush()
            said.append(reply())
        codes = [x[:3] for x in said]
        assert codes == ["220", "250", "250", "250", "550", "354", "250", "221"], said
        m = email.message_from_bytes(arrived(s, "ben", "from the socket"))
        assert f"(from uid {os.getuid()})" in " ".join(m.get_all("Received")[-1].split()), m
        assert m["Bcc"] is None and m["Date"] and m["Message-ID"], m
        assert f"client=uid={os.getuid()}" in s.log() or f'client="uid={os.getuid()}"' in s.log(), s.log()


def test_no_socket_is_no_failure():
    d = tempfile.mkdtemp(prefix="postrider-e2e.")
    try:
        s = Server(settings=f'submit_socket = "{d}/not/there/submit.sock"')
        with s:
            assert "no-submit-socket" in s.log(), s.log()
        with Server(settings="submit_socket = none") as s:
            assert "no-submit-socket" not in s.log() and not s.submit_socket.exists()
    finally:
        shutil.rmtree(d, ignore_errors=True)


def test_xclient_and_proxy():
    with Server(settings='relay_networks = {"192.0.2.0/24"}\nproxy_networks = {"127.0.0.2"}\nxclient_networks = {"127.0.0.3"}') as s:
        def connect(source, first=b""):
            c = socket.create_connection((s.host, s.smtp), 10, (source, 0))
            c.sendall(first)
            return c, c.makefile("rwb")

        def say(f, line):
            f.write(line.encode() + b"\r\n")
            f.flush()
            return reply(f)

        def reply(f):
            while True:
                line = f.readline().decode()
                if line[3:4] != "-":
                    return line

        for address, relayed in ("192.0.2.9", True), ("198.51.100.9", False):
            c, f = connect("127.0.0.2", f"PROXY TCP4 {address} 192.0.2.1 4000 25\r\n".encode())
            assert reply(f).startswith("220")
            say(f, "EHLO client.test"), say(f, "MAIL FROM:<a@away.example>")
            assert say(f, "RCPT TO:<x@v.example>").startswith("250" if relayed else "550 5.7.1"), address
            c.close()
            c, f = connect("127.0.0.3")
            assert reply(f).startswith("220")
            say(f, "EHLO filter.test")
            assert say(f, f"XCLIENT ADDR={address}").startswith("220")
            say(f, "EHLO client.test"), say(f, "MAIL FROM:<a@away.example>")
            assert say(f, "RCPT TO:<x@v.example>").startswith("250" if relayed else "550 5.7.1"), address
            c.close()
        # a proxy that does not say whose connection it is
        c, f = connect("127.0.0.2", b"EHLO client.test\r\n")
        assert not f.readline().startswith(b"250")
        c.close()
        # others may not
        c, f = connect("127.0.0.4")
        reply(f), say(f, "EHLO client.test")
        assert say(f, "XCLIENT ADDR=192.0.2.9").startswith("5")
        c.close()


main(globals())
