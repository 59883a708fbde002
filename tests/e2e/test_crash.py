#!/usr/bin/python3
"""kill -9 of random roles under load, with an outside witness of every 250: nothing acknowledged is lost, nothing local is doubled.

    test_crash.py [KILLS]     default 12; 200 in `./check --long`
"""
import os, random, re, signal, socket, sys, threading, time
from collections import Counter
from harness import *

KILLS = int(sys.argv[1]) if len(sys.argv) > 1 else 12
sys.argv = sys.argv[:1]
SEED = int(os.environ.get("SEED", time.time()))


def test_kill_9():
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    acknowledged, attempts = set(), [0]
    stop = threading.Event()
    lock = threading.Lock()

    with Server("retry_first = \"1s\"\nconnections_per_address = 1000\n") as s:
        def sender(k):
            import smtplib
            i = 0
            while not stop.is_set():
                try:
                    with smtplib.SMTP(HOST, s.smtp, local_hostname="client.test", timeout=20) as c:
                        while not stop.is_set():
                            token = f"token-{k}-{i}-end"
                            i += 1
                            with lock:
                                attempts[0] += 1
                            c.sendmail("anna@example.test", ["ben@example.test"], message(token, token + "\r\n" + ("x" * 70 + "\r\n") * rng.choice((1, 40, 1300))))
                            with lock:
                                acknowledged.add(token)
                except (OSError, smtplib.SMTPException):
                    time.sleep(0.02)
        senders = [threading.Thread(target=sender, args=(k,)) for k in range(4)]
        for t in senders:
            t.start()
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.05, 0.4))
            name = rng.choice(["core", "core", "mx", "local", "courier", "user"])
            pid = s.roles().get(name)
            if pid:
                os.kill(pid, signal.SIGKILL)
        stop.set()
        for t in senders:
            t.join(60)
        wait_for(lambda: s.process.poll() is None and len(s.roles()) == 6, 20)
        wait_for(lambda: s.cli("--json", "queue", "list").stdout.strip() == "[]", 60, 0.2)
        got = Counter()

        def read():
            try:
                got.clear()
                got.update(re.search(rb"token-\d+-\d+-end", m).group(0).decode() for m in s.pop3_messages("ben"))
                return True
            except Exception as e:
                print("reading again:", e)
                return False
        wait_for(read, 60, 1)
        lost = acknowledged - set(got)
        doubled = [t for t, n in got.items() if n > 1]
        print(f"{KILLS} kills, {attempts[0]} tries, {len(acknowledged)} acknowledged, {len(got)} delivered, {len(lost)} lost, {len(doubled)} doubled")
        assert len(acknowledged) > KILLS
        assert not lost and not doubled, (sorted(lost)[:5], doubled[:5])
        p = s.cli("check", "store")
        assert p.returncode == 0, p.stdout + p.stderr


main(globals())
