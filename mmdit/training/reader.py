"""Train what reads instructions: `mmdit.model.reader`.

In: `mmdit.training.requests`. Out: reader.safetensors beside the text encoder. Several readers learn from different
draws; one more learns their mean (distillation, Hinton et al. 2015, arXiv 1503.02531), also of sentences with a word
exchanged for any other, so that it is as unsure as they are where they disagree. It learns on from further draws, as
they did; the mean of its last weights is kept. With ``--without AUTHOR`` that author's sentences are read instead, by a
reader that never saw them, and nothing is written.

    python -m mmdit.training.reader --out assets/mini/text_encoder
"""

import argparse
import copy
import random
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from mmdit.model.reader import ANSWERS, QUESTIONS, READER_FILE, Reader, by_question, mean_of_words
from mmdit.model.text import TextEncoder
from mmdit.training.requests import Example, by_author, examples, foreign_requests
from mmdit.training.wordings.held_out import HELD_OUT_WORDS
from mmdit.training.wordings.idle import HELD_OUT_FOREIGN_NOUNS
from mmdit.training.wordings.nouns import HELD_OUT_COLOUR_SYNONYMS, HELD_OUT_SYNONYMS

EPOCHS, BATCH, RATE, DROPOUT, SMOOTHING, TOKENS_LEFT_OUT = 7, 128, 1.5e-3, 0.15, 0.03, 0.1
ENCODED_TOGETHER = 128
SORTED_TOGETHER, RARE = 32, 2  # batches; times that an example of a rare kind is shown
TEACHERS, EXCHANGED, EPOCHS_OF_MEAN = 3, 20_000, 5
FURTHER_LESSONS, EPOCHS_OF_FURTHER, RATE_OF_FURTHER, AVERAGED = 13, 4, 6e-4, 2
UNASKED = -100  # the class index that cross-entropy ignores
FOREIGN_WEIGHT, DECAY = 7.0, 1e-5  # of a sentence in another language, beside one in English; of weights squared


def vocabulary(encoder: TextEncoder) -> tuple[str, ...]:
    """The encoder's whole words, but for those that are held out."""
    nouns = {*HELD_OUT_SYNONYMS.values(), *HELD_OUT_COLOUR_SYNONYMS.values(), *HELD_OUT_FOREIGN_NOUNS}
    held_out = HELD_OUT_WORDS | {word for phrase in nouns for word in phrase.split()}
    known = sorted(word for word in encoder.tokenizer.get_vocab() if word.isalpha() and len(word) > 2)
    return tuple(word for word in known if word not in held_out)


class Encoded:
    """Sentences as the frozen encoder's states, the tokens of all one after the other.

    Args:
        encoder: whose states.
        sentences: normalised; each is encoded once, however often it is asked for.
    """

    def __init__(self, encoder: TextEncoder, sentences: Iterable[str]) -> None:
        self.row = {sentence: row for row, sentence in enumerate(sorted(set(sentences), key=lambda of: (len(of), of)))}
        parts, lengths = [], []
        for start in range(0, len(self.row), ENCODED_TOGETHER):
            with torch.autocast("cpu", torch.bfloat16):  # three times as fast, and kept in half precision anyway
                states, mask = encoder.states(list(self.row)[start : start + ENCODED_TOGETHER])
            parts.append(states[mask].half())
            lengths.append(mask.sum(dim=1))
        self.states, self.lengths = torch.cat(parts), torch.cat(lengths)
        self.starts = self.lengths.cumsum(0) - self.lengths

    def rows(self, sentences: Iterable[str]) -> Tensor:
        """(N,) their numbers."""
        return torch.tensor([self.row[sentence] for sentence in sentences])

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, L, C) states and (B, T) mask of the sentences of these numbers."""
        places = torch.arange(int(self.lengths[rows].max()))
        mask = places < self.lengths[rows][:, None]
        return self.states[(self.starts[rows][:, None] + places * mask)].float() * mask[..., None, None], mask


def answers_of(learnt: Sequence[Example]) -> Tensor:
    """(N, questions) the number of each answer, `UNASKED` where none is to be learnt."""
    rows = torch.full((len(learnt), len(QUESTIONS)), UNASKED)
    for row, example in zip(rows, learnt, strict=True):
        for place, question in enumerate(QUESTIONS):
            answer = dict(example.answers).get(question)
            if answer is not None:
                row[place] = QUESTIONS[question].index(answer)
    return rows


def exchanged(encoder: TextEncoder, sentences: Sequence[str], seed: int) -> list[str]:
    """Some of the sentences, each with a word exchanged for one of the encoder's vocabulary."""
    draw, others = random.Random(f"exchanged-{seed}"), vocabulary(encoder)
    found = []
    for sentence in draw.choices(sentences, k=EXCHANGED):
        words = sentence.split()
        words[draw.randrange(len(words))] = draw.choice(others)
        found.append(" ".join(words))
    return found


