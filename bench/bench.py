"""Figures of weft, beside PyTorch's on the same machine. Called by `./weft bench [NAME ...] [--quick] [--write]`.

Each figure prints a table, and its numbers go to build/bench/NAME.json. --write puts the tables of all figures that have
such a file into docs/performance.md, between their marks. Without torch 2.13 in the virtual environment build/bench/venv
(which this program makes) ratios are left out, and it says so.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

from peers import Server, alternate, table

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build/release/bin"
OUT = ROOT / "build/bench"
TORCH = "2.13.0"
CONFIGS = {"nano": (7, 20), "small": (5, 3), "gpt2": (5, 2), "gpt2_1024": (3, 1)}  # rounds, steps a round
THREADS = str(len(os.sched_getaffinity(0)))


def torch_python():
    """The interpreter of an environment with torch, or None with the reason printed."""
    python = OUT / "venv/bin/python"
    has = [str(python), "-c", f"import torch; assert torch.__version__.startswith('{TORCH}')"]
    if python.exists() and subprocess.run(has, capture_output=True).returncode == 0:
        return str(python)
    print(f"making a virtual environment with torch {TORCH} in build/bench/venv", flush=True)
    OUT.mkdir(parents=True, exist_ok=True)
    for command in ([sys.executable, "-m", "venv", str(OUT / "venv")],
                    [str(python), "-m", "pip", "install", "-q", f"torch=={TORCH}", "numpy"]):
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode != 0:
            lines = (made.stdout + made.stderr).strip().splitlines()
            print(f"PyTorch cannot be had: `{' '.join(command)}` failed: {lines[-1] if lines else 'no output'}")
            print("Ratios are left out.", flush=True)
            return None
    return str(python)


def processor():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def save(name, result):
    OUT.mkdir(parents=True, exist_ok=True)
    result |= {"date": time.strftime("%Y-%m-%d"), "processor": processor(), "threads": int(THREADS)}
    (OUT / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    return result


def tell(result):
    return f"{result['processor']}, {result['threads']} threads, {result['date']}."


# --- step: a training step, and its memory ---

def step(options):
    """Seconds of a training step and bytes, f32 and bf16, against PyTorch eager and compiled."""
    python = torch_python()
    rows, kept = [], []
    if options.only and (OUT / "step.json").exists():  # the other rows stay
        kept = json.loads((OUT / "step.json").read_text())["rows"]
    for config in options.only or CONFIGS:
        rounds, steps = CONFIGS[config]
        if options.quick:
            rounds, steps = max(2, rounds // 2), max(1, steps // 2)
        for dtype in options.dtypes:
            ours = Server([str(BIN / "bench_step"), "--config", config, "--dtype", dtype, "--threads", THREADS, "--serve"])
            theirs = {}
            if python:
                # torch.compile of the longest takes minutes and was never the faster there.
                kinds = ["eager"] if options.quick or config == "gpt2_1024" else ["eager", "compile"]
                for kind in kinds:
                    theirs[kind] = Server([python, str(ROOT / "bench/torch_step.py"), config, dtype, kind, THREADS])
            row = {"config": config, "dtype": dtype} | alternate(ours, theirs, rounds, steps)
            row["planned"], row["real"], row["peak"] = (int(x) for x in ours.ask("memory"))
            for name, server in theirs.items():
                row["peers"][name]["peak"] = int(server.ask("memory")[0])
            rows.append(row)
            for server in [ours, *theirs.values()]:
                server.close()
            print(f"{config} {dtype}: weft {row['weft']:.4f} s", *(f"{k} {p['seconds']:.4f} s, ratio {p['ratio']:.2f}"
                  for k, p in row["peers"].items()), flush=True)
            # After each: a step of bf16 where PyTorch emulates it takes minutes, and may be broken off.
            made = {(r["config"], r["dtype"]) for r in rows}
            result = save("step", {"rows": [r for r in kept if (r["config"], r["dtype"]) not in made] + rows})
    return result


def step_table(result):
    rows = []
    for row in result["rows"]:
        best = min(row["peers"].items(), key=lambda item: item[1]["seconds"], default=(None, None))
        name, peer = best
        mib = lambda b: f"{b / 2**20:,.0f}"
        rows.append([row["config"], row["dtype"], f"{row['weft'] * 1e3:,.1f} ms",
                     f"{peer['seconds'] * 1e3:,.1f} ms ({name})" if peer else "-",
                     f"{peer['ratio']:.2f} ({peer['least']:.2f} to {peer['most']:.2f})" if peer else "-",
                     mib(row["planned"]), mib(row["real"]), mib(row["peak"]), mib(peer["peak"]) if peer else "-",
                     f"{row['peak'] / peer['peak']:.2f}" if peer else "-"])
    return table(["step", "dtype", "weft", f"PyTorch {TORCH}, its best", "PyTorch / weft", "planned MiB", "real MiB",
                  "process MiB", "PyTorch's process MiB", "process, weft / PyTorch"], rows)


# --- attention: forward and backward over T ---

WINDOW = 256


def seen_pairs(steps, mask):
    """Pairs of query and key: half of them if causal (the diagonal is not told apart), a band with a window."""
    if mask == "window":
        return sum(min(i + 1, WINDOW) for i in range(steps))
    return steps**2 * (0.5 if mask == "causal" else 1)


def attention_server():
    return Server([str(BIN / "bench_attention"), "--serve", "--threads", THREADS])


def attention(options):
    """Attention, forward and with backward, over the time, by masks, f32 and bf16, against PyTorch."""
    python = torch_python()
    heads, width = 12, 64
    cases = ([(t, "causal") for t in (64, 256, 1024, 4096, 8192)] + [(t, "full") for t in (1024, 4096)]
             + [(t, mask) for mask in ("window", "bias") for t in (1024, 4096)])
    ours = attention_server()
    theirs = {"eager": Server([python, str(ROOT / "bench/torch_attention.py"), "--threads", THREADS])} if python else {}
    rows = []
    for steps, mask in [c for c in cases if c[0] <= 1024] if options.quick else cases:
        for dtype in options.dtypes:
            for backward in (0, 1):
                batch = max(1, min(4, 1024 // steps))
                # The products of the definition over the pairs that are seen: 2 forward, 5 more for the backward pass.
                flops = (7 if backward else 2) * 2 * batch * heads * seen_pairs(steps, mask) * width
                runs = max(1, min(50, int(2e10 / flops)))
                question = f"{batch} {steps} {heads} {width} {dtype} {mask} {backward} {runs}"
                row = {"batch": batch, "time": steps, "mask": mask, "dtype": dtype, "backward": backward, "flops": flops}
                rows.append(row | alternate(ours, theirs, 2 if options.quick else 5, question))
                print(f"{batch} x {steps} {dtype} {mask} backward {backward}: {rows[-1]['weft'] * 1e3:.2f} ms",
                      *(f"ratio {p['ratio']:.2f}" for p in rows[-1]["peers"].values()), flush=True)
    for server in [ours, *theirs.values()]:
        server.close()
    return save("attention", {"rows": rows})


def attention_table(result):
    rows = []
    for r in result["rows"]:
        peer = r["peers"].get("eager")
        mask = r.get("mask") or ("causal" if r["causal"] else "full")  # as files of old have it
        rows.append([f"{r['batch']} x {r['time']}", mask, r["dtype"],
                     "forward + backward" if r["backward"] else "forward", f"{r['weft'] * 1e3:.2f} ms",
                     f"{r['flops'] / r['weft'] * 1e-9:.0f}", f"{peer['seconds'] * 1e3:.2f} ms" if peer else "-",
                     f"{peer['ratio']:.2f} ({peer['least']:.2f} to {peer['most']:.2f})" if peer else "-"])
    return table(["batch x time", "mask", "dtype", "pass", "weft", "GFLOP/s", f"PyTorch {TORCH}", "PyTorch / weft"], rows)


# --- local: time linear in T ---

def local(options):
    """Local attention (window 256): time at 16,384 over time at 4,096."""
    server = attention_server()
    rows = []
    for dtype in options.dtypes:
        for backward in (0, 1):
            short, long = [], []
            for _ in range(3 if options.quick else 7):  # in turn: the machine's clock moves
                short.append(server.seconds(f"1 4096 12 64 {dtype} window {backward} 4"))
                long.append(server.seconds(f"1 16384 12 64 {dtype} window {backward} 2"))
            ratios = [b / a for a, b in zip(short, long)]
            rows.append({"dtype": dtype, "backward": backward, "short": statistics.median(short), "long": statistics.median(long),
                         "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios)})
            print(f"local {dtype} backward {backward}: ratio {rows[-1]['ratio']:.2f}", flush=True)
    server.close()
    return save("local", {"rows": rows})


def local_table(result):
    return table(["dtype", "pass", "T = 4,096", "T = 16,384", "ratio", "bound"],
                 [[r["dtype"], "forward + backward" if r["backward"] else "forward", f"{r['short'] * 1e3:.2f} ms",
                   f"{r['long'] * 1e3:.2f} ms", f"{r['ratio']:.2f} ({r['least']:.2f} to {r['most']:.2f})", "4.4"]
                  for r in result["rows"]])


# --- arena, planning: what the planner gives and takes ---

def printed(program):
    result = subprocess.run([str(BIN / program)], capture_output=True, text=True)
    if not result.stdout:
        sys.exit(f"{program} failed: {result.stderr.strip()}")
    print(result.stdout, end="", flush=True)
    return {"text": result.stdout}


def arena(options):
    """Arena over the largest sum of live bytes: transformers under transforms, and random graphs."""
    return save("arena", printed("bench_arena"))


def planning(options):
    """Seconds to build, differentiate, transform, lower and plan a step."""
    return save("planning", printed("bench_planning"))


def printed_table(result):
    return f"```\n{result['text'].rstrip()}\n```"


# --- passes: what each lowering pass brings ---

def passes(options):
    """A step with each lowering pass switched off, against the step with all."""
    rows = []
    for config in options.only or ["nano", "gpt2"]:
        rounds, steps = CONFIGS[config]
        listing = subprocess.run([str(BIN / "bench_step"), "--config", config, "--passes"], check=True, capture_output=True,
                                 text=True).stdout.split()
        command = [str(BIN / "bench_step"), "--config", config, "--threads", THREADS, "--serve"]
        for name in listing:
            whole, without = Server(command), Server([*command, "--off", name])
            row = {"config": config, "pass": name} | alternate(whole, {"off": without}, 2 if options.quick else rounds, steps)
            row["planned"], row["planned_off"] = int(whole.ask("memory")[0]), int(without.ask("memory")[0])
            whole.close()
            without.close()
            rows.append(row)
            print(f"{config}: without {name}: time x {row['peers']['off']['ratio']:.3f}, bytes x "
                  f"{row['planned_off'] / row['planned']:.3f}", flush=True)
    return save("passes", {"rows": rows})


def passes_table(result):
    return table(["step", "without the pass", "time", "least to most", "planned bytes"],
                 [[r["config"], r["pass"], f"x {r['peers']['off']['ratio']:.3f}",
                   f"{r['peers']['off']['least']:.3f} to {r['peers']['off']['most']:.3f}",
                   f"x {r['planned_off'] / r['planned']:.3f}"] for r in result["rows"]])


# --- ops: each hot op against the machine's limits ---

def ops(options):
    """Each hot op against memory bandwidth or the product rate."""
    file = OUT / "ops_rows.json"
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([str(BIN / "bench_ops"), "--threads", THREADS, "--runs", "2" if options.quick else "5", "--json", str(file)],
                   check=True)
    result = json.loads(file.read_text())
    file.unlink()
    return save("ops", result)


def ops_table(result):
    text = table(["case", "op", "ms", "GFLOP/s", "GB/s", "share of the limit"],
                 [[r["case"], r["op"], f"{r['seconds'] * 1e3:.2f}", f"{r['flops'] / r['seconds'] * 1e-9:.1f}",
                   f"{r['bytes'] / r['seconds'] * 1e-9:.1f}", f"{r['share'] * 100:.0f} %"] for r in result["rows"]])
    return (f"Limits, measured in the same run: {result['product_flops'] * 1e-9:.0f} GFLOP/s, "
            f"{result['bytes_per_second'] * 1e-9:.1f} GB/s.\n\n" + text)


# --- fit: a budget of bytes ---

def fit(options):
    """GPT-2 4 x 1024 under a budget: bytes planned and real, time against no recomputation."""
    rows = []
    for budget in ["0", "3.2", "3.0"] if not options.quick else ["0", "3.0"]:
        # The plain step again beside each: the machine's clock moves.
        text = subprocess.run([str(BIN / "bench_fit_memory"), "--plain", str(int(budget == "0")), "--budget", budget, "--threads",
                               THREADS, "--runs", "2"], check=True, capture_output=True, text=True).stdout
        print(text, end="", flush=True)
        found = re.search(r"planned +(\d+).*real +(\d+).*predicted +([\d.]+).*run +([\d.]+).*search +([\d.]+)", text)
        rows.append({"budget": budget} | dict(zip(["planned", "real", "predicted", "run", "search"], map(float, found.groups()))))
    return save("fit", {"rows": rows})


def fit_table(result):
    plain = result["rows"][0]["run"]
    return table(["budget", "planned", "real", "real / planned", "a step", "against no budget", "search"],
                 [["none" if r["budget"] == "0" else f"{r['budget']} GiB", f"{r['planned'] / 2**30:.3f} GiB",
                   f"{r['real'] / 2**30:.3f} GiB", f"{r['real'] / r['planned']:.4f}", f"{r['run']:.1f} s",
                   f"{(r['run'] / plain - 1) * 100:+.1f} %", f"{r['search']:.1f} s"] for r in result["rows"]])


# --- compile: a user's file ---

def compile_time(options):
    """Seconds to compile a user's file: one that only includes <weft/weft.h>, and a small training program."""
    commands = json.loads((ROOT / "build/release/compile_commands.json").read_text())
    found = next(c for c in commands if c["file"].endswith("examples/010-first-step.cpp"))
    command = [w for w in found["command"].split() if not w.endswith("ccache")]
    command[command.index("-o") + 1] = os.devnull
    bare = OUT / "include_weft.cpp"
    bare.parent.mkdir(parents=True, exist_ok=True)
    bare.write_text("#include <weft/weft.h>\nint main() {}\n")
    commands = {"`#include <weft/weft.h>`": [str(bare) if w == found["file"] else w for w in command],
                "examples/010-first-step.cpp": command}
    times = {name: [] for name in commands}
    for _ in range(2 if options.quick else 5):
        for name, words in commands.items():
            start = time.perf_counter()
            subprocess.run(words, cwd=found["directory"], check=True)
            times[name].append(time.perf_counter() - start)
    result = save("compile", {"seconds": {name: statistics.median(runs) for name, runs in times.items()}})
    print(compile_time_table(result))
    return result


