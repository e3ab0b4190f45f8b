#!/usr/bin/env python3
"""Makes the reference values of tests/teacher_reference.rs: what published detectors find, decoded independently in NumPy.

The formulas are written here from the papers and the projects' own documentation (YOLOX: Ge et al. 2021; Generalized Focal
Loss: Li et al. 2020; FastestDet's README; DETR: Carion et al. 2020; Ultralytics' export documentation), vectorised and in
double precision; none of this package's code is used.

Four kinds of files are written to tests/fixtures/teachers/:

  synthetic.json   random output tensors of every head format, and the boxes in them. Needs NumPy only.
  tiny_*.onnx      networks of a few nodes with known outputs, to test loading. Needs onnx.
  expected.json    what the real models find in the committed frame_*.png. Needs onnxruntime, Pillow and the models.
  tapped.json      values of tensors inside a real model for one of these frames. Needs the same.

Frames become input tensors by an integer rule, so that no resampling can differ:

  tensor[c][y][x] = (pixel(x * 208 // n, y * 208 // n)[c] - mean[c]) / std[c],  grey 114 below the frame's last row,

for an input of n x n pixels and frames 208 pixels wide, channels in the model's order, in single precision.

  python3 scripts/reference/teachers.py --data ../shared/data            # all files
  python3 scripts/reference/teachers.py --data ../shared/data --frames   # take the frames from the bags again as well
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "fixtures" / "teachers"
FRAME_WIDTH = 208
IOU = 0.6


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cells(width, height, stride):
    """Column and row of every cell of a stride, row by row: [n, 2]."""
    ys, xs = np.mgrid[: -(-height // stride), : -(-width // stride)]
    return np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float64)


def corners(center_size):
    half = center_size[:, 2:] / 2
    return np.concatenate([center_size[:, :2] - half, center_size[:, :2] + half], axis=1)


# Each decoder: outputs {name: array}, input width and height, number of classes -> boxes [n, 4], probabilities [n, C].


def yolox(outputs, width, height, classes):
    (out,) = outputs.values()
    out = out[0].astype(np.float64)
    grid = [cells(width, height, s) for s in (8, 16, 32)]
    stride = np.concatenate([np.full((len(g), 1), s) for g, s in zip(grid, (8, 16, 32))])
    center = (out[:, :2] + np.concatenate(grid)) * stride
    return corners(np.concatenate([center, np.exp(out[:, 2:4]) * stride], axis=1)), out[:, 4:5] * out[:, 5:]


def distances(logits, bins):
    return softmax(logits.reshape(-1, 4, bins)) @ np.arange(bins)


def around(grid, stride, ltrb):
    center = (grid + 0.5) * stride
    return np.concatenate([center - ltrb[:, :2] * stride, center + ltrb[:, 2:] * stride], axis=1)


def nanodet(outputs, width, height, classes):
    boxes, scores = [], []
    for s in (8, 16, 32):
        logits = outputs[f"dis_pred_stride_{s}"][0].astype(np.float64)
        found = around(cells(width, height, s), s, distances(logits, logits.shape[1] // 4))
        boxes.append(np.clip(found, 0, [width, height, width, height]))
        scores.append(outputs[f"cls_pred_stride_{s}"][0].astype(np.float64))
    return np.concatenate(boxes), np.concatenate(scores)


def nanodet_joined(outputs, width, height, classes):
    """One output of all strides: scores, then distances of 8 bins; with stride 64 (NanoDet-Plus) from the cells' corners."""
    (out,) = outputs.values()
    out = out[0].astype(np.float64)
    strides = (8, 16, 32) if len(out) == sum(len(cells(width, height, s)) for s in (8, 16, 32)) else (8, 16, 32, 64)
    grid = np.concatenate([cells(width, height, s) for s in strides])
    stride = np.concatenate([np.full((len(cells(width, height, s)), 1), s) for s in strides])
    ltrb = distances(out[:, classes:], 8) * stride
    point = (grid + (0.5 if len(strides) == 3 else 0.0)) * stride
    boxes = np.concatenate([point - ltrb[:, :2], point + ltrb[:, 2:]], axis=1)
    return np.clip(boxes, 0, [width, height, width, height]), out[:, :classes]


