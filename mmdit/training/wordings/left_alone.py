"""Held-out instructions that name an object, or something like one, after which the picture must be as it was.

Those in English are by an author who knew what the editor can do, and none of what it had learnt from. Sentences that
an earlier author had written, too, and things that training has a word for, were left out.
"""

from mmdit.training.wordings.tables import table

# fmt: off
MENTIONS: tuple[str, ...] = table("""
    what is the {x} thinking about, mummy; my grandson giggled for ten minutes at that {x}; the {x} is perfect,
    honestly; hands off the {x}, it belongs to legal; kindly describe the {x} for a blind reader; can the {x}
    wink at me; we hereby reserve all rights pertaining to the {x}; rotate the {x} by thirty degrees; give the
    {x} a tiny top hat; does anybody know if the {x} is copyrighted; thanks for the {x}, you made my day; i had
    a {x} just like that in 1962; the {x} um never mind; which layer does the {x} live on; export the {x} as an
    svg please; make the {x} dance to the radio; is that really meant to be a {x}; aw, a {x}; nobody touches the
    {x} until the client has signed; please tell me a bedtime story about the {x}; flip the {x} so it faces the
    other way; i love the {x} soooo much; what do you call a {x} in portuguese; the {x} needs a softer shadow
    underneath; sorry, i was talking to marie about the {x}; does the {x} have a name yet; legal says the {x}
    may infringe somebody's trademark; print the {x} on a mug for uncle bert; i want to hear the {x} sing; could
    you write a poem about the {x}; the {x} casts no shadow, is that a bug; lock the {x} so that no one can edit
    it; the {x} looks good where it stands; for the minutes: the {x} was approved unanimously; your {x} reminds
    me of my late husband; put a birthday bow on the {x}; email the {x} to my sister; please what is {x} in
    english mean; me like very much this {x}, good work sir; i am not sure what to say about the {x}; did the
    {x} come with the template or did we buy it; tom, have you seen the {x} in slide four; rename the {x} to
    mister wobbles; how much would a {x} like that cost; the outline of the {x} is a bit jagged; add a wooden
    texture to the {x}; draw whiskers on the {x}; is the {x} left of the door or am i seeing things; teacher
    says the {x} is the best one in class; don't you dare change the {x}; ok so the {x} is, wait, phone's
    ringing; i could stare at that {x} all afternoon; shall we discuss the {x} on thursday; a {x} walked into a
    bar, stop me if you know it; tilt the {x} slightly, like it's tired; write "happy easter" across the {x};
    the {x} should have a smiling mouth; can i sell pictures of the {x} on etsy; make a 3d model of the {x}; the
    boss adores the {x}; once upon a time there lived a lonely {x}; what font goes well with a {x} like this;
    search the web for the history of the {x}; i dreamt about a {x} last night; whatever happens, the {x} stays;
    the {x} was my daughter's idea and we are all very proud; give me the coordinates of the {x}; zoom in on the
    {x} so i can check the edges; oh dear, that {x} is staring at me; count the corners of the {x}; bravo for
    the {x}; {x} lol; which breed would you say the {x} is; no complaints about the {x} from our side; the {x}
    may under no circumstances be altered without prior written consent; my little brother says the {x} can
    talk; why the {x} look so sad; give the {x} a happier facial expression; oh wait, wrong chat, ignore what i
    said about the {x}; grandpa carved a {x} out of soap once; could i get the source file of the {x}; kim,
    please double-check the spelling of {x} in the caption; the {x} was spotted near the harbour according to
    witnesses; is the {x} vector or bitmap; do you think the {x} is lonely; tattoo artist here, who made that
    lovely {x}; the {x} is nonnegotiable; let the {x} blink twice and then wave; how do you do that with the
    {x}; stick a moustache on the {x}; we paid forty euros for that {x}; the {x} gets to stay, mum said so; i
    spy with my little eye a {x}; guess what, the {x} won second prize; save the {x} to my desktop; who is the
    {x} looking at; before we proceed, does the {x} have a licence attached; the {x} in the contract refers to
    schedule b; please to explain me what does the {x}; hmm the {x}, what was i going to say; mirror the {x}
    horizontally; ha ha ha that {x}; i can't draw a {x} to save my life; let's keep the {x}, everyone voted for
    it; give the {x} a thicker outline; translate the word {x} into japanese; the {x} pleases me greatly; what
    year was the {x} invented; is there a deeper meaning to the {x}; undo history for the {x}, where do i find
    it; the {x} feels very bauhaus to me, in the best sense; darling, come and see this {x}; has anyone fed the
    {x} today; tell the {x} i said hello; my doctor has a {x} on his desk; compare the {x} with the one in the
    brochure; send a screenshot of the {x} to accounting; i'm calling my band "the electric {x}"; the {x} is not
    your business; what is the hex code used on the {x}; make a sound effect for the {x}; the {x} and i are best
    friends forever; say something clever about the {x}; oops, leaned on the keyboard fffff {x} ggg; is the {x}
    allowed in there, health and safety might ask; we are all very grateful to whoever contributed the {x}; give
    the {x} polka dots; the {x} has been signed off, ref 2281, no further work required; i would not change one
    thing about this {x}; does a {x} count as clip art; how come nobody told me the {x} was so charming; the {x}
    knows what it did; write alt text for the {x}; yesterday i knitted a {x} for the church bazaar; crop marks
    ok, bleed ok, {x} ok; can a {x} float on water; the {x} is priceless, ask my wife; group the {x} with the
    caption; under the heading "{x}" please type three paragraphs; hello it's about the {x}, call me back when
    you can; not the {x}, i beg you; was it you who put the {x} there, pete; the judge will want to know where
    the {x} came from; my favourite thing in the whole picture is the {x}; give the {x} a speech bubble that
    says ouch; i bet you five quid that the {x} is photoshopped; so the {x} i mean uh forget it; why, that's a
    splendid {x} if ever i saw one; record a video of the {x} spinning; does the {x} mean good luck in china;
    there's a song about a {x} that my nan used to hum; to whom it may concern, the {x} is hereby accepted as
    delivered""")
