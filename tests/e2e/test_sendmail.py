#!/usr/bin/python3
"""`sendmail`, `mailq`, `newaliases` as the programs of a machine call them: by hand, from cron's shell, PHP's mail(), git send-email,
mutt, mailx; with the server down; and what is refused. A program that is not installed is said to be missing, and skipped."""
import email, email.policy, pwd, threading
from harness import *

ANNA, BEN = f"anna@{DOMAIN}", f"ben@{DOMAIN}"
ME = pwd.getpwuid(os.geteuid()).pw_name

S = Server(accounts=("anna", "ben", ME))
BIN = S.dir / "bin"
BIN.mkdir()
for name in "sendmail", "mailq", "newaliases":
    os.symlink(os.path.abspath(BINARY), BIN / name)
HOME = S.dir / "home"
HOME.mkdir()
UNSENT = HOME / ".local/state/postrider/unsent"
ENV = {"POSTRIDER_SOCKET": str(S.submit_socket), "HOME": str(HOME), "XDG_STATE_HOME": "", "POSTRIDER_CONFIG": str(S.conf),
       "PATH": f"{BIN}:{os.environ['PATH']}", "NAME": "", "MAILRC": "/dev/null"}


def sendmail(*args, stdin="Subject: x\n\nx\n", check=0, env=None, name="sendmail"):
    return run(BIN / name, *args, stdin=stdin, check=check, env=dict(ENV, **(env or {})))


def arrived(name, subject, server=None):
    def find():
        for m in (server or S).pop3_messages(name):
            parsed = email.message_from_bytes(m, policy=email.policy.default)
            if parsed["Subject"] == subject:
                return m, parsed
    return wait_for(find)


def installed(name):
    if shutil.which(name):
        return True
    print(f"      {name} is not installed: skipped")
    return False


def kept():
    return sorted(UNSENT.glob("1*-*")) if UNSENT.exists() else []


def test_start():
    S.start()


def test_by_hand():
    sendmail("-i", BEN, stdin=f"Subject: by hand\nTo: {BEN}\n\none\n.\ntwo")
    raw, m = arrived("ben", "by hand")
    assert raw.endswith(b"\r\n\r\none\r\n.\r\ntwo\r\n"), raw
    assert m["From"].addresses[0].addr_spec == f"{ME}@{DOMAIN}", m["From"]
    assert m["Date"] and m["Message-ID"]
    assert f"{ME}@{DOMAIN}" in S.cli("trace", BEN, check=0).stdout, "the sender of the envelope"
    # without -i a dot ends it
    sendmail(BEN, stdin="Subject: with a dot\n\none\n.\ntwo\n")
    assert arrived("ben", "with a dot")[0].endswith(b"\r\n\r\none\r\n")
    # CRLF, bare CR, and the From line of a mailbox file
    sendmail("-oi", "-f", ANNA, BEN, stdin="From anna Sat Nov 22 01:00:00 2026\r\nSubject: line ends\r\n\r\none\rtwo\r\n\r\nthree")
    raw, m = arrived("ben", "line ends")
    assert raw.endswith(b"one\r\ntwo\r\n\r\nthree\r\n"), raw
    assert m["From"].addresses[0].addr_spec == ANNA
    # a body that is no header
    sendmail("-i", BEN, stdin="no header here\nat all\n")
    wait_for(lambda: any(x.endswith(b"\r\n\r\nno header here\r\nat all\r\n") for x in S.pop3_messages("ben")))


def test_recipients_from_the_header():
    sendmail("-t", "-i", ANNA, stdin=f"To: Ben <{BEN}>, (a comment) \"An, na\"\n <{ANNA}>\n"
             f"Bcc: {ME}\nSubject: from the header\n\nx\n")
    for who in "anna", "ben", ME:
        raw, m = arrived(who, "from the header")
        assert m["Bcc"] is None and raw.count(b"Subject: from the header") == 1
    sendmail("-ti", stdin=f"To: nobody@{DOMAIN}\nResent-To: {BEN}\nSubject: resent\n\nx\n")
    arrived("ben", "resent")
    p = sendmail("-t", stdin="Subject: for nobody\n\nx\n", check=65)
    assert "no recipients" in p.stderr and "NOT sent" in p.stderr, p.stderr
    p = sendmail("-t", stdin="To: two words here\nSubject: x\n\nx\n", check=65)
    assert "is no address" in p.stderr, p.stderr


