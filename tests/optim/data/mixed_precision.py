"""PyTorch's gradients of two tiny models, in f64 and under CPU autocast: python3 mixed_precision.py > mixed_precision.txt

The models are built again in tests/optim/mixed_precision_torch_test.cpp, with the same numbers: all come from one integer
generator, so that both sides hold the same bits. For each parameter the file has the f64 gradient and the error (2-norm of
the difference) of autocast's gradient in bf16, and in f16 with the loss times 1024; then, for draws of other numbers, the
error of all gradients together.
Made with torch 2.13.0.
"""

import torch
import torch.nn.functional as F

BATCH, TIME, WIDTH, HEADS, HIDDEN, VOCAB, LAYERS, DRAWS = 4, 8, 16, 2, 32, 13, 2, 16


class Generator:
    """Numbers k / 512, k in [-512, 512): exact in f32, not in bf16."""

    def __init__(self, draw):
        self.state = draw

    def next(self):
        self.state = (self.state * 1103515245 + 12345) % 2**31
        return self.state >> 8

    def tensor(self, shape, scale, mean=0.0):
        count = 1
        for extent in shape:
            count *= extent
        values = [mean + (self.next() % 1024 - 512) / 512 * scale for _ in range(count)]
        return torch.tensor(values, dtype=torch.float32).reshape(shape)

    def ids(self, count, below):
        return torch.tensor([self.next() % below for _ in range(count)])


def tokens(draw):
    generator = Generator(draw)
    x = generator.ids(BATCH * TIME, VOCAB).reshape(BATCH, TIME)
    y = generator.ids(BATCH * TIME, VOCAB).reshape(BATCH, TIME)
    return x, y


def gpt_parameters(draw):
    g = Generator(draw)
    p = {"embedding/tokens/weight": g.tensor((VOCAB, WIDTH), 0.5), "embedding/positions/weight": g.tensor((TIME, WIDTH), 0.5)}
    for i in range(LAYERS):
        at = f"decoder/{i}/"
        for norm in ("attention_norm", "feed_forward_norm"):
            p[at + norm + "/weight"] = g.tensor((WIDTH,), 0.25, 1.0)
            p[at + norm + "/bias"] = g.tensor((WIDTH,), 0.25)
        for name in ("query", "key", "value", "out"):
            p[at + f"attention/{name}/weight"] = g.tensor((WIDTH, WIDTH), 0.5)
            p[at + f"attention/{name}/bias"] = g.tensor((WIDTH,), 0.25)
        p[at + "feed_forward/up/weight"] = g.tensor((HIDDEN, WIDTH), 0.5)
        p[at + "feed_forward/up/bias"] = g.tensor((HIDDEN,), 0.25)
        p[at + "feed_forward/down/weight"] = g.tensor((WIDTH, HIDDEN), 0.25)
        p[at + "feed_forward/down/bias"] = g.tensor((WIDTH,), 0.25)
    p["norm/weight"] = g.tensor((WIDTH,), 0.25, 1.0)
    p["norm/bias"] = g.tensor((WIDTH,), 0.25)
    return p


