"""PyTorch's side of bench_step: the same GPT, shapes and step. Serves: after three steps it says "ready <peak MiB>",
then for each line of stdin with a number of steps it answers with a line of seconds; "memory" asks for the peak.

usage: torch_step.py CONFIG DTYPE(f32|bf16) [compile] [threads]
"""
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIGS = {"nano": (12, 64, 4, 4, 128, 65), "small": (8, 256, 6, 6, 384, 65),
           "gpt2": (4, 64, 12, 12, 768, 50257), "gpt2_1024": (4, 1024, 12, 12, 768, 50257)}
batch, context, layers, heads, width, vocabulary = CONFIGS[sys.argv[1]]
low = sys.argv[2] == "bf16"
compiled = "compile" in sys.argv[3:]
torch.set_num_threads(next((int(a) for a in sys.argv[3:] if a.isdigit()), 2))
torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).split(width, 2)
        q, k, v = (t.view(batch, context, heads, width // heads).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, context, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block() for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0, 0.02)

    def forward(self, x, y):
        h = self.tokens(x) + self.positions(torch.arange(context))
        for block in self.blocks:
            h = block(h)
        return F.cross_entropy(self.head(self.norm(h)).view(-1, vocabulary), y.view(-1))


model = Gpt()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
run = torch.compile(model) if compiled else model
index = torch.arange(batch * context)
x = ((index * 7919 + 13) % vocabulary).view(batch, context)
y = ((index * 104729 + 7) % vocabulary).view(batch, context)


def step():
    start = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
        loss = run(x, y)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    loss.item()
    return time.perf_counter() - start


for _ in range(1 if context == 1024 else 3):
    step()
print("ready", flush=True)
for line in sys.stdin:
    if line.strip() == "memory":
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)
    else:
        print(*(f"{step():.6f}" for _ in range(int(line))), flush=True)
