"""Collect what training needs into one folder: drawn objects, photographs, the text encoder.

In: the packages that `packages.sh` unpacked. Out: files of a data folder, none of which belongs into the
repository. Licences: assets/mini/README.md.

    python -m mmdit.training.prepare --packages data/packages --out data

With --text-encoder it also makes the text encoder that is shipped in assets/mini.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertConfig

from mmdit.images import FORMATS
from mmdit.model.text import MAX_TOKENS, TextEncoder
from mmdit.model.vocabulary import OBJECTS

SPRITE_SIZE = 128
FONT_SIZE = 109  # the only bitmap size that Noto Color Emoji has
PHOTOGRAPH_SHORT_SIDE = 320
COMMONEST = 6000  # the encoder's vocabulary is ordered by frequency; entries before this are kept as they are
NOT_PHOTOGRAPHS = ("screenshot", "icon", "logo")


def draw_objects(font_file: Path) -> Tensor:
    """(objects, 4, 128, 128) uint8, premultiplied RGBA, each object centred and filling the square."""
    font = ImageFont.truetype(str(font_file), FONT_SIZE)
    sprites = []
    for name, character in OBJECTS.items():
        canvas = Image.new("RGBA", (192, 192), (0, 0, 0, 0))
        ImageDraw.Draw(canvas).text((24, 24), character, font=font, embedded_color=True)
        box = canvas.getbbox()
        if box is None:
            raise ValueError(f"{font_file} does not draw {name} ({character}); it must be Noto Color Emoji")
        drawn = canvas.crop(box)
        side = max(drawn.size) + 4
        square = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        square.paste(drawn, ((side - drawn.width) // 2, (side - drawn.height) // 2))
        square = square.convert("RGBa").resize((SPRITE_SIZE, SPRITE_SIZE), Image.Resampling.LANCZOS)
        sprites.append(torch.from_numpy(np.frombuffer(square.tobytes(), np.uint8).copy().reshape(128, 128, 4)))
    return torch.stack(sprites).permute(0, 3, 1, 2).contiguous()


def find_photographs(folders: list[Path]) -> list[Path]:
    """One file a wallpaper: of a package's many sizes of the same picture, the smallest that is large enough."""
    chosen: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp") or file.is_symlink():
                continue
            if any(word in file.name.lower() for word in NOT_PHOTOGRAPHS):
                continue
            subject = str(file.parent.parent) if file.parent.name.startswith("images") else str(file)
            best = chosen.get(subject)
            if best is None or file.stat().st_size < best.stat().st_size:
                chosen[subject] = file
    return sorted(chosen.values())


def load_photograph(file: Path) -> Tensor | None:
    """(3, height, width) uint8 with a short side of 320, or None for a file that is no usable picture."""
    try:
        with Image.open(file, formats=FORMATS) as opened:
            opened.draft("RGB", (1280, 1280))
            picture = opened.convert("RGB")
    except (UnidentifiedImageError, OSError):
        return None
    scale = PHOTOGRAPH_SHORT_SIDE / min(picture.size)
    if scale > 1.0 or max(picture.size) * scale > 3 * PHOTOGRAPH_SHORT_SIDE:
        return None
    picture = picture.resize(tuple(round(side * scale) for side in picture.size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).contiguous()


def english_words(wordnet: Path) -> set[str]:
    """The words of WordNet's index files and of its lists of irregular forms."""
    words: set[str] = set()
    for file in (*wordnet.glob("index.*"), *wordnet.glob("*.exc")):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        words.update(line.split()[0] for line in lines if line.strip() and not line.startswith(" "))
    return words


def is_english(word: str, words: set[str]) -> bool:
    """Whether a lower-case word, or the word it is a regular form of, is listed."""
    endings = (("s", ""), ("es", ""), ("ies", "y"), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"), ("er", ""),
               ("er", "e"), ("est", ""), ("est", "e"), ("ly", ""))  # fmt: skip
    return word in words or any(
        word.endswith(ending) and word.removesuffix(ending) + stem in words for ending, stem in endings
    )


def kept_pieces(tokenizer_json: dict, words: set[str]) -> dict[str, int]:
    """Word pieces to keep → their numbers: English words, the commonest entries and all ASCII pieces, in their order.

    Whatever is dropped (names, other scripts) is from then on spelt in pieces.
    """
    vocabulary = tokenizer_json["model"]["vocab"]
    special = {token["content"] for token in tokenizer_json["added_tokens"]}

    def keeps(token: str, index: int) -> bool:
        piece = token.removeprefix("##")
        if token in special:
            return True
        if not (piece.isascii() and piece.isalnum()) or (piece.isdigit() and len(piece) > 2):
            return False
        return token != piece or len(piece) == 1 or index < COMMONEST or is_english(token, words)

    return {
        token: index for token, index in sorted(vocabulary.items(), key=lambda item: item[1]) if keeps(token, index)
    }


def convert_text_encoder(folder: Path, wordnet: Path, destination: Path) -> None:
    """all-MiniLM-L6-v2 as published (config.json, tokenizer.json, model.safetensors) → our 8-bit files."""
    tokenizer_json = json.loads((folder / "tokenizer.json").read_text())
    kept = kept_pieces(tokenizer_json, english_words(wordnet))
    places = MAX_TOKENS + 2  # and the encoder's own tokens at both ends
    published = json.loads((folder / "config.json").read_text())
    published |= {"vocab_size": len(kept), "max_position_embeddings": places}
    encoder = TextEncoder(BertConfig(**published), list(kept))
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][list(kept.values())]
    of_places = "embeddings.position_embeddings.weight"
    weights[of_places] = weights[of_places][:places]
    encoder.bert.load_state_dict({name: weights[name] for name in encoder.bert.state_dict()})
    encoder.save_pretrained(destination)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="folder that packages.sh filled")
    parser.add_argument("--text-encoder", type=Path, help="folder of all-MiniLM-L6-v2 as published, to convert")
    parser.add_argument("--out", type=Path, required=True, help="data folder to fill")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    font = arguments.packages / "fonts-noto-color-emoji/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
    save_file({"sprites": draw_objects(font)}, arguments.out / "objects.safetensors")
    folders = [*arguments.packages.glob("*/usr/share/backgrounds"), *arguments.packages.glob("*/usr/share/wallpapers")]
    photographs: dict[str, Tensor] = {}
    for file in find_photographs(folders):
        picture = load_photograph(file)
        if picture is not None:
            photographs["/".join(file.parts[-5:])] = picture
    save_file(photographs, arguments.out / "photographs.safetensors")
    if arguments.text_encoder:
        wordnet = arguments.packages / "wordnet-base/usr/share/wordnet"
        convert_text_encoder(arguments.text_encoder, wordnet, arguments.out / "text_encoder")
    print(f"{len(OBJECTS)} objects and {len(photographs)} photographs in {arguments.out}")


if __name__ == "__main__":
    main()
