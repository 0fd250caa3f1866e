"""What the page says the embedded editor can do. Made from the vocabulary it was taught, which is English."""

from mmdit.model.vocabulary import COLOURS, EFFECTS, OBJECTS, PHOTO_EDITS, PLACES
from mmdit.ui.language import say

WHOLE = "*“make it black and white”, “turn it into night”*"
SEVERAL = "*“remove the dog and make it sepia”*"
SECOND = "*“put the cat of the second picture on the left”*"
ONE = "*“make the cat blue”, “replace the dog with a robot”, “move the star to the top left”*"
WHICH = "*“remove the cat on the left”, “add a star behind the house”*"
PARTS = "*“make the red parts green”*"


def text() -> str:
    """As Markdown, in the language of the page."""
    edits = say("give it another colour, remove it, replace it, add one, move it, make it bigger or smaller.")
    which = say("one of two of a kind, or something new beside another.")
    parts = say("everything of one colour in another, in real photos too.")
    several = say("one after the other, where each is plainly worded.")
    second = say("below the first, a picture whose object is put into it.")
    limits = say(
        "this is a very small model. It learnt objects as emoji-like drawings, so it seldom finds real animals or "
        "things in a photo, and it draws what it adds at low resolution. It knows no faces, no text and no styles. "
        "When it does not understand, it mostly leaves the picture alone and says so, but it can mistake one edit for "
        "another."
    )
    return f"""
**{say("Edit the whole photo:")}** {", ".join((*PHOTO_EDITS, *EFFECTS))}. {WHOLE}

**{say("Parts of it:")}** {parts} {PARTS}

**{say("Edit one object:")}** {edits} {ONE}

**{say("Which one, and where:")}** {which} {WHICH}

**{say("Several edits at once:")}** {several} {SEVERAL}

**{say("A second picture:")}** {second} {SECOND}

**{say("Objects it knows:")}** {", ".join(OBJECTS)}.

**{say("Colours:")}** {", ".join(COLOURS)}. **{say("Places:")}** {", ".join(PLACES)}.

**{say("Its limits:")}** {limits}
"""