def taught(encoder: TextEncoder, without: str, seed: int) -> Reader:
    """The reader that is kept: one that learnt to say what `TEACHERS` others say in the mean, of what they learnt from
    and of some of it with a word exchanged, and then learnt from `FURTHER_LESSONS` more. Its weights are the mean of
    those that the last `AVERAGED` of these left (Izmailov et al. 2018, arXiv 1803.05407). Last it learns what is in
    another language.
    """
    known = vocabulary(encoder)
    lessons = [examples(without, seed + number, known) for number in range(TEACHERS)]
    sentences = sorted({example.sentence for learnt in lessons for example in learnt})
    sentences += exchanged(encoder, sentences, seed)
    pool = Encoded(encoder, sentences)
    teachers = [train(pool, learnt, seed + number) for number, learnt in enumerate(lessons)]
    readers = [learnt_from(pool, teachers, sentences, seed)]
    foreign = foreign_requests()
    for number in range(TEACHERS, TEACHERS + FURTHER_LESSONS):
        learnt = examples(without, seed + number, known)
        pool = Encoded(encoder, [*(example.sentence for example in learnt), *foreign])
        readers.append(train(pool, learnt, seed + number, readers[-1]))
    reader = averaged(readers[-AVERAGED:])
    learn_languages(reader, pool, frozenset(foreign))
    return reader


def averaged(readers: Sequence[Reader]) -> Reader:
    """The reader of the mean of several readers' weights."""
    states, mean = [reader.state_dict() for reader in readers], copy.deepcopy(readers[0])
    mean.load_state_dict({name: torch.stack([of[name] for of in states]).mean(dim=0) for name in states[0]})
    return mean


def train(pool: Encoded, learnt: Sequence[Example], seed: int, start: Reader | None = None) -> Reader:
    """A reader that was shown the examples in an order that the seed decides, rare kinds more often.

    Args:
        start: a reader that learns on; a new one by default.
    """
    learnt = [example for example in learnt for _ in range(RARE if example.is_rare else 1)]
    epochs = EPOCHS if start is None else EPOCHS_OF_FURTHER
    return _fitted(pool, pool.rows(example.sentence for example in learnt), answers_of(learnt), seed, epochs, start)


def learnt_from(pool: Encoded, teachers: Sequence[Reader], sentences: Sequence[str], seed: int) -> Reader:
    """A reader that says of the sentences what the teachers say in the mean."""
    rows = pool.rows(sentences)
    return _fitted(pool, rows, _mean_of(teachers, pool, rows), seed, EPOCHS_OF_MEAN)


@torch.inference_mode()
def _mean_of(teachers: Sequence[Reader], pool: Encoded, rows: Tensor) -> Tensor:
    """(N, `ANSWERS`) probabilities, question by question."""
    means = torch.zeros(len(rows), ANSWERS)
    for chosen in torch.arange(len(rows)).split(BATCH):
        states, mask = pool.batch(rows[chosen])
        for teacher in teachers:
            said = by_question(teacher(states, mask))
            means[chosen] += torch.cat([of.softmax(-1) for of in said], dim=-1) / len(teachers)
    return means


