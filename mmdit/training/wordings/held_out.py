"""Templates that training never sees, and the words that they alone may use."""

from mmdit.training.wordings.tables import table, words

# fmt: off
PLAIN: dict[str, tuple[str, ...]] = {
    "recolour": table("""
        paint the {x} {c}; give the {x} a {c} colour; dye the {x} {c}; repaint the {x} in {c}; coat the
        {x} in {c}; let the {x} have a {c} hue; the {x} would look better in {c}; dip the {x} in {c}
        ink; spray the {x} {c}; stain the {x} {c}"""),
    "remove": table("""
        get rid of the {x}; eliminate the {x}; hide the {x}; make the {x} disappear; banish the {x};
        wipe the {x} away; edit out the {x}; photoshop the {x} out; the {x} is unwanted; do away with
        the {x}"""),
    "replace": table("""
        substitute the {x} with a {y}; exchange the {x} for a {y}; trade the {x} for a {y}; transform
        the {x} into a {y}; substitute a {y} for the {x}; morph the {x} into a {y}; the {x} ought to be
        a {y}; let a {y} stand in for the {x}"""),
    "add": table("""
        include a {x} {p}; create a {x} {p}; let there be a {x} {p}; generate a {x} {p}; introduce a {x}
        {p}; sketch a {x} {p}; conjure up a {x} {p}; furnish the {pic} with a {x} {p}"""),
    "bigger": table("""
        the {x} should be huge; increase the size of the {x}; make the {x} gigantic; magnify the {x};
        inflate the {x}; upscale the {x}; the {x} ought to be massive; make the {x} colossal"""),
    "smaller": table("""
        the {x} should be little; decrease the size of the {x}; make the {x} miniature; downsize the
        {x}; diminish the {x}; the {x} ought to be minuscule; make the {x} teeny; a more petite {x}"""),
    "black and white": table("""
        turn the photo monochrome; desaturate completely; monochrome; a monochrome {pic}; strip away
        every hue; fully desaturated; make it achromatic; zero chroma"""),
    "sepia": table("""
        vintage sepia look; a vintage brown photograph; make it look antique"""),
    "invert": table("""
        reverse all colours; reverse the colours; reversed colour {pic}; swap each hue with its
        complement; use the complementary colours; turn every shade into its contrary; colour reversal"""),
    "brighter": table("""
        it is too dark make it lighter; raise the luminosity; illuminate the scene; the {pic} is gloomy
        let it shine; more luminance; it could use some illumination; make it more radiant; the shot is
        murky let us see more"""),
    "darker": table("""
        make it more dim; dim the {pic}; dimmer; make it shadowy; less luminance; it is blinding tone it
        down; the glare is too much; make it gloomier; the {pic} should be murkier"""),
    "warmer": table("""
        make the tones warmer; add a warm tint; push the hues towards orange; orange tinted {pic}"""),
    "cooler": table("""
        add a cold tint; tint it blue; make it icy; push the hues towards blue; blue tinted {pic}"""),
    "contrast": table("""
        stronger contrast; amplify the contrast; make it starker; widen the tonal range; a steeper tonal
        curve; separate the lights from the darks further; more contrasting tones; stark blacks against
        brilliant whites"""),
    "saturation": table("""
        more colourful; make it more colourful; heighten the chroma; juicier colours; lush colours; the
        {pic} is drab liven up the hues; make the hues more flamboyant; stronger colours"""),
    "blur": table("""
        make it out of focus and soft; soft focus; soften the {pic}; smear the {pic}; diffuse the
        details"""),
    "night": table("""
        make it look like midnight; a midnight scene; bathe it in moonlight; turn noon into nightfall;
        moonlit {pic}"""),
}
"""Kind → templates that name the effect."""

FIGURATIVE: dict[str, tuple[str, ...]] = {
    "black and white": table("""
        like a silent movie from the twenties; like an ansel adams print"""),
    "sepia": table("""
        as if from the nineteenth century; like a daguerreotype; like yellowed parchment; give it a
        victorian feel; a faded brown heirloom portrait"""),
    "invert": table("""
        like undeveloped camera film"""),
    "warmer": table("""
        like candlelight; give it a sunset glow; a toasty feeling; a fireside ambience"""),
    "cooler": table("""
        a wintry feel; a frosty ambience; an arctic mood"""),
    "blur": table("""
        like looking through frosted glass; as seen without my glasses; a dreamy bokeh"""),
    "night": table("""
        as if shot at two in the morning; set the hour to eleven pm; the stars are out and everyone
        sleeps"""),
}
"""Kind → templates that name a likeness, a mood or an hour instead of the effect."""

HELD_OUT_WORDS = frozenset(words("""
    paint repaint dye hue hues coat ink spray stain dip eliminate hide disappear banish wipe photoshop
    unwanted substitute exchange trade transform morph ought include create generate introduce sketch
    conjure furnish huge gigantic magnify inflate upscale massive colossal little miniature downsize diminish
    minuscule teeny petite monochrome desaturate desaturated achromatic chroma silent ansel adams
    vintage antique century daguerreotype yellowed parchment victorian heirloom reverse reversed
    reversal complement complementary undeveloped contrary luminosity luminance illuminate illumination
    gloomy gloomier murky murkier radiant dim dimmer shadowy blinding glare tint tinted candlelight
    toasty fireside ambience icy wintry frosty arctic stronger amplify stark starker tonal steeper
    colourful colorful juicier lush drab flamboyant soft soften smear frosted diffuse bokeh midnight
    moonlight moonlit nightfall noon eleven"""))
"""Words of the held-out templates that no training instruction may contain."""
HELD_OUT_PHRASES = table("""
    get rid of; increase the size; decrease the size; let there be; do away with; make the tones; as
    seen without""")
