"""Values of functions that weft builds from other ops, by PyTorch in float64: functions.txt, a line each.

usage: functions.py > functions.txt      (torch 2.13.0)

Operands are wave(seed, shape): sin(seed + 1.7 i) over elements i in row-major order; tests/ops/functions_test.cpp has the
same. A line: the name, the values, then for each operand its gradient under the cotangent wave(9, shape of the result).
"""
import torch
import torch.nn.functional as F


def wave(seed, shape):
    n = 1
    for extent in shape:
        n *= extent
    return torch.sin(seed + 1.7 * torch.arange(n, dtype=torch.float64)).reshape(shape)


def line(name, function, *shapes):
    operands = [wave(seed, shape).requires_grad_() for seed, shape in enumerate(shapes)]
    y = function(*operands)
    gradients = torch.autograd.grad(y, operands, wave(9, y.shape))
    numbers = [number for tensor in (y, *gradients) for number in tensor.detach().reshape(-1).tolist()]
    print(name, *(f"{number:.17g}" for number in numbers))


line("roll", lambda x: torch.roll(x, 2, 1), (2, 5))
line("roll_back", lambda x: torch.roll(x, -4, 0), (3, 2))
line("split", lambda x: torch.cat([p * (i + 1) for i, p in enumerate(torch.split(x, [1, 3, 2], 1))], 1), (2, 6))
line("repeat", lambda x: x.repeat(2, 3), (2, 3))
line("repeat_interleave", lambda x: torch.repeat_interleave(x, 3, 1), (2, 2))
line("prod", lambda x: x.prod(1), (3, 4))
line("var", lambda x: x.var((0, 2)), (3, 2, 4))
line("var_biased", lambda x: x.var(1, correction=0, keepdim=True), (3, 4))
line("std", lambda x: x.std(1), (3, 4))
line("logsumexp", lambda x: torch.logsumexp(x, (0, 2)), (3, 2, 4))
line("outer", torch.outer, (3,), (4,))
line("gram", lambda x: x @ x.mT, (2, 3, 4))
line("einsum_matmul", lambda a, b: torch.einsum("ij,jk->ik", a, b), (3, 4), (4, 2))
line("einsum_scores", lambda a, b: torch.einsum("bqhd,bkhd->bhqk", a, b), (2, 3, 2, 4), (2, 5, 2, 4))
line("einsum_implicit", lambda a, b: torch.einsum("ba,bc", a, b), (3, 2), (3, 4))
line("einsum_ellipsis", lambda a, b: torch.einsum("...ij,...jk->...ik", a, b), (2, 1, 3, 4), (5, 4, 2))
line("einsum_trace", lambda a: torch.einsum("bii->b", a), (2, 3, 3))
line("einsum_diagonal", lambda a: torch.einsum("ii->i", a), (4, 4))
line("einsum_three", lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c), (2, 3), (3, 4), (4, 2))
line("einsum_bilinear", lambda a, b, c: torch.einsum("bi,oij,bj->bo", a, b, c), (2, 3), (4, 3, 5), (2, 5))
line("einsum_sum", lambda a: torch.einsum("ij->", a), (2, 3))
line("einsum_transpose", lambda a: torch.einsum("ijk->kij", a), (2, 3, 4))
line("group_norm", lambda x, w, b: F.group_norm(x, 2, w, b, 1e-3), (2, 4, 3), (4,), (4,))
line("rms_norm", lambda x, w: F.rms_norm(x, (4,), w, 1e-4), (3, 4), (4,))
line("layer_norm", lambda x, w, b: F.layer_norm(x, (2, 3), w, b, 1e-3), (4, 2, 3), (2, 3), (2, 3))
line("gather", lambda x: torch.gather(x, 1, torch.tensor([[0, 2, 2], [4, 1, 0]])), (2, 5))
line("index_select", lambda x: torch.index_select(x, 1, torch.tensor([4, 0, 4])), (2, 5))
line("scatter_add", lambda x, s: torch.scatter_add(x, 1, torch.tensor([[0, 2, 2], [4, 1, 0]]), s), (2, 5), (2, 3))
line("index_add", lambda x, s: torch.index_add(x, 0, torch.tensor([3, 0, 3]), s), (4, 2), (3, 2))
line("cumsum", lambda x: torch.cumsum(x, 1), (2, 4, 3))
line("sort", lambda x: torch.sort(x, 1, descending=True).values, (2, 6))
line("topk", lambda x: torch.topk(x, 3, 0).values, (5, 2))
line("pad", lambda x: F.pad(x, (1, 2, 3, 0), value=0.5), (2, 3))
line("flip", lambda x: torch.flip(x, (0, 2)), (2, 3, 2))
line("tril", lambda x: torch.tril(x, -1), (2, 3, 4))
line("triu", lambda x: torch.triu(x, 1), (2, 3, 4))
line("feed_forward", lambda x, w1, w2: F.gelu(x @ w1.T) @ w2.T, (2, 3, 4), (6, 4), (4, 6))
