"""The page as a whole: its frame, its looks, and how it is served.

Nothing on it comes from another machine: system fonts, no analytics, no sharing.
"""

import importlib.util
import io
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from mmdit.catalog import ASSETS, ModelEntry
from mmdit.lora.presets import PRESETS_FOLDER, Presets
from mmdit.runtime.jobs import Jobs
from mmdit.ui import markup
from mmdit.ui.api import Api
from mmdit.ui.api_results import ResultsApi
from mmdit.ui.edit_tab import EditTab
from mmdit.ui.explorer import ExplorerTab
from mmdit.ui.explorer_payload import Shelf
from mmdit.ui.history_tab import HistoryTab
from mmdit.ui.intake import OwnFilesOnly, Studio
from mmdit.ui.language import SpokenLanguage, head, mark, translations
from mmdit.ui.lora_shelf import LoraShelf
from mmdit.ui.lora_tab import LoraPanel, LoraTab
from mmdit.ui.model_tab import ModelTab

EXAMPLES = ASSETS / "examples"
STYLE = Path(__file__).with_name("style.css")
TIDY_SECONDS, KEEP_SECONDS = 60 * 60, 24 * 60 * 60  # how often Gradio's copies are looked through, and how long kept
MAX_UPLOAD = "2gb"  # large LoRAs; how large a picture may be is for `mmdit.images` to say
NO_MCP = "MCP is off: the mcp package that is installed does not suit this Gradio; pip install 'gradio[mcp]'"

CONTROL_ENTER = """() => document.addEventListener('keydown', event => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && event.target.closest('#instruction')) {
    event.preventDefault();
    document.querySelector('#edit').click();
  }
}, true)"""


def serve(jobs: Jobs, model: ModelEntry, host: str, port: int, presets: Presets | None = None) -> None:
    """Show the page at once, and serve it until interrupted.

    Args:
        model: the one that ``jobs`` loads.
        presets: the LoRAs on show, those of the editor; None for those that come with the program.

    Raises:
        ValueError: the model can't be loaded.
    """
    presets = Presets([PRESETS_FOLDER]) if presets is None else presets
    with tempfile.TemporaryDirectory(prefix="mmdit-page-", ignore_cleanup_errors=True) as folder:
        page = _build(jobs, model, presets, Path(folder))
        address = _launch(page, [jobs.history.folder, EXAMPLES, Path(folder)], host, port)
        print(f"MMDiT Studio is at {address}", flush=True)
        if page.mcp_server:
            print(f"MCP tools are at {address}gradio_api/mcp/", flush=True)
        elif page.mcp_error:
            print(NO_MCP, file=sys.stderr)
        if error := jobs.wait_until_loaded():
            raise ValueError(error)
        page.block_thread()


def _build(jobs: Jobs, model: ModelEntry, presets: Presets, folder: Path) -> gr.Blocks:
    """The page; small pictures and the explorer's bytes pass through ``folder``."""
    shelf = LoraShelf(presets, jobs, model, Path(get_upload_folder()))
    recordings = Shelf(jobs.history, folder)
    tidy = (TIDY_SECONDS, KEEP_SECONDS)
    can_change = "SPACE_ID" not in os.environ
    with Studio(title="MMDiT Studio", analytics_enabled=False, delete_cache=tidy) as page:
        header = gr.HTML(markup.header(model.name), js_on_load=markup.MODEL_SCRIPT)
        panel = LoraPanel(shelf, jobs, folder)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(mark("Edit"), id="edit"):
                edit = EditTab(page, jobs, model, EXAMPLES, shelf, panel.stack, recordings)
            with gr.Tab(mark("LoRA"), id="loras"):
                LoraTab(page, tabs, edit, panel, folder)
            with gr.Tab(mark("Look inside"), id="inside") as inside:
                explorer = ExplorerTab(page, recordings)
            with gr.Tab(mark("History"), id="history") as history:
                HistoryTab(history, tabs, edit, folder, Path(get_upload_folder()))
            with gr.Tab(mark("Model"), id="model") as about:
                ModelTab(page, about, jobs, model, header, can_change)
        Api(jobs, edit.model_in_use, shelf, can_change)
        ResultsApi(jobs, lambda: shelf.files)
        quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        inside.select(lambda view: explorer.show(edit.shown_name(view)), [edit.view], [explorer.view], **quiet)
        explorer.view.submit(edit.take_map, [edit.view], edit.restored, **quiet)
        explorer.view.submit(lambda: gr.update(selected="edit"), None, [tabs], **quiet)
        edit.result.look_inside.click(lambda: gr.update(selected="inside"), None, [tabs], **quiet)
    return page


def _launch(page: gr.Blocks, folders: list[Path], host: str, port: int) -> str:
    """Serve the page and the files of some folders; returns the address."""
    with redirect_stdout(io.StringIO()):  # where MCP is, Gradio says in its own way
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            theme=_theme(),
            css_paths=STYLE,
            js=CONTROL_ENTER,
            head=head(),
            i18n=translations(),
            allowed_paths=[str(folder) for folder in folders],
            max_file_size=MAX_UPLOAD,
            footer_links=["api"],
            run_history=False,
            share=False,
            ssr_mode=False,
            pwa=False,
            enable_monitoring=False,
            app_kwargs={"middleware": [Middleware(OwnFilesOnly), Middleware(SpokenLanguage)]},
            mcp_server=importlib.util.find_spec("mcp") is not None,
            quiet=True,
            prevent_thread_lock=True,
        )
    return address


def _theme() -> gr.themes.Base:
    grey = gr.themes.Color(
        c50="#fafaf9", c100="#f3f3f1", c200="#e5e5e2", c300="#d2d2ce", c400="#a3a39e", c500="#666660",
        c600="#565651", c700="#3b3b38", c800="#262624", c900="#1b1b1a", c950="#121211",
    )  # fmt: skip
    system = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue=gr.themes.colors.teal, neutral_hue=grey,
        radius_size=gr.themes.sizes.radius_lg, text_size=gr.themes.sizes.text_md,
        font=system, font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    )  # fmt: skip
    return theme.set(
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_shadow="none",
        block_label_background_fill="*block_background_fill",
        block_label_text_weight="600",
        block_title_text_weight="600",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_950",
        input_placeholder_color="*neutral_500",
        input_border_width="1px",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700",
        slider_color="*primary_700",
        slider_color_dark="*primary_500",
        checkbox_background_color_selected="*primary_700",
        checkbox_background_color_selected_dark="*primary_600",
    )
