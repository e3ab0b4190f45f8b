#!/usr/bin/env python3
"""Reference values of the distillation losses on outputs, features and relations, from PyTorch in float64.

Each loss is written anew from its paper and given with its value and, by autograd, its gradient to the student's tensors. Shapes
are small, and odd enough that confused axes show. The Rust tests read the file this writes:

    python3 scripts/reference/distillation.py > tests/fixtures/distillation.json
"""

import json
import math

import torch
from torch.distributions import Bernoulli, kl_divergence
from torch.nn import functional as F

torch.manual_seed(23)


def random(*shape, scale=1.0):
    """Values that 32-bit floats hold exactly."""
    return single(scale * torch.randn(shape).round(decimals=3))


def single(tensor):
    """The nearest 32-bit values, which the losses compute with."""
    return tensor.float().double()


def numbers(tensor):
    return [float(f"{value:.7g}") for value in tensor.detach().flatten().tolist()]


def case(loss, inputs, boxes=(), **settings):
    """Runs a loss with named inputs, differentiates it for those whose name begins with `student`, and records all of it."""
    for name, value in inputs.items():
        value.requires_grad_(name.startswith("student"))
    value = loss(*inputs.values(), *([boxes] if boxes else []), *settings.values())
    value.sum().backward()
    return {
        "inputs": {name: {"shape": list(tensor.shape), "values": numbers(tensor)} for name, tensor in inputs.items()},
        "settings": settings,
        "boxes": boxes,
        "loss": numbers(value),
        "gradients": {name: numbers(tensor.grad) for name, tensor in inputs.items() if tensor.requires_grad},
    }


def pair(*shape, teacher=None, scale=1.0):
    return {"student": random(*shape, scale=scale), "teacher": random(*(teacher or shape), scale=scale)}


# Outputs


def softened_divergence(student, teacher, temperature):
    """Hinton et al. 2015."""
    student, teacher = F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1)
    return F.kl_div(student, teacher, reduction="batchmean") * temperature**2


def binary_divergence(student, teacher, *rest):
    """Of independent sigmoids; with weights [B, 1, H, W] the mean over cells is weighted."""
    *weights, temperature = rest
    student, teacher = Bernoulli(torch.sigmoid(student / temperature)), Bernoulli(torch.sigmoid(teacher / temperature))
    divergence = kl_divergence(teacher, student) * temperature**2
    if not weights:
        return divergence.mean()
    total = weights[0].sum().clamp(min=1.0) * divergence.shape[1]
    return (divergence * weights[0]).sum() / total


def localization_divergence(student, teacher, weights, bins, temperature):
    """Zheng et al. 2022: the divergence of each side's distribution."""
    cells = torch.zeros_like(weights[:, 0])
    for student_side, teacher_side in zip(student.split(bins, 1), teacher.split(bins, 1), strict=True):
        log_p = F.log_softmax(student_side / temperature, 1)
        log_q = F.log_softmax(teacher_side / temperature, 1)
        cells = cells + F.kl_div(log_p, log_q, log_target=True, reduction="none").sum(1) / 4
    return (cells * weights[:, 0]).sum() * temperature**2 / weights.sum().clamp(min=1.0)


# Features


def hint(student, teacher):
    """Romero et al. 2015."""
    return F.mse_loss(student, teacher) / 2


def attention_transfer(student, teacher):
    """Zagoruyko & Komodakis 2017."""
    maps = [F.normalize(features.pow(2).sum(1).flatten(1), dim=1) for features in (student, teacher)]
    return F.mse_loss(*maps)


def channel_wise(student, teacher, temperature):
    """Shu et al. 2021."""
    images, channels = student.shape[:2]
    student, teacher = (features.flatten(2) / temperature for features in (student, teacher))
    divergence = F.kl_div(F.log_softmax(student, 2), F.softmax(teacher, 2), reduction="sum")
    return divergence * temperature**2 / (images * channels)


def focal_guided(student, teacher, foreground, background, alpha, beta, gamma, temperature):
    """Yang et al. 2022, the focal terms without the global one; the mean over the images."""

    def attention(features):
        _, channels, height, width = features.shape
        spatial = F.softmax(features.abs().mean(1).flatten(1) / temperature, 1) * height * width
        channel = F.softmax(features.abs().mean((2, 3)) / temperature, 1) * channels
        return spatial.unflatten(1, (height, width)), channel

    student_spatial, student_channel = attention(student)
    spatial, channel = attention(teacher)
    squares = torch.einsum("bchw,bhw,bc->bhw", (student - teacher) ** 2, spatial, channel)
    loss = alpha * (squares * foreground[:, 0]).sum() + beta * (squares * background[:, 0]).sum()
    loss = loss + gamma * F.l1_loss(student_spatial, spatial, reduction="sum")
    loss = loss + gamma * F.l1_loss(student_channel, channel, reduction="sum")
    return loss / len(student)


