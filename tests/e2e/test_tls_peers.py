#!/usr/bin/python3
"""People's programs over TLS: all that swaks has of TLS and AUTH, curl, msmtp, gsasl, Python's smtplib, nodemailer; each with a
certificate that an authority signed, verified where the program can, and refused where it is not the right one; and what the server
shows to openssl s_client and, with --long, to testssl.sh. Ports: 25 (STARTTLS), 587 (STARTTLS), 465 (TLS from the first byte)."""
import base64, email, smtplib, ssl
import world
from harness import *

ANNA, BEN = f"anna@{DOMAIN}", f"ben@{DOMAIN}"
DIR = Path(tempfile.mkdtemp(prefix="postrider-tls-peers."))
os.chmod(DIR, 0o755)
S = CA = OTHER_CA = None
HERE = Path(__file__).parent


def test_start():
    """One server for all: its certificate is good for localhost, other.test has one of its own, mx.test one for nothing."""
    global S, CA, OTHER_CA
    CA, OTHER_CA = world.Authority(DIR / "ca"), world.Authority(DIR / "other-ca")
    S = Server('client_certificates = yes\nerrors_hard = 1000\nerrors_soft = 1000\nconnections_per_minute = 1000000\n'
               "account_messages_hour = 1000000\naccount_messages_day = 1000000\n")
    CA.issue(S.data / "tls" / S.conf_hostname, S.conf_hostname, "localhost", "127.0.0.1")
    CA.issue(S.data / "tls" / "mx.other.test", "mx.other.test")
    CA.issue(DIR / "client", "anna", usage="clientAuth")
    CA.issue(DIR / "stranger", "stranger", usage="clientAuth")
    S.cli("account", "certificate", "add", ANNA, DIR / "client/cert.pem", check=0)
    (DIR / "password").write_text(S.passwords["anna"] + "\n")
    os.chmod(DIR / "password", 0o600)
    S.start()


def installed(name):
    if shutil.which(name):
        return True
    print(f"      {name} is not installed: skipped")
    return False


class Arrivals:
    """What came to Ben, read once each."""
    seen = []

    @classmethod
    def subject(cls, subject):
        import poplib

        def look():
            box = poplib.POP3(HOST, S.pop3, timeout=20)
            box.user(BEN)
            box.pass_(S.passwords["ben"])
            for i in range(box.stat()[0]):
                cls.seen.append(email.message_from_bytes(b"\r\n".join(box.retr(i + 1)[1]) + b"\r\n"))
                box.dele(i + 1)
            box.quit()
            return next((m for m in cls.seen if m["Subject"] == subject), None)
        return wait_for(look, 15, 0.05)

    @classmethod
    def protocol(cls, subject):
        """ESMTPSA, and the TLS suite, as in Received."""
        received = " ".join(cls.subject(subject).get_all("Received")[-1].split())
        return re.search(r"with (\w+)", received).group(1), (re.search(r" tls (\w+)", received) or [None, None])[1]


# ---- swaks ----

def swaks(port, *args, subject="by swaks"):
    return run("swaks", "--server", "localhost", "--port", port, "--helo", "client.test", "--timeout", "20", "--from", ANNA, "--to", BEN,
               "--header", f"Subject: {subject}", *args)


