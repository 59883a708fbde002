#!/usr/bin/python3
"""Accounts that come and go, and domains in letters that are not ASCII, with the command and a running server."""
import poplib
from harness import *

S = None
LARGE = "".join(f"line {i} " + "x" * 60 + "\r\n" for i in range(20000))


def test_start():
    global S
    S = Server()
    S.start()


def rows():
    """How many rows the store has of mail and passwords."""
    kinds = S.json("check", "store")["rows_by_kind"]
    return kinds["mailboxes"], kinds["secret"]


def logs_in(address, password):
    box = poplib.POP3(HOST, S.pop3, timeout=20)
    try:
        box.user(address)
        box.pass_(password)
        return True
    except poplib.error_proto:
        return False
    finally:
        box.close()


def test_removed_account_takes_its_mail_with_it():
    before = rows()
    S.account("carl")
    with smtp(S) as c:
        for i in range(300):
            c.sendmail("anna@example.test", ["carl@example.test"], message(f"mail {i}"))
        c.sendmail("anna@example.test", ["carl@example.test"], message("large", LARGE))
    wait_for(lambda: len(S.pop3_messages("carl")) == 301, 30)
    wait_for(lambda: not S.json("queue", "list"))
    # Two rows are secret: its passwords, and from where it has logged in, which is noted after the answer to a login. The salt that
    # names without an account are shown was made with the first password of all.
    wait_for(lambda: rows()[1] == before[1] + 2)
    assert rows()[0] > before[0] + 3 * 300, (before, rows())
    S.cli("account", "remove", "Carl@Example.TEST", check=0)
    assert not logs_in("carl@example.test", S.passwords["carl"])
    with smtp(S) as c:
        c.ehlo()
        c.mail("anna@example.test")
        assert c.rcpt("carl@example.test")[0] == 550
    assert [a["address"] for a in S.json("account", "list")] == ["anna@example.test", "ben@example.test"]
    assert rows() == (before[0] + 1, before[1]), (before, rows())     # the one says that it is closed
    S.account("carl")      # another one: nothing of the former is there
    assert S.pop3_messages("carl") == []
    S.cli("account", "remove", "nobody@example.test", check=3)


def test_interrupted_removal_is_completed():
    """Killed after any time: either nothing was done, or the next account command ends it."""
    removed = 0
    for k in range(8):
        before, name = rows(), f"k{k}"
        S.account(name)
        with smtp(S) as c:
            for i in range(20):
                c.sendmail("anna@example.test", [f"{name}@example.test"], message(f"mail {i}"))
        wait_for(lambda: len(S.pop3_messages(name)) == 20)
        p = subprocess.Popen([BINARY, "--config", str(S.conf), "account", "remove", f"{name}@example.test"])
        time.sleep(0.01 * 1.6 ** k)
        p.kill()
        p.wait()
        left = f"{name}@example.test" in [a["address"] for a in S.json("account", "list")]
        if left:
            S.cli("account", "remove", f"{name}@example.test", check=0)
        else:
            removed += 1
        assert rows() == (before[0] + 1, before[1]), (k, before, rows())
    assert removed > 0


def test_accounts_without_a_server():
    S.stop()
    S.cli("account", "remove", "carl@example.test", check=0)
    S.account("carl")
    S.start()
    assert S.pop3_messages("carl") == []


def test_international_domain():
    S.cli("domain", "add", "Bücher.example", check=0)
    p = S.cli("domain", "add", "xn--bcher-kva.example", check=1)
    assert "already" in p.stderr, p.stderr
    assert {"domain": "xn--bcher-kva.example", "catchall": None, "unicode": "bücher.example"} in S.json("domain", "list")
    assert "xn--bcher-kva.example  bücher.example\n" in S.cli("domain", "list").stdout
    S.cli("account", "add", "jörg@bücher.example", "--password-stdin", stdin="geheim\n", check=0)
    S.cli("account", "password", "jörg@BÜCHER.example", "--password-stdin", stdin="sehr geheim\n", check=0)
    S.cli("alias", "set", "alle@bücher.example", "jörg@bücher.example", "anna@example.test", check=0)
    assert {"address": "alle@xn--bcher-kva.example",
            "targets": ["jörg@xn--bcher-kva.example", "anna@example.test"]} in S.json("alias", "list")
    before = len(S.pop3_messages("anna"))
    with smtp(S) as c:
        c.ehlo()
        c.command_encoding = "utf-8"
        assert c.mail("anna@example.test", ["SMTPUTF8"])[0] == 250
        assert c.rcpt("alle@bücher.example")[0] == 250
        assert c.rcpt("nobody@bücher.example")[0] == 550
        assert c.data(message("in letters"))[0] == 250
    wait_for(lambda: len(S.pop3_messages("anna")) == before + 1)
    box = poplib.POP3(HOST, S.pop3, timeout=20)
    box.encoding = "utf-8"
    box.user("jörg@bücher.example")
    box.pass_("sehr geheim")
    assert box.stat()[0] == 1
    box.quit()
    S.cli("account", "remove", "jörg@bücher.example", check=0)
    S.cli("alias", "remove", "alle@bücher.example", check=0)
    S.cli("domain", "remove", "bücher.example", check=0)


