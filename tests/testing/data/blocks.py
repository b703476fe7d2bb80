"""Activations of two pre-norm blocks by PyTorch: python3 blocks.py RIGHT.safetensors WRONG.safetensors

RIGHT holds the weights (p.NAME, by PyTorch's names), the input (in.x) and what forward hooks saw of every module
(blocks.0.norm_1, blocks.0.attention, ..., blocks.1: the module's output). WRONG holds what the hooks saw where block 1
attends to what comes after, too. Read by tests/testing/dump_divergence_test.cpp, which builds the model again.
Made with torch 2.13.0.
"""

import json
import struct
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.causal = causal

    def forward(self, x):
        n = self.norm_1(x)
        future = torch.ones(x.shape[1], x.shape[1]).triu(1).bool() if self.causal else None
        x = x + self.attention(n, n, n, attn_mask=future, need_weights=False)[0]
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(8, 2, True), Block(8, 2, True)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def activations(model, x):
    seen = {}
    hooks = []
    for name, module in model.named_modules():
        if not name or name.endswith("out_proj") or name == "blocks":
            continue
        keep = lambda _, __, y, name=name: seen.__setitem__(name, (y[0] if isinstance(y, tuple) else y).detach().clone())
        hooks.append(module.register_forward_hook(keep))
    model(x)
    for hook in hooks:
        hook.remove()
    return seen


def write(path, tensors):
    header, data = {}, b""
    for name, tensor in sorted(tensors.items()):
        values = tensor.contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


torch.manual_seed(11)
model = Model()
with torch.no_grad():  # biases and norms start too plain to tell anything
    for parameter in model.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
x = torch.randn(2, 5, 8)
weights = {f"p.{name}": parameter.detach() for name, parameter in model.named_parameters()}
write(sys.argv[1], {**weights, "in.x": x, **activations(model, x)})
model.blocks[1].causal = False
write(sys.argv[2], activations(model, x))