def patient(student, teacher):
    """Sun et al. 2019, each pixel's channels being one vector."""
    difference = F.normalize(student, dim=1) - F.normalize(teacher, dim=1)
    return difference.pow(2).sum(1).mean()


def cosine(student, teacher):
    """Sanh et al. 2019, each pixel's channels being one vector."""
    return (1 - F.cosine_similarity(student, teacher, dim=1)).mean()


# Relations


def image_embeddings(student):
    return F.adaptive_avg_pool2d(student, 1).flatten(1)


def box_embeddings(student, boxes, stride):
    images, _, height, width = student.shape
    rows = []
    for image, (left, top, right, bottom) in boxes:
        if image >= images or right <= left or bottom <= top:
            continue
        inside = [
            (row, column)
            for row in range(height)
            for column in range(width)
            if left < (column + 0.5) * stride < right and top < (row + 0.5) * stride < bottom
        ]
        if not inside:
            center = (left + right) / 2, (top + bottom) / 2
            cells = [(row, column) for row in range(height) for column in range(width)]
            inside = [min(cells, key=lambda cell: math.dist(center, ((cell[1] + 0.5) * stride, (cell[0] + 0.5) * stride)))]
        rows.append(torch.stack([student[image, :, row, column] for row, column in inside]).mean(0))
    return torch.stack(rows)


def lengths(vectors):
    """Euclidean lengths along the last axis; vectors of length 0 have no gradient."""
    squares = vectors.pow(2).sum(-1)
    return torch.where(squares > 0, torch.where(squares > 0, squares, 1.0).sqrt(), 0.0)


def relation_distance(student, teacher):
    """Park et al. 2019, RKD-D."""

    def potentials(embeddings):
        distances = lengths(embeddings[:, None] - embeddings[None])
        return distances / distances[distances > 0].mean()

    return F.smooth_l1_loss(potentials(student), potentials(teacher))


def relation_angle(student, teacher):
    """Park et al. 2019, RKD-A: cosines of the angles at each embedding between all pairs."""

    def potentials(embeddings):
        differences = embeddings[None] - embeddings[:, None]
        length = lengths(differences)[..., None]
        directions = torch.where(length > 0, differences / torch.where(length > 0, length, 1.0), 0.0)
        return torch.einsum("ijc,ikc->ijk", directions, directions)

    return F.smooth_l1_loss(potentials(student), potentials(teacher))


def similarity_preserving(student, teacher):
    """Tung & Mori 2019."""
    grams = [F.normalize(features @ features.T, dim=1) for features in (student, teacher)]
    return (grams[0] - grams[1]).pow(2).sum() / len(student) ** 2


