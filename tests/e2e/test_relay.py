#!/usr/bin/python3
"""Mail by MX between postrider and Postfix, port 25, real DNS (NSD), in a network namespace of its own; and what happens when the
other side is not as it should be."""
import os, re, shutil, signal, subprocess, sys, tempfile, time
from pathlib import Path
from harness import *

if os.geteuid() != 0:
    print("needs root: a network namespace")
    sys.exit(77)

if run("unshare", "-n", "-m", "true").returncode != 0:
    print("needs namespaces: " + run("unshare", "-n", "-m", "true").stderr)
    sys.exit(77)

DIR = Path(os.environ.get("RELAY_DIR") or tempfile.mkdtemp(prefix="postrider-relay."))
if "RELAY_DIR" not in os.environ:
    os.chmod(DIR, 0o755)
    (DIR / "resolv.conf").write_text("nameserver 127.0.0.53\noptions timeout:2 attempts:1\n")
    script = f"ip link set lo up && ip addr add 127.0.0.2/8 dev lo && ip addr add 127.0.0.53/8 dev lo && mount --make-rprivate / && mount --bind {DIR}/resolv.conf /etc/resolv.conf && exec \"$@\""
    env = dict(os.environ, RELAY_DIR=str(DIR))
    code = subprocess.run(["unshare", "-n", "-m", "bash", "-c", script, "bash", sys.executable, __file__, *sys.argv[1:]], env=env).returncode
    shutil.rmtree(DIR, ignore_errors=True)
    sys.exit(code)

ZONE = """$ORIGIN test.
$TTL 60
@ SOA ns.test. host.test. 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.53
postrider MX 10 mx.postrider
mx.postrider A 127.0.0.1
postfix MX 10 down.postfix
postfix MX 20 mx.postfix
down.postfix A 127.0.0.99
mx.postfix A 127.0.0.2
null MX 0 .
implicit A 127.0.0.2
alias CNAME postfix
onlyself MX 10 mx.postrider
nohost MX 10 nowhere
"""
S = None
children = []


def start_nsd():
    d = DIR / "nsd"
    d.mkdir()
    (d / "test.zone").write_text(ZONE)
    (d / "nsd.conf").write_text(f"""server:
  ip-address: 127.0.0.53
  port: 53
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{d}"
  pidfile: "{d}/pid"
  xfrdfile: "{d}/xfrd"
  zonelistfile: "{d}/zones"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: "test."
  zonefile: "test.zone"
""")
    children.append(subprocess.Popen(["nsd", "-d", "-c", str(d / "nsd.conf")], stderr=subprocess.DEVNULL))


def start_postfix():
    d = DIR / "postfix"
    for sub in ("conf", "queue", "data", "mail/user/cur", "mail/user/new", "mail/user/tmp"):
        (d / sub).mkdir(parents=True)
    for p in (DIR, d, d / "queue"):
        os.chmod(p, 0o755)
    shutil.chown(d / "data", "postfix")
    subprocess.run(["chown", "-R", "nobody:nogroup", d / "mail"], check=True)
    def conf(name):
        return run("postconf", "-dh", name, check=0).stdout.strip()
    (d / "conf/main.cf").write_text(f"""compatibility_level = 3.6
queue_directory = {d}/queue
data_directory = {d}/data
mail_owner = postfix
setgid_group = postdrop
command_directory = {conf('command_directory')}
daemon_directory = {conf('daemon_directory')}
shlib_directory = {conf('shlib_directory')}
meta_directory = {conf('meta_directory')}
inet_interfaces = 127.0.0.2
inet_protocols = ipv4
smtp_bind_address = 127.0.0.2
mynetworks = 127.0.0.2/32
myhostname = mx.postfix.test
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = postfix.test implicit.test alias.test
virtual_mailbox_base = {d}/mail
virtual_mailbox_maps = inline:{{ user@postfix.test=user/, user@implicit.test=user/, user@alias.test=user/ }}
virtual_uid_maps = static:{shutil.os.stat(d / 'mail').st_uid}
virtual_gid_maps = static:{shutil.os.stat(d / 'mail').st_gid}
virtual_minimum_uid = 100
smtp_tls_security_level = none
smtpd_tls_security_level = none
maillog_file =
biff = no
""")
    (d / "conf/master.cf").write_text("""127.0.0.2:25 inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
""")
    children.append(subprocess.Popen(["postfix", "-c", str(d / "conf"), "start-fg"], stdout=open(d / "out", "wb"),
                                     stderr=subprocess.STDOUT))


def at_postfix():
    return [p.read_text(errors="replace") for p in sorted((DIR / "postfix/mail/user/new").iterdir())]


def test_start():
    global S
    start_nsd()
    start_postfix()
    S = Server("""dns_servers = {"127.0.0.53:53"}
dnssec = no
relay_networks = {"127.0.0.1/32"}
""", domain="postrider.test", hostname="mx.postrider.test", smtp_port=25)
    S.start()

    def greets():
        try:
            with smtp(S, 25) as c:
                return True
        except OSError:
            return False
    wait_for(greets)
    import socket
    def postfix_up():
        try:
            with socket.create_connection(("127.0.0.2", 25), 1) as s:
                return s.recv(3) == b"220"
        except OSError:
            return False
    wait_for(postfix_up, 20)


