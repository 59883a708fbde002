#!/usr/bin/python3
"""Mail servers side by side on this machine, on loopback only.  See README.md.

    bench.py [WORKLOAD ...] [--servers postrider,postfix] [--reps 3] [--n N]

Workloads: accept (100, 20 and 1 connections, 10 KiB), large (1 MiB), relay, local, submit (STARTTLS and AUTH PLAIN, one
message a connection), logins (accept beside a thousand logins), idle; without a name all of them.
Runs itself in private network and mount namespaces, the servers' folders on a journaled ext4 made for the run.
"""
import argparse, contextlib, json, os, signal, socket, statistics, subprocess, sys, tempfile, threading, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TMP = Path(tempfile.gettempdir())
BIN = TMP / "postrider-bench"
PORT, SINK = 12025, 12100
CG = Path("/sys/fs/cgroup")


def build():
    BIN.mkdir(exist_ok=True)
    for tool, libs in (("smtpload", ["-DWITH_TLS", "-lssl", "-lcrypto"]), ("smtpsink", []), ("mdwatch", [])):
        source = HERE / f"{tool}.c"
        out = BIN / tool
        if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["cc", "-O2", "-o", out, source, *libs], check=True)


def isolate():
    if os.environ.get("BENCH_INNER") == "1":
        return
    image, mount = BIN / "fs.img", BIN / "fs"
    mount.mkdir(exist_ok=True)
    resolv = BIN / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    script = f"""set -e
ip link set lo up; ip route add local 10.77.0.0/16 dev lo; mount --make-rprivate /; mount --bind {resolv} /etc/resolv.conf
echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range
echo 12000-12999 > /proc/sys/net/ipv4/ip_local_reserved_ports
echo 8192 > /proc/sys/net/core/somaxconn; echo 8192 > /proc/sys/net/ipv4/tcp_max_syn_backlog
echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse
[ -e {image} ] || dd if=/dev/zero of={image} bs=1M count={os.environ.get("BENCH_FS_MIB", "4096")} conv=fsync status=none
mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 -N 400000 {image}
mount -o loop {image} {mount}; losetup --direct-io=on $(findmnt -no SOURCE {mount}) || true; chmod 1777 {mount}
exec "$@" """
    env = dict(os.environ, BENCH_INNER="1")
    os.execvpe("unshare", ["unshare", "-n", "-m", "bash", "-c", script, "bash", sys.executable, *sys.argv], env)


class Cgroup:
    """CPU and memory of a whole process tree, exited children included."""

    def __init__(self, name):
        self.v2 = (CG / "cgroup.controllers").exists()
        self.dirs = [CG / name] if self.v2 else [CG / "cpuacct" / name, CG / "memory" / name]
        for d in self.dirs:
            d.mkdir(exist_ok=True)

    def enter(self):
        for d in self.dirs:
            (d / "cgroup.procs").write_text(str(os.getpid()))

    def cpu(self):
        if not self.v2:
            return int((self.dirs[0] / "cpuacct.usage").read_text()) / 1e9
        for line in (self.dirs[0] / "cpu.stat").read_text().splitlines():
            if line.startswith("usage_usec"):
                return int(line.split()[1]) / 1e6

    def anon(self):
        key = "anon " if self.v2 else "total_rss "
        with contextlib.suppress(OSError):
            for line in (self.dirs[-1] / "memory.stat").read_text().splitlines():
                if line.startswith(key):
                    return int(line.split()[1])
        return 0

    def pids(self):
        with contextlib.suppress(OSError):
            return {int(x) for x in (self.dirs[0] / "cgroup.procs").read_text().split()}
        return set()

    def end(self):
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for p in self.pids():
                with contextlib.suppress(OSError):
                    os.kill(p, sig)
            stop = time.time() + 3
            while self.pids() and time.time() < stop:
                time.sleep(0.05)
        for d in self.dirs:
            for _ in range(20):
                with contextlib.suppress(OSError):
                    d.rmdir()
                    break
                time.sleep(0.1)