def test_bare_names_and_names():
    sendmail("-i", "-F", "Büro", "-r", "anna", "ben", stdin="To: ben (the one)\nCc: Anna <anna>\nSubject: bare names\n\nx\n")
    raw, m = arrived("ben", "bare names")
    assert m["To"].addresses[0].addr_spec == BEN and m["Cc"].addresses[0].addr_spec == ANNA, raw
    assert m["From"].addresses[0].addr_spec == ANNA and m["From"].addresses[0].display_name == "Büro", m["From"]
    sendmail("-i", "-f", "", "ben", stdin="Subject: from nobody\n\nx\n")
    assert "MAILER-DAEMON" in arrived("ben", "from nobody")[1]["From"]
    p = sendmail("-i", "-f", "a b", BEN, check=65)
    assert "is no address" in p.stderr


def test_notify():
    sendmail("-i", "-f", ANNA, "-N", "success,delay", "-R", "hdrs", "-V", "id-1", BEN, stdin="Subject: notify\n\nx\n")
    wait_for(lambda: [m for m in S.pop3_messages("anna") if b"multipart/report" in m and b"Original-Envelope-Id: id-1" in m])


def test_refused():
    p = sendmail("-i", f"nobody@{DOMAIN}", check=67)
    assert "refused: 550 5.1.1" in p.stderr and "NOT sent" in p.stderr, p.stderr
    p = sendmail("-i", f"nobody@{DOMAIN}", BEN, stdin="Subject: some\n\nx\n", check=67)
    assert "the other recipients get it" in p.stderr, p.stderr
    arrived("ben", "some")
    p = sendmail("-i", BEN, stdin="Subject: nul\n\na\0b\n", check=65)
    assert not kept()
    for args in ("-Z", BEN), ("-bd",), ("-bv", BEN), ("-N", "often", BEN), ("-R", "half", BEN), (BEN, "-f", ANNA), ("-f",), ():
        p = sendmail(*args, check=64)
        assert p.stderr.startswith("sendmail: "), p.stderr
    # what nobody needs is not minded
    sendmail("-C", "/etc/mail/x.cf", "-d0.1", "-oem", "-odb", "-oee", "-O", "DeliveryMode=b", "-L", "tag", "-G", "-U", "-n", "-m", "-Am",
             "-B8BITMIME", "-h", "3", "-em", "-X", "/dev/null", "-bm", "-i", "--", BEN, stdin="Subject: options\n\nx\n")
    arrived("ben", "options")


def test_verbose():
    p = sendmail("-v", "-i", BEN, stdin="Subject: verbose\n\nx\n")
    assert f"RCPT TO:<{BEN}>" in p.stdout and "250 " in p.stdout, p.stdout


def test_many_recipients():
    """More than a transaction takes."""
    names = [f"ben+{i}@{DOMAIN}" for i in range(1500)]
    sendmail("-t", "-i", stdin="Bcc: " + ",\n ".join(names) + "\nSubject: many\n\nx\n")
    wait_for(lambda: sum(b"Subject: many" in m for m in S.pop3_messages("ben")) == 2, 30)


