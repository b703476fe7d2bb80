"""Programs that serve measurements, and how two of them are compared.

A server says "ready", then answers each line of its stdin with one line. Two are asked in turn (A B A B ...), so that
what the machine does meanwhile falls on both; the ratio is the median over rounds of theirs / ours.
"""
import statistics
import subprocess


class Server:
    def __init__(self, command):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            raise RuntimeError(f"{' '.join(command)} did not start: {line.strip() or 'no output'}")

    def ask(self, question):
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(self.command)} ended early")
        return answer.split()

    def seconds(self, count):
        return statistics.median(float(x) for x in self.ask(count))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def alternate(ours, theirs, rounds, count):
    """Medians of ours and of each of theirs in seconds, and theirs / ours (median, least, most) by name of the peer."""
    own, others = [], {name: [] for name in theirs}
    for _ in range(rounds):
        own.append(ours.seconds(count))
        for name, server in theirs.items():
            others[name].append(server.seconds(count))
    result = {"weft": statistics.median(own), "rounds": rounds, "steps": count, "peers": {}}
    for name, times in others.items():
        ratios = [b / a for a, b in zip(own, times)]
        result["peers"][name] = {"seconds": statistics.median(times), "ratio": statistics.median(ratios),
                                 "least": min(ratios), "most": max(ratios)}
    return result


def table(head, rows):
    """Markdown."""
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])
