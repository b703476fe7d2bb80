"""Writes optimizers.json: trajectories of torch.optim (2.13.0, float64) and, for what it lacks, of the papers' algorithms.

python3 optimizers.py. Needs torch and numpy. optimizers_test.cpp reads the result and rebuilds parameters and gradients from
the formulas below, which are exact in binary.
"""
import json
import os

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

STEPS = 25
SAMPLED = [1, 2, 5, 12, 25]  # after which steps the parameters are stored
SHAPES = {"w": [4, 2], "v": [2, 3], "b": [3]}


def start(k, shape):
    return np.array([((5 * i + 3 * k + 2) % 17 - 8) / 16 for i in range(int(np.prod(shape)))]).reshape(shape)


def gradient(k, t, shape):
    return np.array([((7 * i + 13 * t + 5 * k) % 23 - 11) / 8 for i in range(int(np.prod(shape)))]).reshape(shape)


def flat(tensors):
    return [float(x) for tensor in tensors for x in np.asarray(tensor).reshape(-1)]


def trajectory(make, names):
    parameters = [torch.nn.Parameter(torch.tensor(start(k, SHAPES[n]))) for k, n in enumerate(names)]
    optimizer = make(parameters)
    samples = []
    for t in range(1, STEPS + 1):
        for k, (n, p) in enumerate(zip(names, parameters)):
            p.grad = torch.tensor(gradient(k, t, SHAPES[n]))
        optimizer.step()
        if t in SAMPLED:
            samples.append(flat(p.detach().numpy() for p in parameters))
    return samples


def by_hand(step, names):
    """step(p, g, state, t) -> p, on numpy arrays."""
    parameters = [start(k, SHAPES[n]) for k, n in enumerate(names)]
    states = [{} for _ in names]
    samples = []
    for t in range(1, STEPS + 1):
        for k, n in enumerate(names):
            parameters[k] = step(parameters[k], gradient(k, t, SHAPES[n]), states[k], t)
        if t in SAMPLED:
            samples.append(flat(parameters))
    return samples


def lion(rate, beta1, beta2, decay):
    """Chen et al. 2023, algorithm 2, line by line."""

    def step(theta, g, state, t):
        m = state.get("m", np.zeros_like(theta))
        c = beta1 * m + (1 - beta1) * g
        assert np.all((np.abs(c) > 1e-9) | ((m == 0) & (g == 0))), "a sign that rounding decides"
        theta = theta - rate * (np.sign(c) + decay * theta)
        state["m"] = beta2 * m + (1 - beta2) * g
        return theta

    return step


def lamb(rate, beta1, beta2, eps, decay, phi=lambda z: z):
    """You et al. 2020, algorithm 2, line by line, one layer a parameter."""

    def step(x, g, state, t):
        state["m"] = m = beta1 * state.get("m", np.zeros_like(x)) + (1 - beta1) * g
        state["v"] = v = beta2 * state.get("v", np.zeros_like(x)) + (1 - beta2) * g**2
        r = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
        u = r + decay * x
        return x - rate * phi(np.linalg.norm(x)) / np.linalg.norm(u) * u

    return step