def test_swaks_tls():
    """Its TLS options, at each port."""
    login = ["--auth", "PLAIN", "--auth-user", ANNA, "--auth-password", S.passwords["anna"]]
    ca = ["--tls-verify", "--tls-ca-path", CA.cert]
    good = [
        ("25 tls", S.smtp, ["-tls"], "ESMTPS"),
        ("25 optional", S.smtp, ["--tls-optional"], "ESMTPS"),
        ("25 optional strict", S.smtp, ["--tls-optional-strict"], "ESMTPS"),
        ("25 verified", S.smtp, ["-tls", *ca], "ESMTPS"),
        ("25 none", S.smtp, [], "ESMTP"),
        ("25 of 1.2", S.smtp, ["-tls", "--tls-protocol", "tlsv1_2"], "ESMTPS"),
        ("587 tls", S.submission, ["-tls", *login], "ESMTPSA"),
        ("587 verified", S.submission, ["-tls", *ca, *login], "ESMTPSA"),
        ("587 pipelined", S.submission, ["-tls", "--pipeline", *login], "ESMTPSA"),
        ("587 of 1.2", S.submission, ["-tls", "--tls-protocol", "tlsv1_2", *login], "ESMTPSA"),
        ("587 of 1.3", S.submission, ["-tls", "--tls-protocol", "tlsv1_3", *login], "ESMTPSA"),
        ("587 one suite", S.submission, ["-tls", "--tls-protocol", "tlsv1_2", "--tls-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305", *login],
         "ESMTPSA"),
        ("587 client certificate", S.submission, ["-tls", "--tls-cert", DIR / "client/cert.pem", "--tls-key", DIR / "client/key.pem", *login],
         "ESMTPSA"),
        ("465", S.submissions, ["--tls-on-connect", *login], "ESMTPSA"),
        ("465 verified", S.submissions, ["-tlsc", *ca, *login], "ESMTPSA"),
        ("465 SNI", S.submissions, ["-tlsc", "--tls-sni", "mx.other.test", *login], "ESMTPSA"),
    ]
    for name, port, args, protocol in good:
        p = swaks(port, *args, subject=f"swaks {name}")
        assert p.returncode == 0 and "queued as" in p.stdout, (name, p.stdout, p.stderr)
        got, suite = Arrivals.protocol(f"swaks {name}")
        assert got == protocol and bool(suite) == ("S" in protocol[5:]), (name, got, suite)
        if "one suite" in name:
            assert suite == "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", suite
        if "1.2" in name or "1.3" in name:
            assert f"TLSv1.{name[-1]}" in p.stdout, p.stdout
        if "SNI" in name:
            assert "mx.other.test" in p.stdout, p.stdout
    # what is to fail, and where: before anything is sent
    for name, port, args in (("another authority", S.submission, ["-tls", "--tls-verify", "--tls-ca-path", OTHER_CA.cert, *login]),
                             ("another authority, 25", S.smtp, ["-tls", "--tls-verify", "--tls-ca-path", OTHER_CA.cert]),
                             ("another authority, 465", S.submissions, ["-tlsc", "--tls-verify", "--tls-ca-path", OTHER_CA.cert, *login]),
                             ("TLS 1.1", S.submission, ["-tls", "--tls-protocol", "tlsv1_1", *login]),
                             ("TLS 1.0", S.submissions, ["-tlsc", "--tls-protocol", "tlsv1", *login]),
                             ("a suite without ECDHE", S.submission, ["-tls", "--tls-protocol", "tlsv1_2", "--tls-cipher", "AES128-SHA", *login]),
                             ("plaintext at 465", S.submissions, ["--timeout", "2"]),
                             ("TLS from the first byte at 587", S.submission, ["-tlsc", *login])):
        p = swaks(port, *args, subject=f"swaks {name}")
        assert p.returncode != 0 and "MAIL FROM" not in p.stdout, (name, p.returncode, p.stdout)


def test_swaks_certificate():
    """--tls-get-peer-cert: byte by byte the one that lies in the folder."""
    for port, args in (S.submission, ["-tls"]), (S.submissions, ["-tlsc"]), (S.smtp, ["-tls"]):
        got = DIR / "got.pem"
        got.unlink(missing_ok=True)
        swaks(port, *args, "--tls-get-peer-cert", got, "--quit-after", "EHLO")
        assert ssl.PEM_cert_to_DER_cert(got.read_text()) == ssl.PEM_cert_to_DER_cert((S.data / "tls" / S.conf_hostname / "cert.pem").read_text())


