"""README.md names tests that are there, and every feature that e2e/test_features.py --list prints; postrider(1) has every command, option
and table. test_docs.py SOURCE"""
import re
import subprocess
import sys
from pathlib import Path

source = Path(sys.argv[1])
bad = []
rows = {}  # feature -> the other columns
for line in (source / "README.md").read_text().splitlines():
    cells = [c.strip() for c in line.split("|")]
    if len(cells) == 5 and cells[3].startswith("`"):
        rows[cells[1]] = cells[2:4]

for feature, (rfc, where) in rows.items():
    if not re.fullmatch(r"`[^`]+`(, `[^`]+`)*", where):
        bad.append(f"{feature}: not a list of tests: {where}")
    for item in re.findall(r"`([^`]+)`", where):
        path, _, names = item.partition(": ")
        file = source / "tests" / path
        if not file.is_file():
            bad.append(f"{feature}: there is no tests/{path}")
            continue
        text = file.read_text()
        for name in names.split():
            if not re.search(rf"^(def|static void) {re.escape(name)}\(", text, re.M):
                bad.append(f"{feature}: tests/{path} has no test {name}")

listed = subprocess.run([sys.executable, source / "tests/e2e/test_features.py", "--list"], capture_output=True, text=True, check=True).stdout
for line in listed.splitlines():
    _, feature, rfc, name, _ = [c.strip() for c in line.split("|")]
    row = rows.get(feature)
    test = "e2e/test_features.py: " + name.strip("`")
    if row is None or row[0] != rfc or f"`{test}`" not in row[1]:
        bad.append(f"README.md has no row | {feature} | {rfc} | `{test}` |")

manual = (source / "man/postrider.1").read_text().replace("\\-", "-")
words = set(re.findall(r"[\w-]+", manual))
code = {name: (source / "src" / name).read_text() for name in ("cli/main.c", "cli/send_options.c", "cli/queue_words.c", "post/table.c")}
commands = re.findall(r'^    {"([a-z]+)", cmd_(?!sendmail|mailq|newaliases)', code["cli/main.c"], re.M)
tables = re.findall(r'^    \[TABLE_\w+\] = "([a-z-]+)"', code["post/table.c"], re.M)
options = set(re.findall(r'"?(--[a-z][a-z-]+)', "".join(code.values()))) - {"--name", "--verbose"}     # a word of a comment; -v
for word in [*commands, *tables, *options]:
    if word not in words:
        bad.append(f"postrider(1) does not tell of {word}")

if not listed or not rows or not commands or not tables or not options:
    bad.append("the check itself does not work: no rows")
print("\n".join(bad))
sys.exit(len(bad) > 0)