def main():
    every, matrices = ["w", "v", "b"], ["w", "v"]
    o = torch.optim
    cases = {
        "sgd": lambda p: o.SGD(p, lr=0.1),
        "sgd weight_decay": lambda p: o.SGD(p, lr=0.1, weight_decay=0.05),
        "sgd momentum": lambda p: o.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.05),
        "sgd dampening": lambda p: o.SGD(p, lr=0.1, momentum=0.9, dampening=0.3),
        "sgd nesterov": lambda p: o.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05),
        "sgd maximize": lambda p: o.SGD(p, lr=0.1, momentum=0.9, dampening=0.3, maximize=True, weight_decay=0.05),
        "adam": lambda p: o.Adam(p, lr=0.02),
        "adam weight_decay": lambda p: o.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3),
        "adam amsgrad": lambda p: o.Adam(p, lr=0.02, betas=(0.8, 0.9), amsgrad=True, weight_decay=0.3),
        "adam maximize": lambda p: o.Adam(p, lr=0.02, maximize=True, weight_decay=0.3),
        "adamw": lambda p: o.AdamW(p, lr=0.02),
        "adamw weight_decay": lambda p: o.AdamW(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3),
        "adamw amsgrad": lambda p: o.AdamW(p, lr=0.02, betas=(0.8, 0.9), amsgrad=True, weight_decay=0.3),
        "adamw maximize": lambda p: o.AdamW(p, lr=0.02, maximize=True, weight_decay=0.3),
        "adagrad": lambda p: o.Adagrad(p),
        "adagrad lr_decay": lambda p: o.Adagrad(p, lr=0.1, lr_decay=0.05, weight_decay=0.1,
                                                initial_accumulator_value=0.5, eps=1e-4),
        "adagrad maximize": lambda p: o.Adagrad(p, lr=0.1, maximize=True),
        "rmsprop": lambda p: o.RMSprop(p),
        "rmsprop momentum": lambda p: o.RMSprop(p, lr=0.02, alpha=0.9, eps=1e-4, momentum=0.8, weight_decay=0.1),
        "rmsprop centered": lambda p: o.RMSprop(p, lr=0.02, alpha=0.9, eps=1e-4, centered=True),
        "rmsprop all": lambda p: o.RMSprop(p, lr=0.02, alpha=0.9, momentum=0.5, centered=True, maximize=True,
                                           weight_decay=0.1),
        "adafactor": lambda p: o.Adafactor(p),
        "adafactor all": lambda p: o.Adafactor(p, lr=0.3, beta2_decay=-0.6, eps=(1e-2, 0.2), d=1.5, weight_decay=0.1,
                                               maximize=True),
    }
    trajectories = {name: trajectory(make, every) for name, make in cases.items()}

    muons = {
        "muon": lambda p: o.Muon(p, lr=0.05),
        "muon all": lambda p: o.Muon(p, lr=0.05, weight_decay=0.3, momentum=0.8, nesterov=False, eps=1e-3, ns_steps=3,
                                     ns_coefficients=(2.0, -1.5, 0.5), adjust_lr_fn="match_rms_adamw"),
    }
    trajectories["muon bf16"] = trajectory(muons["muon"], matrices)
    # PyTorch rounds the Newton-Schulz iteration to bfloat16. The rest of its code, in float64:
    torch.Tensor.bfloat16 = lambda self: self.clone()
    trajectories.update({name: trajectory(make, matrices) for name, make in muons.items()})

    trajectories["lion"] = by_hand(lion(0.02, 0.9, 0.99, 0.0), every)
    trajectories["lion weight_decay"] = by_hand(lion(0.02, 0.95, 0.98, 0.3), every)
    trajectories["lamb"] = by_hand(lamb(0.05, 0.9, 0.999, 1e-6, 0.01), every)
    trajectories["lamb bounds"] = by_hand(lamb(0.05, 0.8, 0.9, 1e-3, 0.0, lambda z: min(max(z, 0.6), 0.9)), every)

    # An exponential moving average over SGD, updated after each step.
    model = torch.nn.ParameterList([torch.tensor(start(k, SHAPES[n])) for k, n in enumerate(every)])
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    optimizer = o.SGD(model.parameters(), lr=0.1)
    ema = []
    for t in range(1, STEPS + 1):
        for k, (n, p) in enumerate(zip(every, model)):
            p.grad = torch.tensor(gradient(k, t, SHAPES[n]))
        optimizer.step()
        averaged.update_parameters(model)
        if t in SAMPLED:
            ema.append(flat(p.detach().numpy() for p in averaged.module))

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "optimizers.json")
    with open(path, "w") as out:
        text = json.dumps({"torch": torch.__version__.split("+")[0], "steps": STEPS, "sampled": SAMPLED,
                           "ema over sgd, decay 0.9": ema, "trajectories": trajectories})
        out.write(text.replace("]], ", "]],\n").replace("], [", "],\n [") + "\n")


main()
