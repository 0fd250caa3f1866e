"""Further wordings of edits of objects, by an author who had not seen the others."""

from mmdit.training.wordings.tables import table

# fmt: off
CORES: dict[str, dict[str, tuple[str, ...]]] = {
    "recolour": {
        "do": table("""
            change the {x} from what it is now to {c}; give the {x} a {c} makeover; set the {x} colour to {c};
            switch the {x} over to {c}; let the {x} become {c}; shade the {x} in {c}; redo the {x} in {c};
            crayon the {x} in with {c}; rotate the colour of the {x} until it reads {c}; apply {c} as the new
            colour of the {x}; assign the colour {c} to the {x}; put {c} on the {x} as its colour; lay a {c}
            wash over the {x}; do the {x} up in {c}; dress the {x} in {c}; draw the {x} in {c}; show me the
            {x} in {c}; edit the {x} so that it looks {c}; see to it that the {x} is {c}; modify the {x} to
            have a {c} body; pigment the {x} {c}; pour {c} all over the {x}; cover the {x} with {c}; brush the
            {x} over with {c}; flood fill the {x} using {c}; pick {c} as the shade for the {x}; go for {c} on
            the {x}; try the {x} in {c}; swap the {x} colour for {c}; replace the colour of the {x} with {c};
            get the {x} to look {c}; bring the {x} out in {c}; lend the {x} a {c} look; restyle the {x} as
            {c}; tinge the whole {x} {c}; varnish the {x} {c}; enamel the {x} {c}; wash the {x} {c}; overlay
            {c} on the {x}; map the {x} onto a {c} palette; alter the {x} colouring into {c}; modify colour of
            {x} to be {c}; put the {x} into {c} colour; make it so the {x} comes out {c}; bathe the {x} in
            {c}; treat the {x} to some {c} colouring; hand the {x} a {c} skin; reskin the {x} in {c}; swatch
            the {x} to {c}; colourise the {x} as {c}; color the {x} {c}; emulsion the {x} {c}; airbrush the
            {x} to {c}; roller the {x} over in {c}; blush the {x} to {c}; touch up the {x} so it goes {c}"""),
        "say": table("""
            that {x} would look nicer in {c}; i want the {x} {c}; i'd prefer the {x} in {c}; i picture the {x}
            being {c}; the {x} has the wrong colour it must be {c}; what if the {x} were {c}; how would the
            {x} look in {c}; could the {x} be {c} instead; it would be cool if the {x} was {c}; the {x} is
            meant to be {c}; the {x} was supposed to be {c}; my {x} is {c} in real life so match it; from now
            on the {x} is {c}; {c} would suit the {x} better; {c} is the colour i have in mind for the {x};
            {c} is a better colour for that {x}; i think {c} would go well on the {x}; my favourite colour is
            {c} so the {x} should match; let's see the {x} in {c}; let's go with {c} for the {x}; the colour
            of the {x} must become {c}; i don't like the colour of the {x} go for {c}; wrong shade on the {x}
            i asked for {c}; why isn't the {x} {c} please fix that; the {x} is crying out for a bit of {c};
            the {x} fancies a change of colour to {c}; i need this {x} with {c} colour please; the {x} wants
            painting {c}; nothing but a {c} finish will do for the {x}; same {x} same place only {c};
            everything stays but the {x} goes {c}; keep the shape of the {x} but go {c}; the {x} please in
            colour {c}; for the {x} the new colour is {c}; my daughter says the {x} has to be {c}; wouldn't
            the {x} be prettier if it were {c}; i can imagine that {x} in {c}; the {x} doesn't look {c} yet;
            {x} colour equals {c}; the client asked for the {x} to appear in {c}; i'd rather see {c} on that
            {x}"""),
        "noun": table("""
            a {c} version of the {x}; the same {x} but {c}; the {x} painted {c}; a {c} look for the {x}; a
            change of colour to {c} for the {x}; the {x} dyed {c}; this {x} in a {c} shade; a {c} recolour of
            the {x}; a {c} makeover for the {x}; the {x} coloured in with {c}; the {x} turned {c}; the
            identical {x} only in {c}; some {c} on that {x}; a {c} colour change on the {x}; a {c} skin for
            the {x}; the existing {x} rendered in {c}; a {pic} where the {x} is {c}; the {pic} with the {x}
            made {c}; a {pic} whose {x} has gone {c}; the {x} done in {c}; the {x} redone in {c} tones; {c}
            instead of the current colour on the {x}; a {c} fill for the {x}; the {x} filled with {c}; {c}
            colouring for the {x}; that {x} of yours but {c}; a {x} that is {c} rather than its present
            colour; the {x} in a different colour namely {c}; the {x} as a {c} one; the {x} wearing {c}; an
            all {c} {x} instead of how it's coloured now; a {c} finish on the {x}; the {x} sprayed {c}; a {c}
            wash across the {x}"""),
    },
    "remove": {
        "do": table("""
            bin the {x}; chuck the {x} out; throw away the {x}; toss the {x}; clear the {x} from the {pic};
            clean the {x} off the {pic}; crop that {x} away; airbrush out the {x}; inpaint over the {x};
            conceal the {x} completely; pull the {x} out of the {pic}; pluck the {x} from the scene; lift the
            {x} out of there; kick the {x} out; evict the {x}; expel the {x} from the {pic}; dispose of the
            {x}; trash the {x}; zap the {x}; nuke the {x}; obliterate the {x}; dissolve the {x} into the
            background; fade the {x} out entirely; scratch the {x} off; scrape the {x} away; send the {x}
            away; tell the {x} to go away; shoo the {x} off; whisk the {x} away; snatch the {x} out of the
            {pic}; free the {pic} of the {x}; rid the {pic} of the {x}; fill in the background where the {x}
            was; let the {x} go; let the {x} be gone; undo the {x} so there isn't one; unplace the {x};
            subtract the {x}; mask the {x} out; retouch the {pic} so the {x} is gone; purge the {x}; expunge
            the {x}; withdraw the {x}; show me the {pic} without the {x}; redraw the {pic} minus the {x}; keep
            everything except the {x}; put the {x} in the bin; sweep the {x} away; dematerialise the {x}; turn
            the {x} invisible; carry the {x} off; cancel the {x}; give the {x} the boot; set the {x} to not
            visible"""),
        "say": table("""
            i am tired of that {x} take it away; i don't want to see the {x} any more; there shouldn't be a
            {x} here; the {x} does not belong here; the {x} is not needed; we no longer need the {x}; no {x}
            please; without the {x} please; the {x} is spoiling the {pic}; that {x} ruins everything; who put
            that {x} there get it out; the {x} is distracting; the {x} bothers me; that {x} is annoying; i
            hate the {x}; i can do without the {x}; i'd like the {x} gone; i want the {x} out of there; bye
            bye {x}; goodbye {x}; down with the {x} i never liked it; the {x} can leave now; the {x} is too
            much; the {x} is surplus to requirements; the {x} got in by mistake; that {x} photobombed my
            {pic}; the {pic} would be better without the {x}; i would prefer it if the {x} weren't there;
            let's pretend the {x} was never there; i wish that {x} wasn't here; the {x} is to be removed;
            nobody asked for a {x}; why is there a {x} please fix; could the {x} not be there; what would it
            look like without the {x}; everything can stay but the {x} can't; we have had enough of the {x};
            i'm allergic to the {x} so no thanks; time for the {x} to leave; that {x} should vanish into thin
            air; {x} out"""),
        "noun": table("""
            the same {pic} minus the {x}; the {x} out of the {pic}; no {x} in the {pic}; the {x} taken away;
            all of it except the {x}; a {x} free {pic}; a {pic} free of any {x}; the {x} erased; the removal
            of the {x}; an end to that {x}; an empty space where the {x} is; nothing where the {x} stands;
            plain background instead of the {x}; a clean {pic} lacking the {x}; zero {x}; the {x} edited out;
            the {x} to be off the {pic}; less clutter so no {x}; the rest without that {x}; a {pic} where the
            {x} has vanished; a {pic} where there isn't any {x}; a version in which the {x} is absent; the
            disappearance of the {x}; the {x} wiped away; the {x} cut out and the hole filled; not a trace of
            the {x}; not a single {x} left; the {pic} cleared of its {x}; only the other things not the {x};
            rid of the {x}; never to see that {x} again; the {x} hidden; the {x} rubbed out; just the backdrop
            where the {x} used to be; the absence of the {x}"""),
    },
    "replace": {
        "do": table("""
            replace {x} by {y}; swap out the {x} and swap in a {y}; magic the {x} into a {y}; take away the
            {x} and put a {y} there; remove the {x} and draw a {y} in its spot; delete the {x} and insert a
            {y} instead; use a {y} rather than the {x}; draw a {y} in the {x}'s place; show a {y} rather than
            the {x}; let a {y} take the place of the {x}; let the {x} give way to a {y}; interchange {x} with
            {y}; supplant the {x} with a {y}; supersede the {x} by a {y}; overwrite the {x} with a {y}; rework
            the {x} into a {y}; redraw the {x} as a {y}; remake the {x} as a {y}; reimagine the {x} as a {y};
            recast the {x} as a {y}; refashion the {x} into a {y}; reshape the {x} to form a {y}; transmute
            the {x} into a {y}; transfigure the {x} to a {y}; mutate the {x} into a {y}; evolve the {x} into a
            {y}; bewitch the {x} so it becomes a {y}; wave your wand and turn this {x} to a {y}; lose the {x}
            and give me a {y} there; ditch the {x} in favour of a {y}; scrap the {x} for a {y}; drop the {x}
            and use a {y} at that place; kick out the {x} and bring in a {y}; fill the {x}'s spot with a {y};
            stick a {y} where the {x} stands; pop a {y} in instead of the {x}; plonk a {y} down where the {x}
            was; place one {y} at the position of the {x}; set a {y} in the {x}'s stead; change {x} to {y};
            modify the {x} so it is a {y}; edit the {x} to be a {y}; alter the {x} into a {y}; do a swap of
            the {x} with a {y}; get me a {y} in lieu of the {x}; provide a {y} as replacement of the {x}; sub
            in a {y} for the {x}; sub the {x} off and the {y} on; bring on a {y} for the {x}; find and replace
            {x} with {y}; cut the {x} and paste a {y} over it; upgrade the {x} to a {y}; displace the {x} with
            a {y}; oust the {x} for a {y}; have the {x} succeeded by a {y}; make that {x} be {y}; disguise the
            {x} as a {y} completely; shapeshift the {x} into a {y}; abracadabra the {x} into a {y};
            metamorphose the {x} into a {y}; inpaint a {y} over the {x}; regenerate the {x} as a {y}"""),
        "say": table("""
            i would rather have a {y} than the {x}; that {x} was meant to be a {y}; i asked for a {y} not a
            {x}; not a {x} a {y} please; instead of the {x} there should be a {y}; where the {x} is i'd like a
            {y}; i prefer a {y} over that {x}; a {y} would look nicer than the {x} there; a {y} should stand
            where the {x} stands; a {y} should take over from the {x}; a {y} must come in for the {x}; out
            with the {x} in with a {y}; what if the {x} were a {y}; imagine the {x} was a {y}; could the {x}
            be a {y}; why a {x} i wanted a {y}; i'm bored of the {x} so have a {y} instead; i don't like the
            {x} let it be a {y}; the {x} is wrong it must be a {y}; wrong thing that {x} is supposed to be a
            {y}; the {x} makes way for a {y}; bye {x} hello {y}; let's have a {y} rather than a {x}; no {x}
            but a {y} in that place; i need the {x} swapped with a {y}; i want the {x} turned into a {y}; it
            would be fun if the {x} became a {y}; the {x} could do with being a {y}; i'd swap that {x} for a
            {y} any day; the {x} doesn't fit a {y} would; the {x} has to make room for a {y}; my story has a
            {y} where you drew a {x}; pretend that {x} is a {y} and draw that; the {x} gets replaced and the
            new thing is a {y}; there is a {x} but i expected a {y}; this {x} is no good give me a {y}; rather
            than a {x} it needs a {y}; all the same but with the {x} now a {y}; everything stays only the {x}
            becomes a {y}; {x} becomes {y}; for {x} read {y}; the {x} will be a {y} from now on; you drew a
            {x} but it's a {y} i need"""),
        "noun": table("""
            a {y} rather than a {x}; the {x} replaced by a {y}; the {x} swapped for a {y}; the {x} changed to
            a {y}; a swap of the {x} for a {y}; a {y} as replacement for the {x}; a {y} in lieu of the {x}; a
            {y} in the {x}'s place; a {y} in the {x}'s stead; a {y} to take the {x}'s place; a {y} to stand
            where the {x} stood; the {x} exchanged with a {y}; the {x} transformed to a {y}; the {x} as a {y};
            the {x} to be a {y}; a {pic} with a {y} instead of the {x}; a {pic} where the {x} is a {y}; the
            same {pic} with the {x} made a {y}; the {pic} but with a {y} for the {x}; a version with a {y} in
            the spot of the {x}; the {x} out and a {y} in; the {x} gone and a {y} there; no {x} but a {y}
            there; a {y} at the position of the {x}; a {y} on the very spot of the {x}; a {y} substituted for
            the {x}; a {y} over this {x}; the {x} traded for a {y}; the {x} to become a {y}; the {x} morphed
            into a {y}; a transformation of the {x} into a {y}; a {y} to supersede the {x}; one {y} for the
            one {x}; a {y} standing in for the {x}; the {x} redrawn as a {y}; a {x} to {y} conversion; a {y}
            and not that {x}"""),
    },
    "add": {
        "do": table("""
            drop a {x} in {p}; chuck a {x} in {p}; plonk a {x} {p}; bung a {x} {p}; set a {x} down {p}; doodle
            a {x} {p}; make there be a {x} {p}; have a {x} show up {p}; let a {x} pop up {p}; give the {pic} a
            {x} {p}; squeeze a {x} in {p}; fit in a {x} {p}; slot a {x} in {p}; slip a {x} in {p}; sneak a {x}
            in {p}; composite a {x} into the {pic} {p}; superimpose a {x} {p}; overlay a {x} {p}; inpaint a
            {x} {p}; render one {x} {p}; spawn a {x} {p}; magic up a {x} {p}; summon a {x} {p}; materialise a
            {x} {p}; install a {x} {p}; deposit a {x} {p}; park a {x} {p}; plant a {x} {p}; pin a {x} {p};
            stamp a {x} {p}; glue a {x} on {p}; stand a {x} {p}; locate a new {x} {p}; situate a {x} {p};
            arrange a {x} to be {p}; supplement the {pic} with a {x} {p}; fill the empty space {p} with a {x};
            decorate the {pic} with a {x} {p}; enrich the {pic} with a {x} {p}; complete the {pic} with a {x}
            {p}; garnish the {pic} with a {x} {p}; use the gap {p} for a {x}; show also a {x} {p}; show an
            extra {x} {p}; work a {x} into the {pic} {p}; write in a {x} {p}; whack a {x} in {p}; shove a {x}
            in {p}; sling a {x} in {p}; tuck a {x} in {p}; land a {x} {p}; dump a {x} {p}; hang a {x} {p};
            incorporate a {x} {p}; embed a {x} {p}; do me a {x} {p}; get a {x} in there {p}; put in
            additionally one {x} {p}; invite a {x} into the {pic} {p}; send a {x} into the {pic} {p}; set up a
            {x} {p}; attach a {x} {p}"""),
        "say": table("""
            i'd love to see a {x} {p}; i want there to be a {x} {p}; there must also be a {x} {p}; there is no
            {x} {p} yet please fix that; there's room for a {x} {p}; we need another thing {p} how about a
            {x}; we are missing a {x} {p}; a {x} should go {p}; a {x} belongs {p}; a {x} would look good {p};
            a {x} {p} would make it perfect; a {x} {p} please; it could do with a {x} {p}; the space {p} is
            bare so put a {x} there; the {pic} lacks a {x} {p}; the {pic} wants a {x} {p}; what about a {x}
            {p}; could there be a {x} {p}; can we have a {x} {p}; may i have a {x} {p}; why not have a {x}
            {p}; let's have a {x} {p}; let's see a {x} {p} too; you forgot the {x} {p}; where is the {x} that
            should be {p}; i imagine a {x} {p} as well; i was hoping for a {x} {p}; i wish there was a {x}
            {p}; suddenly a {x} appears {p}; and now a {x} comes in {p}; {p} there goes a {x}; {p} i want also
            a {x}; {p} please one {x}; {p} i picture a {x}; one {x} more {p}; my son asks for a {x} {p}; it's
            boring {p} so a {x} would help; the scene calls for a {x} {p}; wouldn't a {x} be lovely {p}"""),
        "noun": table("""
            an additional {x} {p}; one more thing a {x} {p}; also a {x} {p}; a {x} {p} as well; a {x} {p} too;
            a {x} placed {p}; a {x} drawn {p}; a {x} inserted {p}; a {x} to be {p}; a {x} to appear {p}; a {x}
            to join the others {p}; a {x} to fill the gap {p}; a {x} for the empty space {p}; a {pic} with a
            {x} {p}; the {pic} plus a {x} {p}; the same {pic} with a {x} added {p}; the {pic} to contain a {x}
            {p}; a {pic} that also shows a {x} {p}; a version that has a {x} {p}; some kind of {x} {p}; a nice
            {x} {p}; a cute {x} {p}; a single {x} {p}; just one {x} {p}; the addition of a {x} {p}; the
            insertion of a {x} {p}; the presence of a {x} {p}; a {x} somewhere {p}; a {x} popping up {p}; a
            {x} sitting {p}; a {x} visible {p}; a {x} located {p}; a {x} put in {p}; everything as it is plus
            a {x} {p}; a further object a {x} {p}; a companion for the rest a {x} {p}; a {x} in addition {p};
            {p} a {x}; a spot {p} with a {x} in it; a {x} as an extra {p}"""),
    },
    "bigger": {
        "do": table("""
            let the {x} grow; blow up the {x} in size; stretch the {x} out in every direction; supersize the
            {x}; embiggen the {x}; biggen the {x}; pump up the {x}; beef up the {x}; bulk up the {x}; boost
            the {x} size; double the {x} in size; triple the {x} in size; zoom in on only the {x}; extend the
            {x} on all sides; widen and heighten the {x}; broaden the {x}; swell the {x}; puff up the {x};
            fatten up the {x}; feed the {x} so it grows; raise the scale of the {x}; turn up the size of the
            {x}; crank up the {x} size; resize the {x} upwards; resize the {x} to a {more}larger one; have the
            {x} take up more room; have the {x} occupy more space; give the {x} a growth spurt; give the {x}
            {more}greater dimensions; make a giant of the {x}; turn the {x} into a giant version of itself;
            make the {x} {more}taller and wider; bring the {x} closer so it looks larger; move the {x} nearer
            to the viewer; drag the corners of the {x} outwards; pull the edges of the {x} outwards; multiply
            the {x} size by two; add some size to the {x}; add a few inches to the {x}; set the {x} at a
            {more}bigger scale; draw the {x} {more}bigger; draw the {x} at a grander scale; show the {x}
            {more}larger; render the {x} at {more}larger scale; augment the {x} size; heighten the {x} and
            keep its proportions; maximise the {x}; plump up that {x}; get the {x} to be {more}bigger; bump up
            the {x} size a notch; go {more}bigger on the {x}; go large with the {x}; scale the {x} by a factor
            above one; build up the {x}; make the {x} less tiny; make the {x} less small; let the {x} dominate
            the {pic} by size; spread the {x} over a {more}bigger area; make {x} more big; put the {x} to
            {more}bigger size; increase the {x}; dilate the {x}; jumbo the {x} up; biggify the {x}; elongate
            and widen the {x} alike"""),
        "say": table("""
            the {x} is too tiny; the {x} needs to grow; the {x} needs more size; the {x} could be
            {more}bigger; the {x} looks puny; the {x} is so small that i can't see it; i can hardly see the
            {x} it's so tiny; i can barely make out such a small {x}; i want the {x} {more}bigger; i'd like
            the {x} {more}larger; i'd prefer a {more}bigger {x}; i wish the {x} was {more}bigger; that {x}
            would look better if it were {more}larger; that tiny {x} must become big; that {x} deserves a
            {more}grander size; that {x} has to gain some size; the {x} must take up more of the {pic}; the
            {x} should fill more of the {pic}; the {x} should tower over the rest; could the {x} be
            {more}bigger; why is the {x} so small please change that; why such a tiny {x}; how about a
            {more}larger {x}; let's see the {x} on a grander scale; let's have that {x} super sized; my {x} is
            much larger in real life; the scale of the {x} should go up; the size of the {x} should be
            increased; the size of the {x} is too low; a {more}bigger {x} would be good; a {more}larger {x}
            would suit me better; bigger {x} please; the {x} has shrunk too far please undo that; the {x}
            drank a growth potion; nobody will notice such a small {x}; the {x} wants to be a giant; the {x}
            is undersized; same {x} but more of it in size; the {x} looks lost at that size it needs to grow;
            the {x} should come closer so it looks big; i expected a far larger {x}; grow {x} grow"""),
        "noun": table("""
            the {x} {more}bigger; the {x} {more}larger; the {x} enlarged; the {x} magnified; the {x} blown up
            in size; the {x} to grow; the {x} to be {more}bigger; the {x} at a {more}larger scale; the {x} at
            twice its size; the {x} twice as big; the same {x} only {more}bigger; a giant {x} instead of the
            small one; a jumbo version of this {x}; an enlarged version of the {x}; an oversized version of
            the {x}; an enlargement of the {x}; an increase in the {x}'s size; a size increase for the {x}; a
            size boost on the {x}; a growth spurt for the {x}; more size for the {x}; more room for the {x} to
            fill; a {pic} with a {more}bigger {x}; a {pic} where the {x} is {more}larger; the {pic} but with
            the {x} enlarged; the {x} to take up more space; the {x} to occupy more of the {pic}; the {x} to
            be less tiny; this {x} in extra large; that {x} in xl; the {x} in a {more}bigger size; a {x} of
            {more}greater size; a {x} with {more}larger dimensions; a {x} not as small as this; a {x} that
            isn't so tiny; a {more}taller and wider {x}; the {x} to come nearer and look larger; the {x} as a
            giant; an upscaled {x}; the expansion of the {x}"""),
    },
    "smaller": {
        "do": table("""
            make the {x} {more}littler; downscale the {x}; lessen the size of the {x}; miniaturise the {x};
            minify the {x}; compress the {x} in both directions; compact the {x}; condense the {x}; contract
            the {x}; squash the {x} down to a tiny size; deflate the {x}; let some air out of the {x}; let the
            {x} shrink; let the {x} dwindle; dwindle the {x} down; halve the {x} in size; cut the {x} size in
            half; cut down the size of the {x}; trim down the {x}; slim down the {x} overall; whittle down the
            {x}; pare the {x} down in scale; bring down the scale of the {x}; turn down the size of the {x};
            dial down the {x} size; lower the scale of the {x}; drop the {x} size a bit; knock the {x} down a
            size; take the {x} down a notch in size; resize the {x} downwards; resize the {x} to a
            {more}smaller one; make the {x} pocket sized; make the {x} look further away; make the {x}
            {more}shorter and narrower; make the {x} cover less of the {pic}; have the {x} take up less room;
            have the {x} occupy less space; move the {x} further from the viewer; push the {x} back so it
            looks smaller; zoom out on just the {x}; drag the corners of the {x} inwards; pull in the edges of
            the {x} all round; give the {x} {more}smaller dimensions; turn the {x} into a tiny version of
            itself; dwarf the {x}; make a dwarf of the {x}; draw the {x} {more}smaller; show the {x}
            {more}smaller; render the {x} at a reduced scale; set the {x} at {more}smaller scale; scale the
            {x} by a factor below one; multiply the {x} size by a half; divide the size of the {x} by two;
            shave some size off the {x}; take a few inches off the {x}; put the {x} on a diet so it shrinks;
            get the {x} to be {more}smaller; go {more}smaller on the {x}; smallen the {x}; smallify the {x};
            tone down the size of the {x}; make {x} more small; put the {x} to {more}smaller size; shrivel the
            {x}; shrink-ray the {x}; debiggen the {x}"""),
        "say": table("""
            the {x} needs to shrink; the {x} needs less size; the {x} could be {more}smaller; the {x} is not
            tiny enough; the {x} looks bloated; the {x} is oversized; the {x} takes up too much room; the {x}
            takes over the whole {pic}; the {x} fills too much of the {pic}; the {x} must occupy less of the
            {pic}; the {x} is hogging all the space; i want the {x} {more}smaller; i'd prefer a {more}smaller
            {x}; i wish the {x} was {more}smaller; i'd like the {x} to be tiny; that {x} would look better if
            it were {more}smaller; that giant {x} scares me a tiny one wouldn't; that {x} has to lose some
            size; could the {x} be {more}smaller; why is the {x} so big please change that; why such a giant
            {x}; how about a {more}smaller {x}; let's have the {x} pocket sized; my {x} is much smaller in
            real life; the scale of the {x} should go down; the size of the {x} should be reduced; the size of
            the {x} is too high; a {more}smaller {x} would be good; smaller {x} please; the {x} has grown too
            much please undo that; the {x} drank a shrinking potion; the {x} went through the wash and shrank;
            same {x} but less of it in size; the {x} overwhelms everything at that size; the {x} should look
            tiny as if far away from us; i expected a far smaller {x}; shrink {x} shrink"""),
        "noun": table("""
            the {x} {more}smaller; the {x} shrunk; the {x} reduced in size; the {x} downsized; the {x} to
            shrink; the {x} to be {more}smaller; the {x} at a {more}smaller scale; the {x} at half its size;
            the {x} half as big; the same {x} only {more}smaller; a tiny version of the {x}; a mini version of
            this {x}; a scaled down version of the {x}; a reduction of the {x}'s size; a decrease in the {x}'s
            size; a size cut for the {x}; a size reduction on the {x}; less size for the {x}; less room taken
            up by the {x}; a {pic} with a {more}smaller {x}; a {pic} where the {x} is {more}smaller; the {pic}
            but with the {x} shrunken; the {x} to take up less space; the {x} to occupy less of the {pic};
            this {x} in extra small; the {x} in pocket size; the {x} in a {more}smaller size; a {x} of
            {more}lesser size; a {x} with {more}smaller dimensions; a {x} not as big as this; a {x} that isn't
            so large; a {more}shorter and narrower {x}; the {x} to go further back and look smaller; the {x}
            as a dwarf; a downscaled {x}; the shrinking of the {x}; a compact version of the {x}; the {x}
            miniaturised"""),
    },
}