class Server:
    def __init__(self, name, mode, users):
        self.name, self.mode, self.users = name, mode, users

    def __enter__(self):
        self.dir = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=BIN / "fs"))
        self.dir.chmod(0o755)
        if self.mode == "local" and self.name == "postfix":
            for i in range(self.users):
                for sub in ("cur", "new", "tmp"):
                    (self.dir / "mail" / f"user{i}" / sub).mkdir(parents=True)
            subprocess.run(["chown", "-R", "nobody:nogroup", self.dir / "mail"], check=True)
        self.cg = Cgroup(f"bench-{os.getpid()}-{self.name}")
        self.log = open(self.dir / "server.log", "wb")
        self.p = subprocess.Popen([HERE / "servers" / self.name, self.mode, self.dir, str(PORT), str(SINK), str(self.users)],
                                  stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=self.cg.enter,
                                  start_new_session=True)
        stop = time.time() + 60
        while not self.greets():
            if self.p.poll() is not None or time.time() > stop:
                text = (self.dir / "server.log").read_text(errors="replace")[-3000:]
                self.__exit__()
                raise RuntimeError(f"{self.name} did not come up: {text}")
            time.sleep(0.1)
        time.sleep(0.3)
        self.peak = 0
        self.done = threading.Event()
        self.sampler = threading.Thread(target=self.sample, daemon=True)
        self.sampler.start()
        return self

    def greets(self):
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", PORT), 2) as s:
                s.settimeout(10)
                if s.recv(1) == b"2":
                    s.sendall(b"QUIT\r\n")
                    return True
        return False

    def sample(self):
        while not self.done.wait(0.25):
            self.peak = max(self.peak, self.cg.anon())

    def quiet(self, seconds=30):
        """Waits until it uses no CPU: the warm-up has drained."""
        stop, idle, last = time.time() + seconds, 0, self.cg.cpu()
        while idle < 3 and time.time() < stop:
            time.sleep(0.2)
            now = self.cg.cpu()
            idle, last = (idle + 1 if now - last < 0.02 else 0), now

    def waiting(self):
        """How many messages wait in postrider's queue."""
        out = subprocess.run([os.environ["POSTRIDER"], "--config", self.dir / "postrider.conf", "--json", "status"],
                             capture_output=True, text=True)
        q = json.loads(out.stdout)["queue"]
        return q["local"] + q["remote"]

    def __exit__(self, *a):
        if hasattr(self, "done"):
            self.done.set()
            self.sampler.join()
        with contextlib.suppress(OSError):
            self.p.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.p.wait(5)
        self.cg.end()
        self.log.close()
        if not os.environ.get("BENCH_KEEP"):
            subprocess.run(["rm", "-rf", self.dir])


def load(**kw):
    cmd = [BIN / "smtpload", "-p", str(PORT)]
    for k, v in kw.items():
        cmd += [f"-{k}"] if v is True else [f"-{k}", str(v)]
    return json.loads(subprocess.run(cmd, stdout=subprocess.PIPE, text=True).stdout.strip().splitlines()[-1])


def figures(s, r, cpu, done, rate, **more):
    return dict(ok=r["ok"], rate=round(rate, 1), accepted=r["rate"], p50=r["p50_ms"], p99=r["p99_ms"],
                cpu_per_1000=round(cpu / max(done, 1) * 1000, 3), anon_mib=round(s.peak / 2**20, 1), refused=r["r4xx"] + r["r5xx"], **more)


def accept(s, cell, n):
    # "any": hits no account, so that Postfix (HOLD) and postrider (a route to a closed port) both only store it
    kw = dict(cell, t="u%llu@far.test", u=100)
    warm = load(**kw, n=max(200 if cell["s"] < 500000 else 20, 2 * cell["c"]), r="W", T=30)
    n = n or int(min(max(warm["rate"] * 2.0, 3 * cell["c"], 100), 40000))
    cpu = s.cg.cpu()
    r = load(**kw, n=n, r="R", T=90)
    return figures(s, r, s.cg.cpu() - cpu, r["ok"], r["rate"])


def relay(s, cell, n):
    n = n or 5000
    sink = subprocess.Popen([BIN / "smtpsink", "-p", str(SINK), "-n", str(n), "-r", "R", "-T", "120", "-q", "60"],
                            stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.2)
        kw = dict(cell, t="u%llu@far.test", u=100)
        load(**kw, n=300, r="W", T=30)
        s.quiet()
        cpu = s.cg.cpu()
        r = load(**kw, n=n, r="R", T=90)
        q = json.loads(sink.communicate()[0])
    finally:
        sink.kill()
    cpu = s.cg.cpu() - cpu
    return figures(s, r, cpu, q["unique"], q["unique"] / max(q["t_last"] - r["wall0"], 0.001), lost=r["ok"] - q["unique"],
                   doubled=q["duplicates"])


