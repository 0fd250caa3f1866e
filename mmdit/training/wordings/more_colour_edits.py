"""Further wordings of edits of a picture's colours, by an author who had not seen the others."""

from mmdit.training.wordings.tables import table

# fmt: off
CORES: dict[str, dict[str, tuple[str, ...]]] = {
    "black and white": {
        "do": table("""
            drain the colour out of {it}; strip (out|away) (all|every bit of) colour; render {it} in shades of
            grey; take the colour away; kill all the colour; keep only the luma of {it}; zero the saturation;
            drop saturation to nothing; set saturation to minus one hundred; pull the saturation slider all
            the way down; make {it} look like a charcoal-grey film print; suck all the pigment out of {it};
            leave nothing but grey tones; reduce {it} to grey values only; reduce {it} to a single neutral
            channel; map everything onto a neutral grey ramp; replace the colours with greys; swap each colour
            for its matching grey; turn every pixel grey according to its lightness; show {it} like old
            newspaper print; simulate a tri-x film roll; process {it} as panchromatic film; mimic a thirties
            newsreel; make {it} look like telly before colour came in; give me {it} without any colour; ditch
            the colours; lose the colour; scrap the colours and keep the greys; decolourise {it}; decolour the
            whole {pic}; discolour {it} to pure neutral grey; un-colour {it}; erase colour data from {it};
            delete the colours from {it}; turn off the colours; switch {it} to mono; switch to the greyscale
            mode; put a greyscale filter on {it}; average the rgb channels into one grey; photocopy {it} in
            greyscale; make {it} as a colour-blind dog would see it all grey; let me see {it} with no colours;
            present {it} in nothing but black white and grey; style {it} like a film noir still without
            colour; make {it} look like casablanca; make {it} look like a charlie chaplin film; take {it} back
            to the days before colour film; develop {it} on colourless silver gelatin; produce a silver
            gelatin print of {it}; turn {it} into a grey-toned picture; make all things in the {pic} grey;
            flatten the colours into grey tones; cancel the colour; extract the lightness channel only; export
            {it} as one-channel greyscale; make the {pic} to be without colours; do the {pic} in white and
            black; make me grey the whole {pic}; turn the rainbow into greys; leach all the colour from {it};
            bleed the colour away to grey; make {it} zebra-coloured nothing but blacks whites and greys; rob
            {it} of its colours; forget the colours and keep just the shading; desat to zero; make the
            photograph monochromatic in grey; shoot {it} again as if on ilford black-and-white stock; filter
            out reds greens blues and everything coloured"""),
        "say": table("""
            {it} would look classier in black and white; i don't want any colour in {it}; the colours distract
            me remove them all; colours are unnecessary here; no colour please just greys; who needs colour
            here lose it; why is this in colour; i'd rather see {it} without colour; everything should be
            grey; only greys should remain; this belongs in a noir movie with no colour at all; the newspaper
            only prints greyscale; the yearbook wants black-and-white portraits; imagine {it} was shot on
            black-and-white film; pretend colour photography was never invented; {it} needs to lose every last
            bit of colour; could we have {it} minus the colours; how would {it} look with no colour
            whatsoever; what would {it} look like in greyscale; colour has to go; the colour must vanish
            completely; all colours out; luma only please; please no reds no blues no greens only grey; let's
            go mono; let's do this one in b and w; i fancy a timeless black-and-white look; grandma's telly
            had no colour and i want that; the {pic} want i with no colour; colours not needed please grey it;
            it is coloured but i need grey; saturation should be zero; please rid me of these colours; i can't
            stand the colours take them out; {it} has colour and it shouldn't; i wish {it} were all grey like
            a chaplin film; bring on the greys and ban the colours; kindly return a colour-free copy; this
            should look like a hitchcock film from before technicolor; old newsreels had no colour and neither
            should {it}; i'm doing a greyscale series so this must match; colour is forbidden in this contest;
            the engraver needs a version with greys only; can't have colour in it; better if nobody can tell
            what colour anything is"""),
        "noun": table("""
            a black-and-white (picture|version|rendition); mono; no colour at all; zero saturation; complete
            desaturation; full desaturation to grey; luma only; only grey tones; fifty shades of grey; a
            colour-free version; neutral greys everywhere; a silver gelatin print; a tri-x look; an ilford
            film look; the panchromatic film look; a classic noir greyscale; the old telly look before colour;
            a chaplin-era look; total absence of colour; removal of all colour; colour removal; a grey-only
            conversion; decolourised; all grey; everything in grey; a single-channel grey image; hueless
            tones; black white and the greys between; white and black picture like in the old cinema; a
            dateless monochromatic print; a colourless newsreel still; greys instead of colours; a zebra
            palette; the {pic} minus its colours; colour switched off; a greytone conversion"""),
    },
    "sepia": {
        "do": table("""
            give {it} a sepia (tone|wash|finish); sepia-tone {it}; make {it} look like grandpa's wedding
            album; age {it} to a brown old photograph; make {it} look a hundred years old and brown; render
            {it} in shades of brown; recolour {it} entirely in browns; replace all colours with brown tones;
            make {it} coffee-stained all over; make {it} look like a wild west wanted poster; make {it} look
            like a tintype from the frontier days; put {it} into the eighteen nineties in brown tones; bring
            {it} back to great-grandmother's time in brownish tones; make {it} look like an albumen print;
            imitate a faded brown cabinet card; simulate a van dyke brown print; use the sepia preset; apply a
            sepia (filter|effect|toner); brown {it} like ancient paper; make the whole {pic} brownish as from
            long ago; make {it} look found in an attic trunk brown with age; yellow-brown {it} like an old
            family portrait; swap black and white for dark brown and cream; map the shadows to umber and
            highlights to cream; make {it} a duotone of brown and cream; make a brown duotone of {it}; give
            {it} the patina of a pioneer portrait; give {it} a patina of brown age; make {it} nostalgic brown
            like an old postcard; make {it} resemble an edwardian postcard in brown; make {it} look like a
            civil war photograph; make {it} look like a gold rush photograph; make {it} look like a great war
            soldier's keepsake; make {it} old-timey brown; old-timify {it} in brown; make it old fashion brown
            photo; do the brown old photo effect; do {it} in colour of old photograph brown; go for an
            old-west saloon portrait look; wash {it} in umber; make {it} caramel-brown and old; turn every
            colour into some shade of tan or brown; turn the {pic} into a relic browned by time; fade {it}
            into the brown of ancient photographs; tone the print with sulphide; use a thiourea toner on {it};
            bleach and redevelop {it} in sepia toner; dress {it} up as a photograph from eighteen eighty; make
            {it} look sun-browned in grandma's old frame; make {it} the brown of old sheet music and old
            albums; make {it} look like a museum piece from early photography; turn {it} into an old-timey
            saloon souvenir; have {it} look like an ancestor took it on glass plates; remove the colours and
            add the brown cast of old age; restyle {it} like a faded ancestral portrait; make {it} mocha-toned
            throughout; leave just browns in {it}; limit the palette to browns and creams; reduce the palette
            to tan and dark brown; take {it} to the days of horse carriages in brown; make {it} look like
            dorothy's kansas before oz; cover {it} in the brown veil of the past"""),
        "say": table("""
            sepia please; i'd love that old brown photograph feel; {it} should look like my
            great-grandparents' portraits; i want {it} to look like it's from eighteen ninety; pretend this
            was taken by a pioneer photographer; imagine {it} in grandma's album all browned; it looks too
            modern give me brown tones from the past; {it} looks too new age it brown; all colours should
            become browns; everything should be brownish like ancient pictures; browns and creams only please;
            i'd like brown instead of real colours; black and white is not it i mean the brown one; not black
            and white but that brownish old look; you know those brown old photos do that; the brown one like
            in cowboy days; like a cowboy wanted poster please; we're doing a wild west party and need
            old-time portraits; my genealogy book has only brown photographs match it; how would {it} have
            looked in the first cameras browned by age; i wish {it} looked like a tintype; i'm nostalgic for
            the brown pictures of old; time travel this to queen victoria's day; make believe this is an
            edwardian postcard; old photo style with brown colour i want; please brown and old like
            grandfather photo; the {pic} must be like very old brown; it should seem aged a hundred years;
            would be nice as a faded brown keepsake; brown it up like an old print; let {it} look like tea was
            spilled over all of it; the whole thing should be the colour of tea; an umber wash is what this
            needs; the church archive look brown and ancient; i need this looking straight out of the gold
            rush; can {it} look like steam-train era photography; we need the steam-age brown look; let's have
            {it} look like a relic; the saloon photographer's brown look please; think wagon trains and brown
            prints; think old kansas before technicolor oz in brown"""),
        "noun": table("""
            sepia toning; a brown-toned print; an old-time brown photograph; an old brown photo effect; an
            edwardian postcard feel; a tintype look; an ambrotype look; an albumen print; a cabinet card look;
            a wild west photograph; a wanted-poster brown; the frontier-days look; a gold-rush-era print; a
            civil-war-era photograph; an eighteen-eighties look; great-grandmother's album look; an attic-find
            look; an aged brown patina; tea-stained tones; a coffee-stained finish; umber tones; umber and
            cream; a brown and cream duotone; mocha tones only; tan and brown only; nothing but browns; browns
            instead of colours; brownish old style; old style brown like ancestors; a van dyke brown print; a
            sulphide-toned print; a browned old snapshot; a museum-archive brown; a pioneer-era portrait; the
            steam-age look; an old saloon portrait; kansas-before-oz tones; a retro brown wash"""),
    },
    "invert": {
        "do": table("""
            make a (photographic|film) negative of {it}; flip (all|) the colours to their opposites; negate
            the pixel values; subtract every pixel from (255|white); compute 255 minus each channel; invert
            the rgb channels; take one minus the image; flip all the bits in {it}; apply a bitwise not to the
            {pic}; run the curves upside down from white to black; turn the tone curve upside down; invert the
            tone curve; invert the levels so white becomes black; press control i on {it}; apply the invert
            filter; use inverted colours like the accessibility setting; turn on colour inversion; show {it}
            as it looks on the film strip; make {it} look like film held up to a lamp; render {it} as an x-ray
            plate; make {it} look like an x-ray; turn whites black and blacks white; make the whites black and
            vice versa; make bright areas dark and dark areas bright; switch lights with darks; turn red into
            cyan and blue into yellow; change green to magenta and so on for every colour; rotate colours to
            the opposite and flip brightness; put every colour on the opposite side of the wheel; give me the
            opposite of every colour; make colours backwards; make what is bright dark and what is dark
            bright; make day black and shadow white like a negative; do an inversion of {it}; do the negative
            effect; do a film-negative conversion; convert positive to negative; undevelop the film;
            un-develop {it} back to the negative; go back from print to negative; produce the camera negative
            this was printed from; recreate the strip of film this print came from; fetch me the darkroom
            negative; turn {it} inside out colour-wise; turn the colours upside down; turn the colours on
            their head; mirror the colour values around middle grey; reflect all tones about mid grey; invert
            brightness and colour together; flip the polarity; transpose all tones to their counterparts; map
            white to black and black to white; map each tone to its antithesis; make the sky orange and the
            grass purple by inverting; make faces blue and shadows white like a negative; make teeth black and
            pupils white like film negatives; make {it} look spooky like a negative; make an anti-colour
            version; show {it} in the mirror universe of colour; show the colour opposite of {it}; let black
            be white and white be black; change light to dark and the other way round; have all colours
            exchanged with their opposite; make the {pic} negative please as old film; make inverse of the
            {pic}; put {it} in negative mode; set {it} to negative; use a negative effect as on old cameras;
            give {it} a negative-film effect; toggle inverted mode on {it}; difference-blend {it} with white;
            blend {it} with white in difference mode; swap the black and white output points; make it the way
            after-images look after staring; show the after-image you'd see upon closing your eyes; xor the
            {pic} with white"""),
        "say": table("""
            i want to see the negative of {it}; white should be black and black white; the colours should all
            be inverted; all colours the other way round please; blue should be yellow and green should be
            magenta; red should turn cyan and everything else likewise; how would {it} look on a film strip;
            how did {it} look before the film was printed; what would the negative look like; could i see this
            with colours inverted; i need the negative not the positive; i have the positive give me the
            negative; i lost the negative please recreate it; pretend {it} was never developed; imagine this
            as an x-ray; think x-ray plate; think film strip held against the window; it should be like when
            you hold film to the light; i need a negative to make contact prints; my screen has a
            colour-inversion mode do that; the accessibility inversion look please; 255 minus the value for
            each pixel please; one minus x on every channel; the rgb values want flipping; flip it so dark is
            light and light is dark; light things dark and dark things light please; i like the eerie look of
            negatives; that weird negative look is what i'm after; shadows should glow and lights should go
            black; hair should be white and skin blue as in negatives; my teeth should be black like on a
            negative; opposite colours please; colours opposite i want like film; the {pic} need become
            negative; negative film colour do it; let's see the anti-version colour for colour; swap 'em all
            black for white orange for blue; everything on the other side of the colour wheel please; the
            curves should run from top left to bottom right; a snow field should come out black here and coal
            white; snow should look like coal and coal like snow"""),
        "noun": table("""
            a (photo|film|colour|camera) negative; colour inversion; swapped lights and darks; an inverted
            tone curve; an upside-down tone curve; an x-ray look; an x-ray version; a film-strip look; a
            contact-print negative; a c-41 negative look; a darkroom negative; negative mode; an inversion; a
            one-minus-rgb version; a bitwise not; 255 minus everything; black for white and white for black;
            whites turned black; dark where it was light and light where dark; light-dark swap; the
            anti-colours; an anti-image; a colour-flipped {pic}; colours the other way round; backwards
            colours; a positive turned negative; a not-yet-printed negative; an after-image; the opposite of
            each pixel; cyan for red and yellow for blue; white shadows and black highlights; glowing shadows
            and black skies as in negatives; a spooky negative effect; the accessibility inversion look"""),
    },
    "warmer": {
        "do": table("""
            warm up the white balance; raise the colour temperature; push the temperature slider towards
            orange; drag the temperature slider to yellow; shift the white balance towards
            (amber|yellow|orange); shift everything a touch orange; nudge {it} towards yellow; add amber; add
            more yellow and red; add yellow to {it}; mix in some orange; pour honey over the light; drizzle
            honey tones over {it}; bathe everything in amber glow; soak {it} in sunset light; give {it} a
            sunny warm tone; light {it} as if by a campfire; light {it} as if with candles; make it feel like
            sitting by the fireplace; make it look like late-afternoon sun; make it look like a sunset is
            shining on it; make it feel like summer heat; make it look like a heat wave; make it look like a
            desert afternoon; make {it} toastier; make {it} cosier with orange light; make {it} sun-kissed;
            make {it} yellower; make {it} a bit yellowish; make {it} peachy in tone; reduce the blue; cut the
            blue channel and raise the red; boost red and lower blue; turn down the blues in favour of orange;
            neutralise the cold blue cast; take away the chill; take the chill off; take the frost off; thaw
            {it} out; defrost the colours; melt the ice from the colours; correct the cold white balance; fix
            the white balance as {it} is too blue; fix the cold tone; set white balance to (cloudy|shade); use
            the shade white balance setting; use an 81a warming filter; use an 85 orange filter; put a warming
            gel on the light; put an orange gel over {it}; put a full cto gel on it; place an amber filter in
            front of the lens; use warm tones throughout; apply warm temperature to the {pic}; do warm the
            colours; do {it} in warm tone; put the {pic} more hot colour; make hot the colours of {it}; heat
            {it} up; turn up the heat; crank up the warmth; dial in some warmth; inject warmth; infuse {it}
            with sunshine yellow; let the sunset colour everything; kiss {it} with evening sunlight; swap the
            fluorescent light for incandescent; swap the cold neon for tungsten glow; replace the cold light
            with warm light; switch from daylight blue to lamplight orange; wrap {it} in a warm blanket of
            colour"""),
        "say": table("""
            {it} feels chilly; the whole thing has a blue cast; the blue cast is ugly; everything looks blue
            fix that; skin looks blue and dead; they all look frozen; we look like ice sculptures; it's as
            cold as a hospital corridor; the fluorescent tubes made it all cold; the neon made it
            cold-looking; the led light is too cold in here; white balance came out bluish; kelvin is off it's
            far too blue; the whites look blue; the snow came out blue fix it; my white shirt turned blue; i'd
            like {it} {more}warmer; {it} should be warmer; {it} should feel warm and sunny in tone; {it} wants
            some warmth; {it} needs {more}more warmth; {it} lacks warmth; there's no warmth in {it}; where's
            the warmth; bring some warmth in here; some sunset tones would be lovely; could it glow like a
            fireplace; i want to feel the fire's glow; i want it to feel like a july evening in tuscany; it
            should look like the sun was setting; imagine it was lit by candles; imagine an old light bulb lit
            this; it needs that honey-coloured light; a touch of amber would help; a touch more yellow please;
            more orange please; a bit more yellow and less blue; less blue please; too much blue in {it}; too
            many blue tone in the photo; photo is cold please warm; the colours are cold i want hot; the {pic}
            has winter colour i want summer colour; it gives me the shivers warm the tones; it makes me shiver
            add some warmth; someone light a fire in here; the tones should be cosy and orange"""),
        "noun": table("""
            {more}warmer; a warmer {pic}; a warmer look; a warmer tone; a warm white balance; warmer white
            balance; a higher colour temperature slider; a warm cast; sunset tones; evening sun tones;
            late-afternoon sun colours; a candlelit glow; a campfire glow; a tungsten look; incandescent
            light; old bulb light; lamplight tones; honey tones; honeyed light; peachy warmth; a warming
            filter; an 81a filter; a warming gel; a cto gel; the cloudy white balance preset; the shade white
            balance preset; less blue; less cold; no blue cast; blue cast removal; less chill; more orange;
            more amber; more yellow; more yellow and red in the balance; a yellower tone; yellowish warmth;
            toastier; sun-kissed tones; cosy orange light; hot colours instead of cold; mediterranean warmth"""),
    },
    "cooler": {
        "do": table("""
            make {it} {more}cooler in tone; make {it} {more}bluer; cool off the colours; cool the white
            balance; chill the colours; chill {it}; freeze the tones; freeze {it} over with blue; frost the
            colours; ice {it} up; give {it} a glacial look; give {it} a steely blue cast; add a touch of blue;
            add some blue; add cyan and blue; mix more blue into {it}; shift the colours towards blue; shift
            white balance towards blue; push the temperature slider to blue; slide temperature away from
            yellow; move the tones away from orange; nudge {it} away from yellow; pull the yellow out; take
            the yellow out; take the orange out; neutralise the tungsten glow; neutralise the orange with
            blue; correct the jaundiced white balance; correct the too-warm white balance; cure the jaundice
            of {it}; fix the yellowish lighting; fix the orange skin by shifting to blue; make {it} less
            amber; cut the warmth; turn the warmth down; decrease yellow in the balance; cut red and raise
            blue; raise the blue channel; boost the blue channel a bit; lower the red channel a bit; set white
            balance to tungsten; use the tungsten preset to turn it blue; use the incandescent preset for a
            colder tone; set it to 3200 kelvin in raw so it goes blue; use an 80a cooling filter; put a
            cooling filter on {it}; put a blue gel on the light; use a ctb gel; place blue glass before the
            lens; use cold tones throughout; go for cold tones; make it feel like a january morning; make it
            feel like the north pole; make it look like antarctica; make it look like inside an iceberg; make
            it look like a freezer; make it feel freezing; make {it} frostier; make {it} icier; make {it} look
            like clinical hospital light; light {it} like a hospital corridor; swap the warm bulbs for cold
            fluorescent tubes; replace the lamplight with cold neon; replace warm light with cold light;
            change orange light for blue light; do cold the colours; do {it} in cold colour; put the {pic}
            more cold; put the {pic} in cold temperature; wash {it} in pale blue; bathe {it} in cold blue
            daylight; blow a cold wind through the colours; let winter into the colours; drop the temperature;
            lower the temperature; bring the colour temperature over to the blue side; tone {it} towards
            cyan-blue; make {it} nordic and cold; make {it} scandinavian-winter cold"""),
        "say": table("""
            so yellowish cool it; everything is orange in here; everything has a yellow cast; the yellow tinge
            annoys me; the orange cast is awful; the tungsten bulbs made it all orange; that old lamp turned
            everything yellow; skin looks like a bad fake tan; we all look jaundiced; they look like oompa
            loompas fix the orange; my face is orange; my white shirt turned yellow; the whites look yellow;
            the snow looks yellow; the wedding dress looks yellow instead of white; white balance came out too
            warm; the white balance is way off towards orange; {it} looks like it was dipped in honey undo
            that; it looks as hot as a furnace cool it; the tones are too hot; i'd like {it} {more}colder;
            {it} should be colder; {it} should be bluer; i want it to feel like winter; i want to freeze when
            i look at this; it should look like a chilly morning; it was freezing that day and the colours
            should show it; make me shiver when i see it; a bit of blue would help; a touch of ice would be
            nice; less yellow please; less orange please; less warmth please; more blue please; {it} needs
            {more}more blue; {it} lacks coldness; the balance needs to move towards blue; could we have colder
            tones; could it have that scandinavian coldness; i prefer cold light; give me the light of an
            overcast nordic day in blue; think ice and steel; think glaciers; think snow and frost; photo is
            hot i want cold; too many yellow is in the photo; the colours too warm for me please cold; the
            {pic} has summer colour i want winter colour"""),
        "noun": table("""
            colder white balance; cold white balance; a cool white balance; {more}colder; {more}bluer; a
            colder {pic}; bluish; icier; a polar feel; winter light; glacier tones; steel blue tones; a steely
            cast; a nordic coldness; a scandinavian winter look; fluorescent light; cold neon light; clinical
            hospital light; ice-blue tones; a cooling filter; an 80a filter; a blue gel; a ctb gel; tungsten
            white balance for a blue cast; temperature towards blue; less yellow; less orange; less warm; no
            yellow cast; no orange cast; yellow cast removal; orange cast correction; tungsten glow removal;
            more blue; more blue in the balance; more cold; more chill; a chilly tone; chilly; a freezing
            feel; freezing tones"""),
    },
    "saturation": {
        "do": table("""
            crank the saturation; pump up the saturation; push the saturation slider up; oversaturate {it} (a
            bit|); saturate {it} (more|); boost colour intensity; deepen the colours; enliven the colours;
            liven up the colours; perk up the colours; spice up the colours; revive the faded colours;
            resuscitate the colours; bring the faded colours back to life; wake up the colours; juice up the
            colours; pep up the colours; jazz up the colours; turbocharge the colours; amp up the colours;
            turn up the colour; add colour; add colourfulness; add vibrancy; pour more colour into {it};
            splash more colour into {it}; inject colour; put more pigment into {it}; make the colours sing;
            make the colours scream; make the colours leap out; make the colours louder; make the colours
            dazzle; make the reds redder and the greens greener; make greens greener and blues bluer alike;
            make the colours candy-like; make {it} look like candy; make {it} look like a sweet shop; make
            {it} look like a bag of skittles; make {it} look like a tropical parrot; make {it} look like
            carnival in rio; make {it} look like a holi festival; make {it} look like technicolor; make {it}
            look like velvia film; simulate fuji velvia; use the vivid picture style; use the vivid camera
            mode; set the picture profile to vivid; give {it} a technicolor look; give {it} comic-book
            colours; give {it} postcard colours; give {it} neon-strength colours; give {it} psychedelic
            colours; turn the colours neon; turn {it} into an explosion of colour; let the colours explode;
            let the colours shine; let the colours bloom; unleash the colours; undo the fading of the colours;
            make the colours less muted; make {it} gaudy; make {it} garish; make {it} kaleidoscopic; do more
            colour in the {pic}; do the colours more strong; make more alive the colours; move the colours
            away from grey"""),
        "say": table("""
            {it} lacks colour; the colours are (too |so |)dull; the colours are faded; the colours have faded
            over the years; the colours look tired; the colours are weak; the colours are muted; the colours
            are lifeless; the colours look dead; the colours are boring; the colours look anaemic; the colours
            look sickly and faint; the colours are almost grey i want them strong; {it} is nearly grey bring
            the colours out; {it} needs {more}more colour; {it} needs {more}more saturation; {it} could use
            livelier colours; {it} should be {more}more vivid; colours should pop; the colours should jump out
            at me; the colours should hit you in the face; the reds aren't red enough nor the greens green
            enough; the grass should be greener and the sky bluer; flowers look pale in it and should be
            bursting with colour; i want eye-popping colours; i want more intense colours; i'd like richer
            colours; i love loud colours; i love bold colours and this has none; why are the colours so dull
            give them some punch; where did all the colour go bring it back; where's the colour; the market
            was a riot of colour and {it} isn't; it looks under-saturated; it's undersaturated; saturation
            plus fifty please; vibrance up please; colours like in a candy store please; colours like in a
            tropical aquarium; colours like a peacock please; think carnival; think technicolor; think of a
            parrot's plumage; think instagram-vivid holiday colours; photo colours are weak please strong; the
            colours not alive i want alive"""),
        "noun": table("""
            saturation plus forty; oversaturated colours; a vibrance boost; {more}more vivid; a vivid picture
            style; more colourfulness; colour intensity; strong colours; loud colours; juicy colours; popping
            colours; eye-popping colours; colour pop; an explosion of colour; a riot of colour; candy colours;
            neon-strong colours; psychedelic colours; technicolor; a technicolor look; a velvia look; fuji
            velvia; comic-book colours; postcard colours; tropical colours; parrot colours; carnival colours;
            garish colours; gaudy colours; less dull colours; less muted colours; less faded colours; purer
            colour; more pigment; colours alive and strong; an ultra-vivid palette"""),
    },
}
