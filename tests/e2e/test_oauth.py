#!/usr/bin/python3
"""Logins without a password: bearer tokens (OAUTHBEARER, XOAUTH2) held against an issuer on loopback, by introspection and by its
keys; and client certificates (EXTERNAL). With Python's smtplib, curl and swaks."""
import base64, hashlib, hmac, json, smtplib, socket, ssl, tempfile
from harness import *
from issuer import CLIENT, Issuer, Key, b64url, openssl

ANNA, BEN = f"anna@{DOMAIN}", f"ben@{DOMAIN}"
ISSUER, AUDIENCE = "https://id.example.test", "mail"


def context(certificate=None):
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if certificate:
        c.load_cert_chain(*certificate)
    return c


def tls(s, **kw):
    return smtplib.SMTP_SSL(s.host, s.submissions, local_hostname="client.test", timeout=30, context=context(**kw))


def words(mech, token, user="", host="", port=""):
    if mech == "XOAUTH2":
        return f"user={user}\1auth=Bearer {token}\1\1"
    return f"n,{'a=' + user if user else ''},\1" + (f"host={host}\1" if host else "") + (f"port={port}\1" if port else "") + \
        f"auth=Bearer {token}\1\1"


def login(c, mech, *args, **kw):
    """The code, and what it ended with. After the error that comes as a challenge the client says what it has to."""
    code, text = c.docmd("AUTH", mech + " " + base64.b64encode(words(mech, *args, **kw).encode()).decode())
    if code == 334:
        assert "status" in json.loads(base64.b64decode(text)), text
        code, text = c.docmd(base64.b64encode(b"\1").decode() if mech == "OAUTHBEARER" else "")
    return code, text.decode()


def one(s, *args, mech="OAUTHBEARER", **kw):
    with tls(s) as c:
        c.ehlo()
        return login(c, mech, *args, **kw)[0]


class World:
    """An issuer and a server that asks it. `more`: settings besides."""

    def __init__(self, keys=False, more="", ca=None, **kw):
        self.folder = tempfile.mkdtemp(prefix="postrider-e2e-issuer.")
        self.issuer = i = Issuer(self.folder)
        where = f"https://127.0.0.1:{i.port}"
        self.server = Server((f'oauth_jwks_url = "{where}/keys"\noauth_issuer = "{ISSUER}"\noauth_audience = "{AUDIENCE}"\n' if keys else
                              f'oauth_introspection_url = "{where}/introspect"\noauth_client_id = "{CLIENT}"\n'
                              f'oauth_client_secret_file = "{i.secret_file}"\n') +
                             f'tls_ca_file = "{ca or i.ca}"\n' + more, **kw)

    def __enter__(self):
        self.server.start()
        return self.server, self.issuer

    def __exit__(self, *error):
        try:
            self.server.__exit__(*error)
        finally:
            self.issuer.stop()
            shutil.rmtree(self.folder, ignore_errors=True)


def test_introspection():
    with World() as (s, i):
        i.tokens = {"good-for.anna": {"active": True, "email": "Anna@" + DOMAIN, "email_verified": True, "exp": time.time() + 600},
                    "short+/==": {"active": True, "username": ANNA, "exp": time.time() + 3600},
                    "for-nobody": {"active": True, "email": "nobody@" + DOMAIN},
                    "unverified": {"active": True, "email": ANNA, "email_verified": False},
                    "expired": {"active": True, "email": ANNA, "exp": time.time() - 61},
                    "refresh": {"active": True, "email": ANNA, "token_type": "refresh_token"}}
        for mech in "OAUTHBEARER", "XOAUTH2":
            with tls(s) as c:
                c.ehlo()
                assert mech in c.esmtp_features["auth"].split(), c.esmtp_features
                assert login(c, mech, "good-for.anna", user=ANNA) == (235, "2.7.0 logged in")
                c.sendmail(ANNA, [BEN], message(f"by {mech}"))
            wait_for(lambda: [m for m in s.pop3_messages("ben") if f"by {mech}".encode() in m])
        assert i.asked == 1, i.asked                                      # then it was known
        command, path, headers, body = i.seen[0]
        assert (command, path, body) == ("POST", "/introspect", b"token=good-for.anna&token_type_hint=access_token"), i.seen
        assert "Cookie" not in headers and headers["User-Agent"] == "postrider", headers
        assert one(s, "short+/==") == 235                                  # the token says who
        assert one(s, "short+/==", user=ANNA.upper()) == 235
        assert one(s, "good-for.anna", user=BEN) == 535
        before = i.asked
        for bad in "for-nobody", "unverified", "expired", "refresh", "unknown", "x" * 8000:
            for _ in range(2):
                for mech in "OAUTHBEARER", "XOAUTH2":
                    assert one(s, bad, user=ANNA, mech=mech) == 535, bad
        assert i.asked == before + 4 * 5 + 1, (before, i.asked)            # what is wrong is not kept; "for-nobody" is a good token
        log = s.log()
        for why in "it is not active", "email_verified", "it has expired", "it is no bearer token":
            assert re.search(rf"courier.*token-refused.*{why}", log), why
        assert "good-for" not in log and re.search(r"\blogin\b.*name=anna@.*sasl=XOAUTH2.*password=token", log), log


