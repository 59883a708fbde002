#!/usr/bin/python3
"""TLS as `openssl s_client` sees it: which certificate, renewed without a restart, which versions, who has the key."""
import base64, contextlib, hashlib, os, re, shutil, smtplib, socket, ssl, subprocess
from pathlib import Path
from harness import *

LOOKS_S = 15       # two looks of the supervisor, and a slow machine


def openssl(*args, stdin=""):
    return run("openssl", *args, stdin=stdin)


def s_client(s, port, *args, starttls=True, stdin="QUIT\r\n"):
    return openssl("s_client", "-connect", f"{HOST}:{port}", *(["-starttls", "smtp"] if starttls else []), *args, stdin=stdin)


def served(s, port, name=None, starttls=True):
    """SHA-256 of the certificate that a client gets."""
    with socket.create_connection((HOST, port), 20) as c:
        if starttls:
            f = c.makefile("rwb")
            assert f.readline().startswith(b"220")
            f.write(b"EHLO client.test\r\n"), f.flush()
            while (line := f.readline())[3:4] == b"-":
                pass
            f.write(b"STARTTLS\r\n"), f.flush()
            line = f.readline()
            assert line.startswith(b"220"), line
        with any_certificate().wrap_socket(c, server_hostname=name) as t:
            return hashlib.sha256(t.getpeercert(True)).hexdigest()


def make(folder, name, days=30):
    """A new pair in NAME's folder, key first; its hash."""
    folder = Path(folder) / name
    folder.mkdir(parents=True, exist_ok=True)
    pair = ["-keyout", folder / "key.new", "-out", folder / "cert.new"]
    p = openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", days, *pair,
                "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    assert p.returncode == 0, p.stderr
    (folder / "key.new").rename(folder / "key.pem")
    (folder / "cert.new").rename(folder / "cert.pem")
    return hash_of(folder / "cert.pem")


def expired(folder):
    """A pair that was good in January 2001."""
    ca = folder.parent.parent / "old-ca"
    ca.mkdir()
    (ca / "index").write_text("")
    (ca / "conf").write_text(f"[ca]\ndefault_ca=c\n[c]\ndatabase={ca}/index\nnew_certs_dir={ca}\nserial={ca}/serial\n"
                             "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
    (ca / "serial").write_text("01\n")
    assert openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=over.test",
                   "-keyout", folder / "key.pem", "-out", ca / "csr").returncode == 0
    p = openssl("ca", "-batch", "-selfsign", "-config", ca / "conf", "-in", ca / "csr", "-keyfile", folder / "key.pem", "-notext",
                "-startdate", "20010101000000Z", "-enddate", "20010131000000Z", "-out", folder / "cert.pem")
    assert p.returncode == 0, p.stderr
    shutil.rmtree(ca)


def any_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def hash_of(pem):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(Path(pem).read_text())).hexdigest()


def test_from_the_first_minute():
    with Server() as s:
        own = s.data / "tls" / s.conf_hostname
        assert (own / "key.pem").stat().st_mode & 0o777 == 0o600
        assert served(s, s.smtp) == served(s, s.submission) == served(s, s.submissions, starttls=False) == hash_of(own / "cert.pem")
        text = openssl("x509", "-in", own / "cert.pem", "-noout", "-text").stdout
        assert f"DNS:{s.conf_hostname}" in text and "prime256v1" in text, text


def test_one_is_made_where_there_is_none():
    s = Server()
    shutil.rmtree(s.data / "tls")
    with s:
        assert "certificate-made" in s.log()
        assert served(s, s.smtp) == hash_of(s.data / "tls" / s.conf_hostname / "cert.pem")


def renewed(s):
    """Of the certificate of our own name, of another's, and of what is broken."""
    mine = make(s.data / "tls", s.conf_hostname)
    wait_for(lambda: served(s, s.smtp) == mine, LOOKS_S, 0.3)
    wait_for(lambda: served(s, s.submissions, starttls=False) == mine, LOOKS_S, 0.3)
    other = make(s.data / "tls", "mx.other.test")
    wait_for(lambda: served(s, s.smtp, "mx.other.test") == other, LOOKS_S, 0.3)
    wait_for(lambda: served(s, s.submission, "mx.other.test") == other, LOOKS_S, 0.3)
    assert served(s, s.smtp, "unknown.test") == served(s, s.smtp) == mine
    key = s.data / "tls" / "mx.other.test" / "key.pem"
    key.write_text("nonsense")
    wait_for(lambda: "certificate-refused name=mx.other.test" in s.log(), LOOKS_S)
    time.sleep(7)       # two more looks: it is not said again
    assert s.log().count("certificate-refused name=mx.other.test") == 1
    assert served(s, s.smtp, "mx.other.test") == other