"""What is said of an object of the picture, {x}, without asking for an edit that the editor makes."""
THINGS: tuple[str, ...] = table("""
    shirt; beard; background; lamp post; tattoo; jacket; hair; eyebrows; nose; freckles; pimple; scar; wrinkles;
    moustache; chin; hands; fingernails; shoulder; belly; knee; ankle; ear; eyelashes; groom; grandfather;
    toddler; waiter; policeman; tourist; crowd; stranger; photographer; cyclist; fisherman; dancer; trousers;
    skirt; tie; scarf; gloves; socks; sneakers; boots; belt; hoodie; sunglasses; earring; bracelet; ring;
    backpack; handbag; apron; armchair; bookshelf; curtain; carpet; cushion; mattress; mirror; chandelier; desk;
    wallpaper; vase; radiator; oven; sink; church; skyscraper; lighthouse; windmill; balcony; chimney; roof;
    front door; staircase; brick wall; garage; fountain; motorcycle; tractor; train; skateboard; pram;
    wheelchair; license plate; seagull; pigeon; duck; owl; squirrel; snail; lizard; bread; soup; spaghetti; ice
    cream; wine glass; coffee cup; grapes; egg; beach; lake; desert; meadow; cliff; road; sidewalk; puddle;
    rainbow; lightning; raindrops; hammer; ladder; power line; trash can; traffic sign; reflection; horizon;
    lens flare""")
