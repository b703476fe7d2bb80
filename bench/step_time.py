"""Step time of the default recipe of train_gpt against PyTorch, alternating in one run (A B A B ...).

usage: step_time.py TRAIN_GPT TEXT [--rounds 5] [--steps 60] [--threads 2] [--compile]

Both run nanoGPT's CPU recipe: 4 layers, 4 heads, width 128, context 64, batch 12, no biases, tied embeddings, exact
GELU, forward + backward + clip 1.0 + AdamW, f32. A round's figure is the median over its steps after ten to warm up;
the table gives the median over rounds. Needs an interpreter with torch 2.13.0.
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time


def torch_rounds(args):
    """Serves rounds: a line in, the median step time in seconds out."""
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    layers, heads, width, context, batch, vocabulary = 4, 4, 128, 64, 12, args.vocabulary

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = nn.LayerNorm(width, bias=False)
            self.qkv = nn.Linear(width, 3 * width, bias=False)
            self.out = nn.Linear(width, width, bias=False)
            self.norm2 = nn.LayerNorm(width, bias=False)
            self.up = nn.Linear(width, 4 * width, bias=False)
            self.down = nn.Linear(4 * width, width, bias=False)

        def forward(self, x):
            q, k, v = self.qkv(self.norm1(x)).split(width, 2)
            q, k, v = (t.view(batch, context, heads, width // heads).transpose(1, 2) for t in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(batch, context, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class Gpt(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.positions = nn.Embedding(context, width)
            self.blocks = nn.ModuleList(Block() for _ in range(layers))
            self.norm = nn.LayerNorm(width, bias=False)
            self.head = nn.Linear(width, vocabulary, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, x, y):
            h = self.tokens(x) + self.positions(torch.arange(context))
            for block in self.blocks:
                h = block(h)
            return F.cross_entropy(self.head(self.norm(h)).view(-1, vocabulary), y.reshape(-1))

    model = Gpt()
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.normal_(p, 0, 0.02)
    groups = [{"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
              {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    run = torch.compile(model) if args.compile else model
    generator = torch.Generator().manual_seed(1)
    data = torch.randint(0, vocabulary, (8, batch, context + 1), generator=generator)
    for line in sys.stdin:
        times = []
        for i in range(args.steps):
            start = time.perf_counter()
            part = data[i % 8]
            optimizer.zero_grad(set_to_none=True)
            loss = run(part[:, :-1], part[:, 1:])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            loss.item()
            times.append(time.perf_counter() - start)
        print(statistics.median(times[10:]), flush=True)


def weft_round(args):
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as log:
        subprocess.run([args.train_gpt, "--text", args.text, "--steps", str(args.steps), "--eval-every", "0", "--sample", "0",
                        "--threads", str(args.threads), "--log", log.name], check=True, capture_output=True)
        lines = [json.loads(line) for line in open(log.name)]
    rates = [line["tokens_per_s"] for line in lines if "tokens_per_s" in line][10:]
    return 12 * 64 / statistics.median(rates)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train_gpt")
    parser.add_argument("text")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="torch.compile the model")
    parser.add_argument("--vocabulary", type=int, default=65)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return torch_rounds(args)
    # OpenMP's threads that spin while they wait would take the other program's processor.
    peer = subprocess.Popen([sys.executable, __file__, "--serve"] + sys.argv[1:], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
    ours, theirs = [], []
    for index in range(args.rounds + 1):
        peer.stdin.write("\n")
        peer.stdin.flush()
        b = float(peer.stdout.readline())
        a = weft_round(args)
        if index == 0:  # warms up
            continue
        ours.append(a)
        theirs.append(b)
        print(f"round {index}: weft {a * 1e3:.2f} ms, PyTorch {b * 1e3:.2f} ms, ratio {b / a:.3f}", flush=True)
    peer.stdin.close()
    ratios = [b / a for a, b in zip(ours, theirs)]
    print(f"median: weft {statistics.median(ours) * 1e3:.2f} ms, PyTorch {statistics.median(theirs) * 1e3:.2f} ms, "
          f"PyTorch / weft {statistics.median(ratios):.3f} (min {min(ratios):.3f}, max {max(ratios):.3f})")


if __name__ == "__main__":
    main()