def local(s, cell, n):
    n = n or 5000
    kw = dict(cell, t="user%llu@bench.test", u=100)
    load(**kw, n=300, r="W", T=30)
    s.quiet()
    watch = None
    if s.name == "postfix":
        watch = subprocess.Popen([BIN / "mdwatch", "-n", str(n), "-r", "R", "-T", "120", "-q", "20"] +
                                 [s.dir / "mail" / f"user{i}" for i in range(s.users)], stdout=subprocess.PIPE, text=True)
        watch.stdout.readline()
    cpu = s.cg.cpu()
    r = load(**kw, n=n, r="R", T=90)
    if watch:
        q = json.loads(watch.communicate()[0].strip().splitlines()[-1])
        last, got = q["t_last"], q["unique"]
    else:
        stop = time.time() + 120
        while s.waiting() > 0 and time.time() < stop:
            time.sleep(0.02)
        last, got = time.time(), r["ok"]
    return figures(s, r, s.cg.cpu() - cpu, got, got / max(last - r["wall0"], 0.001), lost=r["ok"] - got)


def submit(s, cell, n):
    """As accept: neither delivers. Each connection is another of 100 accounts in turn, as far as connections go."""
    kw = dict(cell, t="u%llu@far.test", f="user%llu@bench.test", A="user%llu@bench.test:benchpass", u=100, m=1, P=1)
    # every account logs in before: what a password check costs (it is not cached then) is counted apart, by `first`
    cpu = s.cg.cpu()
    warm = load(**dict(kw, c=100), n=300, r="W", T=60)
    s.quiet()
    first = s.cg.cpu() - cpu
    n = n or 4000
    cpu = s.cg.cpu()
    r = load(**kw, n=n, r="R", T=90)
    if r["tls"] == 0 or (r["resumed"] > 0) != ("Z" in cell):
        raise RuntimeError(f"TLS sessions {r['tls']}, of them resumed {r['resumed']}: not what was asked for")
    return figures(s, r, s.cg.cpu() - cpu, r["ok"], r["rate"], resumed=r["resumed"], session_p50=r["sess_p50_ms"],
                   warm_cpu=round(first, 2), client_cpu=round(r["client_cpu"] / max(r["ok"], 1) * 1000, 3))


def logins(s, cell, n):
    """`accept` at port 25, alone and while a thousand connections to the submission port do nothing but AUTH PLAIN under TLS, from 200
    addresses that are not trusted: with wrong passwords for many names, and with right ones. Alone before and after each, so that
    the machine's moods fall on both."""
    kw = dict(cell, t="u%llu@far.test", u=100)
    n = n or int(load(**kw, n=2000, r="W", T=30)["rate"] * 6)
    rates, tried = dict(alone=[], wrong=[], right=[]), {}
    for phase in ("alone", "wrong", "alone", "right", "alone"):
        attack = None
        if phase != "alone":
            account = dict(wrong="user%llu@bench.test:wrong", right="user%llu@bench.test:benchpass")[phase]
            attack = subprocess.Popen([BIN / "smtpload", "-p", str(PORT + 2), "-a", "-A", account, "-c", "1000", "-n", "1000000", "-m", "1",
                                       "-u", "10000" if phase == "wrong" else str(s.users), "-g", "200", "-X", "-Z", "-T", "120"],
                                      stdout=subprocess.PIPE, text=True)
            time.sleep(5)       # until all are there, and those with the right password are known
        r = load(**kw, n=n, r="R" + phase, T=100)
        rates[phase].append(r["rate"])
        if attack:
            attack.send_signal(signal.SIGINT)
            a = json.loads(attack.communicate()[0].strip().splitlines()[-1])
            if a["maxopen"] < 1000 or a["wrong" if phase == "wrong" else "logins"] == 0:
                raise RuntimeError(f"no attack: {a}")
            tried[phase] = (a["logins"] + a["wrong"]) / (r["elapsed"] + 5)
            s.quiet()
    alone = rates["alone"]
    wrong, right = rates["wrong"][0] / ((alone[0] + alone[1]) / 2), rates["right"][0] / ((alone[1] + alone[2]) / 2)
    return dict(rate=round(statistics.mean(alone), 1), wrong=round(rates["wrong"][0], 1), wrong_ratio=round(wrong, 3),
                wrong_tries=round(tried["wrong"], 1), right=round(rates["right"][0], 1), right_ratio=round(right, 3),
                right_logins=round(tried["right"], 1), anon_mib=round(s.peak / 2**20, 1))


