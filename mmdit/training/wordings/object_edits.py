"""How people ask to recolour, remove, replace, add and resize objects: the training templates."""

from mmdit.training.wordings.tables import table

# fmt: off
SHORT: dict[str, tuple[str, ...]] = {
    "recolour": table("""
        make the {x} {c}; turn the {x} {c}; change the {x} to {c}; colour the {x} {c}; recolour the {x}
        to {c}; {c} {x}; make {x} {c}"""),
    "remove": table("remove the {x}; delete the {x}; erase the {x}; take away the {x}; no {x}; remove {x}"),
    "replace": table("""
        replace the {x} with a {y}; swap the {x} for a {y}; change the {x} into a {y}; turn the {x} into
        a {y}; change the {x} to a {y}"""),
    "add": table("add a {x} {p}; put a {x} {p}; place a {x} {p}; insert a {x} {p}; draw a {x} {p}"),
    "bigger": table("""
        make the {x} bigger; make the {x} larger; enlarge the {x}; bigger {x}; scale up the {x}"""),
    "smaller": table("""
        make the {x} smaller; shrink the {x}; smaller {x}; scale down the {x}; make the {x} tiny"""),
}
"""Kind → the short wordings that most people use."""

CORES: dict[str, dict[str, tuple[str, ...]]] = {
    "recolour": {
        "do": table("""
            make the {x} {c}; turn the {x} {c}; turn the {x} to {c}; change the {x} to {c}; colour the
            {x} {c}; recolour the {x} (to|in|as|) {c}; change the colour of the {x} to {c}; set the
            colour of the {x} to {c}; change the {x}'s colour to {c}; make the {x} look {c}; make the
            {x} be {c}; make that {x} {c}; colour the {x} in {c}; set the {x} to {c}; make the colour of
            the {x} {c}; make a {c} {x} out of the {x}; switch the {x} to {c}; switch the colour of the
            {x} to {c}; turn the {x} into a {c} {x}; fill the {x} with {c}; colourise the {x} in {c};
            change the {x} so it is {c}; convert the {x} to {c}; render the {x} in {c}; make it so the
            {x} is {c}; have the {x} be {c}; use {c} for the {x}; apply {c} to the {x}; make the {x}
            become {c}; make the {x} (all|fully|entirely|totally) {c}; alter the colour of the {x} to
            {c}; shade the {x} {c}; take the {x} and make it {c}; modify the {x} to be {c}; see the {x}
            in {c}"""),
        "say": table("""
            the {x} should be {c}; the {x} (must|has to|needs to) be {c}; i want a {c} {x}; i want the
            {x} to be {c}; i want the {x} in {c}; i would like the {x} to be {c}; i would like a {c}
            {x}; i need the {x} {c}; the {x} should (turn|become|look) {c}; can the {x} be {c}; could
            the {x} be {c}; i prefer a {c} {x}; the colour of the {x} should be {c}; i wish the {x} was
            {c}; why is the {x} not {c}; it should be a {c} {x}; {c} is a nicer colour for the {x}; for
            the {x} i want {c}; the {x} is the wrong colour make it {c}; the {x} is supposed to be {c};
            i like the {x} more in {c}; what if the {x} was {c}; the {x} in {c}"""),
        "noun": table("""
            a {c} {x}; the {x} in {c}; the {x} {c}; {c} for the {x}; {c} as the colour of the {x}; a {c}
            coloured {x}; a {x} that is {c}; a {x} in {c}; {c} {x}"""),
    },
    "remove": {
        "do": table("""
            remove the {x} (from the {pic}|from it|); delete the {x} (from the {pic}|); erase the {x}
            (from the {pic}|); take away the {x}; take the {x} away; take out the {x}; take the {x} out
            (of the {pic}|); cut out the {x}; cut the {x} out; drop the {x}; clear the {x}; clear away
            the {x}; rub out the {x}; throw out the {x}; discard the {x}; make the {x} vanish; make the
            {x} go away; make the {x} gone; lose the {x}; kill the {x}; pull the {x} out; strip out the
            {x}; scrap the {x}; ditch the {x}; leave out the {x}; omit the {x}; take that {x} out; have
            the {x} removed; get the {x} out of (here|the {pic}); exclude the {x}; make it so there is
            no {x}; dump the {x}; blot out the {x}; scrub the {x} (out|from the {pic}|); make the {x}
            invisible; remove that {x}; show the {pic} without the {x}; empty the place where the {x} is"""),
        "say": table("""
            there should be no {x}; there should not be a {x}; i don't want the {x}; i do not want the
            {x}; i don't want a {x} (here|in the {pic}); i want the {x} gone; i want the {x} removed;
            the {x} (must|has to|needs to|should) go; the {x} should (vanish|be gone|be removed|be
            deleted|not be there); i don't like the {x} remove it; i don't need the {x}; we don't need
            the {x}; the {x} doesn't belong (here|in the {pic}|); away with the {x}; off with the {x};
            can the {x} be removed; the {x} is in the way; the {x} is annoying delete it; why is there a
            {x} take it out; i want no {x}; i no longer want the {x}; the {x} ruins the {pic}; i don't
            want to see the {x}; the {x} shouldn't be (here|there|in the {pic})"""),
        "noun": table("""
            no {x}; no more {x}; the {x} gone; the {x} removed; the {pic} without the {x}; everything
            without the {x}; the same {pic} but no {x}; everything but the {x}; the {x} deleted; a {pic}
            with no {x}; no {x} (here|at all)"""),
    },
    "replace": {
        "do": table("""
            replace the {x} with a {y}; replace the {x} by a {y}; swap the {x} for a {y}; swap the {x}
            with a {y}; change the {x} into a {y}; change the {x} to a {y}; turn the {x} into a {y};
            make the {x} a {y}; convert the {x} (into|to) a {y}; swap out the {x} for a {y}; switch the
            {x} (for|to|with) a {y}; make a {y} out of the {x}; put a {y} (instead|in place) of the {x};
            put a {y} where the {x} is; use a {y} instead of the {x}; remove the {x} and (add|put) a {y}
            there; remove the {x} and put a {y} in its place; make the {x} become a {y}; make the {x}
            into a {y}; have a {y} instead of the {x}; take out the {x} and put in a {y}; delete the {x}
            and add a {y}; replace that {x} with a {y}; let the {x} become a {y}; give me a {y} instead
            of the {x}; make it a {y} not a {x}; turn that {x} into a {y}; change out the {x} for a {y};
            draw a {y} (over|instead of) the {x}; make the {x} look like a {y}; see a {y} instead of the
            {x}; place a {y} where the {x} was; take the {x} and turn it into a {y}"""),
        "say": table("""
            the {x} should be a {y}; the {x} should (become|turn into|change into) a {y}; i want a {y}
            instead of the {x}; there should be a {y} instead of the {x}; i would like a {y} instead of
            the {x}; the {x} (must|needs to) be a {y}; the {x} is supposed to be a {y}; i prefer a {y}
            to the {x}; i want the {x} to be a {y}; it should be a {y} not a {x}; instead of the {x} i
            want a {y}; instead of a {x} put a {y}; where the {x} is i want a {y}; can the {x} be a {y};
            i wanted a {y} not a {x}; what if the {x} was a {y}; the {x} needs to be replaced with a
            {y}; a {y} should replace the {x}; i wish the {x} was a {y}; a {y} would be better than the
            {x}"""),
        "noun": table("""
            a {y} instead of the {x}; a {y} in place of the {x}; a {y} not a {x}; a {y} where the {x}
            is; the {x} replaced with a {y}; the {x} turned into a {y}; a {y} rather than the {x}; a {y}
            for the {x}; a {y} as a replacement for the {x}"""),
    },
    "add": {
        "do": table("""
            add a {x} {p}; put a {x} {p}; place a {x} {p}; insert a {x} {p}; draw a {x} {p}; add one {x}
            {p}; {p} add a {x}; {p} put a {x}; add another {x} {p}; put in a {x} {p}; stick a {x} {p};
            drop a {x} {p}; set a {x} {p}; paste a {x} {p}; throw in a {x} {p}; bring in a {x} {p}; give
            me a {x} {p}; position a {x} {p}; append a {x} {p}; make a {x} {p}; make a {x} appear {p};
            have a {x} {p}; slap a {x} {p}; get a {x} {p}; plop a {x} {p}; pop a {x} {p}; add a new {x}
            {p}; add in a {x} {p}; put one {x} {p}; fit a {x} in {p}; add a picture of a {x} {p}; lay a
            {x} {p}; make it so there is a {x} {p}; add to the {pic} a {x} {p}; put some {x} {p}; have a
            {x} added {p}; see a {x} {p}"""),
        "say": table("""
            there should be a {x} {p}; i want a {x} {p}; i would like a {x} {p}; i need a {x} {p}; a {x}
            should be {p}; i want to see a {x} {p}; i'd love a {x} {p}; there needs to be a {x} {p}; {p}
            there should be a {x}; i want you to add a {x} {p}; {p} i want a {x}; it needs a {x} {p};
            the {pic} needs a {x} {p}; can there be a {x} {p}; where is the {x} put one {p}; a {x} would
            be nice {p}; a {x} is missing {p}; i miss a {x} {p}; there must be a {x} {p}; we need a {x}
            {p}; can i have a {x} {p}; how about a {x} {p}; why is there no {x} {p}; it would be nice
            with a {x} {p}"""),
        "noun": table("""
            a {x} {p}; one {x} {p}; another {x} {p}; a new {x} {p}; an extra {x} {p}; one more {x} {p};
            a {x} added {p}; the {pic} with a {x} {p}; the same {pic} with a {x} {p}; some {x} {p}"""),
    },
    "bigger": {
        "do": table("""
            make the {x} {more}bigger; make the {x} {more}larger; enlarge the {x}; scale up the {x};
            scale the {x} up; grow the {x}; make the {x} big; make the {x} large; make the {x} grow;
            blow up the {x}; expand the {x}; make the {x} {more}taller; raise the size of the {x}; zoom
            the {x}; size up the {x}; make the {x} (enormous|very big|really big|super big); turn the
            {x} into a (bigger|larger|big) {x}; make a bigger {x}; give the {x} more size; resize the
            {x} to be (bigger|larger); boost the size of the {x}; increase the {x} in size; make that
            {x} bigger; make the {x} take up more space; make the {x} fill more of the {pic}; make the
            size of the {x} bigger; extend the {x}; have the {x} bigger; make the {x} as big as you can;
            bump up the size of the {x}; see a bigger {x}; upsize the {x}"""),
        "say": table("""
            the {x} should be {more}(bigger|larger); i want a (bigger|larger|big) {x}; the {x} is too
            small; the {x} is {more}too small; the {x} looks too small; i want the {x} to be
            {more}bigger; i would like a bigger {x}; i wish the {x} was bigger; the {x} (must|has
            to|needs to) be (bigger|larger); the {x} should grow; can the {x} be bigger; why is the {x}
            so small; the {x} isn't big enough; the {x} is not large enough; the {x} should take more
            space; i can hardly see the {x} it is too small; the {x} should be (big|large|enormous); i
            need a larger {x}; the {x} could be bigger"""),
        "noun": table("""
            a {more}bigger {x}; a {more}larger {x}; a big {x}; a large {x}; the {x} bigger; the {x}
            larger; a larger size for the {x}; a bigger version of the {x}; an enlarged {x}; an enormous
            {x}; more {x} size; the {x} in large; the {x} scaled up"""),
    },
    "smaller": {
        "do": table("""
            make the {x} {more}smaller; make the {x} small; shrink the {x} (down|); scale down the {x};
            scale the {x} down; reduce the {x} in size; make the {x} tiny; make the {x} shrink; reduce
            the size of the {x}; lower the size of the {x}; make the {x} (very small|really small|super
            tiny|super small); turn the {x} into a (smaller|tiny|small) {x}; minimise the {x}; make a
            smaller {x}; resize the {x} to be (smaller|tiny); cut the size of the {x}; make that {x}
            smaller; make the {x} mini; make the {x} take up less space; make the {x} fill less of the
            {pic}; make the size of the {x} smaller; have the {x} smaller; make the {x} {more}shorter;
            reduce the {x}; make the {x} less big; make the {x} not so big; give the {x} less size; make
            the {x} as small as you can; bring down the size of the {x}; see a smaller {x}; size down
            the {x}; make the {x} less large; scale the {x} to a smaller size"""),
        "say": table("""
            the {x} should be {more}smaller; i want a (smaller|small|tiny) {x}; the {x} is too
            (big|large); the {x} is {more}too big; the {x} looks too (big|large); i want the {x} to be
            {more}smaller; i would like a smaller {x}; i wish the {x} was smaller; the {x} (must|has
            to|needs to) be smaller; the {x} should shrink; can the {x} be smaller; why is the {x} so
            big; the {x} isn't small enough; the {x} is not small enough; the {x} should take less
            space; the {x} takes too much space; the {x} should be (small|tiny); i need a smaller {x};
            the {x} could be smaller"""),
        "noun": table("""
            a {more}smaller {x}; a small {x}; a tiny {x}; the {x} smaller; a smaller size for the {x}; a
            smaller version of the {x}; a shrunken {x}; a mini {x}; less {x} size; the {x} in small; the
            {x} scaled down; a tinier {x}"""),
    },
}
"""Kind → form → templates: "do" follows "can you", "say" is a sentence of its own, "noun" follows "i want"."""
