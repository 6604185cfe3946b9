"""A plugin in Python: `wasi:http` by its generated bindings, `wit_world`, and no other library.

Each request meets the interpreter as the build left it, with this module imported; what a request changes,
no other sees. A call may block: only its own request waits. Import at the top: there are no files later.
"""

import json
import re
import time
from contextlib import contextmanager
from typing import Iterator
from urllib.parse import parse_qs, urlsplit

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import outgoing_handler
from wit_world.imports.streams import InputStream, OutputStream, StreamError_Closed
from wit_world.imports.types import (
    ErrorCode,
    ErrorCode_HttpRequestUriInvalid,
    Fields,
    IncomingRequest,
    IncomingResponse,
    Method_Get,
    Method_Post,
    OutgoingBody,
    OutgoingRequest,
    OutgoingResponse,
    ResponseOutparam,
    Scheme_Http,
    Scheme_Https,
)


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, out: ResponseOutparam) -> None:
        path, _ = target_of(request)
        if path not in HANDLERS:
            return text(out, 404, "not found\n")
        method, handler = HANDLERS[path]
        if not isinstance(request.method(), method):
            return text(out, 405, "method not allowed\n", {"allow": method.__name__.removeprefix("Method_").upper()})
        handler(request, out)


def welcome(_request: IncomingRequest, out: ResponseOutparam) -> None:
    text(out, 200, "Hello from Python!\n")


def greet(request: IncomingRequest, out: ResponseOutparam) -> None:
    with request.consume() as body, body.stream() as stream:
        content = read(stream)
    try:
        name = json.loads(content)["name"]
        if not isinstance(name, str):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        return answer_json(out, 400, {"error": "the body must be a JSON object with a string `name`"})
    answer_json(out, 200, {"greeting": f"Hello, {name}!"})


def count(_request: IncomingRequest, out: ResponseOutparam) -> None:
    with answer(out, 200, {"content-type": "text/event-stream"}) as stream:
        for event in range(1, 6):
            if event > 1:
                time.sleep(0.05)
            write(stream, f"data: {event}\n\n".encode())


def echo(request: IncomingRequest, out: ResponseOutparam) -> None:
    with request.consume() as body, body.stream() as source:
        with answer(out, 200, type_of(request)) as sink:
            pass_on(source, sink)


def relay(request: IncomingRequest, out: ResponseOutparam) -> None:
    _, query = target_of(request)
    try:
        response = fetch(parse_qs(query).get("url", [""])[0])
    except Err as error:
        return text(out, 502, name_of(error.value) + "\n")
    with response.consume() as body, body.stream() as source:
        with answer(out, response.status(), type_of(response)) as sink:
            pass_on(source, sink)


def trail(_request: IncomingRequest, out: ResponseOutparam) -> None:
    with answer(out, 200, {"content-type": "text/plain", "trailer": "x-sum"}, {"x-sum": "42"}) as stream:
        write(stream, b"trailing\n")


HANDLERS = {
    "/": (Method_Get, welcome),
    "/json": (Method_Post, greet),
    "/stream": (Method_Get, count),
    "/echo": (Method_Post, echo),
    "/fetch": (Method_Get, relay),
    "/trailers": (Method_Get, trail),
}


@contextmanager
def answer(
    out: ResponseOutparam, status: int, headers: dict[str, str], trailers: dict[str, str] | None = None
) -> Iterator[OutputStream]:
    """Sends the head at once, and the body as it is written. What raises on the way breaks the answer off."""
    response = OutgoingResponse(fields(headers))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(out, Ok(response))
    with body.write() as stream:
        yield stream
    OutgoingBody.finish(body, fields(trailers) if trailers else None)


def text(out: ResponseOutparam, status: int, body: str, headers: dict[str, str] | None = None) -> None:
    with answer(out, status, {**(headers or {}), "content-type": "text/plain"}) as stream:
        write(stream, body.encode())


def answer_json(out: ResponseOutparam, status: int, value: object) -> None:
    with answer(out, status, {"content-type": "application/json"}) as stream:
        write(stream, json.dumps(value, separators=(",", ":")).encode())


def fetch(url: str) -> IncomingResponse:
    """Asks another server, and waits for the head of what it answers. Raises `Err` with an error code."""
    request = OutgoingRequest(Fields())
    try:
        parts = urlsplit(url)
        request.set_scheme({"http": Scheme_Http(), "https": Scheme_Https()}[parts.scheme])
        request.set_authority(parts.netloc)
        request.set_path_with_query(parts._replace(scheme="", netloc="", fragment="").geturl() or "/")
    except (Err, KeyError, ValueError):
        raise Err(ErrorCode_HttpRequestUriInvalid()) from None
    future = outgoing_handler.handle(request, None)
    with future.subscribe() as ready:
        ready.block()
    answered = future.get().value
    if isinstance(answered, Err):
        raise answered
    return answered.value


def name_of(code: ErrorCode) -> str:
    """`ErrorCode_HttpRequestDenied` as the interface spells it: `HTTP-request-denied`."""
    words = re.findall("[A-Z][a-z]+", type(code).__name__.removeprefix("ErrorCode_"))
    return "-".join(word.upper() if word in ("Dns", "Http", "Ip", "Tls", "Uri") else word.lower() for word in words)


def fields(entries: dict[str, str]) -> Fields:
    # Values are bytes, which Latin-1 turns to text and back unchanged.
    return Fields.from_list([(name, value.encode("latin-1")) for name, value in entries.items()])


def target_of(request: IncomingRequest) -> tuple[str, str]:
    path, _, query = (request.path_with_query() or "").partition("?")
    return path, query


def type_of(message: IncomingRequest | IncomingResponse) -> dict[str, str]:
    return {"content-type": value.decode("latin-1") for value in message.headers().get("content-type")[:1]}


def read(stream: InputStream) -> bytes:
    content = bytearray()
    try:
        while True:
            content += stream.blocking_read(65536)
    except Err as error:
        # The end of a stream is an error too.
        if isinstance(error.value, StreamError_Closed):
            return bytes(content)
        raise


def write(stream: OutputStream, content: bytes) -> None:
    # A stream takes at most 4096 bytes a call.
    for start in range(0, len(content), 4096):
        stream.blocking_write_and_flush(content[start : start + 4096])


def pass_on(source: InputStream, sink: OutputStream) -> None:
    try:
        while True:
            sink.blocking_splice(source, 65536)
    except Err as error:
        if not isinstance(error.value, StreamError_Closed):
            raise
