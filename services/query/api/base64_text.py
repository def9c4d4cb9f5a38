"""Bytes written as text, in the ways that people do: base64 in either alphabet, padded or not, wrapped, data: URLs."""

import binascii
from urllib.parse import unquote_to_bytes

from services.query.api.json_documents import bad

_WRAPPING = b" \t\r\n"
_STANDARD, _URL_SAFE = b"+/", b"-_"
_TO_STANDARD = bytes.maketrans(_URL_SAFE, _STANDARD)
_SCHEME, _BASE64 = "data:", ";base64"
_ADVICE = (
    "Send base64, of the standard or the URL-safe alphabet, with or without padding and line breaks, or a data: URL "
    "such as 'data:image/png;base64,iVBORw0KGgo='"
)


def decode(text: str) -> bytes:
    """The bytes that a text stands for.

    Raises:
        InvalidInput: it is written in none of these ways.
    """
    if text[: len(_SCHEME)].lower() == _SCHEME:
        return _decode_url(text)
    return _decode_base64(text.encode(errors="replace"))


def _decode_url(text: str) -> bytes:
    head, comma, data = text.partition(",")
    if not comma:
        raise _invalid("the data: URL has no comma before its data")
    if head.rstrip().lower().endswith(_BASE64):
        return _decode_base64(unquote_to_bytes(data))
    return unquote_to_bytes(data)


def _decode_base64(text: bytes) -> bytes:
    data = text.translate(None, _WRAPPING)
    if _has_any(data, _URL_SAFE):
        if _has_any(data, _STANDARD):
            raise _invalid("it mixes the standard alphabet, with '+' and '/', and the URL-safe one, with '-' and '_'")
        data = data.translate(_TO_STANDARD)
    if not data.endswith(b"="):
        data += b"=" * (-len(data) % 4)
    try:
        return binascii.a2b_base64(data, strict_mode=bool(data))
    except ValueError as error:
        raise _invalid(str(error)) from None


def _has_any(data: bytes, signs: bytes) -> bool:
    return any(sign in data for sign in signs)


def _invalid(why: str) -> Exception:
    return bad(f"The base64-encoded string is invalid: {why}. {_ADVICE}")