def test_route_in_letters():
    """A route named in U-labels takes mail for either form; here to nobody, so that it waits and can be found."""
    [port] = free_ports(1)
    with Server(f'route "Straße.example" {{ host = "127.0.0.1" port = {port} }}') as s, smtp(s) as c:
        c.ehlo()
        c.command_encoding = "utf-8"
        c.mail("anna@example.test", ["SMTPUTF8"])
        assert c.rcpt("u@straße.example")[0] == 250
        assert c.rcpt("v@xn--strae-oqa.example")[0] == 250
        assert c.data(message("by route"))[0] == 250
        found = wait_for(lambda: [q for q in s.json("queue", "list", "--messages") if q["attempts"]])
        assert len(found) == 1 and found[0]["domain"] == "xn--strae-oqa.example", found
        assert "127.0.0.1" in found[0]["reason"] or "refused" in found[0]["reason"], found
        assert len(s.json("queue", "list", "STRAßE.example", "--messages")) == 1
        s.cli("queue", "remove", "straße.example", check=0)
        assert s.json("queue", "list") == []


def test_init_with_an_account():
    """The aliases that a machine needs come with the first account; run again, init leaves what is there."""
    with Server(accounts=()) as s:
        init = "init", "--account", f"zoe@{DOMAIN}", "--password-stdin"
        p = s.cli(*init, stdin="her word\n", check=0)
        for name in "postmaster", "root":
            assert f"made the alias {name}@{DOMAIN}, which leads to zoe@{DOMAIN}" in p.stdout, p.stdout
        s.cli("alias", "set", f"root@{DOMAIN}", "else@away.example", check=0)
        before = s.json("alias", "list")
        p = s.cli(*init, stdin="another word\n", check=0)
        assert f"the account zoe@{DOMAIN} is there already" in p.stdout and "made" not in p.stdout, p.stdout
        assert s.json("alias", "list") == before and len(before) == 2, before
        s.passwords["zoe"] = "her word"
        with smtp(s) as c:
            c.sendmail(f"zoe@{DOMAIN}", [f"postmaster@{DOMAIN}"], message("for who runs it"))
        wait_for(lambda: len(s.pop3_messages("zoe")) == 1)


def test_removing_what_is_not_there():
    """One rule for all commands: status 3, and a sentence that says what there is none of."""
    S.cli("list", "create", "crew@example.test", check=0)
    cert = S.dir / "one.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", S.dir / "one.key",
        "-out", cert, "-subj", "/CN=x", check=0)
    for words, said in (
            ("domain remove nope.example", "there is no domain nope.example"),
            ("account remove nope@example.test", "there is no account nope@example.test"),
            ("account remove nope@nope.example", "there is no account nope@nope.example"),
            ("account password nope@example.test --password-stdin", "there is no account nope@example.test"),
            ("account app-password remove anna@example.test nope", "no password of that name"),
            (f"account certificate remove anna@example.test {cert}", "no such certificate"),
            ("alias remove nope@example.test", "there is no alias nope@example.test"),
            ("alias remove nope@nope.example", "there is no alias nope@nope.example"),
            ("mask remove nope@example.test", "there is no mask nope@example.test"),
            ("list delete nope@example.test", "there is no list nope@example.test"),
            ("list remove nope@example.test x@away.example", "there is no list nope@example.test"),
            ("list remove crew@example.test x@away.example", "no such member"),
            ("relay remove nope", "no name and password"),
            ("table remove transport nope.example", "has no row nope.example"),
            ("queue resume nope.example", "has no row nope.example"),
            ("queue suppressed remove nope@away.example", "is not suppressed"),
            ("queue remove 0000000000000000", "nothing in the queue matches")):
        p = S.cli(*words.split(), stdin="x\n")
        assert p.returncode == 3 and said in p.stderr, (words, p.returncode, p.stderr)
    # what could not be made for want of a domain is refused, as ever
    p = S.cli("account", "add", "x@nope.example", "--password-stdin", stdin="x\n")
    assert p.returncode == 1 and "postrider domain add nope.example" in p.stderr, p.stderr


def test_stop():
    assert S.stop() == 0


if __name__ == "__main__":
    main(globals())