def test_where_it_is_offered():
    with World() as (s, i):
        with smtplib.SMTP(s.host, s.submission, local_hostname="client.test", timeout=30) as c:
            c.ehlo()
            assert "OAUTH" not in c.esmtp_features.get("auth", ""), c.esmtp_features
            assert login(c, "OAUTHBEARER", "token")[0] in (504, 530, 538)
            c.starttls(context=context())
            c.ehlo()
            assert "OAUTHBEARER" in c.esmtp_features["auth"] and "XOAUTH2" in c.esmtp_features["auth"]
        assert i.asked == 0
    with Server() as s, tls(s) as c:
        c.ehlo()
        assert "OAUTH" not in c.esmtp_features["auth"] and login(c, "XOAUTH2", "token", user=ANNA)[0] == 504


def test_host_and_port():
    """RFC 7628 3.2: what a client says of where it is must be so."""
    with World() as (s, i):
        i.tokens["t"] = {"active": True, "email": ANNA}
        for host, port, code in (s.conf_hostname, s.submissions, 235), (s.conf_hostname.upper(), "", 235), (HOST, s.submissions, 235), \
                ("", s.submissions, 235), ("imap.evil.example", s.submissions, 535), (s.conf_hostname, s.submission, 535), \
                ("127.0.0.2", "", 535):
            assert one(s, "t", host=host, port=port) == code, (host, port)
        assert re.search(r"login-failed.*imap.evil.example", s.log())


def test_curl_and_swaks():
    with World() as (s, i):
        i.tokens["t"] = {"active": True, "email": ANNA}
        for mech in "OAUTHBEARER", "XOAUTH2":
            for url in f"smtps://{s.host}:{s.submissions}", f"smtp://{s.host}:{s.submission}":
                mail = message(f"curl {mech} {url[:5]}")
                args = ["curl", "-sS", "-k", "--ssl-reqd", "--url", url + "/client.test", "-u", f"{ANNA}:", "--login-options",
                        f"AUTH={mech}", "--mail-from", ANNA, "--mail-rcpt", BEN, "-T", "-"]
                run(*args, "--oauth2-bearer", "t", stdin=mail, check=0)
                wait_for(lambda: [m for m in s.pop3_messages("ben") if f"curl {mech} {url[:5]}".encode() in m])
                assert run(*args, "--oauth2-bearer", "wrong", stdin=mail).returncode == 67      # login denied
        assert "with ESMTPSA" in " ".join(s.pop3_messages("ben")[0].decode().split())


def test_endpoint_in_trouble():
    with World() as (s, i):
        i.tokens["t"] = i.tokens["t2"] = {"active": True, "email": ANNA}
        for behave, why in ("nonsense", "its answer is none"), ("fail", "it answers 500"), ("redirect", "it answers 302"), \
                ("huge", "too long"):
            i.behave = behave
            assert one(s, "t") == 454, behave
            assert re.search(rf"courier.*token-endpoint.*{why}", s.log()), (behave, s.log()[-2000:])
        assert all(path != "/elsewhere" for _, path, _, _ in i.seen)
        # three in a row: it is left alone for a while, and then asked again
        i.behave = "well"
        asked = i.asked
        assert one(s, "t") == 454 and i.asked == asked and "left alone" in s.log()
        wait_for(lambda: one(s, "t") == 235, 20, step=0.5)
        assert i.asked <= asked + 2, (asked, i.asked)
        # a secret that was changed is taken up; the wrong one is said to be so
        i.secret_file.write_text("another\n")
        wait_for(lambda: one(s, "wrong") == 454, 15, step=0.5)
        assert "it refuses us (401)" in s.log()
        i.stop()
        assert one(s, "t") == 235, "what was good a moment ago needs no issuer"
        assert one(s, "t2") == 454
        # passwords do not suffer
        with tls(s) as c:
            c.login(ANNA, s.passwords["anna"])