def test_renewed_without_a_restart():
    with Server() as s:
        before = s.roles()
        renewed(s)
        assert s.roles() == before
        os.kill(before["mx"], signal.SIGKILL)       # who is started again gets what is in force
        wait_for(lambda: s.roles().get("mx") not in (None, before["mx"]), 5)
        assert served(s, s.smtp) == hash_of(s.data / "tls" / s.conf_hostname / "cert.pem")


def test_renewed_in_one_process():
    with Server(single=True) as s:
        renewed(s)


def offers_starttls(s, port):
    with smtp(s, port) as c:
        c.ehlo()
        return c.has_extn("starttls")


def told_at_once(port, hello):
    """All that a client is told that begins so, up to the end of the connection."""
    with socket.create_connection((HOST, port), 20) as c, contextlib.suppress(ConnectionError):
        c.sendall(hello)
        return c.makefile("rb").read()
    return b""


def test_first_certificate_comes_later():
    """No certificate at the start: 25 and 587 go without STARTTLS, 465 is open and closes each connection. When the
    files come, nothing is restarted."""
    s = Server()
    shutil.rmtree(s.data / "tls")
    late = s.dir / "late"
    s.conf.write_text(s.conf.read_text() + f'certificate "{s.conf_hostname}" {{ chain = "{late}/cert.pem" key = "{late}/key.pem" }}\n')
    with s:
        before = s.roles()
        assert s.log().count("no-certificate") >= 3 and "certificate-refused" in s.log(), s.log()
        for _ in range(3):
            assert not offers_starttls(s, s.smtp) and not offers_starttls(s, s.submission)
        assert told_at_once(s.submissions, bytes.fromhex("16030100050100000100")) == b""    # a handshake: closed
        said = told_at_once(s.submissions, b"EHLO client.test\r\n")                          # in the clear nothing is served
        assert re.fullmatch(rb"([45]\d\d [^\r\n]*\r\n)?", said), said
        with smtp(s) as c:      # a session in which there is none to its end; asked for, it is unknown
            c.ehlo()
            assert c.docmd("STARTTLS")[0] in (500, 502)
            late_hash = make(s.dir, "late")
            wait_for(lambda: offers_starttls(s, s.smtp), LOOKS_S, 0.3)
            assert c.docmd("STARTTLS")[0] in (500, 502) and c.noop()[0] == 250
        wait_for(lambda: offers_starttls(s, s.submission), LOOKS_S, 0.3)
        assert served(s, s.smtp) == served(s, s.submission) == served(s, s.submissions, starttls=False) == late_hash
        login = base64.b64encode(b"\0anna@example.test\0" + s.passwords["anna"].encode()).decode()
        with smtplib.SMTP_SSL(HOST, s.submissions, timeout=20, context=any_certificate()) as c:
            c.ehlo()
            assert c.docmd("AUTH PLAIN", login)[0] == 235
            c.sendmail("anna@example.test", ["ben@example.test"], message("by 465"))
        wait_for(lambda: len(s.pop3_messages("ben")) == 1)
        assert s.roles() == before


def test_expiry_is_told():
    """An expired certificate is told of at the start, in the log, and by `check config`, which tells of what cannot be used too."""
    s = Server()
    own, folder = s.data / "tls" / s.conf_hostname, s.data / "tls" / "over.test"
    own.rename(s.dir / "own")
    assert "no certificate that can be used" in s.cli("check", "config", check=0).stdout
    (s.dir / "own").rename(own)
    assert not s.json("check", "config")["doubts"]
    folder.mkdir()
    (folder / "key.pem").write_text("nonsense")
    [bad] = [c for c in s.json("check", "config")["certificates"] if c["name"] == "over.test"]
    assert bad["until"] is None and "cert.pem: No such file" in bad["problem"], bad
    make(s.data / "tls", "short.test", days=1)      # of one day nothing is to be said before its last quarter
    expired(folder)
    with s:
        assert s.log().count("certificate-expired") == s.log().count("certificate-expired name=over.test") == 1, s.log()
        assert "ends-soon" not in s.log() and "until=2001-01-31" in s.log(), s.log()
        found = s.json("check", "config")
        problems = {c["name"]: c["problem"] for c in found["certificates"]}
        assert "expired" in problems.pop("over.test") and found["doubts"], found
        assert problems == {"short.test": None, s.conf_hostname: None}, found
        out = s.cli("check", "config", check=0).stdout
        assert "certificate over.test, good until 2001-01-31: it has expired" in out, out


