"""Bodies that no provider should send, and the many ways in which a recorded one can be damaged."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

_HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "white space": b" \r\n\t ",
    "an open brace": b"{",
    "a closing brace": b"}",
    "an empty object": b"{}",
    "an empty array": b"[]",
    "an array of objects": b'[{"code":200,"data":{"taskId":"t","state":"success"}}]',
    "null": b"null",
    "true": b"true",
    "a number": b"200",
    "a negative number": b"-1",
    "a text": b'"success"',
    "an empty text": b'""',
    "an object in a text": b'"{\\"code\\":200}"',
    "NaN": b"NaN",
    "minus infinity": b"-Infinity",
    "a code that is NaN": b'{"code":NaN,"status":"completed","id":"t"}',
    "a code beyond any float": b'{"code":1e999}',
    "a code of 4000 digits": b'{"code":' + b"9" * 4000 + b',"id":' + b"9" * 4000 + b',"status":1}',
    "a code of 100000 digits": b'{"code":' + b"9" * 100_000 + b"}",
    "a very small number": b'{"code":1e-999,"progress":-0.0}',
    "arrays 100000 deep": b"[" * 100_000,
    "arrays 100000 deep, closed": b"[" * 100_000 + b"]" * 100_000,
    "objects 100000 deep": b'{"data":' * 100_000,
    "objects 100 deep": b'{"data":' * 100 + b"1" + b"}" * 100,
    "objects 60 deep": b'{"data":' * 60 + b"1" + b"}" * 60,
    "text 60 layers deep": b'{"data":"' + b"[" * 60 + b"]" * 60 + b'"}',
    "a lone surrogate": b'{"code":200,"msg":"\\ud800","data":{"taskId":"\\udfff"}}',
    "a NUL in a text": b'{"code":200,"msg":"\\u0000","data":{"taskId":"\\u0000"}}',
    "raw NULs": b"\x00" * 64,
    "a raw control character": b'{"msg":"a\x01b"}',
    "not UTF-8": b'{"msg":"\xff\xfe"}',
    "overlong UTF-8": b'{"msg":"\xc0\xaf"}',
    "UTF-8 with a mark": b'\xef\xbb\xbf{"code":200}',
    "UTF-16": '{"code":200}'.encode("utf-16"),
    "gzip": gzip.compress(b'{"code":200,"data":{"taskId":"t","state":"success"}}'),
    "zlib": b"x\x9c\xab\xae\x05\x00\x01u\x00\xf9",
    "HTML": _HTML,
    "HTML of a challenge": b"<!DOCTYPE html><title>Just a moment...</title>",
    "XML": b'<?xml version="1.0"?><Error><Code>SlowDown</Code></Error>',
    "a form": b"code=200&data%5BtaskId%5D=t&state=success",
    "multipart": b'--x\r\nContent-Disposition: form-data; name="code"\r\n\r\n200\r\n--x--\r\n',
    "server-sent events": b'data: {"code":200,"data":{"state":"success"}}\n\n',
    "JSON lines": b'{"code":200}\n{"code":200}\n',
    "JSONP": b'callback({"code":200});',
    "a trailing comma": b'{"code":200,}',
    "single quotes": b"{'code':200}",
    "a comment": b'{"code":200 /* fine */}',
    "undefined": b'{"code":undefined}',
    "keys without quotes": b"{code:200}",
    "keys that stand twice": b'{"code":200,"code":500,"status":"x","status":[]}',
    "an empty key": b'{"":{"":""}}',
    "a picture": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "a text of 200000 characters": b'{"msg":"' + b"a" * 200_000 + b'"}',
    "an id of 200000 characters": b'{"id":"' + b"a" * 200_000 + b'","data":{"taskId":"' + b"b" * 200_000 + b'"}}',
    "20000 keys": json.dumps({f"k{n}": n for n in range(20_000)}).encode(),
    "20000 items": json.dumps({"data": [None] * 20_000, "output": [{}] * 9}).encode(),
    "a code that is an array": b'{"code":[200],"msg":["ok"],"data":[{"taskId":"t"}]}',
    "a code that is an object": b'{"code":{"code":200},"message":{},"data":{}}',
    "a code that is true": b'{"code":true,"data":{"taskId":true,"state":true,"status":true}}',
    "a code in words": b'{"code":"two hundred","data":{"taskId":"t","task_id":"t","state":"x","status":"x"}}',
    "a code of other digits": '{"code":"²⁰⁰","data":{"taskId":"t","state":"success"}}'.encode(),
    "a negative code": b'{"code":-200,"data":{"taskId":"t"}}',
    "data that is an array": b'{"code":200,"data":[]}',
    "data that is a text": b'{"code":200,"data":"success"}',
    "data that is a number": b'{"code":200,"data":1}',
    "data that is null": b'{"code":0,"message":"ok","data":null}',
    "an error that is an array": b'{"error":[{"code":1}]}',
    "an error that is true": b'{"error":true}',
    "an error of wrong types": b'{"error":{"code":{},"message":[],"request_id":{}}}',
    "an error code of other digits": '{"error":{"code":"²0003","message":"x"}}'.encode(),
    "ids of wrong types": b'{"id":{},"task_id":[],"taskId":{},"data":{"taskId":[],"task_id":{},"id":[]}}',
    "words of wrong types": b'{"id":"t","status":["completed"],"data":{"status":{},"state":[]},"code":0}',
    "empty words": b'{"id":"t","status":"","code":0,"data":{"taskId":"t","task_id":"t","state":"","status":""}}',
    "blank ids": b'{"id":"  ","status":" ","code":200,"data":{"taskId":" ","task_id":"\\t","state":" "}}',
}

HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"retry-after": ""},
    {"retry-after": "soon"},
    {"retry-after": "-1"},
    {"retry-after": "1.5"},
    {"retry-after": "9" * 5000},
    {"retry-after": "\u0662"},
    {"retry-after": "Mon, 99 Foo 99999 99:99:99 GMT"},
    {"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT", "content-type": "\ud800"},
)

_WRONG: tuple[Any, ...] = (None, True, 0, -1, 10**30, 1.5, "", " ", "x", "\ud800\x00", "{", [], {}, [[None]], {"x": 1})


def wrappings(body: bytes) -> dict[str, bytes]:
    """A good body spoilt as a whole: whatever it said, these do not say it."""
    half = len(body) // 2
    return {
        "cut in half": body[:half],
        "without its end": body[:-1],
        "without its beginning": body[1:],
        "said twice": body + body,
        "in an array": b"[" + body + b"]",
        "in a text": json.dumps(body.decode()).encode(),
        "under a key": b'{"body":' + body + b"}",
        "with text behind": body + b"<!-- cached -->",
        "with NaN in it": b'{"x":NaN,' + body[1:],
        "compressed": gzip.compress(body),
        "in UTF-16": body.decode().encode("utf-16"),
        "with a broken character": body[:half] + b"\xff" + body[half:],
        "with a mark": b"\xef\xbb\xbf" + body,
    }


def damaged(value: Any) -> Iterator[Any]:
    """Every single damage to a JSON value: a field deleted, renamed or of a wrong type.

    Also inside texts that are JSON objects themselves.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            rest = {name: other for name, other in value.items() if name != key}
            yield rest
            yield {**rest, f"{key}_": item}
            yield from ({**value, key: new} for new in _changed(item))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from ([*value[:index], new, *value[index + 1 :]] for new in _changed(item))
    elif isinstance(value, str) and value.startswith("{"):
        try:
            inside = json.loads(value)
        except ValueError:
            return
        yield from (json.dumps(new) for new in damaged(inside))


def _changed(item: Any) -> Iterator[Any]:
    yield from (wrong for wrong in _WRONG if wrong != item or type(wrong) is not type(item))
    yield from damaged(item)


def texts(value: Any) -> set[str]:
    """Every text in a JSON value, without the white space around it."""
    if isinstance(value, str):
        return {value.strip()}
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*(texts(item) for item in inside))


def with_word(value: Any, word: str, other: str) -> Any:
    """The value with every text that is `word` replaced."""
    if isinstance(value, dict):
        return {key: with_word(item, word, other) for key, item in value.items()}
    if isinstance(value, list):
        return [with_word(item, word, other) for item in value]
    return other if isinstance(value, str) and value.strip() == word else value
