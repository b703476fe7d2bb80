"""PyTorch's multi-head attention in float64: python3 multihead_attention.py FILE.safetensors

For each case CASE/in.* (inputs, masks in PyTorch's sense), CASE/p.* (parameters by PyTorch's names), CASE/out.y and
CASE/out.weights (of each head), CASE/cot.* (a cotangent of each) and CASE/grad.* (gradients of sum <out, cot> by the inputs
and by every parameter). Read by tests/nn/multihead_attention_test.cpp, which has the configurations again.
Made with torch 2.13.0.
"""

import json
import struct
import sys

import torch
import torch.nn.functional as F

tensors = {}


def keep(case, named):
    for name, value in named.items():
        tensors[f"{case}/{name}"] = value.detach().clone()


def save(case, inputs, parameters, masks, y, weights):
    cotangents = {"cot.y": torch.randn_like(y), "cot.weights": torch.randn_like(weights)}
    total = (y * cotangents["cot.y"]).sum() + (weights * cotangents["cot.weights"]).sum()
    by = {**{f"in.{name}": x for name, x in inputs.items()}, **{f"p.{name}": p for name, p in parameters.items()}}
    gradients = torch.autograd.grad(total, list(by.values()))
    keep(case, by)
    keep(case, {f"in.{name}": mask for name, mask in masks.items()})
    keep(case, cotangents)
    keep(case, {"out.y": y, "out.weights": weights})
    keep(case, {f"grad.{name}": gradient for name, gradient in zip(by, gradients)})


def module(case, arguments, inputs, order, masks={}):
    attention = torch.nn.MultiheadAttention(batch_first=True, dtype=torch.float64, **arguments)
    with torch.no_grad():  # biases start at zero
        for parameter in attention.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    y, weights = attention(*(inputs[name] for name in order), need_weights=True, average_attn_weights=False, **masks)
    save(case, inputs, dict(attention.named_parameters()), masks, y, weights)


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def grouped(case, heads, kv_heads, width, head_width, value_head_width):
    """What nn.MultiheadAttention has no arguments for: fewer heads of keys and values, and own widths of the heads."""
    x = normal(2, 5, width)
    rows = [heads * head_width, kv_heads * head_width, kv_heads * value_head_width]
    parameters = {
        "in_proj_weight": normal(sum(rows), width), "in_proj_bias": normal(sum(rows)),
        "out_proj.weight": normal(width, heads * value_head_width), "out_proj.bias": normal(width),
    }
    q, k, v = F.linear(x, parameters["in_proj_weight"], parameters["in_proj_bias"]).split(rows, -1)
    q = q.view(2, 5, heads, head_width).transpose(1, 2)
    k = k.view(2, 5, kv_heads, head_width).transpose(1, 2)
    v = v.view(2, 5, kv_heads, value_head_width).transpose(1, 2)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    y = F.linear(y.transpose(1, 2).flatten(2), parameters["out_proj.weight"], parameters["out_proj.bias"])
    future = torch.ones(5, 5).triu(1).bool()
    scores = q @ k.repeat_interleave(heads // kv_heads, 1).transpose(-1, -2) / head_width**0.5
    save(case, {"x": x}, parameters, {}, y, scores.masked_fill(future, float("-inf")).softmax(-1))


torch.manual_seed(7)
plain = {"embed_dim": 8, "num_heads": 2}
padding = torch.tensor([[False, False, True, False, True], [False, False, False, False, False]])
future = torch.zeros(5, 5, dtype=torch.float64).masked_fill(torch.ones(5, 5).triu(1).bool(), float("-inf"))
module("self", plain, {"x": normal(2, 5, 8)}, "xxx")
module("unbiased", {**plain, "bias": False}, {"x": normal(2, 5, 8)}, "xxx")
module("memory", plain, {"q": normal(2, 3, 8), "m": normal(2, 5, 8)}, "qmm")
module("cross", {"embed_dim": 8, "num_heads": 4, "kdim": 6, "vdim": 10},
       {"q": normal(2, 3, 8), "k": normal(2, 5, 6), "v": normal(2, 5, 10)}, "qkv")
module("padding", plain, {"x": normal(2, 5, 8)}, "xxx", {"key_padding_mask": padding})
module("additive", plain, {"x": normal(2, 5, 8)}, "xxx",
       {"attn_mask": future + torch.randn(5, 5, dtype=torch.float64)})
module("each_head", plain, {"x": normal(2, 5, 8)}, "xxx",
       {"attn_mask": torch.randn(4, 5, 5, dtype=torch.float64), "key_padding_mask": torch.where(padding, -3.0, 0.5).double()})
module("extra_keys", {**plain, "add_bias_kv": True, "add_zero_attn": True}, {"x": normal(2, 5, 8)}, "xxx",
       {"key_padding_mask": padding, "attn_mask": torch.ones(5, 5).triu(1).bool()})
grouped("grouped", heads=4, kv_heads=2, width=8, head_width=3, value_head_width=5)

names = {torch.float64: "F64", torch.bool: "BOOL"}
header, data = {}, b""
for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].dtype == torch.bool, item[0])):
    values = tensor.contiguous().numpy().tobytes()
    header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(values)]}
    data += values
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
