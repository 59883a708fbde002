#!/usr/bin/python3
"""A million queued recipients: how long until a started server has them all in its schedule, and in how much memory.

    million.py [MESSAGES] [RECIPIENTS]      default 1000 1000: every recipient another domain, so a million deliveries

POSTRIDER names the binary (build/postrider). The memory is what belongs to the processes alone (Pss of private and anonymous pages); the
store's file is mapped by core and counts as page cache.
"""
import os, re, shutil, signal, socket, subprocess, sys, tempfile, threading, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))
messages = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
rcpts = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
os.environ.setdefault("POSTRIDER", str(Path(__file__).resolve().parents[1] / "build" / "postrider"))
from harness import HOST, Server


def say(s, line, want):
    s.sendall(line)
    got = s.recv(65536)
    assert got.startswith(want), got


def fill(server):
    with socket.create_connection((HOST, server.smtp)) as s:
        s.recv(4096)
        say(s, b"EHLO fill.test\r\n", b"250")
        for m in range(messages):
            group = b"MAIL FROM:<anna@example.test>\r\n" + b"".join(b"RCPT TO:<u@d%d-%d.test>\r\n" % (m, r) for r in range(rcpts))
            s.sendall(group)
            lines = 0
            while lines < rcpts + 1:
                got = s.recv(1 << 16)
                assert got and b"\r\n4" not in got and b"\r\n5" not in got, got[-300:]
                lines += got.count(b"\n")
            say(s, b"DATA\r\n", b"354")
            say(s, b"Subject: %d\r\n\r\nbody\r\n.\r\n" % m, b"250")


def anon_mib(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", text).group(1)) / 1024


def command(server, *args):
    """How long a command takes that looks at all of it, and the most memory that it and core then have."""
    core, most = server.roles()["core"], [0.0, 0.0]
    begin = time.time()
    p = subprocess.Popen([os.environ["POSTRIDER"], "--config", str(server.conf), *args], stdout=subprocess.DEVNULL)
    def look():
        while p.poll() is None:
            for i, pid in enumerate((p.pid, core)):
                try:
                    most[i] = max(most[i], anon_mib(pid))
                except (OSError, AttributeError):
                    pass
            time.sleep(0.02)
    watcher = threading.Thread(target=look)
    watcher.start()
    watcher.join()
    took = time.time() - begin
    print(f"  {' '.join(args):40} {took:6.1f} s {most[0]:8.1f} MiB, core {most[1]:.1f} MiB" + ("" if p.returncode == 0 else f" FAILED {p.returncode}"))


settings = f'route "*" {{ host = "127.0.0.1" port = 9 mx = no }}\ncourier_threads = 4\n'
server = Server(settings)
try:
    server.start()
    begin = time.time()
    fill(server)
    print(f"{messages * rcpts} recipients queued in {time.time() - begin:.1f} s")
    server.stop()
    begin = time.time()
    server.start()
    print(f"ready for mail after {time.time() - begin:.2f} s")
    pid = server.roles()["courier"]
    last, still = 0, 0
    while still < 5:                      # the courier reads its rows until its memory stands still
        time.sleep(0.2)
        now = anon_mib(pid)
        still = still + 1 if abs(now - last) < 0.3 else 0
        last = now
    print(f"schedule filled after {time.time() - begin - 1.0:.1f} s")
    for name, pid in sorted(server.roles().items()):
        print(f"  {name:10} {anon_mib(pid):8.1f} MiB")
    print(f"  all        {sum(anon_mib(p) for p in server.roles().values()) + anon_mib(server.supervisor()):8.1f} MiB")
    print("commands that look at all of it:")
    for args in (("queue", "list"), ("--json", "queue", "list"), ("queue", "list", "--by", "class"), ("queue", "list", "--by", "sender"),
                 ("--json", "queue", "list", "--messages")):
        command(server, *args)
finally:
    server.stop()
    shutil.rmtree(server.dir)
