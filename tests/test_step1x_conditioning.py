"""What Step1X-Edit's vision-language model reads: tokens, quotation marks, places."""

import numpy as np
import pytest
import torch
from tiny_checkpoints import PROMPT, build, told_of_vision_tokens

from mmdit.families.step1x_edit.conditioning import VERSIONS, Reading, Version, read, text_ids
from mmdit.families.vision_chat import chat_positions

PIPELINE = build("step1x_edit_1_2")
PROCESSOR, TOKENIZER = PIPELINE.processor, PIPELINE.processor.tokenizer
IMAGE = TOKENIZER.convert_tokens_to_ids("<|image_pad|>")
GRIDS = [(3, 5)]


def tokens(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def chat(version: Version, instruction: str, grids: list[tuple[int, int]]) -> tuple[str, str]:
    """What stands before and after the instruction, vision tokens written out."""
    pictures = "".join(f"<|vision_start|>{'<|image_pad|>' * (rows * columns)}<|vision_end|>" for rows, columns in grids)
    start, end = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    if version.pictures_first:
        return f"{start}{version.template}{pictures}", end
    return f"{start}{version.template} ", f"{pictures}{end}"


def asked(version: str, instruction: str, grids: list[tuple[int, int]] = GRIDS) -> Reading:
    return read(PROCESSOR, VERSIONS[version], instruction, grids)


@pytest.mark.parametrize("grids", [GRIDS, [(3, 5), (2, 4)]])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_plain_instruction_is_the_template_with_it(version: str, grids: list[tuple[int, int]]) -> None:
    before, after = chat(VERSIONS[version], PROMPT, grids)
    reading = asked(version, PROMPT, grids)
    assert reading.ids.tolist() == tokens(before + PROMPT + after)
    head = before[: before.index(VERSIONS[version].template)] + VERSIONS[version].template
    assert reading.dropped == len(tokens(head[:-1])) and head.endswith(":")
    seen = {PROMPT[slice(*token.characters)] for token in reading.tokens if token.characters != (0, 0)}
    assert {"red", "cat"} <= {word.strip() for word in seen}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_marks_are_read_letter_by_letter(version: str) -> None:
    before, after = chat(VERSIONS[version], "", GRIDS)
    spelled = [token for letter in "ab c" for token in tokens(letter)]
    for instruction in ('write "ab c" on it', "write “ab c” on it", "write 'ab c' on it"):
        wanted = [*tokens(f'{before}write "'), *spelled, *tokens(f'" on it{after}')]
        assert asked(version, instruction).ids.tolist() == wanted


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_mark_without_another_is_read_to_the_end_of_the_chat(version: str) -> None:
    """As published: the template's tail falls into letters, too."""
    before, after = chat(VERSIONS[version], "", GRIDS)
    spelled = [token for letter in f"s hat{after}" for token in tokens(letter)]
    assert asked(version, "the dog's hat").ids.tolist() == [*tokens(f'{before}the dog"'), *spelled]


def test_version_1_2_marks_what_is_quoted() -> None:
    before, after = chat(VERSIONS["1.2"], "", GRIDS)
    for opening, closing in ('""', "“”"):
        reading = asked("1.2", f"write {opening}ab{closing} on it")
        wanted = [*tokens(f"{before}write {opening}"), *tokens("a"), *tokens("b"), *tokens(f"{closing} on it{after}")]
        assert reading.ids.tolist() == wanted
        assert [token.id for token in reading.tokens if token.is_quoted] == [*tokens("a"), *tokens("b")]
    for lone in ('say "ab', "the dog's hat", "say “ab"):
        reading = asked("1.2", lone)
        assert reading.ids.tolist() == tokens(before + lone + after)
        assert not any(token.is_quoted for token in reading.tokens)


@pytest.mark.parametrize("instruction", ['say "x y" twice', "plain words", '“a” "b" c', "it's", ""])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_token_knows_its_characters(version: str, instruction: str) -> None:
    """Each character of the instruction is covered, in order, and nothing else is."""
    places = [
        token.characters for token in asked(version, instruction).tokens if token.characters[0] < token.characters[1]
    ]
    covered = sorted({character for first, last in places for character in range(first, last)})
    assert covered == list(range(len(instruction)))
    assert places == sorted(places)


def test_vision_tokens_stand_where_transformers_puts_them() -> None:
    """Held against the model's own index, which it makes when it is told which tokens are vision tokens."""
    seen: list[torch.Tensor] = []
    model = PIPELINE.text_encoder
    watched = model.model.language_model.register_forward_pre_hook(
        lambda _, __, words: seen.append(words["position_ids"]), with_kwargs=True
    )
    grids = [(2, 3), (4, 2)]
    ids = asked("1.1", PROMPT, grids).ids
    patches = torch.tensor([[1, 2 * rows, 2 * columns] for rows, columns in grids])
    pixels = torch.randn(int(patches.prod(1).sum()), 1176, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad(), told_of_vision_tokens(model):
            model(
                input_ids=ids[None], attention_mask=torch.ones_like(ids)[None], pixel_values=pixels,
                image_grid_thw=patches,
            )  # fmt: skip
    finally:
        watched.remove()
    assert torch.equal(seen[0][:, 0], chat_positions(ids, IMAGE, grids))


def test_places_of_the_text_in_1_0_and_1_1_are_the_origin() -> None:
    for version in ("1.0", "1.1"):
        reading = asked(version, PROMPT)
        placed = text_ids(reading, VERSIONS[version], IMAGE, GRIDS, (160, 96))
        assert placed.shape == (len(reading.tokens) - reading.dropped, 3) and not placed.any()


def test_places_of_the_text_in_1_2_count_up_and_vision_tokens_lie_on_the_picture() -> None:
    """By the published matrices: a token of 28 pixels of the resized picture → pixel of the picture → latent token."""
    rows, columns = GRIDS[0]
    width, height = 160, 96
    reading = asked("1.2", PROMPT)
    placed = text_ids(reading, VERSIONS["1.2"], IMAGE, GRIDS, (width, height))
    kept = reading.ids[reading.dropped :]
    times = placed[:, 0].tolist()
    assert times[-1] == -1 and times == sorted(times)
    text = kept != IMAGE
    assert not placed[text, 1:].any()
    resize = np.diag([(28 * columns - 1) / (width - 1), (28 * rows - 1) / (height - 1), 1.0])
    to_vision = np.array([[1 / 28, 0, -13.5 / 28], [0, 1 / 28, -13.5 / 28], [0, 0, 1]])
    to_latents = np.array([[1 / 16, 0, -11 / 16], [0, 1 / 16, -11 / 16], [0, 0, 1]])
    matrix = to_latents @ np.linalg.inv(to_vision @ resize)
    wanted = [(matrix @ [column, row, 1])[[1, 0]] for row in range(rows) for column in range(columns)]
    np.testing.assert_allclose(placed[~text, 1:].numpy(), np.array(wanted), atol=1e-4)
    assert len({time for time, is_text in zip(times, text.tolist(), strict=True) if not is_text}) == 1
