"""What the page says the embedded editor can do. Made from the vocabulary it was taught."""

from mmdit.training.vocabulary import COLOURS, OBJECTS, PHOTO_EDITS, PLACES

TEXT = f"""
**Edit the whole photo:** {", ".join(PHOTO_EDITS)}. *“make it black and white”, “turn it into night”*

**Edit one object:** give it another colour, remove it, replace it, add one, make it bigger or smaller.
*“make the cat blue”, “replace the dog with a robot”, “add a star at the top left”*

**Objects it knows:** {", ".join(OBJECTS)}.

**Colours:** {", ".join(COLOURS)}. **Places:** {", ".join(PLACES)}.

**Its limits:** this is a very small model. It learnt objects as emoji-like drawings, so it seldom finds real
animals or things in a photo, and it draws what it adds at low resolution. It knows no faces, no text and no
styles. When it does not understand,
it mostly leaves the picture alone and says so, but it can mistake one edit for another.
"""
