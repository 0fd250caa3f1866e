"""Train what reads roundabout requests as plain ones: `mmdit.model.reader`.

In: the training templates and ``wordings/requests.tsv.gz`` (author, kind, sentence), whose authors had seen none of the
held-out wordings. Out: reader.safetensors beside the text encoder. Several readers learn from different draws; the one
that is kept learns their mean (distillation, Hinton et al. 2015, arXiv 1503.02531), also of sentences with a word
exchanged for any other, so that it is as unsure as they are where they disagree. With ``--without AUTHOR`` that
author's sentences are read instead, by a reader that never saw them, and nothing is written.

    python -m mmdit.training.reader --out assets/mini/text_encoder
"""

import argparse
import gzip
import random
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.reader import KINDS, READER_FILE, SURE, Reader
from mmdit.model.text import TextEncoder
from mmdit.training.vocabulary import COLOURS, LEAVE_ALONE, OBJECT_EDITS, OBJECTS, PHOTO_EDITS, PLACES
from mmdit.training.wordings import instruction
from mmdit.training.wordings.held_out import HELD_OUT_WORDS

REQUESTS = Path(__file__).parent / "wordings" / "requests.tsv.gz"
TEMPLATES_OF_A_KIND, OTHERS_OF_A_KIND = 1500, 700
EPOCHS, BATCH, RATE, DROPOUT, SMOOTHING, TOKENS_LEFT_OUT = 12, 128, 2e-3, 0.3, 0.05, 0.1
ENCODED_TOGETHER = 128
TEACHERS, EXCHANGED, EPOCHS_OF_MEAN = 3, 20_000, 6


def requests() -> list[tuple[str, str, str]]:
    """(author, kind, sentence) of every hand-written request."""
    lines = gzip.decompress(REQUESTS.read_bytes()).decode().splitlines()
    return [tuple(line.split("\t")) for line in lines]


def examples(without: str, seed: int) -> list[tuple[str, str]]:
    """(kind, instruction) to learn from: requests, training templates, and what asks for nothing of the kind."""
    draw = random.Random(seed)
    found = {(kind, sentence) for author, kind, sentence in requests() if author != without}
    found |= {(kind, instruction(kind, draw)) for kind in PHOTO_EDITS for _ in range(TEMPLATES_OF_A_KIND)}
    for kind in (*OBJECT_EDITS, *LEAVE_ALONE):
        for _ in range(OTHERS_OF_A_KIND * (1 + 3 * (kind in LEAVE_ALONE))):
            name, replacement = draw.sample(list(OBJECTS), 2)
            slots = {
                "name": None if kind == "nonsense" else name, "colour": draw.choice(list(COLOURS)),
                "replacement": replacement, "place": draw.choice(PLACES),
            }  # fmt: skip
            found.add(("other", instruction(kind, draw, **slots)))
    return sorted(found)


def encoded(encoder: TextEncoder, sentences: list[str]) -> tuple[Tensor, Tensor]:
    """(N, T, L, C) states in float16 and (N, T) mask."""
    states, masks = [], []
    for start in range(0, len(sentences), ENCODED_TOGETHER):
        some, mask = encoder.states(sentences[start : start + ENCODED_TOGETHER])
        states.append(some.half())
        masks.append(mask)
    longest = max(mask.shape[1] for mask in masks)
    padded = [functional.pad(some, (0, 0, 0, 0, 0, longest - some.shape[1])) for some in states]
    return torch.cat(padded), torch.cat([functional.pad(mask, (0, longest - mask.shape[1])) for mask in masks])


def exchanged(encoder: TextEncoder, sentences: list[str], seed: int) -> list[str]:
    """Some of the sentences, each with a word exchanged for one of the encoder's vocabulary."""
    draw = random.Random(f"exchanged-{seed}")
    known = sorted(word for word in encoder.tokenizer.get_vocab() if word.isalpha() and len(word) > 2)
    others = [word for word in known if word not in HELD_OUT_WORDS]
    found = []
    for sentence in draw.choices(sentences, k=EXCHANGED):
        words = sentence.split()
        words[draw.randrange(len(words))] = draw.choice(others)
        found.append(" ".join(words))
    return found