def test_swaks_auth():
    password = S.passwords["anna"]
    who = ["--auth-user", ANNA, "--auth-password", password]
    for name, args in (("PLAIN", ["--auth", "PLAIN"]), ("LOGIN", ["--auth", "LOGIN"]), ("any", ["--auth"]), ("first of a list", ["--auth", "CRAM-MD5,LOGIN"]),
                       ("optional", ["--auth-optional", "LOGIN"]), ("optional strict", ["--auth-optional-strict", "PLAIN"]),
                       ("plaintext shown", ["--auth", "PLAIN", "--auth-plaintext"]), ("hidden", ["--auth", "PLAIN", "--auth-hide-password"])):
        p = swaks(S.submission, "-tls", *args, *who, subject=f"auth {name}")
        assert p.returncode == 0 and "235 2.7.0" in p.stdout, (name, p.stdout)
        assert Arrivals.protocol(f"auth {name}")[0] == "ESMTPSA"
    # mechanisms that need the password itself to be stored, or are broken: not offered, and a client that insists is told so
    for mech in "CRAM-MD5", "CRAM-SHA1", "DIGEST-MD5", "NTLM":
        p = swaks(S.submission, "-tls", "--auth", mech, *who)
        assert p.returncode != 0 and "235" not in p.stdout and "MAIL FROM" not in p.stdout, (mech, p.stdout)
        assert not re.search(rf"AUTH.*\b{mech}\b", p.stdout.split("EHLO")[-1]), p.stdout
    with smtplib.SMTP_SSL("localhost", S.submissions, context=verified(), timeout=20) as c:
        c.ehlo()
        for mech in "CRAM-MD5", "CRAM-SHA1", "DIGEST-MD5", "NTLM", "GSSAPI", "ANONYMOUS":
            code, text = c.docmd("AUTH", mech)
            assert code == 504 and b"5.5.4" in text, (mech, code, text)
        assert c.noop()[0] == 250
    # a wrong password; nobody; without TLS there is no AUTH at all
    for args in (["-tls", "--auth-user", ANNA, "--auth-password", "wrong"], ["-tls", "--auth-user", f"nobody@{DOMAIN}", "--auth-password", "x"]):
        p = swaks(S.submission, "--auth", "PLAIN", *args)
        assert p.returncode == 28 and "535 5.7.8" in p.stdout and "MAIL FROM" not in p.stdout, p.stdout
    p = swaks(S.smtp, "-tls", "--auth", "PLAIN", *who)
    assert p.returncode != 0 and "235" not in p.stdout, p.stdout
    p = swaks(S.smtp, "-tls", "--auth-optional", "PLAIN", *who, subject="auth optional, 25")
    assert p.returncode == 0 and Arrivals.protocol("auth optional, 25")[0] == "ESMTPS", p.stdout


# ---- Python ----

def verified(cafile=None):
    return ssl.create_default_context(cafile=str(cafile or CA.cert))


def test_smtplib():
    for name, connect in (("465", lambda c: smtplib.SMTP_SSL("localhost", S.submissions, timeout=20, context=c)),
                          ("587", lambda c: starttls(S.submission, c))):
        with connect(verified()) as c:
            c.login(ANNA, S.passwords["anna"])
            c.sendmail(ANNA, [BEN], message(f"smtplib {name}"))
        assert Arrivals.protocol(f"smtplib {name}")[0] == "ESMTPSA"
        try:
            connect(verified(OTHER_CA.cert))
            assert False, "a certificate of an unknown authority was taken"
        except ssl.SSLCertVerificationError:
            pass
    # SNI by name
    for name, subject in ("mx.other.test", "mx.other.test"), ("localhost", S.conf_hostname), ("nobody.test", S.conf_hostname):
        c = ssl.create_default_context(cafile=str(CA.cert))
        c.check_hostname = False
        with c.wrap_socket(socket.create_connection(("127.0.0.1", S.submissions), 20), server_hostname=name) as t:
            assert (("DNS", subject) in t.getpeercert()["subjectAltName"]), t.getpeercert()
    # all is forgotten at STARTTLS: MAIL from before, and the name
    with smtplib.SMTP("localhost", S.smtp, timeout=20) as c:
        c.ehlo("before.test")
        c.mail(ANNA)
        assert c.docmd("STARTTLS")[0] == 503        # not in the middle of a transaction
        c.rset()
        assert c.docmd("STARTTLS")[0] == 220
        c.sock = verified().wrap_socket(c.sock, server_hostname="localhost")
        c.file = None
        assert c.docmd("MAIL", f"FROM:<{ANNA}>")[0] == 503
        c.ehlo("after.test")
        assert c.docmd("RCPT", f"TO:<{BEN}>")[0] == 503 and not c.has_extn("starttls")


def starttls(port, context):
    c = smtplib.SMTP("localhost", port, timeout=20)
    c.starttls(context=context)
    return c


