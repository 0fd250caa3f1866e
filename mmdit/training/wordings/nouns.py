"""What objects, colours and places are called, and what people say around a request."""

from mmdit.training.wordings.tables import table, words

# fmt: off
SYNONYMS: dict[str, tuple[str, ...]] = {
    "cat": table("""
        kitten; feline; tomcat; pussycat; tabby; kittycat; moggy; siamese; persian; puss; mouser; calico;
        ginger tom; maine coon; tortoiseshell; pussy cat; ragdoll; sphynx; bengal; alley cat; meow; meower;
        furball; tom; domestic cat; catto"""),
    "dog": table("""
        hound; doggy; pooch; doggie; canine; pup; mutt; doggo; terrier; poodle; labrador; retriever; spaniel;
        beagle; bulldog; collie; dachshund; husky; mongrel; pug; chihuahua; sheepdog; dalmatian; corgi;
        alsatian; rottweiler; lapdog; bow-wow; barker; woofer; cur; whippet; greyhound"""),
    "rabbit": table("""
        hare; coney; bunnykin; cottontail; jackrabbit; lop; bun-bun; leveret; wabbit; buck rabbit; angora;
        thumper; lop-eared rabbit; dwarf rabbit; wild rabbit; pet rabbit; long-eared animal; flopsy; leporid"""),
    "fox": table("""
        vixen; foxy; fox cub; reynard; tod; foxling; fennec; foxie; vulpine; swift fox; desert fox; urban fox;
        wild fox; fennec fox; renard; fox kit; kitsune; foxface"""),
    "bear": table("""
        grizzly; bruin; bear cub; grizzly bear; kodiak; cuddly bear; beary; honey bear; ursine; papa bear;
        mama bear; cave bear; polar bear; forest bear; koala; kodiak bear; teddybear"""),
    "panda": table("""
        giant panda; panda cub; pandabear; bamboo eater; pandy; bamboo muncher; bamboo lover; chinese panda;
        panda animal; panda face; pandie; bamboo chewer; pandaling; bamboo animal; pandabear cub; panda bub"""),
    "pig": table("""
        hog; swine; piggy; sow; porker; boar; piggy-wiggy; oinker; piggie; hoggy; grunter; guinea hog; porky;
        baconer; gilt; wild boar; saddleback; farmyard pig; tamworth; oink; potbelly; razorback; squealer;
        shoat; farrow; pot-bellied pig"""),
    "frog": table("""
        froggy; bullfrog; croaker; amphibian; froglet; froggie; ribbiter; natterjack; polliwog; pond frog;
        toadlet; common frog; poison dart frog; ribbit; paddock frog; toady; marsh frog; puddock; tadpole;
        batrachian; grenouille"""),
    "monkey": table("""
        ape; baboon; chimp; primate; macaque; gorilla; orangutan; simian; marmoset; capuchin; monkey face;
        mandrill; gibbon; tamarin; colobus; howler; rhesus; langur; bonobo; cheeky monkey; vervet; barbary
        ape; monkeykin"""),
    "lion": table("""
        lioness; lion cub; leo; jungle king; king of beasts; roarer; african lion; lionet; jungle lion; mane
        bearer; cougar; puma; savannah king; roaring beast; pride leader; maned lion"""),
    "fish": table("""
        trout; tuna; salmon; fishy; carp; cod; guppy; clownfish; herring; mackerel; minnow; koi; bass; perch;
        pike; sardine; haddock; angelfish; pufferfish; fishie; tiddler; sea fish; halibut; plaice; swimmer;
        anchovy; tropical fish; tetra; pisces; swordtail"""),
    "butterfly": table("""
        moth; monarch; swallowtail; flutterby; painted lady; peacock butterfly; brimstone butterfly;
        butterflyer; papillon; mariposa; lepidopteran; flutterer; flitter; tortoiseshell butterfly; winged
        insect; farfalla; skipper butterfly; monarch butterfly; fritillary; silkmoth; flutter bug; hawkmoth"""),
    "bee": table("""
        bumblebee; wasp; honey bee; buzzer; hornet; drone bee; worker bee; queen bee; buzzy bee; bumble bee;
        honey maker; stripy insect; buzzing insect; stinger; pollinator; yellowjacket; carpenter bee; mason
        bee; bumbler; humblebee; buzz bug; apis"""),
    "turtle": table("""
        terrapin; sea turtle; turtley; snapping turtle; shelled reptile; leatherback; loggerhead; box turtle;
        slider turtle; snapper; slowcoach reptile; hawksbill; shellback; tortuga; mud turtle; pond turtle;
        land turtle; reptile; chelonian"""),
    "apple": table("""
        granny smith; gala; braeburn; pippin; bramley; eating apple; cooking apple; crab apple; russet; fuji
        apple; honeycrisp; pome; cooker apple; toffee apple; jonagold; windfall; mcintosh; discovery apple;
        apple fruit; crabapple; manzana; pomme"""),
    "banana": table("""
        plantain; nana; ripe banana; banana fruit; cavendish; peeled banana; curved fruit; bent fruit; curvy
        fruit; nanna fruit; sweet plantain; dessert banana; tropical banana; cavendish banana; lady finger
        banana; banana peel; platano; banane; bananny"""),
    "strawberry": table("""
        berry; strawb; wild strawberry; garden berry; fraise; fresa; straw berry; summer berry; alpine
        strawberry; strawberry fruit; garden strawberry; woodland berry; jam berry; erdbeere; juicy berry;
        fragola; berry fruit"""),
    "pizza": table("""
        pizza slice; margherita; pepperoni pizza; slice of pizza; pizza pie; pepperoni; calzone; pizzetta;
        neapolitan; cheese pizza; quattro stagioni; pizza wedge; cheesy slice; za; flatbread; hawaiian; deep
        pan; thin crust; pizzette; quattro formaggi; marinara; sicilian slice; pizza piece"""),
    "burger": table("""
        cheeseburger; sandwich; beefburger; veggie burger; burger bun; patty; chicken burger; quarter pounder;
        beef bun; bean burger; double cheeseburger; slider; smash burger; bacon burger; fast food; hamburg
        steak; borger; bap; takeaway burger; patty melt"""),
    "cake": table("""
        birthday cake; torte; gateau; sponge cake; sponge; muffin; cheesecake; shortcake; layer cake; fairy
        cake; slice of cake; victoria sponge; cakey; brownie; bundt; wedding cake; pastry; dessert; fruitcake;
        angel cake; tart; pudding; fancy"""),
    "carrot": table("""
        root vegetable; carrot stick; root veg; veggie; vegetable; veg; garden root; daucus; snowman nose;
        chantenay; carrot root; carotte; taproot; nantes carrot; snowman's nose; crunchy veg; zanahoria;
        karotte"""),
    "mushroom": table("""
        toadstool; champignon; shroom; button mushroom; portobello; chanterelle; porcini; shiitake; fly
        agaric; puffball; cep; morel; truffle; agaric; forest mushroom; field mushroom; enoki; chestnut
        mushroom; mushie; spotted toadstool; boletus; blewit"""),
    "tree": table("""
        oak; maple; pine; pine tree; fir; oak tree; spruce; birch; elm; beech; conifer; evergreen; willow; ash
        tree; cedar; poplar; sycamore; larch; fir tree; christmas tree; bonsai; yew; timber; shade tree; palm
        tree; leafy plant; arbour; treelet"""),
    "flower": table("""
        blossom; daisy; bloom; tulip; posy; daffodil; dahlia; poppy; peony; lily; floret; petunia; hibiscus;
        carnation; orchid; pansy; geranium; chrysanthemum; gerbera; zinnia; wildflower; aster; floweret;
        anemone; bud; camellia; cherry blossom"""),
    "cactus": table("""
        succulent; prickly pear; desert plant; prickly plant; spiny plant; cactus plant; spiky plant; pricker;
        opuntia; peyote; desert succulent; cholla; echinopsis; spiky thing; thorny plant; nopal; mexican
        plant; needle plant; pot cactus"""),
    "car": table("""
        auto; vehicle; sedan; hatchback; taxi; motorcar; coupe; motor; cab; convertible; saloon; jalopy;
        roadster; sports car; estate car; limousine; racing car; wheels; banger; minicab; runabout; cabriolet;
        suv; limo; race car; motor car; family car; passenger car; old banger; police car"""),
    "bus": table("""
        minibus; omnibus; double decker; school bus; trolleybus; double-decker; city bus; single decker;
        charabanc; tour bus; night bus; shuttle bus; autobus; bendy bus; airport shuttle; motorbus; public
        transport; sightseeing bus; open-top bus; routemaster"""),
    "rocket": table("""
        space rocket; missile; spaceship; space shuttle; starship; launcher; shuttle; rocketship; projectile;
        space vehicle; booster; toy rocket; launch vehicle; space vessel; rakete; firework; space capsule"""),
    "boat": table("""
        sailboat; yacht; dinghy; sailing boat; vessel; rowing boat; schooner; canoe; speedboat; sloop;
        motorboat; ferry; fishing boat; catamaran; barge; skiff; trawler; galleon; cutter; ketch; gondola;
        lifeboat; watercraft; steamer; tugboat; clipper; punt; rowboat"""),
    "house": table("""
        cottage; hut; cabin; bungalow; dwelling; villa; residence; chalet; shack; detached house; mansion;
        townhouse; abode; building; semi; lodge; farmhouse; homestead; casa; log cabin; domicile; living
        quarters; maisonette; country house; housie"""),
    "castle": table("""
        fortress; palace; fort; chateau; stronghold; keep; fairytale castle; fortification; schloss; knight's
        castle; bouncy castle; alcazar; burg; medieval fort; royal palace; sandcastle; tower keep; kremlin;
        medieval castle; princess castle; bastion; castello"""),
    "star": table("""
        twinkle star; five-pointed star; shooting star; pentagram; starlet; asterisk; twinkling star; north
        star; lodestar; pole star; falling star; guiding star; estrella; etoile; supernova; star shape;
        twinkler; sparkly star; evening star; morning star; star symbol; pentacle; lucky star; starry"""),
    "heart": table("""
        love heart; valentine; love symbol; sweetheart; heart shape; loveheart; heart symbol; love sign; heart
        icon; heart sign; love token; corazon; cuore; coeur; valentine heart; love emoji; love shape; herz;
        amour; cupid's heart; love icon; like symbol; hearty"""),
    "moon": table("""
        crescent; crescent moon; half moon; full moon; luna; lunar crescent; new moon; moonlet; sickle moon;
        harvest moon; quarter moon; waning moon; waxing moon; gibbous moon; mr moon; nightlight; lunar disc;
        lune; selene; moon sickle; half-moon; night orb; moonface; earth's satellite; lunar orb"""),
    "sun": table("""
        smiling sun; sunshine; mr sun; solar disc; sunburst; sunlight; daystar; sol; soleil; sunbeam; morning
        sun; midday sun; solar orb; helios; rising sun; shining sun; summer sun; sun disc; sunball; desert
        sun; setting sun; solar body"""),
    "umbrella": table("""
        parasol; sunshade; gamp; bumbershoot; rain shade; rain cover; parapluie; sombrilla; rain canopy;
        paraguas; ombrello; golf umbrella; beach umbrella; folding umbrella; rain shelter; rain guard; pocket
        umbrella; brollie; rain shield; garden parasol; rainshade; regenschirm"""),
    "balloon": table("""
        party balloon; helium balloon; birthday balloon; inflatable; air balloon; toy balloon; gas balloon;
        ballon; rubber balloon; floating balloon; water balloon; hot-air balloon; latex balloon; hot air
        balloon; foil balloon; balloon on string; blimp; globo; airship; luftballon"""),
    "ball": table("""
        soccer ball; sphere; basketball; tennis ball; beach ball; bouncy ball; volleyball; cricket ball; rugby
        ball; soccerball; baseball; rubber ball; playball; softball; leather ball; handball; golf ball; footy;
        netball; toy ball; bouncer; match ball; dodgeball; medicine ball; pelota"""),
    "clock": table("""
        timepiece; timer; watch; wall clock; clock face; timekeeper; wristwatch; stopwatch; chronometer;
        pocket watch; bedside clock; grandfather clock; cuckoo clock; dial; horologe; mantel clock; ticktock;
        tick-tock; time teller; carriage clock; chronograph; station clock; kitchen timer"""),
    "robot": table("""
        bot; automaton; cyborg; droid; mech; humanoid; robo; mechanoid; robot head; toy robot; chatbot;
        robobot; artificial being; golem; replicant; robotic creature; metal head; drone robot"""),
}
HELD_OUT_SYNONYMS: dict[str, str] = {
    "cat": "kitty", "dog": "puppy", "rabbit": "bunny", "car": "automobile", "boat": "ship", "house": "home",
    "ball": "football", "robot": "android", "burger": "hamburger", "bus": "coach", "clock": "alarm",
    "flower": "sunflower", "bear": "teddy", "pig": "piglet", "frog": "toad", "monkey": "chimpanzee",
    "fish": "goldfish", "bee": "honeybee", "turtle": "tortoise", "cake": "cupcake", "mushroom": "fungus",
    "tree": "sapling", "cactus": "saguaro", "rocket": "spacecraft", "castle": "citadel", "umbrella": "brolly",
}
COLOUR_SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": table("""
        scarlet; ruby; cherry red; ruby red; bright red; blood red; fire engine red; vermilion; deep red; dark
        red; tomato red; carmine; pillar box red; lipstick red; reddish; poppy red; wine red; claret; maroon;
        burgundy; chilli red; cardinal red; cinnabar; garnet; ketchup red; traffic light red; rouge;
        blood-coloured; cherry-coloured; raspberry red; fiery red; cranberry; red-coloured; oxblood; post box
        red; tomato-coloured"""),
    "orange": table("""
        apricot; amber; mandarin; bright orange; pumpkin; burnt orange; dark orange; pumpkin orange;
        clementine; satsuma; orangey; orangish; traffic cone orange; sunset orange; neon orange; persimmon;
        safety orange; hi-vis orange; flame orange; marmalade; papaya; mango orange; amber orange; kumquat;
        carroty; orange-coloured; tiger orange; rusty orange; pumpkin-coloured; lava orange; cantaloupe;
        marigold orange; deep orange; saffron orange"""),
    "yellow": table("""
        lemon; canary; mustard; lemon yellow; bright yellow; canary yellow; gold; mustard yellow; buttercup
        yellow; daffodil yellow; butter yellow; yellowish; yellowy; primrose yellow; saffron; maize; corn
        yellow; custard yellow; straw-coloured; lemon-coloured; neon yellow; pale yellow; egg yolk yellow;
        dandelion yellow; highlighter yellow; chrome yellow; citrine; pineapple yellow; gold-coloured; flaxen;
        yellow-coloured; sulphur yellow; light yellow; sunny yellow; custard-coloured; cheese-coloured"""),
    "green": table("""
        lime; olive; mint green; lime green; bright green; grass green; olive green; jade; forest green; dark
        green; bottle green; pea green; moss green; racing green; light green; sage; sage green; greenish;
        leaf green; sea green; shamrock green; kelly green; avocado; pistachio; fern green; hunter green; neon
        green; pickle green; verdant; malachite; grass-coloured; jungle green; green-coloured; grassy green"""),
    "blue": table("""
        navy; sapphire; cobalt; navy blue; sky blue; light blue; dark blue; royal blue; baby blue; bright
        blue; cobalt blue; ultramarine; cerulean; ocean blue; teal blue; powder blue; denim blue; bluish;
        electric blue; prussian blue; ice blue; cornflower blue; duck egg blue; steel blue; sapphire blue;
        turquoise blue; petrol blue; denim; oxford blue; sky-coloured; blueberry; lapis; marine blue;
        cambridge blue; blue-coloured; peacock blue; sea-coloured"""),
    "purple": table("""
        lilac; lavender; plum; mauve; bright purple; dark purple; amethyst; aubergine; royal purple; grape;
        deep purple; purplish; imperial purple; light purple; eggplant; grape-coloured; plum-coloured;
        mulberry; heather; purply; wisteria; ultraviolet; purple-coloured; damson; lilac-coloured; tyrian
        purple; beetroot purple; blackcurrant; lavender-coloured; heliotrope; iris purple"""),
    "pink": table("""
        magenta; fuchsia; hot pink; rosy; bright pink; baby pink; pale pink; salmon pink; bubblegum pink;
        candy floss pink; pastel pink; coral pink; shocking pink; flamingo pink; blush; light pink; pinkish;
        candy pink; blush pink; dusky pink; bubblegum; peachy pink; cerise; flamingo; dark pink; pinky; neon
        pink; fuchsia pink; powder pink; pink-coloured; marshmallow pink; shell pink; prawn pink; sugar pink;
        raspberry pink"""),
    "brown": table("""
        chestnut; coffee brown; mahogany; hazel; dark brown; coffee-coloured; light brown; tan; caramel;
        chestnut brown; mocha; cocoa; sepia; umber; brownish; cinnamon; wood brown; nut brown; mud-coloured;
        toffee-coloured; muddy brown; tawny; bronze; hazelnut; earth brown; caramel-coloured; burnt umber;
        leather brown; cocoa brown; fudge-coloured; peat brown; brown-coloured; tobacco brown; toffee"""),
    "black": table("""
        jet black; onyx; coal black; pitch black; raven black; pure black; deep black; solid black; obsidian;
        soot black; inky; raven; sooty; jet; sable; inky black; coal-coloured; blackish; tar black; noir;
        raven-coloured; piano black; charcoal black; liquorice black; matt black; soot-coloured;
        night-coloured; blackboard black; crow black; black-coloured; tar-coloured"""),
    "white": table("""
        snow white; chalk white; pearl white; snowy; pure white; milk white; milky; bright white;
        snow-coloured; paper white; off-white; alabaster; lily white; whitish; milky white; cotton white;
        chalky; snowy white; brilliant white; porcelain white; plain white; pearly white; milk-coloured;
        chalk-coloured; blanc; polar white; flour white; salt white; white-coloured; swan white; eggshell
        white"""),
}
HELD_OUT_COLOUR_SYNONYMS: dict[str, str] = {
    "red": "crimson", "orange": "tangerine", "yellow": "golden", "green": "emerald", "blue": "azure",
    "purple": "violet", "pink": "rose", "brown": "chocolate", "black": "ebony", "white": "ivory",
}
COLOUR_MODIFIERS = ("bright", "deep", "pure", "completely", "dark", "light")
PLAIN_COLOUR_MODIFIERS = ("pure", "completely")
"""For black and white, where dark and light would change the meaning."""

PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "top left": table("""
        in the top left; at the top left; in the (top|upper) left corner; at the upper left; in the
        upper left; near the top left; on the top left; to the top left; top left; in the left top
        corner; up in the left corner"""),
    "top": table("""
        at the top; at the top of the {pic}; on top; near the top; in the top middle; at the upper edge;
        in the upper part; in the top center; up top; at the top center; top; in the top"""),
    "top right": table("""
        in the top right; at the top right; in the (top|upper) right corner; at the upper right; in the
        upper right; near the top right; on the top right; to the top right; top right; in the right top
        corner; up in the right corner"""),
    "left": table("""
        on the left; on the left side; to the left; at the left; at the left edge; in the left part; on
        the left hand side; in the middle left; near the left edge; left; on the left of the {pic}; in
        the left"""),
    "center": table("""
        in the center; in the middle; at the center; in the middle of the {pic}; center; right in the
        middle; in the very center; in the center of the {pic}; at the middle; centered"""),
    "right": table("""
        on the right; on the right side; to the right; at the right; at the right edge; in the right
        part; on the right hand side; in the middle right; near the right edge; right; on the right of
        the {pic}; in the right"""),
    "bottom left": table("""
        in the bottom left; at the bottom left; in the (bottom|lower) left corner; at the lower left; in
        the lower left; near the bottom left; on the bottom left; to the bottom left; bottom left; in
        the left bottom corner; down in the left corner"""),
    "bottom": table("""
        at the bottom; at the bottom of the {pic}; near the bottom; in the bottom middle; at the lower
        edge; in the lower part; in the bottom center; down at the bottom; at the bottom center; bottom;
        in the bottom"""),
    "bottom right": table("""
        in the bottom right; at the bottom right; in the (bottom|lower) right corner; at the lower
        right; in the lower right; near the bottom right; on the bottom right; to the bottom right;
        bottom right; in the right bottom corner; down in the right corner"""),
}

PICTURE_PRONOUNS = table("""
    it; it; it; it; this; the picture; the photo; the image; this picture; this photo; this image;
    everything; the whole picture; the whole thing; my photo; the scene; the pic; my picture""")
PICTURE_NOUNS = table("""
    picture; photo; image; picture; photo; image; pic; shot; photograph""")
ADVERBS = ("", "", "", "", "a bit ", "much ", "a lot ", "way ", "slightly ", "even ", "somewhat ")

PREFIXES: dict[str, tuple[str, ...]] = {
    "do": table("""
        please; please; can you; can you please; could you; could you please; would you; would you
        please; will you; i want you to; i would like you to; i would like to; i want to; i'd like you
        to; i'd like to; i need you to; hey; hey can you; now; just; go ahead and; pls; plz; kindly; can
        u; let's; we need to; you should; try to; ok now; then; next; so; is it possible to; is there a
        way to; help me; you have to; can we; could we; please just; i need to; my boss wants you to; hi
        please; hello can you; quickly; how do i; do me a favor and; it would be nice to; the next step
        is to; i think you should; simply; also"""),
    "say": table("""
        hey; ok; well; actually; so; hi; hmm; honestly; sorry but; you know; for this one; look; oh; now"""),
    "noun": table("""
        i want; give me; i would like; can i have; can i get; could i get; i need; i'd like; just; how
        about; what about; maybe; we want; please give me; try; go for; i'm thinking; let's have"""),
}
SUFFIXES: dict[str, tuple[str, ...]] = {
    "do": table("""
        please; please; thanks; thank you; for me; if you can; if possible; now; for me please; will
        you; would you; ok; pls; right now; if you don't mind; thank you very much; thx; as well; today;
        real quick"""),
    "say": table("""
        please; thanks; please; ok; if possible; for me; can you do that; pls; if you can; i think"""),
    "noun": table("""please; please; thanks; pls; for me; if possible; thank you; now; if you can"""),
}
PICTURE_SUFFIXES = table("""
    in this picture; in the photo; in the picture; in this image; in my photo; here; in the image""")
"""Only after cores that do not mention the picture."""

TYPO_WORDS = frozenset(words("""
    please could would want make turn picture photo image thanks this should need apply like thank
    change there convert with possible just into"""))
"""The only words that a typo may strike: none of them tells kinds, objects, colours or places apart."""
