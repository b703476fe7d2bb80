"""Time of attention against PyTorch's, alternating in one run (A B A B ...): a table of ratios.

usage: attention_time.py BENCH_ATTENTION [--rounds 5] [--threads 2] [--times 64,256,1024,4096,8192] [--dtypes f32,bf16]
                         [--batch B] [--heads 12] [--width 64] [--full] [--cpu]
                         [--base OTHER_BENCH_ATTENTION]

Causal unless --full. A round's figure is the median over its runs; the table gives the medians over rounds and the median of the
rounds' ratios. Without --batch a shape of a short time gets several examples, so that threads have work. GFLOP/s count the products
that the definition needs (2 forward, 7 with the backward's 5; half of them if causal). With --base the peer is another build
of ours; with --cpu the figures are processor time, for machines that do other things too. Needs an interpreter with torch 2.13.0.
"""
import argparse
import os
import statistics
import subprocess
import sys


class Served:
    def __init__(self, command):
        # Threads that spin while they wait would take the other program's processors.
        environment = dict(os.environ, OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="1000")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return statistics.median(float(t) for t in self.process.stdout.readline().split())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench_attention")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--times", default="64,256,1024,4096,8192")
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--modes", default="forward,both")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--base")
    args = parser.parse_args()
    threads = ["--threads", str(args.threads)] + ["--cpu"] * args.cpu
    peer = [args.base, "--serve"] if args.base else [sys.executable,
                                                     os.path.join(os.path.dirname(__file__), "torch_attention.py")]
    ours, theirs = Served([args.bench_attention, "--serve"] + threads), Served(peer + threads)
    name = "base" if args.base else "PyTorch"
    print(f"| batch x time | dtype | pass | weft ms | {name} ms | GFLOP/s | {name} / weft (least, most) |\n"
          "| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for time in map(int, args.times.split(",")):
        for dtype in args.dtypes.split(","):
            for mode in args.modes.split(","):
                batch = args.batch or max(1, min(4, 1024 // time))
                products = 2 if mode == "forward" else 7
                flops = products * 2 * batch * args.heads * time * time * args.width * (1 if args.full else 0.5)
                runs = max(1, min(50, int(2e10 / flops)))
                line = f"{batch} {time} {args.heads} {args.width} {dtype} {0 if args.full else 1} {int(mode != 'forward')} {runs}"
                a, b = [], []
                for _ in range(args.rounds):
                    b.append(theirs.ask(line))
                    a.append(ours.ask(line))
                ratios = [y / x for x, y in zip(a, b)]
                ms = statistics.median(a) * 1e3
                print(f"| {batch} x {time} | {dtype} | {mode} | {ms:.3f} | {statistics.median(b) * 1e3:.3f} | "
                      f"{flops / ms / 1e6:.0f} | {statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f}) |",
                      flush=True)


if __name__ == "__main__":
    main()