def idle(s, cell, n):
    base = s.cg.anon()
    p = subprocess.Popen([BIN / "smtpload", "-p", str(PORT), "-i", "-c", "10000", "-w", "4", "-T", "100", "-g", "200"],
                         stdout=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    time.sleep(0.5)
    anon = s.cg.anon()
    p.communicate()
    held = int(line.split()[1]) if line.startswith("IDLE") else 0
    return dict(held=held, anon_mib=round(anon / 2**20, 1), kib_each=round((anon - base) / 1024 / max(held, 1), 2))


K = 1024
WORKLOADS = {
    "accept": ("accept", accept, [dict(s=10 * K, c=100, m=0), dict(s=10 * K, c=20, m=0), dict(s=10 * K, c=1, m=0)]),
    "large": ("accept", accept, [dict(s=K * K, c=20, m=0)]),
    "relay": ("relay", relay, [dict(s=10 * K, c=100, m=0), dict(s=10 * K, c=20, m=0)]),
    "local": ("local", local, [dict(s=10 * K, c=100, m=0), dict(s=10 * K, c=20, m=0)]),
    # S: each handshake a full one, Z: resumed with the ticket of the connection before
    "submit": ("submit", submit, [dict(s=10 * K, c=20, S=True), dict(s=10 * K, c=20, Z=True), dict(s=10 * K, c=1, S=True)]),
    "logins": ("logins", logins, [dict(s=10 * K, c=20, m=0)]),
    "idle": ("idle", idle, [{}]),
}
COLUMNS = ("rate", "cpu_per_1000", "p50", "p99", "anon_mib", "lost", "doubled", "refused", "held", "kib_each", "resumed",
           "session_p50", "warm_cpu", "client_cpu", "wrong", "wrong_ratio", "wrong_tries", "right", "right_ratio", "right_logins")


def show(workload, cell, rows, names):
    print(f"\n{workload} {cell}")
    cols = [c for c in COLUMNS if any(c in r for rs in rows.values() for r in rs)]
    print("  " + "server".ljust(12) + "".join(c.rjust(14) for c in cols))
    medians = {}
    for name in names:
        rs = rows.get(name, [])
        if rs:
            medians[name] = {c: statistics.median([r[c] for r in rs if c in r] or [0]) for c in cols}
            print("  " + name.ljust(12) + "".join(f"{medians[name][c]:14.6g}" for c in cols) + f"   ({len(rs)} runs)")
    if "postfix" in medians and "postrider" in medians and "rate" in cols:
        a, b = medians["postrider"], medians["postfix"]
        print(f"  postrider / postfix: rate {a['rate'] / b['rate']:.1f}, CPU {a['cpu_per_1000'] / b['cpu_per_1000']:.2f}")
    sys.stdout.flush()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("workloads", nargs="*")
    ap.add_argument("--servers", default="postrider,postfix")
    ap.add_argument("--reps", type=int, default=3)
    ap.add_argument("--n", type=int, default=0)
    ap.add_argument("--cell", type=int)
    ap.add_argument("--users", type=int, default=100)
    ap.add_argument("--json", help="append each run to this file")
    a = ap.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench.py needs root: namespaces, a file system of its own, Postfix")
    os.environ.setdefault("POSTRIDER", str(HERE.parent / "build" / "postrider"))
    build()
    isolate()
    names = a.servers.split(",")
    for w in a.workloads or list(WORKLOADS):
        mode, fn, cells = WORKLOADS[w]
        for i, cell in enumerate(cells):
            if a.cell is not None and i != a.cell:
                continue
            rows = {}
            for rep in range(a.reps if w != "idle" else 1):
                for name in names[rep % len(names):] + names[:rep % len(names)]:
                    if w == "logins" and name == "postfix":
                        continue    # a figure of ours
                    if w == "idle" and name == "postfix" and "BENCH_PROCS" not in os.environ:
                        continue    # 1.2 MB a session: known, and it takes minutes
                    with Server(name, mode, a.users) as s:
                        r = fn(s, dict(cell), a.n)
                    rows.setdefault(name, []).append(r)
                    if a.json:
                        with open(a.json, "a") as f:
                            f.write(json.dumps(dict(workload=w, cell=cell, server=name, rep=rep, **r)) + "\n")
            show(w, cell, rows, names)


main()
