"""How people ask for edits of the whole picture: the training templates."""

from mmdit.training.wordings.tables import table

# fmt: off
SHORT: dict[str, tuple[str, ...]] = {
    "black and white": table("""
        black and white; make it black and white; grayscale; convert to grayscale; bw; b and w; remove
        all colour; greyscale; turn it black and white"""),
    "sepia": table("""
        sepia; make it sepia; sepia tone; apply sepia; sepia photo; sepia filter; turn it sepia"""),
    "invert": table("""
        invert; invert the colours; negative; make it a negative; invert it; negative colours; photo
        negative; invert the image"""),
    "brighter": table("""
        brighter; make it brighter; brighten; brighten it; more light; increase the brightness; make it
        lighter; lighten it; lighten the photo"""),
    "darker": table("""
        darker; make it darker; darken; darken it; less light; decrease the brightness; less bright"""),
    "warmer": table("""
        warmer; make it warmer; warm it up; warmer colours; warm tone; warmer tone; warm colours"""),
    "cooler": table("""
        cooler; make it cooler; cool it down; cooler colours; cool tone; colder; colder colours"""),
    "contrast": table("""
        more contrast; increase the contrast; high contrast; boost the contrast; add contrast; higher
        contrast"""),
    "saturation": table("""
        more saturation; increase the saturation; more saturated; vivid colours; saturate it; more
        vivid; boost the colours; saturate the colours"""),
    "blur": table("""
        blur; blur it; make it blurry; blur the image; blurry; blurrier; blur the photo; out of focus"""),
    "night": table("""
        make it night; night; at night; night time; turn day into night; nighttime; night scene"""),
}
"""Kind → the short wordings that most people use."""

