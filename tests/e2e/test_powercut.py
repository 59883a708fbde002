#!/usr/bin/python3
"""Power cuts on a real file system: the data folder is on an ext4 image of its own, and at the instant of a 250 the image is copied as
the disk has it. A server on the copy has every message that was acknowledged before the cut: in the queue or in the mailbox,
none altered, none of the local ones twice.

    test_powercut.py [CUTS]     default 30
"""
import hashlib, os, random, re, shutil, subprocess, sys, tempfile, threading, time
from collections import Counter
from pathlib import Path
from harness import *

CUTS = int(sys.argv[1]) if len(sys.argv) > 1 else 30
sys.argv = sys.argv[:1]
SEED = int(os.environ.get("SEED", time.time()))
SENDERS = 4
STEP_NS = 40_000_000  # more than a kernel's tick
SETTINGS = 'reserve = "16M"\nmessage_size_max = "1M"\nretry_first = "1h"\nretry_max = "1h"\nroute "*" { host = "127.0.0.1" port = 9 }\n'


def attached():
    """Whether this machine has what the test needs: root, loop devices, ext4."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        return False
    with tempfile.TemporaryDirectory() as d:
        return run("truncate", "-s", "8M", f"{d}/i").returncode == 0 and run("mkfs.ext4", "-q", f"{d}/i").returncode == 0 and \
            run("mount", "-o", "loop", f"{d}/i", f"{d}").returncode == 0 and run("umount", d).returncode == 0


if not attached():
    print("needs root, loop devices and ext4")
    sys.exit(77)


def body_of(rng, token):
    """Lines that say where they belong, and at the end a sum over all of them."""
    lines = [f"{token} {i:05d} {rng.getrandbits(128):032x}" for i in range(rng.choice((1, 3, 40, 1200, 3500)))]
    return "\r\n".join(lines + [f"sum {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"])


def whole(raw):
    """The token of a message; an error if any of it is not as it was sent."""
    lines = raw.decode().replace("\r\n", "\n").split("\n\n", 1)[1].rstrip("\n").split("\n")
    assert lines[-1] == f"sum {hashlib.sha256(chr(10).join(lines[:-1]).encode()).hexdigest()}", "altered: " + repr(lines[:2] + lines[-2:])
    return lines[0].split()[0]


class Witness:
    """What the outside saw: the tokens whose 250 was read, in its order."""

    def __init__(self, server, rng):
        self.server, self.lock, self.stop = server, threading.Lock(), threading.Event()
        self.acknowledged, self.running, self.go = [], [], threading.Event()
        self.came = threading.Condition(self.lock)
        for k in range(SENDERS):
            t = threading.Thread(target=self.send, args=(k, random.Random(rng.random())), daemon=True)
            t.start()
            self.running.append(t)

    def send(self, k, rng):
        import smtplib
        i = 0
        while not self.stop.is_set():
            try:
                with smtp(self.server) as c:
                    while self.go.wait() and not self.stop.is_set():
                        token = f"{'LR'[i % 2]}-{k}-{i}"
                        to = ["ben@example.test"] if i % 2 == 0 else ["x@far.test", "y@far.test"]
                        i += 1
                        c.sendmail("anna@example.test", to, message(token, body_of(rng, token)))
                        with self.came:
                            self.acknowledged.append(token)
                            self.came.notify_all()
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)

    def next(self, n):
        """Waits for n more; all so far, at the instant of the last one."""
        self.go.set()
        with self.came:
            at = len(self.acknowledged) + n
            assert self.came.wait_for(lambda: len(self.acknowledged) >= at, 30), "nothing is accepted any more"
            return list(self.acknowledged)

    def pause(self):
        self.go.clear()

    def end(self):
        self.stop.set()
        self.go.set()
        for t in self.running:
            t.join(30)


class Sink:
    """The other server: takes all, and keeps it."""

    def __init__(self):
        import socketserver
        outer = self
        self.got = []

        class Session(socketserver.StreamRequestHandler):
            def handle(self):
                def say(line):
                    self.wfile.write(line + b"\r\n")
                say(b"220 far.test")
                for line in self.rfile:
                    verb = line[:4].upper()
                    if verb == b"DATA":
                        say(b"354 go on")
                        text = b""
                        while (part := self.rfile.readline()) not in (b".\r\n", b""):
                            text += part[1:] if part[:1] == b"." else part
                        if not part:  # no final dot: it was never taken
                            return
                        outer.got.append(text)
                    say(b"221 bye" if verb == b"QUIT" else b"250 far.test")
                    if verb == b"QUIT":
                        return

        class Threads(socketserver.ThreadingTCPServer):
            daemon_threads, request_queue_size = True, 100

        self.server = Threads((HOST, 0), Session)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def stopped(server):
    """Every process of the server, stopped: nothing is written while the copy is made, but for what the kernel still has."""
    pids = [server.supervisor(), *server.roles().values()]
    for p in pids:
        os.kill(p, signal.SIGSTOP)
    return pids


def cut(server, image, copy):
    """The disk as it is now. Again if the kernel wrote meanwhile: half of an older state and half of a newer is no power cut. A file's
    time moves in steps of some milliseconds: a write in the same step as the last one before would not show, so that one has to be older."""
    pids = stopped(server)
    try:
        for _ in range(200):
            before = os.stat(image).st_mtime_ns
            if time.time_ns() - before < STEP_NS:
                time.sleep(STEP_NS / 1e9)
                continue
            run("cp", "--sparse=always", image, copy, check=0)
            if os.stat(image).st_mtime_ns == before:
                return
        raise AssertionError("the kernel does not stop writing")
    finally:
        for p in pids:
            os.kill(p, signal.SIGCONT)


def after(server, place, sink):
    """Starts a server on what the cut left; the tokens in ben's mailbox, and those the sink was sent."""
    s = Server.__new__(Server)
    s.__dict__.update(server.__dict__, dir=place, conf=place / "postrider.conf", logfile=place / "after", process=None)
    s.smtp, s.pop3, s.submission, s.submissions, s.lmtp = free_ports(5)
    text = server.conf.read_text().replace(str(server.dir), str(place)).replace("port = 9", f"port = {sink.port}")
    for name in ("smtp", "pop3", "submission", "submissions", "lmtp"):  # the first server still has its own
        text = text.replace(f":{getattr(server, name)}\"", f":{getattr(s, name)}\"")
    s.conf.write_text(text)
    sink.got.clear()
    s.start()
    try:
        def drained():
            return not s.json("queue", "list", "--messages")
        assert s.cli("queue", "retry", "--all").returncode in (0, 3)  # 3: nothing waits
        wait_for(drained, 30, 0.05)
        got = [whole(m) for m in s.pop3_messages("ben")], [whole(m) for m in sink.got]
        p = s.cli("check", "store")
        assert p.returncode == 0, p.stdout + p.stderr
        no_faults(s.log())
        return got
    except Exception:
        print(s.log()[-3000:])
        raise
    finally:
        s.stop()


