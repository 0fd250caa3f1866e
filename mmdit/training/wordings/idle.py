"""What goes into instructions whose right answer is the unchanged picture."""

from mmdit.training.wordings.tables import table, words

# fmt: off
SALAD_WORDS = words("""
    about above account across advice afternoon agree airport almost alone already although always
    amount answer anyone argue arrive article aunt autumn average bakery bank basket battle beach
    because become bedroom before begin behind believe bench between bicycle bird birthday blanket blood
    board body book boring borrow bottle branch bread breakfast bridge brother bucket budget butter
    cabbage camera candle captain careful carpet carry chair chance cheap cheese chicken choose church
    circle citizen class climb clothes cloud coast collect college comfort common company concert
    condition cook copper corner cotton country cousin cream crowd culture curtain customer daily danger
    daughter decide degree deliver dentist desert desk detail dinner discuss distance doctor dollar
    doubt dream drive drum during early earth economy education effort eight either elbow election
    electric empty engine enjoy enough evening event every exam example except expect eye factory fail
    family famous farmer father feather february fence festival fever finger finish flight floor follow
    foreign forest forget fork forward freedom friday friend funny future garden gentle glass goal grass
    grocery group guess guest guitar habit hammer handle happen hardly health heavy helpful history
    holiday honest horse hospital hotel hour however hundred hungry hurry husband idea important
    industry inside island jacket january job journey judge juice kettle key kitchen knee knife
    knowledge ladder lake language laugh lawyer lazy leather lesson letter library listen machine
    mailbox manager map market marry matter meeting member memory message metal minute mirror modern
    moment monday money month morning mother mountain mouth museum music narrow nation nature neighbor
    never newspaper nobody north nothing notice number nurse ocean office often onion opinion order
    other outside oven owner page pair paper parent partner passenger patient pencil people pepper
    perhaps person phone piano pillow plastic plate pocket poem police polite popular potato pretty
    price prison problem promise public question quiet radio railway rain reason receive recipe remember
    restaurant rice river road salt school science season secret sentence seven shirt shoulder sister
    spoon station story street student sugar summer table teacher theory thursday ticket tomorrow towel
    traffic travel uncle university village visit voice wallet water weather wedding weekend window
    winter wisdom yesterday""")
HELD_OUT_SALAD_WORDS = words("""
    actor alphabet anchor ankle apron athlete author axe balcony banjo barrel belief blame bone bowl
    bracelet brick cable calendar canal cathedral ceiling cement chapter chimney comb committee compass
    cradle credit cushion debate decade diary donkey drawer eagle envelope essay fabric fiction flute
    fountain funeral galaxy garlic geography glove gravity guitarist harbor helmet hinge honor hunger
    instinct jewel justice kidney lecture lettuce logic lumber magnet meadow mechanic merchant mineral
    nephew novel oyster parliament pebble philosophy pigeon pottery profit puzzle quarrel ribbon rumor
    saddle scissors shepherd sleeve spider stomach suitcase tailor tractor treaty turnip tunnel velvet
    violin walnut whistle wrist zipper""")
ONSETS = words("b bl br d dr f fl fr g gl gr j k kl kr m n p pl pr qu sk sl sn sp t tr v vr w z zw")
VOWELS = words("a e i o u oo ee ai ou")
CODAS = words("rp zk lb mf gg zz rk nk bb lg mp xt rv")
KEYBOARD_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")

SMALL_TALK = table("""
    what is this; hello there; who are you; nice weather today; how are you; what time is it; good
    morning; good evening; where was this taken; who took this (photo|picture); i like this
    (picture|photo); this is a nice (picture|photo|image); hello; hi; hi there; hey there; what can you
    do; what is your name; are you a computer; do you understand me; tell me a joke; tell me a story;
    thank you; thanks; ok; okay; yes; no; maybe; never mind; good job; well done; that looks great; i
    love it; wow; lol; what do you see; what do you see here; describe the (picture|photo|image); how
    many people are there; is this real; where are we; why; how; what; when; is it raining; my name is
    (peter|anna|john|maria|ahmed|lucy); i am (tired|hungry|bored|happy|sad); i had
    (bread|soup|rice|eggs) for (lunch|breakfast|dinner); what is the capital of
    (france|italy|peru|japan); see you (later|tomorrow|soon); goodbye; bye; bye bye; how old are you; do
    you like music; i don't know; i have no idea; what should i do; can you hear me; are you there;
    test; testing; one two three; it is (monday|tuesday|friday|sunday) today; the weather is
    (nice|bad|awful); happy birthday; merry christmas; what's up; how is it going; i went to the market;
    can you help me; i have a question; what does this show; do you know who this is; is this your
    (photo|picture); how much does it cost; where do you live; let me think; give me a minute; this is a
    test; what kind of (photo|picture) is this; is there a (cat|dog|car|house|tree|person) in the
    (picture|photo); how many (cats|dogs|cars|trees|stars) are there; is the (cat|dog|car|house)
    (blue|red|green); i saw a (cat|dog|fox|bear) yesterday; my (cat|dog|rabbit) is called
    (max|bella|luna); do you like (pizza|cake|apples|carrots); two plus two is four; the meeting starts
    at nine; i forgot my keys; he said she would call""")
HELD_OUT_SMALL_TALK = table("""
    greetings; howdy; pleased to meet you; which country are you from; explain yourself; is anybody
    listening; my train was late; could you recommend a film; what a lovely view; congratulations;
    excuse me; the concert was loud; who won the match; my phone is broken; how tall is he; which lens
    did they use; when was it made; she plays the trumpet; cheers mate; what does the {x} mean; does the
    {x} have a name; whose {x} is that; i used to own a {x}; my uncle sold his {x}; have a pleasant trip""")