def taught(encoder: TextEncoder, without: str, seed: int) -> Reader:
    """The reader that is kept: one that learnt the mean of `TEACHERS` others."""
    lessons = [examples(without, seed + number) for number in range(TEACHERS)]
    teachers = [train(encoder, learnt, seed + number) for number, learnt in enumerate(lessons)]
    return learnt_from(encoder, teachers, [sentence for learnt in lessons for _, sentence in learnt], seed)


def learnt_from(encoder: TextEncoder, teachers: list[Reader], sentences: list[str], seed: int) -> Reader:
    """A reader that says of the sentences, and of some with a word exchanged, what the teachers say in the mean."""
    sentences = sorted(set(sentences))
    sentences = sentences + exchanged(encoder, sentences, seed)
    states, mask = encoded(encoder, sentences)
    return _fitted(states, mask, _mean_of(teachers, states, mask), seed, EPOCHS_OF_MEAN)


def train(encoder: TextEncoder, learnt: list[tuple[str, str]], seed: int) -> Reader:
    """A reader that was shown the examples in an order that the seed decides."""
    states, mask = encoded(encoder, [sentence for _, sentence in learnt])
    wanted = functional.one_hot(torch.tensor([KINDS.index(kind) for kind, _ in learnt]), len(KINDS)).float()
    return _fitted(states, mask, (1 - SMOOTHING) * wanted + SMOOTHING / len(KINDS), seed, EPOCHS)


@torch.inference_mode()
def _mean_of(teachers: list[Reader], states: Tensor, mask: Tensor) -> Tensor:
    """(N, kinds) probabilities."""
    some = zip(states.split(BATCH), mask.split(BATCH), strict=True)
    means = [torch.stack([teacher(of.float(), real).softmax(-1) for teacher in teachers]).mean(0) for of, real in some]
    return torch.cat(means)


def _fitted(states: Tensor, mask: Tensor, wanted: Tensor, seed: int, epochs: int) -> Reader:
    """A reader that answers (N, T, L, C) states as (N, kinds) probabilities say."""
    torch.manual_seed(seed)
    reader = Reader(states.shape[-1]).train()
    optimizer = torch.optim.AdamW(reader.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, epochs * -(-len(states) // BATCH))
    for epoch in range(epochs):
        losses = []
        for rows in torch.randperm(len(states)).split(BATCH):
            kept = mask[rows] & (torch.rand(mask[rows].shape) > TOKENS_LEFT_OUT)
            kept[:, 0] = True
            loss = functional.cross_entropy(reader(states[rows].float(), kept, DROPOUT), wanted[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{epochs}  loss {sum(losses) / len(losses):.3f}", flush=True)
    return reader.requires_grad_(False).eval()


@torch.inference_mode()
def report(encoder: TextEncoder, reader: Reader, asked: list[tuple[str, str]]) -> None:
    """Print how many of the sentences are read right, and how many of those that it is sure of."""
    states, mask = encoded(encoder, [sentence for _, sentence in asked])
    sure, kinds = reader(states.float(), mask).softmax(-1).max(-1)
    right = kinds == torch.tensor([KINDS.index(kind) for kind, _ in asked])
    counted = sure >= SURE
    share = right[counted].float().mean()
    print(f"right {right.float().mean():.3f}; sure of {counted.float().mean():.3f}, of which right {share:.3f}")
    for kind in PHOTO_EDITS:
        own = torch.tensor([asked_kind == kind for asked_kind, _ in asked])
        wrong = (counted & ~right)[own].float().mean()
        print(f"  {kind}: right {right[own].float().mean():.2f}, wrong and sure {wrong:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the text encoder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", default="", metavar="AUTHOR", help="read this author's sentences, write nothing")
    arguments = parser.parse_args()
    encoder = TextEncoder.from_pretrained(arguments.out)
    reader = taught(encoder, arguments.without, arguments.seed)
    if arguments.without:
        others = [(kind, sentence) for author, kind, sentence in requests() if author == arguments.without]
        report(encoder, reader, others)
    else:
        reader.save(arguments.out / READER_FILE)


if __name__ == "__main__":
    main()
