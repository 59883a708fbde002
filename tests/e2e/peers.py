"""Other people's mail servers in a network of the test's own (world.py): Postfix and Dovecot, each in a folder."""
import email, email.policy
import world
from harness import *

# What no test changes; after the ports it listens on.
SERVICES = """pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """mx.postfix.test at 127.0.0.2. listeners: lines of master.cf without the words that all have: "127.0.0.2:25 -o x=y".
    mailboxes: addresses whose mail is in one Maildir, `mail`. main: lines of main.cf besides."""

    def __init__(self, folder, listeners, mailboxes, main=""):
        d = self.dir = Path(folder) / "postfix"
        self.conf, self.mail, self.out = d / "conf", d / "mail/user", d / "out"
        for sub in ("conf", "queue", "data", "mail/user/cur", "mail/user/new", "mail/user/tmp"):
            (d / sub).mkdir(parents=True)
        for p in (Path(folder), d, d / "queue"):
            os.chmod(p, 0o755)
        shutil.chown(d / "data", "postfix")
        run("chown", "-R", "nobody:nogroup", d / "mail", check=0)
        owner = (d / "mail").stat()
        addresses = sorted({l.split(":")[0] for l in listeners})
        paths = "".join(f"{name} = {run('postconf', '-dh', name, check=0).stdout.strip()}\n"
                        for name in ("command_directory", "daemon_directory", "shlib_directory", "meta_directory"))
        (self.conf / "main.cf").write_text(f"""compatibility_level = 3.6
queue_directory = {d}/queue
data_directory = {d}/data
mail_owner = postfix
setgid_group = postdrop
{paths}inet_interfaces = {', '.join(addresses)}
inet_protocols = ipv4
smtp_bind_address = 127.0.0.2
mynetworks = 127.0.0.2/32
myhostname = mx.postfix.test
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {' '.join(sorted({m.split('@')[1] for m in mailboxes}))}
virtual_mailbox_base = {d}/mail
virtual_mailbox_maps = inline:{{ {', '.join(m + '=user/' for m in mailboxes)} }}
virtual_uid_maps = static:{owner.st_uid}
virtual_gid_maps = static:{owner.st_gid}
virtual_minimum_uid = 100
maillog_file = /dev/stdout
biff = no
{main}""")
        lines = (l.partition(" ") for l in listeners)
        (self.conf / "master.cf").write_text("".join(f"{at} inet n - n - - smtpd {options}\n" for at, _, options in lines) + SERVICES)
        self.process = None

    def start(self):
        self.process = world.child("postfix", "-c", self.conf, "start-fg", stdout=open(self.out, "ab"), stderr=subprocess.STDOUT)
        world.endings.append(self.stop)
        wait_for(greets("127.0.0.2"), 30)

    def stop(self):
        if self.process and self.process.poll() is None:
            run("postfix", "-c", self.conf, "stop")
            self.process.wait(20)

    def log(self):
        return self.out.read_text(errors="replace") if self.out.exists() else ""

    def run(self, *args, **kw):
        """One of its commands, with its configuration."""
        return run(args[0], *([] if args[0] == "sendmail" else ["-c", self.conf]), *args[1:], env={"MAIL_CONFIG": str(self.conf)}, **kw)


class Dovecot:
    """dovecot.test at 127.0.0.7: LMTP on port 24, and logins for others by a socket, `auth`. users: {name: password}."""

    def __init__(self, folder, certificate, users):
        d = self.dir = Path(folder) / "dovecot"
        (d / "home").mkdir(parents=True)
        os.chmod(d, 0o755)
        shutil.chown(d / "home", "nobody", "nogroup")
        self.auth = d / "auth"
        (d / "users").write_text("".join(f"{name}:{{PLAIN}}{password}::::::\n" for name, password in users.items()))
        (d / "conf").write_text(f"""protocols = lmtp
base_dir = {d}/run
state_dir = {d}/state
log_path = {d}/log
listen = 127.0.0.7
ssl = yes
ssl_cert = <{certificate}/cert.pem
ssl_key = <{certificate}/key.pem
mail_location = maildir:{d}/home/%u
first_valid_uid = 1
first_valid_gid = 1
auth_username_chars =
auth_mechanisms = plain scram-sha-256
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = {d}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={d}/home/%u
}}
service auth {{
  unix_listener {self.auth} {{
    mode = 0660
    user = postfix
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.7
    port = 24
  }}
}}
""")

    def start(self):
        world.child("dovecot", "-F", "-c", self.dir / "conf", stdout=open(self.dir / "out", "wb"), stderr=subprocess.STDOUT)
        wait_for(greets("127.0.0.7", 24), 30)


def greets(address, port=25):
    def look():
        try:
            with socket.create_connection((address, port), 2) as c:
                return c.recv(3) == b"220"
        except OSError:
            return False
    look.__name__ = f"a greeting of {address}:{port}"
    return look


def maildir(folder):
    return [email.message_from_bytes(p.read_bytes(), policy=email.policy.default) for sub in ("new", "cur")
            for p in sorted((Path(folder) / sub).glob("*"))]
