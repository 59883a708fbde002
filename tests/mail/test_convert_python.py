"""Converted mail as Python's email package reads it: test_convert_python.py PATH-OF-convert_print"""
import email
import email.policy
import random
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)
LINES = b"\r\n"


def convert(raw, to):
    return subprocess.run([PROGRAM, to], input=raw, check=True, stdout=subprocess.PIPE).stdout


def leaves(raw):
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    found = []
    for part in message.walk():
        if part.get_content_maintype() not in ("multipart", "message"):
            found.append((part.get_content_type(), part.get_payload(decode=True)))
    return found


def leaf(rng, binary):
    kind = rng.choice(["text/plain; charset=iso-8859-1", "image/png", "application/octet-stream"])
    alphabet = bytes(range(32, 127)) + bytes(range(160, 256)) * rng.randrange(2)
    lines = [bytes(rng.choices(alphabet, k=rng.randrange(120))) for _ in range(rng.randrange(1, 8))]
    body = LINES.join(line.rstrip() for line in lines) or b"x"
    if binary and not kind.startswith("text"):
        body = bytes(rng.choices(range(256), k=rng.randrange(1, 3000)))
        body = body.replace(LINES, b"xx").rstrip(LINES) + b"x"
    label = b"binary" if binary else b"8bit"
    return (b"Content-Type: " + kind.encode() + LINES + b"Content-Transfer-Encoding: " + label +
            LINES + LINES + body)


def entity(rng, depth, binary):
    if depth == 0 or rng.randrange(3) == 0:
        return leaf(rng, binary)
    mark = b"b%d" % rng.randrange(10**9)
    parts = b"".join(b"--" + mark + LINES + entity(rng, depth - 1, binary) + LINES
                     for _ in range(rng.randrange(1, 4)))
    return (b"Content-Type: multipart/mixed; boundary=" + mark + LINES + LINES + b"preamble" + LINES +
            parts + b"--" + mark + b"--")


class Converted(unittest.TestCase):
    def check(self, seed, to, binary):
        rng = random.Random(seed)
        raw = b"Subject: x" + LINES + b"MIME-Version: 1.0" + LINES + entity(rng, 3, binary) + LINES
        out = convert(raw, to)
        if to == "7":
            self.assertTrue(all(b < 128 for b in out))
        for line in out.split(LINES):
            self.assertLessEqual(len(line), 998)
            self.assertFalse(b"\r" in line or b"\n" in line or b"\0" in line)
        if binary:
            # the reader splits lines its own way: compare what has been encoded with what was put in
            self.assertEqual(len(leaves(out)), len(leaves(raw)))
        else:
            got = [(k, b.rstrip(LINES)) for k, b in leaves(out)]
            self.assertEqual(got, [(k, b.rstrip(LINES)) for k, b in leaves(raw)])

    def test_random_mail(self):
        for seed in range(40):
            self.check(seed, "7", False)
            self.check(seed, "8", True)

    def test_one_binary_part(self):
        body = bytes(range(256)) * 3
        raw = (b"MIME-Version: 1.0\r\nContent-Type: image/png\r\n"
               b"Content-Transfer-Encoding: binary\r\n\r\n" + body)
        message = email.message_from_bytes(convert(raw, "8"))
        self.assertEqual(message.get_payload(decode=True), body)


if __name__ == "__main__":
    unittest.main()
