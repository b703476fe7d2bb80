"""Writes schedules.json: what torch.optim.lr_scheduler (2.13.0) gives where the shared golden file has no case.

python3 schedules.py. Needs torch. One value an update, base rate 0.5.
"""
import json
import os
import warnings

import torch
from torch.optim import lr_scheduler as s

warnings.simplefilter("ignore")


def values(make, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))], lr=0.5, momentum=0.9)
    schedule = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


CASES = {
    "constant_lr": lambda o: s.ConstantLR(o, factor=0.6, total_iters=7),
    "linear_lr down": lambda o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=9),
    "step_lr": lambda o: s.StepLR(o, 3),
    "multi_step_lr twice": lambda o: s.MultiStepLR(o, [4, 4, 11], gamma=0.5),
    "polynomial_lr root": lambda o: s.PolynomialLR(o, 20, power=0.5),
    "polynomial_lr": lambda o: s.PolynomialLR(o),
    "cosine_annealing_lr beyond": lambda o: s.CosineAnnealingLR(o, 12, eta_min=0.1),
    "restarts equal": lambda o: s.CosineAnnealingWarmRestarts(o, 6),
    "restarts triple": lambda o: s.CosineAnnealingWarmRestarts(o, 1, T_mult=3, eta_min=0.1),
    "restarts double": lambda o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2),
    "one_cycle linear": lambda o: s.OneCycleLR(o, 0.8, total_steps=50, anneal_strategy="linear"),
    "one_cycle three": lambda o: s.OneCycleLR(o, 0.8, total_steps=50, pct_start=0.25, div_factor=10,
                                               final_div_factor=100, three_phase=True),
    "one_cycle no rise": lambda o: s.OneCycleLR(o, 0.8, total_steps=50, pct_start=0.0),
    "cyclic triangular": lambda o: s.CyclicLR(o, 0.1, 0.7, step_size_up=4),
    "cyclic uneven": lambda o: s.CyclicLR(o, 0.1, 0.7, step_size_up=3, step_size_down=8, mode="triangular2"),
    "cyclic exp_range": lambda o: s.CyclicLR(o, 0.1, 0.7, step_size_up=5, mode="exp_range", gamma=0.95),
    "sequential": lambda o: s.SequentialLR(
        o, [s.ConstantLR(o, factor=0.2, total_iters=100), s.ExponentialLR(o, 0.9), s.StepLR(o, 4, gamma=0.5)], [6, 21]),
    "warmup": lambda o: s.SequentialLR(
        o, [s.LinearLR(o, start_factor=0.25, total_iters=8), s.PolynomialLR(o, 20)], [8]),
}

if __name__ == "__main__":
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schedules.json")
    with open(path, "w") as out:
        text = json.dumps({name: values(case, steps=49) for name, case in CASES.items()})
        out.write(text.replace("], ", "],\n") + "\n")