FOREIGN_NOUNS = table("""
    elephant; giraffe; horse; guitar; piano; chair; table; lamp; bicycle; man; woman; baby; dragon;
    mountain; river; bridge; camel; snake; penguin; hat; shoe; bottle; book; phone; sofa; unicorn;
    dinosaur; zebra; window; door; fence; pineapple; airplane; cow; sheep""")
HELD_OUT_FOREIGN_NOUNS = table("""
    kangaroo; octopus; trumpet; hammock; wardrobe; necklace; waterfall; scooter; wizard; lobster;
    helicopter; fridge; ostrich; keyboard; statue""")
FOREIGN_EDITS = table("""
    rotate it by (ninety|forty five|ten|thirty) degrees; rotate the (picture|photo|image); add a
    mustache to the {f}; write my name on it; crop the (picture|photo|image); crop it; make the {f} fly;
    flip it upside down; mirror the (picture|photo|image); add (some|) text (at the top|at the bottom|);
    put a border around it; put a frame around the (photo|picture); remove the {f}; add a {f}; make the
    {f} {c}; make the {f} bigger; make the {f} smaller; replace the {f} with a {f2}; put a hat on the
    {f}; give the {f} glasses; make the {f} smile; make the {f} dance; change the background to a
    (beach|desert|forest); cut it in half; zoom in; zoom out; make it a cartoon; turn it into an oil
    drawing; turn it into a (video|song|poem|comic); save the (picture|photo|file); print it; send it to
    my (mother|friend|boss); upload it; resize the (picture|photo) to 800 pixels; delete the {f}; draw a
    {f}; put a {f} in the corner; add a watermark; add my logo; make the {f} run; make the {f} sing;
    open the {f}; make the {f} wear a scarf; tilt the camera; move the camera back; straighten the
    horizon; make the person taller; make him younger; make her older; add a beard; add sunglasses;
    change the hair; fix the red eyes; move the {f} to the left; turn the {f} around; take out the {f};
    erase the {f}; i want a {f}; the {f} should be {c}; a {c} {f}; turn the {f} {c}; make it three
    dimensional; add a caption; make it a square; stretch it; make the {x} fly; make the {x} dance; put
    a hat on the {x}; give the {x} glasses; write hello on the {x}; make the {x} smile; rotate the {x};
    count the {x}; tell me about the {x}""")
HELD_OUT_FOREIGN_EDITS = table("""
    spin it a quarter turn; trim the edges; sign it with my initials; teach the {f} to swim; render it
    as an anime; export it as a file; attach it to an email; animate it; make the {f} jump over the
    {f2}; add subtitles; fold it in two; turn the {f} sideways; give the {f} wings; give the {x} wings;
    make the {x} speak; stitch two pictures together; add a speech bubble; straighten the {f}; erase the
    {f}; place a {f}; i would love a {f}; show the {f} from behind; tie a ribbon around the {x}; remove
    his tattoos; fix the typo in the caption""")

NEGATED_EDITS = table("""
    remove the {x}; delete the {x}; make the {x} {c}; turn the {x} {c}; change the {x}; touch the {x};
    erase the {x}; replace the {x}; recolour the {x}; make the {x} bigger; make the {x} smaller; shrink
    the {x}; enlarge the {x}; add a {x}; put a {x} (in the middle|on the left|at the top|at the
    bottom|here); replace the {x} with a {y}; swap the {x} for a {y}; make it brighter; make it darker;
    make it black and white; make it sepia; invert it; invert the colours; blur it; make it warmer; make
    it cooler; make it night; increase the contrast; increase the saturation; brighten it; darken the
    picture; apply sepia; blur the image; turn day into night; remove the colours; saturate the colours;
    add a filter; edit (it|anything|this|the picture); change (anything|it|the picture|the colours)""")
NEGATIONS = table("""
    don't; don't; do not; do not; please don't; never; dont; please do not; you must not; you should
    not; i don't want you to; there is no need to; no need to; under no circumstances; don't you dare; i
    asked you not to""")
DO_NOTHING = table("""
    do not change anything; don't change anything; leave it as it is; keep the (picture|photo|image) the
    same; do nothing; leave the {x} alone; keep the {x}; keep the {x} as it is; leave the {x} as it is;
    leave the {x} {c}; change nothing; no changes; no change please; no changes please; keep it like
    this; keep it as it is; leave it; leave it alone; leave everything as it is; it is fine as it is; it
    is good the way it is; it's perfect already; don't touch it; nothing; nothing to do; no edits; keep
    everything; keep the original; show me the original; stop; the {x} is fine; the {x} is fine as it
    is; the {x} should stay; the {x} should stay the same; i like the {x} the way it is; i want the {x}
    to stay; let it be; don't; don't do anything; hands off the {x}; i like it as it is; stay as it is;
    skip this one; cancel; forget it; the colours are fine; the brightness is fine; the contrast is
    good; the picture is not too dark; it is not too bright; keep the brightness; keep the colours; keep
    the contrast as it is; it should stay the same; same picture""")
HELD_OUT_DO_NOTHING = table("""
    preserve the {pic}; refrain from editing; retain the {x}; spare the {x}; no modification needed; the
    {pic} must remain untouched; avoid touching the {x}; avoid making it brighter; refrain from removing
    the {x}; i forbid you to alter it; the {x} must remain; abstain from any edit; it would be wrong to
    remove the {x}; stop yourself from inverting it; you mustn't blur it; don't you go making the {x}
    {c}; without altering anything; by no means make it darker; the {x} mustn't be {c}; rather not make
    the {x} bigger; we agreed to skip the sepia""")
