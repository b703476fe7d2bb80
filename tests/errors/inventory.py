"""Every message of a UserError in weft's sources, and whether a test reads it: ./weft check errors.

A message counts as read if a string of a test (or of an op's bad_samples, which are tests) can be a part of it, with any
text where the message has {}. Lists what no test reads; exit status 1 if there is any that is not excused below.
"""
import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ["graph", "runtime", "ops", "autodiff", "optim", "nn", "io", "testing"]
LEAST = 10  # characters of the message that a test must hold

# What no test can provoke, or none need read: (file, how the message begins).
EXCUSED = [
    ("graph/error.h", ""),  # the macros and their example
    ("runtime/simd/simd.cpp", "WEFT_SIMD is"),  # read once, when the program starts, from its environment
    ("io/atomic_file.cpp", "cannot write '{}': {}: {}"),  # a disk that is full
    ("io/log.cpp", "the log '{}' cannot be written"),  # the same
    ("io/safetensors.cpp", "'{}' cannot be opened"),  # no permission to read, which root may do all the same
    ("io/text.cpp", "'{}' cannot be"),  # the same
    ("io/run_state.cpp", "'{}' changed while it was read"),  # by another process
    ("ops/attention/attention.cpp", "expected {} captured values"),  # no function of weft builds such a node
    ("ops/shape/creation.cpp", "expected one axis"),  # the same
    ("ops/attention/score_function.cpp", "'{}' ({}): {} has a shape"),  # broadcasting with the scores is refused first
    ("runtime/program.cpp", "{} ({}): [{}] {}{}"),  # another message, with its node around it
    ("runtime/region/kernel.cpp", "'{}' ({}): [{}] {}"),  # the same
    ("graph/user_rule.h", "{} ({}): [{}] {}"),  # the same
    ("graph/step.cpp", "{}: {}"),  # a problem of the graph, with the transform before it
    # Lines of a report of check_op, which catches them: tests/ops read the reports.
    ("inspect/op/check_op.cpp", ""),
    ("inspect/op/check_promises.cpp", ""),
    ("inspect/op/check_runs.cpp", ""),
    ("inspect/op/check_values.cpp", ""),
]


def literals(text):
    """(position, text) of each string literal; adjacent ones are one."""
    found = []
    pattern = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
    for match in pattern.finditer(text):
        line = text.rfind("\n", 0, match.start()) + 1
        if text[line:match.start()].lstrip().startswith(("//", "#include")):
            continue
        value = match[1].replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
        if found and not text[found[-1][1]:match.start()].strip():
            found[-1] = (found[-1][0], match.end(), found[-1][2] + value)
        else:
            found.append((match.start(), match.end(), value))
    return [(start, value) for start, _, value in found]


def messages():
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in (".h", ".cpp"):
                continue
            text = path.read_text()
            strings = literals(text)
            # A check may be a call to a helper that a test provokes through others; each message counts once.
            for match in re.finditer(r"\b(WEFT_CHECK|WEFT_FAIL)\(", text):
                end = close(text, match.end())
                inside = [value for at, value in strings if match.end() <= at < end]
                formats = [value for value in inside if " " in value or "{" in value]
                if formats:
                    yield path.relative_to(ROOT), text.count("\n", 0, match.start()) + 1, formats


def close(text, at):
    """Where the bracket opened before `at` closes."""
    depth, quoted = 1, False
    while depth and at < len(text):
        c = text[at]
        if quoted:
            at += c == "\\"
            quoted = c != '"'
        elif c == '"':
            quoted = True
        elif c == "'" and not (text[at - 1].isalnum()):
            at = text.index("'", at + (2 if text[at + 1] != "\\" else 3))
        else:
            depth += (c == "(") - (c == ")")
        at += 1
    return at


def pieces(message):
    """The literal parts of a format."""
    plain = message.replace("{{", "\1").replace("}}", "\2")
    return [part.replace("\1", "{").replace("\2", "}") for part in re.split(r"\{[^{}]*\}", plain)]


def is_part(text, parts):
    """Whether `text` can be a substring of the message, and holds LEAST characters of it."""
    # State: (index of the part, offset in it) after each character of `text`; wildcards stand between the parts.
    for start, part in enumerate(parts):
        for offset in range(len(part) + 1):
            if match(text, 0, parts, start, offset):
                return True
        if len(text) < LEAST:
            return False
    return False


def match(text, at, parts, k, offset, held=0):
    while True:
        rest = parts[k][offset:]
        if len(text) - at <= len(rest):
            return rest.startswith(text[at:]) and held + len(text) - at >= LEAST
        if not text.startswith(rest, at):
            return False
        at += len(rest)
        held += len(rest)
        k, offset = k + 1, 0
        if k == len(parts):
            return False
        if held >= LEAST and at < len(text) and not parts[k]:
            return True
        # The value that stands between the parts: up to the next part, or to the end of the text.
        if parts[k] == "":
            continue
        found = text.find(parts[k], at)
        if found < 0:
            tail = longest_tail(text[at:], parts[k])
            return held + tail >= LEAST and (held > 0 or tail >= LEAST)
        at = found


def longest_tail(text, part):
    """Characters at the end of `text` with which `part` begins."""
    for n in range(min(len(text), len(part)), 0, -1):
        if text.endswith(part[:n]):
            return n
    return 0


def read_strings():
    found = set()
    for path in sorted((ROOT / "tests").rglob("*")):
        if path.suffix in (".h", ".cpp", ".cmake"):
            # The graph puts the op before the message.
            found.update(re.sub(r"^\[\w+\] ", "", value) for _, value in literals(path.read_text()) if len(value) >= LEAST)
    for path in sorted((ROOT / "ops").rglob("*.cpp")):
        text = path.read_text()
        for block in re.finditer(r"\.bad_samples = ", text):
            end = text.find("\n}", block.end())
            found.update(value for _, value in literals(text[block.end():end]) if len(value) >= LEAST)
    return sorted(found)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--all", action="store_true", help="list every message, read or not")
    show = options.parse_args()
    texts = read_strings()
    index = {}
    for text in texts:
        for i in range(len(text) - 5):
            index.setdefault(text[i:i + 6], set()).add(text)
    total = unread = 0
    for path, line, formats in messages():
        if any(str(path) == file and formats[0].startswith(start) for file, start in EXCUSED):
            continue
        total += 1
        read = None
        for message in formats:
            parts = pieces(message)
            near = set() if max(map(len, parts)) >= 6 else set(texts)
            for part in parts:
                for i in range(len(part) - 5):
                    near |= index.get(part[i:i + 6], set())
            read = read or next((text for text in sorted(near) if is_part(text, parts)), None)
        unread += read is None
        if read is None or show.all:
            print(f"{path}:{line}: {formats[0]}" + (f"\n    read by '{read}'" if read else ""))
    print(f"{total} messages, {unread} that no test reads")
    return 1 if unread else 0


if __name__ == "__main__":
    sys.exit(main())
