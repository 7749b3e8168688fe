"""How a sound file is changed: bytes, numbers, words, and pieces of other files."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
_WORDS = (
    b"null", b"true", b"[]", b"{}", b'""', b"-1", b"0", b"1e999", b"NaN", b"-0.0", b"1e-320",
    b"9" * 5000, b"[" * 300, b'{"a":' * 300, b"../", b"/etc/passwd", b"\xff", b"\0",
    b"\xed\xa0\x80",
    b"!!python/name:os.system ", b"&a ", b"*a", b"\n", b": ", b"- ", b"\xff\xff\xff\xff",
    b"\\ud800", b"\xfe\xff\x00\xe0", b"SQ\0\0", b"(1,0,0)", b"nan", b"none", b"\r\n\r\n",
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, examples: tuple[tuple[str, bytes], ...]) -> tuple[str, bytes]:
    """A name and the bytes of one example, changed in one to six places."""
    name, data = draw(st.sampled_from(examples))
    content = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        _change(draw, content, examples)
    return name, bytes(content)


def _change(draw: st.DrawFn, content: bytearray, examples: tuple[tuple[str, bytes], ...]) -> None:
    # Headers stand at the beginning, and say what becomes of all the rest.
    end = draw(st.sampled_from((64, 400, 2000, len(content))))
    start = draw(st.integers(0, min(end, len(content))))
    length = draw(st.sampled_from((0, 1, 1, 2, 4, 8, 64, 1000)))
    kind = draw(st.sampled_from(("bit", "bytes", "number", "word", "cut", "repeat", "splice")))
    if kind == "bit" and start < len(content):
        content[start] ^= 1 << draw(st.integers(0, 7))
    elif kind == "bytes":
        content[start : start + length] = draw(st.binary(max_size=8))
    elif kind == "number":
        number = draw(st.sampled_from(_NUMBERS))
        size = draw(st.sampled_from((2, 4, 8)))
        order = draw(st.sampled_from(("little", "big")))
        content[start : start + size] = (number % 2 ** (8 * size)).to_bytes(size, order)
    elif kind == "word":
        content[start : start + length] = draw(st.sampled_from(_WORDS))
    elif kind == "cut":
        del content[start : draw(st.sampled_from((start + length, len(content))))]
    elif kind == "repeat":
        piece = bytes(content[start : start + max(length, 1)])
        content[start:start] = piece * draw(st.sampled_from((1, 2, 10, 100)))
    elif kind == "splice":
        _, other = draw(st.sampled_from(examples))
        place = draw(st.integers(0, len(other)))
        content[start : start + length] = other[place : place + max(length, 4)]
    else:
        content[start:start] = struct.pack("<d", draw(st.floats()))
