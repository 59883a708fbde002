"""Reports as Python's email package reads them: test_dsn_python.py PATH-OF-dsn_print"""
import email
import email.policy
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)


def report(what):
    raw = subprocess.run([PROGRAM, what], check=True, stdout=subprocess.PIPE).stdout
    return email.message_from_bytes(raw, policy=email.policy.default)


class Reports(unittest.TestCase):
    def parts(self, message, kinds):
        self.assertEqual(message.get_content_type(), "multipart/report")
        self.assertEqual(message.get_param("report-type"), "delivery-status")
        self.assertEqual([p.get_content_type() for p in message.iter_parts()], kinds)
        self.assertEqual(message.defects, [])
        self.assertEqual(message["Auto-Submitted"], "auto-replied")
        self.assertIsNone(message["Bcc"])
        return list(message.iter_parts())

    PLAIN = ["text/plain", "message/delivery-status", "text/rfc822-headers"]

    def test_plain(self):
        message = report("plain")
        text, status, header = self.parts(message, self.PLAIN)
        self.assertEqual(message["To"].addresses[0].addr_spec, "alice@example.test")
        self.assertEqual(message["From"].addresses[0].addr_spec, "MAILER-DAEMON@mx.example.test")
        self.assertEqual(message["Date"].datetime.timestamp(), 1795303205)
        self.assertEqual(message["In-Reply-To"], "<1@example.test>")
        self.assertIn("bob@example.net", text.get_content())
        groups = status.get_payload()
        self.assertEqual(groups[0]["Reporting-MTA"], "dns; mx.example.test")
        self.assertEqual(groups[1]["Final-Recipient"], "rfc822; bob@example.net")
        self.assertEqual(groups[1]["Original-Recipient"], "rfc822; robert@example.net")
        self.assertEqual(groups[1]["Diagnostic-Code"],
                         "smtp; 550-5.1.1 no such user here, 550 5.1.1 and no other of that name")
        self.assertEqual(groups[2]["Status"], "4.4.1")
        self.assertEqual(len(groups), 3)
        self.assertEqual(header.get_content().replace("\r\n", "\n"),
                         "From: alice@example.test\nMessage-ID: <1@example.test>\nSubject: hello\n")

    def test_delayed(self):
        groups = self.parts(report("delayed"), self.PLAIN)[1].get_payload()
        self.assertEqual(groups[2]["Action"], "delayed")
        self.assertEqual(groups[2]["Will-Retry-Until"], "Thu, 26 Nov 2026 23:20:00 +0000")

    def test_success(self):
        message = report("success")
        text, status, _ = self.parts(message, self.PLAIN)
        self.assertEqual(message["Subject"], "Your message was delivered")
        groups = status.get_payload()
        self.assertEqual(groups[0]["Original-Envelope-Id"], "QQ314159")
        self.assertEqual(groups[0]["Received-From-MTA"], "dns; client.example.test")
        self.assertEqual([g["Action"] for g in groups[1:]], ["relayed", "delivered"])
        self.assertEqual([g["Status"] for g in groups[1:]], ["2.0.0", "2.1.5"])
        self.assertTrue(groups[1]["Original-Recipient"].startswith("x400; "))
        self.assertEqual(groups[2]["Original-Recipient"], "rfc822; Caroline@Example.test")
        self.assertEqual(groups[2]["Final-Log-ID"], "0abc")
        self.assertIn("does not report", text.get_content())

    def test_whole(self):
        message = report("whole")
        parts = self.parts(message, self.PLAIN[:2] + ["message/rfc822"])
        inside = parts[2].get_payload(0)
        self.assertEqual(inside["Subject"], "hello")
        self.assertEqual(inside.get_payload(decode=True), b"b\xe4r\r\n--=_x--\r\n")

    def test_hostile(self):
        message = report("hostile")
        _, status, header = self.parts(message, self.PLAIN)
        groups = status.get_payload()
        self.assertEqual(len(groups), 3)
        self.assertEqual(groups[2]["Status"], "5.0.0")
        self.assertIsNone(groups[2]["Bcc"])
        self.assertIn("Subject: hello\n--=_u1: c\n--=_u1--: d\n", header.get_content().replace("\r\n", "\n"))

    def test_utf8(self):
        _, status, header = self.parts(
            report("utf8"), ["text/plain", "message/global-delivery-status", "message/global-headers"])
        self.assertIn("Final-Recipient: utf-8; bücher@example.net", status.as_bytes().decode())
        self.assertIn("Subject: grüße", header.as_bytes().decode())


unittest.main()
