"""Write the page of results from what ``speed.py`` measured.

python tests/benchmarks/speed_page.py runs/bench.json docs/results/performance.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    source, out = map(Path, sys.argv[1:])
    out.write_text(write_page(json.loads(source.read_text(encoding="utf-8"))), encoding="utf-8")


def write_page(data: dict[str, Any]) -> str:
    """Markdown: the machine, a table a subject, growth and memory."""
    machine = data["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in sorted(machine["versions"].items()))
    lines = [
        "# Performance",
        "",
        "Made by `make bench`. Ratios travel between machines; seconds do not. Each figure is a",
        "median, with the smallest and largest in brackets.",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB;"
        f" commit {machine['commit']}; load before the start {machine['load_before']:.1f}"
        f" (above 0.5: a busy machine). {versions}.",
        "",
    ]
    if data["quick"]:
        lines += ["**A quick run on small volumes: only to see that everything runs.**", ""]
    for name, part in data.items():
        if isinstance(part, dict) and "seconds" in part:
            lines += _table(name, part)
    if "growth" in data:  # not where training alone was measured
        lines += _growth_and_memory(data["growth"], data["peak_memory_mb"])
    return "\n".join(lines) + "\n"


def _growth_and_memory(growth: dict[str, Any], peak: dict[str, Any]) -> list[str]:
    return [
        "## Growth",
        "",
        "| what | exponent |",
        "| --- | --- |",
        *(f"| {name} | {part['exponent']:.2f} |" for name, part in growth.items()),
        "",
        "## Peak memory",
        "",
        f"What predicting a cube of {peak['edge']} voxels adds: torch {peak['torch']:.0f} MB,"
        f" OpenVINO {peak['openvino']:.0f} MB.",
    ]


def _table(name: str, part: dict[str, Any]) -> list[str]:
    times = part["seconds"]
    ours = next(iter(times.values()))["median"]
    lines = [
        f"## {name.capitalize()}",
        "",
        "| way | seconds | times the first |",
        "| --- | --- | --- |",
    ]
    for way, time in times.items():
        span = f"{time['median']:.3g} [{time['min']:.3g}, {time['max']:.3g}]"
        lines.append(f"| {way} | {span} | {time['median'] / ours:.1f} |")
    if "engine" in part:
        engine, bound = part["engine"], part["seconds_at_the_convolution_rate"]
        whole = part["seconds_at_the_convolution_rate_padded"]
        beside = part["seconds_beside_convolution"]["median"]
        lines += [
            "",
            f"Shape {'x'.join(map(str, part['shape']))}; {engine['Engine']} in"
            f" {engine['Precision']} ({engine['Why']}). In turn with a convolution at"
            f" {part['convolution_tflops']:.2f} TFLOP/s ours takes {beside:.3g} s. At that rate its"
            f" operations need {bound:.3g} s, of which ours takes {beside / bound:.2f} times;"
            f" padded to {'x'.join(map(str, part['padded']))}, as the network computes, they"
            f" need {whole:.3g} s: {beside / whole:.2f} times.",
        ]
    elif "shape" in part:
        shape, shown = ("x".join(map(str, part[key])) for key in ("shape", "shown"))
        ratio = times["file to file"]["median"] / ours
        lines += [
            "",
            f"{part['scans']} scans of {shape}, {part['at_a_time']} at a time, seconds a scan; the"
            f" network alone is shown {shown} voxels and has all cores. A scan takes {ratio:.2f}"
            " times the network's own time.",
        ]
    if "share_of_time_in_the_step" in part:
        lines += ["", f"Time inside the step: {part['share_of_time_in_the_step']:.1%}."]
    if "share_of_product_rate" in part:
        share = f"{part['share_of_product_rate']:.0%}"
        lines += ["", f"Of the rate of matrix products measured on the same device: {share}."]
    return [*lines, ""]


if __name__ == "__main__":
    main()
