"""The start of an OpenVINO graph, marked to be computed in fp32 where the rest is in bf16."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    import openvino

_CONVOLUTIONS = {"Convolution", "ConvolutionBackpropData", "GroupConvolution"}
_MARK = {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16"}
"""What makes OpenVINO keep a node's precision; its Python interface cannot set it, the file can."""


def mark_start(model: openvino.Model, path: Path) -> bytes:
    """A graph's file, in which all that comes before the second convolution is marked.

    Of what bf16 costs a network with instance norm, most is lost here: the scan's own values are
    rounded, and then the mean is taken from what is left.

    Args:
        model: The graph.
        path: The file it was read from.

    Returns:
        The XML of the graph; its weights are those of ``path``.
    """
    marked = set(_names_before_the_second_convolution(model))
    tree = ElementTree.parse(path)  # noqa: S314 (our own file, whose hash was checked)
    for layer in tree.iter("layer"):
        if layer.get("name") in marked:
            found = layer.find("rt_info")
            notes = ElementTree.SubElement(layer, "rt_info") if found is None else found
            ElementTree.SubElement(notes, "attribute", _MARK)
    return ElementTree.tostring(tree.getroot())


def _names_before_the_second_convolution(model: openvino.Model) -> Iterator[str]:
    depths: dict[str, int] = {}
    for node in model.get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        before = [depths[value.get_node().get_friendly_name()] for value in node.input_values()]
        depths[name] = max(before, default=0) + (kind in _CONVOLUTIONS)
        if before and kind != "Result" and depths[name] <= 1:
            yield name
