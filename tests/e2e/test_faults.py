#!/usr/bin/python3
"""The disk: full, and failing. Nothing is acknowledged that is not safe, reading goes on, full disks recover by themselves."""
import os, smtplib, subprocess, sys, tempfile, time
from harness import *

if os.geteuid() != 0:
    print("needs root: a small file system, strace")
    sys.exit(77)


def try_send(s, body="Hello", params=()):
    with smtp(s) as c:
        c.ehlo()
        code, text = c.mail("anna@example.test", params)
        if code != 250:
            return code, text
        code, text = c.rcpt("ben@example.test")
        if code != 250:
            return code, text
        return c.data(message("fault", body))


def test_full_disk():
    d = tempfile.mkdtemp(prefix="postrider-full.")
    run("mount", "-t", "tmpfs", "-o", "size=120m,mode=755", "none", d, check=0)
    try:
        with Server('reserve = "32M"\nmessage_size_max = "16M"', keep=d) as s:
            assert try_send(s)[0] == 250
            wait_for(lambda: len(s.pop3_messages("ben")) == 1)
            stat = os.statvfs(d)
            filler = os.path.join(d, "filler")
            with open(filler, "wb") as f:
                f.write(b"x" * (stat.f_bavail * stat.f_frsize - (34 << 20)))
            time.sleep(1.5)                                         # core looks at the free space each second
            assert try_send(s)[0] == 250, "still over the reserve"
            code, text = try_send(s, params=["SIZE=10000000"])
            assert code == 452 and b"4.3.1" in text, (code, text)
            with open(filler, "ab") as f:
                f.write(b"x" * (4 << 20))
            wait_for(lambda: try_send(s)[0] == 452, 5)
            code, text = try_send(s)
            assert b"4.3.1" in text, text
            try:
                with open(filler, "ab") as f:                       # to the last byte
                    for _ in range(1 << 20):
                        f.write(b"x" * 65536)
                        f.flush()
            except OSError:
                pass
            assert try_send(s)[0] == 452
            import poplib
            box = poplib.POP3(HOST, s.pop3, timeout=20)
            box.user("ben@example.test")
            box.pass_(s.passwords["ben"])
            n = box.stat()[0]
            assert n >= 2, n
            box.dele(1)
            box.quit()                                              # deleting works on a full disk
            wait_for(lambda: len(s.pop3_messages("ben")) == n - 1)
            os.unlink(filler)
            wait_for(lambda: try_send(s)[0] == 250, 10, 0.2)
            wait_for(lambda: len(s.pop3_messages("ben")) == n)
            assert s.cli("check", "store").returncode == 0
            s.stop()
    finally:
        run("umount", "-l", d)
        os.rmdir(d)


def test_failed_sync():
    # one process without sandbox: an injected failure is a call number of -1, which a role's filter answers with death
    with Server(single=True) as s:
        assert try_send(s)[0] == 250
        wait_for(lambda: len(s.pop3_messages("ben")) == 1)
        core = s.process.pid
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync,msync",
                                   "-e", "inject=fdatasync,fsync,msync:error=EIO", "-p", str(core)], stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: "TracerPid:\t0" not in open(f"/proc/{core}/status").read(), 10)
            time.sleep(0.3)
            code, text = try_send(s)
            assert 400 <= code < 500, (code, text)
        finally:
            tracer.terminate()
            tracer.wait()
        # the disk works again, but what was not synced cannot be trusted any more: no writes until a restart
        for _ in range(3):
            code, text = try_send(s)
            assert 400 <= code < 500, (code, text)
        assert len(s.pop3_messages("ben")) == 1, "reading goes on"
        status = s.json("status")
        assert status["store"] == "stopped", status
        assert "EIO" in s.log() or "Input/output error" in s.log(), s.log()[-2000:]
        s.stop()
        s.start()
        assert try_send(s)[0] == 250
        wait_for(lambda: len(s.pop3_messages("ben")) >= 2)
        assert s.cli("check", "store").returncode == 0


def test_damage_is_named():
    """A bit flipped in the file: that message is lost and said so, the others are fine."""
    with Server() as s:
        for i in range(3):
            with smtp(s) as c:
                c.sendmail("anna@example.test", ["ben@example.test"], message(f"number {i}", f"marker-{i}-marker\r\n" * 200))
        wait_for(lambda: len(s.pop3_messages("ben")) == 3)
        s.stop()
        path = s.data / "mail.mdb"
        raw = bytearray(path.read_bytes())
        at = raw.find(b"marker-1-marker")
        while at >= 0:                                              # also in pages that are not used any more
            raw[at + 3] ^= 0x10
            at = raw.find(b"marker-1-marker", at + 1)
        path.write_bytes(raw)
        p = s.cli("check", "store")
        assert p.returncode == 1 and "damaged" in (p.stdout + p.stderr), p.stdout + p.stderr
        s.start()
        import poplib
        box = poplib.POP3(HOST, s.pop3, timeout=20)
        box.user("ben@example.test")
        box.pass_(s.passwords["ben"])
        good, bad = 0, 0
        for i in range(3):
            try:
                text = b"\r\n".join(box.retr(i + 1)[1])
                assert b"marker-0-marker" in text or b"marker-2-marker" in text
                good += 1
            except (poplib.error_proto, OSError, EOFError):
                bad += 1
                box = poplib.POP3(HOST, s.pop3, timeout=20) if box.sock is None else box
        assert (good, bad) == (2, 1), (good, bad)
        assert "damage" in s.log(), s.log()[-2000:]


main(globals())