def test_nothing_is_injected():
    """What came in the same packet as STARTTLS is no command of the session under TLS: it ends."""
    for port in S.smtp, S.submission:
        c = socket.create_connection(("127.0.0.1", port), 20)
        f = c.makefile("rb")
        f.readline()
        c.sendall(b"EHLO x\r\n")
        while f.readline()[3:4] == b"-":
            pass
        c.sendall(b"STARTTLS\r\nMAIL FROM:<evil@away.test>\r\n")
        rest = f.read()
        assert not rest.startswith(b"220") and b"250" not in rest, rest
        c.close()


# ---- curl, msmtp, gsasl ----

def curl(url, *args, subject=None):
    return run("curl", "-sS", "--url", url + "/client.test", "--mail-from", ANNA, "--mail-rcpt", BEN, "-T", "-", *args,
               stdin=message(subject or "by curl"), timeout=40)


def test_curl():
    login = ["-u", f"{ANNA}:{S.passwords['anna']}", "--cacert", CA.cert]
    features = run("curl", "--version").stdout
    mechs = ["PLAIN", "LOGIN"] + (["SCRAM-SHA-1", "SCRAM-SHA-256"] if "gsasl" in features else [])
    for name, url in ("587", f"smtp://localhost:{S.submission}"), ("465", f"smtps://localhost:{S.submissions}"):
        for mech in mechs:
            p = curl(url, "--ssl-reqd", "--login-options", f"AUTH={mech}", *login, subject=f"curl {name} {mech}")
            assert p.returncode == 0, (name, mech, p.stderr)
            assert Arrivals.protocol(f"curl {name} {mech}")[0] == "ESMTPSA"
        p = curl(url, "--ssl-reqd", "--tls-max", "1.2", *login, subject=f"curl {name} 1.2")
        assert p.returncode == 0 and Arrivals.subject(f"curl {name} 1.2"), p.stderr
        # refused: the wrong authority, an old version, a mechanism that is not there, a wrong password
        assert curl(url, "--ssl-reqd", "-u", "a:b", "--cacert", OTHER_CA.cert).returncode == 60
        assert curl(url, "--ssl-reqd", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", *login).returncode == 35
        assert curl(url, "--ssl-reqd", "--login-options", "AUTH=CRAM-MD5", *login).returncode == 67
        assert curl(url, "--ssl-reqd", "-u", f"{ANNA}:wrong", "--cacert", CA.cert).returncode == 67
    # the client's certificate instead of a password
    p = curl(f"smtps://localhost:{S.submissions}", "-u", f"{ANNA}:", "--login-options", "AUTH=EXTERNAL", "--cacert", CA.cert, "--cert",
             DIR / "client/cert.pem", "--key", DIR / "client/key.pem", subject="curl EXTERNAL")
    assert p.returncode == 0 and Arrivals.protocol("curl EXTERNAL")[0] == "ESMTPSA", p.stderr
    # --ssl-reqd on 25, without a login
    p = curl(f"smtp://localhost:{S.smtp}", "--ssl-reqd", "--cacert", CA.cert, subject="curl 25")
    assert p.returncode == 0 and Arrivals.protocol("curl 25")[0] == "ESMTPS", p.stderr


def msmtp(*args, subject="by msmtp"):
    return run("msmtp", "-C", "/dev/null", "--host=localhost", f"--from={ANNA}", "--domain=client.test", f"--user={ANNA}", *args, BEN,
               stdin=message(subject), timeout=40)


def test_msmtp():
    if not installed("msmtp"):
        return
    word = f"--passwordeval=cat {DIR}/password"
    ca = f"--tls-trust-file={CA.cert}"
    for name, where in ("587", [f"--port={S.submission}", "--tls=on", "--tls-starttls=on"]), \
            ("465", [f"--port={S.submissions}", "--tls=on", "--tls-starttls=off"]):
        for mech in "plain", "scram-sha-256", "scram-sha-1", "login", "on":
            p = msmtp(*where, ca, f"--auth={mech}", word, subject=f"msmtp {name} {mech}")
            assert p.returncode == 0, (name, mech, p.stderr)
            assert Arrivals.protocol(f"msmtp {name} {mech}")[0] == "ESMTPSA"
        cert = [f"--tls-cert-file={DIR}/client/cert.pem", f"--tls-key-file={DIR}/client/key.pem"]
        p = msmtp(*where, ca, "--auth=external", *cert, subject=f"msmtp {name} external")
        assert p.returncode == 0 and Arrivals.protocol(f"msmtp {name} external")[0] == "ESMTPSA", p.stderr
        p = msmtp(*where, ca, "--auth=external", f"--tls-cert-file={DIR}/stranger/cert.pem", f"--tls-key-file={DIR}/stranger/key.pem")
        assert p.returncode != 0, "somebody else's certificate logs in"
        # instead of an authority: this very certificate
        der = ssl.PEM_cert_to_DER_cert((S.data / "tls" / S.conf_hostname / "cert.pem").read_text())
        import hashlib
        own = ":".join(f"{b:02X}" for b in hashlib.sha256(der).digest())
        p = msmtp(*where, "--tls-trust-file=", f"--tls-fingerprint={own}", "--auth=plain", word, subject=f"msmtp {name} fingerprint")
        assert p.returncode == 0 and Arrivals.subject(f"msmtp {name} fingerprint"), p.stderr
        p = msmtp(*where, "--tls-trust-file=", f"--tls-fingerprint={own[:-2] + ('00' if own[-2:] != '00' else '01')}", "--auth=plain", word)
        assert p.returncode == 76 or p.returncode != 0, p
        p = msmtp(*where, f"--tls-trust-file={OTHER_CA.cert}", "--auth=plain", word)
        assert p.returncode != 0 and "certificate" in p.stderr, p.stderr
        for mech in "cram-md5", "digest-md5", "ntlm":
            p = msmtp(*where, ca, f"--auth={mech}", word)
            assert p.returncode == 69 and "does not support" in p.stderr, (mech, p.returncode, p.stderr)
        p = msmtp(*where, ca, "--auth=plain", "--passwordeval=echo wrong")
        assert p.returncode == 77 and "535" in p.stderr, (p.returncode, p.stderr)
    p = msmtp(f"--port={S.submission}", "--tls=off", "--auth=off")
    assert p.returncode != 0, "mail without TLS and login"
    p = msmtp(f"--port={S.smtp}", "--tls=on", "--tls-starttls=on", ca, "--auth=off", subject="msmtp 25")
    assert p.returncode == 0 and Arrivals.protocol("msmtp 25")[0] == "ESMTPS", p.stderr


def test_gsasl():
    """SCRAM with channel binding, by another's hand; and that a login as another than oneself is refused."""
    if not installed("gsasl"):
        return
    where = ["gsasl", "--smtp", f"--connect=localhost:{S.submission}", f"--x509-ca-file={CA.cert}"]
    for mech in "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN":
        bound = [] if mech.endswith("PLUS") else ["--no-cb"]
        p = run(*where, *bound, "-m", mech, "-a", ANNA, "-p", S.passwords["anna"], stdin="", timeout=30)
        assert "235 2.7.0" in p.stdout, (mech, p.stdout, p.stderr)
    for mech in "SCRAM-SHA-256-PLUS", "PLAIN":
        p = run(*where, "-m", mech, "-a", ANNA, "-p", "wrong", stdin="", timeout=30)
        assert "235" not in p.stdout, (mech, p.stdout)
    for mech in "PLAIN", "SCRAM-SHA-256":
        p = run(*where, "--no-cb", "-m", mech, "-a", ANNA, "-z", BEN, "-p", S.passwords["anna"], stdin="", timeout=30)
        assert "235" not in p.stdout, (mech, p.stdout)
    p = run("gsasl", "--smtp", f"--connect=localhost:{S.submission}", f"--x509-ca-file={OTHER_CA.cert}", "-m", "PLAIN", "-a", ANNA, "-p",
            S.passwords["anna"], stdin="", timeout=30)
    assert "235" not in p.stdout, p.stdout


# ---- nodemailer ----

def nodemailer():
    """Its folder; None where it cannot be had."""
    if not shutil.which("npm") or not shutil.which("node"):
        print("      skipped: node and npm are not installed")
        return None
    d = DIR / "nodemailer"
    shutil.copytree(HERE / "nodemailer", d)
    try:
        p = run("npm", "ci", "--prefix", d, "--no-audit", "--no-fund", "--ignore-scripts", timeout=90)
        why = (p.stderr.strip() or "no reason given") if p.returncode else None
    except subprocess.TimeoutExpired:
        why = "no answer within 90 s"
    if why:
        print(f"      skipped: npm cannot fetch nodemailer: {why.splitlines()[0]}")
        return None
    return d


def test_nodemailer():
    d = nodemailer()
    if d is None:
        return
    login = {"user": ANNA, "pass": S.passwords["anna"]}
    ca = {"ca": CA.cert.read_text()}
    at587 = {"host": "localhost", "port": S.submission, "requireTLS": True, "tls": ca, "auth": login, "name": "client.test"}
    at465 = {"host": "localhost", "port": S.submissions, "secure": True, "tls": ca, "auth": login, "name": "client.test"}
    at25 = {"host": "localhost", "port": S.smtp, "requireTLS": True, "tls": ca, "name": "client.test"}
    mail = lambda subject, **more: {"from": f"Anna <{ANNA}>", "to": BEN, "subject": subject, "text": "x", **more}
    jobs = [
        ("587", dict(transport=at587, mail=mail("nodemailer 587"))),
        ("465", dict(transport=at465, mail=mail("nodemailer 465", html="<p>x</p>", attachments=[{"filename": "a.bin", "content": "x" * 200000}]))),
        ("25", dict(transport=at25, mail=mail("nodemailer 25"))),
        ("LOGIN", dict(transport=at587 | {"authMethod": "LOGIN"}, mail=mail("nodemailer LOGIN"))),
        ("pool", dict(transport=at465 | {"pool": True, "maxConnections": 3}, mail=mail("nodemailer pool"), times=9)),
        ("dsn", dict(transport=at465, mail=mail("nodemailer dsn", dsn={"id": "n1", "return": "headers", "notify": ["success"], "recipient": ANNA}))),
        ("utf8", dict(transport=at465, mail=mail("nodemailer Grüße", to={"name": "Bén", "address": BEN}))),
        ("envelope", dict(transport=at465, mail=mail("nodemailer envelope", bcc=ANNA))),
        # what is to fail
        ("wrong", dict(transport=at587 | {"auth": {"user": ANNA, "pass": "wrong"}}, mail=mail("never"))),
        ("cram", dict(transport=at587 | {"authMethod": "CRAM-MD5"}, mail=mail("never"))),
        ("authority", dict(transport=at465 | {"tls": {"ca": OTHER_CA.cert.read_text()}}, mail=mail("never"))),
        ("version", dict(transport=at465 | {"tls": ca | {"minVersion": "TLSv1", "maxVersion": "TLSv1.1"}}, mail=mail("never"))),
        ("not mine", dict(transport=at465, mail=mail("never") | {"from": BEN})),
    ]
    p = run("node", d / "send.js", stdin=json.dumps([job for _, job in jobs]), check=0, timeout=90)
    got = dict(zip([name for name, _ in jobs], json.loads(p.stdout)))
    for name in "587", "465", "25", "LOGIN", "pool", "dsn", "utf8", "envelope":
        assert got[name]["ok"] and "queued as" in got[name]["reply"], (name, got[name])
    for name in "587", "465", "LOGIN":
        assert Arrivals.protocol(f"nodemailer {name}")[0] == "ESMTPSA"
    assert Arrivals.protocol("nodemailer 25")[0] == "ESMTPS"
    wait_for(lambda: Arrivals.subject("nodemailer pool") and sum(m["Subject"] == "nodemailer pool" for m in Arrivals.seen) == 9, 15)
    assert Arrivals.subject("nodemailer envelope")["Bcc"] is None
    wait_for(lambda: any(b"Original-Envelope-Id: n1" in m and b"Action: delivered" in m for m in S.pop3_messages("anna")), 15)
    assert got["wrong"]["code"] == "EAUTH" and got["wrong"]["replyCode"] == 535, got["wrong"]
    assert got["cram"]["code"] == "EAUTH" and got["cram"]["replyCode"] == 504, got["cram"]
    assert got["authority"]["code"] == "ESOCKET" and "certificate" in got["authority"]["text"], got["authority"]
    assert not got["version"]["ok"] and got["version"]["code"] == "ESOCKET", got["version"]
    assert got["not mine"]["replyCode"] == 553, got["not mine"]


# ---- what the server shows ----

def s_client(port, *args, stdin="QUIT\r\n"):
    start = [] if port == S.submissions else ["-starttls", "smtp", "-name", "client.test"]
    return run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", *start, *args, stdin=stdin, timeout=30)


def test_openssl():
    """Versions, suites, renegotiation, compression, SNI, ALPN: quickly what testssl.sh looks at in earnest."""
    weak = ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES256-GCM-SHA384",
            "NULL-SHA256", "ECDHE-ECDSA-NULL-SHA", "AECDH-AES256-SHA", "ADH-AES128-GCM-SHA256", "PSK-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM8"]
    strong = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]
    level = "@SECLEVEL=0"
    for port in S.smtp, S.submission, S.submissions:
        for args, good in [(["-tls1_3"], True), (["-tls1_2"], True), (["-tls1_1", "-cipher", "ALL:" + level], False),
                           (["-tls1", "-cipher", "ALL:" + level], False)] + \
                [(["-tls1_2", "-cipher", ":".join(weak) + ":" + level], False)] + [(["-tls1_2", "-cipher", x], True) for x in strong]:
            out = s_client(port, *args).stdout
            assert ("Cipher is (NONE)" not in out) == good, (port, args, out)
        out = s_client(port, "-tls1_2", "-CAfile", CA.cert, "-servername", "localhost", "-verify_hostname", "localhost", "-verify_return_error")
        assert "Verify return code: 0 (ok)" in out.stdout and "Compression: NONE" in out.stdout, out.stdout
        assert "Extended master secret: yes" in out.stdout and "Secure Renegotiation IS supported" in out.stdout, out.stdout
        assert re.search(r"Server Temp Key: (X25519|ECDH)", out.stdout), out.stdout
        out = s_client(port, "-tls1_2", stdin="R\n")
        assert "no renegotiation" in out.stderr, out.stderr
        out = s_client(port, "-servername", "mx.other.test", "-CAfile", CA.cert, "-verify_hostname", "mx.other.test").stdout
        assert "subject=CN = mx.other.test" in out and "Verify return code: 0 (ok)" in out, out
        out = s_client(port, "-servername", "nobody.test").stdout
        assert f"subject=CN = {S.conf_hostname}" in out, out
        out = s_client(port, "-tls1_3", "-alpn", "http/1.1")
        assert "Cipher is (NONE)" in out.stdout, out.stdout
        out = s_client(port, "-tls1_3", "-early_data", "/dev/null").stdout
        assert "Early data was accepted" not in out, out
        out = s_client(port, "-tls1_2", "-fallback_scsv").stdout     # a downgrade is noticed
        assert "Cipher is (NONE)" in out, out


