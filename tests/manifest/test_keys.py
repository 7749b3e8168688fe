import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from medtranslate.errors import ConfigError
from medtranslate.manifest.keys import is_signed, load_signing_key, public_text, sign_content


def test_the_key_is_made_once_for_its_owner_alone(tmp_path):
    path = tmp_path / "new" / "key.pem"
    first = load_signing_key(path)
    assert public_text(load_signing_key(path)) == public_text(first)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["key.pem"]


def test_a_signature_is_plain_ed25519_and_of_this_content_alone(tmp_path):
    key = load_signing_key(tmp_path / "key.pem")
    signed, public = sign_content(key, {"b": 1, "a": "ü"}), public_text(key)
    other = public_text(load_signing_key(tmp_path / "other.pem"))
    independent = Ed25519PublicKey.from_public_bytes(base64.b64decode(public))
    message = b'{"a":"\\u00fc","b":1,"public_key":"' + public.encode() + b'"}'
    independent.verify(base64.b64decode(signed["signature"]), message)
    assert is_signed(signed)
    assert not is_signed(signed | {"b": 2})
    assert not is_signed(signed | {"c": 1})
    for broken in ({"public_key": other}, {"public_key": "nonsense"}, {"signature": "ä"}):
        assert not is_signed(signed | broken)
    assert not is_signed({"a": "unsigned"})


def test_a_key_that_others_may_read_is_refused(tmp_path):
    load_signing_key(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_signing_key(tmp_path / "key.pem")


def test_a_file_that_is_no_key_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "key.pem"
    path.write_text("nonsense")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="Remove it"):
        load_signing_key(path)
