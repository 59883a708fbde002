#!/usr/bin/python3
"""10,000 slow clients against one postrider, on loopback: what a legitimate client feels, and what it costs in memory.

    slow.py [--seconds 600] [--clients 10000] [--kinds typist,data,tls,deaf] [--config 'setting = value' ...]

The slow ones come from 250 addresses in 125 networks, none of them trusted, and come back at once when they are thrown out:
a typist sends its commands byte by byte, one a second; `data` sends content just over the floor; `tls` says STARTTLS and never
ends the handshake, one half of them not even the client hello; `deaf` asks and never reads. The legitimate client connects ten times a second, each time from another network, until it
has the greeting, says EHLO and QUIT. POSTRIDER names the binary. As root it runs in a network of its own.
"""
import argparse, contextlib, ctypes, heapq, json, multiprocessing, os, random, re, resource, select, shutil, signal, socket
import ssl, subprocess, sys, tempfile, time
from pathlib import Path

BINARY = os.environ.get("POSTRIDER", "build/postrider")
PORT = 12025
ADDRESSES = 250     # 40 clients each: under the limit of 50 for one address
PER_NETWORK = 2     # addresses in a /24: 80 clients, under the limit of 200
CONNECTS_A_TICK = 50
CLONE_NEWNET = 0x40000000
GREETING_S = 30     # longer than that is no greeting


# ---- the slow ones: each is a generator that sends and yields seconds to sleep, or None for "until there is a reply" ----

def typist(c):
    yield None
    while True:
        for i in b"EHLO slow.example.org\r\n":
            c.send(bytes([i]))
            yield 1.0


def data(c):
    yield None
    for line in ("EHLO slow.example.org", "MAIL FROM:<slow@example.org>", "RCPT TO:<anna@example.test>", "DATA"):
        c.send(line.encode() + b"\r\n")
        yield None
    while True:
        c.send(b"x" * 598 + b"\r\n")
        yield 1.0


def client_hello():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


HELLO = client_hello()


def tls(c):
    yield None
    for line in ("EHLO slow.example.org", "STARTTLS"):
        c.send(line.encode() + b"\r\n")
        yield None
    if random.random() < 0.5:
        c.send(HELLO)
        while True:
            yield 60.0
    for i in HELLO:
        c.send(bytes([i]))
        yield 2.0


def deaf(c):
    yield None
    c.deaf = True
    c.send(b"EHLO slow.example.org\r\n")
    while True:
        yield 1.0
        c.send(b"RSET\r\n" * 20)


KINDS = dict(typist=typist, data=data, tls=tls, deaf=deaf)


class Client:
    __slots__ = ("kind", "source", "sock", "script", "waits", "deaf", "tail", "born")

    def __init__(self, number, kind):
        self.kind, self.sock, self.born = kind, None, 0
        a = number % ADDRESSES
        self.source = f"127.{10 + a // PER_NETWORK}.7.{1 + a % PER_NETWORK}"

    def open(self, poll, by_fd):
        s = self.sock = socket.socket()
        s.setblocking(False)
        if self.kind == "deaf":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        s.bind((self.source, 0))
        s.connect_ex(("127.0.0.1", PORT))
        self.script, self.waits, self.deaf, self.tail = KINDS[self.kind](self), True, False, b""
        next(self.script)
        by_fd[s.fileno()] = self
        poll.register(s, select.EPOLLIN)

    def send(self, what):
        with contextlib.suppress(BlockingIOError):
            self.sock.send(what)