def flow(student_from, student_to, teacher_from, teacher_to):
    """Yim et al. 2017, with average pooling where the earlier map is larger."""

    def matrix(earlier, later):
        height, width = later.shape[2:]
        earlier = F.avg_pool2d(earlier, (earlier.shape[2] // height, earlier.shape[3] // width))
        return torch.einsum("bihw,bjhw->bij", earlier, later) / (height * width)

    return F.mse_loss(matrix(student_from, student_to), matrix(teacher_from, teacher_to))


def weights(*shape):
    """Some cells of a map count, and not equally."""
    return single((torch.rand(shape) * (torch.rand(shape) > 0.4)).round(decimals=3))


def focal_case(images, channels, height, width, objects, temperature):
    """Objects are (image, top, left, height, width) in cells."""
    foreground = torch.zeros(images, 1, height, width)
    for image, top, left, rows, columns in objects:
        cells = foreground[image, 0, top : top + rows, left : left + columns]
        cells.copy_(torch.maximum(cells, torch.tensor(1 / (rows * columns))))
    background = (foreground == 0).float()
    background /= background.sum((1, 2, 3), keepdim=True)
    inputs = pair(images, channels, height, width)
    inputs |= {"foreground": foreground.double(), "background": background.double()}
    return case(focal_guided, inputs, alpha=0.5, beta=0.25, gamma=0.125, temperature=temperature)


def twins(inputs):
    """Two of the student's embeddings become equal, so that their distance is 0."""
    inputs["student"][-1] = inputs["student"][0]
    return inputs


BOXES = [
    (1, (8.0, 8.0, 40.0, 32.0)),
    (0, (4.0, 4.0, 13.0, 13.0)),  # edges on centres of cells, which are outside
    (1, (8.5, 9.0, 9.5, 10.0)),  # between the centres
    (0, (3.0, 3.0, 3.0, 20.0)),  # no area
    (0, (0.0, 0.0, 64.0, 48.0)),
    (2, (0.0, 0.0, 64.0, 48.0)),  # no such image
    (0, (70.0, 10.0, 90.0, 30.0)),  # beyond the right edge
    (1, (30.0, -9.0, 62.0, 21.0)),
]


def main():
    weighted = lambda *shape: pair(*shape) | {"weights": weights(shape[0], 1, *shape[2:])}
    sides = lambda bins, *shape: pair(shape[0], 4 * bins, *shape[1:], scale=2.0) | {"weights": weights(shape[0], 1, *shape[1:])}
    nothing = {"student": random(1, 12, 2, 3), "teacher": random(1, 12, 2, 3), "weights": torch.zeros(1, 1, 2, 3).double()}
    flows = lambda images, earlier, later: {
        f"{side}_{end}": random(images, *shape)
        for side in ("student", "teacher")
        for end, shape in (("from", earlier), ("to", later))
    }
    cases = {
        "softened_divergence": [
            case(softened_divergence, pair(5, 3, scale=2.0), temperature=1.0),
            case(softened_divergence, pair(4, 7, scale=3.0), temperature=4.0),
        ],
        "binary_divergence": [
            case(binary_divergence, pair(2, 3, 4, 5, scale=2.0), temperature=1.0),
            case(binary_divergence, weighted(2, 3, 4, 5), temperature=2.0),
            case(binary_divergence, nothing | pair(1, 2, 2, 3), temperature=2.0),
        ],
        "localization_divergence": [
            case(localization_divergence, sides(5, 2, 3, 4), bins=5, temperature=1.0),
            case(localization_divergence, sides(8, 1, 2, 5), bins=8, temperature=3.0),
            case(localization_divergence, nothing, bins=3, temperature=2.0),
        ],
        "hint": [case(hint, pair(2, 3, 4, 5)), case(hint, pair(1, 4, 3, 2, scale=3.0))],
        "attention_transfer": [
            case(attention_transfer, pair(2, 3, 4, 5)),
            case(attention_transfer, pair(2, 3, 2, 4, teacher=(2, 5, 2, 4))),
        ],
        "channel_wise": [
            case(channel_wise, pair(2, 3, 4, 5), temperature=1.0),
            case(channel_wise, pair(1, 5, 3, 4, scale=3.0), temperature=4.0),
        ],
        "focal_guided": [
            focal_case(2, 3, 4, 5, [(0, 0, 1, 2, 3), (0, 1, 2, 3, 1), (1, 2, 0, 2, 2)], 0.5),
            focal_case(1, 4, 3, 6, [(0, 0, 0, 1, 2)], 1.0),
            focal_case(2, 2, 3, 3, [], 0.5),
        ],
        "patient": [case(patient, pair(2, 3, 4, 5)), case(patient, pair(1, 6, 2, 3, scale=4.0))],
        "cosine": [case(cosine, pair(2, 3, 4, 5)), case(cosine, pair(1, 6, 2, 3, scale=4.0))],
        "image_embeddings": [case(image_embeddings, {"student": random(2, 3, 4, 5)})],
        "box_embeddings": [
            case(box_embeddings, {"student": random(2, 3, 6, 8)}, BOXES, stride=8.0),
            case(box_embeddings, {"student": random(2, 4, 3, 4)}, BOXES, stride=16.0),
        ],
        "relation_distance": [
            case(relation_distance, pair(5, 4)),
            case(relation_distance, pair(6, 3, teacher=(6, 8), scale=2.0)),
            case(relation_distance, twins(pair(4, 3))),
        ],
        "relation_angle": [
            case(relation_angle, pair(5, 4)),
            case(relation_angle, pair(6, 3, teacher=(6, 8), scale=2.0)),
            case(relation_angle, twins(pair(4, 3))),
        ],
        "similarity_preserving": [
            case(similarity_preserving, pair(5, 4)),
            case(similarity_preserving, pair(4, 6, teacher=(4, 9), scale=2.0)),
        ],
        "flow": [
            case(flow, flows(2, (3, 4, 6), (4, 4, 6))),
            case(flow, flows(2, (2, 4, 8), (5, 2, 4))),
            case(flow, flows(1, (3, 8, 4), (2, 2, 1))),
        ],
    }
    print(json.dumps(cases, separators=(",", ":")))


if __name__ == "__main__":
    main()