def test_hanging_endpoint():
    """Logins with passwords go on, and so does the end of the server."""
    with World() as (s, i):
        i.behave = "hang"
        held = []
        for n in range(30):                    # more than may ask at once
            c = socket.create_connection((s.host, s.submissions), 30)
            c = context().wrap_socket(c)
            c.recv(1000), c.sendall(b"EHLO client.test\r\n"), c.recv(1000)
            c.sendall(b"AUTH OAUTHBEARER " + base64.b64encode(words("OAUTHBEARER", f"t{n}").encode()) + b"\r\n")
            held.append(c)
        with tls(s) as c:
            c.login(ANNA, s.passwords["anna"])
        start = time.monotonic()
        for c in held:
            assert b"454 4.7.0" in c.recv(1000)
            c.close()
        assert time.monotonic() - start < 60
        assert one(s, "again") == 454
        begun = threading_login(s, "last")
        time.sleep(0.3)
        assert s.stop() == 0
        begun.close()


def threading_login(s, token):
    c = context().wrap_socket(socket.create_connection((s.host, s.submissions), 30))
    c.recv(1000), c.sendall(b"EHLO client.test\r\n"), c.recv(1000)
    c.sendall(b"AUTH OAUTHBEARER " + base64.b64encode(words("OAUTHBEARER", token).encode()) + b"\r\n")
    return c


def test_certificate_of_the_endpoint():
    """Not signed by an authority of ours, or for another name."""
    other = Issuer(tempfile.mkdtemp(prefix="postrider-e2e-issuer."))
    other.stop()
    with World(ca=other.ca) as (s, i):
        i.tokens["t"] = {"active": True, "email": ANNA}
        assert one(s, "t") == 454 and i.asked == 0
        assert re.search(r"token-endpoint.*certificate", s.log()), s.log()
    shutil.rmtree(other.folder, ignore_errors=True)


def test_budgets():
    """Tokens tried by a stranger: after some the issuer is not asked any more. The address is said by XCLIENT."""
    with World(more='xclient_networks = {"127.0.0.0/8"}\nerrors_hard = 1000\nerrors_soft = 1000\n') as (s, i):
        i.tokens["t"] = {"active": True, "email": ANNA}
        for n in range(24):
            c = tls(s)
            c.ehlo()
            assert c.docmd("XCLIENT", "ADDR=198.51.100.7")[0] == 220
            c.ehlo()
            # not waited for: a wrong one is held back for seconds
            c.putcmd("AUTH", "OAUTHBEARER " + base64.b64encode(words("OAUTHBEARER", f"guess-{n}", user=ANNA).encode()).decode())
            wait_for(lambda: len(re.findall(r"core - login-(?:failed|later)", s.log())) > n, 20)
            c.close()
        wait_for(lambda: "login-later" in s.log())
        assert i.asked == 20, i.asked
        assert one(s, "t") == 235              # from this machine, as ever


def claims(**more):
    return {"iss": ISSUER, "aud": [AUDIENCE, "account"], "exp": int(time.time()) + 600, "email": ANNA, **more}