CORES: dict[str, dict[str, tuple[str, ...]]] = {
    "black and white": {
        "do": table("""
            make {it} black and white; turn {it} black and white; convert {it} to (black and
            white|greyscale|grey scale|bw|b and w); change {it} to (black and white|greyscale); make
            {it} (greyscale|grey|bw|b and w); turn {it} (grey|greyscale); remove all colour (from
            {it}|); remove the colour (from {it}|); remove all the colours; take (out|away) (the|all
            the|all) colours; take the colour out of {it}; drain the colour (from {it}|); strip the
            colour (from {it}|); drop the colours; make {it} colourless; make {it} (look|) like an old
            black and white (film|movie|tv|{pic}); give {it} a noir style; make {it} film noir; show
            {it} (in black and white|without colour|in greyscale); render {it} in (greys|black and
            white); put {it} in black and white; apply a (black and white|greyscale|noir)
            (filter|effect); delete all colours; use only (greys|shades of grey|black and white); use a
            black and white filter; make {it} (lose|have no) colour; turn the saturation down to zero;
            set the saturation to zero; bleach out all the colours; make all the colours grey; turn all
            colours into grey; suck the colour out of {it}; wash all the colour out of {it}; kill the
            colour; get all colours out; turn {it} into a (black and white|greyscale|bw) {pic}; filter
            out all colours; make {it} noir; only keep grey"""),
        "say": table("""
            {it} should be (black and white|grey|in black and white|greyscale); i don't want any
            colours; i want {it} in (black and white|grey); i want {it} black and white; there should be
            no colour; i want no colours (at all|); {it} should have no colour; without any colours;
            without colour; can {it} be black and white; {it} needs to be black and white; nothing but
            greys; i prefer {it} in black and white; i don't want {it} in colour; {it} should not have
            colours"""),
        "noun": table("""
            black and white {pic}; a black and white (version|look|effect|filter|{pic}); greyscale; a
            greyscale (version|look|{pic}); black and white; black n white; b and w; bw; bw {pic}; no
            colour; no colours (at all|); zero colour; shades of grey; only grey; noir; a noir look;
            noir style; film noir style; grey tones; colourless; a colourless {pic}; black white; just
            greys; grey scale; black and white only; classic black and white; a {pic} with no colours"""),
    },
    "sepia": {
        "do": table("""
            make {it} sepia; turn {it} sepia; convert {it} to sepia; change {it} to sepia; apply a sepia
            (tone|filter|effect|wash); apply sepia (to {it}|); add a sepia (tone|filter|effect); add
            sepia (to {it}|); give {it} a sepia (tone|look|feel|effect); make {it} sepia toned; put a
            sepia filter on {it}; use a sepia (filter|tone|effect); sepia tone {it}; make {it} look
            (aged|really old|like an old {pic}|old fashioned|old timey|ancient); age {it}; make {it}
            brownish; tone {it} brown; give {it} an (old fashioned|aged|old timey|old) look; turn {it}
            into an old (brown|brownish|sepia) {pic}; make {it} look like (grandma's|grandpa's|a very
            old|a hundred year old) {pic}; make {it} look like the (old|wild) west; give {it} a brownish
            (tone|look); make {it} brown toned; make {it} look like an old western; make {it} retro and
            brown; make {it} look a hundred years old; turn everything to brown tones; make {it}
            nostalgic and brown; show {it} in sepia; render {it} in (sepia|brown tones); change the
            colours to sepia; do a sepia effect; make {it} look (like the 1900s|like from 1890); make
            all the colours sepia; make all the colours brownish"""),
        "say": table("""
            {it} should be (sepia|in sepia|sepia toned); i want {it} in sepia; i want {it} sepia; {it}
            should look (aged|very old|old fashioned); i want {it} to look (old|aged|like an old {pic});
            can {it} be sepia; {it} looks too new make it look old; i like sepia use it here; {it}
            should look like (an old {pic}|the 1900s); {it} needs a sepia tone; {it} needs an old brown
            look; i want an old brown {pic}; as if {it} was a hundred years old; it should look like it
            was taken long ago"""),
        "noun": table("""
            sepia; a sepia {pic}; a sepia (tone|look|effect|filter|version); sepia toned; sepia tones;
            old {pic} look; an old {pic} effect; old sepia {pic} effect; old brown {pic}; brownish old
            {pic}; brown tones; an aged look; an aged {pic}; old timey look; wild west style; old
            western look; old fashioned {pic}; brown tinged {pic}; retro sepia; retro brown look; that
            old brown {pic} look; sepia style; sepia colours; nostalgic brown; great grandma's {pic}
            album look"""),
    },
    "invert": {
        "do": table("""
            invert {it}; invert the colours (of {it}|); invert all (the|) colours; invert every colour;
            make {it} a negative; make {it} (inverted|negative); turn {it} into (a negative|a {pic}
            negative|its negative); flip the colours (of {it}|); flip all colours; swap (all|) the
            colours (for|with) their opposites; make all (the|) colours opposite; use
            (opposite|inverted|negative) colours; convert {it} to (a negative|negative|inverted
            colours); apply a negative (effect|filter); apply an invert (effect|filter); make {it} look
            like a (film negative|{pic} negative|negative|x-ray negative); show {it} as a negative; show
            the negative (of {it}|); make the colours (inverted|opposite|negative); turn the colours
            into their opposites; change {it} to negative; change every colour to its opposite; turn
            light into dark and dark into light; swap light and dark; give {it} a negative effect; do a
            colour inversion; do an inversion; perform colour inversion; switch the colours to their
            opposites; negate {it}; negate the colours; turn {it} negative; make {it} an x-ray style
            negative; put {it} in negative; render {it} as a negative; inverse the colours; make an
            inverse of {it}; invert black and white and all colours; flip {it} to negative; make the
            dark parts light and the light parts dark"""),
        "say": table("""
            {it} should be (a negative|inverted|in negative); the colours should be
            (inverted|opposite|flipped|negative); i want {it} inverted; i want the colours inverted; i
            want the negative; i want a negative (of {it}|); can {it} be a negative; can the colours be
            inverted; i want the opposite colours; every colour should be its opposite; all colours
            should be flipped; {it} should look like (a negative|a film negative); what does the
            negative look like; i want to see the negative"""),
        "noun": table("""
            inverted colours; negative; a negative; a {pic} negative; a film negative; the negative (of
            {it}|); negative colours; opposite colours; the opposite colours; flipped colours; inverse
            colours; a colour inversion; inversion; an inverted {pic}; inverted; an inverted version;
            negative effect; x-ray like negative; a negative (version|filter|effect|look); colour
            invert; invert filter; x-ray negative look; all colours inverted"""),
    },
    "brighter": {
        "do": table("""
            make {it} {more}brighter; brighten {it} (up|); brighten {it} (a bit|a lot|slightly|);
            increase the brightness (of {it}|); make {it} {more}lighter; lighten {it} (up|); lighten
            {it} a bit; light {it} up; light up {it}; increase the exposure; raise the
            (brightness|exposure); turn up the (brightness|light|lights); turn the brightness up; boost
            the (brightness|exposure|light); add (more|some|) light; add (more|some|) brightness; add
            brightness to {it}; give {it} (more|some more) light; let more light in; make {it} bright;
            make {it} light; make {it} less dark; make {it} not so dark; bump up the
            (brightness|exposure); bump the brightness; put more light on {it}; shine more light on
            {it}; up the (brightness|exposure); expose {it} more; set a higher brightness; make {it}
            {more}better lit; make {it} well lit; make the light {more}brighter; change the brightness
            to higher; apply more brightness; make {it} look brighter; fix the underexposed {pic}; make
            the colours lighter; push the exposure up; crank up the brightness; use a higher exposure;
            make {it} easier to see by adding light; make {it} super bright"""),
        "say": table("""
            {it} is too dark; {it} is {more}too dark; {it} looks too dark; {it} is underexposed; {it} is
            so dark; {it} should be {more}brighter; {it} should be lighter; i want {it} {more}brighter;
            i want {it} lighter; {it} needs (more|some) light; {it} needs more brightness; there should
            be more light; there is not enough light; {it} is not bright enough; it isn't bright enough;
            why is {it} so dark; i can't see anything it is too dark; i can hardly see anything here;
            {it} came out too dark; can {it} be brighter; {it} could be brighter; {it} turned out
            underexposed; the light is too weak; {it} is poorly lit; it's too dark; too dark"""),
        "noun": table("""
            more light; more brightness; a {more}brighter {pic}; a lighter {pic}; {more}brighter;
            brighter please; higher brightness; higher exposure; more exposure; extra light; a bright
            {pic}; brighter light; a {more}brighter look; {more}lighter; some more light; more light on
            {it}; less darkness; a well lit {pic}; lighter colours"""),
    },
    "darker": {
        "do": table("""
            make {it} {more}darker; darken {it}; darken {it} (a bit|a lot|slightly); decrease the
            (brightness|exposure); reduce the brightness (of {it}|); reduce the (light|exposure); lower
            the (brightness|exposure|light); turn down the (brightness|light|lights); turn the
            brightness down; make {it} dark; make {it} less bright; make {it} not so bright; bring down
            the (brightness|exposure); drop the (brightness|exposure); cut the (brightness|light); take
            away some (light|brightness); remove some light; take some light out of {it}; use less
            light; add darkness; make the light {more}weaker; expose {it} less; set a lower brightness;
            change the brightness to lower; tone the brightness down; make {it} look darker; make the
            colours darker; make {it} {more}less bright; pull the exposure down; use a lower exposure;
            let less light in; make {it} badly lit; make {it} poorly lit; make all of it darker; put
            less light on {it}; fix the overexposed {pic}; give {it} less light; give {it} a darker
            look; go darker; go darker with {it}; turn {it} darker; tame the brightness; shade {it}
            darker; make {it} low light; apply less brightness; knock down the brightness"""),
        "say": table("""
            {it} is too bright; {it} is {more}too bright; {it} looks too bright; {it} is overexposed;
            {it} is so bright; {it} should be {more}darker; i want {it} {more}darker; {it} should be
            less bright; {it} needs less light; {it} needs less brightness; there should be less light;
            there is too much light; {it} is not dark enough; it isn't dark enough; why is {it} so
            bright; the brightness hurts my eyes; {it} came out too bright; can {it} be darker; {it}
            could be darker; {it} turned out overexposed; the light is too strong; it's too bright; too
            bright; {it} is too light; too much light"""),
        "noun": table("""
            less light; less brightness; a {more}darker {pic}; {more}darker; lower brightness; lower
            exposure; less exposure; a dark {pic}; a {more}darker look; darker light; less light on
            {it}; more darkness; a low light look; darker colours; reduced brightness; {it} but darker;
            darker tones; a darker version"""),
    },
    "warmer": {
        "do": table("""
            make {it} {more}warmer; warm {it} up; warm up {it}; make the colours {more}warmer; give {it}
            a (warm|warmer) (tone|look|feel|cast|mood); add (warmth|some warmth|more warmth); add warmth
            to {it}; use (warm|warmer) (colours|tones); apply a (warm|warming) (filter|tone); put a warm
            filter on {it}; make {it} (cosy|cozy|cosier|warm|warm looking|look warm); give {it} a
            (cosy|cozy|sunny) (feel|mood|tone|look); raise the colour temperature towards orange; make
            the colour temperature {more}warmer; shift {it} (to|towards) (orange|yellow|warm colours);
            give {it} an (orange|amber|orangey) (cast|tone|glow); add (an orange|a yellow|an amber|a
            warm) (cast|tone|glow); make {it} (more|a bit|slightly) orange; make {it} more
            (yellow|orangey|yellowish|amber); make the light (warmer|warm|yellowish|orangey); warm the
            (colours|tones|light) up; warm the {pic}; heat up the colours; push the colours (to|towards)
            orange; make the white balance warmer; set a warmer white balance; adjust the white balance
            to be warmer; make {it} feel (warm|warmer|cosy|sunny); make {it} look like a warm summer
            evening; turn up the warmth; increase the warmth; boost the warmth; bring more warmth into
            {it}; make {it} less (cold|blue|bluish); take the cold out of {it}; change the colours to
            warm ones; tone {it} warmer; make {it} look sunny and warm"""),
        "say": table("""
            {it} is too (cold|blue|cool|bluish); {it} looks too (cold|blue|cool); {it} looks cold; {it}
            should be {more}warmer; {it} feels too cold; i want {it} {more}warmer; i want warmer
            colours; i want a warm (feel|tone|look); {it} needs (more|some) warmth; the colours are too
            (cold|cool|blue); the colours should be warmer; {it} should feel (cosy|warm|warmer); can
            {it} be warmer; the white balance is too cold; it's too cold; the colours look cold; the
            light is too (cold|blue); {it} should have a warm (tone|glow)"""),
        "noun": table("""
            warmer; {more}warmer colours; a warm (tone|look|feel|glow|filter|mood); warm tones; warmer
            tones; warm colours; more warmth; warm colour temperature; a warmer colour temperature; a
            warmer white balance; warm light; {more}warmer light; an orange cast; a yellow cast; an
            orange tone; orangey tones; an amber glow; a cosy look; cosy warm colours; a warm sunny
            look; a {more}warmer {pic}; more (orange|yellow) tones; extra warmth; summer warmth; warm
            and cosy; a warm yellow light"""),
    },
    "cooler": {
        "do": table("""
            make {it} {more}cooler; cool {it} down; cool down {it}; make the colours
            {more}(cooler|colder); give {it} a (cool|cooler|cold|colder) (tone|look|feel|cast|mood); add
            (a cool|a cold|a blue|a bluish) (cast|tone|glow); add coolness; add some cold to the
            colours; use (cool|cooler|cold|colder) (colours|tones); apply a (cool|cooling|cold)
            (filter|tone); put a (cool|cold) filter on {it}; make {it} {more}colder; make {it}
            (cold|cool toned|look cold|cold looking); make {it} (bluish|bluer|more blue|more bluish|a
            bit blue); lower the colour temperature towards blue; make the colour temperature
            {more}(cooler|colder); shift {it} (to|towards) (blue|cold colours|cool colours); shift the
            colours to blue; give {it} a (blue|bluish) (cast|tone|look|glow); make the light
            (cooler|colder|bluish|cold); cool the (colours|tones|light) down; cool the {pic}; push the
            colours (to|towards) blue; make the white balance {more}(cooler|colder); set a cooler white
            balance; adjust the white balance to be cooler; make {it} feel (cold|colder|chilly); make
            {it} look (chilly|like a cold day|like winter light); increase the coolness; make {it} less
            (warm|orange|yellow); reduce the warmth; turn down the warmth; take the warmth out of {it};
            remove the (orange|yellow|warm) cast; change the colours to cold ones; tone {it} cooler;
            tone {it} blue; lower the warmth; bring cold colours into {it}; decrease the warmth"""),
        "say": table("""
            {it} is too (warm|orange|yellow|yellowish); {it} looks too (warm|orange|yellow); {it} should
            be {more}(cooler|colder); {it} feels too warm; i want {it} {more}(cooler|colder); i want
            (cooler|colder|cold) colours; i want a (cold|cool|bluish) (feel|tone|look); {it} needs a
            cooler tone; the colours are too (warm|orange|yellow); the colours should be
            (cooler|colder|bluish); {it} should feel (cold|chilly|colder); can {it} be cooler; the white
            balance is too warm; it's too warm; the colours look too warm; the light is too
            (warm|orange|yellow); {it} should have a (cold|cool) tone; there is too much
            (warmth|orange|yellow) in {it}"""),
        "noun": table("""
            cooler; colder; {more}cooler colours; colder colours; a (cool|cold)
            (tone|look|feel|filter|mood); cool tones; cold tones; cooler tones; cold colours; cool
            colours; cold colour temperature; a cooler colour temperature; a cooler white balance; cold
            light; bluish light; a blue cast; a bluish (tone|cast|look); a blue tone; bluish tones; a
            {more}cooler {pic}; a {more}colder {pic}; more blue tones; less warmth; a chilly look;
            winter colours; cold winter look; cold blue light; a cold blue look"""),
    },
    "contrast": {
        "do": table("""
            increase the contrast (of {it}|); boost the contrast; raise the contrast; turn up the
            contrast; turn the contrast up; add contrast; add more contrast; add (some|extra) contrast
            (to {it}|); give {it} (more|higher|some|better|extra) contrast; make {it} (more|) contrasty;
            make {it} high contrast; make {it} {more}more contrasty; up the contrast; bump up the
            contrast; bump the contrast; enhance the contrast; improve the contrast; make the contrast
            {more}(higher|greater|bigger|better); set a higher contrast; push the contrast (up|); pump
            up the contrast; crank up the contrast; use (more|high|higher) contrast; apply
            (more|high|higher) contrast; apply a high contrast (filter|effect|look); bring up the
            contrast; max out the contrast; make the darks darker and the lights lighter; make dark
            parts darker and bright parts brighter; deepen the blacks and lift the whites; make the
            blacks blacker and the whites whiter; make the shadows deeper and the highlights brighter;
            make {it} less flat; fix the flat contrast; make {it} look less flat; turn {it} high
            contrast; change the contrast to high; put more contrast in {it}; get more contrast out of
            {it}; make {it} more dramatic with contrast; make the difference between light and dark
            bigger; sharpen the contrast; lift the contrast; strengthen the contrast; heavily increase
            the contrast; have more contrast"""),
        "say": table("""
            {it} is too flat; {it} looks (too|so|) flat; {it} needs (more|higher|better|some) contrast;
            {it} should have (more|higher) contrast; there is not enough contrast; there isn't enough
            contrast; the contrast is too (low|weak); the contrast should be (higher|greater); i want
            more contrast; i want a high contrast (look|{pic}); there should be more contrast; {it}
            lacks contrast; {it} has too low contrast; why is the contrast so low; can {it} have more
            contrast; {it} could use more contrast; the contrast needs to go up; contrast is too low;
            the contrast is bad"""),
        "noun": table("""
            more contrast; high contrast; higher contrast; a {more}higher contrast; extra contrast;
            better contrast; some contrast; greater contrast; a high contrast
            (look|version|effect|{pic}); a contrasty {pic}; a contrast boost; contrast up; contrast
            higher; {more}more contrast; lots of contrast; deeper shadows and brighter highlights;
            darker darks and lighter lights; contrast enhancement; a contrast increase; maximum
            contrast; contrasty; super high contrast; plus contrast"""),
    },
    "saturation": {
        "do": table("""
            increase the saturation (of {it}|); boost the saturation; raise the saturation; turn up the
            saturation; turn the saturation up; add saturation; saturate {it}; saturate the colours
            (more|); make {it} {more}more saturated; make the colours
            (vivid|vibrant|rich|intense|bold|pop|punchy); make the colours {more}more
            (vivid|vibrant|saturated|intense|lively); make the colours (richer|punchier|bolder|deeper);
            make {it} (vivid|vibrant); make {it} {more}more (vivid|vibrant); boost the colours; enhance
            the colours; intensify the colours; pump up the colours; crank up the colours; turn up the
            colours; increase the colour intensity; boost the vibrance; increase the
            (vibrance|vibrancy); bump up the saturation; add more colour; add vibrance; give {it}
            (more|richer|bolder|vivid|vibrant) colours; give {it} more colour; give the colours more
            (life|punch|intensity); bring out the colours; bring the colours to life; put more colour
            into {it}; make the colours come alive; oversaturate {it}; up the saturation; set a higher
            saturation; use (more vivid|vivid|richer|bolder) colours; make {it} less (dull|grey); make
            the colours less (dull|pale|faded|grey); fix the (dull|faded|pale) colours; enrich the
            colours; make every colour more intense; apply more saturation; make {it} full of colour;
            strengthen the colours; max out the saturation; make {it} pop with colour"""),
        "say": table("""
            the colours are too (dull|pale|weak|faded|grey); the colours look (dull|pale|faded|washed
            out|weak); {it} needs more (colour|saturation|vibrance); the colours should be
            (richer|bolder|more vivid|more vibrant|more intense|vivid); {it} should be more
            (vivid|vibrant|saturated); the colours should pop; i want (richer|bolder|vivid|vibrant|more
            vivid) colours; i want the colours to pop; there should be more colour; the colours lack
            (life|punch); {it} has not enough colour; {it} needs richer colours; the saturation is too
            low; the saturation should be higher; can the colours be more vivid; {it} is not saturated
            enough; the colours aren't vivid enough; not enough colour; why are the colours so dull"""),
        "noun": table("""
            more saturation; more saturated; higher saturation; {more}more vivid colours; vivid colours;
            vibrant colours; more vibrant colours; richer colours; rich colours; bolder colours; bold
            colours; punchier colours; punchy colours; intense colours; more intense colours; more
            colour; {more}more saturated colours; more vibrance; more vibrancy; deeper colours; extra
            saturation; high saturation; saturated colours; a saturation boost; a {more}more vivid
            {pic}; a vibrant {pic}; a vivid look; colours that pop; lively colours; livelier colours;
            saturation up; maximum saturation; more colour intensity"""),
    },
    "blur": {
        "do": table("""
            blur {it}; blur {it} (a bit|a lot|slightly|heavily|completely); make {it}
            (blurry|blurred|fuzzy|hazy|unsharp|out of focus|unfocused); make {it}
            {more}(blurrier|fuzzier); make {it} more blurry; make {it} less sharp; make {it} not sharp;
            make {it} look (blurry|fuzzy|blurred|out of focus); apply a (gaussian|) blur; apply blur (to
            {it}|); apply a blur (effect|filter); add (a|some) blur; add blur to {it}; add a blur
            (effect|filter); put a blur on {it}; put {it} out of focus; take {it} out of focus; throw
            {it} out of focus; bring {it} out of focus; defocus {it}; unfocus {it}; unsharpen {it};
            reduce the sharpness; lower the sharpness; decrease the sharpness; turn down the sharpness;
            remove the sharpness; take away the sharpness; turn {it} (blurry|fuzzy); smooth {it} out;
            smooth out the details; smudge {it}; fuzz {it}; use a blur (filter|effect); use a gaussian
            blur; give {it} a (blur|blurry look|blurred look|blur effect); give {it} a gaussian blur;
            make the details (blurry|fuzzy|unclear); blur out {it}; blur {it} out; blur everything; make
            everything blurred; make {it} hard to see by blurring; make {it} unclear; run a blur over
            {it}; make {it} blurry all over; make {it} foggy and unsharp"""),
        "say": table("""
            {it} is too sharp; {it} looks too sharp; {it} should be (blurry|blurred|out of
            focus|fuzzy|less sharp|blurrier); i want {it} (blurry|blurred|blurrier); i want {it} out of
            focus; i want a (blurry|blurred) {pic}; {it} needs (a|some|more) blur; there should be
            (a|some|more) blur; can {it} be (blurry|blurred); {it} should not be (so|) sharp; {it}
            shouldn't be sharp; as if {it} was out of focus; as if the camera was out of focus; the
            sharpness is too high; everything should be (blurry|blurred|fuzzy); i don't want {it} sharp;
            like the lens was out of focus; it's too sharp; too sharp"""),
        "noun": table("""
            blur; a blur; a gaussian blur; a blur (effect|filter); a (blurry|blurred|fuzzy|hazy) {pic};
            blurry; blurred; fuzzy; more blur; some blur; {more}blurrier; out of focus; an out of focus
            {pic}; an out of focus look; a blurry look; less sharpness; {more}less sharp; unsharp; an
            unsharp {pic}; blurriness; fuzziness; a blurred version; lots of blur; smooth blur; a fuzzy
            look; everything blurred; blurry effect"""),
    },
    "night": {
        "do": table("""
            make {it} night; make {it} (nighttime|night time); turn day into night; turn the day into
            night; turn {it} into (night|nighttime|a night scene|a night {pic}); change {it} to
            (night|nighttime|night time|a night scene); change the day to night; make {it} look like
            (night|nighttime|night time|it is night|it's night); make {it} look like it was (taken|shot)
            at night; make it look like it is (night|late at night); convert {it} (to|into) (night|a
            night scene|nighttime); make {it} a night (scene|shot|{pic}); make {it} (nocturnal|like
            night|night like); set {it} at night; set the time to night; switch {it} to night; switch
            from day to night; change the time (of day|) to night; change daytime to nighttime; make the
            time of day night; show {it} (at night|by night|after dark|after sunset|at nighttime); apply
            a night (effect|filter|look); add a night (effect|filter); use a (night|day for night)
            (filter|effect); give {it} a night (look|feel|mood|time look); give {it} a nighttime
            (look|feel|mood); make {it} look like after (dark|sunset); make {it} after dark; let night
            fall; let it be night; bring the night; make it late at night; make it late evening and dark
            like night; replace day with night; swap day for night; make it night outside; make the
            night come; turn daytime into nighttime; turn daylight into night; have it be night; do day
            to night; do a night version; simulate night; simulate nighttime; fake a night shot; make
            the scene happen at night"""),
        "say": table("""
            {it} should be (at night|night|nighttime|a night scene); i want {it} at night; i want {it}
            to be night; i want a night (scene|{pic}|shot); it should be night; it should be
            (nighttime|night time|late at night); as if (at night|it was night|taken at night); can {it}
            be at night; i want to see {it} (at|by) night; what would {it} look like at night; how does
            {it} look at night; it is night; it's night now; it is night time now; it should look like
            night; i don't want daytime i want night; night should fall; {it} happens at night; pretend
            it is night; imagine {it} at night"""),
        "noun": table("""
            night; nighttime; night time; a night (scene|shot|{pic}|version|look|effect|filter|mood); a
            nighttime (scene|{pic}|version|look); {it} at night; {it} by night; night instead of day;
            nighttime not daytime; night mode scenery; after dark; after sunset; late at night; a
            nocturnal (scene|look|{pic}); night look; night atmosphere; a dark night scene; day to
            night; day for night; night lighting; a night sky look; at night"""),
    },
}
"""Kind → form → templates: "do" follows "can you", "say" is a sentence of its own, "noun" follows "i want"."""
