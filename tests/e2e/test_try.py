#!/usr/bin/python3
"""`./try --once` as printed in the README, and what `--env` promises to scripts."""
import signal, subprocess
from pathlib import Path
from harness import *

ROOT = Path(__file__).resolve().parents[2]


def test_once():
    p = run(ROOT / "try", "--once", timeout=300)
    assert p.returncode == 0, p.stdout[-3000:] + p.stderr[-3000:]
    assert "queued as" in p.stdout and "delivered" in p.stdout and "One message, all the way." in p.stdout, p.stdout


def test_env():
    d = Path(tempfile.mkdtemp(prefix="postrider-e2e."))
    try:
        p = subprocess.Popen([ROOT / "try", "--env", d / "env"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for((d / "env").exists, 300, 0.1)
        out = run("bash", "-c", f". {d}/env; curl -sS -u \"$USER2_NAME:$PASS2\" pop3://$HOST:$POP3_PORT/ && swaks --server $HOST:$SMTP_PORT "
                  "--from $USER_NAME --to $USER2_NAME >/dev/null && $CLI queue list", check=0)
        p.send_signal(signal.SIGTERM)
        p.wait(20)
    finally:
        shutil.rmtree(d, ignore_errors=True)


main(globals())