def test_power_cuts():
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    work = Path(tempfile.mkdtemp(prefix="postrider-cut."))
    disk, place, image, copy = work / "disk", work / "after", work / "image", work / "copy"
    os.chmod(work, 0o755)
    disk.mkdir()
    place.mkdir()
    run("truncate", "-s", "256M", image, check=0)
    run("mkfs.ext4", "-q", image, check=0)
    run("mount", "-o", "loop", image, disk, check=0)
    sink, unacknowledged = Sink(), 0
    try:
        with Server(SETTINGS, keep=disk) as s:
            w = Witness(s, rng)
            for _ in range(CUTS):
                acknowledged = w.next(rng.randrange(1, 40))
                cut(s, image, copy)
                w.pause()
                run("mount", "-o", "loop", copy, place, check=0)
                try:
                    local, remote = after(s, place, sink)
                finally:
                    run("umount", place, check=0)
                want = {t[0]: {x for x in acknowledged if x[0] == t[0]} for t in "LR"}
                lost = (want["L"] - set(local)) | (want["R"] - set(remote))
                doubled = [t for t, n in Counter(local + remote).items() if n > 1]
                unacknowledged += len(local + remote) - len(acknowledged)
                assert not lost and not doubled, (sorted(lost)[:5], doubled[:5])
            w.end()
        print(f"{CUTS} cuts, {len(acknowledged)} acknowledged before the last, 0 lost, 0 altered; {unacknowledged} were there before their 250")
    finally:
        run("umount", "-l", disk)
        shutil.rmtree(work, ignore_errors=True)


main(globals())