def test_files_of_others():
    """Whoever owns the renewed files: the supervisor started as root can read them."""
    if os.geteuid() != 0:
        return
    with Server() as s:
        folder = s.data / "tls" / "mx.other.test"
        other = make(s.data / "tls", "mx.other.test")
        os.chmod(folder, 0o700), os.chmod(folder / "key.pem", 0o600)
        for p in (folder, folder / "key.pem", folder / "cert.pem"):
            os.chown(p, 65534, 65534)
        wait_for(lambda: served(s, s.smtp, "mx.other.test") == other, LOOKS_S, 0.3)


def memory_has(pid, what):
    """Whether any of these byte strings lies in the memory that the process can write."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, mode = line.split()[:2]
            start, end = (int(x, 16) for x in span.split("-"))
            if mode[:2] != "rw" or end - start > 1 << 30:       # a sanitizer's shadow
                continue
            with contextlib.suppress(OSError):
                mem.seek(start)
                if any(w in mem.read(end - start) for w in what):
                    return True
    return False


def test_who_has_the_key():
    if os.geteuid() != 0:
        return
    with Server() as s:
        served(s, s.smtp), served(s, s.submission)
        key = s.data / "tls" / s.conf_hostname / "key.pem"
        text = openssl("pkey", "-in", key, "-noout", "-text").stdout
        secret = bytes.fromhex(re.sub(r"[\s:]", "", re.search(r"priv:(.*?)pub:", text, re.S).group(1)))[-32:]
        # OpenSSL keeps numbers as words, the least first: the same bytes backwards
        forms = [secret, secret[::-1], key.read_bytes().splitlines()[1]]
        roles = s.roles()
        assert memory_has(roles["mx"], forms) and memory_has(roles["user"], forms)      # or the test sees nothing
        for name in ("core", "resolver", "courier", "local"):
            assert not memory_has(roles[name], forms), name
        for name in ("mx", "user"):
            assert not memory_has(roles[name], forms[2:]), name                         # no text of it is left


def test_versions_and_suites():
    with Server() as s:
        for args, good in ((["-tls1_3"], True), (["-tls1_2"], True), (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], False),
                           (["-tls1", "-cipher", "ALL:@SECLEVEL=0"], False), (["-tls1_2", "-cipher", "AES128-GCM-SHA256"], False),
                           (["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], False)):
            for port, starttls in ((s.smtp, True), (s.submission, True), (s.submissions, False)):
                out = s_client(s, port, *args, starttls=starttls).stdout
                assert ("Cipher is (NONE)" not in out) == good, (args, port, out)
        out = s_client(s, s.submissions, "-alpn", "http/1.1", starttls=False)
        assert "no application protocol" in out.stderr and "Cipher is (NONE)" in out.stdout, out.stderr
        out = s_client(s, s.smtp, "-tls1_2").stdout
        assert "Compression: NONE" in out and "Extended master secret: yes" in out, out
        out = s_client(s, s.smtp, "-tls1_2", stdin="R\n")           # s_client's word for renegotiation
        assert "RENEGOTIATING" in out.stderr and "no renegotiation" in out.stderr, out.stderr


def test_tickets():
    with Server('tls_no_tickets = {submissions}\n') as s:
        saved = s.dir / "session"
        for port, starttls, reused in ((s.smtp, True, True), (s.submissions, False, False)):
            saved.unlink(missing_ok=True)
            s_client(s, port, "-tls1_2", "-sess_out", saved, starttls=starttls)
            out = s_client(s, port, "-tls1_2", "-sess_in", saved, starttls=starttls).stdout
            assert ("\nReused, " in out) == reused, (port, out)
        s_client(s, s.smtp, "-tls1_2", "-sess_out", saved)          # of one service it opens nothing at another
        out = s_client(s, s.submission, "-tls1_2", "-sess_in", saved).stdout
        assert "\nNew, " in out, out


main(globals())