class Crowd:
    def __init__(self, n, kinds, seconds, told):
        self.poll, self.by_fd, self.due, self.told = select.epoll(), {}, [], told
        self.counts = dict(opened=0, refused=0, ended=0)
        self.n, self.end = n, time.monotonic() + seconds
        self.clients = [Client(i, kinds[i % len(kinds)]) for i in range(n)]
        self.to_open = list(range(n))
        random.shuffle(self.to_open)

    def drop(self, c, now):
        del self.by_fd[c.sock.fileno()]
        c.sock.close()
        c.sock = None
        self.at(now + random.uniform(0.5, 1.5), c)  # and again

    def at(self, when, c):
        heapq.heappush(self.due, (when, id(c), c, c.sock))

    def step(self, c, now):
        try:
            wait = next(c.script)
        except (StopIteration, OSError):
            self.counts["ended"] += 1
            self.drop(c, now)
            return
        c.waits = wait is None
        if c.deaf:
            self.poll.modify(c.sock, 0)
        if wait is not None:
            self.at(now + wait, c)

    def readable(self, c, now):
        try:
            got = c.sock.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            got = b""
        lines = (c.tail + got).split(b"\r\n")
        c.tail = lines[-1][-400:]
        refused = any(l.startswith(b"421") for l in lines)
        if not got or refused:
            self.counts["refused" if refused else "ended"] += 1
            self.drop(c, now)
        elif c.waits and any(re.match(rb"\d{3}( |$)", l) for l in lines[:-1]):
            self.step(c, now)

    def run(self):
        told_at = 0
        while (now := time.monotonic()) < self.end:
            for _ in range(min(CONNECTS_A_TICK, len(self.to_open))):
                self.clients[self.to_open.pop()].open(self.poll, self.by_fd)
                self.counts["opened"] += 1
            while self.due and self.due[0][0] <= now:
                _, _, c, sock = heapq.heappop(self.due)
                if c.sock is None:
                    c.open(self.poll, self.by_fd)
                    self.counts["opened"] += 1
                elif c.sock is sock:
                    self.step(c, now)
            wait = min(0.02, self.due[0][0] - now) if self.due else 0.02
            for fd, what in self.poll.poll(max(wait, 0), 1000):
                c = self.by_fd.get(fd)
                if c is not None and c.deaf and what & (select.EPOLLHUP | select.EPOLLERR):
                    self.counts["ended"] += 1
                    self.drop(c, now)
                elif c is not None:
                    self.readable(c, now)
            if now - told_at > 1:
                told_at = now
                self.told.send((len(self.by_fd), dict(self.counts)))
        self.told.close()


def crowd_main(n, kinds, seconds, told):
    Crowd(n, kinds, seconds, told).run()


# ---- the legitimate client ----

def greet(number):
    """Milliseconds from connect to greeting, or what went wrong."""
    begun = time.monotonic()
    try:
        with socket.socket() as s:
            s.settimeout(GREETING_S)
            s.bind((f"127.{200 + number % 50}.{number // 50 % 250}.1", 0))
            s.connect(("127.0.0.1", PORT))
            f = s.makefile("rwb")
            line = f.readline()
            took = (time.monotonic() - begun) * 1000
            if not line.startswith(b"220"):
                return line.decode(errors="replace").strip() or "closed"
            f.write(b"EHLO good.example.org\r\n")
            f.flush()
            while (line := f.readline())[3:4] == b"-":
                pass
            f.write(b"QUIT\r\n")
            f.flush()
            return took if line.startswith(b"250") and f.readline().startswith(b"221") else "cut off after the greeting"
    except OSError as e:
        return type(e).__name__


def good_main(seconds, told):
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        told.send(greet(number))
        number += 1
        time.sleep(0.1)
    told.close()


# ---- the server ----

def tree(pid):
    todo, found = [pid], []
    while todo:
        found.append(p := todo.pop())
        with contextlib.suppress(OSError):
            for t in Path(f"/proc/{p}/task").iterdir():
                todo += [int(x) for x in (t / "children").read_text().split()]
    return found