def test_signed_tokens():
    with World(keys=True) as (s, i):
        r, p, e = (Key(i.folder, kid, alg) for kid, alg in (("r1", "RS256"), ("p1", "PS256"), ("e1", "ES256")))
        i.keys = [r, p, e]
        for key in i.keys:
            for mech in "OAUTHBEARER", "XOAUTH2":
                assert one(s, key.token(claims()), user=ANNA, mech=mech) == 235, key.alg
        assert i.asked == 1 and i.seen[0][:2] == ("GET", "/keys"), i.seen
        for change in {"exp": int(time.time()) - 61}, {"aud": "web"}, {"iss": "https://evil.example"}, {"email": "nobody@" + DOMAIN}, \
                {"email_verified": False}, {"nbf": int(time.time()) + 120}, {"email": BEN}:
            assert one(s, e.token(claims(**change)), user=ANNA) == 535, change
        # confusion of algorithms: no signature, the public key as a secret, another's key under a known name
        head = {"alg": "none", "kid": "r1"}
        body = b64url(json.dumps(claims()).encode())
        assert one(s, b64url(json.dumps(head).encode()) + "." + body + ".") == 535
        head["alg"] = "HS256"
        text = b64url(json.dumps(head).encode()) + "." + body
        pem = openssl("pkey", "-in", r.path, "-pubout")
        assert one(s, text + "." + b64url(hmac.new(pem, text.encode(), hashlib.sha256).digest())) == 535
        evil = Key(i.folder, "evil", "ES256")
        assert one(s, evil.token(claims(), kid="e1")) == 535
        good = e.token(claims())
        assert one(s, good[:-8] + "AAAAAAAA") == 535
        assert i.asked == 1, i.seen
        # a key that is not there has the set asked for once more, and then not for a while
        for _ in range(3):
            assert one(s, evil.token(claims())) == 535
        assert i.asked == 2, i.seen
        log = s.log()
        for why in "it has expired", r"\(aud\)", r"\(iss\)", "algorithm is not allowed", "signature is wrong", "does not publish":
            assert re.search(rf"token-refused.*{why}", log), why


def test_keys_are_replaced():
    with World(keys=True) as (s, i):
        old, new = Key(i.folder, "old", "ES256"), Key(i.folder, "new", "ES256")
        i.keys = [old]
        assert one(s, old.token(claims())) == 235
        i.keys = [old, new]
        assert one(s, new.token(claims())) == 235 and i.asked == 2, i.seen
        i.stop()
        assert one(s, new.token(claims(email=BEN))) == 235                 # the keys are known
    with World(keys=True) as (s, i):
        i.behave = "nonsense"
        assert one(s, Key(i.folder, "k", "ES256").token(claims())) == 454


def test_single():
    """All roles as threads of one process."""
    with World(keys=True, single=True) as (s, i):
        i.keys = [Key(i.folder, "k", "ES256")]
        assert one(s, i.keys[0].token(claims())) == 235


def test_courier_dies():
    with World() as (s, i):
        i.tokens.update({t: {"active": True, "email": ANNA} for t in ("a", "b")})
        assert one(s, "a") == 235
        pid = s.roles()["courier"]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: s.roles().get("courier", pid) != pid)
        assert one(s, "b") == 235 and i.asked == 2


def client_certificate(folder, name):
    key, cert = Path(folder) / f"{name}.key", Path(folder) / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj", f"/CN={name}",
            "-keyout", key, "-out", cert)
    return cert, key


def external(c, who=""):
    return c.docmd("AUTH", "EXTERNAL " + (base64.b64encode(who.encode()).decode() or "="))[0]


def test_external():
    with Server("client_certificates = yes") as s:
        mine, other = (client_certificate(s.dir, n) for n in ("mine", "other"))
        s.cli("account", "certificate", "add", ANNA, mine[0], check=0)
        with tls(s, certificate=mine) as c:
            c.ehlo()
            assert "EXTERNAL" in c.esmtp_features["auth"].split(), c.esmtp_features
            assert external(c) == 235
            c.sendmail(ANNA, [BEN], message("by certificate"))
        wait_for(lambda: [m for m in s.pop3_messages("ben") if b"by certificate" in m])
        for who, code in (ANNA, 235), (BEN, 535), ("nobody@" + DOMAIN, 535):
            with tls(s, certificate=mine) as c:
                c.ehlo()
                assert external(c, who) == code, who
        with smtplib.SMTP(s.host, s.submission, local_hostname="client.test", timeout=30) as c:
            c.starttls(context=context(certificate=mine))
            c.ehlo()
            assert external(c) == 235
        with tls(s, certificate=other) as c:
            c.ehlo()
            assert external(c) == 535
        with tls(s) as c:
            c.ehlo()
            assert "EXTERNAL" not in c.esmtp_features["auth"] and external(c) == 504
        s.cli("account", "certificate", "remove", ANNA, mine[0], check=0)
        with tls(s, certificate=mine) as c:
            c.ehlo()
            assert external(c) == 535
        assert re.search(r"\blogin\b.*name=anna@.*sasl=EXTERNAL.*password=certificate", s.log())
    with Server() as s, tls(s, certificate=client_certificate(s.dir, "mine")) as c:      # the default: nobody is asked
        c.ehlo()
        assert "EXTERNAL" not in c.esmtp_features["auth"], c.esmtp_features


main(globals())
