"""The page's endpoints as tools of the Model Context Protocol, through its own client."""

import asyncio
import base64
import io
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_api import ENDPOINTS
from test_page import Studio, running_studio

from mmdit.editor import Editor, EditRequest

pytestmark = pytest.mark.shipped


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    try:
        installed = version("mcp")
    except PackageNotFoundError:
        pytest.skip("mcp is not installed; pip install -r tests/requirements.txt")
    if int(installed.partition(".")[0]) >= 2:
        pytest.skip(f"Gradio does not know mcp {installed}; pip install -r tests/requirements.txt")
    with running_studio(tmp_path_factory.mktemp("studio") / "outputs") as studio:
        yield studio


def in_session(studio: Studio, *steps: Any) -> list[Any]:
    """What each of ``steps``, given a session, answers."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def run() -> list[Any]:
        async with (
            streamablehttp_client(f"{studio.address}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return [await step(session) for step in steps]

    return asyncio.run(run())


def data_address(file: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"


def test_every_endpoint_is_a_tool_that_explains_its_arguments(studio: Studio) -> None:
    (listed,) = in_session(studio, lambda session: session.list_tools())
    tools = {tool.name: tool for tool in listed.tools}
    assert set(tools) == {endpoint.strip("/") for endpoint in ENDPOINTS}
    edit = tools["edit"].inputSchema
    assert edit["required"] == ["picture", "instruction"]
    assert edit["properties"]["picture"]["type"] == "string"
    assert all(argument["description"] for argument in edit["properties"].values())
    assert all(tool.description for tool in tools.values())


def test_an_edit_is_the_editors_own(studio: Studio, editor: Editor, photograph: Image.Image, tmp_path: Path) -> None:
    photograph.save(tmp_path / "photograph.png")
    asked = {"picture": data_address(tmp_path / "photograph.png"), "instruction": "make it darker", "seed": 5}
    made, refused, fetched = in_session(
        studio,
        lambda session: session.call_tool("edit", asked),
        lambda session: session.call_tool("edit", {**asked, "instruction": " "}),
        lambda session: session.call_tool("edit", {**asked, "picture": "http://127.0.0.1:9/picture.png"}),
    )
    picture = Image.open(io.BytesIO(base64.b64decode(made.content[0].data)))
    expected = editor.edit(EditRequest([photograph], "make it darker", seed=5)).image
    assert np.array_equal(np.asarray(picture), np.asarray(expected))
    assert (refused.isError, "instruction is empty" in refused.content[0].text) == (True, True)
    assert (fetched.isError, "not fetched from addresses" in fetched.content[0].text) == (True, True)
