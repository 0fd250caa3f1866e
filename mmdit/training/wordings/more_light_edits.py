"""Further wordings of edits of light and sharpness, by an author who had not seen the others."""

from mmdit.training.wordings.tables import table

# fmt: off
CORES: dict[str, dict[str, tuple[str, ...]]] = {
    "brighter": {
        "do": table("""
            bump (up|) the exposure (a stop|by one stop|); add a stop of light; throw more light on {it}; shed
            more light on the scene; pour some light into {it}; flood {it} with light; let the daylight in;
            open the aperture wider for more light; expose longer to gain light; lift the shadows and
            midtones; lift the gamma; raise the gamma; raise the brightness (slider|level|); crank the
            brightness; turn on the lights; switch a lamp on; fetch a lamp for {it}; put a floodlight on {it};
            use a flash; fire a fill flash over the entire {pic}; increase the light level; raise all the
            levels towards white; move the white point so everything gets lighter; drag the midpoint of the
            levels to lighten; lift the curve upward; bow the tone curve upward; multiply the pixel values to
            lighten {it}; screen-blend {it} with itself; use the screen mode to lighten; dodge the whole
            {pic}; make {it} high key; give {it} a high-key treatment; rescue {it} from the gloom; pull {it}
            out of the shadows; drag {it} out of the darkness; chase the gloom away; dispel the gloom; undo
            the underexposure; fix the underexposure; correct the insufficient light; reduce the darkness;
            make {it} {more}luminous; make {it} better lit; make the scene fully lit; make it look as though
            someone opened the curtains; draw back the curtains; open the blinds; make it look like midday
            light; make {it} light and airy; make {it} airy and bright; make {it} lighter so i can see
            details; let me see what's in the dark parts; reveal what is hidden in the dark; make more visible
            the dark scene; make {it} easier to see in the dark areas; put more brightness; give more light to
            the {pic}; do {it} more light; increase clear of the {pic} because dark; make the {pic} more
            bright please; whiten the general tone by adding light; shift all tones lighter; shine a torch
            over {it}; beam some light in; bring up the light; bring up the exposure; push the histogram to
            the right; slide the histogram rightwards; exposure-compensate upward by plus one; raise the iso;
            boost ev by plus one; set ev to plus one; replace the gloom with plenty of light; get {it} up a
            few notches in brightness; make {it} glow with more light"""),
        "say": table("""
            {it} is (way |far |)too dark; it's so dark i can't see anything; i can hardly make anything out in
            this dark {pic}; i can't see their faces in this darkness; everything drowns in shadow; {it} came
            out underexposed; the {pic} is underexposed; my camera underexposed this; the flash didn't fire; i
            forgot the flash; someone forgot to turn on the lights; where's the light; who turned off the
            lights; the lamp was off when i took this; i'd like more light in here; {it} needs {more}more
            light; {it} could do with more light; there isn't enough light; there's not enough brightness; a
            bit more light wouldn't hurt; could someone open the curtains; the curtains must have been shut
            open them; it looks like a cave in here; it's like looking through sunglasses take them off; as if
            shot through sunglasses please undo that; this should be lighter; i wish {it} were brighter; i
            prefer {it} lighter; light please; more lumens please; the exposure is too low; the exposure needs
            raising; the gamma is too low; the histogram is all bunched on the left; all the pixels sit near
            black lift them; shadows swallow everything; the print came out far too dark; it will print too
            dark lighten up; on my screen {it} is nearly black; dark dark dark please fix; too much darkness
            in {it}; it is not bright enough; very dark is the photo i need light; the {pic} is dark make
            light; nothing is visible in this murk i need light; i need to see details in those black areas;
            it was sunnier than this in reality; the room was much lighter than this; my eyes strain to see in
            this dimness"""),
        "noun": table("""
            a lighter exposure; a brighter {pic}; a higher exposure; an exposure boost; exposure up one stop;
            plus one ev; one stop more; two more stops of light; higher gamma; a gamma lift; lifted shadows;
            lifted midtones; raised levels; a brightness boost; more lumens; better lighting; good lighting; a
            well-lit scene; a high-key look; high key; a light and airy look; airy brightness; less gloom;
            less shadow; less dark; not so dark; midday brightness; curtains-open light; the lights turned on;
            a floodlit look; a fill-flash look; a flash; brighter lighting overall; overall lightening;
            general brightening; a slightly overexposed look; a wider aperture's worth of light; the histogram
            moved right; a brighter rendition with visible details; an underexposure fix; correction of the
            underexposure; luminous; more bright; more clear light; paler and lighter tones"""),
    },
    "darker": {
        "do": table("""
            drop the exposure (a stop|by a stop|); bring the exposure down; pull the exposure back; pull {it}
            down a stop; take a stop off; take some light out; remove some of the light; stop down the lens;
            close the aperture a bit; use a faster shutter so less light comes in; put a neutral density
            filter on {it}; add an nd filter; lower the gamma; decrease the gamma; bend the curve downward;
            pull the tone curve down; drag the midtones towards black; push the levels towards black; shift
            the histogram left; move the histogram leftwards; multiply {it} with itself to darken; use the
            multiply blend mode; burn the whole {pic}; burn {it} down like in the darkroom; give {it} a
            low-key treatment; make {it} low key; tone down the brightness; tame the glaring light; tame the
            overexposure; fix the overexposure; rescue the blown-out highlights by lowering exposure;
            compensate for too much light; recover {it} from being overexposed; make {it} less glaring; make
            {it} less light; subdue the light; mute the light; lessen the light; decrease the light intensity;
            reduce ev by one; set ev to minus one; dial exposure to minus one; draw the curtains; close the
            curtains a bit; pull down the blinds; shut the blinds for less light; turn off some lamps; switch
            off the spotlights; cast a shadow over {it}; throw {it} into shadow; put {it} in the shade; shade
            {it}; shadow everything; make {it} shadier; make {it} look under-lit; blacken {it} a bit; deepen
            the tones towards black; deepen every tone; shade every colour down; scale all values down; halve
            the brightness; halve the light; show {it} as through sunglasses; put sunglasses on the camera;
            look at {it} through dark glass; smoke the glass in front of {it}; let a dark cloud pass over the
            scene; do {it} more dark; put less brightness to the {pic}; make more dark the {pic}; make the
            {pic} not so white and bright; sink {it} into dimness; lower the lights as in a cinema; lower the
            light level; lower the luma; squash the whites down to greyer darker levels; expose {it} for the
            highlights with less light"""),
        "say": table("""
            {it} is (way |far |)too bright; it hurts my eyes it's so bright; i need sunglasses to look at
            this; there's too much light; too much sun came into the lens; too much brightness in {it}; it's
            lit like an operating theatre tone it down; the flash was too strong; the flash burned everything;
            the flash blew it all out; the highlights are blown; highlights are burnt out bring them down; the
            {pic} came out overexposed; my camera let in too much light; i left the shutter open too long; the
            aperture was too wide too much light came in; exposure is too high; the exposure should come down;
            gamma is too high; the histogram is crammed to the right; all the pixels sit near white; it's
            nearly all white; it's so bright the details vanish; the whites are too white and glaring; i
            prefer {it} darker; i wish there were less light; less light would be better; someone turn down
            the lamp; can we get some shade in here; please draw the blinds; it wants a couple of stops less;
            {it} needs a lower exposure; i want a low-key look; it wasn't that bright in the room; make it as
            if a cloud passed over the sun; the print came out too pale and bright; on my monitor {it} is
            glaringly bright; my eyes my eyes turn the light down; very bright is the photo i need less; too
            light photo please more dark; the {pic} have too many light; not so bright please; white
            everywhere from the strong light bring it down"""),
        "noun": table("""
            a darker exposure; a darker {pic}; lower gamma; reduced light; reduced exposure; an exposure cut;
            a stop less; one stop down; two stops less light; minus one ev; minus two on the exposure dial;
            negative exposure compensation; underexposure; a slight underexposure; a slightly underexposed
            look; a low-key look; low key; low-key lighting; subdued light; subdued lighting; muted lighting;
            faint light only; a shaded look; more shade; more shadow; deeper shadows overall; deeper darker
            tones; darkened; overall darkening; general dimming; a burn over the whole frame; a multiply layer
            for darkness; an nd filter; a neutral density filter; a sunglasses view; a smoked-glass look;
            curtains-drawn dimness; lights turned down; cinema dimness; not so bright; not so light; more
            dark; a smaller aperture's worth of light; the histogram moved left; an overexposure fix"""),
    },
    "contrast": {
        "do": table("""
            ramp up the contrast; push the contrast (slider|) up; heighten the contrast; intensify the
            contrast; steepen the tone curve; apply an s-curve; put an s-shaped curve on {it}; bend the curve
            into an s; stretch the histogram; stretch the levels; spread the histogram from end to end; widen
            the gap between light and dark; expand the dynamic range; extend the range from black to white;
            expand the levels to full range; set proper black and white points; pull in the black and white
            points; clip the black and white points inwards; move both ends of the levels inwards; crush the
            blacks and pop the whites; deepen the blacks and brighten the whites; make darks darker and lights
            lighter; make shadows deeper and highlights brighter; push shadows down and highlights up; pull
            light and dark further apart; drive the lights and darks apart; separate the tones (more|better);
            separate lights from shadows more strongly; differentiate the tones more; emphasise the difference
            between light and shade; emphasise light against dark; accentuate light and shadow; exaggerate the
            difference between dark and bright; multiply deviations from mid grey; scale the pixel values
            about mid grey; make {it} {more}contrastier; make {it} {more}higher in contrast; make {it} harder
            in tone; make {it} tonally bolder; make {it} tonally crisper; make {it} less foggy and flat; make
            {it} less hazy; make {it} less milky; make {it} less washed out in its tones; remove the milky
            veil; remove the haze; dehaze {it}; cut through the haze; cut through the fog; clear the mist from
            {it}; lift the grey veil; lift the veil off {it}; fix the flat tones; fix the flat light;
            unflatten the tones; turn the flat log footage into something punchy in tone; apply a
            log-to-rec709 curve to the flat footage; print {it} on hard grade paper; print {it} on grade five
            paper; use a high-contrast film developer; process {it} like lith film with harder tones; give
            {it} deep blacks and bright whites; give {it} dramatic light and shadow; give {it} chiaroscuro;
            give {it} caravaggio-like lights and darks; give the tones some bite; give the tones some snap;
            give the tones more separation; put more difference between white and black; do more difference of
            the light and the dark; make strong the contrast; make the {pic} more contrasted; apply auto
            levels to stretch {it}; run histogram equalisation; equalise the histogram; use clahe on {it};
            normalise the levels to full black and white; harden the light-dark transitions; harden the
            gradation; use harder gradation; sharpen the split between highlight and shadow"""),
        "say": table("""
            {it} looks flat as a pancake; the light is flat; the tones are flat; {it} is too milky; {it} looks
            milky; {it} looks hazy; haze makes everything flat; there's a grey veil over everything; it's like
            looking through a net curtain remove the veil; the tones are all mushed together; the tones run
            together; everything is the same mid grey tone; everything sits in the midtones; no real blacks no
            real whites; there are no true blacks; the blacks are not black they are grey; the blacks are
            washed-out and the whites are dingy; blacks should be black and whites should be white; the blacks
            should be blacker and whites whiter; darks should be darker and lights lighter at once; light and
            dark should be further apart; light and shadow should clash more; too washed out give me deep
            blacks and clean whites; there's no contrast; there's hardly any contrast; contrast is weak; {it}
            needs {more}more contrast; {it} should be contrastier; i'd like {it} contrastier; i want drama
            between light and shadow; i want a hard split between light and dark; i want strong lights against
            strong darks; subject and background blend in tone separate them; the subject doesn't stand out
            tonally; nothing stands out tonally in this grey soup; it's grey soup i want black blacks and
            white whites; an s-curve would help; the curve is too shallow; the histogram is bunched in the
            middle; the histogram doesn't reach either end; the dynamic range looks squashed; it looks like
            ungraded log footage; it looks like flat s-log straight from the camera; think chiaroscuro; think
            caravaggio light; like hard studio light with deep shadows; photo has no contrast please strong;
            difference of white and black is too small; the {pic} is of low contrast please up; foggy tones i
            want them clear dark and clear light"""),
        "noun": table("""
            strong contrast; contrast plus thirty; punchier contrast; harsher contrast; hard contrast;
            contrastier; {more}more contrasty; a contrasty look; a wider dynamic range; stretched levels; a
            stretched histogram; histogram stretching; histogram equalisation; auto levels; an s-curve; a
            steep s-curve; crushed blacks and bright whites; deeper blacks and whiter whites; blacker blacks
            and whiter whites; deep blacks and clean whites; deeper shadows with brighter highlights; hard
            gradation; grade five paper; hard paper; a lith-print hardness of tone; chiaroscuro; dramatic
            light and shadow; a caravaggio light; less flat; less flatness; less haze; less milky; no haze; no
            milky veil; dehazing; haze removal; a bolder light-dark difference; more difference between bright
            and dark; more apart lights and shadows"""),
    },
    "blur": {
        "do": table("""
            blur the whole {pic}; blur everything (out|); make {it} less crisp; make {it} indistinct; make
            {it} hazy like an unfocused lens; make {it} smudgy; make {it} unrecognisable by blurring; make
            everything vague and unfocused; make the details melt away; smooth away the details; smooth over
            the fine texture; rub petroleum jelly on the glass; smudge everything; defocus the lens; unfocus
            the camera; put the lens out of focus; throw everything out of focus; throw the focus off; rack
            the focus away; miss the focus; turn the focus ring the wrong way; ruin the focus; lower the
            acutance; kill the sharpness; drop the fine detail; remove high frequencies; low-pass filter {it};
            run a low-pass filter; run a gaussian over {it}; convolve {it} with a gaussian kernel; convolve
            with a wide kernel; average neighbouring pixels; average each pixel with its neighbours; spread
            each pixel into its neighbours; use a diffusion filter; put a pro-mist diffuser in front; put a
            stocking over the lens; breathe on the lens; fog up the lens; steam up the lens; show {it} as on a
            foggy lens; show {it} through a steamed-up shower door; show {it} through a rainy window; show
            {it} as a short-sighted person sees; show {it} as i see without my glasses; show {it} as seen with
            tears in my eyes; make it look as if the camera shook; add camera shake; add motion blur; jiggle
            the camera while shooting; make it look like underwater eyesight; make it look like i just woke up
            with bleary eyes; make it bleary; make it woolly; make it swimmy and unclear; obscure {it} with
            blur; obscure all details so nobody can recognise anything; anonymise the entire {pic} by
            blurring; censor {it} all with a blur; melt the outlines; dissolve the edges; dissolve the
            details; turn {it} into a blurry background; do the {pic} not sharp; do blur to all the photo;
            make not clear the focus; make all of {it} like cotton wool"""),
        "say": table("""
            {it} is too crisp; {it} is razor-sharp and i don't want that; it's way too detailed; too much
            detail; too much fine detail; there's too much sharpness; the sharpness is too harsh; the edges
            are too hard; the edges are too crisp; you can see every wrinkle blur it a bit; i can read the
            writing and i shouldn't be able to; nobody should recognise anything in it; nothing should be
            recognisable; nothing should be in focus; nothing should be sharp; everything should look smeared;
            the details should vanish; details should dissolve; the focus should be off; i want it out of
            focus; i want everything blurred; i want to see only vague shapes; only vague shapes should
            remain; just blobs please no details; the outlines should run into each other; i need a blurry
            backdrop for my slides; i need a blurred wallpaper so icons stand out; it's for a background so it
            shouldn't be sharp; for privacy all of it should be unreadable; like when i take my glasses off;
            like without my glasses; like my vision before coffee; like looking through tears; like through a
            bathroom window; like a lens with fingerprints on it; like a greasy lens; like a camera that
            missed focus; like a shaky hand took it; pretend the autofocus failed; pretend the camera wobbled;
            imagine you're short-sighted; how would a short-sighted person see this; could we lose the
            sharpness; a gaussian with a big radius please; radius twenty gaussian please; depth of field so
            thin that nothing is sharp; photo is very sharp i want not sharp; too clear focus please unclear"""),
        "noun": table("""
            a (gaussian|box|lens) blur; a strong blur; a blurry version; a fuzzy version; an out-of-focus
            look; an unfocused look; unfocused; defocus; a defocused look; softness all over; softer edges;
            softer outlines; fuzzy edges; less sharp; lower sharpness; no sharpness; less detail; less crisp;
            not so sharp; not sharp; reduced acutance; a low-pass filter; a smoothing filter; a smoothed
            version; a smeared look; vaseline on the lens; a greasy-lens look; a foggy-lens look; a steamed-up
            lens; a shower-door effect; a no-glasses view; short-sighted vision; bleary eyes; camera shake;
            motion blur; a shaky-hand look; a missed-focus look; failed autofocus; diffusion; a diffusion
            filter; a pro-mist softness; vague shapes only; indistinct shapes; an unrecognisable mush;
            dissolved details; cotton-wool softness; a woolly unsharp look"""),
    },
    "night": {
        "do": table("""
            turn {it} into a night shot; turn {it} into a nocturne; make it (night|nighttime); make it look
            like night; make it look like the middle of the night; make it look like three in the morning;
            make it look nocturnal; make it look like after dark; make it look like after sunset when darkness
            has fallen; make it look like the sun has long gone down; make it look like bedtime; make it look
            like the witching hour; make it look like past curfew; make it look like a full-moon scene; make
            it look like a halloween night; make it look like a starlit night; make {it} night-like; make
            night come; make night fall; let night fall over {it}; let darkness fall as evening ends; let the
            sun go down and the moon come out; let the moon light {it}; let the moon rise over {it}; send the
            sun to bed; swap the sun for the moon; replace the daytime by night; replace the day with night;
            change day to night; change it to late at night; change the hour to two am; set the scene at
            night; set {it} under the stars; set {it} in the dead of night; put {it} in the middle of the
            night; move {it} to nighttime; move the scene past sunset into night; skip ahead to nighttime;
            shoot {it} at night; relight {it} with only the moon; light {it} by the moon alone; light {it}
            with moonbeams only; wrap {it} in night; cloak {it} in night; cover {it} with the night; shroud
            {it} in nocturnal blue darkness; plunge {it} into night; immerse {it} in the night; give {it} the
            hollywood day-for-night treatment; do a day-for-night on {it}; do day for night; do the american
            night trick; use the nuit americaine technique; grade {it} as day for night; grade {it} dark and
            blue like a night scene; simulate a night scene; pretend the sun has set hours ago; convert {it}
            to a nighttime scene; convert day photo to night photo; render {it} as night; do that it is night;
            do the {pic} at the night; put the night in the {pic}; make as in the night with moon; make the
            sky and all like at night; make it the hour of owls; make it the hour of vampires; make it look
            like a werewolf might show up under the moon"""),
        "say": table("""
            it should look as if taken at night; it should look like the moon is the only light; it should
            look as though everyone is asleep; it should be well past sunset; i want it to be night; i want
            this to be at night; i want the moon to be the only lamp; i want the sun gone and the stars out;
            i'd like a night version; i'd like it in the dead of night; i wish i had taken this at night; i
            wish this had been shot under a full moon; this was shot by day but i need a night scene; it's a
            daytime shot and the story happens at night; the scene takes place at night; the script says
            exterior night; my film needs this as day for night; in the story it's two in the morning; the
            thriller scene is at night; the owl only comes out at night so should the scene; vampires can't be
            out by day make it their hour; werewolves need a full-moon night; too much daytime give me
            nighttime; no more sun just the moon; how does this place look after dark; how would this look
            under the moon; how about night; could it be night in this; could it be after dark; can this
            happen at night; imagine it's the middle of the night; imagine the sun set hours ago; pretend it's
            night; pretend it's three am; pretend we went there after dark; let's make this a night scene;
            think starlight and sleeping towns; the sun should have gone to bed; night has to fall here; good
            night sun hello moon; goodbye daylight; photo is in the day i want in the night; day photo but i
            need night photo; like in the night with moon please; as when everybody sleeps and moon shines"""),
        "noun": table("""
            a nighttime feel; nocturnal; a nocturne; a nocturnal version; a nocturnal blue gloom; full-moon
            light; full-moon lighting; the light of the moon; moonbeams only; starlight; a starlit look; a
            starlit darkness; a day-for-night look; day-for-night grading; the hollywood night effect; an
            american night; nuit americaine; an after-dark look; the dead of night; the middle of the night;
            the small hours; the witching hour; three in the morning; two am; bedtime darkness; the hour of
            owls; a vampire's hour; a werewolf moon; a full-moon night; a halloween night look; nighttime
            instead of daytime; moon instead of sun; a scene long after sunset; darkness after sunset;
            exterior night; the {pic} at night; photo of night"""),
    },
}