def testssl(port, *args):
    found = DIR / f"testssl-{port}.json"
    p = run("testssl", "--quiet", "--color", "0", "--warnings", "batch", "--ip", "one", "--nodns", "min", "--add-ca", CA.cert, "--jsonfile",
            found, *args, f"localhost:{port}", timeout=900)
    rows = json.loads(found.read_text())
    assert len(rows) > 80, (p.stdout, p.stderr)         # or it has not looked
    return [(r["id"], r["severity"], r["finding"]) for r in rows if r["severity"] not in ("OK", "INFO", "LOW", "DEBUG")]


def test_testssl():
    """Minutes: with --long only. The certificate is of an authority of our own, so what it misses of a public one is no finding."""
    if not installed("testssl"):
        return
    expected = {"cert_revocation", "engine_problem"}      # the second: of the machine's own openssl
    for port, args in (S.submissions, []), (S.smtp, ["-t", "smtp"]):
        bad = [b for b in testssl(port, *args) if not any(b[0].startswith(e) for e in expected)]
        assert not bad, bad


def test_stop():
    S.__exit__(None)


if "--long" in sys.argv:
    sys.argv[1:] = ["test_start", "test_testssl", "test_stop"]
else:
    del test_testssl
try:
    main(globals())
finally:
    shutil.rmtree(DIR, ignore_errors=True)
