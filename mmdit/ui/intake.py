"""What comes in from outside: files that were uploaded, and nothing else.

Gradio fetches any public address that a browser or a program sends in place of a file, and answers what it can't take
with nothing but "Error". Here no address is fetched, and each refusal is a sentence.
"""

import base64
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio import processing_utils
from gradio.components.api_component import Api
from gradio.utils import get_upload_folder
from gradio_client.utils import is_file_obj_with_meta, is_http_url_like, traverse
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mmdit.runtime.jobs import QueueFullError

log = logging.getLogger(__name__)

SERVED = "/gradio_api/file="
_FETCHED = re.compile(rf"(?:{SERVED}|/gradio_api/file/)https?://")  # the second is the route's former name
NOT_UPLOADED = "that file was not uploaded; upload it first"
NOT_FETCHED = "files are not fetched from addresses; upload it, or send it as a data: address"


class FileSet(set[str]):
    """Names of temporary files; whoever goes through them meets those that were there at the beginning.

    Gradio's tidying goes through them in a thread while uploads add to them, and ends for good with its first error.
    """

    def __iter__(self) -> Iterator[str]:
        return iter(frozenset(self))


class Studio(gr.Blocks):
    """The page, but what is sent to it is looked at before Gradio takes it, and temporary files are tidied up."""

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        components = [block for block in self.blocks.values() if isinstance(block, gr.components.Component)]
        for component in components:
            component.temp_files = FileSet(component.temp_files)
        self.upload_file_set = FileSet(self.upload_file_set)
        self.temp_file_sets = [self.upload_file_set, *(component.temp_files for component in components)]

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *rest: Any, **more: Any) -> list[Any]:
        """Raises `gr.Error`: a file that was not uploaded, an address, or inputs that are not what is asked for."""
        try:
            inputs = traverse(inputs, _with_local_path, is_file_obj_with_meta)
            left_out = block_fn.inputs[len(inputs) :]
            if all(isinstance(argument, Api) for argument in left_out):  # plain HTTP, which knows no defaults
                inputs = [*inputs, *(argument.value for argument in left_out)]
            return await super().preprocess_data(block_fn, inputs, *rest, **more)
        except gr.Error:
            raise
        except Exception as error:
            log.info("inputs were refused", exc_info=error)
            raise refusal("what was sent is not what is asked for here; the page's API view says what is") from error


class OwnFilesOnly:
    """ASGI middleware: Gradio would also pass on files of any public address, and this does not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _FETCHED.search(scope["path"]):
            await PlainTextResponse(NOT_FETCHED, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def refusal(sentence: str) -> gr.Error:
    """What to raise for what is the asker's to mend; nothing goes to the log."""
    return gr.Error(sentence, print_exception=False)


def uploaded(sent: Any, uploads: Path | None = None) -> Path:
    """The local file behind what was sent for one.

    Args:
        sent: Gradio's file data, the address under which this page serves an upload, or a data: address.
        uploads: the only folder from which files are taken; None for Gradio's own.

    Raises:
        gr.Error: anything else.
    """
    folder = Path(get_upload_folder() if uploads is None else uploads).resolve()
    if isinstance(sent, str) and sent.startswith("data:"):
        return _decoded(sent, folder)
    path = sent.get("path") if isinstance(sent, dict) else sent
    if not isinstance(path, str):
        raise refusal(NOT_UPLOADED)
    path = _local(path)
    try:
        file = Path(path).resolve()
        if file.is_relative_to(folder) and file.is_file():
            return file
    except (OSError, ValueError):  # what no file system takes for a name
        pass
    raise refusal(NOT_UPLOADED)


@contextmanager
def sentences() -> Iterator[None]:
    """Errors that say what to do reach whoever asked."""
    try:
        yield
    except gr.Error:  # a ValueError too
        raise
    except (ValueError, QueueFullError) as error:
        raise refusal(str(error)) from error
    except Exception as error:
        log.exception("an endpoint failed")
        raise refusal("something unexpected happened; the studio's log has the details") from error


def _with_local_path(file: dict[str, Any]) -> dict[str, Any]:
    return {**file, "path": str(uploaded(file))}


def _local(path: str) -> str:
    """The path in an address of this page, which it may be reached under by many names; the file is checked anyway."""
    if not is_http_url_like(path):
        return path
    _, served, local = path.partition(SERVED)
    if not served or is_http_url_like(local):
        raise refusal(NOT_FETCHED)
    return unquote(local)


def _decoded(address: str, folder: Path) -> Path:
    kind, _, text = address.partition(",")
    try:
        if not kind.endswith(";base64"):
            raise ValueError
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise refusal("that data: address holds no base64; upload the file instead") from error
    return Path(processing_utils.save_bytes_to_cache(content, "picture", str(folder)))
