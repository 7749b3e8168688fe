import pytest

from medtranslate.io import documents
from medtranslate.io.documents import read_document


def test_an_object_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1, "ä"]}', encoding="utf-8")
    assert read_document(tmp_path / "a.json") == {"a": [1, "ä"]}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[" * 200_000, "deep"),
        (b"[1]", "list"),
        (b"{", "Expecting"),
        (b'{"\xff": 1}', "utf-8"),
    ],
)
def test_anything_else_is_a_value_error(tmp_path, data, why):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(ValueError, match=why):
        read_document(tmp_path / "a.json")


def test_a_file_that_is_too_large_is_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "LARGEST_DOCUMENT_BYTES", 10)
    (tmp_path / "a.json").write_text('{"a": 12345678}')
    with pytest.raises(ValueError, match="more than 10 bytes"):
        read_document(tmp_path / "a.json")