def heads_of(x):
    return x.reshape(BATCH, TIME, HEADS, WIDTH // HEADS).transpose(1, 2)


def gpt(p, x, y):
    h = F.embedding(x, p["embedding/tokens/weight"]) + p["embedding/positions/weight"]
    for i in range(LAYERS):
        at = f"decoder/{i}/"

        def norm(name, value):
            return F.layer_norm(value, (WIDTH,), p[at + name + "/weight"], p[at + name + "/bias"], 1e-5)

        def linear(name, value):
            return F.linear(value, p[at + name + "/weight"], p[at + name + "/bias"])

        a = norm("attention_norm", h)
        q, k, v = (heads_of(linear("attention/" + name, a)) for name in ("query", "key", "value"))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(BATCH, TIME, WIDTH)
        h = h + linear("attention/out", mixed)
        h = h + linear("feed_forward/down", F.gelu(linear("feed_forward/up", norm("feed_forward_norm", h))))
    h = F.layer_norm(h, (WIDTH,), p["norm/weight"], p["norm/bias"], 1e-5)
    return F.cross_entropy(F.linear(h, p["embedding/tokens/weight"]).reshape(-1, VOCAB), y.reshape(-1))


def encoder_parameters(draw):
    g = Generator(draw)
    p = {"tokens": g.tensor((VOCAB, WIDTH), 0.5), "bias": g.tensor((HEADS, TIME, TIME), 0.5)}
    for name in ("norm1", "norm2", "norm3"):
        p[name] = g.tensor((WIDTH,), 0.25, 1.0)
    for name in ("query", "key", "value", "out"):
        p[name] = g.tensor((WIDTH, WIDTH), 0.5)
    p["up"] = g.tensor((HIDDEN, WIDTH), 0.5)
    p["gate"] = g.tensor((HIDDEN, WIDTH), 0.5)
    p["down"] = g.tensor((WIDTH, HIDDEN), 0.25)
    p["head"] = g.tensor((VOCAB, WIDTH), 0.5)
    return p


def encoder(p, x, y):
    """Token 0 is padding: masked as a key, ignored as a target. A bias of the scores is learned."""
    h = F.embedding(x, p["tokens"])
    a = F.rms_norm(h, (WIDTH,), p["norm1"], 1e-6)
    q, k, v = (heads_of(F.linear(a, p[name])) for name in ("query", "key", "value"))
    padding = torch.zeros_like(x, dtype=p["bias"].dtype).masked_fill(x == 0, float("-inf")).reshape(BATCH, 1, 1, TIME)
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=(p["bias"] + padding).to(q.dtype))
    h = h + F.linear(mixed.transpose(1, 2).reshape(BATCH, TIME, WIDTH), p["out"])
    b = F.rms_norm(h, (WIDTH,), p["norm2"], 1e-6)
    h = h + F.linear(F.linear(b, p["up"]) * F.silu(F.linear(b, p["gate"])), p["down"])
    logits = F.linear(F.rms_norm(h, (WIDTH,), p["norm3"], 1e-6), p["head"])
    return F.cross_entropy(logits.reshape(-1, VOCAB), y.reshape(-1), ignore_index=0, label_smoothing=0.1)


def gradients(model, parameters, draw, dtype, low=None, scale=1.0):
    leaves = {name: value.to(dtype).clone().requires_grad_() for name, value in parameters.items()}
    x, y = tokens(draw)
    with torch.autocast("cpu", dtype=low or torch.bfloat16, enabled=low is not None):
        loss = model(leaves, x, y)
    (loss * scale).backward()
    return loss.item(), {name: leaf.grad.double() / scale for name, leaf in leaves.items()}


def compared(model, make, draw):
    """The loss, the f64 gradients, and for each parameter the errors in bf16 and in f16."""
    parameters = make(draw)
    loss, exact = gradients(model, parameters, draw, torch.float64)
    _, bf16 = gradients(model, parameters, draw, torch.float32, torch.bfloat16)
    _, f16 = gradients(model, parameters, draw, torch.float32, torch.float16, 1024.0)
    return loss, exact, {path: [(got[path] - want).norm().item() for got in (bf16, f16)] for path, want in exact.items()}


def main():
    torch.set_num_threads(1)
    for name, model, make in (("gpt", gpt, gpt_parameters), ("encoder", encoder, encoder_parameters)):
        loss, exact, errors = compared(model, make, 1)
        print(f"model {name} {len(exact)} {loss!r}")
        for path, want in exact.items():
            print(path, want.numel(), *(f"{error:.4g}" for error in errors[path]))
            print(*(f"{value:.6g}" for value in want.flatten().tolist()))
        print("draws", DRAWS)
        for draw in range(2, 2 + DRAWS):
            errors = compared(model, make, draw)[2].values()
            print(*(f"{sum(error[i] ** 2 for error in errors) ** 0.5:.4g}" for i in range(2)))


if __name__ == "__main__":
    main()