def send(to, body="Hello", subject="relay"):
    with smtp(S) as c:
        c.ehlo()
        c.mail("anna@postrider.test")
        code, text = c.rcpt(to)
        assert code == 250, (code, text)
        code, text = c.data(message(subject, body, "anna@postrider.test", to))
        assert code == 250, (code, text)
        return re.search(rb"queued as ([0-9a-z]{16})", text).group(1).decode()


def test_by_mx_to_postfix():
    id = send("user@postfix.test", "By MX\r\n.dot\r\n..dots")
    got = wait_for(at_postfix, 20)
    assert "By MX\n.dot\n..dots\n" in got[0], got[0]
    story = wait_for(lambda: (t := S.cli("trace", id).stdout) and "mx.postfix.test" in t and t, 5)
    assert "127.0.0.2" in story and "250" in story, story
    wait_for(lambda: not S.json("queue", "list"))


def test_implicit_mx_and_cname():
    for to in ("user@implicit.test", "user@alias.test"):
        n = len(at_postfix())
        send(to)
        wait_for(lambda: len(at_postfix()) == n + 1, 20)


def test_from_postfix():
    p = run("sendmail", "-C", DIR / "postfix/conf", "-f", "user@postfix.test", "anna@postrider.test", "nobody@postrider.test",
            stdin="Subject: from Postfix\n\nHello from there\n", env={"MAIL_CONFIG": str(DIR / "postfix/conf")})
    assert p.returncode == 0, p.stderr
    got = wait_for(lambda: [m for m in S.pop3_messages("anna") if b"from Postfix" in m], 20)
    assert b"Return-Path: <user@postfix.test>" in got[0]
    # the unknown recipient was refused at RCPT: Postfix tells the sender
    wait_for(lambda: any("nobody@postrider.test" in m and "5.1.1" in m for m in at_postfix()), 20)


def bounce(about, *words):
    def found():
        return [m for m in S.pop3_messages("anna") if b"multipart/report" in m and about.encode() in m]
    got = wait_for(found, 20)[0].decode(errors="replace")
    for w in words:
        assert w in got, (w, got)
    assert "Return-Path: <>" in got and "Auto-Submitted: auto-replied" in got, got
    return got


def test_bounces():
    send("nobody@postfix.test")
    got = bounce("nobody@postfix.test", "Action: failed", "Status: 5.1.1", "Remote-MTA: dns; mx.postfix.test")
    assert "User unknown" in got, got          # the peer's own words
    import email, email.policy
    m = email.message_from_string(got, policy=email.policy.default)
    assert m.get_content_type() == "multipart/report", m.get_content_type()
    kinds = [p.get_content_type() for p in m.iter_parts()]
    assert kinds == ["text/plain", "message/delivery-status", "text/rfc822-headers"], kinds
    send("u@nx.test")
    bounce("u@nx.test", "Action: failed", "Status: 5.1.2")
    send("u@null.test")
    bounce("u@null.test", "Action: failed", "Status: 5.1.10")
    send("u@onlyself.test")
    bounce("u@onlyself.test", "Action: failed", "Status: 5.4.6")


def test_temporary_dns_failure_waits():
    id = send("u@dead.invalid")
    row = wait_for(lambda: [r for r in S.json("queue", "list", "--messages") if r["id"] == id and r["reason"]], 20)[0]
    assert row["attempts"] == 1 and row["state"] == "ready", row
    assert 200 < row["next_in_s"] < 400, row
    n = len(S.pop3_messages("anna"))
    # hold, release, retry, remove
    assert S.cli("queue", "hold", id).returncode == 0
    assert S.json("queue", "list", "--messages")[0]["state"] == "held"
    assert S.cli("queue", "release", id).returncode == 0
    wait_for(lambda: S.json("queue", "list", "--messages")[0]["attempts"] == 2, 20)
    assert S.cli("queue", "retry", id).returncode == 0
    wait_for(lambda: S.json("queue", "list", "--messages")[0]["attempts"] == 3, 20)
    show = S.cli("queue", "show", id, check=0).stdout
    assert "u@dead.invalid" in show, show
    assert S.cli("queue", "remove", id).returncode == 0
    assert S.json("queue", "list") == []
    assert len(S.pop3_messages("anna")) == n, "a removed message makes no bounce unless asked for"
    assert "removed" in S.cli("trace", id, check=0).stdout


def test_peer_down_then_up():
    """Postfix stopped: the mail waits with the reason; back again and `retry`: it goes."""
    pf = children[1]
    run("postfix", "-c", DIR / "postfix/conf", "stop")
    pf.wait(20)
    n = len(at_postfix())
    id = send("user@postfix.test", subject="later")
    row = wait_for(lambda: [r for r in S.json("queue", "list", "--messages") if r["id"] == id and r["reason"]], 40)[0]
    assert "postfix.test" in row["reason"] or "refused" in row["reason"].lower(), row
    children[1] = subprocess.Popen(["postfix", "-c", str(DIR / "postfix/conf"), "start-fg"], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    time.sleep(1)
    S.cli("queue", "retry", "postfix.test", check=0)
    wait_for(lambda: len(at_postfix()) == n + 1, 30)


def test_stop():
    try:
        S.__exit__(None)
    finally:
        run("postfix", "-c", DIR / "postfix/conf", "stop")
        for c in children:
            c.terminate()
            c.wait(10)


try:
    main(globals())
finally:
    for c in children:
        if c.poll() is None:
            c.kill()
