"""A network of its own for a test: loopback with any address 127.x.y.z, every port, a DNS server (NSD), and an authority whose
certificates the servers in it show.

    DIR = world.enter("features")        # the test's program starts again inside; as root only
    world.dns(ZONE)                      # "test." at 127.0.0.53
    ca = world.Authority(DIR / "ca")
"""
import os, re, shutil, ssl, subprocess, sys, tempfile
from pathlib import Path
import harness
from harness import run, wait_for

DNS = "127.0.0.53"
children = []
endings = []    # what else is to be called when the test ends


def enter(name, users=(), addresses=()):
    """The test's folder, in a namespace with loopback alone. `users`: system users that are added to what is seen of /etc/passwd.
    `addresses`: those of 127/8 that a program wants to see as the interface's own; all others can be used without that."""
    inside = os.environ.get("WORLD_DIR")
    if inside:
        return Path(inside)
    if os.geteuid() != 0:
        print("needs root: a network namespace")
        sys.exit(77)
    p = run("unshare", "-n", "-m", "true")
    if p.returncode != 0:
        print("needs namespaces: " + p.stderr)
        sys.exit(77)
    d = Path(tempfile.mkdtemp(prefix=f"postrider-{name}."))
    os.chmod(d, 0o755)
    (d / "resolv.conf").write_text(f"nameserver {DNS}\noptions timeout:2 attempts:1\n")
    mounts = [("resolv.conf", "/etc/resolv.conf")]
    if users:
        for base, line in ("passwd", "{0}:x:{1}:{1}::/nonexistent:/usr/sbin/nologin\n"), ("group", "{0}:x:{1}:\n"):
            known = Path("/etc", base).read_text()
            new = [line.format(u, 64100 + i) for i, u in enumerate(users) if f"\n{u}:" not in known]
            (d / base).write_text(known + "".join(new))
            mounts.append((base, f"/etc/{base}"))
    script = "ip link set lo up && " + "".join(f"ip addr add {a}/8 dev lo && " for a in addresses) + "mount --make-rprivate / && " + " && ".join(f"mount --bind {d}/{a} {b}" for a, b in mounts) + ' && exec "$@"'
    try:
        code = subprocess.run(["unshare", "-n", "-m", "bash", "-c", script, "bash", sys.executable, *sys.argv],
                              env=dict(os.environ, WORLD_DIR=str(d))).returncode
    finally:
        shutil.rmtree(d, ignore_errors=True)
    sys.exit(code)


def child(*args, **kw):
    """A program that ends with the test at the latest."""
    kw.setdefault("stdin", subprocess.DEVNULL)
    p = subprocess.Popen([str(a) for a in args], **kw)
    children.append(p)
    return p


def end_children():
    while endings:
        endings.pop()()
    for p in reversed(children):
        if p.poll() is None:
            p.terminate()
    for p in children:
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()


def main(names):
    """As the harness's, and nothing is left behind."""
    try:
        harness.main(names)
    finally:
        end_children()


def dns(folder, zone):
    d = Path(folder) / "nsd"
    d.mkdir()
    (d / "test.zone").write_text("$ORIGIN test.\n$TTL 60\n@ SOA ns.test. host.test. 1 3600 600 86400 60\n@ NS ns\n" +
                                 f"ns A {DNS}\n" + zone)
    (d / "nsd.conf").write_text(f"""server:
  ip-address: {DNS}
  port: 53
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{d}"
  pidfile: "{d}/pid"
  xfrdfile: "{d}/xfrd"
  zonelistfile: "{d}/zones"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: "test."
  zonefile: "test.zone"
""")
    child("nsd", "-d", "-c", d / "nsd.conf", stderr=subprocess.DEVNULL)


SETTINGS = f"""dns_servers = {{"{DNS}:53"}}
dnssec = no
"""


class Authority:
    """cert: the file a client trusts."""

    def __init__(self, folder):
        self.dir = Path(folder)
        self.dir.mkdir(parents=True)
        self.cert = self.dir / "authority.pem"
        self.serial = 0
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 365, "-subj",
            "/CN=test authority", "-keyout", self.dir / "authority.key", "-out", self.cert, "-addext",
            "keyUsage=critical,keyCertSign,cRLSign", check=0)

    def issue(self, folder, *names, days=90, trusted=True, usage="serverAuth"):
        """cert.pem (with the authority's behind it) and key.pem in `folder`, for these names."""
        d = Path(folder)
        d.mkdir(parents=True, exist_ok=True)
        self.serial += 1
        (d / "ext").write_text("subjectAltName=" + ",".join(("IP:" if re.fullmatch(r"[0-9.]+", n) else "DNS:") + n for n in names) +
                               f"\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\nbasicConstraints=critical,CA:FALSE\n")
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={names[0]}",
            "-keyout", d / "key.new", "-out", d / "csr", check=0)
        signer = ["-CA", self.cert, "-CAkey", self.dir / "authority.key"] if trusted else ["-signkey", d / "key.new"]
        run("openssl", "x509", "-req", "-in", d / "csr", *signer, "-set_serial", self.serial, "-days", days, "-extfile", d / "ext",
            "-out", d / "cert.new", check=0)
        os.rename(d / "key.new", d / "key.pem")
        os.rename(d / "cert.new", d / "cert.pem")
        return d

    def context(self, folder):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(Path(folder) / "cert.pem", Path(folder) / "key.pem")
        return c
