"""Prometheus text format 0.0.4 (pure)."""

import math
from collections.abc import Iterable, Mapping

import msgspec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metric(msgspec.Struct, frozen=True):
    """One metric. kind: gauge or counter; samples: labels and value."""

    name: str
    kind: str
    doc: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


def gauge(name: str, doc: str, value: float) -> Metric:
    """A gauge without labels."""
    return Metric(name, "gauge", doc, (({}, value),))


def counter(name: str, doc: str, value: float) -> Metric:
    """A counter without labels; its name ends in _total."""
    return Metric(name, "counter", doc, (({}, value),))


def text(metrics: Iterable[Metric]) -> str:
    """All metrics, each with HELP and TYPE before its samples."""
    lines: list[str] = []
    for metric in metrics:
        lines.append(f"# HELP {metric.name} {_doc(metric.doc)}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        lines += [f"{metric.name}{_labels(labels)} {_number(value)}" for labels, value in metric.samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_value(value)}"' for key, value in labels.items()) + "}"


def _value(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _doc(doc: str) -> str:
    return doc.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
