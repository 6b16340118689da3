"""How a command calls a search server, and answers a person or a machine."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console

from eacps.cli.composition import Composition
from eacps.cli.interrupts import run_cancellable
from eacps.cli.remote import PATIENCE, translated_errors
from eacps.cli.streams import print_json, result_console
from eacps.client import AsyncClient

T = TypeVar("T")
DEFAULT_SERVER = "127.0.0.1:50051"


@dataclass(frozen=True)
class ServerCaller:
    """Calls a server.

    Args:
        composition: Names the server and its key.
        console: For people; standard error.
        as_json: Answer in JSON.
        results: Where answers go.
    """

    composition: Composition
    console: Console
    as_json: bool = False
    results: Console = field(default_factory=result_console)

    def call(self, work: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        """Run calls to their end, or until Ctrl-C.

        Raises:
            CommandFailed: The server cannot be reached, or ended a call with an error.
        """
        here = self.composition
        server = here.server or DEFAULT_SERVER

        async def run() -> T:
            async with AsyncClient(server, tls=here.server_tls, api_key=here.api_key, retries=PATIENCE) as client:
                return await work(client)

        with translated_errors(server):
            return run_cancellable(run)

    def answer(self, message: Message, text: str) -> None:
        """Print a message as JSON, or the text that stands for it."""
        if self.as_json:
            print_json(json_of(message))
        else:
            print(text)


def json_of(message: Message) -> dict[str, Any]:
    """Return the JSON form of a message."""
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found
