"""An exported network computes what torch computes, and is kept whole or made again."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from medtranslate.errors import MissingExtraError
from medtranslate.inference import graph as module
from medtranslate.inference.graph import Graph, export_graph, graph_folder

pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")


def build_network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Conv3d(1, 4, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv3d(4, 2, 3, padding=1)
    return nn.Sequential(*layers).eval()


def test_a_graph_computes_what_torch_computes_at_any_shape(tmp_path):
    network = build_network()
    graph = Graph(export_graph(network, torch.rand(1, 1, 4, 5, 6), tmp_path), precision="fp32")

    shapes = (1, 1, 9, 7, 8), (2, 1, 4, 12, 5), (1, 1, 9, 7, 8), (1, 1, 9, 7, 8)
    sources = [torch.rand(shape) for shape in shapes]
    with torch.inference_mode():
        found = [graph(source) for source in sources]  # a later call changes none of them
        expected = [network(source) for source in sources]

    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_the_order_of_the_memory_does_not_matter(memory_format, tmp_path):
    torch.manual_seed(0)
    network = nn.Conv3d(3, 2, 3, padding=1).eval()
    graph = Graph(export_graph(network, torch.rand(1, 3, 4, 5, 6), tmp_path), precision="fp32")
    source = torch.rand(1, 3, 6, 7, 8).contiguous(memory_format=memory_format)

    with torch.inference_mode():
        torch.testing.assert_close(graph(source), network(source), rtol=0, atol=1e-5)


def test_threads_that_share_a_graph_take_turns(tmp_path):
    network, sources = build_network(), [torch.rand(1, 1, n, 9, 8) for n in (12, 16, 20, 24)]
    graph = Graph(export_graph(network, torch.rand(1, 1, 8, 8, 8), tmp_path), precision="fp32")

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(graph, sources * 8))

    with torch.inference_mode():
        for source, result in zip(sources * 8, found, strict=True):
            torch.testing.assert_close(result, network(source), rtol=1e-4, atol=1e-5)


def test_an_export_is_done_once_for_each_set_of_weights(tmp_path, monkeypatch):
    example = torch.rand(1, 1, 4, 4, 4)
    first = export_graph(build_network(), example, tmp_path)
    other = export_graph(build_network(seed=1), example, tmp_path)
    monkeypatch.setattr(module.tempfile, "mkdtemp", lambda **_: pytest.fail("exported again"))

    assert export_graph(build_network(), example, tmp_path) == first
    assert other != first
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["graph.bin", "graph.xml", "files.json"])
def test_an_altered_graph_is_exported_again(name, tmp_path):
    network, example = build_network(), torch.rand(1, 1, 4, 4, 4)
    path = export_graph(network, example, tmp_path)
    expected = path.with_name("graph.bin").read_bytes()
    path.with_name(name).write_bytes(b"{}"[:1])

    assert export_graph(network, example, tmp_path) == path
    assert path.with_name("graph.bin").read_bytes() == expected


def test_an_export_that_fails_leaves_nothing(tmp_path):
    class Unknown(nn.Module):
        def forward(self, source):
            return source.unfold(-1, 3, 1)

    with pytest.raises(RuntimeError, match="unfold"):
        export_graph(Unknown(), torch.rand(1, 1, 4, 4, 4), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_without_openvino_the_message_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "has_openvino", lambda: False)

    with pytest.raises(MissingExtraError, match=r"medtranslate\[openvino\]"):
        export_graph(build_network(), torch.rand(1, 1, 4, 4, 4), tmp_path)


def test_graphs_are_kept_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert graph_folder() == tmp_path / "medtranslate" / "graphs"
