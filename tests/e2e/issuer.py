"""An issuer of OAuth tokens on loopback, over TLS: introspection (RFC 7662) and a JWK set (RFC 7517), made with openssl."""
import base64, hashlib, http.server, json, re, ssl, subprocess, threading, time, urllib.parse
from pathlib import Path

CLIENT, SECRET = "mail:server", "secret: 100% & more"


def openssl(*args, stdin=b""):
    return subprocess.run(["openssl", *map(str, args)], input=stdin, capture_output=True, check=True, timeout=60).stdout


def b64url(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


class Key:
    """A key that signs tokens: RS256, PS256 or ES256."""

    def __init__(self, folder, kid, alg):
        self.kid, self.alg, self.path = kid, alg, Path(folder) / f"{kid}.key"
        kind = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if alg == "ES256" else ["rsa", "-pkeyopt", "rsa_keygen_bits:2048"]
        openssl("genpkey", "-algorithm", *kind, "-out", self.path)

    def jwk(self):
        if self.alg == "ES256":
            point = openssl("pkey", "-in", self.path, "-pubout", "-outform", "DER")[-64:]
            return {"kty": "EC", "crv": "P-256", "x": b64url(point[:32]), "y": b64url(point[32:]), "kid": self.kid, "use": "sig"}
        n = openssl("rsa", "-in", self.path, "-noout", "-modulus").decode().strip().split("=")[1]
        return {"kty": "RSA", "n": b64url(bytes.fromhex(n)), "e": "AQAB", "kid": self.kid, "use": "sig", "alg": self.alg}

    def sign(self, text):
        pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] if self.alg == "PS256" else []
        s = openssl("dgst", "-sha256", "-sign", self.path, *pss, stdin=text)
        if self.alg != "ES256":
            return s
        numbers = re.findall(rb"INTEGER\s*:([0-9A-F]+)", openssl("asn1parse", "-inform", "DER", stdin=s))
        return b"".join(int(n, 16).to_bytes(32, "big") for n in numbers)

    def token(self, claims, **header):
        head = {"alg": self.alg, "kid": self.kid, "typ": "at+jwt", **header}
        text = ".".join(b64url(json.dumps(x).encode()) for x in (head, claims)).encode()
        return text.decode() + "." + b64url(self.sign(text))


class Issuer:
    """`tokens` are known to introspection, `keys` in the set; `behave` says how the next answers go wrong."""

    def __init__(self, folder, names="IP:127.0.0.1,DNS:id.example.test"):
        self.folder, self.tokens, self.keys, self.behave, self.asked, self.seen = Path(folder), {}, [], "well", 0, []
        self.folder.mkdir(exist_ok=True)
        self.ca, self.release = self.folder / "ca.pem", threading.Event()
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj", "/CN=test authority",
                "-keyout", self.folder / "ca.key", "-out", self.ca)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=issuer", "-keyout",
                self.folder / "tls.key", "-out", self.folder / "tls.csr")
        (self.folder / "ext").write_text(f"subjectAltName={names}\n")
        openssl("x509", "-req", "-in", self.folder / "tls.csr", "-CA", self.ca, "-CAkey", self.folder / "ca.key", "-days", 2,
                "-extfile", self.folder / "ext", "-out", self.folder / "tls.pem")
        self.secret_file = self.folder / "secret"
        self.secret_file.write_text(SECRET + "\n")
        self.port = None
        self.start()

    def start(self):
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                issuer.handle(self)

            do_POST = do_GET

            def log_message(self, *args):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args):      # a client that does not trust us hangs up
                pass

        self.server = Listener(("127.0.0.1", self.port or 0), Handler, bind_and_activate=False)
        self.server.allow_reuse_address = True
        self.server.server_bind(), self.server.server_activate()
        self.port = self.server.server_address[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "tls.pem", self.folder / "tls.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.release.set()
        self.server.shutdown(), self.server.server_close()

    def handle(self, request):
        self.asked += 1
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.seen.append((request.command, request.path, dict(request.headers), body))
        if self.behave == "hang":
            self.release.wait(30)
        status, answer, extra = 200, {}, {}
        if self.behave == "fail":
            status = 500
        elif self.behave == "redirect":
            status, extra = 302, {"Location": f"https://127.0.0.1:{self.port}/elsewhere"}
        elif self.behave == "huge":
            answer = {"active": True, "email": "anna@example.test", "x": "x" * 70000}
        elif self.behave == "nonsense":
            answer = ["active"]
        elif request.path == "/keys" and request.command == "GET":
            answer = {"keys": [k.jwk() for k in self.keys]}
        elif request.path == "/introspect" and request.command == "POST":
            quoted = ":".join(urllib.parse.quote(x, safe="") for x in (CLIENT, SECRET)).encode()
            if request.headers.get("Authorization") != "Basic " + base64.b64encode(quoted).decode():
                status = 401
            form = urllib.parse.parse_qs(body.decode(), strict_parsing=True)
            answer = {"active": False, **self.tokens.get(form["token"][0], {})}
        else:
            status = 404
        out = json.dumps(answer).encode()
        request.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(out), **extra}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(out)
