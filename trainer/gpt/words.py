"""The word lists of the stories: some 1,300 words, and names put together from syllables.

Each list has the names of its words' further forms, then the words with their forms; the commonest words come first,
unless the names start with "=": then all are equally likely.
"""


def pairs(firsts: str, seconds: str) -> str:
    """Join every first with every second: a short way to write a long list of names."""
    return ", ".join(first + second for first in firsts.split() for second in seconds.split())


def people(firsts: str, shes: str, hes: str) -> str:
    """Names whose ending tells which pronouns the person goes by."""
    women = (f"{first}{end}/she/her/her" for first in firsts.split() for end in shes.split())
    men = (f"{first}{end}/he/his/him" for first in firsts.split() for end in hes.split())
    return ", ".join([*women, *men])


def numbers(low: int, high: int) -> str:
    """The numbers from low to high, both included."""
    return ", ".join(map(str, range(low, high + 1)))


WORDS = {
    "hero": ("he his him", people(
            """
            Al Bran Cor Dar El Fen Gil Hal Is Jor Kes Lor Mar Nor Or Per Quil Ros Sel Tam Fal Ger Han Ker
            Lin Mer Nar Pal Rem Tor""",
            "a ina etta wen issa eth ela idra oma unia",
            "o ric and us in mund avor emar ilo oban")),
    "friend": ("he his him", people(
            """
            Ab Bess Ced Dun Ed Fab Gad Hed Ing Jem Kat Lud Mil Nell Os Pip Rud Sib Theo Ulf Arn Cuth Ewan
            Gud Hub Jud Lew Mab Wy Tib""",
            "a ine elle ora yth isa ana",
            "bert old on wick er ulf amon")),
    "stranger": ("he his him", people(
            """
            Vas Zor Yar Xan Iv Umb Wil Drag Mik Ste Bog Vlad Zel Yus Kaz Rad Ost Zim Vor Jaz Bor Dob Grig
            Jar Kos Lubo Mir Niko Petr Sla Tolo Vit Yev Zden""",
            "ova ika ena ushka ata inka era asha",
            "ov ko el imir an osh ek uk")),
    "surname": ("", pairs(
            """
            Ash Black Clay Dun Elder Fair Green Hart Iron Kings Long Moor North Oak Penn Red Stone Thorn
            Under West Brad Cop Gold Hamp Marsh Rush Sand Wind Apple Bell Cran Dray Ever Fern Gray Hay Kirk
            Lock Mead""",
            """
            ford wood field well bridge ton smith land man by ley worth shaw croft house hill stone brook
            wick gate""")),
    "town": ("", pairs(
            """
            Alder Birch Cold Deep East Fox Glen High Ivy Kettle Lamb Mill New Otter Port Raven Salt Thistle
            Wal Yarrow Bar Crow Dry Ely Frost Gull Heron Kelp Lark Mist Ald Brack Chal Dart Elk Fen Grim
            Hollow Kings Lang Mar Nether Over Pol Red""",
            """
            combe bury mouth dale ham stead cliff wick more gate den holm mere thorpe ness haven moor port
            sea burn""")),
    "street": ("", pairs(
            "Abbey Baker Castle Dean Elm Ferry Garden Hill Inner Jubilee Kirk Lime Market Nun Orchard",
            "_Street _Lane _Row _Road _Square").replace("_", " ")),
    "secret": ("", pairs(
            "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo zu",
            "bel cor dan fim gol har jin kul lam mor nit pas rov sil ton vex")),
    "pet": ("", """
        Patch, Misty, Bramble, Soot, Pepper, Clover, Button, Biscuit, Domino, Velvet, Tinker, Nutmeg,
        Pebble, Ginger, Whisper, Rascal, Thimble, Shadow, Cricket, Juniper, Mustard, Bandit, Freckle, Comet"""),
    "beast": ("sound food", """
        dog/barked/a bone, cat/purred/a fish, horse/neighed/some oats, goat/bleated/a thistle,
        hen/clucked/some corn, donkey/brayed/a carrot, duck/quacked/some bread, owl/hooted/a mouse,
        pig/grunted/an acorn, crow/cawed/a worm, frog/croaked/a fly, goose/hissed/some grass, wolf/howled/a
        rabbit, bee/hummed/some nectar, snake/rustled/an egg, bear/growled/some honey"""),
    "trade": ("tool shop task", """
        baker/rolling pin/bakery/knead the dough, smith/hammer/forge/shoe the horses,
        farmer/spade/barn/plough the field, fisher/net/harbour/mend the nets, miller/sieve/mill/grind the
        corn, tailor/needle/workshop/sew the coats, doctor/lancet/surgery/visit the sick,
        cook/ladle/kitchen/stir the soup, teacher/chalk/school/mark the papers, carpenter/saw/yard/plane the
        boards, weaver/shuttle/loft/card the wool, sailor/compass/ship/furl the sails,
        painter/brush/studio/mix the colours, gardener/rake/greenhouse/prune the roses,
        clockmaker/tweezers/clock tower/oil the wheels, potter/wheel/kiln/glaze the jugs,
        shepherd/crook/fold/count the sheep, librarian/ink stamp/library/sort the books,
        mason/chisel/quarry/cut the stone, cobbler/awl/arcade/sole the boots, brewer/paddle/cellar/taste the
        ale, miner/pick/pit/prop the tunnel, judge/gavel/court/hear the case, barber/razor/parlour/strop the
        blades"""),
    "kin": ("", """
        sister, brother, cousin, aunt, uncle, neighbour, mother, father, grandmother, grandfather, nephew,
        niece, godmother, stepbrother, tutor, lodger"""),
    "adj": ("", """
        old, little, big, long, quiet, young, strange, bright, dark, small, cold, warm, white, black, tall,
        kind, poor, clever, brave, gentle, heavy, happy, lonely, tired, broken, empty, green, golden,
        silver, red, blue, sharp, narrow, wide, lazy, honest, proud, hungry, careful, foolish, busy, rough,
        smooth, dusty, muddy, crooked, hidden, ancient, yellow, grey, pale, loud, sleepy, curious, stubborn,
        cheerful, grumpy, nervous, soft, round, fresh, sweet, thin, thick, wild, tame, rich, strong, weak,
        hard, fair, flat, deep, early, plain, rare, rusty, patient, polite, dry, damp, frozen, burning,
        shining, faded, painted, carved, twisted, hollow, steep, shallow, distant, famous, humble, greedy,
        jealous, generous, noble, wicked, modest, reckless, solemn, witty, weary, anxious, bitter, brittle,
        clumsy, crimson, dainty, eager, fragile, graceful, hasty, icy, jolly, keen, lofty, mellow, nimble,
        ornate, peculiar, quaint, ragged, scarlet, tender, uneven, violet, wooden, zealous, amber, barren,
        coarse, drowsy, earnest, feeble, gloomy, harsh, idle, lively, murky, obscure, plump, rustic, sturdy,
        timid, upright, vivid, withered, splendid, tangled, spotted, striped, velvety, whimsical, thrifty,
        sullen, speckled, shabby, agile, blunt, bold, brisk, chubby, cloudy, costly, cracked, cruel, curly,
        decent, dented, dreary, elegant, enormous, exact, fancy, fierce, floppy, foreign, frosty, fuzzy,
        gaudy, gifted, grand, grim, hairy, handsome, haunted, hoarse, homely, immense, jagged, joyful,
        knotty, lean, lucky, magic, merciful, messy, mighty, moist, mossy, mute, mythical, neat, odd, oily,
        oval, placid, prickly, prim, pure, royal, sacred, scented, secret, serene, shaggy, silent, sinister,
        sleek, slender, slim, slippery, smoky, snug, sober, sombre, spare, square, stale, stern, stiff,
        stormy, stout, subtle, sunny, swift, tart, tidy, tiny, tough, vain, vast, wary, watery, wise, worn"""),
    "thing": ("", """
        key, box, lamp, book, letter, coat, cup, map, ring, rope, bell, clock, basket, knife, chair, mirror,
        blanket, candle, bottle, drum, coin, shoe, hat, kite, flute, spoon, barrel, brush, button, chain,
        comb, cradle, crown, doll, feather, fiddle, glove, harp, helmet, hook, jar, kettle, ladder, lantern,
        locket, medal, needle, oar, parcel, pebble, pillow, pipe, plate, purse, quilt, ribbon, saddle,
        scarf, shell, shield, sledge, stool, sword, teapot, ticket, trumpet, umbrella, vase, wagon, wheel,
        whistle, anchor, axe, bracelet, broom, bucket, compass, cushion, dagger, easel, envelope, fan,
        funnel, goblet, hourglass, inkwell, jug, knot, lens, mask, necklace, opal, pendant, quiver, ruler,
        scroll, thimble, urn, violin, whisk, abacus, badge, chisel, diary, emblem, figurine, gong, hinge,
        idol, jigsaw, lyre, mallet, nutcracker, obelisk, pulley, rattle, sextant, tapestry, telescope,
        tripod, trowel, tureen, visor, wreath, yoke, zither, almanac, amulet, apron, arch, awning, balloon,
        banjo, banner, basin, beaker, belt, bench, bonnet, bow, bowl, brooch, cabinet, cage, calendar, cane,
        canoe, canvas, cape, carpet, casket, cauldron, charm, chart, chest, cloak, collar, couch, counter,
        crate, cymbal, desk, dial, dish, door, dress, eyeglass, fence, flag, flask, fork, frame, gauge,
        globe, hammock, handkerchief, hoop, horn, iron, jacket, kerchief, kilt, leash, lever, lid, lock,
        lute, magnet, mat, mitten, mug, net, oboe, oven, pan, pedal, pen, perch, pitcher, poker, portrait,
        pouch, puppet, puzzle, rack, raft, razor, rug, sack, sandal, sash, scale, screw, seal, shawl, shelf,
        skirt, sled, slipper, statue, stove, strap, tambourine, tent, toy, tray, trunk, tub, veil, vessel,
        vest, wand, whip, wig, window"""),
    "stuff": ("=", """
        oak, brass, silver, glass, clay, iron, copper, ivory, leather, paper, pine, silk, stone, tin, wax,
        wool"""),
    "goods": ("=", """
        apples, eggs, candles, nails, coins, buttons, pears, bricks, plums, ropes, barrels, feathers,
        onions, loaves, needles, stamps, marbles, walnuts, tiles, ribbons, lemons, herrings, cabbages,
        blankets, pencils, shells, turnips, kettles, arrows, bells, carrots, spoons"""),
    "spot": ("", """
        river, forest, hill, market, bridge, garden, church, harbour, mill, lake, meadow, castle, well,
        cave, tower, field, orchard, valley, beach, inn, pond, cellar, attic, kitchen, barn, park, bay,
        cliff, stream, gate, heath, moor, fair, hut, stable, library, station, crossroads, graveyard,
        island, lighthouse, marsh, mountain, palace, quarry, ruin, school, swamp, temple, theatre, tunnel,
        vineyard, waterfall, windmill, abbey, bakery, canal, dungeon, estuary, fountain, glacier, hospital,
        jetty, kennel, lagoon, monastery, nursery, observatory, prison, ravine, shrine, tavern, viaduct,
        wharf, arena, bandstand, chapel, dockyard"""),
    "near": ("=", "near, beside, behind, below, above, beyond, opposite, outside"),
    "went": ("", """
        walked, ran, went, hurried, wandered, climbed, crept, rode, strolled, limped, marched, raced,
        sailed, slipped, stumbled, tiptoed, trudged, waded, dashed, drifted, galloped, hobbled, paddled,
        plodded, roamed, scrambled, shuffled, skipped, strode, swam, trotted, tumbled"""),
    "did": ("", """
        found, saw, carried, took, lost, bought, dropped, hid, sold, washed, borrowed, broke, counted,
        cleaned, dragged, painted, lifted, mended, packed, pulled, pushed, stole, threw, wrapped, admired,
        burned, buried, chased, copied, drew, emptied, examined, fetched, filled, followed, guarded, hung,
        ignored, kicked, locked, measured, noticed, opened, polished, praised, repaired, rescued, returned,
        ruined, searched for, shook, sketched, split, swapped, tested, touched, traded, unpacked, wanted,
        warmed, watched, weighed, wished for, adored, aimed at, altered, arranged, auctioned, balanced,
        bent, blamed, blessed, bound, brushed, carved, caught, cherished, claimed, coveted, cursed, cut,
        damaged, decorated, described, despised, dreaded, dusted, embroidered, envied, exchanged, feared,
        gathered, gripped, hated, hauled, heard, held, inherited, invented, inspected, judged, juggled,
        kept, knew, left, liked, loved, marked, missed, mocked, moved, named, needed, offered, owned,
        pawned, planted, pledged, pointed at, raffled, received, refused, remembered, rented, restored,
        rolled, rubbed, sang of, scratched, seized, sent, shared, shined, smashed, smelled, spoiled,
        stained, stored, studied, tied, tore, tossed, turned, twirled, valued, varnished, visited, waved,
        won, wrote about"""),
    "mood": ("adv said", """
        happy/happily/laughed, sad/sadly/sighed, angry/angrily/shouted, afraid/fearfully/whispered,
        tired/wearily/yawned, proud/proudly/announced, calm/calmly/said, puzzled/doubtfully/asked,
        cross/crossly/snapped, shy/shyly/mumbled, merry/merrily/sang, bored/idly/drawled,
        worried/anxiously/muttered, excited/eagerly/cried, grateful/warmly/replied, jealous/bitterly/hissed"""),
    "mishap": ("so mended", """
        roof/beds were wet/thatch, well/jugs were dry/pump, bridge/cart was late/planks, fire/soup was
        cold/chimney, wheel/mill was still/axle, lamp/stairs were dark/wick, churn/butter was sour/pails,
        trap/mice were fat/spring, bank/cellar was wet/dam, plough/field was bare/blade, clock/bells were
        wrong/hands, gate/sheep were gone/latch, kiln/tiles were raw/bricks, mast/boat was adrift/rigging,
        oven/loaves were flat/flue, fence/roses were eaten/posts, scales/coins were short/weights,
        forge/nails were soft/bellows, loom/cloth was torn/shuttle, press/cider was thin/screw, sluice/fish
        were dead/valve, hive/honey was lost/frames, kennel/hounds were loose/bars, ferry/post was
        slow/ropes"""),
    "meal": ("", """
        bread and cheese, onion soup, apple pie, roast goose, boiled eggs, fried fish, plum cake, cold ham,
        barley broth, nut cake, mushroom stew, pea soup, rice pudding, baked beans, herb omelette, turnip
        mash, pickled herring, walnut bread, fig jam, oat biscuits, lamb pie, leek tart, goat cheese, ginger
        snaps"""),
    "sky": ("", """
        rain, sun, snow, wind, fog, thunder, frost, hail, mist, heat, sleet, drizzle, gales, clear skies,
        low clouds, a red dawn"""),
    "day": ("=", "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "month": ("=", "January, February, March, April, May, June, July, August, September, October, November, December"),
    "when": ("", """
        Then, Later, Soon, At noon, That night, At dawn, By dusk, At last, In May, In June, In March, At
        one, At two, At three, At nine, At ten, On Monday, On Friday, On Sunday, Next day, One night, In
        winter, In spring, In autumn, By then, Often, Twice, Again, At once, By chance, In secret, In haste"""),
    "adv": ("", """
        quickly, slowly, quietly, gladly, often, never, soon, once, twice, always, boldly, calmly, gently,
        secretly, nearly, rarely, bravely, clumsily, politely, rudely, neatly, sweetly, proudly, only, also,
        first, almost, surely, briefly, blindly, cheaply, fairly, firmly, half, hardly, kindly, lately,
        loudly, madly, openly, partly, simply"""),
    "clock": ("=", ", ".join(f"{hour}:{minute:02}" for hour in range(1, 13) for minute in range(60))),
    "many": ("=", numbers(24, 99)),  # always more than "few"
    "few": ("=", numbers(3, 18)),
    "year": ("=", numbers(1400, 1911)),
    "house": ("=", numbers(100, 611)),
}
