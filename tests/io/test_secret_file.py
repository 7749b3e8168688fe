import pytest

from medtranslate.errors import ConfigError
from medtranslate.io.secret_file import read_secret, secret_path


def test_a_secret_is_made_once(tmp_path):
    path = tmp_path / "new" / "secret"
    assert read_secret(path, make=lambda: b"first") == b"first"
    assert read_secret(path, make=lambda: b"second") == b"first"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_a_secret_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0o604)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_secret(path)


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="XDG_CONFIG_HOME"):
        read_secret(tmp_path / "file" / "secret", make=lambda: b"x")


def test_secrets_lie_in_the_settings_folder(own_settings):
    assert secret_path("a.key") == own_settings / "medtranslate" / "a.key"