def compile_time_table(result):
    return table(["file", "seconds", "bound"], [[name, f"{seconds:.2f}", "3"] for name, seconds in result["seconds"].items()])


FIGURES = {"step": (step, step_table), "attention": (attention, attention_table), "local": (local, local_table),
           "passes": (passes, passes_table),
           "ops": (ops, ops_table), "arena": (arena, printed_table), "planning": (planning, printed_table), "fit": (fit, fit_table),
           "compile": (compile_time, compile_time_table)}


def write_page():
    """docs/performance.md: what stands between <!-- NAME --> and <!-- /NAME --> is made anew."""
    page = ROOT / "docs/performance.md"
    text = page.read_text()
    for name, (_, make_table) in FIGURES.items():
        file = OUT / f"{name}.json"
        if not file.exists():
            continue
        result = json.loads(file.read_text())
        block = f"<!-- {name} -->\n{tell(result)}\n\n{make_table(result)}\n<!-- /{name} -->"
        text, count = re.subn(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: block, text, flags=re.S)
        if count != 1:
            sys.exit(f"docs/performance.md needs one place <!-- {name} --> <!-- /{name} -->, it has {count}")
    page.write_text(text)


def main():
    parser = argparse.ArgumentParser(prog="./weft bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="\n".join(f"  {name:10} {run.__doc__}" for name, (run, _) in FIGURES.items()))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", nargs="+", choices=list(CONFIGS), metavar="STEP", help=f"of {', '.join(CONFIGS)}")
    parser.add_argument("--dtypes", nargs="+", choices=["f32", "bf16"], default=["f32", "bf16"])
    parser.add_argument("--write", action="store_true", help="the tables into docs/performance.md")
    options = parser.parse_args()
    for name in options.names:
        if name not in FIGURES:
            parser.error(f"no figure is named '{name}'; there are: {', '.join(FIGURES)}")
    for name in options.names or ([] if options.write else FIGURES):
        run, make_table = FIGURES[name]
        result = run(options)
        if name not in ("arena", "planning", "compile"):
            print(f"\n{tell(result)}\n\n{make_table(result)}\n", flush=True)
    if options.write:
        write_page()


if __name__ == "__main__":
    main()