def student(outputs, width, height, classes):
    boxes, scores = [], []
    for s in (8, 16, 32):
        logits = outputs[f"box_distribution_{s}"][0].astype(np.float64)
        logits = logits.reshape(logits.shape[0], -1).T
        boxes.append(around(cells(width, height, s), s, distances(logits, logits.shape[1] // 4)))
        scores.append(sigmoid(outputs[f"class_logits_{s}"][0].astype(np.float64).reshape(classes, -1).T))
    return np.concatenate(boxes), np.concatenate(scores)


def fastestdet(outputs, width, height, classes):
    (out,) = outputs.values()
    _, _, h, w = out.shape
    out = out[0].astype(np.float64).reshape(5 + classes, -1).T
    ys, xs = np.divmod(np.arange(h * w), w)
    center = np.stack([(np.tanh(out[:, 1]) + xs) / w * width, (np.tanh(out[:, 2]) + ys) / h * height], axis=1)
    size = sigmoid(out[:, 3:5]) * [width, height]
    return corners(np.concatenate([center, size], axis=1)), out[:, :1] ** 0.6 * out[:, 5:] ** 0.4


def yolov8(outputs, width, height, classes):
    (out,) = outputs.values()
    out = out[0].astype(np.float64).T
    return corners(out[:, :4]), out[:, 4:]


def yolov5(outputs, width, height, classes):
    (out,) = outputs.values()
    out = out[0].astype(np.float64)
    return corners(out[:, :4]), out[:, 4:5] * out[:, 5:]


def detr(outputs, width, height, classes):
    logits = outputs["logits"][0].astype(np.float64)
    scores = sigmoid(logits) if logits.shape[1] == classes else softmax(logits)[:, :-1]
    return corners(outputs["pred_boxes"][0].astype(np.float64) * [width, height, width, height]), scores


def suppressed(outputs, width, height, classes):
    if "output0" in outputs:
        out = outputs["output0"][0].astype(np.float64)
        boxes, score, label = out[:, :4], out[:, 4], out[:, 5]
    else:
        boxes, score, label = (outputs[k].astype(np.float64) for k in ("boxes", "scores", "labels"))
    return boxes, score[:, None] * (label[:, None] == np.arange(classes))


def iou(box, others):
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    inter = np.prod(np.clip(high - low, 0, None), axis=1)
    area = lambda b: np.prod(b[..., 2:] - b[..., :2], axis=-1)
    return inter / (area(box) + area(others) - inter)


def detections(boxes, scores, threshold, suppress):
    """Greedy suppression class by class; best first."""
    best, label = scores.max(axis=1), scores.argmax(axis=1)
    close = np.abs(best - threshold)
    assert close.min() > 2e-4, f"a score lies at the threshold ({close.min()}): choose another"
    order = [i for i in np.argsort(-best, kind="stable") if best[i] >= threshold]
    kept = []
    for i in order:
        rivals = [j for j in kept if label[j] == label[i]]
        overlap = iou(boxes[i], boxes[rivals]) if rivals else np.zeros(0)
        assert not suppress or np.abs(overlap - IOU).min(initial=1) > 1e-4, "an overlap lies at the threshold: choose another seed"
        if not suppress or not (overlap > IOU).any():
            kept.append(i)
    return [
        {
            "box": [round(float(v), 5) for v in boxes[i]],
            "label": int(label[i]),
            "score": round(float(best[i]), 6),
            "sum": round(float(scores[i].sum()), 5),
        }
        for i in kept
    ]


def synthetic():
    """Random outputs of every format for an input of 64 x 32 pixels with 3 classes."""
    rng = np.random.default_rng(7)
    width, height, classes, bins = 64, 32, 3, 4
    count = {s: len(cells(width, height, s)) for s in (8, 16, 32)}
    n = sum(count.values())
    uniform = lambda *shape: rng.uniform(0, 1, shape)
    normal = lambda *shape: rng.normal(0, 1.5, shape)
    boxes = lambda m: np.concatenate([uniform(m, 2) * [64, 32], uniform(m, 2) * [40, 20] + 2], axis=1)
    maps = {}
    for s in (8, 16, 32):
        h, w = height // s, width // s
        maps[f"class_logits_{s}"] = normal(1, classes, h, w) - 1.5
        maps[f"box_distribution_{s}"] = normal(1, 4 * bins, h, w)
    gfl = {f"cls_pred_stride_{s}": uniform(1, count[s], classes) ** 3 for s in count}
    gfl |= {f"dis_pred_stride_{s}": normal(1, count[s], 4 * bins) for s in count}
    rows = np.concatenate([boxes(3 * n), uniform(3 * n, 1 + classes)], axis=1)[None]
    columns = np.concatenate([boxes(n), uniform(n, classes) ** 3], axis=1).T[None]
    raw = np.concatenate([uniform(1, n, 2), normal(1, n, 2) / 2, uniform(1, n, 1 + classes)], axis=2)
    conf = np.concatenate([uniform(1, 1, 2, 4), normal(1, 4, 2, 4), softmax(normal(1, 2, 4, classes)).transpose(0, 3, 1, 2)], axis=1)
    relative = np.concatenate([uniform(1, 6, 2), uniform(1, 6, 2) / 2 + 0.05], axis=2)
    final = {"boxes": corners(boxes(6)), "scores": uniform(6), "labels": rng.integers(0, classes, 6).astype(float)}
    joined = np.concatenate([final["boxes"], final["scores"][:, None], final["labels"][:, None]], axis=1)[None]
    joined_rows = lambda m: np.concatenate([uniform(1, m, classes) ** 3, normal(1, m, 4 * 8)], axis=2)
    cases = [
        ("student", {"student": {"strides": [8, 16, 32], "bins": bins}}, student, maps),
        ("yolox", "yolox", yolox, {"output": raw}),
        ("nanodet", "nanodet", nanodet, gfl),
        ("fastestdet", "fastestdet", fastestdet, {"758": conf}),
        ("yolov8", "yolov8", yolov8, {"output0": columns}),
        ("yolov5", "yolov5", yolov5, {"output0": rows}),
        ("detr softmax", "detr", detr, {"logits": normal(1, 6, classes + 1), "pred_boxes": relative}),
        ("detr sigmoid", "detr", detr, {"logits": normal(1, 6, classes), "pred_boxes": relative}),
        ("suppressed, three outputs", "suppressed", suppressed, final),
        ("suppressed, one output", "suppressed", suppressed, {"output0": joined}),
        ("nanodet, one output", "nanodet", nanodet_joined, {"output": joined_rows(n)}),
        ("nanodet plus", "nanodet", nanodet_joined, {"output": joined_rows(n + 1)}),
    ]
    written = []
    for name, head, decode, outputs in cases:
        # What is written is what is decoded: the rounding comes first.
        outputs = {key: np.round(value, 4).astype(np.float32) for key, value in outputs.items()}
        suppress = not name.startswith(("detr", "suppressed"))
        found = detections(*decode(outputs, width, height, classes), 0.37, suppress)
        assert found, name
        tensors = [
            {"name": key, "shape": list(value.shape), "integer": key == "labels", "values": [round(float(v), 4) for v in value.ravel()]}
            for key, value in outputs.items()
        ]
        written.append({"name": name, "head": head, "outputs": tensors, "detections": found})
    return {"width": width, "height": height, "classes": classes, "score_threshold": 0.37, "iou_threshold": IOU, "cases": written}


MODELS = [
    # file, head, decoder, input size, mean, std (all three take BGR), score threshold
    ("yolox_nano_416.onnx", "yolox", yolox, 416, [0, 0, 0], [1, 1, 1], 0.22),
    ("nanodet_m_416.onnx", "nanodet", nanodet, 416, [103.53, 116.28, 123.675], [57.375, 57.12, 58.395], 0.26),
    ("FastestDet_352.onnx", "fastestdet", fastestdet, 352, [0, 0, 0], [255, 255, 255], 0.31),
]


def tensor(rgb, n, mean, std):
    index = np.arange(n) * FRAME_WIDTH // n
    square = np.full((FRAME_WIDTH, FRAME_WIDTH, 3), 114, np.uint8)
    square[: rgb.shape[0]] = rgb
    bgr = square[index][:, index, ::-1].astype(np.float32)
    return ((bgr - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1)[None]


def session_of(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def expected(data):
    from PIL import Image

    frames = sorted(OUT.glob("frame_*.png"))
    assert frames, "no frames: run with --frames once"
    written = []
    for file, head, decode, n, mean, std, threshold in MODELS:
        session = session_of(data / "models" / file)
        names = [output.name for output in session.get_outputs()]
        per_frame = {}
        for frame in frames:
            values = session.run(None, {session.get_inputs()[0].name: tensor(np.asarray(Image.open(frame).convert("RGB")), n, mean, std)})
            found = decode(dict(zip(names, values)), n, n, 80)
            per_frame[frame.name] = detections(*found, threshold, True)
        written.append({"model": file, "head": head, "size": n, "mean": mean, "std": std, "score_threshold": threshold, "frames": per_frame})
    return {"iou_threshold": IOU, "models": written}


TAPPED = ["781", "841", "990"]
EVERY = 997


def tapped(data):
    """Every 997th value of tensors inside of YOLOX-nano: backbone at strides 8 and 16, neck at stride 16."""
    from PIL import Image

    file, _, _, n, mean, std, _ = MODELS[0]

    def field(number, content):
        assert len(content) < 128
        return bytes([number << 3 | 2, len(content)]) + content

    # Protobuf merges messages that follow one another: ModelProto.graph is 7, GraphProto.output 12, ValueInfoProto.name 1.
    outputs = b"".join(field(12, field(1, name.encode())) for name in TAPPED)
    session = session_of((data / "models" / file).read_bytes() + field(7, outputs))
    frame = "frame_indoor_150.png"
    image = tensor(np.asarray(Image.open(OUT / frame).convert("RGB")), n, mean, std)
    values = session.run(TAPPED, {session.get_inputs()[0].name: image})
    tensors = [
        {"name": name, "shape": list(value.shape), "values": [float(f"{v:.7g}") for v in value.ravel()[::EVERY]]}
        for name, value in zip(TAPPED, values)
    ]
    return {"model": file, "size": n, "frame": frame, "mean": mean, "std": std, "every": EVERY, "tensors": tensors}


def tiny():
    """Networks whose outputs do not depend on the image: [batch, 3, size, size] -> constants + 0 * mean of the image."""
    from onnx import TensorProto, helper, numpy_helper

    def save(name, batch, outputs, size=32, open_sizes=False, inside=(), last="images"):
        nodes = [
            *inside,
            helper.make_node("ReduceMean", [last], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "nought"], ["nothing"]),
        ]
        constants = [numpy_helper.from_array(np.float32(0), "nought")]
        infos = []
        for output, value, shape in outputs:
            kind = TensorProto.INT64 if value.dtype == np.int64 else TensorProto.FLOAT
            infos.append(helper.make_tensor_value_info(output, kind, shape))
            constants.append(numpy_helper.from_array(value, output + "_value"))
            if kind == TensorProto.FLOAT:
                added = output + "_all" if open_sizes else output
                nodes.append(helper.make_node("Add", [output + "_value", "nothing"], [added]))
                if open_sizes:
                    # Columns chosen by the image: no reader of the file can know how many there are.
                    constants.append(numpy_helper.from_array(np.ones(value.shape[-1], np.float32), output + "_ones"))
                    nodes.append(helper.make_node("Add", [output + "_ones", "nothing"], [output + "_chosen"]))
                    nodes.append(helper.make_node("Cast", [output + "_chosen"], [output + "_mask"], to=TensorProto.BOOL))
                    nodes.append(helper.make_node("Compress", [added, output + "_mask"], [output], axis=value.ndim - 1))
            else:
                nodes.append(helper.make_node("Identity", [output + "_value"], [output]))
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, size, size])
        graph = helper.make_graph(nodes, "tiny", [images], infos, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        (OUT / f"tiny_{name}.onnx").write_bytes(model.SerializeToString())

    yolov8 = np.zeros((1, 6, 21), np.float32)
    yolov8[0, :, 4] = [16, 8, 8, 4, 0.25, 0.75]
    save("yolov8", 1, [("output0", yolov8, [1, 6, 21])])
    # The same with feature maps before it: means of 2x2 and 4x4 pixels. What has other shapes or types is none.
    pools = [
        helper.make_node("AveragePool", ["images"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Shape", ["half"], ["half_shape"]),
        helper.make_node("Cast", ["half"], ["half_mask"], to=TensorProto.BOOL),
        helper.make_node("AveragePool", ["half"], ["quarter"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Concat", ["quarter", "quarter"], ["doubled"], axis=1),
        helper.make_node("GlobalAveragePool", ["doubled"], ["pooled"]),
    ]
    save("pools", 1, [("output0", yolov8, [1, 6, 21])], inside=pools, last="pooled")
    # The first with the shapes left open, as exporters leave them for dynamic batches.
    save("dynamic", "batch", [("output0", yolov8, ["batch", "channels", "anchors"])])
    boxes = np.float32([[4, 8, 20, 24], [0, 0, 9, 9]])
    labels, scores = np.int64([2, 0]), np.float32([0.5, 0.125])
    save("suppressed", 1, [("boxes", boxes, ["n", 4]), ("labels", labels, ["n"]), ("scores", scores, ["n"])])
    # The same with one object and with none, the labels told by their type alone.
    for name, n in (("suppressed_one", 1), ("suppressed_none", 0)):
        save(name, 1, [("b", boxes[:n], ["n", 4]), ("l", labels[:n], ["n"]), ("s", scores[:n], ["n"])])
    # 19 boxes of the first class, side by side and sure; two of the second, weak.
    rows = [[3 + 6 * (i % 5), 3 + 6 * (i // 5), 4, 4, 0.75, 0] for i in range(19)]
    rows += [[27, 21, 4, 4, 0, 0.25], [3, 27, 4, 4, 0, 0.125]]
    crowd = np.ascontiguousarray(np.float32(rows).T[None])
    save("crowd", 1, [("output0", crowd, [1, 6, 21])])
    # YOLOX with its decode inside, and DETR with open shapes and nothing said by the names.
    grid = np.concatenate([(cells(64, 64, s) + 0.5) * s for s in (8, 16, 32)])
    decoded = np.concatenate([grid, np.full((84, 2), 16), np.zeros((84, 3))], axis=1).astype(np.float32)
    decoded[9, 4:] = [0.5, 0, 1]
    save("decoded", 1, [("output", decoded[None], [1, 84, 7])], size=64)
    logits = np.full((1, 2, 81), -8, np.float32)
    logits[0, 0, 0], logits[0, 1, 80] = 8, 8
    relative = np.float32([[[0.5, 0.25, 0.5, 0.25], [0.5, 0.5, 1, 1]]])
    save("detr", "batch", [("a", logits, ["batch", "queries", "c"]), ("b", relative, ["batch", "queries", "d"])], open_sizes=True)


def frames(data):
    """Three frames of the bags, shrunk to 208 pixels, with few colours to keep the files small."""
    from PIL import Image
    from rosbags.highlevel import AnyReader

    for bag, numbers in (("indoor_person_mcap", (150, 420)), ("worker_zone_mcap", (30,))):
        with AnyReader([data / "bags" / bag]) as reader:
            images = [c for c in reader.connections if c.msgtype.endswith("CompressedImage")]
            for k, (connection, _, raw) in enumerate(reader.messages(images)):
                if k in numbers:
                    image = Image.open(io.BytesIO(reader.deserialize(raw, connection.msgtype).data.tobytes())).convert("RGB")
                    small = image.resize((FRAME_WIDTH, round(FRAME_WIDTH * image.height / image.width)), Image.LANCZOS)
                    small.quantize(128, dither=Image.Dither.NONE).save(OUT / f"frame_{bag.split('_')[0]}_{k}.png", optimize=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with models/ and bags/; without it expected.json and tapped.json are not made")
    parser.add_argument("--frames", action="store_true", help="take the frames from the bags again")
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "synthetic.json").write_text(json.dumps(synthetic(), separators=(",", ":")) + "\n")
    tiny()
    if args.data:
        if args.frames:
            frames(args.data)
        (OUT / "expected.json").write_text(json.dumps(expected(args.data), separators=(",", ":")) + "\n")
        (OUT / "tapped.json").write_text(json.dumps(tapped(args.data), separators=(",", ":")) + "\n")
    else:
        print("skipped: expected.json and tapped.json, which need --data with the models")


if __name__ == "__main__":
    main()
