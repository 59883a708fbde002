"""A mail server that takes what it is told to take: scripted answers, extensions as asked for, everything kept for the test to read.

    sink = Sink("127.0.0.10", extensions=["8BITMIME", "DSN"])
    sink.answer["RCPT"] = lambda session, line: "550 5.1.1 no such user" if "nobody" in line else None
    m = sink.wait(lambda m: "a@b.test" in m.rcpts[0])

Each message has: mail, rcpts (the words after MAIL and RCPT), data, helo, peer (the address it came from), tls (version or None),
login (who said AUTH), verbs (every line of the session before it).
"""
import base64, socket, threading
from types import SimpleNamespace
from harness import wait_for

MODERN = ["PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME", "ENHANCEDSTATUSCODES"]
PLAIN = ["PIPELINING"]


class Sink:
    def __init__(self, host="127.0.0.1", port=25, extensions=MODERN, tls=None, implicit=False, lmtp=False, logins=None,
                 name="sink.test"):
        self.extensions, self.tls, self.implicit, self.lmtp, self.logins, self.name = list(extensions), tls, implicit, lmtp, logins, name
        self.answer = {}            # verb, or "." for the end of the content -> function(session, line) -> reply or None
        self.messages, self.sessions, self.open_now, self.most_open = [], [], 0, 0
        self.lock = threading.Lock()
        self.listener = socket.create_server((host, port), backlog=128)
        self.host, self.port = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection, peer), daemon=True).start()

    def wait(self, fits=lambda m: True, seconds=20):
        def found():
            with self.lock:
                return next((m for m in self.messages if fits(m)), None)
        return wait_for(found, seconds)

    def wait_to(self, address, seconds=20):
        return self.wait(lambda m: any(f"<{address}>" in r for r in m.rcpts), seconds)

    def serve(self, connection, peer):
        with self.lock:
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        try:
            Session(self, connection, peer[0]).run()
        except (OSError, EOFError, ValueError):
            pass
        finally:
            connection.close()
            with self.lock:
                self.open_now -= 1


class Session:
    def __init__(self, sink, connection, peer):
        self.sink, self.connection, self.peer = sink, connection, peer
        self.version, self.login, self.helo, self.verbs = None, None, "", []
        self.reset()
        connection.settimeout(60)
        if sink.implicit:
            self.start_tls()
        self.file = self.connection.makefile("rb")
        sink.sessions.append(self)

    def start_tls(self):
        self.connection = self.sink.tls.wrap_socket(self.connection, server_side=True)
        self.version = self.connection.version()

    def reset(self):
        self.mail, self.rcpts, self.content = None, [], b""

    def say(self, text):
        self.connection.sendall(text.encode() + b"\r\n")

    def line(self):
        line = self.file.readline()
        if not line:
            raise EOFError
        return line

    def run(self):
        self.say(self.scripted("CONNECT", "") or f"220 {self.sink.name} ESMTP sink")
        while True:
            line = self.line().decode("utf-8", "surrogateescape").rstrip("\r\n")
            self.verbs.append(line)
            verb = line.split(" ")[0].upper()
            reply = self.scripted(verb, line)
            if reply:
                self.say(reply)
                if reply.startswith("421") or verb == "QUIT":
                    return
                if verb == "BDAT":
                    self.file.read(int(line.split()[1]))
                continue
            if self.command(verb, line):
                return

    def scripted(self, verb, line):
        script = self.sink.answer.get(verb)
        return script(self, line) if script else None

    def command(self, verb, line):
        if verb in ("EHLO", "LHLO", "HELO"):
            self.helo = line[5:]
            self.reset()
            offers = list(self.sink.extensions) if verb != "HELO" else []
            if self.sink.tls and not self.version and offers is not None and verb != "HELO":
                offers.append("STARTTLS")
            if self.sink.logins and self.version and verb != "HELO":
                offers.append("AUTH PLAIN")
            lines = [self.sink.name] + offers
            self.say("\r\n".join(f"250{' ' if i == len(lines) - 1 else '-'}{x}" for i, x in enumerate(lines)))
        elif verb == "STARTTLS" and self.sink.tls:
            self.say("220 2.0.0 go ahead")
            self.start_tls()
            self.file = self.connection.makefile("rb")
            self.reset()
        elif verb == "AUTH":
            words = line.split(" ")
            if len(words) < 3:
                self.say("334 ")
                words.append(self.line().decode().strip())
            _, user, password = base64.b64decode(words[2]).decode().split("\0")
            if (self.sink.logins or {}).get(user) == password:
                self.login = user
                self.say("235 2.7.0 welcome")
            else:
                self.say("535 5.7.8 wrong")
        elif verb == "MAIL":
            self.mail = line[5:]
            self.say("250 2.1.0 ok")
        elif verb == "RCPT":
            self.rcpts.append(line[5:])
            self.say("250 2.1.5 ok")
        elif verb == "DATA" and not self.rcpts:
            self.say("503 5.5.1 nobody to send it to")
        elif verb == "DATA":
            self.say("354 go")
            while (content := self.line()) != b".\r\n":
                self.content += content[1:] if content.startswith(b".") else content
            self.end(chunked=False)
        elif verb == "BDAT":
            words = line.split()
            self.content += self.file.read(int(words[1]))
            if not self.rcpts:                      # RFC 3030 2
                self.say("503 5.5.1 nobody to send it to")
                self.reset()
            elif words[-1].upper() == "LAST":
                self.end(chunked=True)
            else:
                self.say("250 2.0.0 go on")
        elif verb == "RSET":
            self.reset()
            self.say("250 2.0.0 ok")
        elif verb == "NOOP":
            self.say("250 2.0.0 ok")
        elif verb == "QUIT":
            self.say("221 2.0.0 bye")
            return True
        else:
            self.say("502 5.5.1 no such command")
        return False

    def end(self, chunked):
        message = SimpleNamespace(mail=self.mail, rcpts=list(self.rcpts), data=self.content, helo=self.helo, peer=self.peer,
                                  tls=self.version, login=self.login, chunked=chunked, verbs=list(self.verbs))
        reply = self.scripted(".", self.content)
        if not reply or reply.startswith("2"):
            with self.sink.lock:
                self.sink.messages.append(message)
        for _ in self.rcpts if self.sink.lmtp else [0]:
            self.say(reply or "250 2.0.0 taken")
        self.reset()