def _loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Of numbers of answers, (N, questions), or of probabilities, (N, `ANSWERS`)."""
    said = by_question(logits)
    if wanted.is_floating_point():
        return sum(functional.cross_entropy(of, to) for of, to in zip(said, by_question(wanted), strict=True))
    losses = [
        functional.cross_entropy(of, to, ignore_index=UNASKED, label_smoothing=SMOOTHING, reduction="sum") / len(to)
        for of, to in zip(said, wanted.unbind(dim=1), strict=True)
    ]
    return sum(losses)


def _fitted(pool: Encoded, rows: Tensor, wanted: Tensor, seed: int, epochs: int, start: Reader | None = None) -> Reader:
    """A reader that answers sentences, (N,) by number, as ``wanted`` says, see `_loss`."""
    torch.manual_seed(seed)
    reader, rate = Reader(pool.states.shape[-1]), RATE
    if start is not None:
        reader.load_state_dict(start.state_dict())
        rate = RATE_OF_FURTHER
    optimizer = torch.optim.AdamW(reader.train().parameters(), rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * -(-len(rows) // BATCH))
    for epoch in range(epochs):
        losses = []
        for chosen in _batches(pool.lengths[rows]):
            states, mask = pool.batch(rows[chosen])
            kept = mask & (torch.rand(mask.shape) > TOKENS_LEFT_OUT)
            kept[:, 0] = True
            loss = _loss(reader(states, kept, DROPOUT), wanted[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}/{epochs}  loss {sum(losses) / len(losses):.3f}", flush=True)
    return reader.requires_grad_(False).eval()


def _batches(lengths: Tensor) -> list[Tensor]:
    """One epoch's examples in batches of about one length, drawn by chance."""
    chunks = torch.randperm(len(lengths)).split(BATCH * SORTED_TOGETHER)
    found = [chosen for chunk in chunks for chosen in chunk[lengths[chunk].argsort()].split(BATCH)]
    return [found[place] for place in torch.randperm(len(found))]


def learn_languages(reader: Reader, pool: Encoded, foreign: Collection[str]) -> None:
    """Teach a reader, whose other weights stay, which of a pool's sentences are in another language: logistic
    regression on what `mean_of_words` gives, by L-BFGS.
    """
    rows = torch.arange(len(pool.row))
    words = torch.cat([mean_of_words(*pool.batch(some)) for some in rows.split(BATCH)])
    wanted = torch.tensor([float(sentence in foreign) for sentence in pool.row])
    mean, spread = words.mean(dim=0), words.std(dim=0) + 1e-5
    words = (words - mean) / spread
    weight, bias = torch.zeros(words.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        weighed = functional.binary_cross_entropy_with_logits(
            words @ weight + bias, wanted, 1 + (FOREIGN_WEIGHT - 1) * wanted
        )
        found = weighed + DECAY * weight.square().sum()
        found.backward()
        return found

    optimizer.step(loss)
    with torch.no_grad():
        reader.foreign.weight.copy_((weight / spread)[None])
        reader.foreign.bias.copy_(bias - (weight / spread) @ mean)


def report(encoder: TextEncoder, reader: Reader, asked: Sequence[Example]) -> None:
    """Print, for each kind, the shares of sentences that are read wholly right, and wrongly."""
    pool = Encoded(encoder, [example.sentence for example in asked])
    rows = pool.rows(example.sentence for example in asked)
    readings = [reading for some in rows.split(BATCH) for reading in reader.read(*pool.batch(some))]
    said, right, wrong = Counter(), Counter(), Counter()
    for example, reading in zip(asked, readings, strict=True):
        wanted = dict(example.answers)
        is_right = reading is not None and all(getattr(reading, question) == to for question, to in wanted.items())
        said.update([example.kind])
        right.update([example.kind] * is_right)
        wrong.update([example.kind] * (reading is not None and not is_right))
    print(f"right {right.total() / said.total():.3f}, wrong {wrong.total() / said.total():.4f}")
    for kind, count in sorted(said.items()):
        print(f"  {kind} ({count}): right {right[kind] / count:.2f}, wrong {wrong[kind] / count:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the text encoder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", default="", metavar="AUTHOR", help="read this author's sentences, write nothing")
    arguments = parser.parse_args()
    encoder = TextEncoder.from_pretrained(arguments.out, with_reader=False)
    reader = taught(encoder, arguments.without, arguments.seed)
    if arguments.without:
        report(encoder, reader, by_author(arguments.without, arguments.seed))
    else:
        reader.save(arguments.out / READER_FILE)


if __name__ == "__main__":
    main()
