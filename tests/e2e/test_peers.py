#!/usr/bin/python3
"""Postfix, Exim, Dovecot and a second postrider as peers, in a network of their own with real DNS (NSD): TLS with certificates of
an authority, in both directions, verified and refused; DSN, 8BITMIME and SMTPUTF8 passed on; login to a smarthost; LMTP both ways.

Exim cannot be installed beside Postfix: its package is fetched and unpacked into the test's folder."""
import atexit, smtplib, ssl
import world
from peers import *


def fetch_exim():
    """Exim's package, fetched while there is a network; what stands in EXIM_PACKAGE is its name, or nothing where it cannot be had."""
    folder = tempfile.mkdtemp(prefix="postrider-exim.")
    atexit.register(shutil.rmtree, folder, True)
    os.chmod(folder, 0o777)
    subprocess.run(["apt-get", "-qq", "download", "exim4-daemon-light"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   timeout=120)
    os.environ["EXIM_PACKAGE"] = str(next(Path(folder).glob("*.deb"), ""))


if "WORLD_DIR" not in os.environ and os.geteuid() == 0:
    fetch_exim()
DIR = world.enter("peers", users=["Debian-exim"], addresses=["127.0.0.2", "127.0.0.4", "127.0.0.6", "127.0.0.8"])
ZONE = """postrider MX 10 mx.postrider
lists.postrider MX 10 mx.postrider
mx.postrider A 127.0.0.1
postfix MX 10 mx.postfix
mx.postfix A 127.0.0.2
plain.postfix A 127.0.0.8
exim MX 10 mx.exim
mx.exim A 127.0.0.3
othername MX 10 mx.othername
mx.othername A 127.0.0.2
untrusted MX 10 mx.untrusted
mx.untrusted A 127.0.0.4
plaintext MX 10 mx.plaintext
mx.plaintext A 127.0.0.6
bare MX 10 mx.bare
mx.bare A 127.0.0.6
second MX 10 mx.second
mx.second A 127.0.0.5
dovecot A 127.0.0.7
"""
ANNA = "anna@postrider.test"
CORP = 'Grüße, "corp" 1'
S = SECOND = CA = POSTFIX = None
EXIM = None
DOVECOT = shutil.which("dovecot")


def start_postfix():
    """Port 587 asks for a login, which Dovecot checks: at 127.0.0.2; at 127.0.0.8 by PLAIN alone; at 127.0.0.4 with a certificate that
    nobody signed; at 127.0.0.6 without TLS."""
    global POSTFIX
    login = (f"-o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes -o smtpd_sasl_type=dovecot -o smtpd_sasl_path={DIR}/dovecot/auth "
             "-o smtpd_relay_restrictions=permit_sasl_authenticated,reject -o smtpd_sasl_authenticated_header=yes -o smtpd_tls_auth_only=yes")
    untrusted = f"-o smtpd_tls_cert_file={DIR}/tls/untrusted/cert.pem -o smtpd_tls_key_file={DIR}/tls/untrusted/key.pem"
    mailboxes = "user@postfix.test üser@postfix.test user@othername.test user@untrusted.test user@plaintext.test user@bare.test"
    POSTFIX = Postfix(DIR, ["127.0.0.2:25", f"127.0.0.4:25 {untrusted}", "127.0.0.6:25 -o smtpd_tls_security_level=none",
                            f"127.0.0.2:587 {login}", f"127.0.0.8:587 {login} -o smtpd_sasl_mechanism_filter=PLAIN",
                            f"127.0.0.4:587 {login} {untrusted}", f"127.0.0.6:587 {login} -o smtpd_tls_security_level=none "
                            "-o smtpd_tls_auth_only=no"], mailboxes.split(), f"""
transport_maps = inline:{{ lists.postrider.test=lmtp:inet:[127.0.0.1]:{S.lmtp} }}
smtputf8_enable = yes
smtpd_tls_security_level = may
smtpd_tls_cert_file = {DIR}/tls/postfix/cert.pem
smtpd_tls_key_file = {DIR}/tls/postfix/key.pem
smtpd_tls_received_header = yes
smtp_tls_security_level = may
smtp_tls_CAfile = {CA.cert}
smtp_tls_policy_maps = inline:{{ postrider.test=verify, second.test=encrypt }}
smtp_tls_loglevel = 1
""")
    POSTFIX.start()


def unpack_exim():
    """Its binary; None where it cannot be had, or does not run."""
    package, d = os.environ.get("EXIM_PACKAGE"), DIR / "exim-package"
    if not package:
        return None
    run("dpkg", "-x", package, d, check=0)
    binary = d / "usr/sbin/exim4"
    return binary if "Exim version" in run(binary, "-C", "/dev/null", "-bV").stdout else None


def start_exim():
    d = DIR / "exim"
    for sub in "spool", "log", "mail":
        (d / sub).mkdir(parents=True)
    # without its files where it looks for them it gives up root at once, so all of it runs as its own user
    run("chown", "-R", "Debian-exim:Debian-exim", d, DIR / "tls/exim", check=0)
    (d / "conf").write_text(f"""exim_path = {EXIM}
spool_directory = {d}/spool
log_file_path = {d}/log/%slog
pid_file_path = {d}/spool/pid
primary_hostname = mx.exim.test
local_interfaces = 127.0.0.3
daemon_smtp_ports = 25
domainlist local_domains = exim.test
never_users =
keep_environment =
deliver_drop_privilege = true
tls_advertise_hosts = *
tls_certificate = {DIR}/tls/exim/cert.pem
tls_privatekey = {DIR}/tls/exim/key.pem
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
accept_8bitmime = true
acl_smtp_rcpt = rcpt
acl_smtp_data = data
begin acl
rcpt:
  accept domains = +local_domains
         local_parts = user : üser
  accept hosts = : 127.0.0.3
  deny message = no such user
data:
  accept
begin routers
smarthost:
  driver = manualroute
  domains = viaours.test
  route_list = * mx.postrider.test
  transport = login
remote:
  driver = dnslookup
  domains = ! +local_domains
  transport = remote
  no_more
here:
  driver = accept
  transport = maildir
begin transports
remote:
  driver = smtp
  interface = 127.0.0.3
  hosts_require_tls = *
  tls_verify_certificates = {CA.cert}
  tls_verify_hosts = *
login:
  driver = smtp
  interface = 127.0.0.3
  port = 587
  hosts_require_tls = *
  hosts_require_auth = *
  tls_verify_certificates = {CA.cert}
  tls_verify_hosts = *
maildir:
  driver = appendfile
  directory = {d}/mail
  maildir_format
  delivery_date_add
  envelope_to_add
  return_path_add
begin retry
* * F,1h,1m
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{ANNA}^{S.passwords['anna']}
""")
    os.chmod(d / "conf", 0o644)
    world.child(EXIM, "-C", d / "conf", "-bdf", "-q1m", stdout=open(d / "out", "wb"), stderr=subprocess.STDOUT)


def test_start():
    global S, SECOND, CA, EXIM
    world.dns(DIR, ZONE)
    CA = world.Authority(DIR / "ca")
    for name in "postfix", "exim":
        CA.issue(DIR / "tls" / name, f"mx.{name}.test", f"plain.{name}.test")
    CA.issue(DIR / "tls/dovecot", "dovecot.test")
    CA.issue(DIR / "tls/untrusted", "mx.untrusted.test", trusted=False)
    shared = world.SETTINGS + f'tls_ca_file = "{CA.cert}"\n'
    S = Server(shared + 'relay_networks = {"127.0.0.1/32"}\nlisten_submission = {"127.0.0.1:587"}\n', domain="postrider.test",
               hostname="mx.postrider.test", smtp_port=25)
    S.cli("domain", "add", "lists.postrider.test", check=0)
    S.cli("alias", "set", "all@lists.postrider.test", ANNA, "ben@postrider.test", check=0)
    S.cli("alias", "set", "ännä@postrider.test", ANNA, check=0)
    SECOND = Server(shared + 'relay_networks = {"127.0.0.5/32"}\nlisten_submission = {"127.0.0.5:587"}\nlisten_submissions = {"127.0.0.5:465"}\n',
                    domain="second.test", hostname="mx.second.test", host="127.0.0.5", smtp_port=25)
    for s in S, SECOND:
        CA.issue(s.data / "tls" / s.conf_hostname, s.conf_hostname)
        s.start()
    start_postfix()
    EXIM = unpack_exim()
    if EXIM:
        start_exim()
        wait_for(greets("127.0.0.3"), 30)
    else:
        print("      without Exim: its package cannot be fetched, or does not run here")
    if DOVECOT:
        Dovecot(DIR, DIR / "tls/dovecot", {"box@boxes.test": "x", "corp@postfix.test": CORP}).start()


# ---- helpers ----

def mail(subject, body="x", to="user@postfix.test"):
    return message(subject, body, ANNA, to)


def send(to, content=None, params=(), rcpt=(), server=None, sender=ANNA):
    server = server or S
    with smtplib.SMTP(server.host, 25, local_hostname="client.test", timeout=30) as c:
        c.ehlo()
        code, said = c.docmd("MAIL", " ".join([f"FROM:<{sender}>", *params]))
        assert code == 250, (code, said)
        c.command_encoding = "utf-8"
        code, said = c.docmd("RCPT", " ".join([f"TO:<{to}>", *rcpt]))
        assert code == 250, (to, code, said)
        code, said = c.data((content or mail("to a peer", to=to)).encode())
        assert code == 250, (code, said)
        return re.search(rb"queued as ([0-9a-z]{16})", said).group(1).decode()


def arrived(where, subject, seconds=30):
    """At "postfix", "exim", "dovecot", or in an account of ours."""
    folders = {"postfix": POSTFIX.mail, "exim": DIR / "exim/mail", "dovecot": DIR / "dovecot/home/box@boxes.test"}

    def look():
        if where in folders:
            mails = maildir(folders[where])
        else:
            mails = [email.message_from_bytes(m, policy=email.policy.default) for m in S.pop3_messages(where)]
        return next((m for m in mails if m["Subject"] == subject), None)
    try:
        return wait_for(look, seconds, 0.1)
    except AssertionError:
        logs = [p for p in DIR.glob("*/log/*log")] + [POSTFIX.out, DIR / "exim/out", DIR / "dovecot/log"]
        ours = [l for s in (S, SECOND) for l in s.log().splitlines() if re.search(r"Z (mx|courier|local) ", l)]
        raise AssertionError(f"no \"{subject}\" at {where}\n" + "\n".join(ours[-20:]) + "\n" +
                             "\n".join(f"== {p}\n{p.read_text(errors='replace')[-2500:]}" for p in logs if p.exists())) from None


def report(*words, seconds=30):
    def look():
        return next((m for m in S.pop3_messages("anna") if all(w.encode() in m for w in words)), None)
    try:
        return wait_for(look, seconds, 0.1)
    except AssertionError:
        ours = [l for s in (S, SECOND) for l in s.log().splitlines() if re.search(r"Z (mx|courier|local) ", l)]
        raise AssertionError(f"no report with {words}\n" + "\n".join(ours[-20:])) from None


def sent_by(id):
    """How the log says it went: the tls= of its last attempt."""
    return re.findall(rf"courier {id} sent .*? tls=(\"[^\"]*\"|\S+)", wait_for(lambda: f"courier {id} sent" in S.log() and S.log(), 20))[-1]


def waiting(id):
    rows = wait_for(lambda: [r for r in S.json("queue", "list", "--messages", "--all") if r["id"] == id and r["reason"]], 30)
    return rows[0]["reason"]


def received(m):
    return " ".join(" ".join(r.split()) for r in m.get_all("Received"))


def by_sendmail(program, to, subject, body, sender, options=(), headers=""):
    """Handed to Postfix or Exim by their own sendmail."""
    content = f"From: {sender}\nTo: {to}\nSubject: {subject}\n{headers}\n{body}\n"
    if program == "postfix":
        p = POSTFIX.run("sendmail", "-i", *options, "-f", sender, to, stdin=content)
    else:
        p = run(EXIM, "-C", DIR / "exim/conf", "-oi", "-odi", *options, "-f", sender, to, stdin=content)
    assert p.returncode == 0, (p.returncode, p.stdout, p.stderr)


PEERS = ["postfix", "exim"]


def peers():
    return [p for p in PEERS if p != "exim" or EXIM]


# ---- we send ----

def test_opportunistic():
    for peer in peers():
        id = send(f"user@{peer}.test", mail(f"may {peer}"))
        m = arrived(peer, f"may {peer}")
        assert re.search(r"TLS1[._]3|TLSv1\.3", received(m)), received(m)
        assert "unverified" in sent_by(id), sent_by(id)
    id = send("user@plaintext.test", mail("may in plaintext"))
    arrived("postfix", "may in plaintext")
    assert sent_by(id) == "plaintext", sent_by(id)


def test_verified():
    for peer in peers():
        S.cli("table", "set", "tls", f"{peer}.test", "verify", check=0)
        id = send(f"user@{peer}.test", mail(f"verify {peer}"))
        arrived(peer, f"verify {peer}")
        assert sent_by(id).strip('"').endswith(("verified", "verified resumed")) and "unverified" not in sent_by(id), sent_by(id)


def test_refused():
    """A wrong certificate, or none: the mail stays, and says why; nothing of it was said to the peer."""
    ids = []
    for domain, policy, words in (("untrusted", "verify", "certificate"), ("othername", "verify", "certificate"),
                                  ("plaintext", "encrypt", "STARTTLS"), ("bare", "verify", "STARTTLS")):
        S.cli("table", "set", "tls", f"{domain}.test", policy, check=0)
        id = send(f"user@{domain}.test", mail(f"never {domain} {policy}"))
        reason = waiting(id)
        assert words in reason, (domain, policy, reason)
        ids.append((id, domain, policy))
    time.sleep(0.5)
    assert not [m for m in maildir(POSTFIX.mail) if "never" in m["Subject"]]
    # encrypt asks for no name; and when the operator changes his mind it goes
    for domain, policy in ("untrusted", "encrypt"), ("othername", "may"), ("plaintext", "none"), ("bare", "may"):
        S.cli("table", "set", "tls", f"{domain}.test", policy, check=0)
        S.cli("queue", "retry", f"{domain}.test", check=0)
    for id, domain, policy in ids:
        arrived("postfix", f"never {domain} {policy}")


def test_dsn_to_peers():
    """NOTIFY, ENVID, RET and ORCPT go with it: the peer's own report has them."""
    for peer in peers():
        send(f"user@{peer}.test", mail(f"dsn {peer}", body="the-body"), ["RET=HDRS", f"ENVID=env-{peer}"],
             ["NOTIFY=SUCCESS", f"ORCPT=rfc822;first@{peer}.test"])
        m = report("Action: delivered", f"env-{peer}").decode()
        assert re.search(rf"Original-Recipient: rfc822; ?first@{peer}.test", m) and f"mx.{peer}.test" in m, m
        assert "the-body" not in m, m
        send(f"none@{peer}.test", mail(f"dsn failed {peer}", body="the-body"), ["RET=FULL", f"ENVID=no-{peer}"])
        m = report("Action: failed", f"no-{peer}", f"none@{peer}.test").decode()
        assert "the-body" in m and "Reporting-MTA: dns; mx.postrider.test" in m, m


def test_eight_bits_to_peers():
    for peer in peers():
        content = mail(f"eight {peer}", body="Grüße") .replace("Subject:", "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                                                  "Content-Transfer-Encoding: 8bit\r\nSubject:")
        send(f"user@{peer}.test", content, ["BODY=8BITMIME"])
        m = arrived(peer, f"eight {peer}")
        assert m["Content-Transfer-Encoding"] == "8bit" and m.get_content().strip() == "Grüße", m


def test_utf8_to_postfix():
    send("üser@postfix.test", mail("Grüße an Postfix", to="üser@postfix.test"), ["SMTPUTF8", "BODY=8BITMIME"])
    m = arrived("postfix", "Grüße an Postfix")
    assert "UTF8" in received(m), received(m)
    if EXIM and "I18N" in run(EXIM, "-C", DIR / "exim/conf", "-bV").stdout:
        send("üser@exim.test", mail("Grüße an Exim", to="üser@exim.test"), ["SMTPUTF8", "BODY=8BITMIME"])
        arrived("exim", "Grüße an Exim")


# ---- they send ----

def test_from_peers():
    """Their policy is to verify our certificate, and they would not send otherwise."""
    for peer in peers():
        by_sendmail(peer, ANNA, f"from {peer}", ".\n..dots\nGrüße", f"user@{peer}.test",
                    headers="MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n")
        m = arrived("anna", f"from {peer}")
        assert "with ESMTPS " in received(m) and re.search(r"by mx\.postrider\.test .*tls TLS_", received(m)), received(m)
        assert m["Return-Path"] == f"<user@{peer}.test>" and m.get_content().splitlines()[:3] == [".", "..dots", "Grüße"], m
        log = re.findall(rf"accept .*from=user@{peer}.test .*", S.log())
        assert log and "tls=none" not in log[-1], log


def test_peers_verify_us():
    """A certificate of ours that nobody signed: they keep their mail."""
    own = S.data / "tls" / S.conf_hostname
    kept = {n: (own / n).read_bytes() for n in ("cert.pem", "key.pem")}
    CA.issue(own, S.conf_hostname, trusted=False)
    untrusted = ssl.PEM_cert_to_DER_cert((own / "cert.pem").read_text())

    def shown():
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
        with smtplib.SMTP(S.host, 25, timeout=20) as m:
            m.starttls(context=c)
            return m.sock.getpeercert(True)
    wait_for(lambda: shown() == untrusted, 20, 0.5)
    try:
        for peer in peers():
            by_sendmail(peer, ANNA, f"not yet {peer}", "x", f"user@{peer}.test")
        wait_for(lambda: "not verified" in POSTFIX.run("postqueue", "-p").stdout, 20)
        if EXIM:
            wait_for(lambda: "certificate" in (DIR / "exim/log/mainlog").read_text(), 20)
        assert not [m for m in S.pop3_messages("anna") if b"not yet" in m]
    finally:
        for name, content in kept.items():
            (own / (name + ".new")).write_bytes(content)
        for name in kept:
            os.rename(own / (name + ".new"), own / name)
    wait_for(lambda: shown() != untrusted, 20, 0.5)
    POSTFIX.run("postqueue", "-f")
    if EXIM:
        run(EXIM, "-C", DIR / "exim/conf", "-qff")
    for peer in peers():
        arrived("anna", f"not yet {peer}")


def test_dsn_from_peers():
    """What they ask for is answered by us, with their ENVID; and to whom it was not delivered."""
    by_sendmail("postfix", ANNA, "report please", "x", "user@postfix.test", ["-N", "success", "-V", "QQ3", "-R", "hdrs"])
    def reported():
        return next((m for m in maildir(POSTFIX.mail) if "Action: delivered" in str(m) and "QQ3" in str(m)), None)
    m = str(wait_for(reported, 30))
    assert "Reporting-MTA: dns; mx.postrider.test" in m and "Original-Envelope-Id: QQ3" in m and ANNA in m, m
    for peer in peers():
        by_sendmail(peer, "nobody@postrider.test", f"for nobody {peer}", "x", f"user@{peer}.test")
        folder = POSTFIX.mail if peer == "postfix" else DIR / "exim/mail"
        wait_for(lambda: any("nobody@postrider.test" in str(m) and "5.1.1" in str(m) for m in maildir(folder)), 30)


def test_utf8_from_postfix():
    by_sendmail("postfix", "ännä@postrider.test", "Grüße von Postfix", "ü", "üser@postfix.test")
    m = arrived("anna", "Grüße von Postfix")
    assert "UTF8SMTPS" in received(m), received(m)


# ---- with a login ----

def test_smarthost():
    """We log in at another server's submission port, by what it offers best; and may send there only as what was granted."""
    S.cli("relay", "set", "corp", "anna@second.test", "--password-stdin", stdin=SECOND.passwords["anna"] + "\n", check=0)
    for port in 587, 465:
        S.cli("table", "set", "transport", "postfix.test", f"smtp mx.second.test:{port} auth=corp", check=0)
        SECOND.cli("table", "remove", "grant", "postrider.test")
        send("user@postfix.test", mail(f"not granted {port}"))
        report("Action: failed", f"not granted {port}", "553")
        SECOND.cli("table", "set", "grant", "postrider.test", "anna@second.test", check=0)
        id = send("user@postfix.test", mail(f"by smarthost {port}"))
        m = arrived("postfix", f"by smarthost {port}")
        assert "by mx.second.test" in received(m) and "ESMTPSA" in received(m), received(m)
        assert "unverified" not in sent_by(id) and "verified" in sent_by(id), sent_by(id)
    assert "sasl=SCRAM-SHA-256-PLUS" in SECOND.log(), [l for l in SECOND.log().splitlines() if "sasl=" in l][-3:]
    S.cli("relay", "set", "corp", "anna@second.test", "--password-stdin", stdin="wrong\n", check=0)
    S.cli("table", "set", "transport", "postfix.test", "smtp mx.second.test:587 auth=corp", check=0)
    id = send("user@postfix.test", mail("wrong password"))
    assert "corp" in waiting(id) and "535" in waiting(id), waiting(id)
    assert SECOND.passwords["anna"] not in S.log() + SECOND.log()
    S.cli("table", "remove", "transport", "postfix.test", check=0)
    S.cli("queue", "remove", "--all")


def test_smarthost_of_postfix():
    """Postfix as the provider, its logins Dovecot's: SCRAM where it is offered, else PLAIN."""
    if not DOVECOT:
        print("      dovecot is not installed: skipped")
        return

    def credentials(password):
        S.cli("relay", "set", "corp", "corp@postfix.test", "--password-stdin", stdin=password + "\n", check=0)

    def by(route, subject):
        S.cli("table", "set", "transport", "postfix.test", "smtp", *route.split(), check=0)
        id = send("user@postfix.test", mail(subject))
        S.cli("queue", "retry", id)         # where the one before it failed, it would wait
        return id

    def logins():
        return re.findall(r"sasl_method=(\S+), sasl_username=(\S+)", POSTFIX.log())

    def refused(route, words, subject):
        """It waits, and says why; and how far Postfix was spoken to."""
        wait_for(lambda: POSTFIX.log().count(": connect from ") == POSTFIX.log().count(": disconnect from "), 20)
        at = len(POSTFIX.log())
        id = by(route, subject)
        reason = waiting(id)
        assert all(w in reason for w in words) and CORP not in reason, reason
        S.cli("queue", "remove", id, check=0)
        return wait_for(lambda: re.search(r": disconnect from .*\n", POSTFIX.log()[at:]), 20).group(0)
    credentials(CORP)
    for host, mechanism in ("mx", "SCRAM-SHA-256"), ("plain", "PLAIN"):
        id = by(f"{host}.postfix.test:587 auth=corp", f"postfix takes {mechanism}")
        m = arrived("postfix", f"postfix takes {mechanism}")
        assert "(Authenticated sender: corp@postfix.test)" in received(m) and "ESMTPSA" in received(m), received(m)
        assert logins()[-1] == (mechanism, "corp@postfix.test"), logins()
        assert "unverified" not in sent_by(id) and "verified" in sent_by(id), sent_by(id)
    # TLS to anybody is enough where the operator says so, and only there
    by("mx.untrusted.test:587 tls=encrypt auth=corp", "postfix untrusted")
    arrived("postfix", "postfix untrusted")
    assert " auth=" not in refused("mx.untrusted.test:587 auth=corp", ["certificate"], "never: untrusted")
    # no TLS, but it would take a password
    assert " auth=" not in refused("mx.plaintext.test:587 auth=corp", ["STARTTLS"], "never: no TLS")
    assert " auth=" not in refused("mx.plaintext.test:587 tls=encrypt auth=corp", ["STARTTLS"], "never: no TLS, encrypt")
    # a wrong password is ours to put right: it waits
    credentials("wrong")
    for host in "mx", "plain":
        assert "auth=0/1" in refused(f"{host}.postfix.test:587 auth=corp", ['credentials "corp"', "535"], f"never: wrong {host}")
    credentials(CORP)
    by("plain.postfix.test:587 auth=corp", "postfix right again")
    arrived("postfix", "postfix right again")
    assert [how for how, _ in logins()] == ["SCRAM-SHA-256", "PLAIN", "SCRAM-SHA-256", "PLAIN"], logins()
    assert not [m for m in maildir(POSTFIX.mail) if "never: " in str(m["Subject"])]
    assert CORP not in S.log() + POSTFIX.log()
    S.cli("table", "remove", "transport", "postfix.test", check=0)


def test_exim_logs_in():
    """Exim hands its mail to our submission port, with AUTH PLAIN under TLS."""
    if not EXIM:
        return
    S.cli("table", "set", "transport", "viaours.test", "smtp mx.postfix.test", check=0)
    by_sendmail("exim", "user@viaours.test", "by our submission", "x", ANNA)
    wait_for(lambda: re.search(rf"accept .*from={ANNA} .*sasl=PLAIN", S.log()), 20)
    S.cli("queue", "remove", "--all")       # Postfix takes no such domain
    by_sendmail("exim", "user@viaours.test", "as somebody else", "x", "user@exim.test")
    wait_for(lambda: any("as somebody else" in str(m) and "553" in str(m) for m in maildir(DIR / "exim/mail")), 30)


# ---- LMTP ----

def test_lmtp_to_dovecot():
    if not DOVECOT:
        print("      dovecot is not installed: skipped")
        return
    S.cli("table", "set", "transport", "boxes.test", "lmtp dovecot.test tls=verify", check=0)
    id = send("box@boxes.test", mail("to a box", body="one\r\n.\r\n..two"), ["ENVID=l1"], ["NOTIFY=SUCCESS,FAILURE"])
    m = arrived("dovecot", "to a box")
    assert m.get_content().splitlines()[:3] == ["one", ".", "..two"] and m["Return-Path"] == f"<{ANNA}>", m
    assert "verified" in sent_by(id) and "unverified" not in sent_by(id), sent_by(id)
    report("Original-Envelope-Id: l1", "box@boxes.test")
    send("nobody@boxes.test", mail("to no box"))
    m = report("nobody@boxes.test", "Action: failed", "Status: 5.1.1").decode()
    assert "Remote-MTA: dns; dovecot.test" in m, m


def test_lmtp_from_postfix():
    """Postfix's lmtp client at our LMTP listener: an answer for each recipient."""
    by_sendmail("postfix", "all@lists.postrider.test", "by their LMTP", "x", "user@postfix.test")
    for name in "anna", "ben":
        m = arrived(name, "by their LMTP")
    assert "LMTP" in received(m), received(m)
    p = POSTFIX.run("sendmail", "-f", "user@postfix.test", "all@lists.postrider.test", "none@lists.postrider.test",
                    stdin="Subject: for some by LMTP\n\nx\n")
    assert p.returncode == 0, p.stderr
    arrived("anna", "for some by LMTP")
    wait_for(lambda: any("none@lists.postrider.test" in str(m) and "5.1.1" in str(m) for m in maildir(POSTFIX.mail)), 30)


def test_stop():
    try:
        for s in S, SECOND:
            s.__exit__(None)
    finally:
        world.end_children()


wanted = sys.argv[1:]
if wanted:
    sys.argv[1:] = ["test_start"] + wanted + ["test_stop"]
world.main(globals())
