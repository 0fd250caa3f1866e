"""The embedded editor as a family: load it, and make one edit with it.

The transformer works at about 128 × 128; the edit that it finds is carried to the picture's own size.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from mmdit import images
from mmdit.attention.maps import AttentionMaps
from mmdit.attention.recorder import Recorder, observing
from mmdit.attention.spec import EditTokens, RecordSpec
from mmdit.families.family import EditCall, FamilyOutput, OnStep, Traits, check_call
from mmdit.families.loading import load_errors
from mmdit.families.mini_reference import UNNAMED, SecondPicture, borrow, instruction_for_first, speaks_of_second
from mmdit.families.mini_sampling import LastStep, sampled
from mmdit.families.mini_strength import Weighed, mixed, times
from mmdit.families.mini_told import told_of
from mmdit.families.strength import EDITS, Strength, TextTokens, interpolate
from mmdit.families.words import WORD
from mmdit.model import checkpoint
from mmdit.model.asides import GRADUAL, amount
from mmdit.model.drawing import Drawing
from mmdit.model.edit_field import EditField, carry
from mmdit.model.patchwork import Patchwork
from mmdit.model.reader import LEAVE
from mmdit.model.several import OF_TONE, in_order, parts
from mmdit.model.text import TextFeatures, normalise
from mmdit.model.tint import Tint
from mmdit.model.transformer import WORKING_SIZES
from mmdit.told import NOTHING, Told

GUIDED = "The embedded editor overshoots with guidance: leave it at 1."


@dataclass(frozen=True)
class _Made:
    """What one text asks for: the edited picture, (1, 3, height, width) in [−1, 1], what it was made of, what is to be
    said of it, and what the model looked at.
    """

    picture: Tensor
    field: EditField
    told: Told
    maps: AttentionMaps | None


class MiniEditor:
    """One loaded embedded editor.

    Args:
        folder: what `checkpoint.save` wrote.

    Raises ModelError: something is missing there, or damaged.
    """

    traits = Traits(steps=1, guidance=1.0, takes_negative=False, takes_shift=False, redraws=False, mixes_edits=True)

    def __init__(self, folder: str | Path, device: str = "cpu") -> None:
        self.device = device
        with load_errors(str(folder)):
            self.fingerprint = checkpoint.fingerprint(folder)
            self.telling_layers = checkpoint.telling_layers(folder)
            self.transformer, self.text_encoder, self.inpainter = checkpoint.load(folder, device)
        self.traits = replace(self.traits, most_pictures=2 if self._known else 1)

    @property
    def models(self) -> checkpoint.Models:
        """What it consists of."""
        return checkpoint.Models(self.transformer, self.text_encoder, self.inpainter)

    def working_size(self, size: tuple[int, int], resolution: int | None = None) -> tuple[int, int]:
        """See `Family.working_size`. Raises ValueError for a resolution, of which this family has one only."""
        if resolution is not None:
            raise ValueError(f"resolution is {resolution}; the embedded editor has one of its own, leave it out")
        height, width = working_size(size[1], size[0])
        return width, height

    def call(
        self, picture: Image.Image, instruction: str, steps: int = 1, seed: int = 0, record: RecordSpec | None = None
    ) -> EditCall:
        """The call that edits one picture without guidance."""
        return EditCall(
            (picture,), instruction, steps, 1.0, seed, working=self.working_size(picture.size), record=record
        )

    def edit(self, call: EditCall, on_step: OnStep | None = None) -> FamilyOutput:
        """See `Family.edit`. Raises ValueError: more than two pictures, or an instruction without a word.

        An instruction that asks for several edits is followed one by one; the maps are those of the first, or of the
        first that has the words to be recorded.
        """
        check_call(call, self.traits, "the embedded editor")
        whole = call.literally or (call.strength is not None and not _mixes(call))
        requests = [call.instruction] if whole else parts(call.instruction, self.text_encoder.lexicon)
        output = self._one(call, on_step) if len(requests) == 1 else self._several(call, requests, on_step)
        return output if call.guidance == 1 else replace(output, told=output.told + Told(warnings=(GUIDED,)))

    def _several(self, call: EditCall, requests: Sequence[str], on_step: OnStep | None) -> FamilyOutput:
        """One edit after the other, each of what the one before made."""
        readings = self.text_encoder.encode(list(requests), plainly=True).readings
        kinds = ["" if reading is None else reading.kind for reading in readings]
        ordered = in_order(list(zip(requests, kinds, strict=True)))
        asked = ", then ".join(f"“{request}”" for request, _ in ordered)
        told, maps, image = Told((f"Made as {len(ordered)} edits: {asked}.",)), None, call.pictures[0]
        recorded = _with_words([request for request, _ in ordered], call.record)
        of_second = [place for place, (request, _) in enumerate(ordered) if speaks_of_second(request)] or range(
            len(ordered)
        )
        untoned = None  # what later objects are looked for in
        for number, (request, kind) in enumerate(ordered):
            second = call.pictures[1:] if number in of_second else ()
            pictures, record = (image, *second), call.record if number == recorded else None
            one = replace(call, pictures=pictures, instruction=request, record=record)
            if number and call.strength is not None:  # what is mixed in is mixed in once
                one = replace(one, strength=replace(call.strength, others=()))
            seen = untoned if kind == "recolour" else None
            output = self._one(one, _part(on_step, number, len(ordered)), seen)
            if kind in OF_TONE:
                untoned = untoned or image
            elif kind != "recolour":
                untoned = None
            image, maps = output.image, maps or output.maps
            told += output.told.of(request)
        if maps is not None:
            told += Told((f"The maps are those of “{ordered[recorded][0]}”.",))
        return FamilyOutput(image, told, maps)

    def _one(self, call: EditCall, on_step: OnStep | None, seen: Image.Image | None = None) -> FamilyOutput:
        """An instruction that asks for one edit; ``seen`` as in `_made`."""
        if call.strength is None and not call.literally:
            asked = self._amount(call.instruction)
            if asked is not None:
                how, value, plain = asked
                call = replace(call, instruction=plain, strength=Strength(LEAVE, value))
                output = self._mixed(call, on_step, seen)
                taken = f"“{how}” is taken for a strength of {value:g}; set the strength for another."
                return replace(output, told=Told((taken,)) + output.told)
        if _mixes(call):
            return self._mixed(call, on_step, seen)
        made = self._made(call, on_step, seen)
        return FamilyOutput(images.to_image(made.picture), made.told, made.maps)

    def _amount(self, instruction: str) -> tuple[str, float, str] | None:
        """See `asides.amount`; None for what is not a plain request of an edit of which there is more and less."""
        asked = amount(normalise(instruction))
        if asked is None:
            return None
        reading = self.text_encoder.encode([asked[2]], plainly=True).readings[0]
        is_gradual = reading is not None and reading.kind in GRADUAL and reading.is_said_by(asked[2])
        return asked if is_gradual else None

    def _mixed(self, call: EditCall, on_step: OnStep | None, seen: Image.Image | None) -> FamilyOutput:
        """The edit of each text by itself, mixed; the maps are those of the instruction."""
        targets = call.strength.targets(call.instruction)
        count = 1 + sum(times(value) for _, value in targets)
        number, edits, told, maps = 0, list[Weighed](), NOTHING, None
        for text, value in targets:
            one = replace(call, instruction=text, strength=None, record=None if number else call.record)
            way = 1.0 if value == 0 else value  # so that the edit is seen, and what is said of it holds
            made = self._made(one, _part(on_step, number, count), seen, way)
            weighed, pictures = Weighed(value, made.field), [made.picture]
            for again in range(1, weighed.times):
                one = replace(one, pictures=(images.to_image(pictures[-1]), *call.pictures[1:]), record=None)
                pictures.append(self._made(one, _part(on_step, number + again, count)).picture)
            edits.append(replace(weighed, pictures=tuple(pictures)))
            said = made.told + weighed.told
            told += said if text == call.instruction else said.of(text)
            number, maps = number + times(value), maps or made.maps
        neutral = replace(call, instruction=call.strength.neutral, strength=None, record=None)
        beside = self._made(neutral, _part(on_step, number, count)).picture
        return FamilyOutput(images.to_image(mixed(beside, edits)), told, maps)

    def _made(self, call: EditCall, on_step: OnStep | None, seen: Image.Image | None = None, way: float = 1.0) -> _Made:
        """What one text asks for.

        Args:
            seen: the same scene in its own colours, in which to look for an object that gets another one.
            way: see `Placing.placed`.
        """
        source, working = self._seen(call.pictures[0], call.working)
        looked_at = working if seen is None else self._seen(seen, call.working)[1]
        second = self._second(call) if len(call.pictures) == 2 else None
        if second is not None:
            call = replace(call, instruction=self._for_first(call.instruction, second))
        text = self._encoded(call)

        def preview(done: int, clean: Tensor) -> None:
            if on_step is not None:
                certain = done if seen is None else 1  # what is tried may have to be made once more
                on_step(certain, call.steps, images.to_image(clean))

        recorder = None if call.record is None else self._recorder(call, text, working)
        with nullcontext() if recorder is None else observing(self.transformer, recorder):
            last = sampled(
                self.models, looked_at, text,
                steps=call.steps, guidance=call.guidance, seeds=[call.seed], on_step=preview,
                amount=1.0 if call.strength is None else call.strength.value, way=way,
                aside=nullcontext if recorder is None else recorder.paused,
            )  # fmt: skip
        field, of_second = last.estimated(looked_at), NOTHING
        if seen is not None and not any(isinstance(one, Tint) and one.shown.all() for one in field.overlays):
            return self._made(call, on_step, way=way)
        reading = text.readings[0]
        if second is not None and (reading is None or not reading.asks_nothing):
            field, of_second = self._with_borrowed(field, second)
        edited = self._at_full_size(last, field, working, source)
        maps = None if recorder is None else recorder.maps()
        after = images.resize(edited, *working.shape[-2:])
        told = told_of(
            call.instruction, text, field, self._known, working, after,
            was_read=not call.literally, has_maps=maps is not None,
        )  # fmt: skip
        return _Made(edited, field, of_second + told, maps)

    def _at_full_size(self, last: LastStep, field: EditField, working: Tensor, source: Tensor) -> Tensor:
        """An estimated edit at the source's own size, with a patchwork behind objects where that is larger."""
        left, hides = field.vacated()
        larger = source.shape[2:].numel() > working.shape[2:].numel()
        patchwork = Patchwork.behind(hides[0], working[0], self.inpainter) if larger and left.all() else None
        if patchwork is None:
            return carry(last.continued(field, working), working, source)
        return field.covered(patchwork.over(source), source)

    def _seen(self, picture: Image.Image, working: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """A picture, (1, 3, height, width) in [−1, 1], at its own size and at the (width, height) that is worked at."""
        source = images.to_tensor(picture).to(self.device)
        return source, images.resize(source, working[1], working[0])

    def _second(self, call: EditCall) -> SecondPicture:
        picture = call.pictures[1]
        source, working = self._seen(picture, self.working_size(picture.size))

        @torch.inference_mode()
        def look(names: Sequence[str]) -> EditField:
            text = self.text_encoder.encode([f"remove the {name}" for name in names]).to(self.device)
            noise = torch.randn(working.shape, generator=torch.Generator().manual_seed(call.seed)).to(self.device)
            many = [part.expand(len(names), -1, -1, -1) for part in (noise, working)]
            return self.transformer(*many, text.features, text.mask, torch.ones(len(names), device=self.device))

        return SecondPicture(source, working, look)

    @property
    def _known(self) -> tuple[str, ...]:
        """Names of the objects that the editor knows."""
        return tuple(self.transformer.config.drawings)

    def _for_first(self, instruction: str, second: SecondPicture) -> str:
        """What is asked of the first picture. Raises ValueError: an object without a name that can't be found."""
        if not UNNAMED.search(instruction):
            return instruction_for_first(instruction, None)
        found = borrow(self._known, self._known, second, self.transformer.object_head.textures)
        if found is None:
            raise ValueError(
                "the second picture shows no object that the embedded editor knows; name one that it should draw"
            )
        return instruction_for_first(instruction, found.name)

    def _with_borrowed(self, field: EditField, second: SecondPicture) -> tuple[EditField, Told]:
        """The edit with the second picture's object in the place of the drawing; what is to be said of it."""
        drawing = next((overlay for overlay in field.overlays if isinstance(overlay, Drawing)), None)
        if drawing is None or not drawing.shown.all():
            unused = "The second picture was not used: the instruction adds or replaces no object that is known."
            return field, Told(warnings=(unused,))
        name = self._known[int(drawing.thing)]
        found = borrow([name], self._known, second, self.transformer.object_head.textures)
        if found is None:
            missing = f"The second picture shows no {name} that the editor knows; it drew the one it remembers."
            return field, Told(warnings=(missing,))
        others = tuple(
            replace(overlay, texture=found.texture) if overlay is drawing else overlay for overlay in field.overlays
        )
        return replace(field, overlays=others), Told((f"The {name} is that of the second picture.",))

    def _encoded(self, call: EditCall) -> TextFeatures:
        """The instruction, as strongly as it is to be followed."""
        text = self.text_encoder.encode([call.instruction], plainly=not call.literally).to(self.device)
        if not text.words[0]:
            raise ValueError(f"the instruction {call.instruction!r} holds no word; say in words what to do")
        if call.strength is None:
            return text

        def tokens(instruction: str) -> TextTokens:
            encoded = self.text_encoder.encode([instruction], plainly=not call.literally).to(self.device)
            return TextTokens(encoded.features[0], encoded.ids[0], encoded.mask[0])

        targets = [(tokens(other), value) for other, value in call.strength.targets(call.instruction)]
        features = interpolate(tokens(call.strength.neutral), targets, call.strength.text_method)
        return replace(text, features=features[None])

    def _recorder(self, call: EditCall, text: TextFeatures, working: Tensor) -> Recorder:
        tokens = EditTokens(
            layout=self.transformer.layout(text.features.shape[1], *working.shape[-2:]),
            words=tuple((word, tuple(range(span.start, span.stop))) for word, span in text.words[0]),
            steps=call.steps,
            calls_per_step=1 if call.guidance == 1.0 else 2,
            telling=self.telling_layers,
        )
        return Recorder(
            call.record, tokens, self.transformer.text_attentions, self.transformer.config.heads, self.device
        )


def working_size(height: int, width: int) -> tuple[int, int]:
    """The trained size whose shape is nearest to the picture's."""
    return min(WORKING_SIZES, key=lambda size: abs(math.log(size[0] / size[1]) - math.log(height / width)))


def _with_words(requests: Sequence[str], record: RecordSpec | None) -> int:
    """The place of the first request that has all words to be recorded; the first of all when none has."""
    wanted = set[str]() if record is None or record.words == "all" else {word.split("#")[0] for word in record.words}
    has_all = (number for number, request in enumerate(requests) if wanted <= set(WORD.findall(request.lower())))
    return next(has_all, 0)


def _mixes(call: EditCall) -> bool:
    """Whether edits are mixed, and not texts."""
    return call.strength is not None and call.strength.method in (None, EDITS)


def _part(on_step: OnStep | None, number: int, count: int) -> OnStep | None:
    """Reports the steps of one of several runs as steps of all."""
    if on_step is None:
        return None
    return lambda done, steps, preview: on_step(number * steps + done, count * steps, preview)