def test_smtp():
    p = subprocess.Popen([BIN / "sendmail", "-bs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ, **ENV))
    said = [p.stdout.readline()]
    for line in "HELO x", f"MAIL FROM:<{ANNA}>", f"RCPT TO:<{BEN}>", "DATA", "Subject: by -bs\r\n\r\nx\r\n.", "QUIT":
        p.stdin.write(line.encode() + b"\r\n")
        p.stdin.flush()
        said.append(p.stdout.readline())
    assert said[0].startswith(b"220 ") and b"queued as" in said[-2] and said[-1].startswith(b"221 "), said
    assert p.wait(20) == 0 and p.stdout.read() == b""
    arrived("ben", "by -bs")
    # the caller goes away in the middle: nothing is sent
    p = sendmail("-bs", stdin=f"HELO x\r\n")
    assert p.stdout.count("\n") == 2, p.stdout


def test_queue():
    p = sendmail(name="mailq")
    assert "sendmail -q" not in p.stdout
    sendmail("-bp")
    sendmail("-q")
    sendmail("-q30m")
    assert "nothing to do" in sendmail(name="newaliases").stdout
    assert "nothing to do" in sendmail("-bi").stdout
    if os.geteuid() == 0:
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        p = run(*other, BIN / "mailq", env=ENV)
        assert p.returncode == 77 and "owner" in p.stderr, p


def test_another_user():
    """Nobody is trusted to say who they are: the kernel says it. And no file of the server is read."""
    if os.geteuid() != 0:
        print("      needs root: skipped")
        return
    S.conf.chmod(0o600)
    try:
        p = run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BIN / "sendmail", "-i", BEN, stdin="Subject: by another\n\nx\n",
                env=dict(ENV, HOME="/nonexistent"))
        assert p.returncode == 0, p.stderr
        raw, m = arrived("ben", "by another")
        assert m["From"].addresses[0].username == pwd.getpwuid(65534).pw_name, m["From"]
        assert "uid=65534" in S.log(), "who sent it is in the log"
    finally:
        S.conf.chmod(0o644)


def test_shell_as_cron():
    run("/bin/sh", "-c", "echo | sendmail -i " + BEN, env=ENV, check=0)
    run("/bin/sh", "-c", f"printf 'From: root (Cron Daemon)\\nTo: ben\\nSubject: Cron <root@x> job\\nMIME-Version: 1.0\\n"
        f"Content-Type: text/plain; charset=UTF-8\\n\\ngrün\\n' | sendmail -FCronDaemon -i -B8BITMIME -oem ben", env=ENV, check=0)
    raw, m = arrived("ben", "Cron <root@x> job")
    assert "grün".encode() in raw and m["From"].addresses[0].addr_spec == f"root@{DOMAIN}", raw


def test_php():
    if not installed("php"):
        return
    p = run("php", "-n", "-d", f"sendmail_path={BIN}/sendmail -t -i", "-r",
            f"var_dump(mail('{BEN}', 'by php', \"line one\\nline two\", \"From: {ANNA}\\r\\nX-A: b\", '-f{ANNA}'));"
            f"var_dump(mail('nobody@{DOMAIN}', 'by php', 'x'));", env=ENV)
    assert "bool(true)\nbool(false)" in p.stdout, p
    raw, m = arrived("ben", "by php")
    assert raw.endswith(b"line one\r\nline two\r\n") and m["X-A"] == "b", raw


def test_git():
    if not installed("git") or not Path(run("git", "--exec-path").stdout.strip(), "git-send-email").exists():
        print("      git send-email is not installed: skipped")
        return
    repo = S.dir / "repo"
    env = dict(ENV, GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null", GIT_AUTHOR_NAME="Änna", GIT_AUTHOR_EMAIL=ANNA,
               GIT_COMMITTER_NAME="Änna", GIT_COMMITTER_EMAIL=ANNA)
    run("git", "init", "-q", repo, env=env, check=0)
    for i in 1, 2:
        (repo / "file").write_text(f"grün {i}\n")
        run("git", "-C", repo, "add", "file", env=env, check=0)
        run("git", "-C", repo, "commit", "-q", "-m", f"change {i}", env=env, check=0)
    p = run("git", "-C", repo, "send-email", "--quiet", "--from", ANNA, "--to", BEN, f"--sendmail-cmd={BIN}/sendmail", "--confirm=never",
            "--suppress-cc=all", "-1", env=env, stdin="")
    assert p.returncode == 0, p.stdout + p.stderr
    raw, m = arrived("ben", "[PATCH] change 2")
    assert "+grün 2".encode() in raw


def test_mutt():
    if not installed("mutt"):
        return
    attached = S.dir / "attached.txt"
    attached.write_text("attached\n")
    run("mutt", "-n", "-F", "/dev/null", "-e", f"set sendmail='{BIN}/sendmail -oem -oi' use_from=yes envelope_from=yes from={ANNA} copy=no "
        f"realname=Anna record=''", "-s", "by mutt", "-a", attached, "--", BEN, stdin="text\n", env=ENV, check=0)
    raw, m = arrived("ben", "by mutt")
    assert [p.get_filename() for p in m.iter_attachments()] == ["attached.txt"], raw


def test_mailx():
    for program, options in ("bsd-mailx", []), ("s-nail", ["-:/", "-Smta=" + str(BIN / "sendmail")]):
        if not installed(program):
            continue
        subject = "by " + program
        rc = S.dir / "mailrc"
        rc.write_text(f"set sendmail={BIN}/sendmail\n")
        p = run(program, *options, "-s", subject, BEN, stdin="text\n", env=dict(ENV, MAILRC=str(rc)))
        assert p.returncode == 0, p
        raw, m = arrived("ben", subject)
        assert raw.endswith(b"text\r\n"), raw


def test_server_down():
    assert S.stop() == 0
    p = sendmail("-i", "-f", ANNA, BEN, stdin="Subject: kept 1\n\n.\nx\n", check=75)
    assert "is kept in" in p.stderr and str(UNSENT) in p.stderr, p.stderr
    sendmail("-t", stdin=f"To: ben, {ANNA}, nobody@{DOMAIN}\nSubject: kept 2\n\nx\n", check=75)
    assert len(kept()) == 2 and UNSENT.stat().st_mode & 0o777 == 0o700 and kept()[0].stat().st_mode & 0o777 == 0o600
    p = sendmail(name="mailq")
    assert "2 messages of yours wait" in p.stdout, p
    p = sendmail("-q", check=75)
    assert "stays there" in p.stderr and len(kept()) == 2
    p = sendmail("-bs", stdin="", check=75)
    assert p.stdout.startswith("421 ")
    # what cannot be kept is not said to be kept
    (HOME / "blocked").mkdir()
    (HOME / "blocked/postrider").write_text("")
    p = sendmail("-i", BEN, check=73, env={"XDG_STATE_HOME": str(HOME / "blocked")})
    assert "NOT kept" in p.stderr, p.stderr
    (HOME / "full").mkdir(exist_ok=True)
    p = run("/bin/sh", "-c", f"ulimit -f 0; trap '' XFSZ; sendmail -i {BEN}", env=dict(ENV, XDG_STATE_HOME=str(HOME / "full")),
            stdin="Subject: x\n\nx\n")
    assert p.returncode == 74 and "NOT kept" in p.stderr, p
    assert not list((HOME / "full").rglob("*-*"))
    # broken on the disk
    bad = UNSENT / kept()[0].name.replace("1", "1", 1)
    copy = UNSENT / ("1000000000000-" + "0" * 16)
    copy.write_bytes(bad.read_bytes()[:-1] + b"!")
    os.chmod(copy, 0o600)
    S.start()
    p = sendmail("-q", check=0)
    assert "2 kept messages sent" in p.stdout and "refused: 550" in p.stderr and "is damaged" in p.stderr, p
    arrived("ben", "kept 1")
    arrived("ben", "kept 2")
    arrived("anna", "kept 2")
    assert not kept() or all(".damaged" in k.name or ".refused" in k.name for k in kept()), kept()
    assert sorted(k.suffix for k in kept()) == [".damaged", ".refused"], kept()
    assert "2 messages of yours were refused (or damaged)" in sendmail(name="mailq").stdout
    for k in kept():
        k.unlink()
    assert sum(b"Subject: kept 1" in m for m in S.pop3_messages("ben")) == 1


def test_next_run_sends_what_is_kept():
    assert S.stop() == 0
    for i in range(5):
        sendmail("-i", BEN, stdin=f"Subject: waiting {i}\n\nx\n", check=75)
    S.start()
    sendmail("-i", ANNA, stdin="Subject: the next\n\nx\n")
    assert not kept()
    arrived("anna", "the next")
    wait_for(lambda: sum(b"Subject: waiting" in m for m in S.pop3_messages("ben")) == 5)
    ids = [re.search(rb"Subject: waiting (\d)", m).group(1) for m in S.pop3_messages("ben") if b"Subject: waiting" in m]
    assert ids == sorted(ids), "oldest first"


class Scripted(threading.Thread):
    """A server on a Unix socket that answers as told: replies by the beginning of the command."""

    def __init__(self, path, replies, drop_after_dot=0):
        super().__init__(daemon=True)
        self.replies, self.drop, self.got = replies, drop_after_dot, []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen(8)
        self.start()

    def run(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            with c, c.makefile("rwb") as f:
                self.session(f)

    def session(self, f):
        def say(text):
            f.write(text.encode() + b"\r\n")
            f.flush()
        say("220 host.test ESMTP")
        while line := f.readline():
            verb = line.decode(errors="replace").strip()
            self.got.append(verb)
            if verb == "DATA":
                say("354 go on")
                while (line := f.readline()) and line != b".\r\n":
                    pass
                if self.drop:
                    self.drop -= 1
                    return
            for start, reply in self.replies.items():
                if verb.startswith(start):
                    say(reply)
                    break
            else:
                say("250 host.test" if verb[:4] == "EHLO" else "250 2.0.0 ok")
            if verb == "QUIT":
                return


def scripted(name, replies, **kw):
    path = S.dir / f"{name}.sock"
    return Scripted(path, replies, **kw), {"POSTRIDER_SOCKET": str(path)}


def test_not_now():
    """4xx for one of three: the others have it, that one is kept; the same again is not sent to the others."""
    s, env = scripted("later", {"RCPT TO:<b@x.test>": "451 4.3.0 later"})
    p = sendmail("-i", "a@x.test", "b@x.test", "c@x.test", check=75, env=env)
    assert "451" in p.stderr and "is kept in" in p.stderr and len(kept()) == 1, p.stderr
    s.replies.clear()
    s.got.clear()
    sendmail("-q", env=env)
    assert [g for g in s.got if g.startswith("RCPT")] == ["RCPT TO:<b@x.test>"] and not kept(), s.got


def test_lost_answer():
    """The connection breaks behind the final dot: nobody knows; it is kept and sent again."""
    s, env = scripted("lost", {}, drop_after_dot=1)
    p = sendmail("-i", "a@x.test", check=75, env=env)
    assert len(kept()) == 1, p.stderr
    sendmail("-q", env=env)
    assert not kept()


def test_exit_codes():
    for reply, code in ("550 5.1.1 no", 67), ("550 5.1.2 no", 68), ("552 5.3.4 no", 65), ("554 5.7.1 no", 69), ("501 5.1.3 no", 65), ("550 no", 69):
        s, env = scripted(f"exit{code}{reply[4:9].replace(' ', '')}", {"RCPT": reply})
        p = sendmail("-i", "a@x.test", check=code, env=env)
        assert reply[:3] in p.stderr
    assert not kept()


def test_two_at_once():
    """Two runs beside each other send what is kept once."""
    assert S.stop() == 0
    for i in range(20):
        sendmail("-i", BEN, stdin=f"Subject: once {i}\n\nx\n", check=75)
    S.start()
    both = [subprocess.Popen([BIN / "sendmail", "-q"], env=dict(os.environ, **ENV), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for _ in range(4)]
    for p in both:
        said = p.communicate(timeout=60)[0].decode()
        assert p.returncode in (0, 75), (p.returncode, said)
    sendmail("-q")
    assert not kept()
    wait_for(lambda: not S.json("queue", "list"))
    assert sum(b"Subject: once" in m for m in S.pop3_messages("ben")) == 20


def test_stop():
    S.__exit__(None)


main(globals())
