"""PyTorch's attention behind the protocol of bench_attention --serve: says "ready", then answers each line of stdin, "batch time heads
width dtype mask backward runs", with the seconds of its runs. Asked by `./weft bench attention`. Masks: full, causal, window (causal
and of 256 keys, as a mask of bool: PyTorch has no windows), bias (a tensor [heads, time, time] as a mask of numbers).

usage: torch_attention.py [--threads 2] [--cpu]

With --cpu: seconds of processor time.
"""
import argparse
import sys
import time

import torch
import torch.nn.functional as F


WINDOW = 256


def mask_of(mask, steps, heads, kind):
    """The arguments of scaled_dot_product_attention."""
    if mask == "window":
        distance = torch.arange(steps).unsqueeze(1) - torch.arange(steps)
        return {"attn_mask": (distance >= 0) & (distance < WINDOW)}
    if mask == "bias":
        return {"attn_mask": torch.randn(heads, steps, steps).to(kind)}
    return {"is_causal": mask == "causal"}


def run(batch, steps, heads, width, dtype, mask, backward, runs, clock):
    # Operands lie as a model's projections leave them: [batch, time, heads, width], seen as [batch, heads, time, width].
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    q, k, v, d_y = (torch.randn(batch, steps, heads, width).to(kind).transpose(1, 2) for _ in range(4))
    if backward:
        for x in (q, k, v):
            x.requires_grad_()
    arguments = mask_of(mask, steps, heads, kind)
    times = []
    for _ in range(runs + 1):
        start = clock()
        y = F.scaled_dot_product_attention(q, k, v, **arguments)
        if backward:
            torch.autograd.grad(y, (q, k, v), d_y)
        times.append(clock() - start)
    return times[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu", action="store_true")
    args = parser.parse_args()
    clock = time.process_time if args.cpu else time.perf_counter
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    print("ready", flush=True)
    for line in sys.stdin:
        batch, steps, heads, width, dtype, mask, backward, runs = line.split()
        times = run(int(batch), int(steps), int(heads), int(width), dtype, mask, backward == "1", int(runs), clock)
        print(" ".join(f"{t:.6f}" for t in times), flush=True)


if __name__ == "__main__":
    main()
