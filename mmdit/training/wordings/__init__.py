"""How people ask for edits: English instructions for every kind of edit, in hundreds of wordings.

Splits: "train"; "wordings", templates that training never sees and that name the effect; "figurative", such that
name a likeness, a mood or an hour instead; "synonyms", the training templates with nouns and colours that training
never sees.
"""

from mmdit.training.wordings.generate import SPLITS, core_count, held_out_objects, instruction, leave_alone

__all__ = ["SPLITS", "core_count", "held_out_objects", "instruction", "leave_alone"]
