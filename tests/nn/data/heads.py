"""Entropies of attention rows and gradients by head masks, by PyTorch, for tests/nn/attention_taps_test.cpp.

    python heads.py > heads.json        (written with torch 2.13.0 on the CPU)

Entropies are torch.distributions.Categorical's; the weights are those of torch.nn.MultiheadAttention
(average_attn_weights=False). Importance is that of Michel et al. 2019, section 4.1, as their code has it: the gradient of
each example's loss by a mask of ones over the heads' outputs, its absolute value summed over the examples.
"""

import json
import math

import torch

BATCH, TIME, HEADS, WIDTH = 3, 6, 4, 8


def filled(count, a, b, scale=1.0):
    return torch.tensor([scale * math.sin(a + b * i) for i in range(count)], dtype=torch.float64)


def listed(tensor):
    return tensor.detach().double().flatten().tolist()


def module():
    attention = torch.nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        attention.in_proj_weight.copy_(filled(3 * WIDTH * WIDTH, 0.3, 1.7, 1.2).reshape(3 * WIDTH, WIDTH))
        attention.in_proj_bias.copy_(filled(3 * WIDTH, 0.1, 2.9, 0.5))
        attention.out_proj.weight.copy_(filled(WIDTH * WIDTH, 1.1, 0.7).reshape(WIDTH, WIDTH))
        attention.out_proj.bias.copy_(filled(WIDTH, 0.4, 1.3, 0.2))
    return attention


def entropies(kind):
    attention = module()
    x = filled(BATCH * TIME * WIDTH, 0.2, 2.1).reshape(BATCH, TIME, WIDTH)
    hidden = torch.zeros(TIME, TIME, dtype=torch.bool)
    padded = torch.zeros(BATCH, TIME, dtype=torch.bool)
    if kind == "causal":
        hidden = torch.triu(torch.ones(TIME, TIME, dtype=torch.bool), 1)
    if kind == "padded":
        padded[1, 4:] = True
        padded[2, 1:] = True
    _, weights = attention(x, x, x, attn_mask=hidden, key_padding_mask=padded, average_attn_weights=False)
    exists = ~(hidden[None, None] | padded[:, None, None]).expand_as(weights)
    counts = exists.sum(-1) >= 2
    rows = torch.distributions.Categorical(probs=weights).entropy()
    mean = [rows[:, h][counts[:, h]].mean().item() for h in range(HEADS)]
    peak = [weights[:, h].amax(-1)[counts[:, h]].mean().item() for h in range(HEADS)]
    return {"kind": kind, "entropy": mean, "peak": peak}


def importance():
    """Loss: mean over batch and time of the squared distance between the attention's output and a target."""
    attention = module()
    x = filled(BATCH * TIME * WIDTH, 0.2, 2.1).reshape(BATCH, TIME, WIDTH)
    target = filled(BATCH * TIME * WIDTH, 0.9, 0.31).reshape(BATCH, TIME, WIDTH)
    split = lambda t: t.reshape(BATCH, TIME, HEADS, WIDTH // HEADS).transpose(1, 2)
    q, k, v = (split(t) for t in (x @ attention.in_proj_weight.T + attention.in_proj_bias).chunk(3, -1))
    mask = torch.ones(BATCH, HEADS, 1, 1, dtype=torch.float64, requires_grad=True)
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True) * mask
    y = attention.out_proj(y.transpose(1, 2).reshape(BATCH, TIME, WIDTH))
    loss = ((y - target) ** 2).mean()
    loss.backward()
    return {"loss": loss.item(), "importance": listed(mask.grad.abs().sum((0, 2, 3)))}


print(json.dumps({"entropies": [entropies(k) for k in ("plain", "causal", "padded")], "importance": importance()}))
