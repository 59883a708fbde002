"""What the end-to-end tests share: a postrider of their own on loopback, and a little runner.

Each test file is a program: functions named test_* are run in order, each with a line of output; the exit status says whether
all passed. POSTRIDER names the binary. Nothing here waits without a bound.
"""
import contextlib, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time, traceback
from pathlib import Path

BINARY = os.environ.get("POSTRIDER", "build-check/postrider")
HOST = "127.0.0.1"
DOMAIN = "example.test"


def free_ports(n, host=HOST):
    held = []
    for _ in range(n):
        s = socket.socket()
        s.bind((host, 0))
        held.append(s)
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def wait_for(what, seconds=10, step=0.02):
    """Calls `what` until it gives something true; that, or an error after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"not so within {seconds} s: {getattr(what, '__name__', what)}")
        time.sleep(step)


def run(*args, stdin=None, check=None, timeout=60, env=None):
    p = subprocess.run([str(a) for a in args], input=stdin, capture_output=True, text=True, timeout=timeout,
                       env=dict(os.environ, **(env or {})), errors="replace")
    if check is not None and p.returncode != check:
        raise AssertionError(f"{' '.join(map(str, args))}: exit {p.returncode}, not {check}\n{p.stdout}{p.stderr}")
    return p


class Server:
    """A server with two accounts, anna@ and ben@example.test, in a folder of its own."""

    def __init__(self, settings="", single=False, user=None, accounts=("anna", "ben"), host=HOST, smtp_port=None,
                 prefix=(), domain=DOMAIN, hostname=None, keep=None):
        self.dir = Path(keep or tempfile.mkdtemp(prefix="postrider-e2e."))
        os.chmod(self.dir, 0o755)
        self.prefix, self.single, self.user, self.host, self.domain = list(prefix), single, user, host, domain
        self.smtp, self.pop3, self.submission, self.submissions, self.lmtp = free_ports(5)
        self.smtp = smtp_port or self.smtp
        self.data = self.dir / "data"
        self.submit_socket = self.dir / "run" / "submit.sock"
        self.conf = self.dir / "postrider.conf"
        self.conf_hostname = hostname or "mail." + domain
        self.conf.write_text(f"""hostname = "{hostname or 'mail.' + domain}"
data_dir = "{self.data}"
listen_smtp = {{"{host}:{self.smtp}"}}
listen_lmtp = {{"{HOST}:{self.lmtp}"}}
listen_pop3 = {{"{HOST}:{self.pop3}"}}
listen_submission = {{"{HOST}:{self.submission}"}}
listen_submissions = {{"{HOST}:{self.submissions}"}}
submit_socket = "{self.submit_socket}"
relay_networks = {{"127.0.0.0/8"}}
{settings}
""")
        if user:
            shutil.chown(self.dir, user)
            self.prefix += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        self.passwords = {}
        self.process = None
        self.logfile = self.dir / "log"
        self.cli("init", "--domain", domain, check=0)
        for a in accounts:
            self.account(a)

    def account(self, name):
        password = self.passwords[name] = f"secret-of-{name}"
        self.cli("account", "add", f"{name}@{self.domain}", "--password-stdin", stdin=password + "\n", check=0)

    def cli(self, *args, **kw):
        return run(*self.prefix, BINARY, "--config", self.conf, *args, **kw)

    def json(self, *args, check=0):
        return json.loads(self.cli("--json", *args, check=check).stdout)

    def start(self):
        log = open(self.logfile, "ab")
        at = log.tell()
        self.process = subprocess.Popen([*self.prefix, BINARY, "--config", str(self.conf), "serve"] +
                                        (["--single"] if self.single else []), stderr=log, stdin=subprocess.DEVNULL)
        log.close()

        def ready():
            assert self.process.poll() is None, "the server ended:\n" + self.log()
            return re.search(r"supervisor.*\bready\b", self.log()[at:])
        wait_for(ready, 20)
        return self

    def stop(self, sig=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("the server did not stop within 20 s:\n" + self.log()[-4000:])
        code = self.process.returncode if self.process else 0
        self.process = None
        return code

    def log(self):
        return self.logfile.read_text(errors="replace") if self.logfile.exists() else ""

    def roles(self):
        """name -> pid of the running role processes."""
        found = {}
        for p in Path("/proc").iterdir():
            if p.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (p / "cmdline").read_bytes().split(b"\0")
                    parent = int(re.search(r"\) \S (\d+)", (p / "stat").read_text()).group(1))
                    if len(words) >= 3 and words[1] == b"role" and parent == self.supervisor():
                        found[words[2].decode()] = int(p.name)
        return found

    def supervisor(self):
        return self.process.pid

    def pop3_messages(self, name):
        import poplib
        box = poplib.POP3(HOST, self.pop3, timeout=20)
        box.user(f"{name}@{self.domain}")
        box.pass_(self.passwords[name])
        out = [b"\r\n".join(box.retr(i + 1)[1]) + b"\r\n" for i in range(box.stat()[0])]
        box.quit()
        return out

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *rest):
        try:
            self.stop()
        finally:
            log = self.log()
            if kind:
                print("--- the server's log ---\n" + log[-6000:])
            shutil.rmtree(self.dir, ignore_errors=True)
        no_faults(log)


def no_faults(log):
    """What no server's log may have: a sanitizer's finding, a role that ended by itself (SIGKILL and SIGTERM are the tests' own)."""
    bad = re.findall(r".*(?:AddressSanitizer|runtime error|internal error|LeakSanitizer| ended role=.* signal=(?!0$|9$|15$)).*", log, re.M)
    assert not bad, bad


def smtp(server, port=None):
    import smtplib
    return smtplib.SMTP(server.host, port or server.smtp, local_hostname="client.test", timeout=30)


def message(subject="test", body="Hello", sender=f"anna@{DOMAIN}", to=f"ben@{DOMAIN}"):
    return f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{body}\r\n"


def main(names):
    """Runs the test_* functions of the calling file."""
    failed = 0
    wanted = sys.argv[1:]
    for name, fn in list(names.items()):
        if name.startswith("test_") and callable(fn) and (not wanted or name in wanted):
            start = time.monotonic()
            try:
                fn()
                print(f"ok    {name}  {time.monotonic() - start:.1f} s", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {name}", flush=True)
                traceback.print_exc()
                if name == "test_start":    # what all others need
                    break
    sys.exit(1 if failed else 0)