def memory(pid):
    """MiB of the tree, shared pages counted once: anonymous, and all."""
    anon = whole = 0
    names = {}
    for p in tree(pid):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{p}/smaps_rollup").read_text()
            kib = {k: int(v) for k, v in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
            mine = kib.get("Pss_Anon", kib.get("Anonymous", 0))
            anon += mine
            whole += kib.get("Pss", 0)
            words = Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0")
            names[words[2].decode() if words[1:2] == [b"role"] else "supervisor"] = round(mine / 1024, 1)
    return anon / 1024, whole / 1024, names


def start(folder, more):
    conf = folder / "postrider.conf"
    conf.write_text(f"""hostname = "mail.example.test"
data_dir = "{folder}/data"
listen_smtp = {{"127.0.0.1:{PORT}"}}
listen_pop3 = {{"127.0.0.1:{PORT + 1}"}}
listen_submission = {{"127.0.0.1:{PORT + 2}"}}
listen_submissions = {{"127.0.0.1:{PORT + 3}"}}
submit_socket = "{folder}/submit.sock"
relay_networks = {{"127.0.0.1/32"}}
""" + "\n".join(more) + "\n")
    tool = [BINARY, "--config", str(conf)]
    subprocess.run([*tool, "init", "--domain", "example.test"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*tool, "account", "add", "anna@example.test", "--password-stdin"], input="secret-of-anna\n", text=True,
                   check=True, stdout=subprocess.DEVNULL)
    log = folder / "log"
    p = subprocess.Popen([*tool, "serve"], stderr=open(log, "wb"), stdin=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while not re.search(r"supervisor.*\bready\b", log.read_text(errors="replace")):
        if p.poll() is not None or time.monotonic() > end:
            sys.exit("the server did not start:\n" + log.read_text(errors="replace"))
        time.sleep(0.05)
    return p


def own_network():
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) == 0:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for name, value in (("core/somaxconn", 8192), ("ipv4/tcp_max_syn_backlog", 8192)):
            Path("/proc/sys/net", name).write_text(str(value))


def quantile(sorted_values, q):
    return sorted_values[min(len(sorted_values) - 1, int(q * len(sorted_values)))] if sorted_values else float("nan")


def measure(server, args):
    crowd_in, crowd_out = multiprocessing.Pipe(False)
    good_in, good_out = multiprocessing.Pipe(False)
    kinds = args.kinds.split(",")
    workers = [multiprocessing.Process(target=crowd_main, args=(args.clients, kinds, args.seconds, crowd_out)),
               multiprocessing.Process(target=good_main, args=(args.seconds, good_out))]
    for w in workers:
        w.start()
    crowd_out.close(), good_out.close()
    times, failed, held, counts, peak, looked = [], {}, 0, {}, (0, 0, {}), 0
    pipes = {crowd_in, good_in}
    while pipes:
        for pipe in multiprocessing.connection.wait(pipes, 0.5):
            try:
                got = pipe.recv()
            except EOFError:
                pipes.discard(pipe)
                continue
            if pipe is crowd_in:
                held, counts = max(held, got[0]), got[1]
            elif isinstance(got, float):
                times.append(got)
            else:
                failed[got] = failed.get(got, 0) + 1
        if time.monotonic() - looked > 0.5:
            looked = time.monotonic()
            peak = max(peak, memory(server.pid), key=lambda m: m[0])
    for w in workers:
        w.join()
    times.sort()
    return dict(seconds=args.seconds, clients=args.clients, held=held, **counts, greetings=len(times), failed=failed,
                p50_ms=round(quantile(times, 0.5), 1), p99_ms=round(quantile(times, 0.99), 1),
                max_ms=round(times[-1], 1) if times else None, anon_mib=round(peak[0], 1), pss_mib=round(peak[1], 1),
                anon_by_role=peak[2])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=int, default=600)
    p.add_argument("--clients", type=int, default=10000)
    p.add_argument("--kinds", default=",".join(KINDS))
    p.add_argument("--config", action="append", default=[], metavar="LINE")
    args = p.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    own_network()
    folder = Path(tempfile.mkdtemp(prefix="postrider-slow."))
    os.chmod(folder, 0o755)
    server = start(folder, args.config)
    try:
        r = measure(server, args)
        alive = server.poll() is None
    finally:
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        if not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(r, indent=1))
    good = alive and r["greetings"] > 0 and r["p99_ms"] < 1000 and not r["failed"] and r["anon_mib"] < 256
    print("good" if good else "NOT as promised: p99 under 1000 ms, no legitimate client refused, under 256 MiB")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    import multiprocessing.connection
    main()
