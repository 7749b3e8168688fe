import pytest

from medtranslate.errors import ConfigError
from medtranslate.watermark import WatermarkKey, find_watermark_key, read_watermark_key


def test_the_key_is_made_once_for_its_owner_alone():
    path = find_watermark_key()
    first = read_watermark_key(path)
    assert read_watermark_key(find_watermark_key()) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(first.secret) == 32


def test_the_identity_tells_keys_apart_and_not_what_they_are():
    one, other = WatermarkKey(bytes(32)), WatermarkKey(bytes(31) + b"\1")
    assert one.identity != other.identity
    assert len(one.identity) == 16
    assert "0000" not in one.identity
    assert "secret" not in repr(one)


@pytest.mark.parametrize("text", ["", "nonsense", "ab" * 31, "AB" * 32, "ab" * 33])
def test_a_file_that_holds_no_key_is_refused(tmp_path, text):
    path = tmp_path / "watermark.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        read_watermark_key(path)


def test_a_key_that_is_not_there_is_asked_for_and_not_made(tmp_path):
    with pytest.raises(ConfigError, match="Give where it lies"):
        read_watermark_key(tmp_path / "watermark.key")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="expected 32"):
        WatermarkKey(b"short")
