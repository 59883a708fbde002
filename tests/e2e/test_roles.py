#!/usr/bin/python3
"""The roles as processes: what they may, and that a killed one is back while listeners never refuse."""
import os, re, shutil, signal, socket, time
from pathlib import Path
from harness import *

ROLES = {"core", "resolver", "mx", "user", "courier", "local"}


def status(pid):
    return dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def test_confined():
    with Server() as s:
        roles = s.roles()
        assert set(roles) == ROLES, roles
        uids = set()
        for name, pid in roles.items():
            st = status(pid)
            assert st["NoNewPrivs"] == "1" and st["Seccomp"] == "2", (name, st["NoNewPrivs"], st["Seccomp"])
            assert int(st["CapEff"], 16) == 0 and int(st["CapPrm"], 16) == 0, (name, st["CapEff"])
            uids.add(st["Uid"].split()[0])
            files = [os.readlink(f) for f in Path(f"/proc/{pid}/fd").iterdir()]
            inside = [f for f in files if f.startswith("/") and not f.startswith(("/dev/", "/memfd:", "/proc/", "/sys/"))
                      and f != str(s.logfile)]
            if name == "core":
                assert any("queue.mdb" in f for f in inside), inside
            else:
                assert not inside, (name, inside)
        if os.geteuid() == 0:
            assert len(uids) == len(ROLES) and "0" not in uids, uids
        st = status(s.supervisor())
        assert st["NoNewPrivs"] == "1", st


def test_killed_roles_come_back():
    with Server() as s:
        for name in sorted(ROLES):
            pid = s.roles()[name]
            os.kill(pid, signal.SIGKILL)
            start = time.monotonic()
            while s.roles().get(name) in (None, pid):
                assert time.monotonic() - start < 1, f"{name} was not back within a second"
                socket.create_connection((HOST, s.smtp), 1).close()      # never refused
                socket.create_connection((HOST, s.pop3), 1).close()
                time.sleep(0.005)

            def takes_mail():
                with smtp(s) as c:
                    try:
                        return not c.sendmail("anna@example.test", ["ben@example.test"], message(f"after {name}"))
                    except Exception:
                        return False
            wait_for(takes_mail, 5)
            wait_for(lambda: any(f"after {name}".encode() in m for m in s.pop3_messages("ben")), 10)


def test_as_ordinary_user():
    if os.geteuid() != 0:
        return
    with Server(user=65534) as s:
        assert {status(p)["Uid"].split()[0] for p in s.roles().values()} == {"65534"}
        with smtp(s) as c:
            c.sendmail("anna@example.test", ["ben@example.test"], message())
        wait_for(lambda: len(s.pop3_messages("ben")) == 1)


def test_single():
    with Server(single=True) as s:
        assert not s.roles()
        with smtp(s) as c:
            c.sendmail("anna@example.test", ["ben@example.test"], message())
        wait_for(lambda: len(s.pop3_messages("ben")) == 1)
        assert s.stop() == 0 and "LeakSanitizer" not in s.log(), s.log()[-4000:]   # every role gives back what it had


def test_killed_supervisor_takes_all_along():
    s = Server().start()
    try:
        pids = list(s.roles().values())
        s.process.kill()
        s.process.wait()
        wait_for(lambda: not any(Path(f"/proc/{p}/exe").exists() for p in pids), 5)
        s.start()                       # and nothing is in the way of the next start
        assert set(s.roles()) == ROLES
    finally:
        s.__exit__(None)


def test_second_serve():
    """Started twice on one folder, the second says so and ends, and the first does not notice."""
    with Server() as s:
        p = s.cli("serve")
        assert p.returncode != 0 and "another postrider runs" in p.stderr, p
        assert s.json("queue", "list") == []


def test_a_port_that_is_roots():
    """Who may not take a port below 1024 is told which, why, and what to do; the server does not start without it."""
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if os.geteuid() != 0 or first < 2:
        print(f"skipped: needs root, to be somebody else, and ports that are root's (here all from {first} on are everybody's)")
        return
    s = Server(user=65534)
    s.conf.write_text(s.conf.read_text().replace(f"{HOST}:{s.submissions}", f"{HOST}:{first - 1}"))
    try:
        p = s.cli("serve", timeout=20)
        assert p.returncode != 0 and re.search(
            rf"cannot listen on {HOST}:{first - 1}: ports below {first} need root or CAP_NET_BIND_SERVICE.* set other ports: "
            "listen_smtp, listen_submission, listen_submissions, listen_pop3$", p.stderr, re.M), p
        assert " ready" not in p.stderr, p.stderr
    finally:
        shutil.rmtree(s.dir)


main(globals())
