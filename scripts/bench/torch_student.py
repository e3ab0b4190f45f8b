"""The camera student and its training step in PyTorch, for comparison with ours: same layers, weights, batch, loss, optimiser.

Started by bench_training.py. Reads commands from standard input, one a line, and answers each with one line of JSON:

    steps N      trains N steps: {"seconds": s, "losses": [...]}
    operators    times single operators, forward and backward: {"operators": {name: milliseconds}}
    memory       {"peak_bytes": b}, of this process: a graphics card's own memory is not in it

The folder given holds what `benches/training.rs` wrote: student.json, weights.bin, images.bin.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Unit(nn.Module):
    """Convolution and BatchNorm; a depthwise-separable one is two of each, with ReLU between."""

    def __init__(self, ins, outs, kernel, stride, separable):
        super().__init__()
        self.depthwise = None
        if separable and kernel > 1 and ins > 3:
            self.depthwise = nn.Conv2d(ins, ins, kernel, stride, kernel // 2, groups=ins, bias=False)
            self.depthwise_norm = nn.BatchNorm2d(ins)
            kernel, stride = 1, 1
        self.conv = nn.Conv2d(ins, outs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outs)

    def linear(self, x):
        if self.depthwise is not None:
            x = F.relu(self.depthwise_norm(self.depthwise(x)))
        return self.norm(self.conv(x))

    def forward(self, x):
        return F.relu(self.linear(x))


class Stage(nn.Module):
    def __init__(self, ins, outs, depth, separable):
        super().__init__()
        self.reduce = Unit(ins, outs, 3, 2, separable)
        self.refine = nn.ModuleList(Unit(outs, outs, 3, 1, separable) for _ in range(depth))

    def forward(self, x):
        x = self.reduce(x)
        for unit in self.refine:
            x = F.relu(unit.linear(x) + x)
        return x


class Head(nn.Module):
    def __init__(self, channels, classes, bins, separable):
        super().__init__()
        self.class_tower = Unit(channels, channels, 3, 1, separable)
        self.class_prediction = nn.Conv2d(channels, classes, 1)
        self.box_tower = Unit(channels, channels, 3, 1, separable)
        self.box_prediction = nn.Conv2d(channels, 4 * bins, 1)

    def forward(self, x):
        return self.class_prediction(self.class_tower(x)), self.box_prediction(self.box_tower(x))


class Student(nn.Module):
    def __init__(self, widths, classes, bins, separable):
        super().__init__()
        stem, stages, depths, neck = widths["stem"], widths["stages"], widths["depths"], widths["neck"]
        self.stem = Unit(3, stem, 3, 2, separable)
        self.stages = nn.ModuleList(
            Stage(ins, outs, depth, separable) for ins, outs, depth in zip([stem, *stages], stages, depths)
        )
        self.laterals = nn.ModuleList(Unit(width, neck, 1, 1, separable) for width in stages[1:])
        smooth = 2 if widths["smooth_finest"] else 1
        self.smooth = nn.ModuleList(Unit(neck, neck, 3, 1, separable) for _ in range(smooth))
        self.heads = nn.ModuleList(Head(neck, classes, bins, separable) for _ in range(3))

    def forward(self, x):
        x = self.stem(x)
        pyramid = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index > 0:
                pyramid.append(self.laterals[index - 1](x))
        for step, level in enumerate(reversed(range(len(pyramid) - 1))):
            total = pyramid[level] + F.interpolate(pyramid[level + 1], scale_factor=2.0, mode="nearest")
            pyramid[level] = self.smooth[step](total) if step < len(self.smooth) else total
        return [head(level) for head, level in zip(self.heads, pyramid)]

    def load(self, folder):
        """Takes the weights over; both sides list them by the same names."""
        listed = json.loads((folder / "student.json").read_text())["weights"]
        values = np.fromfile(folder / "weights.bin", dtype="<f4")
        state = self.state_dict()
        names, start = set(), 0
        for entry in listed:
            name, shape = entry["name"], entry["shape"]
            for ours, theirs in ((".gamma", ".weight"), (".beta", ".bias"), (".unit.", ".")):
                name = name.replace(ours, theirs)
            count = int(np.prod(shape))
            if list(state[name].shape) != shape:
                raise SystemExit(f"{name}: {shape} here, {list(state[name].shape)} in PyTorch")
            state[name].copy_(torch.from_numpy(values[start : start + count].reshape(shape)))
            names.add(name)
            start += count
        missing = [name for name in state if name not in names and not name.endswith("num_batches_tracked")]
        if missing or start != len(values):
            raise SystemExit(f"without a value: {missing}; {len(values) - start} values left over")


class Loss:
    """Task-aligned assignment, quality focal loss, generalised IoU and distribution focal loss, on whole batches."""

    def __init__(self, setup):
        self.bins, self.config = setup["bins"], setup["losses"]
        centers, strides = [], []
        for stride in (8, 16, 32):
            rows, columns = setup["height"] // stride, setup["width"] // stride
            y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            centers.append(torch.stack([(x.flatten() + 0.5) * stride, (y.flatten() + 0.5) * stride], 1))
            strides.append(torch.full((rows * columns,), float(stride)))
        self.centers, self.strides = torch.cat(centers), torch.cat(strides)
        # One row a box: image, box, probabilities.
        boxes = [(image, box) for image, boxes in enumerate(setup["targets"]) for box in boxes]
        self.images = torch.tensor([image for image, _ in boxes])
        self.boxes = torch.tensor([box["bbox"] for _, box in boxes])
        self.probabilities = torch.tensor([box["probabilities"] for _, box in boxes])
        x, y = self.centers[:, 0], self.centers[:, 1]
        left, top, right, bottom = (self.boxes[:, side, None] for side in range(4))
        self.inside = (x > left) & (x < right) & (y > top) & (y < bottom)
        if not self.inside.any(1).all():
            raise SystemExit("the benchmark's boxes must all hold a cell's centre")
        middle = torch.stack([left + right, top + bottom], 2)[:, 0] / 2
        distance = torch.cdist(middle, self.centers)
        self.near = 1e-9 / (1.0 + distance / self.strides)
        self.bin_positions = torch.arange(self.bins, dtype=torch.float32)

    def expected(self, logits):
        return (logits.softmax(-1) * self.bin_positions).sum(-1)

    def assign(self, scores, distances):
        """For each assigned cell: its row, its box and its quality."""
        config, cells = self.config, len(self.centers)
        predicted = self.decode(self.centers, self.strides[:, None], distances)[self.images]
        iou = pairwise_iou(predicted, self.boxes[:, None])
        classes = self.probabilities.argmax(1)
        score = scores[self.images, :, classes]
        alignment = score ** config["alignment_score"] * iou ** config["alignment_iou"] + self.near
        alignment = torch.where(self.inside, alignment, torch.tensor(-1.0))
        best, chosen = alignment.topk(min(config["cells_per_box"], cells), 1)
        valid = best > 0
        best_iou = torch.where(valid, iou.gather(1, chosen), torch.tensor(0.0)).amax(1, keepdim=True)
        quality = best / best[:, :1] * (best_iou if config["localization_quality"] else 1.0)
        credit = self.probabilities.gather(1, classes[:, None])
        rows = (self.images[:, None] * cells + chosen)[valid]
        bids, quality = (best * credit)[valid], quality[valid]
        boxes = torch.arange(len(self.boxes))[:, None].expand_as(chosen)[valid]
        # A cell wanted by several boxes goes to the highest bid.
        highest = torch.full((scores.shape[0] * cells,), -1.0).scatter_reduce(0, rows, bids, "amax")
        kept = bids >= highest[rows]
        return rows[kept], boxes[kept], quality[kept]

    @staticmethod
    def decode(centers, strides, distances):
        reach = distances * strides
        return torch.cat([centers - reach[..., :2], centers + reach[..., 2:]], -1)

    def __call__(self, outputs):
        config = self.config
        logits = torch.cat([scores.flatten(2).transpose(1, 2) for scores, _ in outputs], 1)
        distributions = torch.cat([boxes.flatten(2).transpose(1, 2) for _, boxes in outputs], 1)
        images, cells, classes = logits.shape
        distributions = distributions.reshape(images, cells, 4, self.bins)
        with torch.no_grad():
            rows, boxes, quality = self.assign(logits.sigmoid(), self.expected(distributions))
            goal = torch.zeros(images * cells, classes)
            goal[rows] = self.probabilities[boxes] * quality[:, None]
            weights = goal[rows].amax(1)
            normalizer = weights.sum().clamp_min(1.0)
            cell = rows % cells
            box = self.boxes[boxes]
            reach = torch.cat([self.centers[cell] - box[:, :2], box[:, 2:] - self.centers[cell]], 1)
            truth = (reach / self.strides[cell, None]).clamp(0.0, self.bins - 1.0)
        flat = logits.reshape(-1, classes)
        entropy = F.binary_cross_entropy_with_logits(flat, goal, reduction="none")
        classification = ((flat.sigmoid() - goal) ** 2 * entropy).sum() / normalizer

        chosen = distributions.reshape(-1, 4, self.bins)[rows]
        predicted = self.expected(chosen)
        giou = giou_loss(edges(predicted), edges(truth))
        lower = truth.floor().clamp_max(self.bins - 2)
        share = truth - lower
        log_p = chosen.log_softmax(-1)
        lower = lower.long()[..., None]
        at = lambda index: log_p.gather(-1, index)[..., 0]
        distribution = -((1.0 - share) * at(lower) + share * at(lower + 1)).mean(1)
        giou, distribution = (giou * weights).sum() / normalizer, (distribution * weights).sum() / normalizer
        return classification * config["class"] + giou * config["giou"] + distribution * config["distribution"]


def edges(distances):
    return torch.cat([-distances[..., :2], distances[..., 2:]], -1)


def area(size):
    return size[..., 0] * size[..., 1]


def pairwise_iou(a, b):
    overlap = area((torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0.0))
    union = area(a[..., 2:] - a[..., :2]) + area(b[..., 2:] - b[..., :2]) - overlap
    return overlap / union.clamp_min(1e-12)


def giou_loss(a, b):
    overlap = area((torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0.0))
    hull = area(torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp_min(1e-7)
    union = area(a[..., 2:] - a[..., :2]) + area(b[..., 2:] - b[..., :2]) - overlap
    return 1.0 - (overlap / union.clamp_min(1e-7) - (hull - union) / hull)


class Training:
    def __init__(self, folder, layout, device):
        setup = json.loads((folder / "student.json").read_text())
        self.device = torch.device(device)
        torch.set_default_device(self.device)
        student = Student(setup["widths"], len(setup["classes"]), setup["bins"], setup["separable"])
        with torch.no_grad():
            student.load(folder)
        images = np.fromfile(folder / "images.bin", dtype="<f4").reshape(setup["batch"], 3, setup["height"], setup["width"])
        self.images = torch.from_numpy(images).to(self.device)
        if layout == "nhwc":
            student = student.to(memory_format=torch.channels_last)
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        self.student, self.loss = student.train(), Loss(setup)
        decayed = [weight for name, weight in student.named_parameters() if weight.ndim > 1]
        rest = [weight for name, weight in student.named_parameters() if weight.ndim == 1]
        groups = [{"params": decayed, "weight_decay": setup["weight_decay"]}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=setup["learning_rate"], eps=1e-8, fused=True)
        self.weights = list(student.parameters())
        self.average = [weight.detach().clone() for weight in self.weights]
        self.clip, self.decay = setup["clip"], setup["ema"]

    def step(self):
        loss = self.loss(self.student(self.images))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, self.clip)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.weights, 1.0 - self.decay)
        return loss.item()


def wait_for(device):
    """Waits until all that was asked of a graphics card is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_operators(setup):
    """Milliseconds of each operator, forward and backward, the best of several runs."""
    found = {}
    for case in setup["operators"]:
        shape = [setup["batch"], *case["input"]]
        x = torch.randn(shape, requires_grad=True)
        if case["kind"] == "convolution":
            outs, kernel, stride, groups = case["channels_out"], case["kernel"], case["stride"], case["groups"]
            layer = nn.Conv2d(shape[1], outs, kernel, stride, kernel // 2, groups=groups, bias=False)
        else:
            layer = nn.Sequential(nn.BatchNorm2d(shape[1]), *([nn.ReLU()] if case["kind"] == "norm_relu" else []))
        gradient = torch.randn_like(layer(x))
        best = float("inf")
        for _ in range(setup["operator_runs"]):
            wait_for(x.device)
            start = time.perf_counter()
            layer(x).backward(gradient)
            wait_for(x.device)
            best = min(best, time.perf_counter() - start)
            x.grad = None
        found[case["name"]] = best * 1e3
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layout", choices=["nchw", "nhwc"], default="nchw")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    training = Training(arguments.folder, arguments.layout, arguments.device)
    computes = torch.cuda.get_device_name() if training.device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    print(json.dumps({"ready": f"PyTorch {torch.__version__} {computes}"}), flush=True)
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "steps":
            start = time.perf_counter()
            losses = [training.step() for _ in range(int(rest[0]))]
            wait_for(training.device)
            answer = {"seconds": time.perf_counter() - start, "losses": losses}
        elif command == "operators":
            setup = json.loads((arguments.folder / "student.json").read_text())
            answer = {"operators": time_operators(setup)}
        elif command == "memory":
            answer = {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
        else:
            raise SystemExit(f"unknown command {command!r}")
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
