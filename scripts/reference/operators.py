#!/usr/bin/env python3
"""Reference values of the operators that students are trained with, from PyTorch in float64.

Convolutions of many sizes, strides, paddings and groups, and BatchNorm with addition and ReLU: the output, and the gradients of
the sum of the output times a factor. The Rust tests read the file this writes:

    python3 scripts/reference/operators.py > tests/fixtures/operators.json
"""

import json

import torch
from torch.nn import functional as F

torch.manual_seed(11)

# batch, channels in and out, size, kernel, stride, padding, groups
CONVOLUTIONS = [
    (2, (3, 5), (9, 11), (3, 3), 1, (1, 1), 1),
    (2, (3, 8), (8, 10), (3, 3), 2, (1, 1), 1),
    (1, (4, 6), (7, 9), (3, 3), 2, (1, 1), 1),
    (2, (6, 4), (5, 8), (1, 1), 1, (0, 0), 1),
    (1, (5, 3), (4, 16), (1, 1), 1, (0, 0), 1),
    (2, (4, 2), (6, 6), (1, 1), 2, (0, 0), 1),
    (2, (6, 6), (7, 8), (3, 3), 1, (1, 1), 6),
    (1, (4, 8), (9, 7), (3, 3), 2, (1, 1), 4),
    (1, (6, 9), (6, 5), (3, 3), 1, (1, 1), 3),
    (1, (2, 3), (10, 9), (5, 5), 3, (2, 2), 1),
    (1, (2, 3), (8, 9), (2, 4), 2, (0, 1), 1),
    (2, (3, 4), (5, 6), (3, 3), 1, (0, 2), 1),
    (1, (3, 4), (4, 24), (3, 3), 1, (1, 1), 1),
    (1, (2, 5), (6, 32), (3, 3), 2, (1, 1), 1),
]
# batch, channels, height, width, ReLU, addition
NORMALIZATIONS = [
    (3, 2, 5, 7, False, False),
    (2, 3, 4, 9, True, False),
    (2, 2, 6, 6, True, True),
    (2, 2, 3, 8, False, True),
]


def random(*shape):
    """Values that 32-bit floats hold exactly."""
    return torch.randn(shape).round(decimals=3).float().double()


def numbers(tensor):
    return [float(f"{value:.7g}") for value in tensor.detach().flatten().tolist()]


def convolution(batch, channels, size, kernel, stride, padding, groups):
    x = random(batch, channels[0], *size).requires_grad_()
    weight = random(channels[1], channels[0] // groups, *kernel).requires_grad_()
    output = F.conv2d(x, weight, stride=stride, padding=padding, groups=groups)
    factor = random(*output.shape)
    (output * factor).sum().backward()
    case = {"batch": batch, "channels": channels, "size": size, "kernel": kernel}
    case |= {"stride": stride, "padding": padding, "groups": groups}
    values = {"input": x, "weight": weight, "factor": factor, "output": output}
    values |= {"of_input": x.grad, "of_weight": weight.grad}
    return {"case": case} | {name: numbers(value) for name, value in values.items()}


def normalization(batch, channels, height, width, rectified, with_added):
    shape = (batch, channels, height, width)
    x, gamma, beta = random(*shape).requires_grad_(), random(channels).requires_grad_(), random(channels).requires_grad_()
    added = random(*shape).requires_grad_() if with_added else None
    output = F.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5)
    if with_added:
        output = output + added
    if rectified:
        output = F.relu(output)
    factor = random(*shape)
    (output * factor).sum().backward()
    values = {"input": x, "gamma": gamma, "beta": beta, "factor": factor, "output": output}
    values |= {"of_input": x.grad, "of_gamma": gamma.grad, "of_beta": beta.grad}
    values |= {"added": added if with_added else torch.zeros(0), "of_added": added.grad if with_added else torch.zeros(0)}
    return {"shape": shape, "rectified": rectified} | {name: numbers(value) for name, value in values.items()}


def main():
    cases = {
        "convolutions": [convolution(*case) for case in CONVOLUTIONS],
        "normalizations": [normalization(*case) for case in NORMALIZATIONS],
    }
    print(json.dumps(cases, separators=(",", ":")))


if __name__ == "__main__":
    main()
