"""Thinking before an edit and looking at it afterwards, by the vision-language model of Step1X-Edit 1.2.

In: pictures and an instruction. Out: the instruction in plainer words, or a verdict on an edited picture
(arXiv 2511.22625). The tags are those that the model was taught; the questions are worded here, shorter than the
makers', whose scores they need not reach. Text is drawn at random from a seed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from PIL import Image

MOST_TRIES = 3
SEEN_PIXELS = (262_144, 802_816)
"""Fewest and most of a picture that is thought about."""
MOST_TOKENS = 256
CHINESE = re.compile(r"[\u4e00-\u9fff]")

_THINK = """Rewrite the request for an edit of this picture as a clear and direct editing instruction with the same \
meaning. If it is vague or has to be worked out, say what must change in the picture, and where. Use at most three \
simple edits, in one or two plain sentences without numbering. Put text that is to be written in double quotation \
marks. Answer in {language}, with the instruction only.
The request: {instruction}"""
_REFLECT = """The first picture was edited into the second one. The instruction was: {instruction}
Check whether the second picture follows the instruction, and whether anything else was changed or broken. Answer in \
{language}, in one of these three forms and with nothing else:
<#Think> your reasons <#Success>
<#Think> your reasons <#Reflection> an instruction for a second edit, of the second picture, that puts right what is \
wrong
<#Think> your reasons <#Failed>
Use <#Failed> if the second picture is so far off that one has to begin again."""


@dataclass(frozen=True)
class Verdict:
    """
    Args:
        outcome: "reflection" for a picture that a further edit can put right, "unclear" for an answer that is in none
            of the forms.
        remedy: the instruction of that edit; otherwise empty.
        reasons: what the model says of the picture.
    """

    outcome: Literal["success", "reflection", "failed", "unclear"]
    remedy: str = ""
    reasons: str = ""


def think(pipeline: Any, picture: Image.Image, instruction: str, seed: int) -> str:
    """The instruction in plainer words; as it is when the model has none."""
    asked = _THINK.format(instruction=instruction, language=_language(instruction))
    return _answer(pipeline, [picture], asked, seed) or instruction


def reflect(pipeline: Any, source: Image.Image, edited: Image.Image, instruction: str, seed: int) -> Verdict:
    """What the model says of an edit."""
    asked = _REFLECT.format(instruction=instruction, language=_language(instruction))
    return verdict(_answer(pipeline, [source, edited], asked, seed))


def verdict(answer: str) -> Verdict:
    """Read an answer: one <#Think>, and after it one of the other tags."""
    found = re.fullmatch(r"\s*<#Think>(.*?)<#(Success|Reflection|Failed)>(.*)", answer, re.DOTALL)
    if found is None or "<#" in found[1] + found[3]:
        return Verdict("unclear", reasons=answer.strip())
    outcome, remedy = found[2].lower(), found[3].strip()
    if outcome == "reflection" and not remedy:
        outcome = "failed"
    return Verdict(outcome, remedy if outcome == "reflection" else "", found[1].strip())


@torch.no_grad()
def _answer(pipeline: Any, pictures: Sequence[Image.Image], question: str, seed: int) -> str:
    processor, model = pipeline.processor, pipeline.text_encoder
    content = [*({"type": "image"} for _ in pictures), {"type": "text", "text": question}]
    chat = processor.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], chat_template=processor.chat_template, tokenize=False,
        add_generation_prompt=True,
    )  # fmt: skip
    size = {"shortest_edge": SEEN_PIXELS[0], "longest_edge": SEEN_PIXELS[1]}
    inputs = processor(text=[chat], images=list(pictures), images_kwargs={"size": size}, return_tensors="pt")
    inputs = inputs.to(pipeline._execution_device)
    devices = [inputs["input_ids"].device] if inputs["input_ids"].device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        written = model.generate(
            **inputs, max_new_tokens=MOST_TOKENS, do_sample=True, top_p=0.9, temperature=0.7,
            eos_token_id=processor.tokenizer.eos_token_id, pad_token_id=processor.tokenizer.pad_token_id,
        )  # fmt: skip
    new = written[0, inputs["input_ids"].shape[1] :]
    return processor.tokenizer.decode(new, skip_special_tokens=True).strip()


def _language(instruction: str) -> str:
    return "Chinese" if len(CHINESE.findall(instruction)) > 1 else "English"
