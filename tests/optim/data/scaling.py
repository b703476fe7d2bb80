"""Values of PyTorch's clipping and of its gradient scaler, for tests/optim/clip_test.cpp and loss_scale_test.cpp.

    python scaling.py > scaling.json        (written with torch 2.13.0 on the CPU)

Gradients are given, not computed: of the sum of w * c the gradient of w is c, and a scaler multiplies it exactly there.
"""

import json
import math

import torch


def text(value):
    """JSON has no infinities."""
    return value if math.isfinite(value) else ("nan" if math.isnan(value) else "inf" if value > 0 else "-inf")


def listed(tensor):
    return [text(v) for v in tensor.detach().double().flatten().tolist()]


def gradients(kind):
    first = [1.5 * math.sin(1.0 + 2.3 * i) for i in range(12)]
    second = [0.4 * math.cos(0.5 + 1.7 * i) for i in range(5)]
    if kind == "large":
        first, second = [1e3 * v for v in first], [1e3 * v for v in second]
    if kind == "short":
        first, second = [1e-4 * v for v in first], [1e-4 * v for v in second]
    if kind == "inf":
        first[7] = math.inf
    if kind == "nan":
        second[2] = math.nan
    return first, second


def parameters(kind, dtype):
    result = []
    for values, shape in zip(gradients(kind), ([3, 4], [5])):
        parameter = torch.nn.Parameter(torch.zeros(shape, dtype=dtype))
        parameter.grad = torch.tensor(values, dtype=dtype).reshape(shape)
        result.append(parameter)
    return result


def clips():
    cases = []
    for dtype in (torch.float32, torch.float64):
        for kind in ("plain", "large", "short", "inf", "nan"):
            for norm_type in (1.0, 1.5, 2.0, 3.0, math.inf):
                both = parameters(kind, dtype)
                before = [listed(p.grad) for p in both]
                norm = torch.nn.utils.clip_grad_norm_(both, 1.25, norm_type=norm_type)
                cases.append({"call": "clip_grad_norm_", "dtype": str(dtype), "kind": kind, "max_norm": 1.25,
                              "norm_type": text(norm_type), "gradients": before, "norm": text(norm.item()),
                              "clipped": [listed(p.grad) for p in both]})
            both = parameters(kind, dtype)
            before = [listed(p.grad) for p in both]
            torch.nn.utils.clip_grad_value_(both, 0.35)
            cases.append({"call": "clip_grad_value_", "dtype": str(dtype), "kind": kind, "limit": 0.35, "gradients": before,
                          "clipped": [listed(p.grad) for p in both]})
            both = parameters(kind, dtype)
            torch.nn.utils.clip_grad_value_(both, 0.35)
            norm = torch.nn.utils.clip_grad_norm_(both, 0.5)
            cases.append({"call": "both", "dtype": str(dtype), "kind": kind, "limit": 0.35, "max_norm": 0.5, "gradients": before,
                          "norm": text(norm.item()), "clipped": [listed(p.grad) for p in both]})
    return cases


def scaler_run(name, start, growth, backoff, window, factors):
    """SGD on the sum of w * c under a GradScaler; c is fed anew each step."""
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    optimizer = torch.optim.SGD([w], lr=0.125)
    scaler = torch.amp.GradScaler("cpu", init_scale=start, growth_factor=growth, backoff_factor=backoff, growth_interval=window)
    steps = []
    for c in factors:
        optimizer.zero_grad()
        loss = (w * torch.tensor(c)).sum()
        scaler.scale(loss).backward()
        used = scaler.get_scale()
        scaler.unscale_(optimizer)
        found = sum(v.item() for v in scaler._found_inf_per_device(optimizer).values())
        scaler.step(optimizer)
        scaler.update()
        steps.append({"c": [text(v) for v in c], "scale": used, "finite": found == 0.0, "next_scale": scaler.get_scale(),
                      "tracker": scaler._get_growth_tracker(), "w": listed(w)})
    return {"name": name, "start": start, "growth": growth, "backoff": backoff, "window": window, "steps": steps}


def factors(count, bad):
    result = []
    for t in range(count):
        c = [0.3 * math.sin(t + i) + 0.1 for i in range(3)]
        for at, value in bad.items():
            if t == at:
                c[at % 3] = value
        result.append([torch.tensor(v).item() for v in c])  # as floats
    return result


def scalers():
    inf, nan = math.inf, math.nan
    return [
        scaler_run("growth at the window", 1024.0, 2.0, 0.5, 3, factors(14, {})),
        scaler_run("infinities reset the tracker", 1024.0, 2.0, 0.5, 3, factors(20, {2: inf, 3: -inf, 9: nan, 10: inf, 16: inf})),
        scaler_run("factors that are no powers of two", 1000.0, 1.7, 0.6, 2, factors(24, {3: nan, 9: inf, 10: inf, 11: inf, 20: nan})),
        scaler_run("a window of one step", 8.0, 4.0, 0.25, 1, factors(12, {1: inf, 4: nan, 5: nan})),
        scaler_run("the scaled gradient overflows, not the gradient", 65536.0, 2.0, 0.5, 2, factors(12, {0: 1e34, 3: 1e35, 4: 1e35, 7: -3e34})),
        scaler_run("a growth beyond the range is not taken", 2.0**125, 2.0, 0.5, 1, factors(8, {5: inf})),
        scaler_run("PyTorch's own settings", 65536.0, 2.0, 0.5, 2000, factors(6, {1: inf, 4: nan})),
    ]


print(json.dumps({"torch": torch.__version__.split("+")[0], "clip": clips(), "scaler": scalers()}, indent=None, separators=(",", ":")).replace('},{"', '},\n{"'))