"""What people have edited that is none of the objects."""
FOREIGN: tuple[str, ...] = table("""
    bitte den luftballon größer machen; schieb das boot nach rechts; blumen in lila; die tasse doppelt so groß;
    ändere die farbe des schals in orange; verkleinere den elefanten; schmetterling auf die blume setzen; die tomate
    soll eine orange werden; der schneemann braucht einen schal; wäre es möglich die gitarre blau zu machen;
    vorhänge in türkis; kerze auf den tisch stellen; entferne bitte alle menschen am strand; den leuchtturm rot und
    weiß anmalen; mach den huegel gruen; kannst du den vogel loeschen; ersetze die kuehe durch pferde; fuer den
    jungen bitte eine rote muetze; alles bitte etwas heller; weniger sättigung; leg nebel über die landschaft; lass
    es wie ein altes foto aussehen; mach tag zur nacht; ich möchte es in graustufen; weißer rand um das foto; das
    foto ist mir zu grell; bitte waermer; bild schaerfer bitte; ajoute un arbre à gauche de la maison; supprimer le
    lampadaire; la porte devrait être verte; le vélo rouge doit devenir noir; une écharpe pour le bonhomme de neige;
    descends la lampe; teins ses cheveux en blond; rideaux turquoise; la fenetre plus large; agrandis la tete du
    lion; un peu plus sombre; floute tout; assombris les bords; retourne l'image à l'envers; eclaircis l'image;
    ombres moins foncees; puedes borrar el árbol; mueve el barco a la izquierda; sin la silla por favor; sube un
    poco la luna; puerta blanca; dibuja una mariposa sobre la rosa; techo gris oscuro; la camisa del niño en
    celeste; anade un nino con una pelota; haz mas pequeno el raton; invierte los colores; sube el contraste; un
    atardecer estaría bien; pásala a escala de grises; foto mas nitida; imagen en negativo con mas contraste; puoi
    eliminare l'albero; colora il fiore di viola; trasforma la mucca in una pecora; bicicletta rossa invece che
    nera; che il tetto diventi grigio; un coniglio vicino alla siepe; piu foglie sull'albero; sposta il papa piu a
    sinistra; scurisci la foto; sfoca tutto; vignettatura leggera; tonalita fredde; dá para apagar a árvore; move o
    barco para a esquerda; desenha um arco-íris por cima da montanha; guarda-chuva laranja; pinte o telhado de
    cinza; acrescenta uma borboleta na rosa; o botao maior; mais clara a imagem; menos saturação por favor; moldura
    branca em volta; saturacao no minimo; menos contraste nao mais; vervang de appel door een peer; schuif de boot
    naar rechts; graag een regenboog boven de heuvel; de paraplu liever geel; kan die lantaarnpaal weg; wis de
    schaduw onder de boom; ik had liever een rode tulp; creeer een ijsje in haar hand; iets lichter; minder
    verzadiging; een houten lijst eromheen; zet er een zachte waas overheen; czy możesz wymazać drzewo; fioletowa
    sukienka; księżyc wyżej; okulary dla kota; powieksz dzbanek i pomaluj go na rozowo; trochę jaśniej; większy
    kontrast; biala ramka; kan du radera trädet; sätt en hatt på hästen; dörren borde vara vit; flytta ankan at
    vanster; varmare toner; svart ram runt om; ağacı silebilir misin; mor elbise istiyorum; gökkuşağı çiz; kopegin
    rengini degistir; fotoğrafı karart; cerceve ekle; byt æblet ud med en pære; tåge over marken; slett treet bak
    huset; poista auto; aurinko pienemmaksi; odstraň to auto; udělej to černobíle; câinele să fie mai mare; culori
    mai calde; tambahkan pohon di samping rumah; suasana malam hari; anh den trang""")
"""Requests in other languages, each fifth that their author wrote; the reader learnt from the others."""
# fmt: on
REQUESTS: tuple[str, ...] = (
    "remove the {f}",
    "make the {f} {c}",
    "make the {f} bigger",
    "make the {f} smaller",
    "replace the {f} with a {x}",
)  # fmt: skip
"""Plain requests about a thing, {f}."""
